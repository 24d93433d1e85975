// What the matrix products of kernels/own_gemm.cpp and kernels/own_mixed_gemm.cpp take, and how much scratch.
#pragma once

#include "cpu/kernels/own_types.h"

namespace fk::cpu {

// What a product does to its result while a tile of it is in the cache: y = ab + bias + add, then c = act(y) or c = y * factor.
template <class T>
struct Ending {
    const T* bias = nullptr;  // one row
    const T* add = nullptr;   // rows as far apart as those of c, which it may be; not with `accumulate`
    Act act = Act::none;
    T* slope = nullptr;         // where act'(y) goes, rows as far apart as those of c; null for nowhere
    const T* factor = nullptr;  // likewise
    T* sums = nullptr;          // with a factor: c is added to them, by columns
    [[nodiscard]] bool changes_tiles() const { return act != Act::none || slope != nullptr || factor != nullptr; }
};

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
    Ending<T> ending{};
    const T* packed = nullptr;  // b as pack_b left it: then b is not read
    // What to fetch into the cache meanwhile, for the work that follows: values that lie side by side.
    struct {
        const T* at = nullptr;
        int64_t count = 0;
    } next[2] = {};
    bool near = false;  // the operands and the result are in the cache: tiles fetch nothing
};
inline constexpr int64_t kGemmDepth = 256;      // values of k packed at a time
inline constexpr int64_t kGemmLooseDepth = 64;  // up to here a transposed A is read where it is
inline constexpr int64_t kGemmMaxPanel = 64;    // columns of a packed panel, at most
// Rows of A worked on together: they stay in the L2 cache. More would share a panel of B, but several blocks of k also come back
// to their part of the result.
inline constexpr int64_t kGemmMostRows = 512;
inline constexpr int64_t gemm_rows(int64_t k) { return k <= kGemmDepth ? kGemmMostRows : kGemmMostRows / 2; }
inline constexpr int64_t kGemmWholeB = 8192;        // values of a B that is packed as a whole: in the L1 cache
inline constexpr int64_t kGemmSharedColumns = 256;  // of a B that is packed a block of k at a time: in the L2 cache
inline constexpr int64_t gemm_panel_elements(int64_t k) {
    if (k >= kGemmDepth) return kGemmDepth * kGemmSharedColumns;
    return k * kGemmMaxPanel < kGemmWholeB ? kGemmWholeB : k * kGemmMaxPanel;
}
inline constexpr int64_t gemm_pack_elements(int64_t m, int64_t k, bool transposed_a) {
    const int64_t depth = k < kGemmDepth ? k : kGemmDepth, rows = m + 8 < kGemmMostRows ? m + 8 : kGemmMostRows;
    return gemm_panel_elements(k) + (transposed_a && k > kGemmLooseDepth ? depth * rows : 0);
}

// Values of k are worked on in blocks of about one depth. pack_b leaves each, and in all k * gemm_packed_columns(n) elements.
inline constexpr int64_t gemm_blocks(int64_t k) { return (k + kGemmDepth - 1) / kGemmDepth; }
inline constexpr int64_t gemm_packed_columns(int64_t n) { return (n + 15) / 16 * 16; }

// The same for operands stored as float or in 16 bits, computed in float, with a bias (one float per column) and relu:
// kernels/own_mixed_gemm.cpp. `accumulate` is for a float result without these and without c_rows. `pack` has kMixedPackElements
// floats.
enum class Stored : uint8_t { f32, bf16, f16 };
// Calls f with a pointer of the type that p is stored in.
template <class F>
void with_type(Stored type, const void* p, F f) {
    type == Stored::f32    ? f(static_cast<const float*>(p))
    : type == Stored::bf16 ? f(static_cast<const Bf16*>(p))
                           : f(static_cast<const F16*>(p));
}
template <class F>
void with_type(Stored type, void* p, F f) {
    type == Stored::f32 ? f(static_cast<float*>(p)) : type == Stored::bf16 ? f(static_cast<Bf16*>(p)) : f(static_cast<F16*>(p));
}
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
// For such a source: `count` values that lie side by side, from element `from` to value `to`.
struct MixedRun {
    int64_t from, to, count;
};
struct MixedGemmArgs {
    MixedOperand a, b;
    const MixedSource* source;  // takes the place of a; may be null
    int64_t b_period,
        b_jump;  // 0, or rows of b that lie b.row apart; each such group begins b_jump elements after the one before
    void* c;
    Stored c_type;
    int64_t ldc;
    const int64_t* c_rows;  // if given, the elements of c at which its rows begin, or -1 for a row that is not kept
    int64_t m, n, k;
    bool accumulate;
    const float* bias;
    bool relu;
    float* pack;
};
inline constexpr int64_t kMixedDepth = 256, kMixedRows = 64;  // of a, packed at a time
inline constexpr int64_t kMixedColumns = 576;                 // of b, at most
inline constexpr int64_t kMixedPanelA = kMixedRows * (kMixedDepth + 32), kMixedPanelB = kMixedColumns * kMixedDepth;
inline constexpr int64_t kMixedSums = 256 * kMixedColumns;  // results that wait for the next values of k
inline constexpr int64_t kMixedPackElements = kMixedPanelA + kMixedPanelB + kMixedSums;

}  // namespace fk::cpu
