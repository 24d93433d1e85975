// Functions that move elements without computing on them, by element size, and the choice between two operands.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

template <class T>
void splat_scalar(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    T* d = at<T>(dst);
    const T s = at<T>(a)[0];
    for (int64_t i = 0; i < n; ++i) d[i] = s;
}

void iota(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    int64_t* d = at<int64_t>(dst);
    const int64_t start = at<int64_t>(a)[0], step = at<int64_t>(b)[0];
    for (int64_t i = 0; i < n; ++i) d[i] = start + i * step;
}

template <class T, Form3 F>
void choose(void* dst, const void* a, const void* b, const void* c, const void*, int64_t n) {
    T* d = at<T>(dst);
    const uint8_t* condition = at<uint8_t>(a);
    const T* yes = at<T>(b);
    const T* no = at<T>(c);
    const T yes0 = yes[0], no0 = no[0];
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
        const T y = F == vsv || F == vss ? yes0 : yes[i];
        const T z = F == vvs || F == vss ? no0 : no[i];
        d[i] = condition[i] ? y : z;
    }
}

// One row, vectors first; rows are often short.
template <class T>
[[gnu::always_inline]] inline void copy_row(T* d, const T* s, int64_t n) {
    constexpr int64_t kWidth = kVectorBytes / static_cast<int64_t>(sizeof(T));
    if (n < kWidth) {
        for (int64_t i = 0; i < n; ++i) d[i] = s[i];
        return;
    }
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) __builtin_memcpy(d + i, s + i, kVectorBytes);
    if (i < n) __builtin_memcpy(d + n - kWidth, s + n - kWidth, kVectorBytes);
}
template <class T>
[[gnu::always_inline]] inline void fill_row(T* d, T v, int64_t n) {
    constexpr int64_t kWidth = kVectorBytes / static_cast<int64_t>(sizeof(T));
    T wide[kWidth];
    for (int64_t i = 0; i < kWidth; ++i) wide[i] = v;
    if (n < kWidth) {
        for (int64_t i = 0; i < n; ++i) d[i] = v;
        return;
    }
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) __builtin_memcpy(d + i, wide, kVectorBytes);
    if (i < n) __builtin_memcpy(d + n - kWidth, wide, kVectorBytes);
}

constexpr int64_t kLineBytes = 64;

template <class T>
void gather(void* dst, const void* src, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride) {
    constexpr int64_t kLine = kLineBytes / static_cast<int64_t>(sizeof(T));
    T* d = at<T>(dst);
    const T* s = at<T>(src);
    if (col_stride == 1) {
        for (int64_t r = 0; r < rows; ++r) copy_row(d + r * cols, s + r * row_stride, cols);
    } else if (col_stride == 0) {
        for (int64_t r = 0; r < rows; ++r) fill_row(d + r * cols, s[r * row_stride], cols);
    } else if (row_stride == 1 && rows > 1) {  // transposed: a cache line of the source at a time
        for (int64_t r0 = 0; r0 < rows; r0 += kLine) {
            const int64_t n = rows - r0 < kLine ? rows - r0 : kLine;
            for (int64_t c = 0; c < cols; ++c) {
                const T* line = s + r0 + c * col_stride;
                T* to = d + r0 * cols + c;
#pragma GCC unroll 4
                for (int64_t r = 0; r < n; ++r) to[r * cols] = line[r];
            }
        }
    } else {
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < cols; ++c) d[r * cols + c] = s[r * row_stride + c * col_stride];
    }
}

template <class T>
void scatter(void* dst, const void* src, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride) {
    T* d = at<T>(dst);
    const T* s = at<T>(src);
    if (col_stride == 1) {
        for (int64_t r = 0; r < rows; ++r) copy_row(d + r * row_stride, s + r * cols, cols);
    } else {
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < cols; ++c) d[r * row_stride + c * col_stride] = s[r * cols + c];
    }
}

template <class T>
void fill_size(KernelTable& t, int size) {
    t.copy[size] = map1<T, T, Identity>;
    t.splat[size] = splat_scalar<T>;
    t.select[size][vvv] = choose<T, vvv>;
    t.select[size][vvs] = choose<T, vvs>;
    t.select[size][vsv] = choose<T, vsv>;
    t.select[size][vss] = choose<T, vss>;
    t.gather[size] = gather<T>;
    t.scatter[size] = scatter<T>;
}

}  // namespace

void fill_move(KernelTable& t) {
    fill_size<uint8_t>(t, 0);
    fill_size<uint16_t>(t, 1);
    fill_size<uint32_t>(t, 2);
    fill_size<uint64_t>(t, 3);
    t.iota = iota;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
