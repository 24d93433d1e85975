// Which values a node's kernel looks at before it uses them as indices, so that the planner knows when that was done before.
#pragma once

#include <optional>

#include "ir/graph.h"

namespace fk {

struct IndexCheck {
    Value indices;
    int64_t limit = 0;   // 0 <= index < limit
    bool wraps = false;  // or -limit <= index < limit
    auto operator<=>(const IndexCheck&) const = default;
};

// None for a node that may report something else, or nothing.
[[nodiscard]] std::optional<IndexCheck> index_check_of(const Graph& g, const Node& node);
// Whether no data can break it: the indices were computed as positions within these limits.
[[nodiscard]] bool holds_always(const Graph& g, const IndexCheck& check);

}  // namespace fk
