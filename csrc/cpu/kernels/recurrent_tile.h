// The small matrix product inside recurrent steps, and vectors with a tail. Operand B is packed in panels of whole vectors; sums
// start from what C holds. Each row is computed in the same order whatever rows are computed with it.
#pragma once

#include "cpu/kernels/math.h"
#include "cpu/kernels/recurrent.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr int kMaxVectors = 4;  // of a panel

// The first `width` lanes, zeros behind them.
[[gnu::always_inline]] inline vf load_part(const float* p, int64_t width) {
    if (width == kLanes) return load<vf>(p);
#if defined(__AVX512F__)
    return reinterpret_cast<vf>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << width) - 1), p));
#else
    vf v{};
    for (int64_t i = 0; i < width; ++i) v[i] = p[i];
    return v;
#endif
}
[[gnu::always_inline]] inline void store_part(float* p, vf v, int64_t width) {
    if (width == kLanes) return store(p, v);
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << width) - 1), reinterpret_cast<__m512>(v));
#else
    for (int64_t i = 0; i < width; ++i) p[i] = v[i];
#endif
}

// c[R, V vectors] += a[R, k] b[k, V vectors]
template <int R, int V>
void multiply_rows(const float* a, int64_t lda, const float* b, int64_t depth, float* c, int64_t ldc) {
    vf sum[R][V];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) sum[i][j] = load<vf>(c + i * ldc + j * kLanes);
    for (int64_t k = 0; k < depth; ++k, b += V * kLanes) {
        vf row[V];
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) row[j] = load<vf>(b + j * kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
            const float x = a[i * lda + k];
#pragma GCC unroll 4
            for (int j = 0; j < V; ++j) sum[i][j] += x * row[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) store(c + i * ldc + j * kLanes, sum[i][j]);
}

template <int R, int V>
[[gnu::always_inline]] inline void multiply_rest(int64_t rows, const float* a, int64_t lda, const float* b, int64_t depth,
                                                 float* c, int64_t ldc) {
    if constexpr (R > 0) {
        if (rows == R) return multiply_rows<R, V>(a, lda, b, depth, c, ldc);
        multiply_rest<R - 1, V>(rows, a, lda, b, depth, c, ldc);
    }
}

// As many rows at a time as leave registers for a panel's row.
#if defined(__AVX512F__)
constexpr int kTileRows[kMaxVectors + 1] = {0, 12, 8, 8, 6};
#else
constexpr int kTileRows[kMaxVectors + 1] = {0, 8, 4, 3, 2};
#endif

template <int V>
void multiply(int64_t rows, const float* a, int64_t lda, const float* b, int64_t depth, float* c, int64_t ldc) {
    constexpr int R = kTileRows[V];
    for (; rows >= R; rows -= R, a += R * lda, c += R * ldc) multiply_rows<R, V>(a, lda, b, depth, c, ldc);
    multiply_rest<R - 1, V>(rows, a, lda, b, depth, c, ldc);
}

inline void multiply_panel(int vectors, int64_t rows, const float* a, int64_t lda, const float* b, int64_t depth, float* c,
                           int64_t ldc) {
    switch (vectors) {
        case 4:
            return multiply<4>(rows, a, lda, b, depth, c, ldc);
        case 3:
            return multiply<3>(rows, a, lda, b, depth, c, ldc);
        case 2:
            return multiply<2>(rows, a, lda, b, depth, c, ldc);
        default:
            return multiply<1>(rows, a, lda, b, depth, c, ldc);
    }
}

[[gnu::always_inline]] inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The steps in the order in which they are computed.
struct Clock {
    int64_t steps;
    bool reverse;
    [[nodiscard]] int64_t time(int64_t step) const { return reverse ? steps - 1 - step : step; }
};

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
