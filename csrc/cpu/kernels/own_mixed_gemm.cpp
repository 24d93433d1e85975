// Matrix product of operands stored in 16 bits (or float) that computes in float: blocks of both are widened while they are
// packed into panels, which are small enough for the second-level cache, and the result is narrowed as it leaves. On CPUs
// whose 16-bit dot products are slower than float ones, or absent, nothing is quicker; the precision is that of float.
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/transpose.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

// The first n < kLanes of a vector; zeros follow.
[[gnu::always_inline]] inline vf load_part(const float* p, int64_t n) {
    float last[kLanes] = {};
    __builtin_memcpy(last, p, static_cast<size_t>(n) * sizeof(float));
    return load<vf>(last);
}
template <class H>
[[gnu::always_inline]] inline vf load_part(const H* p, int64_t n) {
    H last[kLanes] = {};
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    const auto lanes = static_cast<__mmask16>((1u << n) - 1);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(last), _mm256_maskz_loadu_epi16(lanes, p));
#else
    __builtin_memcpy(last, p, static_cast<size_t>(n) * sizeof(H));
#endif
    return load_wide(last);
}
[[gnu::always_inline]] inline void store_part(float* p, vf v, int64_t n) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
#else
    __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(float));
#endif
}

// dst[i] = widened src[i] for i < n, then zeros up to `width`, a multiple of the vector length.
template <class T>
[[gnu::always_inline]] inline void widen_row(const T* src, int64_t n, int64_t width, float* dst) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(dst + i, load_wide(src + i));
    if (i < n) {
        store(dst + i, load_part(src + i, n - i));
        i += kLanes;
    }
    for (; i < width; i += kLanes) store(dst + i, vf{});
}

// Lines of up to `n` elements, which are contiguous, into strips of kRows elements: strip s of line i is at (s * lines + i) *
// kRows.
template <class T>
void widen_strips(const T* src, int64_t line, int64_t lines, int64_t n, float* dst) {
    const auto put = [&](vf v, int64_t i, int64_t from) {
        for (int64_t s = from / kRows; s < (from + kLanes) / kRows && s * kRows < n; ++s)
            __builtin_memcpy(dst + (s * lines + i) * kRows, reinterpret_cast<const float*>(&v) + (s * kRows - from),
                             kRows * sizeof(float));
    };
    for (int64_t i = 0; i < lines; ++i) {
        const T* row = src + i * line;
        int64_t j = 0;
        for (; j + kLanes <= n; j += kLanes) put(load_wide(row + j), i, j);
        if (j == n) continue;
        put(load_part(row + j, n - j), i, j);
    }
}

// A block of `lines` x `n` elements, lines `line` and elements `step` apart, into rows of `width` floats, zeros on the right.
template <class T>
void widen_block(const T* src, int64_t line, int64_t step, int64_t lines, int64_t n, int64_t width, float* dst) {
    if (step == 1) {
        for (int64_t i = 0; i < lines; ++i) widen_row(src + i * line, n, width, dst + i * width);
        return;
    }
    const int64_t squares_n = line == 1 ? n / 16 * 16 : 0, squares_lines = line == 1 ? lines / 16 * 16 : 0;
    for (int64_t j = 0; j < squares_n; j += 16)
        for (int64_t i = 0; i < squares_lines; i += 16) transpose_16(src + i + j * step, step, dst + i * width + j, width);
    for (int64_t i = 0; i < lines; ++i) {
        for (int64_t j = i < squares_lines ? squares_n : 0; j < n; ++j)
            dst[i * width + j] = fk::cpu::widen<T>(src[i * line + j * step]);
        for (int64_t j = n; j < width; ++j) dst[i * width + j] = 0;
    }
}

// Calls f with the operand's data, `at` elements from its beginning.
template <class F>
void with_data(const MixedOperand& x, int64_t at, F f) {
    switch (x.type) {
        case Stored::f32:
            return f(static_cast<const float*>(x.data) + at);
        case Stored::bf16:
            return f(static_cast<const Bf16*>(x.data) + at);
        case Stored::f16:
            return f(static_cast<const F16*>(x.data) + at);
    }
}

// n columns of rows [m0, m0 + rows) of c, from column n0 on.
template <class T>
void narrow_block(const MixedGemmArgs& g, int64_t m0, int64_t n0, const float* src, int64_t width, int64_t rows, int64_t n) {
    const vf floor = splat(g.relu ? 0.0f : -__builtin_inff());
    const float* const bias = g.bias ? g.bias + n0 : nullptr;
    const auto finish = [&](vf v, vf b) {
        v += b;
        return select<vf>(v < floor, floor, v);  // keeps NaN
    };
    for (int64_t i = 0; i < rows; ++i, src += width) {
        const int64_t at = g.c_rows ? g.c_rows[m0 + i] : (m0 + i) * g.ldc;
        if (at < 0) continue;
        T* dst = static_cast<T*>(g.c) + at + n0;
        int64_t j = 0;
        for (; j + kLanes <= n; j += kLanes) store_narrow(dst + j, finish(load<vf>(src + j), bias ? load<vf>(bias + j) : vf{}));
        if (j == n) continue;
        T last[kLanes];
        store_narrow(last, finish(load<vf>(src + j), bias ? load_part(bias + j, n - j) : vf{}));
        for (int64_t l = j; l < n; ++l) dst[l] = last[l - j];
    }
}
void write_block(const MixedGemmArgs& g, int64_t m0, int64_t n0, const float* src, int64_t width, int64_t rows, int64_t n) {
    switch (g.c_type) {
        case Stored::f32:
            return narrow_block<float>(g, m0, n0, src, width, rows, n);
        case Stored::bf16:
            return narrow_block<Bf16>(g, m0, n0, src, width, rows, n);
        case Stored::f16:
            return narrow_block<F16>(g, m0, n0, src, width, rows, n);
    }
}

// The rows that write_block will write: they come into the cache during the tile.
void fetch_block(const MixedGemmArgs& g, int64_t m0, int64_t n0, int64_t rows, int64_t n) {
    const int64_t size = g.c_type == Stored::f32 ? 4 : 2;
    for (int64_t i = m0; i < m0 + rows; ++i) {
        const char* at = static_cast<const char*>(g.c) + ((g.c_rows ? g.c_rows[i] : i * g.ldc) + n0) * size;
        for (int64_t byte = 0; byte < n * size; byte += 64) __builtin_prefetch(at + byte, 1, 2);
    }
}

constexpr int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t parts(int64_t n, int64_t each) { return (n + each - 1) / each; }
constexpr int64_t up_to(int64_t n, int64_t unit) { return parts(n, unit) * unit; }

// The same strips from lines that a source makes.
void fill_strips(const MixedSource& source, int64_t line, int64_t lines, int64_t from, int64_t n, float* dst) {
    constexpr int64_t kAtOnce = 16, kStride = kMixedRows + kLanes;
    float rows[kAtOnce * kStride];
    for (int64_t i0 = 0; i0 < lines; i0 += kAtOnce) {
        const int64_t count = least(kAtOnce, lines - i0);
        source.fill(source.context, line + i0, count, from, n, rows, kStride);
        for (int64_t s = 0; s * kRows < n; ++s)
            for (int64_t i = 0; i < count; ++i)
                __builtin_memcpy(dst + (s * lines + i0 + i) * kRows, rows + i * kStride + s * kRows, kRows * sizeof(float));
    }
}

// Memory that comes into the cache meanwhile: each tile asks for its share.
class Upcoming {
  public:
    Upcoming() = default;
    Upcoming(const MixedOperand& x, int64_t at, int64_t count, int64_t tiles) {
        const int64_t size = x.type == Stored::f32 ? 4 : 2;
        const char* begin = static_cast<const char*>(x.data) + at * size;
        at_ = reinterpret_cast<const float*>(begin), end_ = reinterpret_cast<const float*>(begin + count * size);
        share_ = up_to(parts(count * size, tiles), 64) / 4;
    }
    Ahead<float> take(int64_t k) {
        if (at_ >= end_) return {nullptr, 0};
        const Ahead<float> ahead{at_, parts(share_, k)};
        at_ += share_;
        return ahead;
    }

  private:
    const float *at_ = nullptr, *end_ = nullptr;
    int64_t share_ = 0;
};

// Rows [k0, k0 + kc) of b, columns [n0, n0 + n), as a panel.
void pack_b_rows(const MixedGemmArgs& g, int64_t k0, int64_t kc, int64_t n0, int64_t n, int64_t width, float* dst) {
    for (int64_t k = k0; k < k0 + kc;) {
        const int64_t in_group = g.b_period ? k % g.b_period : k, group = g.b_period ? k / g.b_period : 0;
        const int64_t count = least(k0 + kc - k, g.b_period ? g.b_period - in_group : kc);
        with_data(g.b, group * g.b_jump + in_group * g.b.row + n0 * g.b.col,
                  [&](auto* b) { widen_block(b, g.b.row, g.b.col, count, n, width, dst + (k - k0) * width); });
        k += count;
    }
}

void mixed_gemm(const MixedGemmArgs& g) {
    constexpr int64_t lanes = kLanes;
    const bool in_place = g.c_type == Stored::f32 && !g.bias && !g.relu && !g.c_rows;
    // Equal slices of k, as long as the longest that the panels allow.
    const int64_t slices = g.k > 0 ? parts(g.k, kMixedDepth) : 1, depth = parts(g.k > 0 ? g.k : 1, slices);
    const int64_t block_n = least(kMixedPanelB / depth / lanes * lanes, kMixedColumns), block_m = kMixedRows;
    const bool rows_a = !g.source && g.a.col == 1 && g.a.row <= 2 * g.k, lines_a = !g.source && g.a.row == 1 && g.a.col != 1;
    alignas(64) float tile[kRows * kVectors * kLanes];
    float* const pack_a = g.pack;
    float* const pack_b = pack_a + kMixedPanelA;
    float* const sums = pack_b + kMixedPanelB;
    for (int64_t n0 = 0; n0 < g.n; n0 += block_n) {
        const int64_t columns = least(block_n, g.n - n0), vectors = parts(columns, lanes), panels = parts(vectors, kVectors);
        const int64_t width = vectors * lanes;
        const auto panel_begin = [&](int64_t p) { return vectors * p / panels * lanes; };
        // Sums over several slices of k stay in scratch until the last: so many rows at a time.
        const int64_t chunk_m = in_place || slices == 1 ? g.m : kMixedSums / width / block_m * block_m;
        for (int64_t c0 = 0; c0 < g.m; c0 += chunk_m) {
            const int64_t c1 = least(g.m, c0 + chunk_m);
            for (int64_t slice = 0; slice < slices; ++slice) {
                const int64_t k0 = slice * depth, kc = least(depth, g.k - k0);
                for (int64_t p = 0; p < panels; ++p) {
                    const int64_t from = panel_begin(p), wide = panel_begin(p + 1) - from;
                    pack_b_rows(g, k0, kc, n0 + from, least(wide, columns - from), wide, pack_b + from * kc);
                }
                // What later blocks of operands that lie in one piece will read: for products that wait for memory.
                const int64_t strips_of_rows = parts(c1 - c0, kRows), next = least(depth, g.k - k0 - kc);
                Upcoming next_a, next_b;
                if (next > 0 && lines_a && g.a.col <= 2 * g.m)
                    next_a = Upcoming(g.a, (k0 + kc) * g.a.col, next * g.a.col, strips_of_rows * panels);
                if (next > 0 && g.b.col == 1 && g.b.row <= 2 * columns)
                    next_b = Upcoming(g.b, (k0 + kc) * g.b.row, next * g.b.row, strips_of_rows * panels);
                for (int64_t m0 = c0; m0 < c1; m0 += block_m) {
                    const int64_t rows = least(block_m, c1 - m0);
                    if (rows_a && slices == 1)
                        next_a = Upcoming(g.a, (m0 + rows) * g.a.row, least(block_m, c1 - m0 - rows) * g.a.row,
                                          parts(rows, kRows) * panels);
                    // Rows of a; where its columns are contiguous, strips of them.
                    const int64_t at_a = m0 * g.a.row + k0 * g.a.col;
                    const float* a = pack_a;
                    int64_t a_row = 1, a_col = 1, a_tile = kRows * kc;
                    if (g.source && g.source->columns) {
                        a_col = kRows;
                        fill_strips(*g.source, k0, kc, m0, rows, pack_a);
                    } else if (g.source) {
                        a_row = up_to(kc, lanes) + lanes;
                        a_tile = kRows * a_row;
                        g.source->fill(g.source->context, m0, rows, k0, kc, pack_a, a_row);
                    } else if (g.a.type == Stored::f32 && g.a.col == 1) {
                        a = static_cast<const float*>(g.a.data) + at_a, a_row = g.a.row, a_tile = kRows * a_row;
                    } else if (lines_a) {
                        a_col = kRows;
                        with_data(g.a, at_a, [&](auto* x) { widen_strips(x, g.a.col, kc, rows, pack_a); });
                    } else {
                        a_row = up_to(kc, lanes) + lanes;  // an odd number of lines apart: not all in one cache set
                        a_tile = kRows * a_row;
                        with_data(g.a, at_a, [&](auto* x) { widen_block(x, g.a.row, g.a.col, rows, kc, a_row, pack_a); });
                    }
                    const bool direct = !in_place && slices == 1;
                    float* out = in_place ? static_cast<float*>(g.c) + m0 * g.ldc + n0 : sums + (m0 - c0) * width;
                    const int64_t ldo = in_place ? g.ldc : direct ? kVectors * lanes : width;
                    const bool last = !in_place && slice == slices - 1;
                    Tile<float> t{};
                    t.a_row = a_row, t.a_col = a_col, t.ldc = ldo, t.k = kc;
                    t.accumulate = slice > 0 || (in_place && g.accumulate);
                    for (int64_t p = 0; p < panels; ++p) {
                        const int64_t from = panel_begin(p), to = panel_begin(p + 1);
                        t.b = pack_b + from * kc;
                        t.b_row = to - from;
                        t.tail = static_cast<int>(in_place && to > columns ? columns - (to - lanes) : lanes);
                        for (int64_t r = 0; r < rows; r += kRows) {
                            t.a = a + r / kRows * a_tile;
                            t.c = direct ? tile : out + r * ldo + from;
                            const int64_t count = least(kRows, rows - r);
                            t.ahead[0] = next_a.take(kc);
                            t.ahead[1] = next_b.take(kc);
                            if (last) fetch_block(g, m0 + r, n0 + from, count, least(to, columns) - from);
                            tile_function<float>(static_cast<int>(count), static_cast<int>((to - from) / lanes))(t);
                            if (last) write_block(g, m0 + r, n0 + from, t.c, ldo, count, least(to, columns) - from);
                        }
                    }
                }
            }
        }
    }
}

template <class H>
void widen_all(const H* x, int64_t n, float* y) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, load_wide(x + i));
    if (i < n) store_part(y + i, load_part(x + i, n - i), n - i);
}
template <class H>
void widen_runs(const H* x, const MixedRun* runs, int64_t count, float* y) {
    for (const MixedRun* r = runs; r < runs + count; ++r) widen_all(x + r->from, r->count, y + r->to);
}
template <class H>
void narrow_all(const float* x, int64_t n, H* y) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store_narrow(y + i, load<vf>(x + i));
    for (; i < n; ++i) y[i] = fk::cpu::narrow<H>(x[i]);
}

}  // namespace

void fill_mixed_gemm(OwnKernels& table) {
    table.mixed_gemm = mixed_gemm;
    table.widen_runs_bf16 = widen_runs<Bf16>;
    table.widen_runs_f16 = widen_runs<F16>;
    table.widen_bf16 = widen_all<Bf16>;
    table.widen_f16 = widen_all<F16>;
    table.narrow_bf16 = narrow_all<Bf16>;
    table.narrow_f16 = narrow_all<F16>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
