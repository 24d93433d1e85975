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

template <class T>
void gather_strided(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    T* d = at<T>(dst);
    const T* s = at<T>(a);
    const int64_t stride = at<int64_t>(b)[0];
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = s[i * stride];
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

template <class T>
void transpose(void* dst, int64_t dst_stride, const void* src, int64_t src_stride, int64_t rows, int64_t cols) {
    constexpr int64_t kBlock = 64 / sizeof(T);  // a cache line of the destination
    T* d = at<T>(dst);
    const T* s = at<T>(src);
    for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
        const int64_t r1 = r0 + kBlock < rows ? r0 + kBlock : rows;
        for (int64_t c = 0; c < cols; ++c)
#pragma GCC ivdep
            for (int64_t r = r0; r < r1; ++r) d[c * dst_stride + r] = s[r * src_stride + c];
    }
}

template <class T>
void fill_size(KernelTable& t, int size) {
    t.copy[size] = map1<T, T, Identity>;
    t.splat[size] = splat_scalar<T>;
    t.strided[size] = gather_strided<T>;
    t.select[size][vvv] = choose<T, vvv>;
    t.select[size][vvs] = choose<T, vvs>;
    t.select[size][vsv] = choose<T, vsv>;
    t.select[size][vss] = choose<T, vss>;
    t.transpose[size] = transpose<T>;
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
