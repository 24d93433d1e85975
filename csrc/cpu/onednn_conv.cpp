// Convolution and its gradients by oneDNN. Activations keep their channels-last layout; the filter takes whatever layout
// the primitive prefers, reordered within the kernel. `forward_inference` is asked for in training as well: the result
// is the same, and the library offers its channels-last kernels for wide vectors only then.
#include "cpu/conv_shape.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
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
    if (input_type(g, node, 1).dtype != t) return "operands of two types";
    if (is_half(t) && !native_products(t) && node.int_attr("groups") == 1)
        return concat(name(t), " is quicker widened on this CPU");
    return conv_shape(g, node).empty() ? "an empty operand" : "";
}

// A range of the batch, or for a smaller batch a range of the output's first spatial dimension.
struct Part {
    ConvShape shape;
    size_t x_offset = 0, y_offset = 0;  // elements
};

std::vector<Part> parts_of(const ConvShape& s, bool may_split_space) {
    const int64_t wanted = parts_for(s.multiply_adds());
    const auto first = static_cast<size_t>(3 - s.rank);
    const auto x_row = static_cast<size_t>(s.in_channels * s.in_points() / s.in[first]);
    const auto y_row = static_cast<size_t>(s.out_channels * s.out_points() / s.out[first]);
    const bool by_batch = s.batch >= wanted;
    std::vector<Part> out;
    if (!by_batch && (!may_split_space || s.batch != 1 || s.out[first] < wanted)) return {{s}};
    const auto count = static_cast<int>(wanted);
    for (int p = 0; p < count; ++p) {
        const Slice slice = slice_of(by_batch ? s.batch : s.out[first], p, count);
        Part part{s};
        if (by_batch) {
            part.shape.batch = slice.end - slice.begin;
            part.x_offset = static_cast<size_t>(slice.begin * s.in[first]) * x_row;
            part.y_offset = static_cast<size_t>(slice.begin * s.out[first]) * y_row;
        } else {
            // The rows of the input that these rows of the output see; outside of the input there is padding.
            const int64_t reach = (s.kernel[first] - 1) * s.dilation[first];
            const int64_t low = slice.begin * s.stride[first] - s.low[first];
            const int64_t high = (slice.end - 1) * s.stride[first] - s.low[first] + reach + 1;
            const int64_t begin = std::clamp<int64_t>(low, 0, s.in[first]), end = std::clamp<int64_t>(high, begin, s.in[first]);
            if (begin == end) return {{s}};
            part.shape.out[first] = slice.end - slice.begin;
            part.shape.in[first] = end - begin;
            part.shape.low[first] = begin - low;
            part.shape.high[first] = high - end;
            part.x_offset = static_cast<size_t>(begin) * x_row;
            part.y_offset = static_cast<size_t>(slice.begin) * y_row;
        }
        out.push_back(part);
    }
    return out;
}

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

dnnl::convolution_forward::primitive_desc forward_desc(const ConvDescs& d, const Md& w, const Md* bias, Act act) {
    const auto kind = dnnl::prop_kind::forward_inference;
    const dnnl::primitive_attr attr = StepBuilder::attributes(act);
    if (bias) return {onednn_engine(), kind, kDirect, d.x, w, *bias, d.y, d.strides, d.dilations, d.low, d.high, attr};
    return {onednn_engine(), kind, kDirect, d.x, w, d.y, d.strides, d.dilations, d.low, d.high, attr};
}

// Where the primitive reads the filter from: the input itself, that in another layout, or scratch after a reorder at each run.
Binding packed_filter(StepBuilder& steps, const Md& stored, const Md& wanted, bool steady) {
    const Binding from{DNNL_ARG_WEIGHTS, stored, Place::input, 1};
    if (stored == wanted) return from;
    if (steady) {
        steps.prepare(1, stored, wanted);
        return {DNNL_ARG_WEIGHTS, wanted, Place::input, 1};
    }
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
    const SingleThread single;
    const DType t = input_type(g, node, 0).dtype;
    const Md bias = fused ? strided_desc({s.out_channels}, input_type(g, node, 2).dtype, {1}) : Md();
    StepBuilder steps;
    std::string text;
    std::optional<Binding> filter;
    const std::vector<Part> parts = parts_of(s, true);
    for (size_t p = 0; p < parts.size(); ++p) {
        const ConvDescs d = describe(parts[p].shape, t);
        // The first part chooses the filter's layout, the others read the same copy of it.
        auto pd = forward_desc(d, filter ? filter->desc : d.any_w, fused ? &bias : nullptr, act);
        if (is_reference(pd)) return nullptr;
        if (!filter) {
            filter = packed_filter(steps, d.w, pd.weights_desc(), g.steady(node.inputs[1]));
            text = concat("onednn:", pd.impl_info_str());
            steps.next_stage();
        }
        std::vector<Binding> bindings = {*filter,
                                         {DNNL_ARG_SRC, d.x, Place::input, 0, parts[p].x_offset * size_of(t)},
                                         {DNNL_ARG_DST, d.y, Place::output, 0, parts[p].y_offset * size_of(t)}};
        if (fused) bindings.push_back({DNNL_ARG_BIAS, bias, Place::input, 2});
        steps.add(dnnl::convolution_forward(pd), pd, std::move(bindings), p);
    }
    return steps.finish(text);
} catch (const dnnl::error&) {
    return nullptr;
}
}  // namespace onednn_conv

namespace onednn_conv_input_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) try {
    const ConvShape s = conv_shape(g, node);
    const SingleThread single;
    const DType t = input_type(g, node, 0).dtype;
    StepBuilder steps;
    std::string text;
    std::optional<Binding> filter;
    const std::vector<Part> parts = parts_of(s, false);
    for (size_t p = 0; p < parts.size(); ++p) {
        const ConvDescs d = describe(parts[p].shape, t);
        dnnl::convolution_backward_data::primitive_desc pd(
            onednn_engine(), kDirect, d.x, filter ? filter->desc : d.any_w, d.y, d.strides, d.dilations, d.low, d.high,
            forward_desc(d, d.any_w, nullptr, Act::none), StepBuilder::attributes());
        // Where each filter has a channel of its own the depthwise kernels are the quick ones, but in 16 bits the general ones
        // come before them. The search ends with these: the library's list of this primitive must not be walked to its end.
        const auto is_general = [&] { return std::string_view(pd.impl_info_str()).find("brg") != std::string_view::npos; };
        if (is_half(t) && s.groups == s.in_channels && s.groups == s.out_channels)
            while (is_general() && pd.next_impl()) {
            }
        if (is_reference(pd)) return nullptr;
        if (!filter) {
            filter = packed_filter(steps, d.w, pd.weights_desc(), g.steady(node.inputs[1]));
            text = concat("onednn:", pd.impl_info_str());
            steps.next_stage();
        }
        steps.add(dnnl::convolution_backward_data(pd), pd,
                  {*filter,
                   {DNNL_ARG_DIFF_DST, d.y, Place::input, 0, parts[p].y_offset * size_of(t)},
                   {DNNL_ARG_DIFF_SRC, d.x, Place::output, 0, parts[p].x_offset * size_of(t)}},
                  p);
    }
    return steps.finish(text);
} catch (const dnnl::error&) {
    return nullptr;
}
}  // namespace onednn_conv_input_grad

namespace onednn_conv_filter_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) try {
    const ConvShape s = conv_shape(g, node);
    const SingleThread single;
    const DType t = input_type(g, node, 0).dtype;
    StepBuilder steps;
    std::string text;
    const Md stored = describe(s, node.types[0].dtype).w;
    const Binding result{DNNL_ARG_DIFF_WEIGHTS, stored, Place::output, 0};
    std::vector<Binding> sums;  // one for each part of the batch
    const std::vector<Part> parts = parts_of(s, false);
    for (size_t p = 0; p < parts.size(); ++p) {
        const ConvDescs d = describe(parts[p].shape, t);
        // Several sums of 16-bit numbers are rounded once, when they have been added up.
        const Md any_sum(d.any_w.get_dims(),
                         onednn_type(parts.size() > 1 && size_of(t) == 2 ? DType::f32 : node.types[0].dtype).value(),
                         dnnl::memory::format_tag::any);
        dnnl::convolution_backward_weights::primitive_desc pd(
            onednn_engine(), kDirect, d.x, p == 0 ? any_sum : sums[0].desc, d.y, d.strides, d.dilations, d.low, d.high,
            forward_desc(d, d.any_w, nullptr, Act::none), StepBuilder::attributes());
        if (is_reference(pd)) return nullptr;
        const Md wanted = pd.diff_weights_desc();
        if (p == 0) text = concat("onednn:", pd.impl_info_str());
        sums.push_back(
            p == 0 && wanted == stored ? result : Binding{DNNL_ARG_DIFF_WEIGHTS, wanted, Place::scratch, steps.reserve(wanted)});
        steps.add(dnnl::convolution_backward_weights(pd), pd,
                  {sums.back(),
                   {DNNL_ARG_SRC, d.x, Place::input, 0, parts[p].x_offset * size_of(t)},
                   {DNNL_ARG_DIFF_DST, d.y, Place::input, 1, parts[p].y_offset * size_of(t)}},
                  p);
    }
    steps.next_stage();
    for (size_t p = 1; p < sums.size(); ++p) steps.reorder(sums[p], sums[0], true);
    if (sums[0].place != Place::output) steps.reorder(sums[0], result, false);
    return steps.finish(text);
} catch (const dnnl::error&) {
    return nullptr;
}
}  // namespace onednn_conv_filter_grad

}  // namespace fk::cpu
