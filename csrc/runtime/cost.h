// What a node asks of the machine: arithmetic and memory traffic, from its types alone. Nothing is stored in a plan for this;
// reports and traces ask when they are made.
#pragma once

#include <string_view>

#include "ir/graph.h"

namespace fk {

// A multiplication or an addition of a product or convolution counts one (so 2mnk for a matrix product; the bias and activation
// that ride along count nothing), like each scalar primitive of an elementwise loop, for each value that it has to compute;
// casts and moves count nothing. Named ops count what their bodies do, a loop its iterations (one where only the run can tell how
// many), a branch the most expensive of its bodies.
struct StepCost {
    double operations = 0;
    double products = 0;           // those of matrix products and convolutions among them
    double read = 0, written = 0;  // bytes of the operands, each counted once
};
[[nodiscard]] StepCost cost_of(const Graph& graph, const Node& node);

// The kind of work, for totals and colours: "matmul", "convolution", "elementwise", "reduction", "pooling", "normalization",
// "softmax", "indexing", "movement", "sorting", "random" or "control flow"; the name of any other op.
[[nodiscard]] std::string_view kind_of(const Node& node);

}  // namespace fk
