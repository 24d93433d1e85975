// Reverse-mode differentiation on the IR: appends the gradient computation to the same graph.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace fk {

// Gradients of sum_i <targets[i], seeds[i]> with respect to each source; an invalid Value where no path connects them.
// An invalid seed means ones. The gradient nodes are ordinary nodes, so differentiating again gives second derivatives.
[[nodiscard]] std::vector<Value> differentiate(Graph& g, const std::vector<Value>& targets, const std::vector<Value>& seeds,
                                               const std::vector<Value>& sources);

}  // namespace fk
