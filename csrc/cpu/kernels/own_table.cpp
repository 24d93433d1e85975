// The table of own kernels of one instruction set.
#include <initializer_list>

#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {

OwnKernels make_own_kernels() {
    OwnKernels table{};
    for (const auto fill : {fill_gemm, fill_mixed_gemm, fill_rows, fill_norm, fill_pool, fill_optimizer, fill_epilogue,
                            fill_attention, fill_winograd, fill_recurrent, fill_recurrent_grad})
        fill(table);
    return table;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
