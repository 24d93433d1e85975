// Transposes blocks of floats, stored as such or in 16 bits, in registers where the instruction set has enough of them.
#pragma once

#include "cpu/kernels/half_simd.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

// Transposes 16 x 16 values: rows `from` apart become columns, rows `to` apart, as floats.
template <class T>
[[gnu::always_inline]] inline void transpose_16(const T* src, int64_t from, float* dst, int64_t to) {
#if defined(__AVX512F__)
    __m512 r[16], t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = reinterpret_cast<__m512>(load_wide(src + i * from));
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        const auto low = [](__m512 a, __m512 b) {
            return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
        };
        const auto high = [](__m512 a, __m512 b) {
            return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
        };
        r[i] = low(t[i], t[i + 2]);
        r[i + 1] = high(t[i], t[i + 2]);
        r[i + 2] = low(t[i + 1], t[i + 3]);
        r[i + 3] = high(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        _mm512_storeu_ps(dst + i * to, _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88));
        _mm512_storeu_ps(dst + (i + 4) * to, _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88));
        _mm512_storeu_ps(dst + (i + 8) * to, _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd));
        _mm512_storeu_ps(dst + (i + 12) * to, _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd));
    }
#else
    for (int64_t i = 0; i < 16; ++i)
        for (int64_t j = 0; j < 16; ++j) dst[j * to + i] = fk::cpu::widen<T>(src[i * from + j]);
#endif
}

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
