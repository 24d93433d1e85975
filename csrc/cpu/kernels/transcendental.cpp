// Elementary functions of float: vector polynomials for the ones models use, the C library per element for the rest.
#include "cpu/kernels/loops.h"
#include "cpu/kernels/math_wide.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

template <vf (*f)(vf)>
void vector_map(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    map_vectors(at<float>(dst), at<float>(a), n, [](vf x) { return f(x); });
}

template <int shift>
void trig_map(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    map_vectors(at<float>(dst), at<float>(a), n, [](vf x) {
        vf y = trig_v(x, shift);
        const vi far = !(abs_v(x) <= kTrigLimit);
        if (any_lane(far)) [[unlikely]]
            for (int i = 0; i < kLanes; ++i)
                if (far[i]) y[i] = shift == 0 ? __builtin_sinf(x[i]) : __builtin_cosf(x[i]);
        return y;
    });
}

[[gnu::always_inline]] inline vf power(vf a, vf b) {
    vf y = pow_v(a, b);
    const vi special = ~((a > 0.0f) & (a < kInfinity) & (abs_v(b) < kInfinity));
    if (any_lane(special)) [[unlikely]]
        for (int i = 0; i < kLanes; ++i)
            if (special[i]) y[i] = __builtin_powf(a[i], b[i]);
    return y;
}
template <Form2 F>
void power_vectors(float* d, const float* x, const float* y, int64_t n) {
    const vf sx = splat(x[0]), sy = splat(y[0]);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(d + i, power(F == sv ? sx : load<vf>(x + i), F == vs ? sy : load<vf>(y + i)));
    if (i < n) {
        const auto rest = static_cast<size_t>(n - i) * sizeof(float);
        vf u = F == sv ? sx : splat(1.0f), v = F == vs ? sy : splat(1.0f);
        if (F != sv) __builtin_memcpy(&u, x + i, rest);
        if (F != vs) __builtin_memcpy(&v, y + i, rest);
        u = power(u, v);
        __builtin_memcpy(d + i, &u, rest);
    }
}
template <class F>
[[gnu::always_inline]] inline void each(float* d, const float* x, int64_t n, F f) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = f(x[i]);
}
template <Form2 F>
void power_map(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    float* d = at<float>(dst);
    const float* x = at<float>(a);
    const float* y = at<float>(b);
    if constexpr (F == vs) {  // the exponents models use
        if (y[0] == 2.0f) return each(d, x, n, [](float v) { return v * v; });
        if (y[0] == 3.0f) return each(d, x, n, [](float v) { return v * v * v; });
        if (y[0] == 1.0f) return each(d, x, n, [](float v) { return v; });
        if (y[0] == -1.0f) return each(d, x, n, [](float v) { return 1.0f / v; });
        if (y[0] == 0.5f)  // pow(-0, 0.5) is 0 and pow(-inf, 0.5) is inf
            return each(d, x, n, [](float v) { return v == -kInfinity ? kInfinity : __builtin_sqrtf(v + 0.0f); });
    }
    power_vectors<F>(d, x, y, n);
}

// One element at a time through the C library.
template <float (*f)(float)>
void library_map(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    for (int64_t i = 0; i < n; ++i) at<float>(dst)[i] = f(at<float>(a)[i]);
}
template <float (*f)(float, float)>
void library_map2(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    for (int64_t i = 0; i < n; ++i) at<float>(dst)[i] = f(at<float>(a)[i], at<float>(b)[i]);
}

float float_tan(float a) { return __builtin_tanf(a); }
float float_asin(float a) { return __builtin_asinf(a); }
float float_acos(float a) { return __builtin_acosf(a); }
float float_atan(float a) { return __builtin_atanf(a); }
float float_sinh(float a) { return __builtin_sinhf(a); }
float float_cosh(float a) { return __builtin_coshf(a); }
float float_asinh(float a) { return __builtin_asinhf(a); }
float float_acosh(float a) { return __builtin_acoshf(a); }
float float_atanh(float a) { return __builtin_atanhf(a); }
float float_lgamma(float a) { return __builtin_lgammaf(a); }
float float_erfinv(float a) { return static_cast<float>(erfinv(static_cast<double>(a))); }
float float_digamma(float a) { return static_cast<float>(digamma(static_cast<double>(a))); }
float float_atan2(float a, float b) { return __builtin_atan2f(a, b); }
float float_mod(float a, float b) {  // the sign of b
    const float r = __builtin_fmodf(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

}  // namespace

void fill_transcendental(KernelTable& t) {
    constexpr int f = id(Class::f32);
    auto unary = [&](Prim p, TileFn fn) { t.unary[id(p)][f] = fn; };
    unary(Prim::exp, vector_map<exp_v>);
    unary(Prim::expm1, vector_map<expm1_v>);
    unary(Prim::log, vector_map<log_v>);
    unary(Prim::log2, vector_map<log2_v>);
    unary(Prim::log10, vector_map<log10_v>);
    unary(Prim::log1p, vector_map<log1p_v>);
    unary(Prim::tanh, vector_map<tanh_v>);
    unary(Prim::sigmoid, vector_map<sigmoid_v>);
    unary(Prim::erf, vector_map<erf_v>);
    unary(Prim::sin, trig_map<0>);
    unary(Prim::cos, trig_map<1>);
    unary(Prim::tan, library_map<float_tan>);
    unary(Prim::asin, library_map<float_asin>);
    unary(Prim::acos, library_map<float_acos>);
    unary(Prim::atan, library_map<float_atan>);
    unary(Prim::sinh, library_map<float_sinh>);
    unary(Prim::cosh, library_map<float_cosh>);
    unary(Prim::asinh, library_map<float_asinh>);
    unary(Prim::acosh, library_map<float_acosh>);
    unary(Prim::atanh, library_map<float_atanh>);
    unary(Prim::erfinv, library_map<float_erfinv>);
    unary(Prim::lgamma, library_map<float_lgamma>);
    unary(Prim::digamma, library_map<float_digamma>);
    t.binary[id(Prim::power)][f][vv] = power_map<vv>;
    t.binary[id(Prim::power)][f][vs] = power_map<vs>;
    t.binary[id(Prim::power)][f][sv] = power_map<sv>;
    t.binary[id(Prim::atan2)][f][vv] = library_map2<float_atan2>;
    t.binary[id(Prim::mod)][f][vv] = library_map2<float_mod>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
