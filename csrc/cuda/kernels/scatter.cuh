// Scatters, from indices sorted by row and, in a row, by position: who reads a run of equal rows meets the updates of that row in
// the order of the indices. Bad indices stand behind all others, as row `n`.

template <class I, class Item, int shift, i64 n, bool report> struct FromIndices {
    FK_FN Item of(const I* indices, i64, i64 j, Error* error) {
        const i64 row = read_index<I, true, report>(indices, j, n, error);
        return Items<Item, shift>::of(row < 0 ? n : row, (u32)j);
    }
};
// Along an axis every element has an index of its own: rows are elements of x.
template <class I, class Item, int shift, i64 outer, i64 n, i64 m, i64 inner> struct FromElements {
    FK_FN Item of(const I* indices, i64, i64 j, Error* error) {
        const i64 at = read_index<I, true, true>(indices, j, n, error);
        return Items<Item, shift>::of(at < 0 ? outer * n * inner : (j / (m * inner) * n + at) * inner + j % inner, (u32)j);
    }
};

// Nothing to do where both are one buffer.
template <class Word, i64 count, i64 blocks> FK_FN void copy_unless_same(const Word* x, Word* out) {
    if (x == out) return;
    for (i64 g = (i64)blockIdx.x * 256 + threadIdx.x; g < count; g += blocks * 256) out[g] = x[g];
}

// The first of `m` sorted items whose row is `row` or behind it.
template <class Item, int shift> FK_FN i64 first_of_row(const Item* items, i64 m, u64 row) {
    i64 low = 0, high = m;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (Items<Item, shift>::key(items[middle]) < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// out[o, row] = x[o, row] + the updates of the row. A thread adds `width` neighbouring elements over a chunk of the sorted
// indices; a row whose run goes over the end of a chunk leaves partial sums: [o, chunk, whether it begins in that chunk].
template <class M, class C, class Item, int shift, int width, int chunk, i64 outer, i64 n, i64 m, i64 inner>
FK_FN void add_rows(const Item* items, const M* x, const M* updates, M* out, C* partial) {
    typedef Items<Item, shift> In;
    const i64 chunks = (m + chunk - 1) / chunk, g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g >= outer * chunks * inner) return;
    const i64 i = g % inner, c = g / inner % chunks, o = g / inner / chunks;
    const i64 begin = c * chunk, end = begin + chunk < m ? begin + chunk : m;
    u64 row = In::key(items[begin]);
    bool whole = c == 0 || In::key(items[begin - 1]) != row;
    C sums[width];
    const auto start = [&] {
        Vec<M, width> from = {};
        if (whole && row < n) from = load_vec<width>(x + ((o * n + row) * inner + i) * width);
        #pragma unroll
        for (int e = 0; e < width; ++e) sums[e] = whole ? (C)widen(from.at[e]) : (C)0;
    };
    const auto keep = [&](i64 slot) {
        #pragma unroll
        for (int e = 0; e < width; ++e) partial[(((o * chunks + c) * 2 + slot) * inner + i) * width + e] = sums[e];
    };
    const auto finish = [&] {
        Vec<M, width> to;
        #pragma unroll
        for (int e = 0; e < width; ++e) to.at[e] = Memory<M>::of(sums[e]);
        store_vec<width>(out + ((o * n + row) * inner + i) * width, to);
    };
    start();
    for (i64 from = begin; from < end; from += 4) {
        Item item[4];
        Vec<M, width> update[4];
        #pragma unroll
        for (int k = 0; k < 4; ++k) {  // on their way together
            item[k] = items[from + k < end ? from + k : end - 1];
            update[k] = load_vec<width>(updates + ((o * m + In::at(item[k])) * inner + i) * width);
        }
        #pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (from + k >= end) break;
            if (In::key(item[k]) != row) {
                if (whole)
                    finish();
                else
                    keep(0);
                row = In::key(item[k]);
                whole = true;
                start();
            }
            if (row >= n) return;
            #pragma unroll
            for (int e = 0; e < width; ++e) sums[e] = p::add(sums[e], (C)widen(update[k].at[e]));
        }
    }
    const bool ends = end == m || In::key(items[end]) != row;
    if (!whole)
        keep(0);
    else if (ends)
        finish();
    else
        keep(1);
}
// Adds up the partial sums of the rows that begin in a chunk and end in a later one.
template <class M, class C, class Item, int shift, int width, int chunk, i64 outer, i64 n, i64 m, i64 inner>
FK_FN void finish_rows(const Item* items, const C* partial, M* out) {
    typedef Items<Item, shift> In;
    const i64 chunks = (m + chunk - 1) / chunk, g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g >= outer * chunks * inner * width) return;
    const i64 i = g % (inner * width), c = g / (inner * width) % chunks, o = g / (inner * width) / chunks;
    const i64 begin = c * chunk, end = begin + chunk;
    if (end >= m) return;
    const u64 row = In::key(items[end]);
    if (row >= n || In::key(items[end - 1]) != row || (c > 0 && In::key(items[begin - 1]) == row)) return;
    const i64 last = (end + first_of_row<Item, shift>(items + end, m - end, row + 1) - 1) / chunk;
    const C* from = partial + (o * chunks + c) * 2 * inner * width + i;
    C sum = from[inner * width];
    #pragma unroll 8
    for (i64 d = 1; d <= last - c; ++d) sum = p::add(sum, from[d * 2 * inner * width]);
    out[(o * n + row) * inner * width + i] = Memory<M>::of(sum);
}

// x with an update to each line of `m` indices, by a thread to the line.
template <class M, class C, class I, i64 lines, i64 n, i64 m, i64 inner>
FK_FN void add_along(const I* indices, const M* updates, M* out, Error* error) {
    const i64 line = (i64)blockIdx.x * 256 + threadIdx.x;
    if (line >= lines) return;
    for (i64 j = 0; j < m; ++j) {
        const i64 from = (line / inner * m + j) * inner + line % inner, at = read_index<I, true, true>(indices, from, n, error);
        if (at < 0) continue;
        const i64 to = (line / inner * n + at) * inner + line % inner;
        out[to] = Memory<M>::of(p::add((C)widen(out[to]), (C)widen(updates[from])));
    }
}

// The last update of each row is what it gets.
template <class Word, class Item, int shift, i64 n, i64 m, i64 inner>
FK_FN void set_rows(const Item* items, const Word* updates, Word* out) {
    typedef Items<Item, shift> In;
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g >= m * inner) return;
    const i64 at = g / inner, i = g % inner;
    const u64 row = In::key(items[at]);
    if (row < n && (at + 1 == m || In::key(items[at + 1]) != row)) out[row * inner + i] = updates[In::at(items[at]) * inner + i];
}

// For each index the position of the first one of its row.
template <class Item, int shift, i64 m> FK_FN void first_positions(const Item* items, i32* out) {
    typedef Items<Item, shift> In;
    const i64 at = (i64)blockIdx.x * 256 + threadIdx.x;
    if (at >= m) return;
    out[In::at(items[at])] = (i32)In::at(items[first_of_row<Item, shift>(items, at + 1, In::key(items[at]))]);
}
