// Named ops that no implementation of the device claims become their bodies.
#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"

namespace fk {
Graph decompose(const Graph& g, std::span<const Impl> impls, Refusals* refusals) {
    Graph current = rewrite(g, [](Graph&, const Node&, std::span<const Value>) { return std::nullopt; });
    for (int round = 0; round < 16; ++round) {
        bool changed = false;
        current =
            rewrite(current, [&](Graph& out, const Node& n, std::span<const Value> in) -> std::optional<std::vector<Value>> {
                if (n.op->body == nullptr || n.region) return std::nullopt;
                // An implementation judges by the node's attributes and types, so the node as it stands is enough to ask.
                Node probe = n;
                probe.inputs.assign(in.begin(), in.end());
                if (is_claimed(out, probe, impls, out.label(out.current_label), refusals)) return std::nullopt;
                changed = true;
                std::vector<Value> values;
                for (const Expr& e : n.op->body(OpCall{&out, in, &n})) values.push_back(e.v);
                return values;
            });
        if (!changed) return current;
    }
    fail<InternalError>("decompose does not come to an end: an op's body contains the op itself");
}

}  // namespace fk
