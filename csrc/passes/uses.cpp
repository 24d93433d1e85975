// See uses.h.
#include "passes/uses.h"

namespace fk {

Uses::Uses(const Graph& g) : count(g.size(), 0), user(g.size(), UINT32_MAX) {
    const auto live = live_nodes(g);
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n])
            for (Value v : g.node(n).inputs) ++count[v.node], user[v.node] = n;
    for (Value v : g.outputs) ++count[v.node], user[v.node] = UINT32_MAX;
}

Value broadcast_vector(const Graph& g, Value v) {
    while (g.node(v).is("broadcast_to") || g.node(v).is("reshape")) {
        const Value x = g.node(v).inputs[0];
        const Dims &from = g.type(x).dims, &to = g.type(v).dims;
        if (from.empty() || from.back() != to.back() || product(from) != from.back()) break;
        v = x;
    }
    return g.type(v).rank() == 1 ? v : Value{};
}

}  // namespace fk
