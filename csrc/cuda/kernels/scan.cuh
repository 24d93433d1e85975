// Extremes with their place, and running sums and products, along an axis. Rows lie in memory one after the other and are a
// block's or a few lanes' work; of columns, each is a thread's. Long ones are cut into slices (blockIdx.y) of `part` elements.

template <class M> struct IsFloat { static const bool value = false; };
template <> struct IsFloat<f16> { static const bool value = true; };
template <> struct IsFloat<bf16> { static const bool value = true; };
template <> struct IsFloat<f32> { static const bool value = true; };
template <> struct IsFloat<f64> { static const bool value = true; };

// The best key so far and where it was; the first of equal ones.
template <class Key> struct Best {
    Key key;
    u32 at;
};
template <class M> struct Extreme {
    typedef typename KeyOf<sizeof(M)>::type Key;
    typedef Best<Key> B;
    FK_FN B none() {
        B b;
        b.key = 0, b.at = ~0u;
        return b;
    }
    // NaN is the best of all.
    template <bool largest> FK_FN B of(M x, i64 at) {
        const Key key = order_key(x), last = LastKey<M>::value;
        B b;
        b.key = largest || (IsFloat<M>::value && key == last) ? key : last - key;
        b.at = (u32)at;
        return b;
    }
    FK_FN B better(B a, B b) { return a.key > b.key || (a.key == b.key && a.at <= b.at) ? a : b; }
    template <int lanes> FK_FN B over_lanes(B b) {
        #pragma unroll
        for (int by = lanes / 2; by > 0; by /= 2) {
            B other;
            other.key = __shfl_xor_sync(0xffffffffu, b.key, by);
            other.at = __shfl_xor_sync(0xffffffffu, b.at, by);
            b = better(b, other);
        }
        return b;
    }
};

// `lanes` threads to a row; 256 of them are a block with slices.
template <class M, bool largest, int lanes, i64 lines, i64 n, i64 part, i64 slices, class Partial>
FK_FN void arg_rows(const M* x, i32* out, Partial* partial) {
    typedef Extreme<M> E;
    const i64 line = (i64)blockIdx.x * (256 / lanes) + threadIdx.x / lanes, begin = blockIdx.y * part;
    const i64 end = begin + part < n ? begin + part : n;
    typename E::B best = E::none();
    if (line < lines)
        for (i64 j = begin + threadIdx.x % lanes; j < end; j += lanes)
            best = E::better(best, E::template of<largest>(x[line * n + j], j));
    best = E::template over_lanes<(lanes < 32 ? lanes : 32)>(best);
    if (lanes == 256) {
        __shared__ typename E::B warps[8];
        if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = best;
        __syncthreads();
        if (threadIdx.x == 0)
            for (int w = 1; w < 8; ++w) best = E::better(best, warps[w]);
        __syncthreads();
    }
    if (line >= lines || threadIdx.x % lanes != 0) return;
    if (slices > 1)
        partial[blockIdx.y * lines + line] = best;
    else
        out[line] = (i32)best.at;
}
template <class M, bool largest, i64 lines, i64 n, i64 inner, i64 part, i64 slices, class Partial>
FK_FN void arg_columns(const M* x, i32* out, Partial* partial) {
    typedef Extreme<M> E;
    const i64 line = (i64)blockIdx.x * 256 + threadIdx.x, begin = blockIdx.y * part;
    if (line >= lines) return;
    const i64 end = begin + part < n ? begin + part : n;
    const M* from = x + line / inner * n * inner + line % inner;
    typename E::B best = E::none();
    #pragma unroll 4
    for (i64 j = begin; j < end; ++j) best = E::better(best, E::template of<largest>(from[j * inner], j));
    if (slices > 1)
        partial[blockIdx.y * lines + line] = best;
    else
        out[line] = (i32)best.at;
}
template <class M, i64 lines, i64 slices, class Partial> FK_FN void arg_slices(const Partial* partial, i32* out) {
    const i64 line = (i64)blockIdx.x * 256 + threadIdx.x;
    if (line >= lines) return;
    Partial best = partial[line];
    for (i64 s = 1; s < slices; ++s) best = Extreme<M>::better(best, partial[s * lines + line]);
    out[line] = (i32)best.at;
}

struct Running {
    // Of the threads of a block: what those before this one have, put together; `total` becomes that of all.
    template <class Op, class C> FK_FN C before(C x, C none, C* warps, C& total) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        #pragma unroll
        for (int by = 1; by < 32; by *= 2) {
            const C other = __shfl_up_sync(0xffffffffu, x, by);
            if (lane >= by) x = Op::of(other, x);
        }
        if (lane == 31) warps[warp] = x;
        C before = __shfl_up_sync(0xffffffffu, x, 1);
        if (lane == 0) before = none;
        __syncthreads();
        C sum = none, all = none;
        #pragma unroll
        for (int w = 0; w < 8; ++w) {
            if (w == warp) sum = all;
            all = Op::of(all, warps[w]);
        }
        total = all;
        __syncthreads();
        return Op::of(sum, before);
    }
};

// partial[line, slice]: the sum of a row's slice.
template <class M, class C, class Op, bool reverse, i64 n, i64 part, i64 slices>
FK_FN void row_totals(const M* x, C* partial, C none) {
    __shared__ C warps[8];
    const i64 line = blockIdx.x, begin = blockIdx.y * part, end = begin + part < n ? begin + part : n;
    C sum = none;
    #pragma unroll 4
    for (i64 j = begin + threadIdx.x; j < end; j += 256) sum = Op::of(sum, (C)widen(x[line * n + (reverse ? n - 1 - j : j)]));
    sum = reduce_block<Op, 256>(sum, warps);
    if (threadIdx.x == 0) partial[line * slices + blockIdx.y] = sum;
}
// Up to 256 slices. Four neighbouring elements to a thread at a time.
template <class M, class C, class Op, bool reverse, i64 n, i64 part, i64 slices>
FK_FN void scan_rows(const M* x, M* out, const C* partial, C none) {
    __shared__ C warps[8];
    const i64 line = blockIdx.x, begin = blockIdx.y * part, end = begin + part < n ? begin + part : n;
    C carry = none;
    if (slices > 1) {
        const C mine = threadIdx.x < blockIdx.y ? partial[line * slices + threadIdx.x] : none;
        Running::before<Op, C>(mine, none, warps, carry);
    }
    for (i64 from = begin; from < end; from += 1024) {
        C sums[4], sum = none, total;
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            const i64 j = from + threadIdx.x * 4 + e;
            if (j < end) sum = Op::of(sum, (C)widen(x[line * n + (reverse ? n - 1 - j : j)]));
            sums[e] = sum;
        }
        const C before = Op::of(carry, Running::before<Op, C>(sum, none, warps, total));
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            const i64 j = from + threadIdx.x * 4 + e;
            if (j < end) out[line * n + (reverse ? n - 1 - j : j)] = Memory<M>::of(Op::of(before, sums[e]));
        }
        carry = Op::of(carry, total);
    }
}

// partial[slice, line]
template <class M, class C, class Op, bool reverse, i64 lines, i64 n, i64 inner, i64 part>
FK_FN void column_totals(const M* x, C* partial, C none) {
    const i64 line = (i64)blockIdx.x * 256 + threadIdx.x, begin = blockIdx.y * part;
    if (line >= lines) return;
    const i64 end = begin + part < n ? begin + part : n, first = line / inner * n * inner + line % inner;
    C sum = none;
    #pragma unroll 4
    for (i64 j = begin; j < end; ++j) sum = Op::of(sum, (C)widen(x[first + (reverse ? n - 1 - j : j) * inner]));
    partial[blockIdx.y * lines + line] = sum;
}
template <class M, class C, class Op, bool reverse, i64 lines, i64 n, i64 inner, i64 part, i64 slices>
FK_FN void scan_columns(const M* x, M* out, const C* partial, C none) {
    const i64 line = (i64)blockIdx.x * 256 + threadIdx.x, begin = blockIdx.y * part;
    if (line >= lines) return;
    const i64 end = begin + part < n ? begin + part : n, first = line / inner * n * inner + line % inner;
    C sum = none;
    if (slices > 1)
        for (i64 s = 0; s < blockIdx.y; ++s) sum = Op::of(sum, partial[s * lines + line]);
    for (i64 from = begin; from < end; from += 4) {
        C values[4];
        #pragma unroll
        for (int e = 0; e < 4; ++e) {  // on their way together
            const i64 j = from + e < end ? from + e : end - 1;
            values[e] = (C)widen(x[first + (reverse ? n - 1 - j : j) * inner]);
        }
        #pragma unroll
        for (int e = 0; e < 4; ++e) {
            const i64 j = from + e;
            if (j >= end) break;
            sum = Op::of(sum, values[e]);
            out[first + (reverse ? n - 1 - j : j) * inner] = Memory<M>::of(sum);
        }
    }
}
