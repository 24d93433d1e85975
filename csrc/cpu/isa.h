// Which build of the kernels this machine runs. The choice is made once, at the first use, under the cap set by then.
#pragma once

#include <string_view>

#include "cpu/kernels/table.h"

namespace fk::cpu {

enum class Isa : uint8_t { portable, avx2, avx512, avx512_bf16 };

[[nodiscard]] Isa detected_isa();  // what the machine has
[[nodiscard]] Isa current_isa();   // what is used: the lesser of that and the cap
[[nodiscard]] std::string_view name(Isa isa);

// Caps what current_isa() answers from now on; kernels compiled earlier keep theirs. False: no instruction set of that name.
bool set_max_isa(std::string_view isa);

[[nodiscard]] const KernelTable& kernels();

// Whether matrix products of a 16-bit type are quicker here than those of float: then they are left to oneDNN, otherwise they
// widen while they pack (kernels/own_mixed_gemm.cpp).
[[nodiscard]] bool native_products(DType t);
// What native_products answers for bfloat16 from now on: "bfloat16" or "float32" says so, "" asks the CPU. False: another word.
bool set_bf16_products(std::string_view computed_in);

}  // namespace fk::cpu
