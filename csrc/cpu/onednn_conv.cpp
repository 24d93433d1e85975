// Convolution and its gradients by oneDNN. Activations keep their channels-last layout; the filter takes whatever layout
// the primitive prefers, reordered within the kernel. `forward_inference` is asked for in training as well: the result
// is the same, and the library offers its channels-last kernels for wide vectors only then.
#include "cpu/conv_shape.h"
#include "cpu/impls.h"
#include "cpu/onednn_common.h"

namespace fk::cpu {
namespace {

using Md = dnnl::memory::desc;

struct ConvDescs {
    Md x, y, w;  // as the engine stores them
    Md any_w;    // the same filter in any layout
    Dims strides, dilations, low, high;
};

Dims tail(const Dims3& d, int rank) { return {d.end() - rank, d.end()}; }

// Channels last in memory, (batch, channels, spatial...) in the library's order.
Md activation(const ConvShape& s, int64_t channels, const Dims3& size, DType t) {
    const Dims space = tail(size, s.rank);
    Dims stored = {s.batch};
    stored.insert(stored.end(), space.begin(), space.end());
    stored.push_back(channels);
    const Dims memory = row_major_strides(stored);
    Dims dims = {s.batch, channels}, strides = {memory.front(), 1};
    dims.insert(dims.end(), space.begin(), space.end());
    strides.insert(strides.end(), memory.begin() + 1, memory.end() - 1);
    return strided_desc(dims, t, strides);
}

ConvDescs describe(const ConvShape& s, DType t) {
    ConvDescs d;
    d.x = activation(s, s.in_channels, s.in, t);
    d.y = activation(s, s.out_channels, s.out, t);
    const Dims space = tail(s.kernel, s.rank);
    Dims stored = space;
    stored.push_back(s.in_per_group());
    stored.push_back(s.out_channels);
    const Dims memory = row_major_strides(stored);
    Dims dims = {s.out_per_group(), s.in_per_group()}, strides = {1, s.out_channels};
    dims.insert(dims.end(), space.begin(), space.end());
    strides.insert(strides.end(), memory.begin(), memory.end() - 2);
    if (s.groups > 1) {
        dims.insert(dims.begin(), s.groups);
        strides.insert(strides.begin(), s.out_per_group());
    }
    d.w = strided_desc(dims, t, strides);
    d.any_w = Md(dims, onednn_type(t).value(), dnnl::memory::format_tag::any);
    d.strides = tail(s.stride, s.rank);
    d.dilations = tail(s.dilation, s.rank);
    for (int64_t& dilation : d.dilations) --dilation;
    d.low = tail(s.low, s.rank);
    d.high = tail(s.high, s.rank);
    return d;
}

std::string refuse(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    if (!onednn_type(t)) return concat("no ", name(t), " in oneDNN");
    return conv_shape(g, node).empty() ? "an empty operand" : "";
}

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

dnnl::convolution_forward::primitive_desc forward_desc(const ConvDescs& d, const Md* bias, Act act) {
    const auto kind = dnnl::prop_kind::forward_inference;
    const dnnl::primitive_attr attr = StepBuilder::attributes(act);
    if (bias) return {onednn_engine(), kind, kDirect, d.x, d.any_w, *bias, d.y, d.strides, d.dilations, d.low, d.high, attr};
    return {onednn_engine(), kind, kDirect, d.x, d.any_w, d.y, d.strides, d.dilations, d.low, d.high, attr};
}

// Where the primitive reads the filter from: the input itself, or scratch after a reorder.
Binding packed_filter(StepBuilder& steps, const Md& stored, const Md& wanted) {
    const Binding from{DNNL_ARG_WEIGHTS, stored, Place::input, 1};
    if (stored == wanted) return from;
    const Binding to{DNNL_ARG_WEIGHTS, wanted, Place::scratch, steps.reserve(wanted)};
    steps.reorder(from, to);
    return to;
}

}  // namespace

namespace onednn_conv {
std::string match(const Graph& g, const Node& node) {
    if (node.inputs.size() == 3) {
        if (input_type(g, node, 2).size() != node.types[0].dims.back()) return "the bias is not one value per filter";
        const auto& act = std::get<std::string>(node.attrs[5]);
        if (!act_from_name(act)) return concat("activation ", act);
    }
    return refuse(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) try {
    const ConvShape s = conv_shape(g, node);
    const bool fused = node.inputs.size() == 3;
    const Act act = fused ? act_from_name(std::get<std::string>(node.attrs[5])).value() : Act::none;
    const int threads = team_for(s.multiply_adds());
    const TeamSize team(threads);
    const ConvDescs d = describe(s, input_type(g, node, 0).dtype);
    const Md bias = fused ? strided_desc({s.out_channels}, input_type(g, node, 2).dtype, {1}) : Md();
    auto pd = forward_desc(d, fused ? &bias : nullptr, act);
    if (!skip_reference(pd)) return nullptr;
    StepBuilder steps(threads);
    std::vector<Binding> bindings = {packed_filter(steps, d.w, pd.weights_desc()),
                                     {DNNL_ARG_SRC, d.x, Place::input, 0},
                                     {DNNL_ARG_DST, d.y, Place::output, 0}};
    if (fused) bindings.push_back({DNNL_ARG_BIAS, bias, Place::input, 2});
    steps.add(dnnl::convolution_forward(pd), pd, std::move(bindings));
    return steps.finish(concat("onednn:", pd.impl_info_str()));
} catch (const dnnl::error&) {
    return nullptr;
}
}  // namespace onednn_conv

namespace onednn_conv_input_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) try {
    const ConvShape s = conv_shape(g, node);
    const int threads = team_for(s.multiply_adds());
    const TeamSize team(threads);
    const ConvDescs d = describe(s, input_type(g, node, 0).dtype);
    dnnl::convolution_backward_data::primitive_desc pd(onednn_engine(), kDirect, d.x, d.any_w, d.y, d.strides, d.dilations, d.low,
                                                       d.high, forward_desc(d, nullptr, Act::none), StepBuilder::attributes());
    if (!skip_reference(pd)) return nullptr;
    StepBuilder steps(threads);
    steps.add(dnnl::convolution_backward_data(pd), pd,
              {packed_filter(steps, d.w, pd.weights_desc()),
               {DNNL_ARG_DIFF_DST, d.y, Place::input, 0},
               {DNNL_ARG_DIFF_SRC, d.x, Place::output, 0}});
    return steps.finish(concat("onednn:", pd.impl_info_str()));
} catch (const dnnl::error&) {
    return nullptr;
}
}  // namespace onednn_conv_input_grad

namespace onednn_conv_filter_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) try {
    const ConvShape s = conv_shape(g, node);
    const int threads = team_for(s.multiply_adds());
    const TeamSize team(threads);
    const ConvDescs d = describe(s, input_type(g, node, 0).dtype);
    dnnl::convolution_backward_weights::primitive_desc pd(onednn_engine(), kDirect, d.x, d.any_w, d.y, d.strides, d.dilations,
                                                          d.low, d.high, forward_desc(d, nullptr, Act::none),
                                                          StepBuilder::attributes());
    if (!skip_reference(pd)) return nullptr;
    StepBuilder steps(threads);
    const Binding stored{DNNL_ARG_DIFF_WEIGHTS, d.w, Place::output, 0};
    Binding dw = stored;
    const Md wanted = pd.diff_weights_desc();
    const bool packed = wanted != d.w;
    if (packed) dw = {DNNL_ARG_DIFF_WEIGHTS, wanted, Place::scratch, steps.reserve(wanted)};
    steps.add(dnnl::convolution_backward_weights(pd), pd,
              {dw, {DNNL_ARG_SRC, d.x, Place::input, 0}, {DNNL_ARG_DIFF_DST, d.y, Place::input, 1}});
    if (packed) steps.reorder(dw, stored);
    return steps.finish(concat("onednn:", pd.impl_info_str()));
} catch (const dnnl::error&) {
    return nullptr;
}
}  // namespace onednn_conv_filter_grad

}  // namespace fk::cpu
