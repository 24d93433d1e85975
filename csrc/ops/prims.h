// The scalar primitives of ir/prims.def as an enum, with their arity and host definition.
#pragma once

#include <cstdint>
#include <string_view>

namespace fk {

enum class Prim : uint8_t {
#define FK_PRIM(name, ...) name,
#include "ir/prims.def"
#undef FK_PRIM
    none
};
inline constexpr int kPrimCount = static_cast<int>(Prim::none);

[[nodiscard]] std::string_view name(Prim p);
[[nodiscard]] int arity(Prim p);
// The definition of the primitive in double precision (integers are exact up to 2^53).
[[nodiscard]] double host_eval(Prim p, double a, double b = 0, double c = 0);

}  // namespace fk
