// The statistics of a batch normalisation are taken from the 1x1 convolution before it while its rows lie in the cache, where the
// device has these forms. What remains of the normalisation is a scale and an offset.
#include <unordered_map>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

bool is_norm(const Node& n) { return n.is("batch_norm_moments") || n.is("batch_norm_act") || n.is("batch_norm_train"); }

// The form of a product that gives the moments of its result; no op: it has none.
Node with_moments(const Graph& g, const Node& product) {
    Node form{
        .op = nullptr, .inputs = product.inputs, .attrs = {}, .types = product.types, .label = product.label, .region = nullptr};
    if (product.is("norm_pointwise")) {
        form.op = &get_op("norm_pointwise_moments");
        form.attrs = product.attrs;
    } else if (product.is("conv") && is_pointwise(product, g.type(product.inputs[1]).dims)) {
        form.op = &get_op("pointwise_moments");
    } else {
        return form;
    }
    const TensorType& y = product.types[0];
    form.types.resize(3, TensorType{y.dtype, {y.dims.back()}});
    return form;
}

}  // namespace

Graph absorb_moments(const Graph& g, std::span<const Impl> impls, Refusals*) {
    const auto live = live_nodes(g);
    std::unordered_map<const Node*, Node> forms;  // by product
    std::unordered_map<const Node*, bool> taken;  // normalisations
    for (uint32_t n = 0; n < g.size(); ++n) {
        if (!live[n] || g.node(n).region || !is_norm(g.node(n))) continue;
        const Value y = g.node(n).inputs[0];
        const Node& product = g.node(y);
        if (product.region || forms.contains(&product)) continue;  // one set of statistics is enough
        Node form = with_moments(g, product);
        if (form.op == nullptr || !is_claimed(g, form, impls, "", nullptr)) continue;
        forms.emplace(&product, std::move(form));
        taken[&g.node(n)] = true;
    }
    if (forms.empty()) return g;
    return rewrite(g, [&](Graph& out, const Node& node, std::span<const Value> in) -> std::optional<std::vector<Value>> {
        if (const auto it = forms.find(&node); it != forms.end()) {
            const Node& form = it->second;
            return std::vector<Value>{{out.add(*form.op, std::vector<Value>(in.begin(), in.end()), form.attrs), 0}};
        }
        if (!taken.contains(&node)) return std::nullopt;
        const uint32_t product = in[0].node;
        const Value mean{product, 1}, variance{product, 2};
        if (node.is("batch_norm_moments")) return std::vector<Value>{mean, variance};
        Attrs attrs = node.attrs;
        if (node.is("batch_norm_train")) attrs.emplace_back(std::string("none"));
        attrs.emplace_back(int64_t{0});
        const uint32_t z = out.add(get_op("batch_norm_apply"), {in[0], in[1], in[2], mean, variance}, attrs);
        return std::vector<Value>{{z, 0}, mean, variance};
    });
}

}  // namespace fk
