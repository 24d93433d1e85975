// A thin layer over GCC's vector extensions: one vector type per element type, as wide as the instruction set this file is
// compiled for allows. Everything lives in the namespace of that instruction set and in an anonymous one below it, so that
// no function built with wide instructions can be picked by the linker for a narrower machine.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef FK_ISA_NAMESPACE
#error "kernels are compiled once per instruction set: define FK_ISA_NAMESPACE (see cmake/kernels.cmake)"
#endif

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
constexpr int kLanes = kVectorBytes / 4;  // float lanes

typedef float vf __attribute__((vector_size(kVectorBytes)));
typedef int32_t vi __attribute__((vector_size(kVectorBytes)));
typedef uint32_t vu __attribute__((vector_size(kVectorBytes)));
typedef double vd __attribute__((vector_size(kVectorBytes)));  // half as many lanes
typedef int64_t vl __attribute__((vector_size(kVectorBytes)));
typedef uint64_t vul __attribute__((vector_size(kVectorBytes)));
typedef float vf_half __attribute__((vector_size(kVectorBytes / 2)));
typedef int32_t vi_half __attribute__((vector_size(kVectorBytes / 2)));

template <class V, class T>
[[gnu::always_inline]] inline V load(const T* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T>
[[gnu::always_inline]] inline void store(T* p, V v) {
    __builtin_memcpy(p, &v, sizeof v);
}

template <class V>
[[gnu::always_inline]] inline V select(decltype(V{} < V{}) mask, V yes, V no) {
    return mask ? yes : no;
}

[[gnu::always_inline]] inline vf splat(float x) { return x - vf{}; }
[[gnu::always_inline]] inline vd splat_d(double x) { return x - vd{}; }
[[gnu::always_inline]] inline vi as_int(vf x) { return reinterpret_cast<vi>(x); }
[[gnu::always_inline]] inline vf as_float(vi x) { return reinterpret_cast<vf>(x); }
[[gnu::always_inline]] inline vf abs_v(vf x) { return as_float(as_int(x) & 0x7fffffff); }
[[gnu::always_inline]] inline vf copysign_v(vf magnitude, vf sign) {
    return as_float((as_int(magnitude) & 0x7fffffff) | (as_int(sign) & INT32_MIN));
}
[[gnu::always_inline]] inline vf to_float(vi x) { return __builtin_convertvector(x, vf); }

// Whether any lane of a mask is set.
[[gnu::always_inline]] inline bool any_lane(vi mask) {
#if defined(__AVX512F__)
    return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps(reinterpret_cast<__m256>(mask)) != 0;
#else
    const vl wide = reinterpret_cast<vl>(mask);
    return (wide[0] | wide[1]) != 0;
#endif
}

// Nearest integer of |x| < 2^22, as float and as int, through the addition that pushes the fraction out of the significand.
struct Rounded {
    vf value;
    vi integer;
};
[[gnu::always_inline]] inline Rounded round_small(vf x) {
    constexpr float kMagic = 0x1.8p23f;
    const vf shifted = x + kMagic;
    return {shifted - kMagic, as_int(shifted) - as_int(splat(kMagic))};
}

// The two halves of a float vector as doubles, and back.
struct Doubles {
    vd low, high;
};
[[gnu::always_inline]] inline Doubles widen(vf x) {
    vf_half halves[2];
    __builtin_memcpy(halves, &x, sizeof x);
    return {__builtin_convertvector(halves[0], vd), __builtin_convertvector(halves[1], vd)};
}
[[gnu::always_inline]] inline vf narrow(Doubles x) {
    const vf_half halves[2] = {__builtin_convertvector(x.low, vf_half), __builtin_convertvector(x.high, vf_half)};
    vf out;
    __builtin_memcpy(&out, halves, sizeof out);
    return out;
}

// The low words of two vectors of 64-bit integers.
[[gnu::always_inline]] inline vi narrow_int(vl low, vl high) {
    const vi_half halves[2] = {__builtin_convertvector(low, vi_half), __builtin_convertvector(high, vi_half)};
    vi out;
    __builtin_memcpy(&out, halves, sizeof out);
    return out;
}

// dst[i] = f(a[i]) by whole vectors; the tail goes through a padded copy.
template <class F>
[[gnu::always_inline]] inline void map_vectors(float* dst, const float* a, int64_t n, F f) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(dst + i, f(load<vf>(a + i)));
    if (i < n) {
        vf x = splat(1.0f);
        __builtin_memcpy(&x, a + i, static_cast<size_t>(n - i) * sizeof(float));
        x = f(x);
        __builtin_memcpy(dst + i, &x, static_cast<size_t>(n - i) * sizeof(float));
    }
}

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
