// The table behind prims.h, expanded from ir/prims.def, and the two special functions its host expressions use that the C
// library lacks: erfinv and digamma.
#include "ops/prims.h"

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace fk {

// Solves erf(x) = a: a rough start from the tail expansion, then Newton steps on erf or, near 1 where erf saturates, erfc.
double erfinv(double a) {
    const double m = std::fabs(a);
    if (std::isnan(a) || m > 1) return std::numeric_limits<double>::quiet_NaN();
    if (m == 1) return std::copysign(std::numeric_limits<double>::infinity(), a);
    if (m == 0) return a;
    constexpr double kHalfSqrtPi = 0.88622692545275801365;
    const double l = std::log1p(-m * m), t = 4.3307467508 + l / 2;  // Winitzki's approximation: 2e-3 relative
    double x = std::sqrt(std::sqrt(t * t - l * 6.8027209) - t);
    if (m < 1e-4) x = m * kHalfSqrtPi;
    for (int step = 0; step < 3; ++step) {
        const double miss = m < 0.5 ? std::erf(x) - m : (1 - m) - std::erfc(x);
        const double newton = miss * kHalfSqrtPi * std::exp(x * x);
        x -= newton / (1 + x * newton);  // Halley's correction: erf'' = -2x erf'
    }
    return std::copysign(x, a);
}

// The recurrence lifts the argument to where the asymptotic series holds; negative arguments are reflected.
double digamma(double a) {
    if (std::isnan(a) || a == -std::numeric_limits<double>::infinity()) return std::numeric_limits<double>::quiet_NaN();
    if (a == 0) return std::copysign(std::numeric_limits<double>::infinity(), -a);
    if (a < 0) {
        const double fraction = a - std::floor(a);
        if (fraction == 0) return std::numeric_limits<double>::quiet_NaN();
        return digamma(1 - a) - std::numbers::pi / std::tan(std::numbers::pi * fraction);
    }
    double lifted = 0;
    for (; a < 10; a += 1) lifted -= 1 / a;
    const double w = 1 / (a * a);
    const double series =
        w * (1.0 / 12 - w * (1.0 / 120 - w * (1.0 / 252 - w * (1.0 / 240 - w * (1.0 / 132 - w * 691 / 32760)))));
    return lifted + std::log(a) - 0.5 / a - series;
}

namespace {

struct Entry {
    std::string_view name;
    int arity;
};

constexpr std::array<Entry, kPrimCount> kEntries = {{
#define FK_PRIM(name, arity, promotion, host) {#name, arity},
#include "ir/prims.def"
#undef FK_PRIM
}};

// Shifts by 64 or more, or by a negative count, leave nothing but the sign, as in the kernels.
double shift(double a, double by, bool left) {
    const auto x = static_cast<int64_t>(a);
    if (!(by >= 0 && by < 64)) return !left && x < 0 ? -1 : 0;
    const auto n = static_cast<int>(by);
    return static_cast<double>(left ? static_cast<int64_t>(static_cast<uint64_t>(x) << n) : x >> n);
}

}  // namespace

std::string_view name(Prim p) { return p == Prim::none ? "none" : kEntries[static_cast<size_t>(p)].name; }
int arity(Prim p) { return p == Prim::none ? 0 : kEntries[static_cast<size_t>(p)].arity; }

double host_eval(Prim p, double a, [[maybe_unused]] double b, [[maybe_unused]] double c) {
    switch (p) {
#define FK_PRIM(name, arity, promotion, host) \
    case Prim::name:                          \
        return host;
#include "ir/prims.def"
#undef FK_PRIM
        case Prim::none:
            break;
    }
    return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace fk
