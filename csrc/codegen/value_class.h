// The types that values are computed in between loads and stores: the 16-bit floats are float, the small integers int32, a bool
// one byte 0 or 1. Seen by kernels of every instruction set: it defines no functions.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/dtype.h"

namespace fk {

enum class Class : uint8_t { b8, i32, u32, i64, u64, f32, f64 };
inline constexpr int kClassCount = 7;

[[nodiscard]] Class class_of(DType t);
[[nodiscard]] size_t size_of(Class c);

// Super-instructions of tile programs on float: outer(inner(a, b), c).
enum class PairInner : uint8_t { add, subtract, multiply };
enum class PairOuter : uint8_t { add, subtract, rsub, multiply };  // rsub: c - inner(a, b)

}  // namespace fk
