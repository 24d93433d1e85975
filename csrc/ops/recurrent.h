// Where the operands of the recurrent sequence ops are: those every such node has by their declared names, then the optional
// ones, which attributes of the same names announce.
#pragma once

#include "ops/op_def.h"

namespace fk {

inline constexpr std::string_view kOptionalRecurrentInputs[] = {"dh", "mask", "dropout"};

// How many of the outputs are states: all h, the last h, and the last c of an LSTM. The others are its history, which only
// gradients read.
[[nodiscard]] size_t recurrent_states(const Node& node);
// The position among the node's inputs; -1 when the node has none such.
[[nodiscard]] int recurrent_input(const OpDef& op, const Attrs& attrs, std::string_view name);
[[nodiscard]] inline int recurrent_input(const Node& node, std::string_view name) {
    return recurrent_input(*node.op, node.attrs, name);
}

}  // namespace fk
