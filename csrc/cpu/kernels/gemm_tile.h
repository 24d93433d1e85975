// The register tile of the matrix products: rows of a, read by broadcasts, times up to three vectors of b's columns. Shared by
// own_gemm.cpp (float and double as they lie in memory) and own_mixed_gemm.cpp (16-bit operands, widened into panels).
#pragma once

#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kTileBytes = 64, kRows = 8;
#elif defined(__AVX__)
constexpr int kTileBytes = 32, kRows = 4;
#else
constexpr int kTileBytes = 16, kRows = 4;
#endif
constexpr int kVectors = 3;
constexpr int kRowStep = 8;  // values of k for each row that is asked for, at least

template <class T>
struct Simd {
    typedef T Vec __attribute__((vector_size(kTileBytes)));
    typedef T Loose __attribute__((vector_size(kTileBytes), aligned(sizeof(T)), may_alias));
    static constexpr int lanes = kTileBytes / static_cast<int>(sizeof(T));
};

// The first `count` elements of a vector, zeros behind them.
template <class T>
[[gnu::always_inline]] inline typename Simd<T>::Vec load_first(const T* from, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
    if constexpr (sizeof(T) == 8) return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), from);
#endif
    T lane[Simd<T>::lanes] = {};
    for (int l = 0; l < count; ++l) lane[l] = from[l];
    typename Simd<T>::Vec v;
    std::memcpy(&v, lane, sizeof v);
    return v;
}
template <class T>
[[gnu::always_inline]] inline void store_first(T* to, typename Simd<T>::Vec v, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), v);
    if constexpr (sizeof(T) == 8) return _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1), v);
#endif
    T lane[Simd<T>::lanes];
    std::memcpy(lane, &v, sizeof lane);
    for (int l = 0; l < count; ++l) to[l] = lane[l];
}

// Lines of memory to fetch into the cache during a tile: one for each k, `step` elements apart. None if `at` is null.
template <class T>
struct Ahead {
    const T* at;
    int64_t step;
};

// Rows of memory to fetch meanwhile, `step` elements apart and as wide as the tile. Not more than one for every kRowStep values
// of k: many requests at once would keep the operands waiting.
template <class T>
struct AheadRows {
    const T* at;
    int64_t step, count;
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
    int tail;                // valid columns of the last vector
    const T* add;            // what the result is added to, rows `ldc` apart as those of c, which it may be; null for nothing
    Ahead<T> ahead[2] = {};  // operands of later tiles
    AheadRows<T> rows[3] = {};
    const T* bias = nullptr;  // whole vectors, added to every row; null for none
    // Of a tile that multiplies, which has whole vectors: by what, laid out like c, and where the columns of the result are
    // added.
    const T* factor = nullptr;
    T* sums = nullptr;
    T* copy_b = nullptr;  // where a full tile that copies leaves whole vectors of b, side by side, for those that follow
};

// Lets a tile fetch `count` values that lie side by side, not more than two lines for each k. Each half is a stream of its own:
// the processor sees two streams coming, in pages of their own, and fetches about twice as much ahead as of a single one.
template <class T>
void fetch_during(Tile<T>& t, const T* at, int64_t count) {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
    const int64_t half = (count / 2 + line - 1) / line * line, step = (half + t.k - 1) / t.k;
    for (int i = 0; i < 2; ++i) t.ahead[i] = {at + i * half, step < line ? step : line};
}

enum class TileKind : uint8_t {
    plain,
    near,  // all it reads and writes is in the cache: nothing is fetched
    copies_b,
    multiplies
};

template <class T, int MR, int NV, TileKind Kind = TileKind::plain>
void multiply_tile(const Tile<T>& t) {
    using Vec = typename Simd<T>::Vec;
    using Loose = typename Simd<T>::Loose;
    constexpr int lanes = Simd<T>::lanes;
    Vec sum[MR][NV] = {};
    const T* a = t.a;
    const T* b = t.b;
    // A line that is in the cache already stands for one that need not be fetched: the loop has no branch.
    const T* ahead[2];
    int64_t step[2];
    for (int i = 0; i < 2; ++i) {
        ahead[i] = t.ahead[i].at ? t.ahead[i].at : b;
        step[i] = t.ahead[i].at ? t.ahead[i].step : 0;
    }
    T* copy_b = t.copy_b;
    const auto add_products = [&]() __attribute__((always_inline)) {
        if constexpr (Kind != TileKind::near)
            for (int i = 0; i < 2; ++i, ahead[i - 1] += step[i - 1]) __builtin_prefetch(ahead[i], 0, 2);
        Vec row[NV];
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) row[j] = *reinterpret_cast<const Loose*>(b + j * lanes);
        if constexpr (Kind == TileKind::copies_b) {
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) *reinterpret_cast<Loose*>(copy_b + j * lanes) = row[j];
            copy_b += NV * lanes;
        }
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) {
            const T x = a[i * t.a_row];
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) sum[i][j] += x * row[j];
        }
        a += t.a_col;
        b += t.b_row;
    };
    int64_t k = 0;
    // The result, too, is far away after the panels and rows that came in between. Requests are spread over the tile.
    if (Kind != TileKind::near && t.k >= kRowStep * MR) {
        const AheadRows<T> lists[4] = {{t.c, t.ldc, MR}, t.rows[0], t.rows[1], t.rows[2]};
        const int64_t step = t.k / (MR + t.rows[0].count + t.rows[1].count + t.rows[2].count);
        for (const AheadRows<T>& list : lists) {
            const T* at = list.at;
            for (int64_t r = 0; r < list.count; ++r, at += list.step) {
                for (int j = 0; j < NV; ++j) __builtin_prefetch(at + j * lanes, 0, 2);
                for (const int64_t end = k + step; k < end; ++k) add_products();
            }
        }
    }
    for (; k < t.k; ++k) add_products();
    if (t.bias != nullptr) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
            const Vec bias = *reinterpret_cast<const Loose*>(t.bias + j * lanes);
#pragma GCC unroll 16
            for (int i = 0; i < MR; ++i) sum[i][j] += bias;
        }
    }
    // The last vector may end with columns that are not there.
    if (t.add != nullptr) {
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) {
                const T* from = t.add + i * t.ldc + j * lanes;
                sum[i][j] +=
                    j == NV - 1 && t.tail != lanes ? load_first(from, t.tail) : Vec(*reinterpret_cast<const Loose*>(from));
            }
    }
    if constexpr (Kind == TileKind::multiplies) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
            Vec total = {};
#pragma GCC unroll 16
            for (int i = 0; i < MR; ++i) {
                const int64_t at = i * t.ldc + j * lanes;
                const Vec v = sum[i][j] * *reinterpret_cast<const Loose*>(t.factor + at);
                *reinterpret_cast<Loose*>(t.c + at) = v;
                total += v;
            }
            *reinterpret_cast<Loose*>(t.sums + j * lanes) += total;
        }
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
        T* c = t.c + i * t.ldc;
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j)
            if (j == NV - 1 && t.tail != lanes)
                store_first(c + j * lanes, sum[i][j], t.tail);
            else
                *reinterpret_cast<Loose*>(c + j * lanes) = sum[i][j];
    }
}

template <class T>
using TileFn = void (*)(const Tile<T>&);

template <class T, int MR, TileKind Kind>
TileFn<T> tile_of_width(int vectors) {
    return vectors == 3   ? multiply_tile<T, MR, 3, Kind>
           : vectors == 2 ? multiply_tile<T, MR, 2, Kind>
                          : multiply_tile<T, MR, 1, Kind>;
}

template <class T, TileKind Kind>
TileFn<T> tile_of_rows(int rows, int vectors) {
    switch (rows) {
        case 1:
            return tile_of_width<T, 1, Kind>(vectors);
        case 2:
            return tile_of_width<T, 2, Kind>(vectors);
        case 3:
            return tile_of_width<T, 3, Kind>(vectors);
#if defined(__AVX512F__)
        case 4:
            return tile_of_width<T, 4, Kind>(vectors);
        case 5:
            return tile_of_width<T, 5, Kind>(vectors);
        case 6:
            return tile_of_width<T, 6, Kind>(vectors);
        case 7:
            return tile_of_width<T, 7, Kind>(vectors);
#endif
        default:
            return tile_of_width<T, kRows, Kind>(vectors);
    }
}

template <class T>
TileFn<T> tile_function(int rows, int vectors, TileKind kind = TileKind::plain) {
    switch (kind) {
        case TileKind::near:
            return tile_of_rows<T, TileKind::near>(rows, vectors);
        case TileKind::copies_b:  // full ones only
            return tile_of_width<T, kRows, TileKind::copies_b>(vectors);
        case TileKind::multiplies:
            return tile_of_rows<T, TileKind::multiplies>(rows, vectors);
        default:
            return tile_of_rows<T, TileKind::plain>(rows, vectors);
    }
}

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
