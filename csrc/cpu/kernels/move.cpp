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

// d[r][c] = s[c][r] for 4 by 4 words.
template <class T>
[[gnu::always_inline]] inline void transpose4(T* d, int64_t d_stride, const T* s, int64_t s_stride) {
    typedef uint32_t v4 __attribute__((vector_size(16)));
    const v4 a = load<v4>(s), b = load<v4>(s + s_stride), e = load<v4>(s + 2 * s_stride), f = load<v4>(s + 3 * s_stride);
    constexpr v4 kLow = {0, 4, 1, 5}, kHigh = {2, 6, 3, 7}, kFirst = {0, 1, 4, 5}, kSecond = {2, 3, 6, 7};
    const v4 ab_low = __builtin_shuffle(a, b, kLow), ab_high = __builtin_shuffle(a, b, kHigh);
    const v4 ef_low = __builtin_shuffle(e, f, kLow), ef_high = __builtin_shuffle(e, f, kHigh);
    store(d, __builtin_shuffle(ab_low, ef_low, kFirst));
    store(d + d_stride, __builtin_shuffle(ab_low, ef_low, kSecond));
    store(d + 2 * d_stride, __builtin_shuffle(ab_high, ef_high, kFirst));
    store(d + 3 * d_stride, __builtin_shuffle(ab_high, ef_high, kSecond));
}

template <int cols, class T>
[[gnu::always_inline]] inline void gather_narrow(T* d, const T* s, int64_t rows, int64_t row_stride, int64_t col_stride) {
#pragma GCC ivdep
    for (int64_t r = 0; r < rows; ++r)
        for (int c = 0; c < cols; ++c) d[r * cols + c] = s[r * row_stride + c * col_stride];
}

template <class T>
void gather(void* dst, const void* src, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride) {
    constexpr int64_t kLine = kLineBytes / static_cast<int64_t>(sizeof(T));
    T* d = at<T>(dst);
    const T* s = at<T>(src);
    if (col_stride == 1) {
        for (int64_t r = 0; r < rows; ++r) copy_row(d + r * cols, s + r * row_stride, cols);
    } else if (col_stride == 0) {
        for (int64_t r = 0; r < rows; ++r) fill_row(d + r * cols, s[r * row_stride], cols);
    } else if (row_stride == 1 && rows > 1 && cols >= 4) {  // transposed: a cache line of the source at a time
        for (int64_t r0 = 0; r0 < rows; r0 += kLine) {
            const int64_t n = rows - r0 < kLine ? rows - r0 : kLine;
            int64_t c = 0;
            if constexpr (sizeof(T) == 4)
                if (n == kLine)
                    for (; c + 4 <= cols; c += 4)
                        for (int64_t r = r0; r < r0 + kLine; r += 4)
                            transpose4(d + r * cols + c, cols, s + r + c * col_stride, col_stride);
            for (; c < cols; ++c)
                for (int64_t r = r0; r < r0 + n; ++r) d[r * cols + c] = s[r + c * col_stride];
        }
    } else if (cols == 2) {
        gather_narrow<2>(d, s, rows, row_stride, col_stride);
    } else if (cols == 3) {
        gather_narrow<3>(d, s, rows, row_stride, col_stride);
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
