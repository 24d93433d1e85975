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

// What became of each value: by node and output.
using ValueMap = std::vector<std::vector<Value>>;

// The same where a rule replaces several nodes at once, at the place of one of them: it returns whether it dealt with node `n`.
// Then it has set map[n], which may stay empty until the rule gets to a later node, before anything reads n, and sets it.
using PlaceRule = std::function<bool(Graph& out, uint32_t n, ValueMap& map)>;
[[nodiscard]] Graph rewrite_places(const Graph& in, const PlaceRule& rule);

}  // namespace fk
