// Puts the table of this instruction set together.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {

const KernelTable& kernel_table() {
    static const KernelTable table = [] {
        KernelTable t{};
        fill_float(t);
        fill_transcendental(t);
        fill_double(t);
        fill_integer(t);
        fill_convert(t);
        fill_reduce(t);
        fill_move(t);
        fill_philox(t);
        return t;
    }();
    return table;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
