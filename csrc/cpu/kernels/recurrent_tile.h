// The small matrix product inside recurrent steps, and vectors with a tail. Operand B is packed in panels of whole vectors; sums
// start from what C holds. Each row is computed in the same order whatever rows are computed with it.
#pragma once

#include "cpu/kernels/half_simd.h"
#include "cpu/kernels/math.h"
#include "cpu/kernels/recurrent.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr int kMaxVectors = 4;  // of a panel

// exp(r) - 1 and 2^n where x = n ln 2 + r, for |x| < 88: the rounding addition leaves n + 127 in the low bits, whence it is
// shifted to the exponent.
struct Power {
    vf rest, scale;
};
[[gnu::always_inline]] inline Power split_power(vf x) {
    constexpr float kMagic = 0x1.8p23f + 127;
    const vf shifted = x * 0x1.715476p+0f + kMagic, n = shifted - kMagic;
    return {expm1_reduced((x - n * kLn2High) - n * kLn2Low), as_float(as_int(shifted) << 23)};
}
// The activations of gates, 4 ulp. A gate beyond +-87 counts as closed at 1e-38; that takes a third fewer instructions than the
// functions of math.h, in loops that have little else to do.
[[gnu::always_inline]] inline vf gate_sigmoid(vf x) {
    const Power p = split_power(clamp_v(-x, -87.0f, 87.0f));
    return 1.0f / ((p.scale + 1.0f) + p.scale * p.rest);
}
[[gnu::always_inline]] inline vf gate_tanh(vf x) {
    const vf y = clamp_v(x, -10.0f, 10.0f);
    const Power p = split_power(y + y);
    const vf t = p.scale * p.rest + (p.scale - 1.0f);  // exact for small x, where the scale is 1
    return t / (t + 2.0f);
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
