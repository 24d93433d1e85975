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
void fill_recurrent(OwnKernels& table);
void fill_recurrent_grad(OwnKernels& table);
void fill_optimizer(OwnKernels& table);
void fill_epilogue(OwnKernels& table);
void fill_attention(OwnKernels& table);
void fill_winograd(OwnKernels& table);
// All of them; own_table.cpp.
[[nodiscard]] OwnKernels make_own_kernels();

template <class T>
void gemm(const GemmArgs<T>& args);  // own_gemm.cpp, float and double
// The words of the Philox stream from `first` on; philox.cpp.
void philox_words(uint32_t* words, uint64_t first, uint32_t key_0, uint32_t key_1, int64_t n);
template <class T>
void epilogue(T* c, int64_t rows, int64_t n, int64_t ldc, const T* bias, Act act);  // own_epilogue.cpp, float and double
template <class T>
void finish(T* c, int64_t rows, int64_t n, int64_t ldc, const Ending<T>& ending);  // own_epilogue.cpp, float and double

}  // namespace fk::cpu::FK_ISA_NAMESPACE
