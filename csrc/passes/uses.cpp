// See uses.h.
#include "passes/uses.h"

#include <algorithm>

#include "ops/op_def.h"

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

bool is_constant(const Graph& g, Value v, double value) {
    while (g.node(v).is("broadcast_to") || g.node(v).is("reshape")) v = g.node(v).inputs[0];
    return g.node(v).is("full") && std::get<double>(g.node(v).attrs[0]) == value;
}

namespace {

bool compares(const Graph& g, Value v, Prim prim, Value z, double bound) {
    const Node& n = g.node(v);
    return n.op->prim == prim && n.inputs[0] == z && is_constant(g, n.inputs[1], bound);
}

}  // namespace

bool is_mask(const Graph& g, Value mask, Value z, std::string_view act) {
    if (act == "relu") return compares(g, mask, Prim::greater, z, 0.0);
    const Node& both = g.node(mask);
    return both.op->prim == Prim::logical_and && compares(g, both.inputs[0], Prim::greater, z, 0.0) &&
           compares(g, both.inputs[1], Prim::less, z, 6.0);
}

namespace {
bool is_half(DType t) { return t == DType::bf16 || t == DType::f16; }
}  // namespace

bool is_cast(const Node& n) { return n.op->prim == Prim::cast; }
bool is_narrowing(const Graph& g, const Node& n) {
    return is_cast(n) && is_half(n.types[0].dtype) && g.type(n.inputs[0]).dtype == DType::f32;
}
Value before_widening(const Graph& g, Value v) {
    const Node& n = g.node(v);
    return is_cast(n) && n.types[0].dtype == DType::f32 && is_half(g.type(n.inputs[0]).dtype) ? n.inputs[0] : v;
}
Value before_narrowing(const Graph& g, Value v) { return is_narrowing(g, g.node(v)) ? g.node(v).inputs[0] : v; }

Value in_type(Graph& g, DType t, Value v) {
    static const OpDef& cast = get_op("cast");
    return g.type(v).dtype == t ? v : Value{g.add(cast, {v}, {static_cast<int64_t>(t)}), 0};
}

bool is_stored(const Graph& g, const Uses& uses, Value v) {
    if (uses.count[v.node] > 1) return true;
    const OpKind kind = g.node(before_narrowing(g, v)).op->kind;
    return kind != OpKind::prim && kind != OpKind::structural;
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
