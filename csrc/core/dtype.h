// Element types: their names, sizes, classes and the promotion lattice (the one Keras 3 shares with JAX).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fk {

enum class DType : uint8_t { boolean, i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64 };
inline constexpr int kDTypeCount = 13;

[[nodiscard]] std::string_view name(DType t);  // "bool", "int8", ..., "float64"
[[nodiscard]] std::optional<DType> dtype_from_name(std::string_view name);
[[nodiscard]] constexpr size_t size_of(DType t) {
    constexpr uint8_t sizes[kDTypeCount] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8};
    return sizes[static_cast<int>(t)];
}
[[nodiscard]] constexpr bool is_float(DType t) { return t >= DType::f16; }
[[nodiscard]] constexpr bool is_signed_int(DType t) { return t >= DType::i8 && t <= DType::i64; }
[[nodiscard]] constexpr bool is_unsigned_int(DType t) { return t >= DType::u8 && t <= DType::u64; }
[[nodiscard]] constexpr bool is_integer(DType t) { return is_signed_int(t) || is_unsigned_int(t); }

// The type of a binary operation on two strongly typed operands.
[[nodiscard]] DType promote(DType a, DType b);

// Python scalars are weak: they take the tensor's type unless their kind is higher (bool < int < float).
enum class WeakKind : uint8_t { none, boolean, integer, floating };
[[nodiscard]] DType promote_weak(DType strong, WeakKind weak);
[[nodiscard]] constexpr DType default_type(WeakKind weak) {
    return weak == WeakKind::boolean ? DType::boolean : weak == WeakKind::integer ? DType::i32 : DType::f32;
}

}  // namespace fk
