// Double arithmetic; elementary functions through the C library, so that this class can serve as the oracle of the others.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

struct Maximum {
    static double of(double a, double b) {
        const double m = a > b ? a : b;
        return a != a ? a : m;
    }
};
struct Minimum {
    static double of(double a, double b) {
        const double m = a < b ? a : b;
        return a != a ? a : m;
    }
};
struct Neg {
    static double of(double a) { return -a; }
};
struct Abs {
    static double of(double a) { return __builtin_fabs(a); }
};
struct Sign {
    static double of(double a) { return a != a ? a : static_cast<double>((a > 0) - (a < 0)); }
};
struct Sqrt {
    static double of(double a) { return __builtin_sqrt(a); }
};
struct Rsqrt {
    static double of(double a) { return 1.0 / __builtin_sqrt(a); }
};
struct Reciprocal {
    static double of(double a) { return 1.0 / a; }
};
struct IsFinite {
    static bool of(double a) { return __builtin_fabs(a) < __builtin_inf(); }
};
struct IsNan {
    static bool of(double a) { return a != a; }
};
struct IsInf {
    static bool of(double a) { return __builtin_fabs(a) == __builtin_inf(); }
};
struct FloorDivide {
    static double of(double a, double b) { return __builtin_floor(a / b); }
};
struct Mod {
    static double of(double a, double b) {
        const double r = __builtin_fmod(a, b);
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
};
struct Power {
    static double of(double a, double b) { return __builtin_pow(a, b); }
};
struct Atan2 {
    static double of(double a, double b) { return __builtin_atan2(a, b); }
};

template <double (*f)(double)>
void library_map(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    for (int64_t i = 0; i < n; ++i) at<double>(dst)[i] = f(at<double>(a)[i]);
}

double double_sigmoid(double a) {
    const double e = __builtin_exp(-__builtin_fabs(a));
    return (a < 0 ? e : 1.0) / (1.0 + e);
}

}  // namespace

void fill_double(KernelTable& t) {
    constexpr int f = id(Class::f64);
    auto unary = [&](Prim p, TileFn fn) { t.unary[id(p)][f] = fn; };
    unary(Prim::neg, map1<double, double, Neg>);
    unary(Prim::abs, map1<double, double, Abs>);
    unary(Prim::sign, map1<double, double, Sign>);
    unary(Prim::sqrt, map1<double, double, Sqrt>);
    unary(Prim::rsqrt, map1<double, double, Rsqrt>);
    unary(Prim::reciprocal, map1<double, double, Reciprocal>);
    unary(Prim::isfinite, map1<uint8_t, double, IsFinite>);
    unary(Prim::isnan, map1<uint8_t, double, IsNan>);
    unary(Prim::isinf, map1<uint8_t, double, IsInf>);
    unary(Prim::floor, library_map<__builtin_floor>);
    unary(Prim::ceil, library_map<__builtin_ceil>);
    unary(Prim::round, library_map<__builtin_rint>);
    unary(Prim::trunc, library_map<__builtin_trunc>);
    unary(Prim::exp, library_map<__builtin_exp>);
    unary(Prim::expm1, library_map<__builtin_expm1>);
    unary(Prim::log, library_map<__builtin_log>);
    unary(Prim::log2, library_map<__builtin_log2>);
    unary(Prim::log10, library_map<__builtin_log10>);
    unary(Prim::log1p, library_map<__builtin_log1p>);
    unary(Prim::sin, library_map<__builtin_sin>);
    unary(Prim::cos, library_map<__builtin_cos>);
    unary(Prim::tan, library_map<__builtin_tan>);
    unary(Prim::asin, library_map<__builtin_asin>);
    unary(Prim::acos, library_map<__builtin_acos>);
    unary(Prim::atan, library_map<__builtin_atan>);
    unary(Prim::sinh, library_map<__builtin_sinh>);
    unary(Prim::cosh, library_map<__builtin_cosh>);
    unary(Prim::tanh, library_map<__builtin_tanh>);
    unary(Prim::asinh, library_map<__builtin_asinh>);
    unary(Prim::acosh, library_map<__builtin_acosh>);
    unary(Prim::atanh, library_map<__builtin_atanh>);
    unary(Prim::sigmoid, library_map<double_sigmoid>);
    unary(Prim::erf, library_map<__builtin_erf>);
    unary(Prim::erfinv, library_map<erfinv>);
    unary(Prim::lgamma, library_map<__builtin_lgamma>);
    unary(Prim::digamma, library_map<digamma>);

    set_binary<double, double, Add>(t.binary[id(Prim::add)][f]);
    set_binary<double, double, Subtract>(t.binary[id(Prim::subtract)][f]);
    set_binary<double, double, Multiply>(t.binary[id(Prim::multiply)][f]);
    set_binary<double, double, Divide>(t.binary[id(Prim::divide)][f]);
    set_binary<double, double, Maximum>(t.binary[id(Prim::maximum)][f]);
    set_binary<double, double, Minimum>(t.binary[id(Prim::minimum)][f]);
    t.binary[id(Prim::power)][f][vv] = map2<double, double, Power, vv>;
    t.binary[id(Prim::mod)][f][vv] = map2<double, double, Mod, vv>;
    t.binary[id(Prim::floor_divide)][f][vv] = map2<double, double, FloorDivide, vv>;
    t.binary[id(Prim::atan2)][f][vv] = map2<double, double, Atan2, vv>;
    set_comparisons<double>(t, Class::f64);
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
