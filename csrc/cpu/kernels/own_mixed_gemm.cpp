// Matrix product of operands stored in 16 bits (or float) that computes in float: blocks of both are widened while they are
// packed into panels, which are small enough for the second-level cache, and the result is narrowed as it leaves. On CPUs
// whose 16-bit dot products are slower than float ones, or absent, nothing is quicker; the precision is that of float.
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/transpose.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

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
    with_type(x.type, x.data, [&](auto* data) { f(data + at); });
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

// Whether the columns of a lie in one piece, and so come as strips.
bool by_lines(const MixedOperand& a) { return a.row == 1 && a.col != 1; }

// How a product is divided. Slices of k are equal, as long as the longest that the panels allow.
struct Blocking {
    int64_t slices, depth, columns;
    bool in_place;  // sums go straight into c
    explicit Blocking(const MixedGemmArgs& g)
        : slices(g.k > 0 ? parts(g.k, kMixedDepth) : 1),
          depth(parts(g.k > 0 ? g.k : 1, slices)),
          columns(least(kMixedPanelB / depth / kLanes * kLanes, kMixedColumns)),
          in_place(g.c_type == Stored::f32 && !g.bias && !g.relu && !g.c_rows) {}
};

// Columns of b that are packed together, in panels of about one width.
struct Columns {
    int64_t first, count, vectors, panels;
    Columns(int64_t first, int64_t count)
        : first(first), count(count), vectors(parts(count, kLanes)), panels(parts(vectors, kVectors)) {}
    [[nodiscard]] int64_t begin(int64_t panel) const { return vectors * panel / panels * kLanes; }
    [[nodiscard]] int64_t width() const { return vectors * kLanes; }
};

// One slice of k for rows [begin, end) and some columns of the product. Sums that are not in place wait in scratch for the next
// slice; those of the only slice need no more room than a tile.
struct Block {
    const MixedGemmArgs& g;
    const Blocking& by;
    Columns columns;
    int64_t begin, end, k0, kc;
    bool first, last;

    Block(const MixedGemmArgs& g, const Blocking& by, const Columns& columns, int64_t begin, int64_t end, int64_t slice)
        : g(g),
          by(by),
          columns(columns),
          begin(begin),
          end(end),
          k0(slice * by.depth),
          kc(least(by.depth, g.k - k0)),
          first(slice == 0),
          last(slice == by.slices - 1) {}
    [[nodiscard]] float* pack_a() const { return g.pack; }
    [[nodiscard]] float* pack_b() const { return g.pack + kMixedPanelA; }
    [[nodiscard]] float* sums() const { return g.pack + kMixedPanelA + kMixedPanelB; }
    [[nodiscard]] int64_t tiles(int64_t rows) const { return parts(rows, kRows) * columns.panels; }
};

// Rows of a as tiles read them: `tile` values from one tile to the next.
struct RowsOfA {
    const float* at;
    int64_t row, col, tile;
};

RowsOfA bring_rows(const Block& b, int64_t m0, int64_t rows) {
    const MixedGemmArgs& g = b.g;
    const int64_t at = m0 * g.a.row + b.k0 * g.a.col;
    const int64_t row = up_to(b.kc, kLanes) + kLanes;  // an odd number of lines apart: not all in one cache set
    if (g.source && g.source->columns) {
        fill_strips(*g.source, b.k0, b.kc, m0, rows, b.pack_a());
        return {b.pack_a(), 1, kRows, kRows * b.kc};
    }
    if (g.source) {
        g.source->fill(g.source->context, m0, rows, b.k0, b.kc, b.pack_a(), row);
        return {b.pack_a(), row, 1, kRows * row};
    }
    if (g.a.type == Stored::f32 && g.a.col == 1) return {static_cast<const float*>(g.a.data) + at, g.a.row, 1, kRows * g.a.row};
    if (by_lines(g.a)) {
        with_data(g.a, at, [&](auto* x) { widen_strips(x, g.a.col, b.kc, rows, b.pack_a()); });
        return {b.pack_a(), 1, kRows, kRows * b.kc};
    }
    with_data(g.a, at, [&](auto* x) { widen_block(x, g.a.row, g.a.col, rows, b.kc, row, b.pack_a()); });
    return {b.pack_a(), row, 1, kRows * row};
}

void multiply_rows(const Block& b, const RowsOfA& a, int64_t m0, int64_t rows, Upcoming& next_a, Upcoming& next_b) {
    const MixedGemmArgs& g = b.g;
    alignas(64) float only[kRows * kVectors * kLanes];
    const bool write = !b.by.in_place && b.last, alone = write && b.first;
    float* const out =
        b.by.in_place ? static_cast<float*>(g.c) + m0 * g.ldc + b.columns.first : b.sums() + (m0 - b.begin) * b.columns.width();
    Tile<float> t{};
    t.a_row = a.row, t.a_col = a.col, t.k = b.kc;
    t.ldc = b.by.in_place ? g.ldc : alone ? kVectors * kLanes : b.columns.width();
    const bool adds = !b.first || (b.by.in_place && g.accumulate);
    for (int64_t p = 0; p < b.columns.panels; ++p) {
        const int64_t from = b.columns.begin(p), to = b.columns.begin(p + 1), n = least(to, b.columns.count) - from;
        const auto vectors = static_cast<int>((to - from) / kLanes);
        t.b = b.pack_b() + from * b.kc;
        t.b_row = to - from;
        t.tail = static_cast<int>(b.by.in_place ? kLanes - (to - from - n) : kLanes);
        for (int64_t r = 0; r < rows; r += kRows) {
            const int64_t count = least(kRows, rows - r);
            t.a = a.at + r / kRows * a.tile;
            t.c = alone ? only : out + r * t.ldc + from;
            t.add = adds ? t.c : nullptr;
            t.ahead[0] = next_a.take(b.kc);
            t.ahead[1] = next_b.take(b.kc);
            if (write) fetch_block(g, m0 + r, b.columns.first + from, count, n);
            tile_function<float>(static_cast<int>(count), vectors)(t);
            if (write) write_block(g, m0 + r, b.columns.first + from, t.c, t.ldc, count, n);
        }
    }
}

void multiply_block(const Block& b) {
    const MixedGemmArgs& g = b.g;
    for (int64_t p = 0; p < b.columns.panels; ++p) {
        const int64_t from = b.columns.begin(p), width = b.columns.begin(p + 1) - from;
        pack_b_rows(g, b.k0, b.kc, b.columns.first + from, least(width, b.columns.count - from), width, b.pack_b() + from * b.kc);
    }
    // What later blocks will read of operands that lie in one piece: their products are those that wait for memory.
    const int64_t k1 = b.k0 + b.kc, later = least(b.by.depth, g.k - k1);
    Upcoming next_a, next_b;
    if (later > 0 && !g.source && by_lines(g.a) && g.a.col <= 2 * g.m)
        next_a = Upcoming(g.a, k1 * g.a.col, later * g.a.col, b.tiles(b.end - b.begin));
    if (later > 0 && g.b.col == 1 && g.b.row <= 2 * b.columns.count)
        next_b = Upcoming(g.b, k1 * g.b.row, later * g.b.row, b.tiles(b.end - b.begin));
    for (int64_t m0 = b.begin; m0 < b.end; m0 += kMixedRows) {
        const int64_t m1 = least(b.end, m0 + kMixedRows);
        if (b.first && b.last && !g.source && g.a.col == 1 && g.a.row <= 2 * g.k)
            next_a = Upcoming(g.a, m1 * g.a.row, least(kMixedRows, b.end - m1) * g.a.row, b.tiles(m1 - m0));
        multiply_rows(b, bring_rows(b, m0, m1 - m0), m0, m1 - m0, next_a, next_b);
    }
}

void mixed_gemm(const MixedGemmArgs& g) {
    const Blocking by(g);
    for (int64_t n0 = 0; n0 < g.n; n0 += by.columns) {
        const Columns columns(n0, least(by.columns, g.n - n0));
        // As many rows at a time as there is room for sums that wait.
        const int64_t rows = by.in_place || by.slices == 1 ? g.m : kMixedSums / columns.width() / kMixedRows * kMixedRows;
        for (int64_t m0 = 0; m0 < g.m; m0 += rows)
            for (int64_t slice = 0; slice < by.slices; ++slice)
                multiply_block(Block(g, by, columns, m0, least(g.m, m0 + rows), slice));
    }
}

template <class H>
void widen_all(const H* x, int64_t n, float* y) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, load_wide(x + i));
    if (i == n) return;
    if (n > kLanes)  // once more what overlaps
        store(y + n - kLanes, load_wide(x + n - kLanes));
    else
        store_part(y, load_part(x, n), n);
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
