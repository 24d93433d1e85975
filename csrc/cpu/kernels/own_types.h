// Storage types of the 16-bit floats and their conversions. Everything here is local to the including file on purpose:
// the kernels are built once per instruction set, and a function shared by name between those builds would let the
// linker keep the AVX-512 copy for a machine that has none.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace fk::cpu {

struct F16 {
    uint16_t bits;
};
struct Bf16 {
    uint16_t bits;
};

// The activations that matmul_bias_act and conv_bias_act may carry.
enum class Act : uint8_t { none, relu, relu6, sigmoid, tanh, silu, gelu, elu };

// What a storage type is computed in.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, F16> || std::is_same_v<T, Bf16>, float, T>;

namespace {

template <class T>
inline Compute<T> widen(T v) {
    if constexpr (std::is_same_v<T, Bf16>) {
        return std::bit_cast<float>(static_cast<uint32_t>(v.bits) << 16);
    } else if constexpr (std::is_same_v<T, F16>) {
        // Exponent and mantissa in place, with the exponent's new bias; a subnormal is a small integer. No step sees a denormal
        // float, which would count as zero while a plan runs.
        const uint32_t sign = static_cast<uint32_t>(v.bits & 0x8000u) << 16, rest = static_cast<uint32_t>(v.bits & 0x7fffu) << 13;
        const float small = static_cast<float>(static_cast<int32_t>(v.bits & 0x3ffu)) * 0x1p-24f;
        const uint32_t special = (v.bits & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
        const uint32_t normal = (rest + 0x38000000u) | special;
        return std::bit_cast<float>(((v.bits & 0x7c00u) == 0 ? std::bit_cast<uint32_t>(small) : normal) | sign);
    } else {
        return v;
    }
}

// Rounds to nearest, ties to even.
template <class T>
inline T narrow(Compute<T> v) {
    if constexpr (std::is_same_v<T, Bf16>) {
        const uint32_t u = std::bit_cast<uint32_t>(v);
        const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
        const uint32_t nan = (u >> 16) | 0x40u;
        return Bf16{static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded)};
    } else if constexpr (std::is_same_v<T, F16>) {
        const uint32_t u = std::bit_cast<uint32_t>(v), sign = (u >> 16) & 0x8000u, abs = u & 0x7fffffffu;
        uint32_t out;
        if (abs > 0x7f800000u) {
            out = 0x7e00u;
        } else if (abs >= 0x477ff000u) {  // 65520 and above round to infinity
            out = 0x7c00u;
        } else if (abs < 0x38800000u) {  // below 2^-14: adding 0.5 aligns the mantissa, the adder rounds
            out = std::bit_cast<uint32_t>(std::bit_cast<float>(abs) + 0.5f) - 0x3f000000u;
        } else {
            out = (abs - 0x38000000u + 0xfffu + ((abs >> 13) & 1u)) >> 13;
        }
        return F16{static_cast<uint16_t>(sign | out)};
    } else {
        return v;
    }
}

}  // namespace
}  // namespace fk::cpu
