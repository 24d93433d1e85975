// What matmul_bias_act, conv_bias_act and the like carry: a bias as their third operand, what is added as a fourth, and as their
// last attribute an activation, named as the unary ops of the registry.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cpu/kernels/own_types.h"
#include "ir/graph.h"

namespace fk::cpu {

[[nodiscard]] std::optional<Act> act_from_name(std::string_view name);

// For a node with or without all that: why the own products cannot end with it, or ""; its activation.
[[nodiscard]] std::string refuse_ending(const Graph& graph, const Node& node);
[[nodiscard]] Act act_of(const Node& node);

}  // namespace fk::cpu
