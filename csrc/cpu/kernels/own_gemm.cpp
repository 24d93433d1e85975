// Matrix product for operands of any strides: register tiles of MR rows by NV vectors, B taken in place where its rows
// are contiguous and few row tiles would use a packed copy, packed into panels otherwise. A is read by broadcasts, so
// it needs no packing and a transposed A costs nothing.
#include <cstring>

#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRows = 8;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kRows = 4;
#else
constexpr int kVectorBytes = 16, kRows = 4;
#endif
constexpr int kVectors = 3;

template <class T>
struct Simd {
    typedef T Vec __attribute__((vector_size(kVectorBytes)));
    typedef T Loose __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
    static constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(T));
};

template <class T>
struct Tile {
    const T* a;
    int64_t a_row, a_col;
    const T* b;
    int64_t b_row;
    T* c;
    int64_t ldc;
    int64_t k;
    int tail;  // valid columns of the last vector
    bool accumulate;
};

template <class T, int MR, int NV>
void multiply_tile(const Tile<T>& t) {
    using Vec = typename Simd<T>::Vec;
    using Loose = typename Simd<T>::Loose;
    constexpr int lanes = Simd<T>::lanes;
    Vec sum[MR][NV] = {};
    const T* a = t.a;
    const T* b = t.b;
    for (int64_t k = 0; k < t.k; ++k, a += t.a_col, b += t.b_row) {
        Vec row[NV];
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) row[j] = *reinterpret_cast<const Loose*>(b + j * lanes);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) {
            const T x = a[i * t.a_row];
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) sum[i][j] += x * row[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
        T* c = t.c + i * t.ldc;
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
            T* out = c + j * lanes;
            if (j == NV - 1 && t.tail != lanes) {
                T lane[lanes];
                std::memcpy(lane, &sum[i][j], sizeof lane);
                for (int l = 0; l < t.tail; ++l) out[l] = t.accumulate ? out[l] + lane[l] : lane[l];
            } else {
                Vec v = sum[i][j];
                if (t.accumulate) v += *reinterpret_cast<const Loose*>(out);
                *reinterpret_cast<Loose*>(out) = v;
            }
        }
    }
}

template <class T>
using TileFn = void (*)(const Tile<T>&);

template <class T, int MR>
TileFn<T> tile_of_width(int vectors) {
    return vectors == 3 ? multiply_tile<T, MR, 3> : vectors == 2 ? multiply_tile<T, MR, 2> : multiply_tile<T, MR, 1>;
}

template <class T>
TileFn<T> tile_function(int rows, int vectors) {
    switch (rows) {
        case 1:
            return tile_of_width<T, 1>(vectors);
        case 2:
            return tile_of_width<T, 2>(vectors);
        case 3:
            return tile_of_width<T, 3>(vectors);
#if defined(__AVX512F__)
        case 4:
            return tile_of_width<T, 4>(vectors);
        case 5:
            return tile_of_width<T, 5>(vectors);
        case 6:
            return tile_of_width<T, 6>(vectors);
        case 7:
            return tile_of_width<T, 7>(vectors);
#endif
        default:
            return tile_of_width<T, kRows>(vectors);
    }
}

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
