// The loop of Adam's update. With AVX-512 the square root and the division are estimates with one Newton step each: exact ones
// take longer than bringing the four arrays from the second-level cache.
#include <bit>
#include <cmath>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)

// Estimates serve numbers that are far from overflow and underflow: those whose bits are `span` from `low` at most. (As integers,
// negative numbers and NaNs are larger than all others.) A zero (of a gradient that was always 0) is common, and one of them: in
// a sum with an ordinary epsilon it is as good as kTiny.
constexpr float kTiny = 1e-30f, kHuge = 1e30f;
struct Plain {
    __m512i low, span;
    explicit Plain(float epsilon) {
        const auto bits = [](float x) { return std::bit_cast<int>(x); };
        const bool covers = epsilon >= 2e-8f && epsilon <= kHuge, small = epsilon >= 0 && epsilon < 2e-8f;
        low = _mm512_set1_epi32(covers ? 0 : small ? bits(kTiny) : -1);
        span = _mm512_set1_epi32(covers ? bits(kHuge) : small ? bits(kHuge) - bits(kTiny) : 0);
    }
};

// step / (sqrt(v) + epsilon), within two units in the last place.
[[gnu::always_inline]] inline __m512 quotient(__m512 step, __m512 v, __m512 epsilon, const Plain& plain) {
    const __m512i above = _mm512_sub_epi32(_mm512_castps_si512(v), plain.low), size = _mm512_castps_si512(_mm512_abs_ps(step));
    const __mmask16 in_range = _mm512_cmple_epu32_mask(above, plain.span);
    if (_mm512_mask_cmple_epu32_mask(in_range, size, _mm512_set1_epi32(std::bit_cast<int>(kHuge))) != 0xffff) [[unlikely]]
        return _mm512_div_ps(step, _mm512_add_ps(_mm512_sqrt_ps(v), epsilon));
    const __m512 root_of = _mm512_max_ps(v, _mm512_set1_ps(kTiny));
    const __m512 estimate = _mm512_rsqrt14_ps(root_of);
    __m512 root = _mm512_mul_ps(root_of, estimate);
    root = _mm512_fmadd_ps(_mm512_fnmadd_ps(root, root, root_of), _mm512_mul_ps(estimate, _mm512_set1_ps(0.5f)), root);
    const __m512 divisor = _mm512_add_ps(root, epsilon);
    __m512 inverse = _mm512_rcp14_ps(divisor);
    inverse = _mm512_mul_ps(inverse, _mm512_fnmadd_ps(divisor, inverse, _mm512_set1_ps(2.0f)));
    const __m512 result = _mm512_mul_ps(step, inverse);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(result, divisor, step), inverse, result);
}

void adam(const AdamRates& rates, int64_t n, const AdamIn& in, const AdamOut& out) {
    const auto rate_1 = _mm512_set1_ps(rates.rate_1), rate_2 = _mm512_set1_ps(rates.rate_2);
    const auto epsilon = _mm512_set1_ps(rates.epsilon), step_size = _mm512_set1_ps(rates.step_size);
    const Plain plain(rates.epsilon);
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = n - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n - i)) - 1);
        const __m512 g = _mm512_maskz_loadu_ps(lanes, in.gradient + i);
        const __m512 m0 = _mm512_maskz_loadu_ps(lanes, in.momentum + i), v0 = _mm512_maskz_loadu_ps(lanes, in.velocity + i);
        const __m512 m = _mm512_fmadd_ps(_mm512_sub_ps(g, m0), rate_1, m0);
        const __m512 v = _mm512_fmadd_ps(_mm512_fmsub_ps(g, g, v0), rate_2, v0);
        _mm512_mask_storeu_ps(out.momentum + i, lanes, m);
        _mm512_mask_storeu_ps(out.velocity + i, lanes, v);
        const __m512 variable = _mm512_maskz_loadu_ps(lanes, in.variable + i);
        const __m512 change = quotient(_mm512_mul_ps(m, step_size), v, epsilon, plain);
        _mm512_mask_storeu_ps(out.variable + i, lanes, _mm512_sub_ps(variable, change));
    }
}

#else

void adam(const AdamRates& rates, int64_t n, const AdamIn& in, const AdamOut& out) {
    const float rate_1 = rates.rate_1, rate_2 = rates.rate_2, epsilon = rates.epsilon, step_size = rates.step_size;
    const float *variable = in.variable, *momentum = in.momentum, *velocity = in.velocity, *gradient = in.gradient;
    float *new_variable = out.variable, *new_momentum = out.momentum, *new_velocity = out.velocity;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float g = gradient[i];
        const float m = momentum[i] + (g - momentum[i]) * rate_1;
        const float v = velocity[i] + (g * g - velocity[i]) * rate_2;
        new_momentum[i] = m;
        new_velocity[i] = v;
        new_variable[i] = variable[i] - m * step_size / (std::sqrt(v) + epsilon);
    }
}

#endif

}  // namespace

void fill_optimizer(OwnKernels& table) { table.adam = adam; }

}  // namespace fk::cpu::FK_ISA_NAMESPACE
