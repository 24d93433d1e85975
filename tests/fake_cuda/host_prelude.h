// What CUDA C++ has built in, as ordinary C++: goes before the prelude of csrc/codegen/cuda_prelude.cpp when generated kernels
// are compiled for the host. One thread of a block is one fiber of fiber_block.cpp; blocks run one after the other.
#define FK_HOST 1
#include <math.h>
#include <stdint.h>
#include <string.h>
#undef isfinite
#undef isnan
#undef isinf

#define FK_FN static inline
#define __shared__ static thread_local
#define __syncthreads() fk_block->synchronize()
#define __syncwarp() fk_block->synchronize_warp()

struct uint2 {
    unsigned x, y;
};
struct uint4 {
    unsigned x, y, z, w;
};
struct Index {
    unsigned x, y, z;
};
// The block that this thread of the host runs; the launcher sets it.
struct Block {
    Index thread, block;
    virtual void synchronize() = 0;
    virtual void synchronize_warp() = 0;
    virtual uint64_t exchange(uint64_t mine, unsigned other_lane) = 0;  // what that lane of the warp gave
};
extern "C" thread_local Block* fk_block;
thread_local Block* fk_block = nullptr;
#define threadIdx (fk_block->thread)
#define blockIdx (fk_block->block)

template <class T>
static inline T fk_exchange(T x, unsigned lane) {
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof x);
    bits = fk_block->exchange(bits, lane);
    memcpy(&x, &bits, sizeof x);
    return x;
}
template <class T>
static inline T __shfl_xor_sync(unsigned, T x, int by) {
    return fk_exchange(x, (threadIdx.x % 32) ^ by);
}
template <class T>
static inline T __shfl_sync(unsigned, T x, int lane) {
    return fk_exchange(x, lane % 32);
}
template <class T>
static inline T __shfl_up_sync(unsigned, T x, int by) {
    const int lane = threadIdx.x % 32;
    return fk_exchange(x, lane >= by ? lane - by : lane);
}
template <class T>
static inline T __shfl_down_sync(unsigned, T x, int by) {
    const int lane = threadIdx.x % 32;
    return fk_exchange(x, lane + by < 32 ? lane + by : lane);
}
template <class T>
static inline T __ldg(const T* p) {
    return *p;
}
template <class T>
static inline T atomicAdd(T* p, T x) {
    const T old = *p;
    *p = old + x;
    return old;
}
template <class T>
static inline T atomicMax(T* p, T x) {
    const T old = *p;
    *p = old > x ? old : x;
    return old;
}
template <class T>
static inline T atomicMin(T* p, T x) {
    const T old = *p;
    *p = old < x ? old : x;
    return old;
}
template <class T>
static inline T atomicExch(T* p, T x) {
    const T old = *p;
    *p = x;
    return old;
}
template <class T>
static inline T atomicCAS(T* p, T expected, T x) {
    const T old = *p;
    if (old == expected) *p = x;
    return old;
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }

static inline float bits_f32(unsigned x) {
    float r;
    memcpy(&r, &x, 4);
    return r;
}
static inline double bits_f64(unsigned long long x) {
    double r;
    memcpy(&r, &x, 8);
    return r;
}
struct f16;
struct bf16;
static inline float widen(f16 h);
static inline f16 to_f16(float x);
static inline bf16 to_bf16(float x);

// CUDA's math library has it, C's does not: the inverse of erf by Newton's method from a rough start.
static inline double erfinv(double a) {
    const double m = fabs(a);
    if (!(m <= 1)) return NAN;
    if (m == 1) return copysign(INFINITY, a);
    if (m == 0) return a;
    const double l = log1p(-m * m), t = 4.3307467508 + l / 2;
    double x = sqrt(sqrt(t * t - l * 6.8027209) - t);
    if (m < 1e-4) x = m * 0.88622692545275801365;
    for (int step = 0; step < 3; ++step) {
        const double miss = m < 0.5 ? erf(x) - m : (1 - m) - erfc(x), newton = miss * 0.88622692545275801365 * exp(x * x);
        x -= newton / (1 + x * newton);
    }
    return copysign(x, a);
}
static inline float erfinvf(float a) { return (float)erfinv((double)a); }

struct Pointer {  // an argument of a kernel: `p` points to it
    void* p;
    template <class T>
    operator T*() const {
        return *(T**)p;
    }
    operator long long() const { return *(long long*)p; }
};
template <int... i>
struct Numbers {};
template <int n, int... i>
struct FirstNumbers : FirstNumbers<n - 1, n - 1, i...> {};
template <int... i>
struct FirstNumbers<0, i...> {
    typedef Numbers<i...> type;
};
template <class... A, int... i>
static void fk_call(void (*kernel)(A...), void** p, Numbers<i...>) {
    kernel(Pointer{p[i]}...);
}
template <class... A>
static void fk_call(void (*kernel)(A...), void** p) {
    fk_call(kernel, p, typename FirstNumbers<sizeof...(A)>::type());
}
#define FK_KERNEL(name, threads) static void name
template <class... A>
constexpr unsigned fk_parameters(void (*)(A...)) {
    return sizeof...(A);
}
#define FK_END(name)                                           \
    extern "C" void name##_run(void** p) { fk_call(name, p); } \
    extern "C" {                                               \
    unsigned name##_parameters = fk_parameters(name);          \
    }
#define FK_END_SYNC(name) \
    FK_END(name) extern "C" { unsigned name##_synchronizes = 1; }
