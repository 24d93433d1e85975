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

// The form of a product that gives the moments of its result, as cast_mixed will leave it: rows may be stored in 16 bits. No op:
// it has none.
Node with_moments(const Graph& g, const Node& product) {
    Node form{
        .op = nullptr, .inputs = product.inputs, .attrs = {}, .types = product.types, .label = product.label, .region = nullptr};
    if (product.is("norm_pointwise")) {
        form.op = &get_op("norm_pointwise_moments");
        form.attrs = product.attrs;
    } else if (product.is("conv") && is_pointwise(product, g.type(product.inputs[1]).dims)) {
        form.op = &get_op("pointwise_moments");
        form.inputs[1] = before_narrowing(g, form.inputs[1]);
    } else {
        return form;
    }
    return form;
}

}  // namespace

Graph absorb_moments(const Graph& g, std::span<const Impl> impls, Refusals*) {
    const auto live = live_nodes(g);
    std::unordered_map<uint32_t, Node> forms;      // by product
    std::unordered_map<uint32_t, uint32_t> taken;  // normalisations -> products
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& norm = g.node(n);
        if (!live[n] || norm.region || !is_norm(norm)) continue;
        const Value y = before_widening(g, norm.inputs[0]);
        const Node& product = g.node(y);
        if (product.region || forms.contains(y.node)) continue;  // one set of statistics is enough
        Node form = with_moments(g, product);
        if (form.op == nullptr) continue;
        form.types.resize(3, TensorType{g.type(norm.inputs[0]).dtype, {product.types[0].dims.back()}});
        if (!is_claimed(g, form, impls, "", nullptr)) continue;
        forms.emplace(y.node, std::move(form));
        taken.emplace(n, y.node);
    }
    if (forms.empty()) return g;
    std::unordered_map<uint32_t, uint32_t> made;  // products -> what they are in the new graph
    return rewrite_places(g, [&](Graph& out, uint32_t n, ValueMap& map) {
        const Node& node = g.node(n);
        const auto mapped = [&](Value v) { return map[v.node][v.out]; };
        if (const auto it = forms.find(n); it != forms.end()) {
            const Node& form = it->second;
            std::vector<Value> inputs;
            for (Value v : form.inputs) inputs.push_back(in_type(out, form.types[1].dtype, mapped(v)));
            const uint32_t added = out.add(*form.op, std::move(inputs), form.attrs);
            made[n] = added;
            map[n] = {in_type(out, node.types[0].dtype, {added, 0})};
            return true;
        }
        const auto it = taken.find(n);
        if (it == taken.end()) return false;
        const uint32_t product = made.at(it->second);
        const Value mean{product, 1}, variance{product, 2};
        if (node.is("batch_norm_moments")) {
            map[n] = {mean, variance};
            return true;
        }
        Attrs attrs = node.attrs;
        if (node.is("batch_norm_train")) attrs.emplace_back(std::string("none"));
        attrs.emplace_back(int64_t{0});
        const uint32_t z =
            out.add(get_op("batch_norm_apply"),
                    {mapped(node.inputs[0]), mapped(node.inputs[1]), mapped(node.inputs[2]), mean, variance}, attrs);
        map[n] = {{z, 0}, mean, variance};
        return true;
    });
}

}  // namespace fk
