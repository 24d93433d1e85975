// Conversions of the 16-bit floats for kernels compiled for the host; goes behind the types of the prelude, which declares them.
static inline float widen(f16 h) {
    const unsigned sign = (unsigned)(h.bits & 0x8000) << 16, exponent = (h.bits >> 10) & 31, fraction = h.bits & 1023;
    if (exponent == 31) return bits_f32(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0) return bits_f32(sign | (exponent + 112) << 23 | fraction << 13);
    const float value = (float)fraction * 5.9604644775390625e-8f;  // 2^-24
    return sign ? -value : value;
}
static inline f16 to_f16(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    const unsigned sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
    f16 r;
    if (magnitude > 0x7f800000u) {
        r.bits = 0x7fff;
    } else if (magnitude >= 0x477ff000u) {  // rounds to 65536 or more
        r.bits = (unsigned short)(sign | 0x7c00);
    } else if (magnitude < 0x38800000u) {  // below the normal range: a multiple of 2^-24
        r.bits = (unsigned short)(sign | (unsigned)nearbyintf(bits_f32(magnitude) * 16777216.0f));
    } else {
        const unsigned rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
        r.bits = (unsigned short)(sign | (rounded - 0x38000000u) >> 13);
    }
    return r;
}
static inline bf16 to_bf16(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    bf16 r;
    r.bits = x != x ? (unsigned short)0x7fff : (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
    return r;
}
