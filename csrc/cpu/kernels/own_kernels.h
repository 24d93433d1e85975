// The inner loops of the engine's own kernels, as a table of functions that exists once per instruction set. The
// sources kernels/own_*.cpp are compiled for each of them with FK_ISA_NAMESPACE naming the namespace; `own_kernels()` gives the
// table of this machine. They use raw pointers and no library templates (see own_types.h for why).
#pragma once

#include <cstddef>

#include "cpu/kernels/own_types.h"

namespace fk::cpu {

// c[m,n] (row stride ldc) = a * b, or += when `accumulate`. Any strides. `pack` has gemm_pack_elements() elements.
template <class T>
struct GemmArgs {
    const T* a;
    int64_t a_row, a_col;
    const T* b;
    int64_t b_row, b_col;
    T* c;
    int64_t ldc;
    int64_t m, n, k;
    bool accumulate;
    T* pack;
};
inline constexpr int64_t kGemmDepth = 384;    // values of k packed at a time
inline constexpr int64_t kGemmMaxPanel = 64;  // columns of a packed panel, at most
inline constexpr int64_t gemm_pack_elements() { return kGemmDepth * kGemmMaxPanel; }

// The same for operands stored as float or in 16 bits, computed in float, with a bias (one float per column) and relu:
// kernels/own_mixed_gemm.cpp. `accumulate` is for a float result without these. `pack` has kMixedPackElements floats.
enum class Stored : uint8_t { f32, bf16, f16 };
struct MixedOperand {
    const void* data;
    Stored type;
    int64_t row, col;  // strides in elements
};
// Values of `a` made on demand: lines [line, line + lines) from value `from` on, n of each, `stride` floats apart in dst. A line
// is a row of `a`, or with `columns` one of its columns (all rows for one k).
struct MixedSource {
    void (*fill)(const void* context, int64_t line, int64_t lines, int64_t from, int64_t n, float* dst, int64_t stride);
    const void* context;
    bool columns;
};
struct MixedGemmArgs {
    MixedOperand a, b;
    const MixedSource* source;  // takes the place of a; may be null
    int64_t b_period,
        b_jump;  // 0, or rows of b that lie b.row apart; each such group begins b_jump elements after the one before
    void* c;
    Stored c_type;
    int64_t ldc;
    int64_t m, n, k;
    bool accumulate;
    const float* bias;
    bool relu;
    float* pack;
};
inline constexpr int64_t kMixedDepth = 256, kMixedRows = 64;  // of a, packed at a time
inline constexpr int64_t kMixedColumns = 576;                 // of b, at most
inline constexpr int64_t kMixedPanelA = kMixedRows * (kMixedDepth + 32), kMixedPanelB = kMixedColumns * kMixedDepth;
inline constexpr int64_t kMixedSumRows = 256;  // of results that wait for the next values of k
inline constexpr int64_t kMixedPackElements = kMixedPanelA + kMixedPanelB + kMixedSumRows * kMixedColumns;

// One window of a pooling, in elements of the channels-last tensor: the clipped offsets of its taps in window order.
struct PoolWindow {
    const int64_t* taps;
    int64_t count;
};

template <class T>
struct PoolKernels {
    // y[0, channels) from x + taps[i]
    void (*max)(const T* x, PoolWindow window, int64_t channels, T* y);
    void (*avg)(const T* x, PoolWindow window, int64_t channels, T* y);
    // dx + taps[i] += dy where that tap is the first equal to y
    void (*max_grad)(const T* x, const T* y, const T* dy, PoolWindow window, int64_t channels, Compute<T>* dx);
    // out[0, channels) = what dd + taps[i] holds where that tap of x is the first equal to y
    void (*max_select)(const T* x, const T* y, const T* dd, PoolWindow window, int64_t channels, T* out);
    // dx + taps[i] += dy / count
    void (*avg_grad)(const T* dy, PoolWindow window, int64_t channels, Compute<T>* dx);
};

// Loops over rows of a contiguous last axis (float and double; 16-bit rows are widened first).
template <class T>
struct RowKernels {
    void (*gemm)(const GemmArgs<T>& args);
    void (*softmax)(const T* x, int64_t rows, int64_t n, bool log, T* y);
    // n values `stride` apart for each of `width` neighbouring columns
    void (*softmax_columns)(const T* x, int64_t n, int64_t stride, int64_t width, bool log, T* y);
    T (*sparse_cross_entropy)(const T* x, int64_t n, int64_t label);
    void (*sparse_cross_entropy_grad)(const T* x, int64_t n, int64_t label, T dy, T* dx);
    T (*cross_entropy)(const T* x, const T* targets, int64_t n);
    void (*cross_entropy_grad)(const T* x, const T* targets, int64_t n, T dy, T* dx);
    int64_t (*first_largest)(const T* x, int64_t n);  // n >= 1; the first NaN counts as both
    int64_t (*first_smallest)(const T* x, int64_t n);
    void (*layer_norm)(const T* x, const T* gamma, const T* beta, int64_t n, T epsilon, T* y);
    // dgamma and dbeta are added to
    void (*layer_norm_grad)(const T* x, const T* gamma, const T* dy, int64_t n, T epsilon, T* dx, T* dgamma, T* dbeta);
    // adds the rows of a block to sum[n], and (second) the squares of x - mean to sum[n]
    void (*column_sum)(const T* x, int64_t rows, int64_t n, T* sum);
    void (*column_square_sum)(const T* x, int64_t rows, int64_t n, const T* mean, T* sum);
    // y = (x - mean) * scale + shift, per column
    void (*column_affine)(const T* x, int64_t rows, int64_t n, const T* mean, const T* scale, const T* shift, T* y);
    // sum_dy += dy, sum_dy_x += dy * (x - mean)
    void (*column_norm_sums)(const T* x, const T* dy, int64_t rows, int64_t n, const T* mean, T* sum_dy, T* sum_dy_x);
    // dx = dy * a + (x - mean) * b + c
    void (*column_norm_grad)(const T* x, const T* dy, int64_t rows, int64_t n, const T* mean, const T* a, const T* b, const T* c,
                             T* dx);
};

struct OwnKernels {
    RowKernels<float> rows_f32;
    RowKernels<double> rows_f64;
    PoolKernels<float> pool_f32;
    PoolKernels<double> pool_f64;
    PoolKernels<Bf16> pool_bf16;
    PoolKernels<F16> pool_f16;
    void (*mixed_gemm)(const MixedGemmArgs& args);
    void (*widen_bf16)(const Bf16* x, int64_t n, float* y);
    void (*widen_f16)(const F16* x, int64_t n, float* y);
    void (*narrow_bf16)(const float* x, int64_t n, Bf16* y);
    void (*narrow_f16)(const float* x, int64_t n, F16* y);
};

[[nodiscard]] const OwnKernels& own_kernels();

template <class T>
[[nodiscard]] inline const RowKernels<T>& row_kernels() {
    if constexpr (std::is_same_v<T, double>)
        return own_kernels().rows_f64;
    else
        return own_kernels().rows_f32;
}
template <class T>
[[nodiscard]] inline const PoolKernels<T>& pool_kernels() {
    if constexpr (std::is_same_v<T, double>)
        return own_kernels().pool_f64;
    else if constexpr (std::is_same_v<T, Bf16>)
        return own_kernels().pool_bf16;
    else if constexpr (std::is_same_v<T, F16>)
        return own_kernels().pool_f16;
    else
        return own_kernels().pool_f32;
}

}  // namespace fk::cpu
