// Sorting. What is sorted are items: an order in the high bits and a position in the low ones, in one number where both fit; no
// two of a line are equal, so every sort is stable. A block sorts pieces of lines in shared memory, others merge sorted runs.

// What orders values as unsigned numbers: NaN last, -0 equal to 0.
FK_FN u32 order_key(b8 x) { return x.set; }
FK_FN u32 order_key(u8 x) { return x; }
FK_FN u32 order_key(u16 x) { return x; }
FK_FN u32 order_key(u32 x) { return x; }
FK_FN u64 order_key(u64 x) { return x; }
FK_FN u32 order_key(i8 x) { return (u8)x ^ 0x80u; }
FK_FN u32 order_key(i16 x) { return (u16)x ^ 0x8000u; }
FK_FN u32 order_key(i32 x) { return (u32)x ^ 0x80000000u; }
FK_FN u64 order_key(i64 x) { return (u64)x ^ 0x8000000000000000ull; }
template <class M, class Bits> FK_FN Bits floating_key(M x, Bits sign) {
    Bits bits;
    memcpy(&bits, &x, sizeof bits);
    const Bits magnitude = bits & (Bits)(sign - 1);
    if (!(widen(x) == widen(x))) return (Bits)(sign | (sign - 1));
    return magnitude == 0 ? sign : (bits & sign) != 0 ? (Bits)~bits : (Bits)(bits | sign);
}
FK_FN u32 order_key(f16 x) { return floating_key<f16, u16>(x, 0x8000); }
FK_FN u32 order_key(bf16 x) { return floating_key<bf16, u16>(x, 0x8000); }
FK_FN u32 order_key(f32 x) { return floating_key<f32, u32>(x, 0x80000000u); }
FK_FN u64 order_key(f64 x) { return floating_key<f64, u64>(x, 0x8000000000000000ull); }
template <int bytes> struct KeyOf { typedef u32 type; };
template <> struct KeyOf<8> { typedef u64 type; };
// The greatest key of a type, which is that of NaN in floating ones.
template <class M> struct LastKey {
    typedef typename KeyOf<sizeof(M)>::type Key;
    static const Key value = (Key)(~0ull >> (64 - 8 * sizeof(M)));
};

struct Ranked {  // an item of more than 64 bits
    u64 key;
    u32 at;
};
FK_FN bool before(u32 a, u32 b) { return a < b; }
FK_FN bool before(u64 a, u64 b) { return a < b; }
FK_FN bool before(const Ranked& a, const Ranked& b) { return a.key != b.key ? a.key < b.key : a.at < b.at; }
template <class Item, int shift> struct Items {
    FK_FN Item of(u64 key, u32 at) { return (Item)key << shift | at; }
    FK_FN Item last() { return (Item)~(Item)0; }
    FK_FN u64 key(Item x) { return x >> shift; }
    FK_FN u32 at(Item x) { return (u32)(x & (((Item)1 << shift) - 1)); }
};
template <int shift> struct Items<Ranked, shift> {
    FK_FN Ranked of(u64 key, u32 at) {
        Ranked r;
        r.key = key, r.at = at;
        return r;
    }
    FK_FN Ranked last() { return of(~0ull, ~0u); }
    FK_FN u64 key(const Ranked& x) { return x.key; }
    FK_FN u32 at(const Ranked& x) { return x.at; }
};

// Where items come from: element j of a line.
template <class M, class Item, int shift, bool falling, i64 n, i64 inner> struct FromTensor {
    FK_FN Item of(const M* x, i64 line, i64 j, Error*) {
        const u64 key = order_key(x[(line / inner * n + j) * inner + line % inner]);
        return Items<Item, shift>::of(falling ? LastKey<M>::value - key : key, (u32)j);
    }
};
template <class Item, i64 n> struct FromItems {
    FK_FN Item of(const Item* x, i64 line, i64 j, Error*) { return x[line * n + j]; }
};
// Where the sorted ones go: place `at` of a line. The last ones leave the values and positions of the first k of each line.
template <class Item, i64 n> struct ToItems {
    FK_FN void put(const Item*, Item* to, Item*, i64 line, i64 at, Item item) { to[line * n + at] = item; }
};
template <class M, class Item, int shift, i64 n, i64 k, i64 inner> struct ToTensor {
    FK_FN void put(const M* x, M* values, i32* positions, i64 line, i64 at, Item item) {
        if (at >= k) return;
        const i64 outer = line / inner, i = line % inner, to = (outer * k + at) * inner + i;
        const u32 from = Items<Item, shift>::at(item);
        if (values != 0) values[to] = x[(outer * n + from) * inner + i];
        if (positions != 0) positions[to] = (i32)from;
    }
};

// Pieces of `run` items (a power of two), `tile` items a block; the first `keep` of each piece go on.
template <class Item, int shift, class Source, class Sink, i64 lines, i64 n, int tile, int run, i64 keep,
          class S, class X, class A, class B>
FK_FN void sort_pieces(const S* source, const X* x, A* a, B* b, Error* error) {
    __shared__ Item items[tile];
    const i64 pieces = (n + run - 1) / run, kept = keep < run ? pieces * keep : n, first = (i64)blockIdx.x * (tile / run);
    for (int t = threadIdx.x; t < tile; t += 256) {
        const i64 piece = first + t / run, line = piece / pieces, j = piece % pieces * run + t % run;
        items[t] = line < lines && j < n ? Source::of(source, line, j, error) : Items<Item, shift>::last();
    }
    #pragma unroll 1
    for (int size = 2; size <= run; size *= 2)
        #pragma unroll 1
        for (int stride = size / 2; stride > 0; stride /= 2) {
            __syncthreads();
            for (int p = threadIdx.x; p < tile / 2; p += 256) {
                const int low = 2 * p - (p & (stride - 1)), high = low + stride;
                const bool rising = size == run || (low & size) == 0;
                const Item l = items[low], h = items[high];
                if (before(h, l) == rising) items[low] = h, items[high] = l;
            }
        }
    __syncthreads();
    for (int t = threadIdx.x; t < tile; t += 256) {
        const i64 piece = first + t / run, line = piece / pieces, at = piece % pieces * keep + t % run;
        if (line < lines && t % run < keep && at < kept) Sink::put(x, a, b, line, at, items[t]);
    }
}

// How many of the first `d` items of two sorted runs, merged, are from the first one.
template <class Item> FK_FN i64 merge_split(const Item* first, i64 count, const Item* second, i64 second_count, i64 d) {
    i64 low = d > second_count ? d - second_count : 0, high = d < count ? d : count;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (before(second[d - 1 - middle], first[middle]))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// Merges neighbouring runs of `run` items (a multiple of a block's) in each line of n; a thread leaves `own` items.
template <class Item, class Sink, int own, i64 n, class X, class A, class B>
FK_FN void merge_runs(const Item* from, const X* x, A* a, B* b, i64 run) {
    const int tile = 256 * own;
    __shared__ Item items[tile];
    __shared__ i64 split[2];
    const i64 tiles = (n + tile - 1) / tile, line = blockIdx.x / tiles, begin = blockIdx.x % tiles * tile;
    const i64 pair = begin / (2 * run) * (2 * run);
    const i64 first_count = n - pair < run ? n - pair : run;
    const i64 second_count = n - pair - first_count < run ? n - pair - first_count : run;
    const Item* first = from + line * n + pair;
    const Item* second = first + first_count;
    const i64 d = begin - pair, rest = first_count + second_count - d;
    const int count = rest < tile ? (int)rest : tile;
    if (threadIdx.x % 32 == 0 && threadIdx.x < 64)
        split[threadIdx.x / 32] = merge_split(first, first_count, second, second_count, threadIdx.x == 0 ? d : d + count);
    __syncthreads();
    const int ours = (int)(split[1] - split[0]);
    for (int t = threadIdx.x; t < count; t += 256)
        items[t] = t < ours ? first[split[0] + t] : second[d - split[0] + t - ours];
    __syncthreads();
    const int at = (int)threadIdx.x * own < count ? threadIdx.x * own : count;
    int l = (int)merge_split<Item>(items, ours, items + ours, count - ours, at), r = ours + at - l;
    Item merged[own];
    #pragma unroll
    for (int e = 0; e < own; ++e)
        if (at + e < count) merged[e] = r >= count || (l < ours && before(items[l], items[r])) ? items[l++] : items[r++];
    __syncthreads();
    #pragma unroll
    for (int e = 0; e < own; ++e)
        if (at + e < count) items[at + e] = merged[e];
    __syncthreads();
    for (int t = threadIdx.x; t < count; t += 256) Sink::put(x, a, b, line, begin + t, items[t]);
}
