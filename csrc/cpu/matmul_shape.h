// A matmul node reduced to what implementations need: sizes, transpositions and aligned batch dimensions.
#pragma once

#include <memory>
#include <string>

#include "cpu/epilogue.h"
#include "runtime/kernel.h"

namespace fk::cpu {

struct MatmulShape {
    int64_t m = 0, n = 0, k = 0;
    bool transpose_a = false, transpose_b = false;
    Dims batch{}, batch_a{}, batch_b{};  // of equal rank; a 1 in batch_a or batch_b broadcasts
};
// Batch dimensions of `a` become rows where b is one matrix.
[[nodiscard]] MatmulShape matmul_shape(const Graph& graph, const Node& node);

// Whether the own kernel had better compute b^T a, and turn it round at the end; `plain`: no bias and no activation.
[[nodiscard]] bool is_flipped(const MatmulShape& shape, bool plain);

// The own kernel for a node of floating type that multiplies its first two operands as `shape` says; a third one is the bias.
[[nodiscard]] std::unique_ptr<Kernel> make_product(const Graph& graph, const Node& node, const MatmulShape& shape, Act act,
                                                   std::string text);

}  // namespace fk::cpu
