// Horizontal reductions. Sums of float keep many partial sums, so that their error grows with the logarithm of the length
// rather than with the length; the callers add the results of tiles in double.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

template <class T> struct WideOf { using type = T; };
template <> struct WideOf<float> { using type = double; };
template <class T> using Wide = typename WideOf<T>::type;

template <class T> struct UnsignedOf { using type = T; };
template <> struct UnsignedOf<int32_t> { using type = uint32_t; };
template <> struct UnsignedOf<int64_t> { using type = uint64_t; };
template <class T> using Wrapping = typename UnsignedOf<T>::type;  // signed overflow must wrap

struct Sum {
    static constexpr bool kWiden = true;
    template <class T> static T of(T a, T b) { return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b)); }
};
struct Prod {
    static constexpr bool kWiden = true;
    template <class T> static T of(T a, T b) { return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b)); }
};
struct Max {
    static constexpr bool kWiden = false;
    template <class T> static T of(T a, T b) { return (b > a) | (b != b) ? b : a; }
};
struct Min {
    static constexpr bool kWiden = false;
    template <class T> static T of(T a, T b) { return (b < a) | (b != b) ? b : a; }
};

// Reduces n >= 1 values. Four vectors of partial results, then the lanes in a fixed order.
template <class T, class Op, class R>
[[gnu::always_inline]] inline R reduce_run(const T* a, int64_t n) {
    constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(T)), kParts = 4 * kWidth;
    if (n < kParts) {
        int64_t i = 1;
        R r = a[0];
        if (n >= kWidth) {
            T part[kWidth];
            for (int k = 0; k < kWidth; ++k) part[k] = a[k];
            for (i = kWidth; i + kWidth <= n; i += kWidth)
                for (int k = 0; k < kWidth; ++k) part[k] = Op::of(part[k], a[i + k]);
            for (int width = kWidth / 2; width > 0; width /= 2)
                for (int k = 0; k < width; ++k) part[k] = Op::of(part[k], part[k + width]);
            r = part[0];
        }
        for (; i < n; ++i) r = Op::of(r, static_cast<R>(a[i]));
        return r;
    }
    T part[kParts];
    for (int k = 0; k < kParts; ++k) part[k] = a[k];
    int64_t i = kParts;
    for (; i + kParts <= n; i += kParts)
        for (int k = 0; k < kParts; ++k) part[k] = Op::of(part[k], a[i + k]);
    for (; i + kWidth <= n; i += kWidth)
        for (int k = 0; k < kWidth; ++k) part[k] = Op::of(part[k], a[i + k]);
    for (int width = kParts / 2; width > 0; width /= 2)
        for (int k = 0; k < width; ++k) part[k] = Op::of(part[k], part[k + width]);
    R r = part[0];
    for (; i < n; ++i) r = Op::of(r, static_cast<R>(a[i]));
    return r;
}

template <class T, class Op>
void reduce_all(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    if constexpr (Op::kWiden) *at<Wide<T>>(dst) = reduce_run<T, Op, Wide<T>>(at<T>(a), n);
    else *at<T>(dst) = reduce_run<T, Op, T>(at<T>(a), n);
}

template <class T, class Op>
void reduce_blocks(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    const int64_t rows = at<int64_t>(b)[0], cols = at<int64_t>(b)[1];
    T* d = at<T>(dst);
    const T* s = at<T>(a);
    if (cols == 1) {
        for (int64_t i = 0; i < n; i += rows) *d++ = reduce_run<T, Op, T>(s + i, rows);
        return;
    }
    for (const T* end = s + n; s < end; d += cols) {
        for (int64_t c = 0; c < cols; ++c) d[c] = s[c];
        s += cols;
        for (int64_t r = 1; r < rows; ++r, s += cols)
#pragma GCC ivdep
            for (int64_t c = 0; c < cols; ++c) d[c] = Op::of(d[c], s[c]);
    }
}

void flush_sum(double* dst, float* a, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        dst[i] += static_cast<double>(a[i]);
        a[i] = 0.0f;
    }
}

template <class T>
void fill_class(KernelTable& t, Class c) {
    t.reduce[0][id(c)] = reduce_all<T, Sum>;
    t.reduce[1][id(c)] = reduce_all<T, Prod>;
    t.reduce[2][id(c)] = reduce_all<T, Max>;
    t.reduce[3][id(c)] = reduce_all<T, Min>;
    t.reduce_blocks[0][id(c)] = reduce_blocks<T, Sum>;
    t.reduce_blocks[1][id(c)] = reduce_blocks<T, Prod>;
    t.reduce_blocks[2][id(c)] = reduce_blocks<T, Max>;
    t.reduce_blocks[3][id(c)] = reduce_blocks<T, Min>;
}

}  // namespace

void fill_reduce(KernelTable& t) {
    fill_class<int32_t>(t, Class::i32);
    fill_class<uint32_t>(t, Class::u32);
    fill_class<int64_t>(t, Class::i64);
    fill_class<uint64_t>(t, Class::u64);
    fill_class<float>(t, Class::f32);
    fill_class<double>(t, Class::f64);
    t.flush_sum = flush_sum;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
