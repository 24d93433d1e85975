// Plans of lazily recorded graphs, found again by structure. Bounded: the least recently used go first.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "runtime/plan.h"

namespace fk {

// A plan and the values of the parameters it has beyond those of the graph it was asked for.
struct CachedPlan {
    using Scalar = std::array<std::byte, 8>;
    std::shared_ptr<const Plan> plan;
    std::vector<Scalar> scalars;
};
[[nodiscard]] CachedPlan cached_plan(const Graph& g, const Device& device);

}  // namespace fk
