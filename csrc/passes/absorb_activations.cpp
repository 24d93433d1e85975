// A ReLU or ReLU6 that only a batch normalisation feeds, in its own type or rounded to 16 bits, becomes part of it, and its mask
// part of the gradient, where the device has these forms: neither the normalised tensor nor the masked gradient is written to
// memory.
#include <unordered_map>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

// What a pass that looks for the activation behind a normalisation finds: under a mixed policy the result is stored in 16 bits in
// between, which commutes with relu and relu6, whose bounds these types hold.
struct Behind {
    uint32_t act = UINT32_MAX;
    bool stored = false;  // the activation's operand is a cast of the normalisation
};

}  // namespace

Graph absorb_activations(const Graph& g, std::span<const Impl> impls, Refusals* refusals) {
    const auto live = live_nodes(g);
    std::vector<uint32_t> uses(g.size(), 0), user(g.size(), UINT32_MAX);  // of the first output of each node
    const auto use = [&](Value v, uint32_t by) {
        if (v.out == 0) ++uses[v.node], user[v.node] = by;
    };
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n])
            for (Value v : g.node(n).inputs) use(v, n);
    for (Value v : g.outputs) use(v, UINT32_MAX);
    const auto only_user = [&](uint32_t n) { return uses[n] == 1 ? user[n] : UINT32_MAX; };
    const auto behind = [&](uint32_t n) -> Behind {
        uint32_t next = only_user(n);
        const bool stored = next != UINT32_MAX && is_narrowing(g, g.node(next));
        if (stored) next = only_user(next);
        const bool act = next != UINT32_MAX && (g.node(next).is("relu") || g.node(next).is("relu6"));
        return act ? Behind{next, stored} : Behind{};
    };

    const OpDef &forward = get_op("batch_norm_act"), &backward = get_op("batch_norm_act_grad");
    std::unordered_map<const Node*, std::string> absorbed;  // the normalisation -> its activation
    std::unordered_map<const Node*, bool> gone, masked;     // activations; gradients that take the mask along
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& norm = g.node(n);
        if (!live[n] || !norm.is("batch_norm_train")) continue;
        const Behind b = behind(n);
        if (b.act == UINT32_MAX) continue;
        const Node& act = g.node(b.act);
        Node probe{
            .op = &forward, .inputs = norm.inputs, .attrs = norm.attrs, .types = norm.types, .label = 0, .region = nullptr};
        probe.attrs.emplace_back(std::string(act.op->name));
        if (!is_claimed(g, probe, impls, g.label(norm.label), refusals)) continue;
        absorbed[&norm] = act.op->name;
        gone[&act] = true;
        for (uint32_t m = b.act + 1; m < g.size(); ++m) {
            const Node& grad = g.node(m);
            if (!live[m] || !grad.is("batch_norm_train_grad") || grad.inputs[2] != Value{n, 1} ||
                grad.inputs[0] != norm.inputs[0] || grad.inputs[3] != Value{n, 2} || grad.inputs[1] != norm.inputs[1] ||
                grad.attrs != norm.attrs)
                continue;
            Value dy = grad.inputs[4];
            if (b.stored) {
                if (!is_cast(g.node(dy)) || uses[dy.node] != 1) continue;
                dy = g.node(dy).inputs[0];
            }
            const Node& where = g.node(dy);
            if (where.op->prim == Prim::where && dy.out == 0 && uses[dy.node] == 1 && is_constant(g, where.inputs[2], 0.0) &&
                is_mask(g, where.inputs[0], {b.act, 0}, act.op->name))
                masked[&grad] = true;
        }
    }
    if (absorbed.empty()) return g;
    return rewrite(g, [&](Graph& out, const Node& node, std::span<const Value> in) -> std::optional<std::vector<Value>> {
        const auto with_act = [&](const std::string& act) {
            Attrs attrs = node.attrs;
            attrs.emplace_back(act);
            return attrs;
        };
        const auto outputs = [&](uint32_t n) {
            std::vector<Value> all;
            for (uint32_t i = 0; i < node.types.size(); ++i) all.push_back({n, i});
            return all;
        };
        if (const auto it = absorbed.find(&node); it != absorbed.end())
            return outputs(out.add(forward, {in[0], in[1], in[2]}, with_act(it->second)));
        if (gone.contains(&node)) return std::vector<Value>{in[0]};
        if (masked.contains(&node)) {
            const Node& norm = out.node(in[2]);
            const Value beta = norm.inputs[2];
            const std::string act = std::get<std::string>(norm.attrs[1]);
            const Node dy = out.node(in[4]);
            const Value dz = is_cast(dy) ? Value{out.add(*dy.op, {out.node(dy.inputs[0]).inputs[1]}, dy.attrs), 0} : dy.inputs[1];
            return outputs(out.add(backward, {in[0], in[1], beta, in[2], in[3], dz}, with_act(act)));
        }
        return std::nullopt;
    });
}

}  // namespace fk
