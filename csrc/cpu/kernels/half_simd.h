// A vector of floats from 16-bit floats in memory, and back: with the instructions for it where the set has them.
#pragma once

#include "cpu/kernels/own_types.h"
#include "cpu/kernels/simd.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

[[gnu::always_inline]] inline vf load_wide(const float* p) { return load<vf>(p); }
#if defined(__AVX512F__)
[[gnu::always_inline]] inline vf load_wide(const Bf16* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return reinterpret_cast<vf>(_mm512_slli_epi32(wide, 16));
}
[[gnu::always_inline]] inline vf load_wide(const F16* p) {
    return reinterpret_cast<vf>(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}
[[gnu::always_inline]] inline void store_narrow(F16* p, vf v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(reinterpret_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif defined(__AVX2__)
[[gnu::always_inline]] inline vf load_wide(const Bf16* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return reinterpret_cast<vf>(_mm256_slli_epi32(wide, 16));
}
[[gnu::always_inline]] inline vf load_wide(const F16* p) {
    return reinterpret_cast<vf>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
[[gnu::always_inline]] inline void store_narrow(F16* p, vf v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(reinterpret_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#else
template <class T>
[[gnu::always_inline]] inline vf load_wide(const T* p) {
    vf v;
    for (int i = 0; i < kLanes; ++i) v[i] = fk::cpu::widen<T>(p[i]);
    return v;
}
[[gnu::always_inline]] inline void store_narrow(F16* p, vf v) {
    for (int i = 0; i < kLanes; ++i) p[i] = fk::cpu::narrow<F16>(v[i]);
}
#endif
[[gnu::always_inline]] inline void store_narrow(float* p, vf v) { store(p, v); }
[[gnu::always_inline]] inline void store_narrow(Bf16* p, vf v) {
#if defined(__AVX512BF16__)
    const auto packed = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(v));
    __builtin_memcpy(p, &packed, sizeof packed);
#else
    for (int i = 0; i < kLanes; ++i) p[i] = fk::cpu::narrow<Bf16>(v[i]);
#endif
}

// The first n lanes, of kLanes at most, zeros behind them.
template <class T>
[[gnu::always_inline]] inline vf load_part(const T* p, int64_t n) {
    if (n == kLanes) return load_wide(p);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    const auto lanes = static_cast<__mmask16>((1u << n) - 1);
    if constexpr (std::is_same_v<T, float>) {
        return reinterpret_cast<vf>(_mm512_maskz_loadu_ps(lanes, p));
    } else {
        T part[kLanes];
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(part), _mm256_maskz_loadu_epi16(lanes, p));
        return load_wide(part);
    }
#else
    T part[kLanes] = {};
    for (int64_t i = 0; i < n; ++i) part[i] = p[i];
    return load_wide(part);
#endif
}
template <class T>
[[gnu::always_inline]] inline void store_part(T* p, vf v, int64_t n) {
    if (n == kLanes) return store_narrow(p, v);
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
        return;
    }
#endif
    T part[kLanes];
    store_narrow(part, v);
    for (int64_t i = 0; i < n; ++i) p[i] = part[i];
}

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
