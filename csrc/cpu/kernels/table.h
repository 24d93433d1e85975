// The table of vector functions a tile program is made of. Each instruction set fills one (kernels/*.cpp, compiled once per
// set); codegen/emit_cpu.cpp picks entries by primitive and class.
//
// A value inside a tile program has a *class*, the type it is computed in: the 16-bit floats are float, the small integers
// int32, a bool one byte 0 or 1. Every function handles `n` >= 0 elements; `dst` may be exactly an operand of the same
// element size, never overlap one otherwise. This header is seen by kernels of every instruction set: it defines no functions.
#pragma once

#include <stdint.h>

#include "codegen/value_class.h"
#include "core/dtype.h"
#include "ops/prims.h"

namespace fk {
double erfinv(double a);  // ops/prims.cpp
double digamma(double a);
}  // namespace fk

namespace fk::cpu {

using TileFn = void (*)(void* dst, const void* a, const void* b, const void* c, const void* d, int64_t n);

// Operand forms: v is a vector of n elements, s points to one scalar that stands for all.
enum Form2 : uint8_t { vv, vs, sv, kForm2Count };
enum Form3 : uint8_t { vvv, vvs, vsv, vss, kForm3Count };

inline constexpr int kPairInnerCount = 3, kPairOuterCount = 4;

inline constexpr int kReduceKindCount = 4;  // ReduceKind of codegen/region.h
inline constexpr int kCompareCount = 6;     // Prim::equal ... Prim::greater_equal
inline constexpr int kSizeCount = 4;        // element sizes 1, 2, 4, 8

struct KernelTable {
    TileFn unary[kPrimCount][kClassCount];
    TileFn binary[kPrimCount][kClassCount][kForm2Count];  // vs and sv may be absent: the scalar is spread first
    TileFn select[kSizeCount][kForm3Count];               // a is a b8 vector; the form says what b and c are
    TileFn cast[kClassCount][kClassCount];                // [from][to]; floats to integers saturate, NaN gives 0

    // Memory types that differ from their class (int8, int16, uint8, uint16, float16, bfloat16); null for the others.
    TileFn load[kDTypeCount];
    TileFn store[kDTypeCount];  // integers wrap
    TileFn wrap[kDTypeCount];   // class to class: what store then load gives
    TileFn clamp[kDTypeCount];  // int32 to int32, saturating

    // Super-instructions on float: outer(inner(a, b), c), and compare(a, b) ? c : d.
    TileFn pair[kPairInnerCount][kPairOuterCount][kForm2Count][2];   // [form of a, b][c is scalar]
    TileFn compare_select[kCompareCount][kForm2Count][kForm3Count];  // [form of a, b][form of c, d]

    TileFn copy[kSizeCount];
    TileFn splat[kSizeCount];  // dst[i] = a[0]
    TileFn iota;               // int64: dst[i] = a[0] + i * b[0]
    TileFn philox;             // uint32: dst[i] = word a[i] (int64) of the stream with key b[0], b[1]
    TileFn philox_run;         // the same for indices a[0], a[0] + 1, ...

    // Horizontal reductions of n >= 1 elements into one wide value: double for float sums and products, else the class.
    TileFn reduce[kReduceKindCount][kClassCount];
    // The same for consecutive blocks [R, C] reduced over R: b points to the int64 pair R, C; dst gets n / R values.
    TileFn reduce_blocks[kReduceKindCount][kClassCount];
    // double: dst[i] += a[i], where a is float, and a[i] = 0.
    void (*flush_sum)(double* dst, float* a, int64_t n);

    // A dense [rows, cols] from memory with the given strides in elements, and back.
    void (*gather[kSizeCount])(void* dst, const void* src, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride);
    void (*scatter[kSizeCount])(void* dst, const void* src, int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride);
};

namespace isa_portable {
const KernelTable& kernel_table();
}
namespace isa_avx2 {
const KernelTable& kernel_table();
}
namespace isa_avx512 {
const KernelTable& kernel_table();
}
namespace isa_avx512_bf16 {
const KernelTable& kernel_table();
}

}  // namespace fk::cpu
