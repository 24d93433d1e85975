// What a normalisation subtracts again need not be added: batch_norm(y + b) = batch_norm(y) for a vector b over the channels,
// and only the mean moves by b. So the bias of a layer in front of a batch normalisation costs nothing in training, and its
// gradient is zero: the gradient that leaves a normalisation over all rows sums to nothing in each channel, but for rounding.
// Sums of rounding errors would be what other libraries add to that bias, up to a whole learning rate with Adam.
#include <algorithm>
#include <unordered_set>

#include "ops/expr.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

using Result = std::optional<std::vector<Value>>;

bool is_cast_of_float(const Graph& g, Value v) {
    const Node& n = g.node(v);
    return n.op->prim == Prim::cast && is_float(g.type(n.inputs[0]).dtype);
}

// [cast] (base + a vector over the channels).
struct Shifted {
    Value base, vector;
    DType dtype;  // of the sum, before a cast
};

std::optional<Shifted> find_shift(const Graph& g, Value v) {
    if (is_cast_of_float(g, v)) v = g.node(v).inputs[0];
    const Node& sum = g.node(v);
    if (sum.region || sum.op->prim != Prim::add) return std::nullopt;
    for (size_t side : {1, 0}) {
        const Value vector = broadcast_vector(g, sum.inputs[side]);
        if (vector.valid() && g.type(vector).dims.back() == g.type(v).dims.back())
            return Shifted{sum.inputs[1 - side], vector, g.type(v).dtype};
    }
    return std::nullopt;
}

bool is_gradient_of(const Node& grad, const Node& norm, uint32_t norm_index) {
    return grad.is("batch_norm_train_grad") && grad.inputs[0] == norm.inputs[0] && grad.inputs[4] != norm.inputs[0] &&
           grad.inputs[2] == Value{norm_index, 1} && grad.inputs[3] == Value{norm_index, 2} && grad.attrs == norm.attrs;
}

// The gradient of a normalisation that `v` is, widened or rounded or not.
bool leaves_a_normalisation(const Graph& g, Value v) {
    if (is_cast_of_float(g, v)) v = g.node(v).inputs[0];
    const Node& grad = g.node(v);
    if (v.out != 0 || !grad.is("batch_norm_train_grad")) return false;
    const Value mean = grad.inputs[2];
    const Node& norm = g.node(mean);
    return mean.out == 1 && norm.is("batch_norm_train") && is_gradient_of(grad, norm, mean.node);
}

}  // namespace

Graph cancel_shifts(const Graph& g) {
    const auto live = live_nodes(g);
    std::vector<std::vector<uint32_t>> readers(g.size());
    std::vector<uint32_t> norms;
    for (uint32_t n = 0; n < g.size(); ++n) {
        if (!live[n]) continue;
        for (Value v : g.node(n).inputs)
            if (readers[v.node].empty() || readers[v.node].back() != n) readers[v.node].push_back(n);
        if (g.node(n).is("batch_norm_train")) norms.push_back(n);
    }
    if (norms.empty()) return g;
    std::unordered_set<const Node*> relieved;  // normalisations and gradients that lose the shift
    for (uint32_t n : norms) {
        const Node& norm = g.node(n);
        const Value x = norm.inputs[0];
        if (!find_shift(g, x) || std::ranges::find(g.outputs, x) != g.outputs.end()) continue;
        const std::vector<uint32_t>& all = readers[x.node];
        // Another reader needs the sum itself: two tensors in memory would cost more than the addition.
        if (!std::ranges::all_of(all, [&](uint32_t r) { return r == n || is_gradient_of(g.node(r), norm, n); })) continue;
        for (uint32_t r : all) relieved.insert(&g.node(r));
    }
    return rewrite(g, [&](Graph& out, const Node& node, std::span<const Value> in) -> Result {
        if (node.is("reduce_sum") && node.dims_attr("axes") == all_but_last(g.type(node.inputs[0]).rank()) &&
            leaves_a_normalisation(g, node.inputs[0]))
            return std::vector{broadcast_to(full(out, 0.0, node.types[0].dtype), node.types[0].dims).v};
        if (!relieved.contains(&node)) return std::nullopt;
        const Shifted shifted = *find_shift(out, in[0]);
        const DType wide = out.type(in[0]).dtype;
        std::vector<Value> inputs(in.begin(), in.end());
        inputs[0] = cast({&out, shifted.base}, wide).v;
        if (node.is("batch_norm_train")) {
            const uint32_t added = out.add(*node.op, inputs, node.attrs);
            const Expr mean = Expr{&out, {added, 1}} + cast({&out, shifted.vector}, wide);
            return std::vector<Value>{{added, 0}, mean.v, {added, 2}};
        }
        inputs[2] = out.node(in[2]).inputs[0];  // the mean without the shift
        const uint32_t added = out.add(*node.op, inputs, node.attrs);
        return std::vector<Value>{{added, 0}, {added, 1}, {added, 2}};
    });
}

}  // namespace fk
