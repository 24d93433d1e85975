// Max and average pooling and their gradients (windows.cuh): a thread computes `word` neighbouring channels of one position. A
// gradient gathers from all windows that an input position lies in. A NaN is a maximum, and the first maximum of a window, in the
// order of its taps, is the one that counts. Windows count only what lies inside the input.

// The position and first channel of this thread; false: there is none left.
template <class S, class I, int word> FK_FN bool take_place(I positions, I& p, I& c) {
    typedef typename Unsigned<I>::type U;
    const i64 g = (i64)blockIdx.x * 256 + threadIdx.x;
    if (g >= (i64)positions * (S::channels / word)) return false;
    c = (I)((U)g % (U)(S::channels / word)) * word;
    p = (I)((U)g / (U)(S::channels / word));
    return true;
}
// How much of a window lies inside the input.
template <class I> FK_FN I inside_of(I begin, I window, I size) {
    return (begin + window < size ? begin + window : size) - (begin > 0 ? begin : 0);
}
template <class S> FK_FN typename S::I taps_inside(const Point<typename S::I>& window) {
    typedef typename S::I I;
    typedef typename S::Window K;
    return inside_of<I>(window.d, K::d, S::In::d) * inside_of<I>(window.h, K::h, S::In::h) *
           inside_of<I>(window.w, K::w, S::In::w);
}
template <int word, class C> FK_FN void clear(C (&values)[word]) {
    #pragma unroll
    for (int j = 0; j < word; ++j) values[j] = (C)0;
}

template <class C, class S, int word, bool max, class T, class Out> FK_FN void pool(const T* x, Out* out) {
    typedef typename S::I I;
    I p, c;
    if (!take_place<S, I, word>(S::positions, p, c)) return;
    const Point<I> window = window_of<S>(point_of<typename S::Out>(p));
    const I at = offset_of<typename S::In>(window, S::channels) + c;
    C result[word];
    clear(result);
    bool first = true;
    for (I t = 0; t < S::Window::all; ++t) {
        const Point<I> tap = tap_of<S>(t);
        if (!in_input<S>(window, tap)) continue;
        C v[word];
        read_values<word>(x + at + offset_of<typename S::In>(tap, S::channels), v);
        #pragma unroll
        for (int j = 0; j < word; ++j)
            if (max)
                result[j] = first || !(result[j] != result[j] || v[j] <= result[j]) ? v[j] : result[j];
            else
                result[j] += v[j];
        first = false;
    }
    if (!max && !first) {
        const C scale = 1 / (C)taps_inside<S>(window);
        #pragma unroll
        for (int j = 0; j < word; ++j) result[j] *= scale;
    }
    write_values<word>(out + p * S::channels + c, result);
}

template <class C, class S, int word, class T, class Out> FK_FN void avg_pool_grad(const T* dy, Out* out) {
    typedef typename S::I I;
    I p, c;
    if (!take_place<S, I, word>(S::points, p, c)) return;
    const Point<I> place = point_of<typename S::In>(p);
    const Reach3<S> reach(place);
    const Point<I> first = reach.first_output(place);
    C sums[word];
    clear(sums);
    for (I t = 0; t < reach.count(); ++t) {
        const Point<I> hops = hops_of<S>(reach, reaching_tap<S>(reach, t));
        if (!in_output<S>(first, hops)) continue;
        const Point<I> from = {first.n, first.d - hops.d, first.h - hops.h, first.w - hops.w};
        const C scale = 1 / (C)taps_inside<S>(window_of<S>(from));
        C v[word];
        read_values<word>(dy + offset_of<typename S::Out>(from, S::channels) + c, v);
        #pragma unroll
        for (int j = 0; j < word; ++j) sums[j] += v[j] * scale;
    }
    write_values<word>(out + p * S::channels + c, sums);
}

template <class C, class S, int word, class T, class Out>
FK_FN void max_pool_grad(const T* x, const T* y, const T* dy, Out* out) {
    typedef typename S::I I;
    I p, c;
    if (!take_place<S, I, word>(S::points, p, c)) return;
    const Point<I> place = point_of<typename S::In>(p);
    const Reach3<S> reach(place);
    const Point<I> first = reach.first_output(place);
    C own[word], sums[word];
    read_values<word>(x + p * S::channels + c, own);
    clear(sums);
    for (I t = 0; t < reach.count(); ++t) {
        const Point<I> number = reaching_tap<S>(reach, t), hops = hops_of<S>(reach, number);
        if (!in_output<S>(first, hops)) continue;
        const Point<I> output = {first.n, first.d - hops.d, first.h - hops.h, first.w - hops.w};
        const I from = offset_of<typename S::Out>(output, S::channels) + c;
        C best[word], given[word];
        read_values<word>(y + from, best);
        bool hit[word], any = false;
        #pragma unroll
        for (int j = 0; j < word; ++j) any |= hit[j] = own[j] == best[j] || own[j] != own[j];
        if (!any) continue;
        // Only the first maximum counts: a tap before this one may be it.
        const I tap = tap_number<S>(reach, number);
        const Point<I> inner = tap_of<S>(tap), window = {place.n, place.d - inner.d, place.h - inner.h, place.w - inner.w};
        const I at = offset_of<typename S::In>(window, S::channels) + c;
        for (I e = 0; e < tap; ++e) {
            const Point<I> earlier = tap_of<S>(e);
            if (!in_input<S>(window, earlier)) continue;
            C v[word];
            read_values<word>(x + at + offset_of<typename S::In>(earlier, S::channels), v);
            #pragma unroll
            for (int j = 0; j < word; ++j) hit[j] = hit[j] && v[j] != best[j] && v[j] == v[j];
        }
        read_values<word>(dy + from, given);
        #pragma unroll
        for (int j = 0; j < word; ++j) sums[j] += hit[j] ? given[j] : (C)0;
    }
    write_values<word>(out + p * S::channels + c, sums);
}

// What `dd` holds where the first maximum of each window is.
template <class C, class S, int word, class T, class Out>
FK_FN void max_pool_select(const T* x, const T* y, const T* dd, Out* out) {
    typedef typename S::I I;
    I p, c;
    if (!take_place<S, I, word>(S::positions, p, c)) return;
    const Point<I> window = window_of<S>(point_of<typename S::Out>(p));
    const I at = offset_of<typename S::In>(window, S::channels) + c;
    C best[word], found[word];
    bool open[word];
    read_values<word>(y + p * S::channels + c, best);
    clear(found);
    #pragma unroll
    for (int j = 0; j < word; ++j) open[j] = true;
    for (I t = 0; t < S::Window::all; ++t) {
        const Point<I> tap = tap_of<S>(t);
        if (!in_input<S>(window, tap)) continue;
        const I from = at + offset_of<typename S::In>(tap, S::channels);
        C v[word], value[word];
        read_values<word>(x + from, v);
        read_values<word>(dd + from, value);
        #pragma unroll
        for (int j = 0; j < word; ++j) {
            const bool hit = v[j] == best[j] || v[j] != v[j];
            found[j] = hit && open[j] ? value[j] : found[j];
            open[j] = open[j] && !hit;
        }
    }
    write_values<word>(out + p * S::channels + c, found);
}
