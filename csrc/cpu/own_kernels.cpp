// Picks the table of own kernels for the instruction set in use.
#include "cpu/kernels/own_kernels.h"

#include <array>
#include <initializer_list>

#include "cpu/isa.h"

namespace fk::cpu {

#define FK_DECLARE(isa)                      \
    namespace isa {                          \
    void fill_gemm(OwnKernels& table);       \
    void fill_mixed_gemm(OwnKernels& table); \
    void fill_rows(OwnKernels& table);       \
    void fill_norm(OwnKernels& table);       \
    void fill_pool(OwnKernels& table);       \
    }
FK_DECLARE(isa_portable)
#if defined(__x86_64__)
FK_DECLARE(isa_avx2)
FK_DECLARE(isa_avx512)
FK_DECLARE(isa_avx512_bf16)
#endif
#undef FK_DECLARE

namespace {

using Fill = void (*)(OwnKernels&);
OwnKernels fill(std::initializer_list<Fill> parts) {
    OwnKernels t{};
    for (const Fill part : parts) part(t);
    return t;
}
#define FK_TABLE(isa) fill({isa::fill_gemm, isa::fill_mixed_gemm, isa::fill_rows, isa::fill_norm, isa::fill_pool})

}  // namespace

const OwnKernels& own_kernels() {
#if defined(__x86_64__)
    static const std::array<OwnKernels, 4> tables = {FK_TABLE(isa_portable), FK_TABLE(isa_avx2), FK_TABLE(isa_avx512),
                                                     FK_TABLE(isa_avx512_bf16)};
    return tables[static_cast<size_t>(current_isa())];
#else
    static const OwnKernels table = FK_TABLE(isa_portable);
    return table;
#endif
}

}  // namespace fk::cpu
