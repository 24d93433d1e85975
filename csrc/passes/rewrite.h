// The skeleton of a pass: visits the live nodes of a graph in order and builds a new graph from what a rule returns.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ir/graph.h"

namespace fk {

// Returns the outputs that replace `node` (its inputs already mapped into `out`), or nothing to copy it unchanged.
using Rule = std::function<std::optional<std::vector<Value>>(Graph& out, const Node& node, std::span<const Value> inputs)>;

// Copies what the outputs need, applying `rule` to each node. Parameters are all kept, in order.
[[nodiscard]] Graph rewrite(const Graph& in, const Rule& rule);

}  // namespace fk
