// A region as a GPU runs it: one kernel whose threads evaluate the typed code (typed_code.h) for a few neighbouring points each,
// with all sizes and strides as constants, 16 bytes per access where operands are dense. Three forms: a *map* reduces nothing;
// *rows* reduce along the innermost dimension, a warp or block to a result; *columns* reduce along outer ones, a thread to a few
// results. A reduction whose results are too few to fill the machine is cut into slices, whose partial results a second kernel
// adds up in a fixed order. Start at `emit_cuda`.
#pragma once

#include "codegen/cuda_program.h"
#include "codegen/region.h"

namespace fk::cuda {

struct EmitOptions {
    int64_t blocks_wanted = 528;  // fewer blocks than this leave multiprocessors idle: four on each of an H200's 132
};
[[nodiscard]] Program emit_cuda(const Region& region, const EmitOptions& options = {});

}  // namespace fk::cuda
