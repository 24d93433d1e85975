// A matmul node reduced to what implementations need: sizes, transpositions and aligned batch dimensions.
#pragma once

#include "ir/graph.h"

namespace fk::cpu {

struct MatmulShape {
    int64_t m = 0, n = 0, k = 0;
    bool transpose_a = false, transpose_b = false;
    Dims batch, batch_a, batch_b;  // of equal rank; a 1 in batch_a or batch_b broadcasts
};
// Batch dimensions of `a` become rows where b is one matrix.
[[nodiscard]] MatmulShape matmul_shape(const Graph& graph, const Node& node);

}  // namespace fk::cpu
