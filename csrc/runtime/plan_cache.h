// Plans of lazily recorded graphs, found again by structure. Bounded: the least recently used go first.
#pragma once

#include <memory>

#include "runtime/plan.h"

namespace fk {

[[nodiscard]] std::shared_ptr<const Plan> cached_plan(const Graph& g);

}  // namespace fk
