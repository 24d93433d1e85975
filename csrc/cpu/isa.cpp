// CPUID detection and the choice of kernel table.
#include "cpu/isa.h"

#include <algorithm>
#include <array>
#include <atomic>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "cpu/cpu.h"

namespace fk::cpu {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"portable", "avx2", "avx512", "avx512_bf16"};

std::atomic<Isa> cap{Isa::avx512_bf16};

enum class Products : uint8_t { ask_cpu, native, widened };
std::atomic<Products> bf16_products{Products::ask_cpu};

struct Matrix {
    bool bf16 = false, f16 = false;
};
// Tiles multiply 16-bit numbers many times faster than vectors multiply floats. The dot products of AVX512_BF16 are documented at
// twice the rate of float multiplications on AMD's cores and Cooper Lake; on Intel's later ones, which have AVX512_FP16, they
// were measured at half of it.
Matrix detect_matrix() {
    Matrix m;
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0, b1 = 0, c1 = 0, d1 = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) == 0) return m;
    const auto bit = [](unsigned word, int i) { return (word >> i & 1) != 0; };
    bool tiles = bit(d, 24);
    if (tiles) {  // the system must save them, too
        unsigned low = 0, high = 0;
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        tiles = bit(low, 17) && bit(low, 18);
    }
    const bool dots = bit(a1, 5) && (__builtin_cpu_is("amd") || !bit(d, 23));
    m.bf16 = dots || (tiles && bit(d, 22));
    m.f16 = tiles && bit(a1, 21);
#endif
    return m;
}

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

bool native_products(DType t) {
    static const Matrix matrix = detect_matrix();
    if (current_isa() != Isa::avx512_bf16) return false;
    if (t == DType::f16) return matrix.f16;
    const Products said = bf16_products.load(std::memory_order_relaxed);
    return t == DType::bf16 && (said == Products::native || (said == Products::ask_cpu && matrix.bf16));
}

bool set_bf16_products(std::string_view computed_in) {
    const bool native = computed_in == "bfloat16", widened = computed_in == "float32";
    if (!native && !widened && !computed_in.empty()) return false;
    bf16_products.store(native ? Products::native : widened ? Products::widened : Products::ask_cpu, std::memory_order_relaxed);
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
