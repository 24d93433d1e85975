// See uses.h.
#include "passes/uses.h"

#include <algorithm>

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

bool sums_rows(const Graph& g, const Node& sum, int64_t n) {
    const TensorType& in = g.type(sum.inputs[0]);
    return in.rank() > 0 && in.dims.back() == n && sum.types[0].size() == n &&
           std::ranges::none_of(sum.dims_attr("axes"),
                                [&](int64_t axis) { return normalize_axis(axis, in.rank()) == in.rank() - 1; });
}

bool is_pointwise(const Node& n, const Dims& filter) {
    const auto all = [](const Dims& d, int64_t value) { return std::ranges::all_of(d, [=](int64_t i) { return i == value; }); };
    return all(n.dims_attr("strides"), 1) && all(n.dims_attr("pad_low"), 0) && all(n.dims_attr("pad_high"), 0) &&
           n.int_attr("groups") == 1 && product(filter) == filter.back() * filter[filter.size() - 2];
}

}  // namespace fk
