// The CPU device as the rest of the engine sees it: its implementation list, its region compiler and its thread team.
#pragma once

#include <memory>
#include <span>

#include "codegen/region.h"
#include "runtime/kernel.h"

namespace fk::cpu {

// Ordered preferences, fastest first, for every library op and for the named ops that deserve a kernel of their own.
[[nodiscard]] std::span<const Impl> impls();

// Compiles a fused region to a tile program over the SIMD kernels of this machine.
[[nodiscard]] std::unique_ptr<Kernel> compile_region(const Region& region);

// Number of threads of the one team (FASTKERAS_NUM_THREADS, else the cores this process may use).
[[nodiscard]] int max_threads();
// Instruction set in use: "portable", "avx2", "avx512", "avx512_bf16" (FASTKERAS_MAX_ISA caps it).
[[nodiscard]] std::string_view isa_name();

// Whether kernels compiled from now on may use Winograd's convolutions: "never", "always" where they can, "2" or "4" always and
// in tiles of that size, or "" where they are estimated to be quicker. False: another word.
bool set_winograd(std::string_view wanted);

}  // namespace fk::cpu
