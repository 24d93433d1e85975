// The addition of a shortcut to a normalised tensor, and a ReLU behind it, where the device has this form: one step over both
// tensors, in registers, in place of a loop of as many steps as there are operations. What remains of the normalisation are its
// moments.
#include <unordered_map>
#include <unordered_set>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

// A normalisation, what follows it up to the result, and what is added.
struct Shortcut {
    uint32_t norm;
    std::vector<uint32_t> behind;
    Value other;
    std::string act = "none";
};

// Who reads the first output of each node; the graph itself is UINT32_MAX.
std::vector<std::vector<uint32_t>> readers_of(const Graph& g) {
    const auto live = live_nodes(g);
    std::vector<std::vector<uint32_t>> readers(g.size());
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n])
            for (Value v : g.node(n).inputs)
                if (v.out == 0) readers[v.node].push_back(n);
    for (Value v : g.outputs)
        if (v.out == 0) readers[v.node].push_back(UINT32_MAX);
    return readers;
}

}  // namespace

Graph absorb_shortcuts(const Graph& g, std::span<const Impl> impls, Refusals*) {
    const OpDef &fused = get_op("batch_norm_add"), &moments = get_op("batch_norm_moments");
    const Uses uses(g);
    const auto readers = readers_of(g);
    const auto only = [&](uint32_t n) { return readers[n].size() == 1 ? readers[n][0] : UINT32_MAX; };
    std::unordered_map<uint32_t, Shortcut> at;  // by the node whose value it gives
    std::unordered_set<uint32_t> norms, gone;
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& norm = g.node(n);
        if (readers[n].empty() || !norm.is("batch_norm_train")) continue;
        Shortcut s{n, {}, {}};
        uint32_t last = n;
        const auto follow = [&](uint32_t next) {
            s.behind.push_back(next);
            last = next;
        };
        if (const uint32_t next = only(last); next != UINT32_MAX && is_narrowing(g, g.node(next))) follow(next);
        const uint32_t sum = only(last);
        if (sum == UINT32_MAX || g.node(sum).op->prim != Prim::add || gone.contains(sum)) continue;
        const Node& add = g.node(sum);
        s.other = add.inputs[0] == Value{last, 0} ? add.inputs[1] : add.inputs[0];
        if (s.other == Value{last, 0} || !is_stored(g, uses, s.other)) continue;
        follow(sum);
        if (const uint32_t next = only(last); next != UINT32_MAX && g.node(next).op->prim == Prim::maximum) {
            const Node& max = g.node(next);
            if (is_constant(g, max.inputs[max.inputs[0] == Value{last, 0} ? 1 : 0], 0.0)) follow(next), s.act = "relu";
        }
        // What only a loop reads is better made by it.
        const auto stores = [&](uint32_t r) {
            return r == UINT32_MAX || (g.node(r).op->kind != OpKind::prim && g.node(r).op->kind != OpKind::structural);
        };
        if (std::ranges::none_of(readers[last], stores)) continue;
        const TensorType &result = g.type({last, 0}), &channel = norm.types[1];
        const Node probe{
            .op = &fused,
            .inputs = {before_widening(g, norm.inputs[0]), norm.inputs[1], norm.inputs[2], Value{n, 1}, Value{n, 2}, s.other},
            .attrs = {norm.attrs[0], s.act},
            .types = {result},
            .label = norm.label,
            .region = nullptr};
        const Node rest{.op = &moments,
                        .inputs = {norm.inputs[0]},
                        .attrs = {},
                        .types = {channel, channel},
                        .label = norm.label,
                        .region = nullptr};
        if (!is_claimed(g, probe, impls, "", nullptr) || !is_claimed(g, rest, impls, "", nullptr)) continue;
        norms.insert(n);
        gone.insert(s.behind.begin(), s.behind.end());
        at.emplace(last, std::move(s));
    }
    if (at.empty()) return g;
    return rewrite_places(g, [&](Graph& out, uint32_t n, ValueMap& map) {
        const auto mapped = [&](Value v) { return map[v.node][v.out]; };
        if (norms.contains(n)) {
            const uint32_t m = out.add(moments, {mapped(g.node(n).inputs[0])}, {});
            map[n] = {Value{}, {m, 0}, {m, 1}};
            return true;
        }
        const auto it = at.find(n);
        if (it == at.end()) return gone.contains(n);
        const Node& norm = g.node(it->second.norm);
        const DType computed = norm.types[0].dtype;
        std::vector<Value> inputs;
        for (Value v : {norm.inputs[0], norm.inputs[1], norm.inputs[2], Value{it->second.norm, 1}, Value{it->second.norm, 2}})
            inputs.push_back(mapped(v));
        inputs.push_back(in_type(out, computed, mapped(it->second.other)));
        const uint32_t added = out.add(fused, std::move(inputs), {norm.attrs[0], it->second.act});
        map[n] = {in_type(out, g.node(n).types[0].dtype, {added, 0})};
        return true;
    });
}

}  // namespace fk
