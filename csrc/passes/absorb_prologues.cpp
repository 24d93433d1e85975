// A normalised activation that only 1x1 convolutions and their filters' gradients read is made inside them, block by block, where
// the device has these forms: it is never in memory. What remains of the normalisation are its moments.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"

namespace fk {
namespace {

bool is_pointwise(const Node& n, const Dims& filter) {
    const auto all = [](const Dims& d, int64_t value) { return std::ranges::all_of(d, [=](int64_t i) { return i == value; }); };
    return all(n.dims_attr("strides"), 1) && all(n.dims_attr("pad_low"), 0) && all(n.dims_attr("pad_high"), 0) &&
           n.int_attr("groups") == 1 && product(filter) == filter.back() * filter[filter.size() - 2];
}

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

}  // namespace

Graph absorb_prologues(const Graph& g, std::span<const Impl> impls, Refusals*) {
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

}  // namespace fk
