// Matrix product for operands of any strides: register tiles of MR rows by NV vectors, B taken in place where its rows
// are contiguous and few row tiles would use a packed copy, packed into panels otherwise, by the first tile that reads them where
// it can. A is read by broadcasts where it lies; only a transposed A of many values a row is packed. Meanwhile the tiles fetch
// what comes next into the cache.
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
        *reinterpret_cast<Loose*>(out + whole) = load_first(row + whole, static_cast<int>(columns - whole));
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

// The rows of a block of a transposed A, kRows of them side by side for each k: tiles of kc * kRows values. (The rows of a plain
// A are read where they are: each is a stream of its own.) A few lines of A at a time, each read from one end to the other.
template <class T>
void pack_block(const T* a, int64_t a_col, int64_t rows, int64_t kc, T* out) {
    constexpr int64_t lines = 8;
    for (int64_t k0 = 0; k0 < kc; k0 += lines) {
        const int64_t k1 = kc - k0 < lines ? kc : k0 + lines;
        for (int64_t m = 0; m < rows; m += kRows) {
            const int64_t count = rows - m < kRows ? rows - m : kRows;
            T* to = out + m * kc;
            for (int64_t k = k0; k < k1; ++k)
                if (count == kRows)
                    std::memcpy(to + k * kRows, a + m + k * a_col, kRows * sizeof(T));
                else
                    std::memcpy(to + k * kRows, a + m + k * a_col, static_cast<size_t>(count) * sizeof(T));
        }
    }
}

// How n and k are divided. Panels of about one width: a narrow one leaves the vector units waiting.
template <class T>
struct Blocking {
    static constexpr int64_t lanes = Simd<T>::lanes;
    int64_t n, vectors, panels, depth;
    Blocking(int64_t columns, int64_t k)
        : n(columns), vectors((n + lanes - 1) / lanes), panels((vectors + kVectors - 1) / kVectors), depth(0) {
        if (const int64_t blocks = gemm_blocks(k); blocks > 0) depth = (k + blocks - 1) / blocks;
    }
    // The first column of a panel.
    [[nodiscard]] int64_t begin(int64_t panel) const { return panel == panels ? n : panel * vectors / panels * lanes; }
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

// What the tiles of a block fetch for later ones, so that a product with little arithmetic for each value it reads does not wait
// for memory.
template <class T>
class Fetcher {
  public:
    // For tiles of `rows` rows of A from `first` on, with the values of k from k0 on. `by_rows`: they go through all panels
    // before the next rows.
    Fetcher(const GemmArgs<T>& g, int64_t panels, int64_t first, int64_t rows, int64_t k0, int64_t kc, bool by_rows) {
        constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
        if (g.packed != nullptr) {
            packed_ = true;
            starts_ = first == 0 && k0 == 0;
            sharing_ = (rows + kRows - 1) / kRows * (by_rows ? panels : 1);
            alone_ = by_rows ? panels : 1;
            if (by_rows) next_block_ = g.packed + panel_at(g, k0 + kc, 0, 0);
            size_ = by_rows ? next_block_ - g.packed - panel_at(g, k0, 0, 0) : kVectors * Simd<T>::lanes * kc;
        }
        if (g.next[0].at != nullptr) {  // spread over the tiles
            const auto tiles_of = [&](int64_t n) { return (n + kRows - 1) / kRows * panels; };
            const int64_t depths = (g.k + kc - 1) / kc, tiles = tiles_of(g.m) * depths,
                          before = tiles_of(first) * depths + tiles_of(rows) * (k0 / kc);
            for (int i = 0; i < 2; ++i) {
                share_[i] = ((g.next[i].count + tiles - 1) / tiles + line - 1) / line * line;
                next_at_[i] = g.next[i].at + before * share_[i];
                next_end_[i] = g.next[i].at + g.next[i].count;
            }
            given_ = true;
        } else if (g.a_col == 1 && g.a_row == kc) {  // one tile of A follows the other
            distance_ = (kTileAhead + kRows * kc - 1) / (kRows * kc) * kRows * kc;
        }
    }
    // The first panel of a block; tile number `tile` of those that read the same packed panel, or block of panels.
    void set(Tile<T>& t, bool first_panel, int64_t tile) {
        constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
        if (given_) {
            for (int i = 0; i < 2; ++i) {
                t.ahead[i] = {next_at_[i] < next_end_[i] ? next_at_[i] : nullptr, (share_[i] + t.k - 1) / t.k};
                next_at_[i] += share_[i];
            }
            return;
        }
        if (packed_) {
            // Packed panels lie in the order in which they are read. Weights that are read once a run come from far: tiles share
            // the fetching of the next panel, or block, so that there is always some arithmetic beside it. The very first to read
            // any, and one that is alone, fetch what they are going to read themselves.
            const int64_t skipped = starts_ && (first_panel || next_block_ != nullptr) ? alone_ : 0, sharing = sharing_ - skipped;
            if (tile < skipped || sharing_ == 1) {
                for (int i = 0; i < 2; ++i) t.ahead[i] = {t.b + kWeightsAhead + i * line, t.b_row};
                return;
            }
            const int64_t share = (size_ / line + sharing - 1) / sharing * line;
            fetch_during(t, (next_block_ != nullptr ? next_block_ : t.b + t.b_row * t.k) + (tile - skipped) * share, share);
            return;
        }
        if (distance_ > 0) t.ahead[0] = {first_panel ? t.a + distance_ : nullptr, kRows};
    }

  private:
    static constexpr int64_t kTileAhead = 1024;  // elements
    static constexpr int64_t kWeightsAhead = 8192 / static_cast<int64_t>(sizeof(T));
    const T *next_at_[2] = {}, *next_end_[2] = {};
    int64_t share_[2] = {};
    bool given_ = false;
    bool packed_ = false, starts_ = false;
    int64_t distance_ = 0, sharing_ = 1, alone_ = 1, size_ = 0;
    const T* next_block_ = nullptr;
};

// A rectangle of memory that a few tiles fetch, in strips as wide as a tile.
template <class T>
class Strips {
  public:
    Strips() = default;
    // `tiles` share the work.
    Strips(const T* at, int64_t step, int64_t rows, int64_t columns, int64_t tiles)
        : at_(at), step_(step), rows_(rows), left_((columns + kWidth - 1) / kWidth * rows), each_((left_ + tiles - 1) / tiles) {}
    AheadRows<T> take(int64_t most) {
        if (left_ == 0) return {};
        const int64_t strip = done_ / rows_, row = done_ % rows_;
        int64_t count = each_ < most ? each_ : most;
        if (count > rows_ - row) count = rows_ - row;
        if (count > left_) count = left_;
        done_ += count, left_ -= count;
        return {at_ + strip * kWidth + row * step_, step_, count};
    }

  private:
    static constexpr int64_t kWidth = kVectors * Simd<T>::lanes;
    const T* at_ = nullptr;
    int64_t step_ = 0, rows_ = 1, left_ = 0, each_ = 0, done_ = 0;
};

// Columns of B for tiles of kc values: where they are, or a packed copy, which the first tile makes if it comes `from` elsewhere.
template <class T>
struct Panel {
    const T* b;
    int64_t row, first, columns;
    int vectors, tail;
    const T* from = nullptr;
    T* to = nullptr;
};

enum class Source : uint8_t { in_place, copied_by_first_tile, packed };

// `to` is where a copy goes.
template <class T>
Panel<T> bring_panel(const GemmArgs<T>& g, int64_t k0, int64_t kc, int64_t n0, int64_t columns, Source source, T* to) {
    constexpr int64_t lanes = Simd<T>::lanes;
    const int64_t vectors = (columns + lanes - 1) / lanes, tail = columns - (vectors - 1) * lanes;
    Panel<T> p{to, vectors * lanes, n0, columns, static_cast<int>(vectors), static_cast<int>(tail)};
    const T* b = g.b + k0 * g.b_row + n0 * g.b_col;
    if (g.packed != nullptr)
        p.b = g.packed + panel_at(g, k0, kc, n0);
    else if (source == Source::packed || g.b_col != 1 || tail != lanes)
        pack_panel(g, k0, kc, n0, columns, vectors * lanes, to);
    else if (source == Source::in_place)
        p.b = b, p.row = g.b_row;
    else
        p.from = b, p.to = to;
    return p;
}

// Rows [first, first + rows) of A and values [k0, k0 + kc) of k. Blocks go by k first.
template <class T>
struct Block {
    int64_t most_rows, depth, first, k0, rows, kc;
    Block(const GemmArgs<T>& g, int64_t most_rows, int64_t depth, int64_t first, int64_t k0)
        : most_rows(most_rows), depth(depth), first(first), k0(k0) {
        rows = g.m - first < most_rows ? g.m - first : most_rows;
        kc = g.k - k0 < depth ? g.k - k0 : depth;
    }
    [[nodiscard]] Block next(const GemmArgs<T>& g) const {
        return k0 + kc < g.k ? Block(g, most_rows, depth, first, k0 + kc) : Block(g, most_rows, depth, first + rows, 0);
    }
    [[nodiscard]] int64_t tiles() const { return (rows + kRows - 1) / kRows; }
};

template <class T>
Strips<T> strips_of_a(const GemmArgs<T>& g, int64_t first, int64_t rows, int64_t k0, int64_t kc, int64_t tiles) {
    const T* at = g.a + first * g.a_row + k0 * g.a_col;
    return g.a_col == 1 ? Strips<T>(at, g.a_row, rows, kc, tiles) : Strips<T>(at, g.a_col, kc, rows, tiles);
}
template <class T>
Strips<T> strips_of_b(const GemmArgs<T>& g, const Block<T>& block, int64_t n0, int64_t columns, int64_t tiles) {
    const T* at = g.b + block.k0 * g.b_row + n0 * g.b_col;
    return g.b_col == 1 ? Strips<T>(at, g.b_row, block.kc, columns, tiles) : Strips<T>(at, g.b_col, columns, block.kc, tiles);
}

}  // namespace

template <class T>
void pack_b(const GemmArgs<T>& g, int64_t block, T* out) {
    constexpr int64_t lanes = Simd<T>::lanes;
    static_assert(16 % lanes == 0);
    const Blocking<T> by(g.n, g.k);
    const int64_t k0 = block * by.depth, kc = g.k - k0 < by.depth ? g.k - k0 : by.depth;
    for (int64_t p = 0; p < by.panels && kc > 0; ++p) {
        const int64_t n0 = by.begin(p), columns = by.begin(p + 1) - n0, width = (columns + lanes - 1) / lanes * lanes;
        pack_panel(g, k0, kc, n0, columns, width, out + panel_at(g, k0, kc, n0));
    }
}

template <class T>
void gemm(const GemmArgs<T>& g) {
    constexpr int64_t lanes = Simd<T>::lanes, most_panels = 16, few_rows = 4 * kRows;
    static_assert(lanes * kVectors <= kGemmMaxPanel && kGemmMostRows % kRows == 0);
    if (g.k == 0 && !g.accumulate)
        for (int64_t i = 0; i < g.m; ++i)
            for (int64_t j = 0; j < g.n; ++j) g.c[i * g.ldc + j] = g.ending.add != nullptr ? g.ending.add[i * g.ldc + j] : T{0};
    if (g.k == 0 || g.n == 0) return;
    const Blocking<T> by(g.n, g.k);
    const int64_t panels = by.panels;
    const auto columns_of = [&](int64_t p) { return by.begin(p + 1) - by.begin(p); };
    T* const packed_a = g.pack + gemm_panel_elements(g.k);
    // A small B is packed as a whole, once, and whole rows of the result are written one after the other.
    const bool whole_b = g.packed == nullptr && panels > 1 && panels <= most_panels && (g.a_col == 1 || g.k <= kGemmLooseDepth) &&
                         g.k <= kGemmDepth && by.vectors * lanes * g.k <= kGemmWholeB;
    T last_bias[kGemmMaxPanel] = {};  // of a panel that ends within a vector
    Panel<T> whole[most_panels];
    for (int64_t p = 0; whole_b && p < panels; ++p)
        whole[p] = bring_panel(g, 0, g.k, by.begin(p), columns_of(p), g.m <= few_rows ? Source::in_place : Source::packed,
                               g.pack + by.begin(p) * g.k);
    // Few columns and several blocks of k: all panels of a block stay in the L2 cache, packed once, and rows of A pass by.
    const bool share_b = !whole_b && panels > 1 && panels <= most_panels && g.n <= kGemmSharedColumns && g.k > by.depth &&
                         g.a_col == 1 && g.m > few_rows;
    const int64_t most_rows = share_b ? g.m : gemm_rows(g.k);
    for (Block<T> block(g, most_rows, by.depth, 0, 0); block.first < g.m; block = block.next(g)) {
        const int64_t first = block.first, last = first + block.rows, k0 = block.k0, kc = block.kc, tiles = block.tiles();
        const bool pack_a = g.a_row == 1 && g.a_col != 1 && kc > kGemmLooseDepth && panels > 1;
        if (pack_a) pack_block(g.a + first + k0 * g.a_col, g.a_col, block.rows, kc, packed_a);
        Fetcher<T> fetcher(g, panels, first, block.rows, k0, kc, share_b);
        // What comes into the cache meanwhile: rows of A and columns of B for later tiles.
        Strips<T> next_a, next_b;
        const Block<T> next = block.next(g);
        const bool ends = k0 + kc == g.k && g.ending.changes_tiles();
        const T* const add = k0 > 0 || g.accumulate ? g.c : g.ending.add;
        const T* second = add != g.c ? add : nullptr;  // what a tile reads or writes besides its operands and its result
        if (ends && g.ending.slope != nullptr) second = g.ending.slope;
        if (ends && g.ending.factor != nullptr) second = g.ending.factor;
        const auto finish_tile = [&](T* c, int64_t at, int64_t rows, const Panel<T>& p) {
            Ending<T> end{};
            end.act = g.ending.act;
            if (g.ending.slope != nullptr) end.slope = g.ending.slope + at;
            if (g.ending.factor != nullptr) end.factor = g.ending.factor + at, end.sums = g.ending.sums + p.first;
            finish(c, rows, p.columns, g.ldc, end);
        };
        const bool has_bias = k0 == 0 && g.ending.bias != nullptr;
        Tile<T> t{};  // what differs from one to the next is set for each
        t.a_row = g.a_row, t.a_col = pack_a ? kRows : g.a_col;
        t.ldc = g.ldc, t.k = kc;
        const auto multiply = [&](const Panel<T>& p, int64_t m0, int64_t tile) __attribute__((always_inline)) {
            const int64_t rows = last - m0 < kRows ? last - m0 : kRows;
            t.a = pack_a ? packed_a + (m0 - first) * kc : g.a + m0 * g.a_row + k0 * g.a_col;
            const bool copies = p.from != nullptr && m0 == first;
            t.b = copies ? p.from : p.b, t.b_row = copies ? g.b_row : p.row, t.copy_b = copies ? p.to : nullptr;
            t.c = g.c + m0 * g.ldc + p.first;
            t.tail = p.tail;
            fetcher.set(t, p.first == 0, tile);
            if (has_bias) {
                t.bias = g.ending.bias + p.first;
                if (p.tail != lanes) {  // read in whole vectors
                    std::memcpy(last_bias, t.bias, static_cast<size_t>(p.columns) * sizeof(T));
                    t.bias = last_bias;
                }
            }
            const int64_t at = m0 * g.ldc + p.first;
            t.add = add != nullptr ? add + at : nullptr;
            TileKind kind = copies ? TileKind::copies_b : g.near ? TileKind::near : TileKind::plain;
            if (ends && g.ending.factor != nullptr && p.tail == lanes && !copies) {
                kind = TileKind::multiplies;
                t.factor = g.ending.factor + at, t.sums = g.ending.sums + p.first;
            }
            if (int64_t most = kc / kRowStep - kRows; most > 0) {
                if (second != nullptr && most >= kRows) t.rows[0] = {second + at, g.ldc, rows}, most -= rows;
                t.rows[1] = next_b.take(most);
                t.rows[2] = next_a.take(most - t.rows[1].count);
            }
            tile_function<T>(static_cast<int>(rows), p.vectors, kind)(t);
            if (ends && kind != TileKind::multiplies) finish_tile(t.c, at, rows, p);
        };
        if (whole_b || share_b) {
            if (share_b) {
                for (int64_t p = 0; p < panels; ++p)
                    whole[p] = bring_panel(g, k0, kc, by.begin(p), columns_of(p), Source::copied_by_first_tile,
                                           g.pack + by.begin(p) * kc);
                if (next.first < g.m && g.packed == nullptr) next_b = strips_of_b(g, next, 0, g.n, tiles * panels);
            }
            for (int64_t m0 = first; m0 < last; m0 += kRows) {
                if (share_b && m0 + kRows < last) next_a = strips_of_a(g, m0 + kRows, kRows, k0, kc, panels);
                for (int64_t p = 0; p < panels; ++p) multiply(whole[p], m0, (m0 - first) / kRows * panels + p);
            }
            continue;
        }
        if (next.first < g.m && panels > 1) next_a = strips_of_a(g, next.first, next.rows, next.k0, next.kc, tiles * panels);
        for (int64_t i = 0; i < panels; ++i) {
            const Panel<T> p = bring_panel(g, k0, kc, by.begin(i), columns_of(i),
                                           block.rows <= few_rows ? Source::in_place : Source::copied_by_first_tile, g.pack);
            next_b = {};
            if (g.packed == nullptr && g.next[0].at == nullptr) {
                if (i + 1 < panels)
                    next_b = strips_of_b(g, block, by.begin(i + 1), columns_of(i + 1), tiles);
                else if (next.first < g.m)
                    next_b = strips_of_b(g, next, 0, columns_of(0), tiles);
            }
            for (int64_t m0 = first; m0 < last; m0 += kRows) multiply(p, m0, (m0 - first) / kRows);
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
