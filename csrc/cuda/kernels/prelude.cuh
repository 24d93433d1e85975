// What goes before every generated kernel: names of types, loads and stores of memory types, the scalar primitives of
// ir/prims.def as overloads in namespace p, Philox, and sums over the threads of a warp or block. With FK_HOST it is ordinary C++
// (tests/fake_cuda supplies what CUDA has built in), so the tests run on the host what a GPU runs.

typedef unsigned char u8; typedef signed char i8; typedef unsigned short u16; typedef short i16;
typedef unsigned int u32; typedef int i32; typedef unsigned long long u64; typedef long long i64;
typedef float f32; typedef double f64;
struct f16 { u16 bits; };
struct bf16 { u16 bits; };
struct b8 { u8 set; };
#ifndef FK_HOST
#define FK_FN static __device__ __forceinline__
#define FK_KERNEL(name, threads) extern "C" __global__ void __launch_bounds__(threads) name
#define FK_END(name)
#define FK_END_SYNC(name)  // of a kernel whose threads exchange values
FK_FN f32 widen(f16 h) { f32 r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h.bits)); return r; }
FK_FN f16 to_f16(f32 x) { f16 r; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x)); return r; }
FK_FN bf16 to_bf16(f32 x) { bf16 r; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x)); return r; }
FK_FN f32 bits_f32(u32 x) { return __uint_as_float(x); }
FK_FN f64 bits_f64(u64 x) { return __longlong_as_double((i64)x); }
#endif
FK_FN f32 widen(bf16 h) { return bits_f32((u32)h.bits << 16); }
FK_FN u8 widen(b8 x) { return x.set != 0; }
FK_FN i32 widen(i8 x) { return x; }
FK_FN i32 widen(i16 x) { return x; }
FK_FN i32 widen(u8 x) { return x; }
FK_FN i32 widen(u16 x) { return x; }
FK_FN i32 widen(i32 x) { return x; }
FK_FN u32 widen(u32 x) { return x; }
FK_FN i64 widen(i64 x) { return x; }
FK_FN u64 widen(u64 x) { return x; }
FK_FN f32 widen(f32 x) { return x; }
FK_FN f64 widen(f64 x) { return x; }

template <class M> struct Memory {
    template <class C> FK_FN M of(C x) { return (M)x; }
};
template <> struct Memory<f16> {
    template <class C> FK_FN f16 of(C x) { return to_f16((f32)x); }
};
template <> struct Memory<bf16> {
    template <class C> FK_FN bf16 of(C x) { return to_bf16((f32)x); }
};
template <> struct Memory<b8> {
    template <class C> FK_FN b8 of(C x) { b8 r; r.set = x != 0; return r; }
};

template <int bytes> struct Raw;
template <> struct Raw<1> { typedef u8 type; };
template <> struct Raw<2> { typedef u16 type; };
template <> struct Raw<4> { typedef u32 type; };
template <> struct Raw<8> { typedef uint2 type; };
template <> struct Raw<16> { typedef uint4 type; };
template <class M, int n> struct alignas(sizeof(M) * n) Vec { M at[n]; };
template <int n, class M> FK_FN Vec<M, n> load_vec(const M* from) {
    typedef typename Raw<sizeof(M) * n>::type T;
    const T raw = *(const T*)from;
    Vec<M, n> v;
    memcpy(&v, &raw, sizeof raw);
    return v;
}
template <int n, class M> FK_FN void store_vec(M* to, const Vec<M, n>& v) {
    typedef typename Raw<sizeof(M) * n>::type T;
    T raw;
    memcpy(&raw, &v, sizeof raw);
    *(T*)to = raw;
}

// Floats become integers as on the CPU: cut off, saturated, NaN to 0.
template <class C> struct To {
    FK_FN C of(u8 x) { return (C)x; }
    FK_FN C of(i32 x) { return (C)x; }
    FK_FN C of(u32 x) { return (C)x; }
    FK_FN C of(i64 x) { return (C)x; }
    FK_FN C of(u64 x) { return (C)x; }
    FK_FN C of(f32 x) { return (C)x; }
    FK_FN C of(f64 x) { return (C)x; }
};
template <> struct To<u8> {
    template <class T> FK_FN u8 of(T x) { return x != 0; }
};
#define FK_SATURATE(C, low, high, bound)                                                                                  \
    template <> struct To<C> {                                                                                            \
        template <class T> FK_FN C cut(T x) { return !(x == x) ? 0 : x <= (T)low ? low : x >= bound ? high : (C)x; } \
        FK_FN C of(f32 x) { return cut<f32>(x); }                                                                  \
        FK_FN C of(f64 x) { return cut<f64>(x); }                                                                  \
        template <class T> FK_FN C of(T x) { return (C)x; }                                                        \
    };
FK_SATURATE(i32, (-2147483647 - 1), 2147483647, 2147483648.0f)
FK_SATURATE(u32, 0u, 4294967295u, 4294967296.0f)
FK_SATURATE(i64, (-9223372036854775807ll - 1), 9223372036854775807ll, 9223372036854775808.0f)
FK_SATURATE(u64, 0ull, 18446744073709551615ull, 18446744073709551616.0f)
template <class M> FK_FN i32 wrapped(i32 x) { return (i32)(M)x; }
FK_FN i32 clamped(i32 x, i32 low, i32 high) { return x < low ? low : x > high ? high : x; }
FK_FN f32 rounded_f16(f32 x) { return widen(to_f16(x)); }
FK_FN f32 rounded_bf16(f32 x) { return widen(to_bf16(x)); }

template <class T> struct Unsigned { typedef T type; };
template <> struct Unsigned<i32> { typedef u32 type; };
template <> struct Unsigned<i64> { typedef u64 type; };
template <class T> struct Signed { static const bool value = false; };
template <> struct Signed<i32> { static const bool value = true; };
template <> struct Signed<i64> { static const bool value = true; };

namespace p {
#define FK_MATH(name, call32, call64) \
    FK_FN f32 name(f32 a) { return call32; } \
    FK_FN f64 name(f64 a) { return call64; }
FK_MATH(exp, expf(a), ::exp(a))
FK_MATH(expm1, expm1f(a), ::expm1(a))
FK_MATH(log, logf(a), ::log(a))
FK_MATH(log2, log2f(a), ::log2(a))
FK_MATH(log10, log10f(a), ::log10(a))
FK_MATH(log1p, log1pf(a), ::log1p(a))
FK_MATH(sqrt, sqrtf(a), ::sqrt(a))
FK_MATH(rsqrt, 1.0f / sqrtf(a), 1.0 / ::sqrt(a))
FK_MATH(reciprocal, 1.0f / a, 1.0 / a)
FK_MATH(sin, sinf(a), ::sin(a))
FK_MATH(cos, cosf(a), ::cos(a))
FK_MATH(tan, tanf(a), ::tan(a))
FK_MATH(asin, asinf(a), ::asin(a))
FK_MATH(acos, acosf(a), ::acos(a))
FK_MATH(atan, atanf(a), ::atan(a))
FK_MATH(sinh, sinhf(a), ::sinh(a))
FK_MATH(cosh, coshf(a), ::cosh(a))
FK_MATH(tanh, tanhf(a), ::tanh(a))
FK_MATH(asinh, asinhf(a), ::asinh(a))
FK_MATH(acosh, acoshf(a), ::acosh(a))
FK_MATH(atanh, atanhf(a), ::atanh(a))
FK_MATH(sigmoid, 1.0f / (1.0f + expf(-a)), 1.0 / (1.0 + ::exp(-a)))
FK_MATH(erf, erff(a), ::erf(a))
FK_MATH(erfinv, erfinvf(a), ::erfinv(a))
FK_MATH(lgamma, lgammaf(a), ::lgamma(a))
FK_MATH(floor, floorf(a), ::floor(a))
FK_MATH(ceil, ceilf(a), ::ceil(a))
FK_MATH(round, rintf(a), ::rint(a))
FK_MATH(trunc, truncf(a), ::trunc(a))
FK_MATH(neg, -a, -a)
FK_MATH(abs, fabsf(a), ::fabs(a))
FK_MATH(sign, a != a ? a : (f32)((a > 0) - (a < 0)), a != a ? a : (f64)((a > 0) - (a < 0)))
// The recurrence lifts the argument to where the asymptotic series holds; negative arguments are reflected.
FK_FN f64 digamma(f64 a) {
    const f64 nan = bits_f64(0x7ff8000000000000ull), inf = bits_f64(0x7ff0000000000000ull);
    if (a != a || a == -inf) return nan;
    if (a == 0) return ::copysign(inf, -a);
    f64 reflected = 0;
    if (a < 0) {
        const f64 fraction = a - ::floor(a);
        if (fraction == 0) return nan;
        reflected = 3.14159265358979323846 / ::tan(3.14159265358979323846 * fraction);
        a = 1 - a;
    }
    f64 lifted = 0;
    for (; a < 10; a += 1) lifted -= 1 / a;
    const f64 w = 1 / (a * a);
    const f64 series =
        w * (1.0 / 12 - w * (1.0 / 120 - w * (1.0 / 252 - w * (1.0 / 240 - w * (1.0 / 132 - w * 691 / 32760)))));
    return lifted + ::log(a) - 0.5 / a - series - reflected;
}
FK_FN f32 digamma(f32 a) { return (f32)digamma((f64)a); }

// Integers wrap.
#define FK_INTEGER(T) \
    FK_FN T floor(T a) { return a; } \
    FK_FN T ceil(T a) { return a; } \
    FK_FN T round(T a) { return a; } \
    FK_FN T trunc(T a) { return a; } \
    FK_FN T neg(T a) { return (T)(0 - (typename_##T)a); } \
    FK_FN T abs(T a) { return a < 0 ? neg(a) : a; } \
    FK_FN T sign(T a) { return (T)((a > 0) - (a < 0)); } \
    FK_FN T add(T a, T b) { return (T)((typename_##T)a + (typename_##T)b); } \
    FK_FN T subtract(T a, T b) { return (T)((typename_##T)a - (typename_##T)b); } \
    FK_FN T multiply(T a, T b) { return (T)((typename_##T)a * (typename_##T)b); } \
    FK_FN T maximum(T a, T b) { return a > b ? a : b; } \
    FK_FN T minimum(T a, T b) { return a < b ? a : b; } \
    FK_FN T bitwise_not(T a) { return ~a; } \
    FK_FN T bitwise_and(T a, T b) { return a & b; } \
    FK_FN T bitwise_or(T a, T b) { return a | b; } \
    FK_FN T bitwise_xor(T a, T b) { return a ^ b; } \
    FK_FN u8 isfinite(T a) { return 1; } \
    FK_FN u8 isnan(T a) { return 0; } \
    FK_FN u8 isinf(T a) { return 0; } \
    FK_FN T left_shift(T a, T b) { \
        return (typename_##T)b < sizeof(T) * 8 ? (T)((typename_##T)a << (typename_##T)b) : (T)0; \
    } \
    FK_FN T right_shift(T a, T b) { return (typename_##T)b < sizeof(T) * 8 ? (T)(a >> b) : a < 0 ? (T)-1 : (T)0; } \
    FK_FN T floor_divide(T a, T b) { \
        if (b == 0) return 0; \
        if (Signed<T>::value && b == (T)-1) return neg(a); \
        const T q = a / b; \
        return Signed<T>::value && q * b != a && (a < 0) != (b < 0) ? q - 1 : q; \
    } \
    FK_FN T mod(T a, T b) { \
        if (b == 0) return 0; \
        if (Signed<T>::value && b == (T)-1) return 0; \
        const T r = a % b; \
        return Signed<T>::value && r != 0 && (r < 0) != (b < 0) ? r + b : r; \
    } \
    FK_FN T power(T a, T b) { \
        if (Signed<T>::value && b < 0) return a == 1 ? (T)1 : a == (T)-1 ? (b & 1 ? (T)-1 : (T)1) : (T)0; \
        typename_##T result = 1, base = (typename_##T)a; \
        for (typename_##T e = (typename_##T)b; e; e >>= 1, base *= base) \
            if (e & 1) result *= base; \
        return (T)result; \
    }
typedef u32 typename_i32; typedef u32 typename_u32; typedef u64 typename_i64; typedef u64 typename_u64;
FK_INTEGER(i32)
FK_INTEGER(u32)
FK_INTEGER(i64)
FK_INTEGER(u64)

#define FK_FLOATING(T) \
    FK_FN T add(T a, T b) { return a + b; } \
    FK_FN T subtract(T a, T b) { return a - b; } \
    FK_FN T multiply(T a, T b) { return a * b; } \
    FK_FN T divide(T a, T b) { return a / b; } \
    FK_FN T maximum(T a, T b) { return a > b || a != a ? a : b; } \
    FK_FN T minimum(T a, T b) { return a < b || a != a ? a : b; } \
    FK_FN T floor_divide(T a, T b) { return (T)::floor((f64)a / (f64)b); } \
    FK_FN u8 isfinite(T a) { return a - a == 0; } \
    FK_FN u8 isnan(T a) { return a != a; } \
    FK_FN u8 isinf(T a) { return a == a && a - a != 0; }
FK_FLOATING(f32)
FK_FLOATING(f64)
FK_FN f32 power(f32 a, f32 b) { return powf(a, b); }
FK_FN f64 power(f64 a, f64 b) { return ::pow(a, b); }
FK_FN f32 atan2(f32 a, f32 b) { return atan2f(a, b); }
FK_FN f64 atan2(f64 a, f64 b) { return ::atan2(a, b); }
FK_FN f32 mod(f32 a, f32 b) {
    const f32 r = fmodf(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
FK_FN f64 mod(f64 a, f64 b) {
    const f64 r = ::fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
FK_FN u8 logical_not(u8 a) { return a == 0; }
FK_FN u8 bitwise_not(u8 a) { return a == 0; }
FK_FN u8 logical_and(u8 a, u8 b) { return a & b; }
FK_FN u8 bitwise_and(u8 a, u8 b) { return a & b; }
FK_FN u8 logical_or(u8 a, u8 b) { return a | b; }
FK_FN u8 bitwise_or(u8 a, u8 b) { return a | b; }
FK_FN u8 logical_xor(u8 a, u8 b) { return a ^ b; }
FK_FN u8 bitwise_xor(u8 a, u8 b) { return a ^ b; }
template <class T> FK_FN u8 equal(T a, T b) { return a == b; }
template <class T> FK_FN u8 not_equal(T a, T b) { return a != b; }
template <class T> FK_FN u8 less(T a, T b) { return a < b; }
template <class T> FK_FN u8 less_equal(T a, T b) { return a <= b; }
template <class T> FK_FN u8 greater(T a, T b) { return a > b; }
template <class T> FK_FN u8 greater_equal(T a, T b) { return a >= b; }
}  // namespace p

// Philox4x32-10: word `index` % 4 of the block with counter index / 4.
FK_FN u32 philox(u64 index, const u32* key) {
    const u64 counter = index >> 2;
    u32 c0 = (u32)counter, c1 = (u32)(counter >> 32), c2 = 0, c3 = 0, k0 = key[0], k1 = key[1];
    #pragma unroll
    for (int r = 0; r < 10; ++r) {
        const u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
        const u32 n0 = (u32)(p1 >> 32) ^ c1 ^ k0, n2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c1 = (u32)p1, c3 = (u32)p0, c0 = n0, c2 = n2;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    const u32 word = (u32)index & 3;
    return word == 0 ? c0 : word == 1 ? c1 : word == 2 ? c2 : c3;
}

struct Sum { template <class T> FK_FN T of(T a, T b) { return p::add(a, b); } };
struct Prod { template <class T> FK_FN T of(T a, T b) { return p::multiply(a, b); } };
struct Max { template <class T> FK_FN T of(T a, T b) { return p::maximum(a, b); } };
struct Min { template <class T> FK_FN T of(T a, T b) { return p::minimum(a, b); } };

// Over `lanes` neighbouring threads of a warp, always in the same order; all of them get the result.
template <class Op, int lanes, class T> FK_FN T reduce_lanes(T x) {
    #pragma unroll
    for (int by = lanes / 2; by > 0; by /= 2) x = Op::of(x, __shfl_xor_sync(0xffffffffu, x, by));
    return x;
}
// Over all threads of a block of whole warps; the first one gets the result. `space`: one value per warp, in shared memory.
template <class Op, int threads, class T> FK_FN T reduce_block(T x, T* space) {
    x = reduce_lanes<Op, 32>(x);
    if (threads == 32) return x;
    if (threadIdx.x % 32 == 0) space[threadIdx.x / 32] = x;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int w = 1; w < threads / 32; ++w) x = Op::of(x, space[w]);
    __syncthreads();
    return x;
}

// Where a kernel reports data it cannot use: the first thread that does wins.
struct Error {
    u32 raised, unused;
    i64 value;
};
FK_FN void raise(Error* error, i64 value) {
    if (atomicCAS(&error->raised, 0u, 1u) == 0u) error->value = value;
}
// End of the prelude.
