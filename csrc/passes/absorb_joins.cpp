// Where the gradients of two readers of a ReLU meet, as behind the addition of a shortcut, their sum and the mask are made by the
// gradient of the normalisation before it, where the device has this form: while it takes its own sums, instead of in a loop
// whose result it reads back.
#include <unordered_map>
#include <unordered_set>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

// A gradient of a normalisation and what makes the gradient that it reads.
struct Join {
    Value first, second, result;  // summed up; the ReLU's result
    uint32_t masked, wide;        // the loop's value; a cast of it that the normalisation reads, or the value itself
};

bool matches(const Graph& g, const Uses& uses, const Node& grad, Join& join) {
    const Value dy = grad.inputs[4];
    join.wide = dy.node;
    join.masked = is_cast(g.node(dy)) ? g.node(dy).inputs[0].node : dy.node;
    const Node& where = g.node(join.masked);
    if (where.op->prim != Prim::where || !is_constant(g, where.inputs[2], 0.0)) return false;
    const Node &mask = g.node(where.inputs[0]), &sum = g.node(where.inputs[1]);
    if (mask.op->prim != Prim::greater || sum.op->prim != Prim::add || uses.count[where.inputs[1].node] != 1) return false;
    join.first = sum.inputs[0], join.second = sum.inputs[1], join.result = mask.inputs[0];
    return is_mask(g, where.inputs[0], join.result, "relu") && is_stored(g, uses, join.first) && is_stored(g, uses, join.second);
}

}  // namespace

Graph absorb_joins(const Graph& g, std::span<const Impl> impls, Refusals*) {
    const auto live = live_nodes(g);
    const Uses uses(g);
    const OpDef& fused = get_op("batch_norm_join_grad");
    std::vector<uint32_t> first_reader(g.size(), UINT32_MAX);
    for (uint32_t n = g.size(); n-- > 0;)
        if (live[n])
            for (Value v : g.node(n).inputs) first_reader[v.node] = n;
    std::unordered_map<uint32_t, Join> at;  // by normalisation
    std::unordered_set<uint32_t> gone;      // loops and casts
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& grad = g.node(n);
        Join join{};
        if (!live[n] || !grad.is("batch_norm_train_grad") || !matches(g, uses, grad, join)) continue;
        // Nothing else may need the loop's value before this place.
        if (gone.contains(join.masked) || first_reader[join.wide] != n) continue;
        if (join.masked != join.wide && first_reader[join.masked] != join.wide) continue;
        if (join.masked != join.wide)
            if (std::ranges::any_of(g.outputs, [&](Value v) { return v.node == join.wide; })) continue;
        const TensorType &x = g.type(grad.inputs[0]), &channel = grad.types[1];
        const Node probe{.op = &fused,
                         .inputs = {grad.inputs[0], grad.inputs[1], grad.inputs[2], grad.inputs[3], grad.inputs[4],
                                    grad.inputs[4], grad.inputs[4]},
                         .attrs = grad.attrs,
                         .types = {x, x, channel, channel},
                         .label = grad.label,
                         .region = nullptr};
        if (!is_claimed(g, probe, impls, "", nullptr)) continue;
        gone.insert(join.masked);
        gone.insert(join.wide);
        at.emplace(n, join);
    }
    if (at.empty()) return g;
    return rewrite_places(g, [&](Graph& out, uint32_t n, ValueMap& map) {
        if (gone.contains(n)) return true;
        const auto it = at.find(n);
        if (it == at.end()) return false;
        const Join& join = it->second;
        const Node& grad = g.node(n);
        const auto mapped = [&](Value v) { return map[v.node][v.out]; };
        const DType computed = grad.types[0].dtype;
        std::vector<Value> inputs;
        for (size_t i = 0; i < 4; ++i) inputs.push_back(mapped(grad.inputs[i]));
        for (Value v : {join.first, join.second, join.result}) inputs.push_back(in_type(out, computed, mapped(v)));
        const uint32_t added = out.add(fused, std::move(inputs), grad.attrs);
        const Value dy = in_type(out, g.node(join.masked).types[0].dtype, Value{added, 1});  // stored as it was
        map[join.masked] = {dy};
        if (join.wide != join.masked) map[join.wide] = {in_type(out, computed, dy)};
        map[n] = {{added, 0}, {added, 2}, {added, 3}};
        return true;
    });
}

}  // namespace fk
