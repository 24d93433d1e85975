// The part of `simplify` that knows convolutions and poolings.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/graph.h"

namespace fk {

// What replaces `node`, whose operands are `inputs` in `g`, or nothing.
[[nodiscard]] std::optional<std::vector<Value>> simplify_windows(Graph& g, const Node& node, std::span<const Value> inputs);

}  // namespace fk
