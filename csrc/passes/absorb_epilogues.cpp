// A bias, another tensor (what a shortcut adds) and an activation that only a matmul or convolution feeds become part of it,
// where the device has that fused form, also where the result is reshaped before the bias. The activation's gradient reads the
// output, so nothing else needs the values in between.
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

// What becomes one node: a product, its bias, a tensor of the result's shape (or none), an activation.
struct Chain {
    uint32_t base;
    Value bias, add;
    uint32_t sum;  // its last sum
    std::string act;
    uint32_t last;
    [[nodiscard]] const OpDef& op(const Node& product) const {
        return get_op(concat(product.op->name, add.valid() ? "_bias_add_act" : "_bias_act"));
    }
};

// The chains that begin with product `n`, the longest first.
std::vector<Chain> chains_from(const Graph& g, const Uses& uses, uint32_t n) {
    const Node& base = g.node(n);
    uint32_t last_of_base = n;  // heads may be told apart before the bias comes
    if (const uint32_t r = uses.only(n); r != UINT32_MAX && g.node(r).is("reshape")) last_of_base = r;
    // What a sum that is the only user of `of` adds to it.
    const auto added = [&](uint32_t of, uint32_t& sum) {
        sum = uses.only(of);
        if (sum == UINT32_MAX || g.node(sum).op->prim != Prim::add) return Value{};
        const Node& node = g.node(sum);
        return node.inputs[0].node == of ? node.inputs[1] : node.inputs[0];
    };
    uint32_t sum = 0, second = 0;
    const Value other = added(last_of_base, sum);
    if (!other.valid()) return {};
    const Value bias = repeated(g, other, base.types[0].dims.back());
    if (!bias.valid() || bias.node == last_of_base) return {};
    std::vector<Chain> chains;
    const auto with_activation = [&](Value add, uint32_t end) {
        const Activation act = activation_after(g, uses, end);
        if (act.name != "none") chains.push_back({n, bias, add, end, act.name, act.last});
        chains.push_back({n, bias, add, end, "none", end});
    };
    // What is repeated would have to be written out.
    const Value add = added(sum, second);
    if (add.valid() && g.type(add) == base.types[0] && !g.node(add).is("broadcast_to") && !g.node(add).is("full"))
        with_activation(add, second);
    with_activation({}, sum);
    return chains;
}

}  // namespace

Graph absorb_epilogues(const Graph& g, std::span<const Impl> impls, Refusals* refusals) {
    const Uses uses(g);
    std::vector<int32_t> root_of(g.size(), -1);  // last node of a chain -> index into chains
    std::vector<uint8_t> taken(g.size(), 0);
    std::vector<Chain> chains;
    const auto live = live_nodes(g);
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& base = g.node(n);
        if (!live[n] || !(base.is("matmul") || base.is("conv"))) continue;
        // The longest chain that an implementation takes.
        for (const Chain& chain : chains_from(g, uses, n)) {
            if (taken[chain.sum]) continue;  // a sum of two products: it goes to one of them
            Node probe{.op = &chain.op(base),
                       .inputs = {base.inputs[0], base.inputs[1], chain.bias},
                       .attrs = base.attrs,
                       .types = base.types,
                       .label = base.label,
                       .region = nullptr};
            if (chain.add.valid()) probe.inputs.push_back(chain.add);
            probe.attrs.emplace_back(chain.act);
            if (!is_claimed(g, probe, impls, g.label(probe.label), refusals)) continue;
            taken[chain.sum] = 1;
            root_of[chain.last] = static_cast<int32_t>(chains.size());
            chains.push_back(chain);
            break;
        }
    }
    if (chains.empty()) return g;
    const Graph fused = rewrite_places(g, [&](Graph& out, uint32_t n, ValueMap& map) {
        if (root_of[n] < 0) return false;
        const Chain& f = chains[static_cast<size_t>(root_of[n])];
        const Node& base = g.node(f.base);
        Attrs attrs = base.attrs;
        attrs.emplace_back(f.act);
        const auto mapped = [&](Value v) { return map[v.node][v.out]; };
        const auto shaped = [&](Value v, const Dims& dims) {
            return out.type(v).dims == dims ? v : reshape(Expr{&out, v}, dims).v;
        };
        const Value bias = shaped(mapped(f.bias), {base.types[0].dims.back()});
        std::vector<Value> inputs{mapped(base.inputs[0]), mapped(base.inputs[1]), bias};
        if (f.add.valid()) inputs.push_back(mapped(f.add));
        const uint32_t whole = out.add(f.op(base), std::move(inputs), attrs);
        map[n] = {shaped({whole, 0}, g.node(n).types[0].dims)};
        return true;
    });
    return rewrite(fused, [](Graph&, const Node&, std::span<const Value>) { return std::nullopt; });  // drops the absorbed nodes
}

}  // namespace fk
