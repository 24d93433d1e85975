// Convolution and pooling over 1 to 3 spatial dimensions, channels last, with their gradients as ops of their own.
#include <algorithm>

#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kXW[] = {"x", "w"};
constexpr std::string_view kXWB[] = {"x", "w", "bias"};
constexpr std::string_view kXWBAdd[] = {"x", "w", "bias", "add"};
constexpr std::string_view kDyW[] = {"dy", "w"};
constexpr std::string_view kXDy[] = {"x", "dy"};
constexpr std::string_view kXYDy[] = {"x", "y", "dy"};
constexpr std::string_view kXYDd[] = {"x", "y", "dd"};
constexpr std::string_view kX[] = {"x"};
constexpr std::string_view kDy[] = {"dy"};
const AttrDef kConv[] = {{"strides", AttrType::dims},
                         {"pad_low", AttrType::dims},
                         {"pad_high", AttrType::dims},
                         {"dilations", AttrType::dims},
                         {"groups", AttrType::integer, Attr{int64_t{1}}}};
const AttrDef kConvAct[] = {kConv[0], kConv[1], kConv[2], kConv[3], kConv[4], {"act", AttrType::text, Attr{std::string("none")}}};
const AttrDef kInputGrad[] = {{"input_shape", AttrType::dims}, kConv[0], kConv[1], kConv[2], kConv[3], kConv[4]};
const AttrDef kFilterGrad[] = {{"filter_shape", AttrType::dims}, kConv[0], kConv[1], kConv[2], kConv[3], kConv[4]};
const AttrDef kPool[] = {
    {"window", AttrType::dims}, {"strides", AttrType::dims}, {"pad_low", AttrType::dims}, {"pad_high", AttrType::dims}};
const AttrDef kPoolGrad[] = {{"input_shape", AttrType::dims}, kPool[0], kPool[1], kPool[2], kPool[3]};

void check_window(const InferCall& c, size_t first, size_t count, size_t spatial) {
    for (size_t i = first; i < first + count; ++i)
        if (c.dims(i).size() != spatial)
            fail<UserError>(c.op.name, ": ", c.op.attrs[i].name, " is ", to_string(c.dims(i)), "; expected ", spatial, " values");
}

// Shape of conv(x, w); `at` is the position of `strides` among the attributes.
TensorType conv_type(const InferCall& c, const Dims& x, const Dims& w, size_t at) {
    const size_t spatial = x.size() < 2 ? 0 : x.size() - 2;
    if (spatial < 1 || spatial > 3 || w.size() != x.size())
        fail<UserError>(c.op.name, ": input of shape ", to_string(x), " with a filter of shape ", to_string(w),
                        "; expected (batch, 1 to 3 spatial dimensions, channels) and (spatial..., channels / groups, filters)");
    check_window(c, at, 4, spatial);
    const int64_t groups = c.integer(at + 4), in = x.back(), out = w.back();
    if (groups < 1 || w[w.size() - 2] * groups != in || out % groups != 0)
        fail<UserError>(c.op.name, ": input has ", in, " channels, the filter of shape ", to_string(w), " with groups=", groups,
                        " expects ", w[w.size() - 2] * groups, " (and filters divisible by groups)");
    TensorType t{c.in[0].dtype, {x[0]}};
    for (size_t i = 0; i < spatial; ++i) {
        const int64_t stride = c.dims(at)[i], dilation = c.dims(at + 3)[i], low = c.dims(at + 1)[i], high = c.dims(at + 2)[i];
        if (stride < 1 || dilation < 1 || low < 0 || high < 0 || w[i] < 1)
            fail<UserError>(c.op.name, ": stride ", stride, ", dilation ", dilation, ", padding (", low, ", ", high,
                            "), filter size ", w[i], "; expected stride, dilation, size >= 1 and padding >= 0");
        const int64_t room = x[i + 1] + low + high - ((w[i] - 1) * dilation + 1);
        if (room < 0)
            fail<UserError>(c.op.name, ": the filter spans ", (w[i] - 1) * dilation + 1, " along spatial dimension ", i,
                            ", the padded input only ", x[i + 1] + low + high, ". Use padding='same' or a smaller kernel");
        t.dims.push_back(room / stride + 1);
    }
    t.dims.push_back(out);
    return t;
}

void same_float(const InferCall& c) {
    infer::require_float(c, 0);
    for (size_t i = 1; i < c.in.size(); ++i)
        if (c.in[i].dtype != c.in[0].dtype)
            fail<UserError>(c.op.name, ": dtypes ", name(c.in[0].dtype), " and ", name(c.in[i].dtype),
                            " differ; cast them to one dtype");
}

Types infer_conv(const InferCall& c) {
    same_float(c);
    return {conv_type(c, c.in[0].dims, c.in[1].dims, 0)};
}

Types infer_input_grad(const InferCall& c) {
    same_float(c);
    const TensorType y = conv_type(c, c.dims(0), c.in[1].dims, 1);
    check_internal(y.dims == c.in[0].dims, "conv_input_grad: dy has shape ", to_string(c.in[0].dims), ", the convolution gives ",
                   to_string(y.dims));
    return {{c.in[0].dtype, c.dims(0)}};
}

Types infer_filter_grad(const InferCall& c) {
    same_float(c);
    const TensorType y = conv_type(c, c.in[0].dims, c.dims(0), 1);
    check_internal(y.dims == c.in[1].dims, "conv_filter_grad: dy has shape ", to_string(c.in[1].dims), ", the convolution gives ",
                   to_string(y.dims));
    return {{c.in[0].dtype, c.dims(0)}};
}

Attrs conv_attrs(const Node& n, size_t from) {
    return {n.attrs.begin() + static_cast<std::ptrdiff_t>(from), n.attrs.begin() + static_cast<std::ptrdiff_t>(from) + 5};
}

Attrs with_shape(const Dims& shape, Attrs attrs) {
    attrs.insert(attrs.begin(), shape);
    return attrs;
}

// The three ops are linear in each operand, so each one's gradients are the other two.
Out conv_vjp(const VjpCall& c) {
    const Attrs a = conv_attrs(c.node(), 0);
    return {emit("conv_input_grad", {c.dy(), c.in(1)}, with_shape(c.in(0).dims(), a)),
            emit("conv_filter_grad", {c.in(0), c.dy()}, with_shape(c.in(1).dims(), a))};
}
Out input_grad_vjp(const VjpCall& c) {
    const Attrs a = conv_attrs(c.node(), 1);
    return {emit("conv", {c.dy(), c.in(1)}, a), emit("conv_filter_grad", {c.dy(), c.in(0)}, with_shape(c.in(1).dims(), a))};
}
Out filter_grad_vjp(const VjpCall& c) {
    const Attrs a = conv_attrs(c.node(), 1);
    return {emit("conv_input_grad", {c.in(1), c.dy()}, with_shape(c.in(0).dims(), a)), emit("conv", {c.in(0), c.dy()}, a)};
}

TensorType pool_type(const InferCall& c, const TensorType& x, size_t at) {
    if (x.rank() < 3 || x.rank() > 5)
        fail<UserError>(c.op.name, ": input has shape ", to_string(x.dims),
                        "; expected (batch, 1 to 3 spatial dimensions, channels)");
    const size_t spatial = x.dims.size() - 2;
    check_window(c, at, 4, spatial);
    TensorType t{x.dtype, {x.dims[0]}};
    for (size_t i = 0; i < spatial; ++i) {
        const int64_t window = c.dims(at)[i], stride = c.dims(at + 1)[i], low = c.dims(at + 2)[i], high = c.dims(at + 3)[i];
        if (window < 1 || stride < 1 || low < 0 || high < 0 || low >= window || high >= window)
            fail<UserError>(c.op.name, ": window ", window, ", stride ", stride, ", padding (", low, ", ", high,
                            "); expected window and stride >= 1, padding smaller than the window");
        const int64_t room = x.dims[i + 1] + low + high - window;
        if (room < 0)
            fail<UserError>(c.op.name, ": the window spans ", window, " along spatial dimension ", i, ", the padded input only ",
                            x.dims[i + 1] + low + high, ". Use padding='same' or a smaller window");
        t.dims.push_back(room / stride + 1);
    }
    t.dims.push_back(x.dims.back());
    return t;
}

Types infer_pool(const InferCall& c) {
    infer::require_float(c, 0);
    return {pool_type(c, c.in[0], 0)};
}

// max_pool_grad and max_pool_select: a third operand beside x and y = max_pool(x), of the type of y or of x.
Types infer_pool_pair(const InferCall& c, size_t like) {
    same_float(c);
    const TensorType y = pool_type(c, c.in[0], 0);
    check_internal(c.in[1] == y && c.in[2] == (like == 0 ? c.in[0] : y), c.op.name, ": operands ", to_string(c.in[0]), ", ",
                   to_string(c.in[1]), ", ", to_string(c.in[2]), " do not belong together; the pooling gives ", to_string(y));
    return {like == 0 ? y : c.in[0]};
}

Attrs pool_attrs(const Node& n, size_t from) { return {n.attrs.begin() + static_cast<std::ptrdiff_t>(from), n.attrs.end()}; }

}  // namespace

std::vector<OpDef> convolution() {
    constexpr auto library = OpKind::library;
    return {
        OpDef{.name = "conv",
              .summary = "Cross-correlation of x with filters, channels last.",
              .kind = library,
              .inputs = kXW,
              .attrs = kConv,
              .infer = infer_conv,
              .vjp = conv_vjp},
        OpDef{.name = "conv_input_grad",
              .summary = "Gradient of conv with respect to x; also the transposed convolution.",
              .kind = library,
              .inputs = kDyW,
              .attrs = kInputGrad,
              .infer = infer_input_grad,
              .vjp = input_grad_vjp},
        OpDef{.name = "conv_filter_grad",
              .summary = "Gradient of conv with respect to the filter.",
              .kind = library,
              .inputs = kXDy,
              .attrs = kFilterGrad,
              .infer = infer_filter_grad,
              .vjp = filter_grad_vjp},
        OpDef{.name = "conv_bias_act",
              .summary = "act(conv(x, w) + bias).",
              .inputs = kXWB,
              .attrs = kConvAct,
              .infer = [](const InferCall& c) -> Types {
                  const Types y = infer_conv(c);
                  infer::require_epilogue(c, y[0]);
                  return y;
              },
              .body = [](const OpCall& c) -> Out {
                  const Expr y = emit("conv", {c.in(0), c.in(1)}, conv_attrs(*c.node, 0)) + c.in(2);
                  const std::string& act = std::get<std::string>(c.node->attrs[5]);
                  return {act == "none" ? y : unary(act, y)};
              }},
        OpDef{.name = "conv_bias_add_act",
              .summary = "act(conv(x, w) + bias + add).",
              .inputs = kXWBAdd,
              .attrs = kConvAct,
              .infer = [](const InferCall& c) -> Types {
                  const Types y = infer_conv(c);
                  infer::require_epilogue(c, y[0]);
                  return y;
              },
              .body = [](const OpCall& c) -> Out {
                  const Expr y = emit("conv", {c.in(0), c.in(1)}, conv_attrs(*c.node, 0)) + c.in(2) + c.in(3);
                  const std::string& act = std::get<std::string>(c.node->attrs[5]);
                  return {act == "none" ? y : unary(act, y)};
              }},
        OpDef{.name = "max_pool",
              .summary = "Maximum over windows, channels last.",
              .kind = library,
              .inputs = kX,
              .attrs = kPool,
              .infer = infer_pool,
              .vjp = [](const VjpCall& c) -> Out {
                  return {emit("max_pool_grad", {c.in(0), c.out(), c.dy()}, pool_attrs(c.node(), 0))};
              }},
        OpDef{.name = "max_pool_grad",
              .summary = "Gradient of max_pool: each dy goes to the first maximum of its window.",
              .kind = library,
              .inputs = kXYDy,
              .attrs = kPool,
              .infer = [](const InferCall& c) { return infer_pool_pair(c, 1); },
              .vjp = [](const VjpCall& c) -> Out {  // linear in dy; which element is the maximum is piecewise constant
                  return {Expr{}, Expr{}, emit("max_pool_select", {c.in(0), c.in(1), c.dy()}, pool_attrs(c.node(), 0))};
              }},
        OpDef{.name = "max_pool_select",
              .summary = "The value of dd at the first maximum of each window of x, where y = max_pool(x).",
              .kind = library,
              .inputs = kXYDd,
              .attrs = kPool,
              .infer = [](const InferCall& c) { return infer_pool_pair(c, 0); },
              .vjp = [](const VjpCall& c) -> Out {
                  return {Expr{}, Expr{}, emit("max_pool_grad", {c.in(0), c.in(1), c.dy()}, pool_attrs(c.node(), 0))};
              }},
        OpDef{.name = "avg_pool",
              .summary = "Mean over the valid elements of windows, channels last.",
              .kind = library,
              .inputs = kX,
              .attrs = kPool,
              .infer = infer_pool,
              .vjp = [](const VjpCall& c) -> Out {
                  return {emit("avg_pool_grad", {c.dy()}, with_shape(c.in(0).dims(), pool_attrs(c.node(), 0)))};
              }},
        OpDef{.name = "avg_pool_grad",
              .summary = "Gradient of avg_pool.",
              .kind = library,
              .inputs = kDy,
              .attrs = kPoolGrad,
              .infer = [](const InferCall& c) -> Types { return {{c.in[0].dtype, c.dims(0)}}; },
              .vjp = [](const VjpCall& c) -> Out { return {emit("avg_pool", {c.dy()}, pool_attrs(c.node(), 1))}; }},
    };
}

}  // namespace fk::families
