// The loop of Adam's update. With AVX-512 the square root and the division are estimates with one Newton step each: exact ones
// take longer than bringing the four arrays from the second-level cache.
#include <cmath>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)

// step / (sqrt(v) + epsilon), within two units in the last place.
[[gnu::always_inline]] inline __m512 quotient(__m512 step, __m512 v, __m512 epsilon) {
    const auto least = _mm512_set1_ps(1e-30f), most = _mm512_set1_ps(1e30f);
    const __mmask16 positive = _mm512_cmp_ps_mask(v, least, _CMP_GE_OQ);
    const __m512 estimate = _mm512_maskz_rsqrt14_ps(positive, v);
    __m512 root = _mm512_mul_ps(v, estimate);
    root = _mm512_fmadd_ps(_mm512_fnmadd_ps(root, root, v), _mm512_mul_ps(estimate, _mm512_set1_ps(0.5f)), root);
    const __m512 divisor = _mm512_add_ps(root, epsilon);
    const __mmask16 zero = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_EQ_OQ);
    // Estimates serve numbers that are far from overflow and underflow; a zero `v` (a gradient that was always 0) is common.
    const __mmask16 plain = static_cast<__mmask16>(positive | zero) & _mm512_cmp_ps_mask(divisor, least, _CMP_GE_OQ) &
                            _mm512_cmp_ps_mask(divisor, most, _CMP_LE_OQ) &
                            _mm512_cmp_ps_mask(_mm512_abs_ps(step), most, _CMP_LE_OQ);
    if (plain != 0xffff) [[unlikely]]
        return _mm512_div_ps(step, _mm512_add_ps(_mm512_sqrt_ps(v), epsilon));
    __m512 inverse = _mm512_rcp14_ps(divisor);
    inverse = _mm512_mul_ps(inverse, _mm512_fnmadd_ps(divisor, inverse, _mm512_set1_ps(2.0f)));
    const __m512 result = _mm512_mul_ps(step, inverse);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(result, divisor, step), inverse, result);
}

void adam(const AdamRates& rates, int64_t n, const AdamIn& in, const AdamOut& out) {
    const auto rate_1 = _mm512_set1_ps(rates.rate_1), rate_2 = _mm512_set1_ps(rates.rate_2);
    const auto epsilon = _mm512_set1_ps(rates.epsilon), step_size = _mm512_set1_ps(rates.step_size);
    for (int64_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = n - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n - i)) - 1);
        const __m512 g = _mm512_maskz_loadu_ps(lanes, in.gradient + i);
        const __m512 m0 = _mm512_maskz_loadu_ps(lanes, in.momentum + i), v0 = _mm512_maskz_loadu_ps(lanes, in.velocity + i);
        const __m512 m = _mm512_fmadd_ps(_mm512_sub_ps(g, m0), rate_1, m0);
        const __m512 v = _mm512_fmadd_ps(_mm512_fmsub_ps(g, g, v0), rate_2, v0);
        _mm512_mask_storeu_ps(out.momentum + i, lanes, m);
        _mm512_mask_storeu_ps(out.velocity + i, lanes, v);
        const __m512 variable = _mm512_maskz_loadu_ps(lanes, in.variable + i);
        const __m512 change = quotient(_mm512_mul_ps(m, step_size), v, epsilon);
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
