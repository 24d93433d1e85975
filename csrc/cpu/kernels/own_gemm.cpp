// Matrix product for operands of any strides: register tiles of MR rows by NV vectors, B taken in place where its rows
// are contiguous and few row tiles would use a packed copy, packed into panels otherwise. A is read by broadcasts, so
// it needs no packing and a transposed A costs nothing.
#include "cpu/kernels/gemm_tile.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

// Copies kc x columns of b into rows of `width` elements, zeros on the right.
template <class T>
void pack_panel(const T* b, int64_t b_row, int64_t b_col, int64_t kc, int64_t columns, int64_t width, T* out) {
    if (b_col == 1) {
        for (int64_t k = 0; k < kc; ++k, out += width) {
            const T* row = b + k * b_row;
            for (int64_t j = 0; j < columns; ++j) out[j] = row[j];
            for (int64_t j = columns; j < width; ++j) out[j] = 0;
        }
        return;
    }
    for (int64_t j = 0; j < width; ++j) {
        const T* column = b + j * b_col;
        if (j < columns)
            for (int64_t k = 0; k < kc; ++k) out[k * width + j] = column[k * b_row];
        else
            for (int64_t k = 0; k < kc; ++k) out[k * width + j] = 0;
    }
}

template <class T>
void gemm(const GemmArgs<T>& g) {
    constexpr int64_t lanes = Simd<T>::lanes, panel = lanes * kVectors;
    static_assert(panel <= kGemmMaxPanel);
    if (g.k == 0 && !g.accumulate)
        for (int64_t i = 0; i < g.m; ++i)
            for (int64_t j = 0; j < g.n; ++j) g.c[i * g.ldc + j] = 0;
    const bool few_rows = g.m <= 4 * kRows;
    for (int64_t k0 = 0; k0 < g.k; k0 += kGemmDepth) {
        const int64_t kc = g.k - k0 < kGemmDepth ? g.k - k0 : kGemmDepth;
        for (int64_t n0 = 0; n0 < g.n; n0 += panel) {
            const int64_t columns = g.n - n0 < panel ? g.n - n0 : panel;
            const int64_t vectors = (columns + lanes - 1) / lanes, tail = columns - (vectors - 1) * lanes;
            const T* b = g.b + k0 * g.b_row + n0 * g.b_col;
            int64_t b_row = g.b_row;
            if (g.b_col != 1 || tail != lanes || !few_rows) {
                pack_panel(b, g.b_row, g.b_col, kc, columns, vectors * lanes, g.pack);
                b = g.pack;
                b_row = vectors * lanes;
            }
            Tile<T> t{nullptr, g.a_row, g.a_col, b, b_row, nullptr, g.ldc, kc, static_cast<int>(tail), g.accumulate || k0 > 0};
            const TileFn<T> full = tile_function<T>(kRows, static_cast<int>(vectors));
            for (int64_t m0 = 0; m0 < g.m; m0 += kRows) {
                const int64_t rows = g.m - m0 < kRows ? g.m - m0 : kRows;
                t.a = g.a + m0 * g.a_row + k0 * g.a_col;
                t.c = g.c + m0 * g.ldc + n0;
                (rows == kRows ? full : tile_function<T>(static_cast<int>(rows), static_cast<int>(vectors)))(t);
            }
        }
    }
}

}  // namespace

void fill_gemm(OwnKernels& table) {
    table.rows_f32.gemm = gemm<float>;
    table.rows_f64.gemm = gemm<double>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
