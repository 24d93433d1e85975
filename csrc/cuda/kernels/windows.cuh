// Windows over up to three spatial dimensions, channels last: what convolutions (conv.cuh) and poolings (pool.cuh) are made of.
// All sizes are constants, so that the divisions that find a position are multiplications. I: i32 where offsets fit.
template <class I, I d_, I h_, I w_> struct Three {
    static constexpr I d = d_, h = h_, w = w_, all = d_ * h_ * w_;
};
// A node; for a pooling, filters are the channels and groups have one of them.
template <class I_, I_ batch_, I_ channels_, I_ filters_, I_ groups_, class In_, class Out_, class Window_, class Stride_,
          class Dilation_, class Low_>
struct Windows {
    typedef I_ I;
    typedef In_ In;
    typedef Out_ Out;
    typedef Window_ Window;
    typedef Stride_ Stride;
    typedef Dilation_ Dilation;
    typedef Low_ Low;
    static constexpr I batch = batch_, channels = channels_, filters = filters_, groups = groups_;
    static constexpr I depth = channels / groups, width = filters / groups;  // channels and filters of a group
    static constexpr I positions = batch * Out::all, points = batch * In::all;
    // No window reaches over the border.
    static constexpr bool whole_d = Low::d == 0 && (Out::d - 1) * Stride::d + (Window::d - 1) * Dilation::d < In::d;
    static constexpr bool whole_h = Low::h == 0 && (Out::h - 1) * Stride::h + (Window::h - 1) * Dilation::h < In::h;
    static constexpr bool whole_w = Low::w == 0 && (Out::w - 1) * Stride::w + (Window::w - 1) * Dilation::w < In::w;
};
template <class I> struct Point {
    I n, d, h, w;
};
// Of position number `p` of images of `Dims`; of a tap, n is 0.
template <class Dims, class I> FK_FN Point<I> point_of(I p) {
    typedef typename Unsigned<I>::type U;
    const U u = (U)p, rows = u / (U)Dims::w, planes = rows / (U)Dims::h;
    return {(I)(planes / (U)Dims::d), (I)(planes % (U)Dims::d), (I)(rows % (U)Dims::h), (I)(u % (U)Dims::w)};
}
// Where the window of an output position begins, perhaps outside the input.
template <class S> FK_FN Point<typename S::I> window_of(const Point<typename S::I>& out) {
    return {out.n, out.d * S::Stride::d - S::Low::d, out.h * S::Stride::h - S::Low::h, out.w * S::Stride::w - S::Low::w};
}
template <class S> FK_FN Point<typename S::I> tap_of(typename S::I tap) {
    const Point<typename S::I> k = point_of<typename S::Window>(tap);
    return {0, k.d * S::Dilation::d, k.h * S::Dilation::h, k.w * S::Dilation::w};
}
// The element of the first channel at a place of images of `Dims`; linear, so that places may be added.
template <class Dims, class I> FK_FN I offset_of(const Point<I>& p, I channels) {
    return (((p.n * Dims::d + p.d) * Dims::h + p.h) * Dims::w + p.w) * channels;
}
template <class I> FK_FN bool within(I x, I size) { return x >= 0 && x < size; }
template <class S, class I> FK_FN bool in_input(const Point<I>& window, const Point<I>& tap) {
    return (S::whole_d || within<I>(window.d + tap.d, S::In::d)) && (S::whole_h || within<I>(window.h + tap.h, S::In::h)) &&
           (S::whole_w || within<I>(window.w + tap.w, S::In::w));
}

constexpr int greatest_common(int a, int b) { return b == 0 ? a : greatest_common(b, a % b); }
// Along one dimension, the taps of a window that reach an input position: every `step`th from `first` on, `count` of them. They
// depend on the position modulo the stride. Tap number m belongs to output (position / stride) + shift - m * hop.
template <class I, I window, I stride, I dilation, I low> struct Reach {
    static constexpr I gcd = greatest_common(stride, dilation), step = stride / gcd, hop = dilation / gcd;
    I first, count, shift;
    explicit Reach(I residue) {
        first = 0;
        if (stride > 1)
            while (first < step && (residue + low - first * dilation) % stride != 0) ++first;
        count = first < step && first < window ? (window - 1 - first) / step + 1 : 0;
        shift = (residue + low - first * dilation) / stride;  // nobody asks where the count is 0
    }
};
template <class S> struct Reach3 {
    typedef typename S::I I;
    typedef typename S::Window K;
    typedef typename S::Stride T;
    typedef typename S::Dilation D;
    typedef typename S::Low L;
    Reach<I, K::d, T::d, D::d, L::d> d;
    Reach<I, K::h, T::h, D::h, L::h> h;
    Reach<I, K::w, T::w, D::w, L::w> w;
    explicit Reach3(const Point<I>& p) : d(p.d % T::d), h(p.h % T::h), w(p.w % T::w) {}
    [[nodiscard]] I count() const { return d.count * h.count * w.count; }
    // The first output that tap (0, 0, 0) of those that reach it leads to.
    [[nodiscard]] Point<I> first_output(const Point<I>& p) const {
        return {p.n, p.d / T::d + d.shift, p.h / T::h + h.shift, p.w / T::w + w.shift};
    }
};

// Number `t` of the taps that reach a position, and how many outputs it is away from the first.
template <class S> FK_FN Point<typename S::I> reaching_tap(const Reach3<S>& r, typename S::I t) {
    typedef typename Unsigned<typename S::I>::type U;
    const U u = (U)t, rows = u / (U)r.w.count;
    return {0, (typename S::I)(rows / (U)r.h.count), (typename S::I)(rows % (U)r.h.count), (typename S::I)(u % (U)r.w.count)};
}
template <class S> FK_FN Point<typename S::I> hops_of(const Reach3<S>& r, const Point<typename S::I>& tap) {
    return {0, tap.d * r.d.hop, tap.h * r.h.hop, tap.w * r.w.hop};
}
template <class S> FK_FN bool in_output(const Point<typename S::I>& first, const Point<typename S::I>& hops) {
    typedef typename S::I I;
    return within<I>(first.d - hops.d, S::Out::d) && within<I>(first.h - hops.h, S::Out::h) &&
           within<I>(first.w - hops.w, S::Out::w);
}
// Where that tap is in the window.
template <class S> FK_FN typename S::I tap_number(const Reach3<S>& r, const Point<typename S::I>& tap) {
    typedef typename S::Window K;
    return ((r.d.first + tap.d * r.d.step) * K::h + r.h.first + tap.h * r.h.step) * K::w + r.w.first + tap.w * r.w.step;
}

// As many of the values as 16 bytes hold at a time; n is a power of 2.
template <int n, class C, class M> FK_FN void read_values(const M* from, C* to) {
    constexpr int most = 16 / (int)sizeof(M), word = n < most ? n : most;
    #pragma unroll
    for (int i = 0; i < n; i += word) {
        const Vec<M, word> v = load_vec<word>(from + i);
        #pragma unroll
        for (int j = 0; j < word; ++j) to[i + j] = (C)widen(v.at[j]);
    }
}
template <int n, class C, class M> FK_FN void write_values(M* to, const C* from) {
    constexpr int most = 16 / (int)sizeof(M), word = n < most ? n : most;
    #pragma unroll
    for (int i = 0; i < n; i += word) {
        Vec<M, word> v;
        #pragma unroll
        for (int j = 0; j < word; ++j) v.at[j] = Memory<M>::of(from[i + j]);
        store_vec<word>(to + i, v);
    }
}
