// Casts between classes, and between memory types and their class.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

template <class T>
constexpr bool kFloating = static_cast<T>(0.5) != static_cast<T>(0);
template <class T>
constexpr bool kSigned = static_cast<T>(-1) < static_cast<T>(0);
template <class T>
constexpr T kMin = kSigned<T> ? static_cast<T>(uint64_t{1} << (sizeof(T) * 8 - 1)) : T{0};
template <class T>
constexpr T kMax = static_cast<T>(~kMin<T>);

template <class D>
struct To {
    template <class A>
    static D of(A a) {
        if constexpr (kFloating<A> && !kFloating<D>) {
            // 2^31 and the like are exact in both floating types; every comparison with NaN is false.
            constexpr A low = static_cast<A>(kMin<D>), high = static_cast<A>(kMax<D> / 2 + 1) * 2;
            return a >= high ? kMax<D> : a > low ? static_cast<D>(a) : a <= low ? kMin<D> : D{0};
        } else {
            return static_cast<D>(a);
        }
    }
};
struct ToBool {
    template <class A>
    static uint8_t of(A a) {
        return a != 0;
    }
};
template <class D>
struct FromBool {
    static D of(uint8_t a) { return static_cast<D>(a != 0); }
};

template <class A>
void fill_from(KernelTable& t, Class from) {
    TileFn* row = t.cast[id(from)];
    row[id(Class::b8)] = map1<uint8_t, A, ToBool>;
    row[id(Class::i32)] = map1<int32_t, A, To<int32_t>>;
    row[id(Class::u32)] = map1<uint32_t, A, To<uint32_t>>;
    row[id(Class::i64)] = map1<int64_t, A, To<int64_t>>;
    row[id(Class::u64)] = map1<uint64_t, A, To<uint64_t>>;
    row[id(Class::f32)] = map1<float, A, To<float>>;
    row[id(Class::f64)] = map1<double, A, To<double>>;
}

template <class T>
struct Wrap {
    static int32_t of(int32_t a) { return static_cast<T>(a); }
};
template <class T>
struct Clamp {
    static int32_t of(int32_t a) { return a < kMin<T> ? kMin<T> : a > kMax<T> ? kMax<T> : a; }
};

template <class T>
void fill_small(KernelTable& t, DType type) {
    t.load[id(type)] = map1<int32_t, T, Identity>;
    t.store[id(type)] = map1<T, int32_t, Identity>;
    t.wrap[id(type)] = map1<int32_t, int32_t, Wrap<T>>;
    t.clamp[id(type)] = map1<int32_t, int32_t, Clamp<T>>;
}

[[gnu::always_inline]] inline uint32_t bits_of(float x) {
    uint32_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}
[[gnu::always_inline]] inline float float_of(uint32_t u) {
    float x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

struct FromBf16 {
    static float of(uint16_t h) { return float_of(static_cast<uint32_t>(h) << 16); }
};
struct ToBf16 {  // round to nearest even; NaN stays NaN
    static uint16_t of(float x) {
        const uint32_t u = bits_of(x);
        const uint32_t rounded = u + 0x7fff + ((u >> 16) & 1);
        return static_cast<uint16_t>((x != x ? u | 0x400000 : rounded) >> 16);
    }
};
struct FromHalf {  // a subnormal is a small integer: no step sees a denormal float, which counts as zero while a plan runs
    static float of(uint16_t h) {
        const uint32_t m = static_cast<uint32_t>(h & 0x7fff) << 13, sign = static_cast<uint32_t>(h & 0x8000) << 16;
        const uint32_t small = bits_of(static_cast<float>(static_cast<int32_t>(h & 0x3ff)) * 0x1p-24f);
        const uint32_t finite = (h & 0x7c00) == 0 ? small : m + 0x38000000;
        return float_of(((h & 0x7c00) == 0x7c00 ? m | 0x7f800000 : finite) | sign);
    }
};
struct ToHalf {
    static uint16_t of(float x) {
        const uint32_t u = bits_of(x), m = u & 0x7fffffff;
        const uint32_t subnormal = bits_of(float_of(m) + 0.5f) - 0x3f000000;  // the sum rounds at 2^-24
        const uint32_t normal = (m + 0xfff + ((m >> 13) & 1) - (112u << 23)) >> 13;
        const uint32_t special = m > 0x7f800000 ? 0x7e00 : 0x7c00;
        const uint32_t h = m >= 0x47800000 ? special : m < 0x38800000 ? subnormal : normal;
        return static_cast<uint16_t>(h | (u >> 16 & 0x8000));
    }
};

// Runs f over whole vectors of `kWidth` elements and over one padded vector for the rest.
template <int kWidth, class D, class A, class F>
[[gnu::always_inline]] inline void by_vectors(void* dst, const void* src, int64_t n, F f) {
    D* d = at<D>(dst);
    const A* a = at<A>(src);
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) f(d + i, a + i);
    if (i < n) {
        D out[kWidth] = {};
        A in[kWidth] = {};
        for (int64_t k = i; k < n; ++k) in[k - i] = a[k];
        f(out, in);
        for (int64_t k = i; k < n; ++k) d[k] = out[k - i];
    }
}

#if defined(__AVX512F__)
constexpr int kHalfWidth = 16;
[[gnu::always_inline]] inline void half_to_float(float* d, const uint16_t* a) {
    _mm512_storeu_ps(d, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a))));
}
[[gnu::always_inline]] inline void float_to_half(uint16_t* d, const float* a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(d),
                        _mm512_cvtps_ph(_mm512_loadu_ps(a), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif defined(__F16C__)
constexpr int kHalfWidth = 8;
[[gnu::always_inline]] inline void half_to_float(float* d, const uint16_t* a) {
    _mm256_storeu_ps(d, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a))));
}
[[gnu::always_inline]] inline void float_to_half(uint16_t* d, const float* a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(d),
                     _mm256_cvtps_ph(_mm256_loadu_ps(a), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#else
constexpr int kHalfWidth = 1;
[[gnu::always_inline]] inline void half_to_float(float* d, const uint16_t* a) { *d = FromHalf::of(*a); }
[[gnu::always_inline]] inline void float_to_half(uint16_t* d, const float* a) { *d = ToHalf::of(*a); }
#endif

#if defined(__AVX512BF16__)
constexpr int kBf16Width = 16;
[[gnu::always_inline]] inline void float_to_bf16(uint16_t* d, const float* a) {
    const auto packed = _mm512_cvtneps_pbh(_mm512_loadu_ps(a));
    __builtin_memcpy(d, &packed, sizeof packed);
}
#else
constexpr int kBf16Width = kLanes;
[[gnu::always_inline]] inline void float_to_bf16(uint16_t* d, const float* a) {
    for (int i = 0; i < kBf16Width; ++i) d[i] = ToBf16::of(a[i]);
}
#endif

void load_half(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    by_vectors<kHalfWidth, float, uint16_t>(dst, a, n, half_to_float);
}
void store_half(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    by_vectors<kHalfWidth, uint16_t, float>(dst, a, n, float_to_half);
}
void wrap_half(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    by_vectors<kHalfWidth, float, float>(dst, a, n, [](float* d, const float* s) {
        uint16_t h[kHalfWidth];
        float_to_half(h, s);
        half_to_float(d, h);
    });
}
void store_bf16(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    by_vectors<kBf16Width, uint16_t, float>(dst, a, n, float_to_bf16);
}
void wrap_bf16(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    by_vectors<kBf16Width, float, float>(dst, a, n, [](float* d, const float* s) {
        uint16_t h[kBf16Width];
        float_to_bf16(h, s);
        for (int i = 0; i < kBf16Width; ++i) d[i] = FromBf16::of(h[i]);
    });
}

}  // namespace

void fill_convert(KernelTable& t) {
    fill_from<int32_t>(t, Class::i32);
    fill_from<uint32_t>(t, Class::u32);
    fill_from<int64_t>(t, Class::i64);
    fill_from<uint64_t>(t, Class::u64);
    fill_from<float>(t, Class::f32);
    fill_from<double>(t, Class::f64);
    TileFn* row = t.cast[id(Class::b8)];
    row[id(Class::b8)] = map1<uint8_t, uint8_t, FromBool<uint8_t>>;
    row[id(Class::i32)] = map1<int32_t, uint8_t, FromBool<int32_t>>;
    row[id(Class::u32)] = map1<uint32_t, uint8_t, FromBool<uint32_t>>;
    row[id(Class::i64)] = map1<int64_t, uint8_t, FromBool<int64_t>>;
    row[id(Class::u64)] = map1<uint64_t, uint8_t, FromBool<uint64_t>>;
    row[id(Class::f32)] = map1<float, uint8_t, FromBool<float>>;
    row[id(Class::f64)] = map1<double, uint8_t, FromBool<double>>;

    fill_small<int8_t>(t, DType::i8);
    fill_small<int16_t>(t, DType::i16);
    fill_small<uint8_t>(t, DType::u8);
    fill_small<uint16_t>(t, DType::u16);
    t.load[id(DType::f16)] = load_half;
    t.store[id(DType::f16)] = store_half;
    t.wrap[id(DType::f16)] = wrap_half;
    t.load[id(DType::bf16)] = map1<float, uint16_t, FromBf16>;
    t.store[id(DType::bf16)] = store_bf16;
    t.wrap[id(DType::bf16)] = wrap_bf16;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
