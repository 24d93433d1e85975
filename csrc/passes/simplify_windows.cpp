// Rules about convolutions and poolings: padding that they can do themselves, and what may happen to a gradient before max
// pooling spreads it.
#include "passes/simplify_windows.h"

#include "ops/expr.h"

namespace fk {
namespace {

using Result = std::optional<std::vector<Value>>;

Result one(Value v) { return std::vector<Value>{v}; }

bool is_zero(const Graph& g, Value v) { return g.node(v).is("full") && g.node(v).float_attr("value") == 0.0; }

// Each dy went to one element of its window, none of which lies in the padding alone: their sum over a channel stays.
Result sum_of_pool_grad(Graph& g, const Node& n, Value x) {
    const Node& spread = g.node(x);
    if (!spread.is("max_pool_grad") || !n.is("reduce_sum")) return std::nullopt;
    const auto rank = static_cast<size_t>(g.type(x).rank());
    std::vector<bool> summed(rank, false);
    for (int64_t a : std::get<Dims>(n.attrs[0])) summed[static_cast<size_t>(normalize_axis(a, g.type(x).rank()))] = true;
    for (size_t i = 0; i < rank; ++i)
        if (summed[i] == (i + 1 == rank)) return std::nullopt;
    const Dims &window = spread.dims_attr("window"), &low = spread.dims_attr("pad_low"), &high = spread.dims_attr("pad_high");
    for (size_t i = 0; i < window.size(); ++i)
        if (low[i] >= window[i] || high[i] >= window[i]) return std::nullopt;
    const Attrs attrs = n.attrs;
    return one({g.add(*n.op, {spread.inputs[2]}, attrs), 0});
}

// A padding with zeros along the spatial dimensions only.
bool pads_space(const Node& n) {
    if (!n.is("pad") || n.float_attr("value") != 0.0 || !n.dims_attr("interior").empty()) return false;
    const Dims &low = n.dims_attr("low"), &high = n.dims_attr("high");
    for (size_t i = 0; i < low.size(); ++i) {
        const bool space = i > 0 && i + 1 < low.size();
        if (low[i] < 0 || high[i] < 0 || (!space && low[i] + high[i] != 0)) return false;
    }
    return low.size() >= 3;
}

// The attributes of a convolution whose input has been padded by that much, from `strides` on at `at`.
Attrs padded_more(const Attrs& attrs, size_t at, const Dims& low, const Dims& high) {
    Attrs out = attrs;
    for (size_t i = 0; i + 2 < low.size(); ++i) {
        std::get<Dims>(out[at + 1])[i] += low[i + 1];
        std::get<Dims>(out[at + 2])[i] += high[i + 1];
    }
    return out;
}

// Whether a slice takes exactly what `pad` has padded.
bool takes_inside(const Graph& g, const Node& slice, const Node& pad) {
    const Dims &start = slice.dims_attr("start"), &stop = slice.dims_attr("stop"), &step = slice.dims_attr("step");
    const Dims &low = pad.dims_attr("low"), &size = g.type(pad.inputs[0]).dims;
    for (size_t i = 0; i < size.size(); ++i)
        if (step[i] != 1 || start[i] != low[i] || stop[i] != low[i] + size[i]) return false;
    return true;
}

// The attributes of a pooling that pads its input by so much more; none where a window could see nothing but padding.
std::optional<Attrs> pools_padded(const Node& pool, const Node& pad) {
    if (!pads_space(pad)) return std::nullopt;
    const Attrs attrs = padded_more(pool.attrs, 1, pad.dims_attr("low"), pad.dims_attr("high"));
    const auto at = [&](size_t i) -> const Dims& { return std::get<Dims>(attrs[i]); };
    for (size_t i = 0; i < at(0).size(); ++i)
        if (at(2)[i] >= at(0)[i] || at(3)[i] >= at(0)[i]) return std::nullopt;
    return attrs;
}

// max_pool(pad(x)): padding with zeros is like any other for what is not negative, as behind a ReLU.
Result pool_within(Graph& g, const Node& n, std::span<const Value> in) {
    const Node& pad = g.node(in[0]);
    if (!pad.is("pad")) return std::nullopt;
    const Node& x = g.node(pad.inputs[0]);
    if (!x.is("relu") && !x.is("relu6") && !(x.op->prim == Prim::maximum && is_zero(g, x.inputs[1]))) return std::nullopt;
    const auto attrs = pools_padded(n, pad);
    if (!attrs) return std::nullopt;
    const Value inside = pad.inputs[0];
    return one({g.add(*n.op, {inside}, *attrs), 0});
}

// max_pool_grad(x, y, dy) hands each dy to an element of x that equals its y. So what depends only on the sign of x, as the
// gradient of a ReLU in front of the pooling does, may be done to dy before it is spread: where(x > 0, max_pool_grad(x, y, dy),
// 0). Zeros around x are none of the elements then, and the pooling may pad by itself.
Result mask_before_pool_grad(Graph& g, const Node& n, std::span<const Value> in) {
    const Node& mask = g.node(in[0]);
    if (mask.op->prim != Prim::greater || !is_zero(g, mask.inputs[1]) || !is_zero(g, in[2])) return std::nullopt;
    const bool sliced = g.node(in[1]).is("slice");
    const Node& spread = g.node(sliced ? g.node(in[1]).inputs[0] : in[1]);
    if (!spread.is("max_pool_grad")) return std::nullopt;
    Value x = spread.inputs[0];
    std::optional<Attrs> attrs = spread.attrs;
    if (sliced) {
        const Node& pad = g.node(x);
        if (!pad.is("pad") || !takes_inside(g, g.node(in[1]), pad)) return std::nullopt;
        attrs = pools_padded(spread, pad);
        x = pad.inputs[0];
    }
    if (!attrs || mask.inputs[0] != x) return std::nullopt;
    const Value y = spread.inputs[1], dy = spread.inputs[2];
    const OpDef *greater = mask.op, *where = n.op;
    const Value zero = full(g, 0, g.type(dy).dtype, g.type(dy).dims).v, positive{g.add(*greater, {y, zero}), 0};
    return one({g.add(get_op("max_pool_grad"), {x, y, {g.add(*where, {positive, dy, zero}), 0}}, *attrs), 0});
}

// conv(pad(x), w) and conv_filter_grad(pad(x), dy): the convolution pads.
Result pad_within(Graph& g, const Node& n, std::span<const Value> in) {
    const Node& pad = g.node(in[0]);
    if (!pads_space(pad)) return std::nullopt;
    const Attrs attrs = padded_more(n.attrs, n.is("conv") ? 0 : 1, pad.dims_attr("low"), pad.dims_attr("high"));
    const Value x = pad.inputs[0], other = in[1];
    return one({g.add(*n.op, {x, other}, attrs), 0});
}

// The gradient of the padding, a slice, of that of the convolution: only the gradient of what is inside is computed.
Result slice_within(Graph& g, const Node& n, Value x) {
    const Node& grad = g.node(x);
    if (!grad.is("conv_input_grad")) return std::nullopt;
    const Dims &start = n.dims_attr("start"), &stop = n.dims_attr("stop"), &step = n.dims_attr("step");
    const Dims& whole = grad.types[0].dims;
    Dims low = start, high(whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
        const bool space = i > 0 && i + 1 < whole.size();
        if (step[i] != 1 || start[i] < 0 || stop[i] > whole[i] || (!space && stop[i] - start[i] != whole[i])) return std::nullopt;
        high[i] = whole[i] - stop[i];
    }
    Attrs attrs = padded_more(grad.attrs, 1, low, high);
    attrs[0] = n.types[0].dims;
    const Value dy = grad.inputs[0], w = grad.inputs[1];
    return one({g.add(*grad.op, {dy, w}, attrs), 0});
}

}  // namespace

Result simplify_windows(Graph& g, const Node& n, std::span<const Value> in) {
    if (n.op->prim == Prim::where) return mask_before_pool_grad(g, n, in);
    if (n.is("reduce_sum")) return sum_of_pool_grad(g, n, in[0]);
    if (n.is("max_pool")) return pool_within(g, n, in);
    if (n.is("conv") || n.is("conv_filter_grad")) return pad_within(g, n, in);
    if (n.is("slice")) return slice_within(g, n, in[0]);
    return std::nullopt;
}

}  // namespace fk
