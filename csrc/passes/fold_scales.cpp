// What multiplies each channel of a product with steady weights becomes part of the weights, where nothing but variables goes
// into it: conv(x, w) * s = conv(x, w * s). So a batch normalisation that uses its moving averages vanishes into the convolution
// or dense layer in front of it: its scale is computed once, ahead of the runs, its offset is the bias that absorb_epilogues
// takes. In 16 bits the scaled weights are rounded instead of the product.
#include "ops/expr.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

using Result = std::optional<std::vector<Value>>;

// A product, or a product and the bias added to it, possibly widened: cast(product(x, w)) + bias.
struct Product {
    Value base;  // the convolution or matmul
    Value cast;  // of its result; invalid: there is none
    Value bias;  // a vector over the channels; invalid: there is none
};

bool is_product(const Graph& g, Value v) {
    const Node& n = g.node(v);
    if (v.out != 0 || n.op == nullptr || n.region || !(n.is("conv") || n.is("matmul"))) return false;
    return g.steady(n.inputs[1]) && !g.steady(v) && (n.is("conv") || g.type(n.inputs[1]).rank() == 2);
}

Value steady_vector(const Graph& g, Value v) {
    if (!g.steady(v)) return {};
    const Value vector = broadcast_vector(g, v);
    return vector.valid() && g.type(vector).dims.back() == g.type(v).dims.back() ? vector : Value{};
}

// `uses`: null where readers were counted already, in the graph that this one is made from.
std::optional<Product> find_product(const Graph& g, Value v, const Uses* uses) {
    const auto alone = [&](Value x) { return uses == nullptr || uses->count[x.node] == 1; };
    Product p;
    if (!alone(v)) return std::nullopt;
    if (g.node(v).op->prim == Prim::add) {
        for (size_t side : {0, 1})
            if (!p.bias.valid()) {
                p.bias = steady_vector(g, g.node(v).inputs[side]);
                if (p.bias.valid()) p.base = g.node(v).inputs[1 - side];
            }
        if (!p.bias.valid() || !alone(p.base)) return std::nullopt;
    } else {
        p.base = v;
    }
    if (g.node(p.base).op->prim == Prim::cast && is_float(g.type(g.node(p.base).inputs[0]).dtype)) {
        p.cast = p.base;
        p.base = g.node(p.cast).inputs[0];
        if (!alone(p.base)) return std::nullopt;
    }
    return is_product(g, p.base) ? std::optional(p) : std::nullopt;
}

// The product with its weights multiplied by `scale`, which has one value for each channel.
Expr scaled(Graph& g, Value base, Expr scale) {
    const Node node = g.node(base);
    Value stored = node.inputs[1];
    const DType t = g.type(stored).dtype, wide = scale.dtype();
    // The layer's own rounding of its weights is left out: they are rounded after the multiplication.
    if (t != wide && g.node(stored).op->prim == Prim::cast && g.type(g.node(stored).inputs[0]).dtype == wide)
        stored = g.node(stored).inputs[0];
    const Expr w = cast({&g, stored}, wide);
    if (node.is("matmul") && node.bool_attr("transpose_b")) scale = reshape(scale, {scale.dims()[0], 1});
    const Expr weights = cast(w * broadcast_to(scale, w.dims()), t);
    return {&g, {g.add(*node.op, {node.inputs[0], weights.v}, node.attrs), 0}};
}

class Folding {
  public:
    explicit Folding(const Graph& g) : g_(g), uses_(g) {}
    bool changed = false;

    Result rule(Graph& out, const Node& n, std::span<const Value> in) {
        if (n.op->prim != Prim::multiply && n.op->prim != Prim::add) return std::nullopt;
        for (size_t side : {0, 1}) {
            // The old graph knows the readers, the new one what its operands have become.
            const auto before = find_product(g_, n.inputs[side], &uses_);
            const Value vector = steady_vector(out, in[1 - side]);
            if (!before || !vector.valid()) continue;
            const auto now = find_product(out, in[side], nullptr);
            if (!now || now->bias.valid() != before->bias.valid() || now->cast.valid() != before->cast.valid()) continue;
            const Expr v{&out, vector};
            Expr result;
            if (n.op->prim == Prim::add) {  // two biases are one
                if (!now->bias.valid()) continue;
                const Expr sum = Expr{&out, now->bias} + v;
                result = Expr{&out, now->cast.valid() ? now->cast : now->base} + broadcast_to(sum, n.types[0].dims);
            } else {
                result = cast(scaled(out, now->base, v), n.types[0].dtype);
                if (now->bias.valid()) result = result + broadcast_to(Expr{&out, now->bias} * v, n.types[0].dims);
            }
            changed = true;
            return std::vector<Value>{result.v};
        }
        return std::nullopt;
    }

  private:
    const Graph& g_;
    Uses uses_;
};

}  // namespace

Graph fold_scales(const Graph& g) {
    bool any = false;
    for (uint32_t n = 0; n < g.size() && !any; ++n) any = is_product(g, {n, 0});
    if (!any) return g;
    Graph current = g;
    for (bool changed = true; changed;) {
        Folding folding(current);
        current =
            rewrite(current, [&](Graph& out, const Node& n, std::span<const Value> in) { return folding.rule(out, n, in); });
        changed = folding.changed;
    }
    return current;
}

}  // namespace fk
