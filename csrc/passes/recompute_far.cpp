// Activations that are cheaper to make again than to keep. What the forward pass leaves for the gradient of a layer much later
// has long left the caches then: it was written to memory and is read back from there. A normalised activation is a few
// operations on the tensor it was made from, which the gradient of the normalisation reads at that point anyway; so its late
// readers get a copy made just before them, and its place is free as soon as the next layer has read it.
#include <algorithm>
#include <unordered_map>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"

namespace fk {
namespace {

constexpr int64_t kLeast = int64_t{512} << 10;  // bytes: smaller values are not worth a step
constexpr int64_t kFar = int64_t{32} << 20;     // bytes made in between: what is older is in no cache

int64_t bytes_of(const Node& n) {
    int64_t bytes = 0;
    for (const TensorType& t : n.types) bytes += static_cast<int64_t>(t.bytes());
    return bytes;
}

// The attributes of batch_norm_apply for a copy that stays one, whatever a later pass makes of the normalisation itself.
Attrs copied(Attrs attrs) {
    attrs.emplace_back(int64_t{1});
    return attrs;
}

}  // namespace

Graph recompute_far(const Graph& g, std::span<const Impl> impls, Refusals*) {
    const auto live = live_nodes(g);
    std::vector<int64_t> made(g.size() + 1, 0);  // bytes, by the nodes before each
    std::unordered_map<uint32_t, std::vector<uint32_t>> readers;
    const OpDef& again = get_op("batch_norm_apply");
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& node = g.node(n);
        made[n + 1] = made[n];
        if (!live[n] || node.is("parameter")) continue;
        made[n + 1] += bytes_of(node);
        for (Value v : node.inputs)
            if (v.out == 0 && (readers[v.node].empty() || readers[v.node].back() != n)) readers[v.node].push_back(n);
    }
    std::unordered_map<const Node*, std::vector<uint32_t>> late;  // readers -> normalisations whose activation they get anew
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& norm = g.node(n);
        if (!live[n] || !norm.is("batch_norm_act") || static_cast<int64_t>(norm.types[0].bytes()) < kLeast) continue;
        if (std::ranges::find(g.outputs, Value{n, 0}) != g.outputs.end()) continue;
        const std::vector<uint32_t>& all = readers[n];
        size_t i = 1;  // the first reader follows at once
        while (i < all.size() && made[all[i]] - made[all[i - 1]] < kFar) ++i;
        if (i >= all.size()) continue;
        const Value x = norm.inputs[0];
        const std::vector<uint32_t>& of_x = readers[x.node];
        if (x.out != 0 || of_x.empty() || of_x.back() < all[i]) continue;  // nothing else would keep it
        if (std::any_of(all.begin() + static_cast<std::ptrdiff_t>(i), all.end(),
                        [&](uint32_t r) { return g.node(r).region != nullptr; }))
            continue;
        const Node probe{.op = &again,
                         .inputs = {x, norm.inputs[1], norm.inputs[2], {n, 1}, {n, 2}},
                         .attrs = copied(norm.attrs),
                         .types = {norm.types[0]},
                         .label = norm.label,
                         .region = nullptr};
        if (!is_claimed(g, probe, impls, g.label(norm.label), nullptr)) continue;
        for (; i < all.size(); ++i) late[&g.node(all[i])].push_back(n);
    }
    if (late.empty()) return g;
    return rewrite(g, [&](Graph& out, const Node& node, std::span<const Value> in) -> std::optional<std::vector<Value>> {
        const auto it = late.find(&node);
        if (it == late.end()) return std::nullopt;
        std::vector<Value> inputs(in.begin(), in.end());
        for (size_t i = 0; i < inputs.size(); ++i) {
            if (node.inputs[i].out != 0 || std::ranges::find(it->second, node.inputs[i].node) == it->second.end()) continue;
            const uint32_t n = inputs[i].node;
            const Node norm = out.node(n);
            inputs[i] = {out.add(again, {norm.inputs[0], norm.inputs[1], norm.inputs[2], {n, 1}, {n, 2}}, copied(norm.attrs)), 0};
        }
        const uint32_t added = out.add(*node.op, inputs, node.attrs);
        std::vector<Value> outputs;
        for (uint32_t i = 0; i < node.types.size(); ++i) outputs.push_back({added, i});
        return outputs;
    });
}

}  // namespace fk
