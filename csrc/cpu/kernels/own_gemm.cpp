// Matrix product for operands of any strides: register tiles of MR rows by NV vectors, B taken in place where its rows
// are contiguous and few row tiles would use a packed copy, packed into panels otherwise. A is read by broadcasts
// where it lies; only a transposed A of many values a row is packed.
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/transpose.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

// Copies kc rows of `columns` elements, rows `b_row` apart, into rows of `width`, zeros on the right.
template <class T>
void pack_rows(const T* b, int64_t b_row, int64_t kc, int64_t columns, int64_t width, T* out) {
    using Loose = typename Simd<T>::Loose;
    constexpr int64_t lanes = Simd<T>::lanes;
    const int64_t whole = columns / lanes * lanes;
    for (int64_t k = 0; k < kc; ++k, out += width) {
        const T* row = b + k * b_row;
        for (int64_t j = 0; j < whole; j += lanes) *reinterpret_cast<Loose*>(out + j) = *reinterpret_cast<const Loose*>(row + j);
        if (whole == width) continue;
        T lane[lanes] = {};
        for (int64_t j = whole; j < columns; ++j) lane[j - whole] = row[j];
        for (int64_t j = whole; j < width; j += lanes) {
            std::memcpy(out + j, lane, sizeof lane);
            if (j == whole)
                for (T& x : lane) x = 0;
        }
    }
}

// The same from columns `b_col` apart whose elements are `b_row` apart.
template <class T>
void pack_columns(const T* b, int64_t b_row, int64_t b_col, int64_t kc, int64_t columns, int64_t width, T* out) {
    int64_t first = 0;  // columns before this one are done
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>)
        if (b_row == 1)
            for (; first + 16 <= columns; first += 16) {
                const float* from = b + first * b_col;
                int64_t k = 0;
                for (; k + 16 <= kc; k += 16) transpose_16(from + k, b_col, out + k * width + first, width);
                for (; k < kc; ++k)
                    for (int64_t j = 0; j < 16; ++j) out[k * width + first + j] = from[j * b_col + k];
            }
#endif
    for (int64_t j = first; j < width; ++j) {
        const T* column = b + j * b_col;
        if (j < columns)
            for (int64_t k = 0; k < kc; ++k) out[k * width + j] = column[k * b_row];
        else
            for (int64_t k = 0; k < kc; ++k) out[k * width + j] = 0;
    }
}

// The rows of a block of a transposed A, kRows of them side by side for each k. (The rows of a plain A are read where they
// are: each is a stream of its own.)
template <class T>
void pack_block(const T* a, int64_t a_col, int64_t rows, int64_t kc, T* out) {
    for (int64_t m = 0; m < rows; m += kRows, out += kc * kRows) {
        const int64_t count = rows - m < kRows ? rows - m : kRows;
        for (int64_t k = 0; k < kc; ++k) std::memcpy(out + k * kRows, a + m + k * a_col, static_cast<size_t>(count) * sizeof(T));
    }
}

// Packed panels lie in the order in which they are read. Weights that are read once a run come from far: this many bytes ahead
// they are asked for.
constexpr int64_t kAheadBytes = 8192;

// How n and k are divided. Panels of about one width: a narrow last one would leave the vector units waiting.
template <class T>
struct Blocking {
    static constexpr int64_t lanes = Simd<T>::lanes;
    int64_t panel, depth;
    Blocking(int64_t n, int64_t k) {
        const int64_t vectors = (n + lanes - 1) / lanes, panels = (vectors + kVectors - 1) / kVectors;
        panel = (vectors + panels - 1) / (panels == 0 ? 1 : panels) * lanes;
        const int64_t blocks = gemm_blocks(k);
        depth = blocks == 0 ? 0 : (k + blocks - 1) / blocks;
    }
};

// Columns [n0, n0 + columns) of values [k0, k0 + kc) of b.
template <class T>
void pack_panel(const GemmArgs<T>& g, int64_t k0, int64_t kc, int64_t n0, int64_t columns, int64_t width, T* out) {
    const T* b = g.b + k0 * g.b_row + n0 * g.b_col;
    if (g.b_col == 1)
        pack_rows(b, g.b_row, kc, columns, width, out);
    else
        pack_columns(b, g.b_row, g.b_col, kc, columns, width, out);
}

// Where a packed panel begins: the panels of a block follow each other, and so do the blocks.
template <class T>
int64_t panel_at(const GemmArgs<T>& g, int64_t k0, int64_t kc, int64_t n0) {
    return k0 * ((g.n + Simd<T>::lanes - 1) / Simd<T>::lanes * Simd<T>::lanes) + kc * n0;
}

}  // namespace

template <class T>
void pack_b(const GemmArgs<T>& g, int64_t block, T* out) {
    constexpr int64_t lanes = Simd<T>::lanes;
    static_assert(16 % lanes == 0);
    const Blocking<T> by(g.n, g.k);
    const int64_t k0 = block * by.depth, kc = g.k - k0 < by.depth ? g.k - k0 : by.depth;
    for (int64_t n0 = 0; n0 < g.n && kc > 0; n0 += by.panel) {
        const int64_t columns = g.n - n0 < by.panel ? g.n - n0 : by.panel, width = (columns + lanes - 1) / lanes * lanes;
        pack_panel(g, k0, kc, n0, columns, width, out + panel_at(g, k0, kc, n0));
    }
}

template <class T>
void gemm(const GemmArgs<T>& g) {
    constexpr int64_t lanes = Simd<T>::lanes, most = lanes * kVectors;
    static_assert(most <= kGemmMaxPanel && kGemmRows % kRows == 0);
    if (g.k == 0 && !g.accumulate)
        for (int64_t i = 0; i < g.m; ++i)
            for (int64_t j = 0; j < g.n; ++j) g.c[i * g.ldc + j] = 0;
    const bool few_rows = g.m <= 4 * kRows;
    const auto [panel, depth] = Blocking<T>(g.n, g.k);
    T* const packed_a = g.pack + depth * kGemmMaxPanel;
    for (int64_t first = 0; first < g.m; first += kGemmRows) {
        const int64_t last = g.m - first < kGemmRows ? g.m : first + kGemmRows;
        for (int64_t k0 = 0; k0 < g.k; k0 += depth) {
            const int64_t kc = g.k - k0 < depth ? g.k - k0 : depth;
            const bool pack_a = g.a_row == 1 && g.a_col != 1 && kc > kGemmLooseDepth && g.n > panel;
            if (pack_a) pack_block(g.a + first + k0 * g.a_col, g.a_col, last - first, kc, packed_a);
            for (int64_t n0 = 0; n0 < g.n; n0 += panel) {
                const int64_t columns = g.n - n0 < panel ? g.n - n0 : panel;
                const int64_t vectors = (columns + lanes - 1) / lanes, tail = columns - (vectors - 1) * lanes;
                const T* b = g.b + k0 * g.b_row + n0 * g.b_col;
                int64_t b_row = g.b_row;
                if (g.packed != nullptr) {
                    b = g.packed + panel_at(g, k0, kc, n0);
                    b_row = vectors * lanes;
                } else if (g.b_col != 1 || tail != lanes || !few_rows) {
                    pack_panel(g, k0, kc, n0, columns, vectors * lanes, g.pack);
                    b = g.pack;
                    b_row = vectors * lanes;
                }
                Tile<T> t{
                    nullptr, g.a_row, g.a_col, b, b_row, nullptr, g.ldc, kc, static_cast<int>(tail), g.accumulate || k0 > 0};
                if (pack_a) t.a_col = kRows;
                if (g.packed != nullptr) t.ahead = kAheadBytes / static_cast<int64_t>(sizeof(T));
                const TileFn<T> full = tile_function<T>(kRows, static_cast<int>(vectors));
                for (int64_t m0 = first; m0 < last; m0 += kRows) {
                    const int64_t rows = last - m0 < kRows ? last - m0 : kRows;
                    t.a = pack_a ? packed_a + (m0 - first) * kc : g.a + m0 * g.a_row + k0 * g.a_col;
                    t.c = g.c + m0 * g.ldc + n0;
                    if (m0 > first) t.ahead = 0;  // it is there
                    (rows == kRows ? full : tile_function<T>(static_cast<int>(rows), static_cast<int>(vectors)))(t);
                }
                if (k0 + kc == g.k && (g.bias != nullptr || g.act != Act::none))  // while the block is in the cache
                    epilogue(g.c + first * g.ldc + n0, last - first, columns, g.ldc, g.bias ? g.bias + n0 : nullptr, g.act);
            }
        }
    }
}

template void pack_b<float>(const GemmArgs<float>&, int64_t, float*);
template void pack_b<double>(const GemmArgs<double>&, int64_t, double*);
template void gemm<float>(const GemmArgs<float>&);
template void gemm<double>(const GemmArgs<double>&);

void fill_gemm(OwnKernels& table) {
    table.rows_f32.pack_b = pack_b<float>;
    table.rows_f64.pack_b = pack_b<double>;
    table.rows_f32.gemm = gemm<float>;
    table.rows_f64.gemm = gemm<double>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
