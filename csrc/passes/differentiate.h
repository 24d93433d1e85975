// Reverse-mode differentiation on the IR: appends the gradient computation to the same graph.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace fk {

struct Expr;  // ops/expr.h

// Gradients of sum_i <targets[i], seeds[i]> with respect to each source; an invalid Value where no path connects them.
// An invalid seed means ones. The gradient nodes are ordinary nodes, so differentiating again gives second derivatives.
//
// With `recorded`, gradients only pass nodes in its spans that depend on what it watches; sources may lie anywhere.
struct NodeSpan {
    uint32_t begin = 0, end = 0;
};
struct Recorded {
    std::vector<NodeSpan> spans;
    std::vector<Value> watched;
};
[[nodiscard]] std::vector<Value> differentiate(Graph& g, const std::vector<Value>& targets, const std::vector<Value>& seeds,
                                               const std::vector<Value>& sources, const Recorded* recorded = nullptr);

// The gradients of a node's inputs through its body, whatever `vjp` it has: for a vjp that does not cover all outputs.
[[nodiscard]] std::vector<Expr> differentiate_body(Graph& g, uint32_t node, const std::vector<Expr>& dys);

}  // namespace fk
