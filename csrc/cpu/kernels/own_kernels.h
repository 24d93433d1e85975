// The inner loops of the engine's own kernels, as a table of functions that exists once per instruction set. The
// sources kernels/own_*.cpp are compiled for each of them with FK_ISA_NAMESPACE naming the namespace; `own_kernels()` gives the
// table of this machine. They use raw pointers and no library templates (see own_types.h for why).
#pragma once

#include <cstddef>

#include "cpu/kernels/gemm_args.h"
#include "cpu/kernels/own_types.h"
#include "cpu/kernels/pool.h"
#include "cpu/kernels/recurrent.h"
#include "cpu/kernels/winograd.h"

namespace fk::cpu {

// Where a gradient passes the activation behind a normalisation: low < (x - mean) * scale + shift, and that not >= high.
template <class T>
struct OpenRange {
    const T *scale, *shift;  // per column
    T low, high;
};

// Means and sums of squared deviations of columns, made block by block; the rest is scratch that stays between the blocks.
template <class T>
struct ColumnMoments {
    double *mean, *squares;
    T *sum, *sum_squares, *shift;
};

// What a training step makes of a row of logits. `dx` may be the logits.
template <class T>
struct LossStep {
    T dy;
    T* dx;
    T* sums;  // dx is added to them
    T* loss;
    int32_t* best;  // as by arg_extreme
};

// Loops over rows of a contiguous last axis (float and double; 16-bit rows are widened first).
template <class T>
struct RowKernels {
    void (*gemm)(const GemmArgs<T>& args);
    // One block of `b` for products with these strides, n and k; `out` is that of all blocks.
    void (*pack_b)(const GemmArgs<T>& args, int64_t block, T* out);
    // c[r, :] = act(c[r, :] + bias); a null bias adds nothing. Row stride ldc.
    void (*epilogue)(T* c, int64_t rows, int64_t n, int64_t ldc, const T* bias, Act act);
    // What a product does to its result, for the whole of it.
    void (*finish)(T* c, int64_t rows, int64_t n, int64_t ldc, const Ending<T>& ending);
    void (*softmax)(const T* x, int64_t rows, int64_t n, bool log, T* y);
    // n values `stride` apart for each of `width` neighbouring columns
    void (*softmax_columns)(const T* x, int64_t n, int64_t stride, int64_t width, bool log, T* y);
    T (*sparse_cross_entropy)(const T* x, int64_t n, int64_t label);
    void (*sparse_cross_entropy_grad)(const T* x, int64_t n, int64_t label, T dy, T* dx);
    T (*cross_entropy)(const T* x, const T* targets, int64_t n);
    void (*cross_entropy_grad)(const T* x, const T* targets, int64_t n, T dy, T* dx);
    void (*sparse_cross_entropy_step)(const T* x, int64_t n, int64_t label, const LossStep<T>& step);
    void (*cross_entropy_step)(const T* x, const T* targets, int64_t n, const LossStep<T>& step);
    // the first of the largest (smallest) values, or the first NaN
    int64_t (*arg_extreme)(const T* x, int64_t n, bool largest);
    void (*layer_norm)(const T* x, const T* gamma, const T* beta, int64_t n, T epsilon, T* y);
    // dgamma and dbeta are added to
    void (*layer_norm_grad)(const T* x, const T* gamma, const T* dy, int64_t n, T epsilon, T* dx, T* dgamma, T* dbeta);
};

// Loops over a block of rows of a row-major [rows, n] matrix stored as S, for the normalisation of its columns.
template <class S>
struct ColumnKernels {
    using T = Compute<S>;
    // brings the rows into the moments of the `count` rows before them
    void (*moments)(const S* x, int64_t rows, int64_t n, double count, const ColumnMoments<T>& moments);
    // y = (x - mean) * scale + shift, cut to [low, high]
    void (*affine)(const S* x, int64_t rows, int64_t n, const T* mean, const T* scale, const T* shift, T low, T high, S* y);
    void (*affine_wide)(const S* x, int64_t rows, int64_t n, const T* mean, const T* scale, const T* shift, T low, T high, T* y);
    // y = (x - mean) * scale + shift + other, at least low; y may be any of them
    void (*affine_add)(const S* x, const S* other, int64_t rows, int64_t n, const T* mean, const T* scale, const T* shift, T low,
                       S* y);
    // sum_dy += dy, sum_dy_x += dy * (x - mean); dy counts only where `open` lets it pass, if that is given
    void (*norm_sums)(const S* x, const S* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, T* sum_dy,
                      T* sum_dy_x);
    // dy = first + second where z is positive, otherwise 0, and its sums as above (of what was not rounded to S)
    void (*join_sums)(const S* x, const S* first, const S* second, const S* z, int64_t rows, int64_t n, const T* mean, S* dy,
                      T* sum_dy, T* sum_dy_x);
    // dx = dy * a + (x - mean) * b + c, as norm_sums sees dy
    void (*norm_grad)(const S* x, const S* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, const T* a,
                      const T* b, const T* c, S* dx);
    void (*norm_grad_wide)(const S* x, const S* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, const T* a,
                           const T* b, const T* c, T* dx);
    // y = a + b, or 0 where x, if it is given, is not positive, for n values side by side; y may be any of them
    void (*add_where_positive)(const S* a, const T* b, const S* x, int64_t n, S* y);
};

// Attention of one head (backward: of the heads that share a key, one after the other). Rows of the operands are `*_row`
// elements apart.
struct AttentionHead {
    int64_t targets, sources, depth, value_depth;
    int64_t q_row, k_row, v_row, out_row;
    float scale;
    bool causal, blank_zero;
    const uint8_t* mask;  // null: all positions are visible
    int64_t mask_row, mask_col;
    // Dropout: kept where the word's high 24 bits are at least `threshold`; 0 keeps all.
    uint32_t threshold, key_0, key_1;
    float keep_scale;
    uint64_t first_word;  // of the stream, for target 0 and source 0
};
struct AttentionForward {
    const float *q, *k, *v;
    float *out, *statistics;  // (targets, 2)
    int64_t begin, end;       // targets
};
struct AttentionBackward {
    const float *q, *k, *v, *statistics, *dy;
    float *dq, *dk, *dv;  // dk and dv are added to
};

struct AdamRates {
    float rate_1, rate_2, epsilon, step_size;
};
struct AdamIn {
    const float *variable, *momentum, *velocity, *gradient;
};
struct AdamOut {  // each may be the input of the same name
    float *variable, *momentum, *velocity;
};

struct OwnKernels {
    RowKernels<float> rows_f32;
    RowKernels<double> rows_f64;
    ColumnKernels<float> columns_f32;
    ColumnKernels<double> columns_f64;
    ColumnKernels<Bf16> columns_bf16;
    ColumnKernels<F16> columns_f16;
    PoolKernels<float> pool_f32;
    PoolKernels<double> pool_f64;
    PoolKernels<Bf16> pool_bf16;
    PoolKernels<F16> pool_f16;
    RecurrentKernels recurrent;
    WinogradKernels winograd;
    void (*mixed_gemm)(const MixedGemmArgs& args);
    void (*widen_runs_bf16)(const Bf16* x, const MixedRun* runs, int64_t count, float* y);
    void (*widen_runs_f16)(const F16* x, const MixedRun* runs, int64_t count, float* y);
    // Floats of scratch that either takes.
    int64_t (*attention_scratch)(const AttentionHead& head);
    void (*attention_forward)(const AttentionHead& head, const AttentionForward& data, float* scratch);
    void (*attention_backward)(const AttentionHead& head, const AttentionBackward& data, float* scratch);
    void (*adam)(const AdamRates& rates, int64_t n, const AdamIn& in, const AdamOut& out);
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
template <class S>
[[nodiscard]] inline const ColumnKernels<S>& column_kernels() {
    if constexpr (std::is_same_v<S, double>)
        return own_kernels().columns_f64;
    else if constexpr (std::is_same_v<S, Bf16>)
        return own_kernels().columns_bf16;
    else if constexpr (std::is_same_v<S, F16>)
        return own_kernels().columns_f16;
    else
        return own_kernels().columns_f32;
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
