// CPUID detection and the choice of kernel table.
#include "cpu/isa.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "cpu/cpu.h"

namespace fk::cpu {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"portable", "avx2", "avx512", "avx512_bf16"};

std::atomic<Isa> cap{Isa::avx512_bf16};

Isa detect() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
        return Isa::portable;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return Isa::avx2;
    return __builtin_cpu_supports("avx512bf16") ? Isa::avx512_bf16 : Isa::avx512;
#else
    return Isa::portable;
#endif
}

}  // namespace

Isa detected_isa() {
    static const Isa isa = detect();
    return isa;
}

Isa current_isa() { return std::min(detected_isa(), cap.load(std::memory_order_relaxed)); }

std::string_view name(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

std::string_view isa_name() { return name(current_isa()); }

bool set_max_isa(std::string_view isa) {
    const auto found = std::ranges::find(kNames, isa);
    if (found == kNames.end()) return false;
    cap.store(static_cast<Isa>(found - kNames.begin()), std::memory_order_relaxed);
    return true;
}

const KernelTable& kernels() {
    switch (current_isa()) {
#if defined(__x86_64__)
        case Isa::avx512_bf16:
            return isa_avx512_bf16::kernel_table();
        case Isa::avx512:
            return isa_avx512::kernel_table();
        case Isa::avx2:
            return isa_avx2::kernel_table();
#endif
        default:
            return isa_portable::kernel_table();
    }
}

}  // namespace fk::cpu
