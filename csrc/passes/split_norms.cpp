// A batch normalisation whose result only arithmetic reads is its moments and more arithmetic: `fuse` then makes one loop of
// the normalisation, the addition of a shortcut and the activation behind it, where the op of its own would write a tensor that
// the next loop reads back.
#include <array>
#include <unordered_set>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"

namespace fk {

Graph split_norms(const Graph& g, std::span<const Impl> impls, Refusals*) {
    const auto live = live_nodes(g);
    std::vector<uint8_t> only_loops(g.size(), 1), arithmetic(g.size(), 0);  // of the readers of a first output: all, some
    for (Value v : g.outputs)
        if (v.out == 0) only_loops[v.node] = 0;
    for (uint32_t n = g.size(); n-- > 0;) {
        if (!live[n]) continue;
        const Node& node = g.node(n);
        const bool loop = node.op != nullptr && node.op->kind == OpKind::prim, cast = loop && node.op->prim == Prim::cast;
        for (Value v : node.inputs) {
            if (v.out != 0) continue;
            if (!loop) only_loops[v.node] = 0;
            if (cast ? arithmetic[n] != 0 : loop) arithmetic[v.node] = 1;
        }
    }
    std::unordered_set<const Node*> split;
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n] && g.node(n).is("batch_norm_train") && only_loops[n] && arithmetic[n]) split.insert(&g.node(n));
    if (split.empty()) return g;
    const OpDef& moments = get_op("batch_norm_moments");
    return rewrite(g, [&](Graph& out, const Node& node, std::span<const Value> in) -> std::optional<std::vector<Value>> {
        if (!split.contains(&node)) return std::nullopt;
        const Node probe{.op = &moments,
                         .inputs = {node.inputs[0]},
                         .attrs = {},
                         .types = {node.types[1], node.types[2]},
                         .label = node.label,
                         .region = nullptr};
        if (!is_claimed(g, probe, impls, "", nullptr)) return std::nullopt;
        const uint32_t m = out.add(moments, {in[0]}, {});
        const std::array<Value, 5> operands{in[0], in[1], in[2], Value{m, 0}, Value{m, 1}};
        const Node apply{.op = &get_op("batch_norm_apply"),
                         .inputs = {},
                         .attrs = {node.attrs[0], std::string("none"), int64_t{0}},
                         .types = {node.types[0]},
                         .label = node.label,
                         .region = nullptr};
        return std::vector<Value>{apply.op->body(OpCall{&out, operands, &apply})[0].v, {m, 0}, {m, 1}};
    });
}

}  // namespace fk
