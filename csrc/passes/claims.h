// Asking the device: whether one of its implementations takes a node.
#pragma once

#include "passes/passes.h"

namespace fk {

// If none does, their reasons are added to `refusals` (may be null) under the name of that layer.
[[nodiscard]] bool is_claimed(const Graph& g, const Node& node, std::span<const Impl> impls, std::string_view layer,
                              Refusals* refusals);

}  // namespace fk
