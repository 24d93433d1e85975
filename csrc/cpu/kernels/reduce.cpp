// Horizontal reductions. Sums of float keep as many partial sums as fit in four vectors, so rounding errors stay small
// within a tile; callers add the results of tiles in double.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

template <class T>
struct WideOf {
    using type = T;
};
template <>
struct WideOf<float> {
    using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;

template <class T>
struct WrappingOf {
    using type = T;
};
template <>
struct WrappingOf<int32_t> {
    using type = uint32_t;
};
template <>
struct WrappingOf<int64_t> {
    using type = uint64_t;
};
template <class T>
using Wrapping = typename WrappingOf<T>::type;  // signed overflow must wrap

template <class T, int bytes>
struct VectorOf {
    typedef T type __attribute__((vector_size(bytes)));
};
template <class T, int bytes>
using Vector = typename VectorOf<T, bytes>::type;

// Each works on scalars and on vectors. Sums and products compute in `Element`; repeating a value changes no extreme.
struct Sum {
    static constexpr bool kExtreme = false;
    template <class V>
    static V of(V a, V b) {
        return a + b;
    }
};
struct Prod {
    static constexpr bool kExtreme = false;
    template <class V>
    static V of(V a, V b) {
        return a * b;
    }
};
struct Max {
    static constexpr bool kExtreme = true;
    template <class V>
    static V of(V a, V b) {
        return (b > a) | (b != b) ? b : a;
    }
};
struct Min {
    static constexpr bool kExtreme = true;
    template <class V>
    static V of(V a, V b) {
        return (b < a) | (b != b) ? b : a;
    }
};
template <class T, class Op>
struct ElementOf {
    using type = Wrapping<T>;
};
template <class T>
struct ElementOf<T, Max> {
    using type = T;
};
template <class T>
struct ElementOf<T, Min> {
    using type = T;
};

// The lanes of a vector, halves first.
template <class T, class Op, int bytes>
[[gnu::always_inline]] inline T fold(Vector<T, bytes> v) {
    if constexpr (bytes == 2 * sizeof(T)) {
        return Op::of(v[0], v[1]);
    } else {
        Vector<T, bytes / 2> halves[2];
        __builtin_memcpy(halves, &v, sizeof v);
        return fold<T, Op, bytes / 2>(Op::of(halves[0], halves[1]));
    }
}

// 1 <= n < the lanes of `bytes`, by ever narrower vectors. Extremes may see an element twice.
template <class T, class Op, int bytes>
[[gnu::always_inline]] inline T reduce_short(const T* a, int64_t n) {
    constexpr int kHalf = bytes / 2, kHalfLanes = kHalf / static_cast<int>(sizeof(T));
    if constexpr (kHalfLanes == 1) {
        return a[0];
    } else {
        if (n < kHalfLanes) return reduce_short<T, Op, kHalf>(a, n);
        using V = Vector<T, kHalf>;
        const V first = load<V>(a);
        if constexpr (Op::kExtreme) return fold<T, Op, kHalf>(Op::of(first, load<V>(a + n - kHalfLanes)));
        const T r = fold<T, Op, kHalf>(first);
        return n == kHalfLanes ? r : Op::of(r, reduce_short<T, Op, kHalf>(a + kHalfLanes, n - kHalfLanes));
    }
}

// Reduces n >= 1 values: four vectors of partial results, then their lanes.
template <class T, class Op>
[[gnu::always_inline]] inline T reduce_run(const T* values, int64_t n) {
    using E = typename ElementOf<T, Op>::type;
    const E* a = reinterpret_cast<const E*>(values);
    using V = Vector<E, kVectorBytes>;
    constexpr int64_t kWidth = kVectorBytes / static_cast<int64_t>(sizeof(E));
    if (n < kWidth) return static_cast<T>(reduce_short<E, Op, kVectorBytes>(a, n));
    V r0 = load<V>(a);
    int64_t i = kWidth;
    if (n >= 4 * kWidth) {
        V r1 = load<V>(a + kWidth), r2 = load<V>(a + 2 * kWidth), r3 = load<V>(a + 3 * kWidth);
        for (i = 4 * kWidth; i + 4 * kWidth <= n; i += 4 * kWidth) {
            r0 = Op::of(r0, load<V>(a + i));
            r1 = Op::of(r1, load<V>(a + i + kWidth));
            r2 = Op::of(r2, load<V>(a + i + 2 * kWidth));
            r3 = Op::of(r3, load<V>(a + i + 3 * kWidth));
        }
        r0 = Op::of(Op::of(r0, r1), Op::of(r2, r3));
    }
    for (; i + kWidth <= n; i += kWidth) r0 = Op::of(r0, load<V>(a + i));
    if (i < n) {
        if constexpr (Op::kExtreme) {
            r0 = Op::of(r0, load<V>(a + n - kWidth));
        } else {
            return static_cast<T>(Op::of(fold<E, Op, kVectorBytes>(r0), reduce_short<E, Op, kVectorBytes>(a + i, n - i)));
        }
    }
    return static_cast<T>(fold<E, Op, kVectorBytes>(r0));
}

template <class T, class Op>
void reduce_all(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    if constexpr (Op::kExtreme)
        *at<T>(dst) = reduce_run<T, Op>(at<T>(a), n);
    else
        *at<Wide<T>>(dst) = static_cast<Wide<T>>(reduce_run<T, Op>(at<T>(a), n));
}

constexpr int64_t kRun = 16, kMaxColumns = 512;

// d[c] = the reduction of s[r][c] over the rows, one after the other.
template <class T, class Op>
[[gnu::always_inline]] inline void reduce_columns(T* d, const T* s, int64_t rows, int64_t cols) {
    for (int64_t c = 0; c < cols; ++c) d[c] = s[c];
    for (int64_t r = 1; r < rows; ++r) {
        s += cols;
#pragma GCC ivdep
        for (int64_t c = 0; c < cols; ++c) d[c] = Op::of(d[c], s[c]);
    }
}

template <class T, class Op>
void reduce_blocks(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    const int64_t rows = at<int64_t>(b)[0], cols = at<int64_t>(b)[1];
    using E = typename ElementOf<T, Op>::type;
    if (cols == 1) {
        T* out = at<T>(dst);
        for (int64_t i = 0; i < n; i += rows) *out++ = reduce_run<T, Op>(at<T>(a) + i, rows);
        return;
    }
    E* d = at<E>(dst);
    const E* s = at<E>(a);
    for (const E* end = s + n; s < end; d += cols) {
        reduce_columns<E, Op>(d, s, rows < kRun ? rows : kRun, cols);
        s += (rows < kRun ? rows : kRun) * cols;
        E part[kMaxColumns];
        for (int64_t r = kRun; r < rows;) {  // runs of rows apart, so that rounding errors do not pile up
            const int64_t run = cols > kMaxColumns ? 1 : rows - r < kRun ? rows - r : kRun;
            const E* next = s;
            if (run > 1) {
                reduce_columns<E, Op>(part, s, run, cols);
                next = part;
            }
#pragma GCC ivdep
            for (int64_t c = 0; c < cols; ++c) d[c] = Op::of(d[c], next[c]);
            s += run * cols;
            r += run;
        }
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
