// The dtype tables behind dtype.h.
#include "core/dtype.h"

#include <algorithm>
#include <array>

namespace fk {
namespace {
constexpr std::array<std::string_view, kDTypeCount> kNames = {"bool",     "int8",    "int16",  "int32",  "int64",
                                                              "uint8",    "uint16",  "uint32", "uint64", "float16",
                                                              "bfloat16", "float32", "float64"};

DType signed_of_size(size_t bytes) {
    return bytes == 1 ? DType::i8 : bytes == 2 ? DType::i16 : bytes == 4 ? DType::i32 : DType::i64;
}
}  // namespace

std::string_view name(DType t) { return kNames[static_cast<size_t>(t)]; }

std::optional<DType> dtype_from_name(std::string_view text) {
    for (size_t i = 0; i < kNames.size(); ++i)
        if (kNames[i] == text) return static_cast<DType>(i);
    return std::nullopt;
}

DType promote(DType a, DType b) {
    if (a == b) return a;
    if (a == DType::boolean) return b;
    if (b == DType::boolean) return a;
    if (is_float(a) || is_float(b)) {
        if (!is_float(a)) return b;
        if (!is_float(b)) return a;
        if (size_of(a) == 2 && size_of(b) == 2) return DType::f32;  // float16 with bfloat16
        return size_of(a) > size_of(b) ? a : b;
    }
    if (is_signed_int(a) == is_signed_int(b)) return size_of(a) > size_of(b) ? a : b;
    const DType s = is_signed_int(a) ? a : b, u = is_signed_int(a) ? b : a;
    if (size_of(s) > size_of(u)) return s;
    if (u == DType::u64) return DType::f32;  // no integer type holds both
    return signed_of_size(size_of(u) * 2);
}

DType promote_weak(DType strong, WeakKind weak) {
    switch (weak) {
        case WeakKind::none:
        case WeakKind::boolean:
            return strong;
        case WeakKind::integer:
            return strong == DType::boolean ? DType::i32 : strong;
        case WeakKind::floating:
            return is_float(strong) ? strong : DType::f32;
    }
    return strong;
}

}  // namespace fk
