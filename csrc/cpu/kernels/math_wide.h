// Elementary functions on float vectors that need double inside: sines, whose argument reduction cancels, and powers.
#pragma once

#include "cpu/kernels/math.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

// |n| < 2^51, without the 64-bit conversion older instruction sets lack.
[[gnu::always_inline]] inline vd small_to_double(vl n) {
    const vd magic = splat_d(0x1.8p52);
    return reinterpret_cast<vd>(n + reinterpret_cast<vl>(magic)) - magic;
}

// sin and cos, 2 ulp for |x| <= kTrigLimit: the argument is reduced in double, where pi/2 in two parts is exact enough.
constexpr float kTrigLimit = 1.0e6f;
struct Quadrant {
    vd r;
    vl q;
};
[[gnu::always_inline]] inline Quadrant reduce_trig(vd x) {
    constexpr double kMagic = 0x1.8p52;
    const vd shifted = x * 0x1.45f306dc9c883p-1 + kMagic;
    const vd n = shifted - kMagic;
    return {(x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a626331p-34, reinterpret_cast<vl>(shifted)};
}
[[gnu::always_inline]] inline vf trig_v(vf x, int shift) {  // shift 0: sin, 1: cos
    const Doubles d = widen(x);
    const Quadrant low = reduce_trig(d.low), high = reduce_trig(d.high);
    const vf r = narrow({low.r, high.r}), t = r * r;
    const vi quadrant = narrow_int(low.q, high.q) + shift;
    const vf sine = r + r * t * poly_terms(t, -0x1.555556p-3, 0x1.11110ep-7, -0x1.a013a2p-13, 0x1.6dbbeep-19);
    const vf cosine = (1.0f - 0.5f * t) + t * t * poly_terms(t, 0x1.555554p-5, -0x1.6c12cep-10, 0x1.9bd670p-16);
    const vf y = select((quadrant & 1) != 0, cosine, sine);
    const vf signed_y = as_float(as_int(y) ^ ((quadrant & 2) << 30));
    return shift == 0 ? select(x == 0.0f, x, signed_y) : signed_y;
}

// 1 ulp: logarithm and exponential in double.
[[gnu::always_inline]] inline vd log2_d(vd x) {  // normal positive x
    constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd, kBias = 1024;
    const vul bits = reinterpret_cast<vul>(x) - kSqrtHalf;
    const vl e = reinterpret_cast<vl>(((bits + (kBias << 52)) >> 52) - kBias);
    const vd m = reinterpret_cast<vd>((bits & 0xfffffffffffff) + kSqrtHalf);
    const vd s = (m - 1.0) / (m + 1.0);
    const vd p = poly_terms(s * s, 0x1.71547652b8252p+1, 0x1.ec709dc53ace3p-1, 0x1.2776c294d1dbap-1, 0x1.a61a2db52464ap-2,
                            0x1.47957ca53fbd6p-2, 0x1.21af101c073efp-2);
    return small_to_double(e) + s * p;
}
[[gnu::always_inline]] inline vd exp2_d(vd x) {  // |x| < 1000 or NaN
    constexpr double kMagic = 0x1.8p52;
    const vd shifted = x + kMagic;
    const vd r = x - (shifted - kMagic);
    const vl n = reinterpret_cast<vl>(shifted) - reinterpret_cast<vl>(splat_d(kMagic));
    const vd p = poly_terms(r, 0x1.ffffffffa6eedp-1, 0x1.62e42fef9cc3cp-1, 0x1.ebfbe0aa3a945p-3, 0x1.c6b08da71da60p-5,
                            0x1.3b29d88d75aa5p-7, 0x1.5d87757c238f2p-10, 0x1.446c9e668735ep-13, 0x1.00c0fb54e0f1cp-16);
    return p * reinterpret_cast<vd>((n + 1023) << 52);
}
[[gnu::always_inline]] inline vd pow_positive(vd a, vd b) {  // a: a float > 0, so normal as a double
    vd t = log2_d(a) * b;
    t = select(t > 300.0, splat_d(300.0), t);
    t = select(t < -300.0, splat_d(-300.0), t);
    return exp2_d(t);
}
// The cases of C's pow; `any_special` lanes (zero, infinite, NaN or negative base; infinite or NaN exponent) are redone by
// the C library, see transcendental.cpp.
[[gnu::always_inline]] inline vf pow_v(vf a, vf b) {
    const Doubles x = widen(a), y = widen(b);
    return narrow({pow_positive(x.low, y.low), pow_positive(x.high, y.high)});
}

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
