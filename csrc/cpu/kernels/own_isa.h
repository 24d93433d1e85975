// Names the parts that each build of the own kernels contributes to its table. FK_ISA_NAMESPACE is that of
// the instruction set being compiled for.
#pragma once

#include "cpu/kernels/own_kernels.h"

#ifndef FK_ISA_NAMESPACE
#define FK_ISA_NAMESPACE isa_portable
#endif

namespace fk::cpu::FK_ISA_NAMESPACE {

void fill_gemm(OwnKernels& table);
void fill_mixed_gemm(OwnKernels& table);
void fill_rows(OwnKernels& table);
void fill_norm(OwnKernels& table);
void fill_pool(OwnKernels& table);

}  // namespace fk::cpu::FK_ISA_NAMESPACE
