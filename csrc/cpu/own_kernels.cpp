// Picks the table of own kernels for the instruction set in use.
#include "cpu/kernels/own_kernels.h"

#include <array>
#include <initializer_list>

#include "cpu/isa.h"

namespace fk::cpu {

#define FK_DECLARE(isa)                          \
    namespace isa {                              \
    [[nodiscard]] OwnKernels make_own_kernels(); \
    }
FK_DECLARE(isa_portable)
#if defined(__x86_64__)
FK_DECLARE(isa_avx2)
FK_DECLARE(isa_avx512)
FK_DECLARE(isa_avx512_bf16)
#endif
#undef FK_DECLARE

const OwnKernels& own_kernels() {
#if defined(__x86_64__)
    static const std::array<OwnKernels, 4> tables = {isa_portable::make_own_kernels(), isa_avx2::make_own_kernels(),
                                                     isa_avx512::make_own_kernels(), isa_avx512_bf16::make_own_kernels()};
    return tables[static_cast<size_t>(current_isa())];
#else
    static const OwnKernels table = isa_portable::make_own_kernels();
    return table;
#endif
}

}  // namespace fk::cpu
