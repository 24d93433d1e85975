// What batch normalisation gives to 1x1 convolutions is made inside them, block by block, where the device has these forms. The
// gradient that leaves a normalisation and is read by the two products of the gradient of a convolution before it is one of
// these; so is the activation behind the normalisation: a normalised activation that only 1x1 convolutions and their filters'
// gradients read is never in memory. What remains of the normalisation are its moments.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

// The form of a reader that takes the operands of the normalisation instead of its result; no op: it has none.
Node absorbing(const Graph& g, const Node& reader, Value z, const Node& norm, const std::array<Value, 5>& operands) {
    const bool gradient = reader.is("conv_filter_grad");
    Node form{.op = nullptr, .inputs = {}, .attrs = norm.attrs, .types = reader.types, .label = reader.label, .region = nullptr};
    if ((!gradient && !reader.is("conv")) || reader.inputs[0] != z || reader.inputs[1] == z) return form;
    if (!is_pointwise(reader, gradient ? reader.types[0].dims : g.type(reader.inputs[1]).dims)) return form;
    form.op = &get_op(gradient ? "norm_pointwise_grad" : "norm_pointwise");
    form.inputs.assign(operands.begin(), operands.end());
    form.inputs.push_back(reader.inputs[1]);
    if (gradient) form.attrs.emplace_back(reader.types[0].dims);
    return form;
}

// A normalisation's gradient and the two products that read it.
struct Backward {
    uint32_t norm, input_grad, filter_grad;
};

Graph absorb_gradients(const Graph& g, std::span<const Impl> impls) {
    const auto live = live_nodes(g);
    std::vector<std::vector<uint32_t>> readers(g.size());  // of the first output
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n])
            for (Value v : g.node(n).inputs)
                if (v.out == 0 && g.node(v).is("batch_norm_act_grad")) readers[v.node].push_back(n);
    const OpDef& fused = get_op("pointwise_norm_grad");
    std::unordered_map<uint32_t, Backward> at, gone;  // by normalisation; by product
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& norm = g.node(n);
        const Value dy{n, 0};
        if (readers[n].size() != 2 || std::ranges::find(g.outputs, dy) != g.outputs.end()) continue;
        Backward b{n, readers[n][0], readers[n][1]};
        if (g.node(b.input_grad).is("conv_filter_grad")) std::swap(b.input_grad, b.filter_grad);
        const Node &dx = g.node(b.input_grad), &dw = g.node(b.filter_grad);
        if (!dx.is("conv_input_grad") || !dw.is("conv_filter_grad") || dx.inputs[0] != dy || dw.inputs[1] != dy) continue;
        const Value x = dw.inputs[0], w = dx.inputs[1];
        if (x == dy || w == dy || x.node > n || w.node > n || g.type(w) != dw.types[0] || g.type(x) != dx.types[0]) continue;
        if (!is_pointwise(dx, g.type(w).dims) || !is_pointwise(dw, g.type(w).dims)) continue;
        Node probe{.op = &fused,
                   .inputs = norm.inputs,
                   .attrs = norm.attrs,
                   .types = {dx.types[0], dw.types[0], norm.types[1], norm.types[2]},
                   .label = norm.label,
                   .region = nullptr};
        probe.inputs.push_back(x);
        probe.inputs.push_back(w);
        if (!is_claimed(g, probe, impls, "", nullptr)) continue;
        at[n] = gone[b.input_grad] = gone[b.filter_grad] = b;
    }
    if (at.empty()) return g;
    Graph out;
    std::vector<std::vector<Value>> map(g.size());
    for (Value p : g.parameters()) {
        out.current_label = out.intern_label(g.label(g.node(p).label));
        map[p.node] = {out.add_parameter(g.type(p), g.steady(p))};
    }
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& node = g.node(n);
        if (!live[n] || node.is("parameter") || gone.contains(n)) continue;
        out.current_label = out.intern_label(g.label(node.label));
        std::vector<Value> inputs;
        for (Value v : node.inputs) inputs.push_back(map[v.node][v.out]);
        if (const auto it = at.find(n); it != at.end()) {
            const Value x = g.node(it->second.filter_grad).inputs[0], w = g.node(it->second.input_grad).inputs[1];
            inputs.insert(inputs.end(), {map[x.node][x.out], map[w.node][w.out]});
            const uint32_t added = out.add(fused, std::move(inputs), node.attrs);
            map[n] = {Value{}, {added, 2}, {added, 3}};
            map[it->second.input_grad] = {{added, 0}};
            map[it->second.filter_grad] = {{added, 1}};
            continue;
        }
        uint32_t added;
        if (node.region) {
            Node raw = node;
            raw.inputs.assign(inputs.begin(), inputs.end());
            raw.label = out.current_label;
            added = out.add_raw(std::move(raw));
        } else {
            added = out.add(*node.op, std::move(inputs), node.attrs);
        }
        for (uint32_t i = 0; i < node.types.size(); ++i) map[n].push_back({added, i});
    }
    for (Value v : g.outputs) out.outputs.push_back(map[v.node][v.out]);
    out.output_aliases = g.output_aliases;
    return out;
}

Graph absorb_activations_behind(const Graph& g, std::span<const Impl> impls) {
    const auto live = live_nodes(g);
    std::unordered_map<uint32_t, std::vector<uint32_t>> readers;  // of the activations
    const auto is_norm = [&](uint32_t n) { return live[n] && g.node(n).is("batch_norm_act"); };
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n])
            for (Value v : g.node(n).inputs)
                if (v.out == 0 && is_norm(v.node)) readers[v.node].push_back(n);
    const OpDef& moments = get_op("batch_norm_moments");
    std::unordered_map<const Node*, uint32_t> absorbed, absorbs;  // normalisations; readers -> the one they take in
    for (const auto& [n, all] : readers) {
        const Node& norm = g.node(n);
        const Value z{n, 0};
        const std::array<Value, 5> operands{norm.inputs[0], norm.inputs[1], norm.inputs[2], Value{n, 1}, Value{n, 2}};
        const Node probe{.op = &moments,
                         .inputs = {norm.inputs[0]},
                         .attrs = {},
                         .types = {norm.types[1], norm.types[2]},
                         .label = norm.label,
                         .region = nullptr};
        if (std::ranges::find(g.outputs, z) != g.outputs.end() || !is_claimed(g, probe, impls, "", nullptr)) continue;
        const bool taken = std::ranges::all_of(all, [&](uint32_t r) {
            const Node form = absorbing(g, g.node(r), z, norm, operands);
            return form.op != nullptr && is_claimed(g, form, impls, "", nullptr);
        });
        if (!taken) continue;
        absorbed[&norm] = n;
        for (uint32_t r : all) absorbs[&g.node(r)] = n;
    }
    if (absorbed.empty()) return g;
    std::unordered_map<uint32_t, std::array<Value, 5>> operands_of;  // in the new graph
    return rewrite(g, [&](Graph& out, const Node& node, std::span<const Value> in) -> std::optional<std::vector<Value>> {
        if (const auto it = absorbed.find(&node); it != absorbed.end()) {
            const uint32_t m = out.add(moments, {in[0]}, {});
            operands_of[it->second] = {in[0], in[1], in[2], Value{m, 0}, Value{m, 1}};
            return std::vector<Value>{Value{}, {m, 0}, {m, 1}};
        }
        const auto it = absorbs.find(&node);
        if (it == absorbs.end()) return std::nullopt;
        const std::array<Value, 5>& o = operands_of.at(it->second);
        Node form = absorbing(g, node, {it->second, 0}, g.node(it->second), o);
        form.inputs.back() = in[1];
        return std::vector<Value>{{out.add(*form.op, form.inputs, form.attrs), 0}};
    });
}

}  // namespace

Graph absorb_prologues(const Graph& g, std::span<const Impl> impls, Refusals*) {
    return absorb_gradients(absorb_activations_behind(g, impls), impls);
}

}  // namespace fk
