// A bias and an activation that only a matmul or convolution feeds become part of it, where the device has that fused
// form, also where the result is reshaped in between. The activation's gradient reads the output, so nothing else needs the
// values in between.
#include <array>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

bool limits(const Graph& g, const Node& n, Prim prim, double bound) {
    return n.op->prim == prim && g.node(n.inputs[1]).is("full") && std::get<double>(g.node(n.inputs[1]).attrs[0]) == bound;
}

// What `v` repeats all over, if that is n values one after the other; an invalid value otherwise.
Value repeated(const Graph& g, Value v, int64_t n) {
    while (g.type(v).size() != n) {
        const Node& node = g.node(v);
        if (!node.is("broadcast_to") && !node.is("reshape")) return {};
        const Value x = node.inputs[0];
        if (node.is("broadcast_to")) {
            const Dims& from = g.type(x).dims;
            const Dims& to = g.type(v).dims;
            const auto begin = std::ranges::find_if(from, [](int64_t d) { return d != 1; });
            if (!std::equal(begin, from.end(), to.end() - (from.end() - begin))) return {};
        }
        v = x;
    }
    return v;
}

// The activation that begins with the only user of `n`, and the last node of it.
struct Activation {
    std::string name = "none";
    uint32_t last = UINT32_MAX;
};
Activation activation_after(const Graph& g, const Uses& uses, uint32_t n) {
    const uint32_t next = uses.only(n);
    if (next == UINT32_MAX) return {"none", n};
    const Node& act = g.node(next);
    if (act.op->prim == Prim::sigmoid) return {"sigmoid", next};
    if (act.op->prim == Prim::tanh) return {"tanh", next};
    if (!limits(g, act, Prim::maximum, 0.0)) return {"none", n};
    if (const uint32_t cut = uses.only(next); cut != UINT32_MAX && limits(g, g.node(cut), Prim::minimum, 6.0))
        return {"relu6", cut};
    return {"relu", next};
}

}  // namespace

Graph absorb_epilogues(const Graph& g, std::span<const Impl> impls, Refusals* refusals) {
    const Uses uses(g);
    struct Fused {
        uint32_t base;
        Value bias;
        std::string act;
    };
    std::vector<int32_t> root_of(g.size(), -1);  // last node of a chain -> index into chains
    std::vector<Fused> chains;
    const auto live = live_nodes(g);
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& base = g.node(n);
        if (!live[n] || !(base.is("matmul") || base.is("conv"))) continue;
        const int64_t columns = base.types[0].dims.back();
        uint32_t last_of_base = n;  // heads may be told apart before the bias comes
        if (const uint32_t r = uses.only(n); r != UINT32_MAX && g.node(r).is("reshape")) last_of_base = r;
        const uint32_t add = uses.only(last_of_base);
        if (add == UINT32_MAX || g.node(add).op->prim != Prim::add) continue;
        const Node& sum = g.node(add);
        const Value other = sum.inputs[0].node == last_of_base ? sum.inputs[1] : sum.inputs[0];
        const Value bias = repeated(g, other, columns);
        if (!bias.valid() || bias.node == last_of_base) continue;
        auto [act, last] = activation_after(g, uses, add);
        const OpDef& fused = get_op(std::string(base.op->name) + "_bias_act");
        Node probe{.op = &fused,
                   .inputs = {base.inputs[0], base.inputs[1], bias},
                   .attrs = base.attrs,
                   .types = base.types,
                   .label = base.label,
                   .region = nullptr};
        probe.attrs.emplace_back(act);
        if (!is_claimed(g, probe, impls, g.label(probe.label), refusals)) {
            if (act == "none") continue;
            act = "none", last = add, probe.attrs.back() = act;
            if (!is_claimed(g, probe, impls, g.label(probe.label), refusals)) continue;
        }
        root_of[last] = static_cast<int32_t>(chains.size());
        chains.push_back({n, bias, act});
    }
    if (chains.empty()) return g;
    const Graph fused = rewrite_places(g, [&](Graph& out, uint32_t n, ValueMap& map) {
        if (root_of[n] < 0) return false;
        const Fused& f = chains[static_cast<size_t>(root_of[n])];
        const Node& base = g.node(f.base);
        Attrs attrs = base.attrs;
        attrs.emplace_back(f.act);
        const auto mapped = [&](Value v) { return map[v.node][v.out]; };
        const auto shaped = [&](Value v, const Dims& dims) {
            return out.type(v).dims == dims ? v : reshape(Expr{&out, v}, dims).v;
        };
        const Value bias = shaped(mapped(f.bias), {base.types[0].dims.back()});
        const uint32_t whole = out.add(get_op(std::string(base.op->name) + "_bias_act"),
                                       {mapped(base.inputs[0]), mapped(base.inputs[1]), bias}, attrs);
        map[n] = {shaped({whole, 0}, g.node(n).types[0].dims)};
        return true;
    });
    return rewrite(fused, [](Graph&, const Node&, std::span<const Value>) { return std::nullopt; });  // drops the absorbed nodes
}

}  // namespace fk
