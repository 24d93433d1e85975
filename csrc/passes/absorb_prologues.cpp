// What batch normalisation gives to 1x1 convolutions is made inside them, block by block, where the device has these forms. The
// gradient that leaves a normalisation and is read by the two products of the gradient of a convolution before it is one of
// these, together with what another reader of that convolution's operand adds to the result. So is the activation behind the
// normalisation: a normalised activation that only 1x1 convolutions and their filters' gradients read is never in memory. What
// remains of the normalisation are its moments.
#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <unordered_set>

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

// A normalisation's gradient and what becomes part of it: the two products that read it, or its rounded copy, and, where the
// operand of the convolution has another reader, the addition of that one's gradient and the mask of the activation that made the
// operand.
struct Backward {
    uint32_t input_grad, filter_grad, result;  // result: the node whose value the fused node gives
    uint32_t wide_filter_grad;                 // the cast that is all that reads filter_grad, if there is one
    std::vector<uint32_t> between;             // input_grad and what follows it up to the result
    Node fused;  // with inputs in the old graph, as cast_mixed will leave it: rows may be stored in 16 bits
};

// The vectors that a gradient of a normalisation reads, as a pointwise_norm_grad takes them; beta is read with an activation
// only.
std::vector<Value> operands_of(const Node& norm) {
    std::vector<Value> in(norm.inputs.begin(), norm.inputs.end());
    if (norm.is("batch_norm_train_grad")) in.insert(in.begin() + 2, in[1]);
    return in;
}

std::optional<Backward> products_of(const Graph& g, uint32_t n, Value dy, uint32_t first, uint32_t second) {
    const auto is_filter_grad = [&](uint32_t m) {
        return g.node(m).is("conv_filter_grad") || g.node(m).is("norm_pointwise_grad");
    };
    if (is_filter_grad(first)) std::swap(first, second);
    const Node &norm = g.node(n), &dx = g.node(first), &dw = g.node(second);
    const bool normalised = dw.is("norm_pointwise_grad");
    if (!dx.is("conv_input_grad") || !is_filter_grad(second) || dx.inputs[0] != dy || dw.inputs[normalised ? 5 : 1] != dy)
        return std::nullopt;
    const Value x = dw.inputs[0], w = dx.inputs[1];
    if (x == dy || w == dy || w.node > n || g.type(w) != dw.types[0] || g.type(x) != dx.types[0]) return std::nullopt;
    if (!is_pointwise(dx, g.type(w).dims) || (!normalised && !is_pointwise(dw, g.type(w).dims))) return std::nullopt;
    Backward b{first, second, first, UINT32_MAX, {first}, Node{}};
    b.fused = Node{.op = &get_op(normalised ? "norm_pointwise_norm_grad" : "pointwise_norm_grad"),
                   .inputs = {},
                   .attrs = {norm.attrs[0], norm.is("batch_norm_act_grad") ? norm.attrs[1] : Attr{std::string("none")}},
                   .types = {dx.types[0], {norm.types[0].dtype, dw.types[0].dims}, norm.types[1], norm.types[2]},
                   .label = norm.label,
                   .region = nullptr};
    std::vector<Value> inputs = operands_of(norm);
    for (Value& v : inputs) v = before_widening(g, v);
    const std::span of_x(dw.inputs.begin(), normalised ? 5 : 1);
    inputs.insert(inputs.end(), of_x.begin(), of_x.end());
    inputs.push_back(before_narrowing(g, w));
    if (std::ranges::any_of(inputs, [&](Value v) { return v.node > n; })) return std::nullopt;
    if (normalised) b.fused.attrs.insert(b.fused.attrs.end(), dw.attrs.begin(), dw.attrs.begin() + 2);
    b.fused.inputs.assign(inputs.begin(), inputs.end());
    return b;
}

// The same with what the other reader of x adds; x must not be normalised on the way.
std::optional<Backward> joined(const Graph& g, const Uses& uses, uint32_t n, Backward b) {
    const uint32_t sum = uses.only(b.input_grad);
    if (sum == UINT32_MAX || !b.fused.op->name.starts_with("pointwise") || g.node(sum).op->prim != Prim::add) return std::nullopt;
    const Node& add = g.node(sum);
    const Value mine{b.input_grad, 0}, other = add.inputs[0] == mine ? add.inputs[1] : add.inputs[0], x = b.fused.inputs[6];
    if (other == mine || other.node > n) return std::nullopt;
    b.fused.op = &get_op("pointwise_norm_grad_join");
    b.fused.inputs.push_back(other);
    b.between.push_back(sum);
    std::string act = "none";
    const uint32_t behind = uses.only(sum);
    if (behind != UINT32_MAX && g.node(behind).op->prim == Prim::where) {
        const Node& where = g.node(behind);
        if (where.inputs[1] == Value{sum, 0} && is_constant(g, where.inputs[2], 0.0) && is_mask(g, where.inputs[0], x, "relu")) {
            act = "relu";
            b.between.push_back(behind);
        }
    }
    b.fused.attrs.emplace_back(act);
    b.result = b.between.back();
    return b;
}

Graph absorb_gradients(const Graph& g, std::span<const Impl> impls) {
    const auto live = live_nodes(g);
    const Uses uses(g);
    std::vector<std::vector<uint32_t>> readers(g.size());  // of the first output
    const auto is_gradient = [](const Node& n) { return n.is("batch_norm_act_grad") || n.is("batch_norm_train_grad"); };
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n])
            for (Value v : g.node(n).inputs)
                if (v.out == 0 && (is_gradient(g.node(v)) || is_narrowing(g, g.node(v)))) readers[v.node].push_back(n);
    const auto is_output = [&](uint32_t n) { return std::ranges::find(g.outputs, Value{n, 0}) != g.outputs.end(); };
    std::unordered_map<uint32_t, Backward> at;  // by normalisation
    std::unordered_set<uint32_t> gone;          // products, what is before and what follows them
    for (uint32_t n = 0; n < g.size(); ++n) {
        if (!is_gradient(g.node(n)) || readers[n].empty() || is_output(n)) continue;
        const bool rounded = readers[n].size() == 1 && is_narrowing(g, g.node(readers[n][0]));
        const uint32_t read = rounded ? readers[n][0] : n;
        if (readers[read].size() != 2 || is_output(read)) continue;
        std::optional<Backward> b = products_of(g, n, {read, 0}, readers[read][0], readers[read][1]);
        if (!b) continue;
        if (auto more = joined(g, uses, n, *b); more && is_claimed(g, more->fused, impls, "", nullptr))
            b = std::move(more);
        else if (!is_claimed(g, b->fused, impls, "", nullptr))
            continue;
        if (rounded) {
            gone.insert(read);
            const uint32_t wide = uses.only(b->filter_grad);  // which need not be rounded on the way
            if (wide != UINT32_MAX && before_widening(g, {wide, 0}) == Value{b->filter_grad, 0}) b->wide_filter_grad = wide;
        }
        gone.insert(b->filter_grad);
        if (b->wide_filter_grad != UINT32_MAX) gone.insert(b->wide_filter_grad);
        gone.insert(b->between.begin(), b->between.end());
        at.emplace(n, std::move(*b));
    }
    if (at.empty()) return g;
    return rewrite_places(g, [&](Graph& out, uint32_t n, ValueMap& map) {
        if (gone.contains(n)) return true;
        const auto it = at.find(n);
        if (it == at.end()) return false;
        const Backward& b = it->second;
        std::vector<Value> inputs;
        const DType computed = g.node(n).types[0].dtype;
        for (Value v : b.fused.inputs) inputs.push_back(in_type(out, computed, map[v.node][v.out]));
        const uint32_t added = out.add(*b.fused.op, std::move(inputs), b.fused.attrs);
        map[n] = {Value{}, {added, 2}, {added, 3}};
        map[b.result] = {in_type(out, g.node(b.result).types[0].dtype, {added, 0})};
        if (b.wide_filter_grad != UINT32_MAX)
            map[b.wide_filter_grad] = {{added, 1}};
        else
            map[b.filter_grad] = {in_type(out, g.node(b.filter_grad).types[0].dtype, {added, 1})};
        return true;
    });
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
