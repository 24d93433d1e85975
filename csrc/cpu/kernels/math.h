// Elementary functions on float vectors. Polynomials are near-minimax fits made for these intervals; the bounds in the
// comments are in ulps over all floats and hold on every instruction set, with fused multiply-adds or without.
#pragma once

#include "cpu/kernels/simd.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr float kLn2High = 0x1.63p-1f, kLn2Low = -0x1.bd0106p-13f;  // the high part leaves room to multiply by an exponent
constexpr float kInfinity = __builtin_inff();

// Horner's rule, highest coefficient last.
[[gnu::always_inline]] inline vf constant_like(vf, double c) { return splat(static_cast<float>(c)); }
[[gnu::always_inline]] inline vd constant_like(vd, double c) { return splat_d(c); }
template <class V, class... Rest>
[[gnu::always_inline]] inline V poly_terms(V x, double c0, Rest... rest) {
    if constexpr (sizeof...(Rest) == 0)
        return constant_like(x, c0);
    else
        return poly_terms(x, rest...) * x + constant_like(x, c0);
}

// exp(r) - 1 for |r| <= ln(2)/2.
template <class V>
[[gnu::always_inline]] inline V expm1_reduced(V r) {
    const V p = poly_terms(r, 0x1.0p-1, 0x1.555556p-3, 0x1.5554e8p-5, 0x1.1110ep-7, 0x1.6d44dep-10, 0x1.a1267ap-13);
    return r * r * p + r;
}

struct Reduced {
    vf r;
    Rounded n;
};
[[gnu::always_inline]] inline Rounded exponent_of(vf x) { return round_small(x * 0x1.715476p+0f); }
[[gnu::always_inline]] inline Reduced reduce_exp(vf x) {  // x = n ln 2 + r
    const Rounded n = exponent_of(x);
    return {(x - n.value * kLn2High) - n.value * kLn2Low, n};
}
[[gnu::always_inline]] inline vf pow2(vi n) { return as_float((n + 127) << 23); }  // -127 < n < 128
[[gnu::always_inline]] inline vf clamp_v(vf x, float low, float high) {            // NaN stays: it is the second operand
#if defined(__AVX512F__)
    x = reinterpret_cast<vf>(_mm512_max_ps(_mm512_set1_ps(low), reinterpret_cast<__m512>(x)));
    return reinterpret_cast<vf>(_mm512_min_ps(_mm512_set1_ps(high), reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
    x = reinterpret_cast<vf>(_mm256_max_ps(_mm256_set1_ps(low), reinterpret_cast<__m256>(x)));
    return reinterpret_cast<vf>(_mm256_min_ps(_mm256_set1_ps(high), reinterpret_cast<__m256>(x)));
#else
    x = select(x < low, splat(low), x);
    return select(x > high, splat(high), x);
#endif
}

// x where it is larger, otherwise y.
[[gnu::always_inline]] inline vf larger(vf x, vf y) {
#if defined(__AVX512F__)
    return reinterpret_cast<vf>(_mm512_max_ps(reinterpret_cast<__m512>(x), reinterpret_cast<__m512>(y)));
#elif defined(__AVX2__)
    return reinterpret_cast<vf>(_mm256_max_ps(reinterpret_cast<__m256>(x), reinterpret_cast<__m256>(y)));
#else
    return select(x > y, x, y);
#endif
}

// x 2^n with one rounding, also where the result underflows gradually: in two steps the first of which is exact.
[[gnu::always_inline]] inline vf scale(vf x, Rounded n) {
#if defined(__AVX512F__)
    return reinterpret_cast<vf>(_mm512_scalef_ps(reinterpret_cast<__m512>(x), reinterpret_cast<__m512>(n.value)));
#else
    const vi half = n.integer >> 1;
    return x * pow2(half) * pow2(n.integer - half);
#endif
}

[[gnu::always_inline]] inline vf clamp_for_exp(vf x) { return clamp_v(x, -104.0f, 89.0f); }
// 1 ulp.
[[gnu::always_inline]] inline vf exp_v(vf x) {
    const Reduced e = reduce_exp(clamp_for_exp(x));
    return scale(expm1_reduced(e.r) + 1.0f, e.n);
}

// 2 ulp.
[[gnu::always_inline]] inline vf expm1_v(vf x) {
    const Reduced e = reduce_exp(clamp_v(x, -20.0f, 89.0f));
    const vf scale = pow2(e.n.integer - 1), p = expm1_reduced(e.r);
    const vf big = (scale * p + (scale - 0.5f)) * 2.0f;
    return select(e.n.integer == 0, select(x == 0.0f, x, p), big);
}

// 3 ulp.
[[gnu::always_inline]] inline vf tanh_v(vf x) {
    const vf m = abs_v(x);
    const vf t = expm1_v(2.0f * select(m > 10.0f, splat(10.0f), m));
    return copysign_v(t / (t + 2.0f), x);
}

// 3 ulp; the exponential of -|x| never overflows.
[[gnu::always_inline]] inline vf sigmoid_v(vf x) {
    const vf e = exp_v(-abs_v(x));
    return select(x < 0.0f, e, splat(1.0f)) / (e + 1.0f);
}

// x = 2^e m with sqrt(1/2) <= m < sqrt(2), for normal positive x; f = m - 1.
struct Split {
    vf e, f;
};
[[gnu::always_inline]] inline Split split_exponent(vf x) {
    constexpr uint32_t kSqrtHalf = 0x3f3504f3;
    const vu bits = reinterpret_cast<vu>(x) - kSqrtHalf;
    return {to_float(reinterpret_cast<vi>(bits) >> 23), reinterpret_cast<vf>((bits & 0x7fffff) + kSqrtHalf) - 1.0f};
}
// log(1 + f) - f + f^2 / 2
[[gnu::always_inline]] inline vf log_tail(vf f) {
    return f * f * f *
           poly_terms(f, 0x1.555554p-2, -0x1.fffffcp-3, 0x1.999d5cp-3, -0x1.555b5p-3, 0x1.23d1d6p-3, -0x1.fcf30ep-4,
                      0x1.dea656p-4, -0x1.d6453cp-4, 0x1.1d9828p-4);
}
struct Positive {  // x made normal, and what that added to the exponent
    vf x, e;
};
[[gnu::always_inline]] inline Positive normalize(vf x) {
    const auto tiny = x < 0x1p-126f;
    return {select(tiny, x * 0x1p23f, x), select(tiny, splat(-23.0f), vf{})};
}
// What every logarithm gives outside (0, inf), where `point` is the argument at which it is -inf.
[[gnu::always_inline]] inline vf log_edges(vf x, float point, vf y) {
    y = select(x < kInfinity, y, x);  // inf and NaN
    y = select(x == point, splat(-kInfinity), y);
    return select(x < point, splat(__builtin_nanf("")), y);
}

// 2 ulp.
[[gnu::always_inline]] inline vf log_v(vf x) {
    const Positive p = normalize(x);
    const Split s = split_exponent(p.x);
    const vf e = s.e + p.e;
    const vf tail = log_tail(s.f) + e * kLn2Low - 0.5f * (s.f * s.f);
    return log_edges(x, 0.0f, (s.f + tail) + e * kLn2High);
}
// 3 ulp. `kHigh` + `kLow` is log2 in that base, kHigh with few bits.
[[gnu::always_inline]] inline vf log_base(vf x, float per_e, float high, float low) {
    const Positive p = normalize(x);
    const Split s = split_exponent(p.x);
    const vf e = s.e + p.e;
    const vf log = s.f + (log_tail(s.f) - 0.5f * (s.f * s.f));
    return log_edges(x, 0.0f, log * per_e + e * low + e * high);
}
[[gnu::always_inline]] inline vf log2_v(vf x) { return log_base(x, 0x1.715476p+0f, 1.0f, 0.0f); }
[[gnu::always_inline]] inline vf log10_v(vf x) { return log_base(x, 0x1.bcb7b2p-2f, 0x1.344p-2f, 0x1.3509f8p-18f); }

// 2 ulp: what rounding 1 + x lost goes back into the reduced argument.
[[gnu::always_inline]] inline vf log1p_v(vf x) {
    const vf u = x + 1.0f;
    const vf lost = select(x > 1.0f, 1.0f - (u - x), x - (u - 1.0f));
    const Split s = split_exponent(u);
    const vi e = __builtin_convertvector(s.e, vi);
    const vf scale = as_float((127 - select(e > 126, vi{} + 126, e)) << 23);
    const vf f = s.f + select(x < 0x1p60f, lost * scale, vf{});
    const vf tail = log_tail(f) + s.e * kLn2Low - 0.5f * (f * f);
    const vf y = log_edges(x, -1.0f, (f + tail) + s.e * kLn2High);
    return select(x == 0.0f, x, y);
}

// 2 ulp.
[[gnu::always_inline]] inline vf erf_v(vf x) {
    const vf a = abs_v(x), t = x * x;
    const vf small = x + x * poly_terms(t, 0x1.06eba8p-3, -0x1.81273ep-2, 0x1.ce2d1p-4, -0x1.b7fabap-6, 0x1.541270p-8,
                                        -0x1.a45088p-11, 0x1.4a569p-14);
    const vf c = select(a > 4.0f, splat(4.0f), a);
    const vf q = poly_terms(c, -0x1.b48d86p-12, 0x1.2173eep+0, 0x1.430c46p-1, 0x1.c6e1a0p-4, -0x1.bbffa4p-6, 0x1.4befb6p-8,
                            -0x1.679370p-11, 0x1.054c58p-14, -0x1.bdd436p-19, 0x1.45ac78p-24);
    const vf large = copysign_v(1.0f - exp_v(-q), x);
    return select(a < 1.0f, small, select(x == x, large, x));
}

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
