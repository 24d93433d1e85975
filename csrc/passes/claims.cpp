// See claims.h.
#include "passes/claims.h"

#include "ops/op_def.h"

namespace fk {

bool is_claimed(const Graph& g, const Node& node, std::span<const Impl> impls, std::string_view layer, Refusals* refusals) {
    Refusals all;
    for (const Impl& impl : impls) {
        if (impl.op != node.op->name) continue;
        std::string why = impl.match(g, node);
        if (why.empty()) return true;
        all.push_back({std::string(node.op->name), std::string(impl.name), std::move(why), std::string(layer)});
    }
    if (refusals != nullptr) refusals->insert(refusals->end(), all.begin(), all.end());
    return false;
}

}  // namespace fk
