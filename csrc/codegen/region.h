// A fused region: one loop nest over an iteration space that evaluates a straight-line program of scalar primitives for
// each point, stores some of its results and reduces others. passes/fuse.cpp builds regions; codegen/emit_cpu.cpp turns
// one into a tile program, codegen/emit_cuda.cpp into a kernel for a GPU.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"
#include "ops/prims.h"

namespace fk {

struct RegionInput {
    DType dtype = DType::f32;
    Dims strides;        // in elements, one per dimension of the space; 0 where the operand is broadcast; may be negative
    int64_t offset = 0;  // in elements: address of the point at the origin
};

enum class RegionOp : uint8_t {
    load,      // dst = inputs[index] at this point
    constant,  // dst = imm (dtype says the type; int_imm for integer types)
    index,     // dst (i64) = indices[index].offset + sum(coordinate * stride): iota and random counters
    philox,    // dst (u32) = word src[0] (an index register) of the Philox4x32-10 stream keyed by the uint32[2] input `index`
    prim       // dst = prim(src...), computed in operand type, result in `dtype`
};

struct RegionInstr {
    RegionOp op = RegionOp::prim;
    Prim prim = Prim::none;
    DType dtype = DType::f32;       // type of the result; registers are numbered by instruction
    int32_t src[3] = {-1, -1, -1};  // instruction numbers
    int32_t index = -1;             // load: input; index: which RegionIndex; philox: key input (read as a whole, not per point)
    double imm = 0;
    int64_t int_imm = 0;
};

struct RegionIndex {
    Dims strides;
    int64_t offset = 0;
};

enum class ReduceKind : uint8_t { sum, prod, max, min };

struct RegionOutput {
    DType dtype = DType::f32;
    int32_t src = -1;  // instruction whose value is stored or reduced
    bool reduced = false;
    ReduceKind kind = ReduceKind::sum;
    // Stored output: written row-major over the whole space. Reduced output: row-major over the dimensions of the space
    // that are not in Region::reduced (order kept).
};

// Philox4x32-10: element i of the stream is word i%4 of the block with counter (i/4 low, i/4 high, 0, 0) and the key words.
struct Region {
    Dims space;                 // iteration space; all dims >= 1 (an empty tensor never reaches a region)
    std::vector<bool> reduced;  // per dimension: reduced by every reduced output of this region
    std::vector<RegionInput> inputs;
    std::vector<RegionIndex> indices;
    std::vector<RegionInstr> code;
    std::vector<RegionOutput> outputs;
};

[[nodiscard]] std::string to_string(const Region& region);
// Merges adjacent dimensions that every operand walks contiguously and that agree on being reduced; drops dims of 1.
[[nodiscard]] Region collapse(Region region);

}  // namespace fk
