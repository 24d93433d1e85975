// The vector functions of every instruction set this machine has: error bounds of the elementary functions, conversions of
// 16-bit floats, the corners of integer arithmetic. REGION_FLOAT_STEP=1 tries every float.
#include <doctest/doctest.h>

#include <cstdlib>

#include "region_support.h"

using namespace fk;
using namespace fk::test;

namespace {

// Distance in units of the last place of the nearest float to `want`.
double ulps(float got, double want) {
    const auto rounded = static_cast<float>(want);
    if (std::isnan(want)) return std::isnan(got) ? 0 : INFINITY;
    if (got == rounded) return 0;
    if (!std::isfinite(got) || !std::isfinite(rounded)) return INFINITY;
    const double magnitude = std::max(std::fabs(want), 0x1p-126);
    return std::fabs(got - want) / std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

std::vector<float> call(const cpu::TileFn fn, const std::vector<float>& a, const std::vector<float>& b = {}) {
    std::vector<float> out(a.size());
    fn(out.data(), a.data(), b.empty() ? a.data() : b.data(), nullptr, nullptr, static_cast<int64_t>(a.size()));
    return out;
}

// Floats of every exponent, and the values where functions have their edges.
std::vector<float> sample_floats(uint32_t step) {
    std::vector<float> out;
    for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += step)
        out.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    for (const float edge : {0.0f,      1.0f,  0.5f,       2.0f,       4.0f,       10.0f,      20.0f,           88.72283f,
                             88.72284f, 89.0f, 103.97f,    104.0f,     0x1p-126f,  0x1p-149f,  0x1.fffffep127f, INFINITY,
                             1e-30f,    1e30f, 0.9999999f, 1.0000001f, 1.5707964f, 3.1415927f, 6.2831855f,      1e6f,
                             1.00001e6f})
        for (const float v : {edge, -edge}) out.push_back(v);
    out.push_back(NAN);
    return out;
}

}  // namespace

TEST_CASE("vector functions stay within their error bounds") {
    struct Bound {
        Prim prim;
        double ulps;
    };
    const std::vector<Bound> bounds = {
        {Prim::exp, 1},   {Prim::log, 2},        {Prim::log2, 3},  {Prim::log10, 3}, {Prim::log1p, 3}, {Prim::expm1, 3},
        {Prim::tanh, 4},  {Prim::sigmoid, 4},    {Prim::erf, 4},   {Prim::sin, 3},   {Prim::cos, 3},   {Prim::sqrt, 0.5},
        {Prim::rsqrt, 2}, {Prim::reciprocal, 1}, {Prim::tan, 4},   {Prim::asin, 4},  {Prim::acos, 4},  {Prim::atan, 4},
        {Prim::sinh, 4},  {Prim::cosh, 4},       {Prim::asinh, 4}, {Prim::acosh, 4}, {Prim::atanh, 4}, {Prim::floor, 0},
        {Prim::ceil, 0},  {Prim::round, 0},      {Prim::trunc, 0}, {Prim::neg, 0},   {Prim::abs, 0},   {Prim::sign, 0}};
    const char* step = std::getenv("REGION_FLOAT_STEP");
    const std::vector<float> x = sample_floats(step ? static_cast<uint32_t>(std::atoi(step)) : 16411);
    for (const Bound& bound : bounds) {
        CAPTURE(name(bound.prim));
        std::vector<double> want(x.size());
        for (size_t i = 0; i < x.size(); ++i) want[i] = host_eval(bound.prim, static_cast<double>(x[i]));
        for (const std::string_view isa : all_isas()) {
            CAPTURE(isa);
            cpu::set_max_isa(isa);
            const std::vector<float> y =
                call(cpu::kernels().unary[static_cast<int>(bound.prim)][static_cast<int>(Class::f32)], x);
            double worst = 0;
            float at = 0;
            for (size_t i = 0; i < x.size(); ++i)
                if (const double u = ulps(y[i], want[i]); u > worst) worst = u, at = x[i];
            CHECK_MESSAGE(worst <= std::max(bound.ulps, 0.501), "at ", at, " (", std::bit_cast<uint32_t>(at), ")");
            if (std::getenv("REGION_VERBOSE")) MESSAGE(name(bound.prim), " ", isa, ": ", worst, " ulp at ", at);
        }
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("power follows the C library, special cases included") {
    std::mt19937 rng(7);
    std::vector<float> a, b;
    for (int i = 0; i < 400000; ++i) {
        a.push_back(std::ldexp(std::uniform_real_distribution<float>(1, 2)(rng), std::uniform_int_distribution(-60, 60)(rng)));
        b.push_back(std::uniform_real_distribution<float>(-2, 2)(rng));
        a.push_back(std::uniform_real_distribution<float>(0.5f, 2)(rng));
        b.push_back(std::uniform_real_distribution<float>(-130, 130)(rng));
    }
    for (const float x :
         {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, 3.0f, -3.0f, 1e38f})
        for (const float y : {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 3.0f, -3.0f, 0.5f, -0.5f, 1.5f, INFINITY, -INFINITY, NAN,
                              1e30f, 126.0f, 1e-30f})
            a.push_back(x), b.push_back(y);
    for (const std::string_view isa : all_isas()) {
        CAPTURE(isa);
        cpu::set_max_isa(isa);
        const auto& entry = cpu::kernels().binary[static_cast<int>(Prim::power)][static_cast<int>(Class::f32)];
        const std::vector<float> y = call(entry[cpu::vv], a, b);
        double worst = 0;
        for (size_t i = 0; i < a.size(); ++i)
            worst = std::max(worst, ulps(y[i], std::pow(static_cast<double>(a[i]), static_cast<double>(b[i]))));
        CHECK(worst <= 1);
        for (const float e : {0.0f, 1.0f, 2.0f, 3.0f, -1.0f, 0.5f, -0.5f, 1.7f}) {
            const std::vector<float> z = call(entry[cpu::vs], a, {e});
            worst = 0;
            for (size_t i = 0; i < a.size(); ++i)
                worst = std::max(worst, ulps(z[i], std::pow(static_cast<double>(a[i]), static_cast<double>(e))));
            CHECK_MESSAGE(worst <= 2, "exponent ", e);
        }
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("16-bit floats convert exactly and round to nearest even") {
    std::vector<uint16_t> all(65536);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
    std::mt19937 rng(3);
    for (const std::string_view isa : all_isas()) {
        CAPTURE(isa);
        cpu::set_max_isa(isa);
        for (const DType type : {DType::f16, DType::bf16}) {
            CAPTURE(name(type));
            const auto load_fn = cpu::kernels().load[static_cast<int>(type)],
                       store_fn = cpu::kernels().store[static_cast<int>(type)];
            std::vector<float> values(all.size());
            load_fn(values.data(), all.data(), nullptr, nullptr, nullptr, static_cast<int64_t>(all.size()));
            size_t bad = 0;
            for (size_t i = 0; i < all.size(); ++i) {
                const float want = type == DType::f16 ? half_value(all[i]) : bf16_value(all[i]);
                bad += std::isnan(want) ? !std::isnan(values[i])
                                        : std::bit_cast<uint32_t>(want) != std::bit_cast<uint32_t>(values[i]);
            }
            CHECK(bad == 0);
            // Every value, points between neighbours, and random floats.
            std::vector<float> x;
            for (size_t i = 0; i + 1 < all.size(); ++i) {
                if (!std::isfinite(values[i]) || !std::isfinite(values[i + 1])) continue;
                const float middle = values[i] + (values[i + 1] - values[i]) / 2;
                for (const float v :
                     {values[i], middle, std::nextafter(middle, values[i]), std::nextafter(middle, values[i + 1])})
                    x.push_back(v);
            }
            for (int i = 0; i < 20000; ++i) x.push_back(std::bit_cast<float>(static_cast<uint32_t>(rng())));
            for (const float v : {65504.0f, 65519.0f, 65520.0f, 1e10f, INFINITY, 3.4e38f, 0x1p-25f, 0x1.8p-25f})
                x.push_back(v), x.push_back(-v);
            std::vector<uint16_t> y(x.size());
            store_fn(y.data(), x.data(), nullptr, nullptr, nullptr, static_cast<int64_t>(x.size()));
            bad = 0;
            for (size_t i = 0; i < x.size(); ++i) {
                if (type == DType::bf16 && std::fabs(x[i]) < 0x1p-126f) continue;  // the bfloat16 instructions flush subnormals
                const uint16_t want = nearest16(x[i], type == DType::f16);
                const bool nan = std::isnan(x[i]);
                bad += nan ? !std::isnan(type == DType::f16 ? half_value(y[i]) : bf16_value(y[i])) : y[i] != want;
            }
            CHECK(bad == 0);
        }
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("integers never trap and floats saturate into them") {
    for (const std::string_view isa : all_isas()) {
        CAPTURE(isa);
        cpu::set_max_isa(isa);
        const cpu::KernelTable& t = cpu::kernels();
        const auto binary = [&]<class T>(Prim p, Class c, T a, T b) {
            T r{};
            t.binary[static_cast<int>(p)][static_cast<int>(c)][cpu::vv](&r, &a, &b, nullptr, nullptr, 1);
            return r;
        };
        constexpr int32_t low = INT32_MIN;
        constexpr int64_t low64 = INT64_MIN;
        CHECK(binary(Prim::floor_divide, Class::i32, low, -1) == low);
        CHECK(binary(Prim::mod, Class::i32, low, -1) == 0);
        CHECK(binary(Prim::floor_divide, Class::i32, 5, 0) == 0);
        CHECK(binary(Prim::mod, Class::i32, 5, 0) == 0);
        CHECK(binary(Prim::floor_divide, Class::i32, -7, 2) == -4);
        CHECK(binary(Prim::mod, Class::i32, -7, 2) == 1);
        CHECK(binary(Prim::mod, Class::i32, 7, -2) == -1);
        CHECK(binary(Prim::floor_divide, Class::i64, low64, int64_t{-1}) == low64);
        CHECK(binary(Prim::floor_divide, Class::u64, UINT64_MAX, uint64_t{0}) == 0);
        CHECK(binary(Prim::left_shift, Class::i32, 1, 32) == 0);
        CHECK(binary(Prim::right_shift, Class::u32, 0xffffffffu, 32u) == 0);
        CHECK(binary(Prim::right_shift, Class::i32, -8, 40) == -1);
        CHECK(binary(Prim::right_shift, Class::i32, -8, 1) == -4);
        CHECK(binary(Prim::power, Class::i32, 3, 4) == 81);
        CHECK(binary(Prim::power, Class::i32, 2, -1) == 0);
        CHECK(binary(Prim::power, Class::i64, int64_t{-1}, int64_t{-3}) == -1);
        CHECK(binary(Prim::multiply, Class::i64, int64_t{3} << 40, int64_t{1} << 20) == int64_t{3} << 60);
        const auto cast = [&]<class From, class To>(Class from, Class to, From a, To) {
            std::vector<From> in(37, a);
            std::vector<To> out(37);
            t.cast[static_cast<int>(from)][static_cast<int>(to)](out.data(), in.data(), nullptr, nullptr, nullptr, 37);
            CHECK(out[0] == out[36]);
            return out[36];
        };
        using C = Class;
        CHECK(cast(C::f32, C::i32, 3e9f, int32_t{}) == INT32_MAX);
        CHECK(cast(C::f32, C::i32, -3e9f, int32_t{}) == INT32_MIN);
        CHECK(cast(C::f32, C::i32, NAN, int32_t{}) == 0);
        CHECK(cast(C::f32, C::i32, -2.75f, int32_t{}) == -2);
        CHECK(cast(C::f32, C::u32, 3e9f, uint32_t{}) == 3000000000u);
        CHECK(cast(C::f32, C::u32, -1.0f, uint32_t{}) == 0);
        CHECK(cast(C::f32, C::i64, 1e19f, int64_t{}) == INT64_MAX);
        CHECK(cast(C::f32, C::i64, -INFINITY, int64_t{}) == INT64_MIN);
        CHECK(cast(C::f64, C::u64, 1e20, uint64_t{}) == UINT64_MAX);
        CHECK(cast(C::f64, C::u64, 1.5e19, uint64_t{}) == 15000000000000000000u);
        CHECK(cast(C::f64, C::i32, 2147483646.5, int32_t{}) == 2147483646);
        CHECK(cast(C::u64, C::f64, UINT64_MAX, double{}) == 0x1p64);
        CHECK(cast(C::i64, C::f32, int64_t{1} << 40, float{}) == 0x1p40f);
        CHECK(cast(C::u32, C::f32, 4000000000u, float{}) == 4e9f);
        CHECK(cast(C::f32, C::b8, NAN, uint8_t{}) == 1);
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("host definitions of erfinv and digamma") {
    for (double x = -5.5; x <= 5.5; x += 0.01)
        CHECK(std::fabs(host_eval(Prim::erfinv, std::erf(x)) - x) <= 1e-14 + 2e-16 * std::exp(x * x));
    CHECK(host_eval(Prim::erfinv, 1) == INFINITY);
    CHECK(std::isnan(host_eval(Prim::erfinv, 1.5)));
    CHECK(host_eval(Prim::erfinv, 1e-300) == doctest::Approx(0.88622692545275801e-300));
    CHECK(host_eval(Prim::digamma, 1) == doctest::Approx(-0.57721566490153286).epsilon(1e-14));
    CHECK(host_eval(Prim::digamma, 0.5) == doctest::Approx(-1.9635100260214235).epsilon(1e-14));
    CHECK(host_eval(Prim::digamma, -1.5) == doctest::Approx(0.70315664064524319).epsilon(1e-13));
    CHECK(host_eval(Prim::digamma, 100) == doctest::Approx(4.6001618527380874).epsilon(1e-14));
    CHECK(std::isnan(host_eval(Prim::digamma, -2)));
}
