// Softmax and normalization layers' arithmetic. Each keeps its name so that a device may claim it; the body is the
// definition.
#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kX[] = {"x"};
constexpr std::string_view kXGB[] = {"x", "gamma", "beta"};
constexpr std::string_view kBnGrad[] = {"x", "gamma", "mean", "variance", "dy"};
constexpr std::string_view kBnActGrad[] = {"x", "gamma", "beta", "mean", "variance", "dz"};
constexpr std::string_view kBnJoinGrad[] = {"x", "gamma", "mean", "variance", "dz", "other", "z"};
constexpr std::string_view kBnApply[] = {"x", "gamma", "beta", "mean", "variance"};
constexpr std::string_view kBnAdd[] = {"x", "gamma", "beta", "mean", "variance", "other"};
constexpr std::string_view kNormXW[] = {"x", "gamma", "beta", "mean", "variance", "w"};
constexpr std::string_view kXW[] = {"x", "w"};
constexpr std::string_view kNormXDy[] = {"x", "gamma", "beta", "mean", "variance", "dy"};
constexpr std::string_view kPointwiseNormGrad[] = {"y", "gamma", "beta", "mean", "variance", "dz", "x", "w"};
constexpr std::string_view kPointwiseNormGradJoin[] = {"y", "gamma", "beta", "mean", "variance", "dz", "x", "w", "other"};
constexpr std::string_view kNormPointwiseNormGrad[] = {"y", "gamma",   "beta",   "mean",   "variance",   "dz",
                                                       "x", "x_gamma", "x_beta", "x_mean", "x_variance", "w"};
constexpr std::string_view kLnGrad[] = {"x", "gamma", "dy"};
const AttrDef kAxis[] = {{"axis", AttrType::integer, Attr{int64_t{-1}}}};
const AttrDef kEpsilon[] = {{"epsilon", AttrType::floating}};
const AttrDef kPointwiseGrad[] = {{"epsilon", AttrType::floating}, {"act", AttrType::text}, {"filter_shape", AttrType::dims}};
// Of a value made again near its late readers, where a copy with the same number would be the same value.
const AttrDef kApply[] = {
    {"epsilon", AttrType::floating}, {"act", AttrType::text}, {"copy", AttrType::integer, Attr{int64_t{0}}}};
const AttrDef kEpsilonAct[] = {{"epsilon", AttrType::floating}, {"act", AttrType::text}};
const AttrDef kEpsilonActs[] = {{"epsilon", AttrType::floating}, {"act", AttrType::text}, {"x_act", AttrType::text}};
const AttrDef kTwoNorms[] = {
    {"epsilon", AttrType::floating}, {"act", AttrType::text}, {"x_epsilon", AttrType::floating}, {"x_act", AttrType::text}};

Types infer_axis(const InferCall& c) {
    infer::require_float(c, 0);
    (void)normalize_axis(c.integer(0), c.in[0].rank());
    return {c.in[0]};
}

int64_t axis_of(const Node& n) { return normalize_axis(n.int_attr("axis"), n.types[0].rank()); }

Expr keep_reduce(std::string_view op, Expr x, Dims axes) {
    const Dims dims = x.dims();
    return broadcast_to(emit(op, {x}, {std::move(axes), int64_t{1}}), dims);
}

Out softmax_body(const OpCall& c) {
    const Expr x = c.in(0);
    const Dims axis{axis_of(*c.node)};
    const Expr e = exp(x - keep_reduce("reduce_max", x, axis));
    return {e / keep_reduce("reduce_sum", e, axis)};
}

Out log_softmax_body(const OpCall& c) {
    const Expr x = c.in(0);
    const Dims axis{axis_of(*c.node)};
    const Expr shifted = x - keep_reduce("reduce_max", x, axis);
    const Expr total = emit("reduce_sum", {exp(shifted)}, {axis, int64_t{1}});
    return {shifted - log(total)};
}

// Scale and shift are vectors over the last axis.
void check_affine(const InferCall& c) {
    infer::require_float(c, 0);
    const TensorType& x = c.in[0];
    if (x.rank() < 1) fail<UserError>(c.op.name, ": input is a scalar; expected at least one dimension");
    for (size_t i = 1; i < 3 && i < c.in.size(); ++i)
        if (c.in[i].dims != Dims{x.dims.back()} || c.in[i].dtype != x.dtype)
            fail<UserError>(c.op.name, ": ", c.op.inputs[i], " is ", to_string(c.in[i]), "; expected ", name(x.dtype),
                            " of shape (", x.dims.back(), ",) for input ", to_string(x));
}

Types infer_batch_norm(const InferCall& c) {
    check_affine(c);
    return {c.in[0], c.in[1], c.in[1]};
}

Types infer_layer_norm(const InferCall& c) {
    check_affine(c);
    return {c.in[0]};
}

Types infer_moments(const InferCall& c) {
    infer::require_float(c, 0);
    const TensorType& x = c.in[0];
    if (x.rank() < 1) fail<UserError>(c.op.name, ": input is a scalar; expected at least one dimension");
    return {{x.dtype, {x.dims.back()}}, {x.dtype, {x.dims.back()}}};
}

Types infer_norm_apply(const InferCall& c) {
    infer::require_float(c, 0);
    const TensorType& x = c.in[0];
    if (x.rank() < 1) fail<UserError>(c.op.name, ": input is a scalar; expected at least one dimension");
    for (size_t i = 1; i < 5; ++i) infer::require_type(c, i, TensorType{x.dtype, {x.dims.back()}});
    return {x};
}

Types infer_norm_add(const InferCall& c) {
    infer::require_type(c, 5, c.in[0]);
    return infer_norm_apply(c);
}

// The filter of a 1x1 convolution: [1, ..., 1, k, n].
void check_pointwise(const InferCall& c, const Dims& filter) {
    const Dims& x = c.in[0].dims;
    if (filter.size() < 2 || filter[filter.size() - 2] != x.back() || product(filter) != x.back() * filter.back())
        fail<UserError>(c.op.name, ": a filter of shape ", to_string(filter), " for input ", to_string(c.in[0]));
}

Types infer_norm_pointwise(const InferCall& c) {
    TensorType y = infer_norm_apply(c)[0];
    check_pointwise(c, c.in[5].dims);
    y.dims.back() = c.in[5].dims.back();
    return {y};
}

// With the moments of y over all axes but the last.
Types with_moments(const TensorType& y) {
    const TensorType channel{y.dtype, {y.dims.back()}};
    return {y, channel, channel};
}

Types infer_norm_pointwise_moments(const InferCall& c) { return with_moments(infer_norm_pointwise(c)[0]); }

Types infer_pointwise_moments(const InferCall& c) {
    infer::require_float(c, 0);
    TensorType y = c.in[0];
    if (y.rank() < 1) fail<UserError>(c.op.name, ": input is a scalar; expected at least one dimension");
    check_pointwise(c, c.in[1].dims);
    y.dims.back() = c.in[1].dims.back();
    return with_moments(y);
}

Types infer_norm_pointwise_grad(const InferCall& c) {
    TensorType y = infer_norm_apply(c)[0];
    check_pointwise(c, c.dims(2));
    y.dims.back() = c.dims(2).back();
    infer::require_type(c, 5, y);
    return {{y.dtype, c.dims(2)}};
}

// y is the 1x1 convolution of input 6 with the last input but `behind`.
Types infer_norm_grad_of_pointwise(const InferCall& c, size_t behind) {
    const TensorType y = infer_norm_apply(c)[0];
    TensorType x = y;
    x.dims.back() = c.in[6].dims.empty() ? 0 : c.in[6].dims.back();
    infer::require_type(c, 5, y);
    infer::require_type(c, 6, x);
    const TensorType& filter = c.in[c.in.size() - 1 - behind];
    const Dims& w = filter.dims;
    if (w.size() < 2 || w[w.size() - 2] != x.dims.back() || w.back() != y.dims.back() || product(w) != w.back() * x.dims.back())
        fail<UserError>(c.op.name, ": a filter of shape ", to_string(w), " for input ", to_string(x), " and result ",
                        to_string(y));
    return {x, filter, c.in[1], c.in[1]};
}

Types infer_pointwise_norm_grad(const InferCall& c) { return infer_norm_grad_of_pointwise(c, 0); }

Types infer_pointwise_norm_grad_join(const InferCall& c) {
    Types types = infer_norm_grad_of_pointwise(c, 1);
    infer::require_type(c, 8, types[0]);
    return types;
}

Types infer_norm_pointwise_norm_grad(const InferCall& c) {
    Types types = infer_norm_grad_of_pointwise(c, 0);
    for (size_t i = 7; i < 11; ++i) infer::require_type(c, i, TensorType{types[0].dtype, {types[0].dims.back()}});
    return types;
}

// dx, dgamma, dbeta; every operand but x and dy has one value per channel.
Types infer_norm_grad(const InferCall& c) {
    infer::require_float(c, 0);
    const TensorType x = c.in[0];
    if (x.rank() < 1) fail<UserError>(c.op.name, ": input is a scalar; expected at least one dimension");
    const TensorType channel{x.dtype, {x.dims.back()}};
    for (size_t i = 1; i < c.in.size(); ++i) infer::require_type(c, i, i + 1 == c.in.size() ? x : channel);
    return {x, channel, channel};
}

Types infer_norm_join_grad(const InferCall& c) {
    infer::require_float(c, 0);
    const TensorType x = c.in[0];
    if (x.rank() < 1) fail<UserError>(c.op.name, ": input is a scalar; expected at least one dimension");
    const TensorType channel{x.dtype, {x.dims.back()}};
    for (size_t i = 1; i < 7; ++i) infer::require_type(c, i, i < 4 ? channel : x);
    return {x, x, channel, channel};
}

struct Moments {
    Expr centred, rstd;  // of x's shape / with the reduced axes as 1
};

Moments moments(Expr x, const Dims& axes, double epsilon) {
    double n = 1;
    for (int64_t a : axes) n *= static_cast<double>(x.dims()[static_cast<size_t>(a)]);
    const Expr centred = x - reduce_sum(x, axes, true) * (1.0 / n);
    return {centred, rsqrt(reduce_sum(centred * centred, axes, true) * (1.0 / n) + epsilon)};
}

Out batch_norm_body(const OpCall& c) {
    const Expr x = c.in(0);
    const Dims axes = all_but_last(x.rank());
    const double n = static_cast<double>(x.type().size() / x.dims().back());
    const Expr mean = reduce_sum(x, axes) * (1.0 / n);
    const Expr centred = x - mean;
    const Expr var = reduce_sum(centred * centred, axes) * (1.0 / n);
    return {centred * (rsqrt(var + c.node->float_attr("epsilon")) * c.in(1)) + c.in(2), mean, var};
}

// dx = gamma * rstd * (dy - mean(dy) - xhat * mean(dy * xhat)); Ioffe & Szegedy, arXiv:1502.03167.
Out batch_norm_grad_body(const OpCall& c) {
    const Expr x = c.in(0), gamma = c.in(1), mean = c.in(2), var = c.in(3), dy = c.in(4);
    const Dims axes = all_but_last(x.rank());
    const double n = static_cast<double>(x.type().size() / x.dims().back());
    const Expr rstd = rsqrt(var + c.node->float_attr("epsilon"));
    const Expr xhat = (x - mean) * rstd;
    const Expr dbeta = reduce_sum(dy, axes), dgamma = reduce_sum(dy * xhat, axes);
    return {gamma * rstd * (dy - dbeta * (1.0 / n) - xhat * (dgamma * (1.0 / n))), dgamma, dbeta};
}

Out batch_norm_join_grad_body(const OpCall& c) {
    const Expr dy = where(c.in(6) > 0.0, c.in(4) + c.in(5), 0.0);
    const Out d = emit_all("batch_norm_train_grad", {c.in(0), c.in(1), c.in(2), c.in(3), dy}, c.node->attrs);
    return {d[0], dy, d[1], d[2]};
}

// These two are made by a pass from what relu and relu6 declare, and read like it: the gradient sees the output.
const std::string& cutting_act(const std::string& act) {
    if (act != "relu" && act != "relu6") fail<UserError>("batch_norm_act: act is '", act, "'; expected relu or relu6");
    return act;
}
Expr passes(Expr z, const std::string& act) { return cutting_act(act) == "relu" ? z > 0.0 : logical_and(z > 0.0, z < 6.0); }

Out batch_norm_act_body(const OpCall& c) {
    const auto& act = std::get<std::string>(c.node->attrs[1]);
    Out out = emit_all("batch_norm_train", {c.in(0), c.in(1), c.in(2)}, {c.node->float_attr("epsilon")});
    out[0] = unary(cutting_act(act), out[0]);
    return out;
}

Expr normalised(Expr x, Expr gamma, Expr beta, Expr mean, Expr variance, double epsilon) {
    return (x - mean) * (rsqrt(variance + epsilon) * gamma) + beta;
}

Out batch_norm_apply_body(const OpCall& c) {
    const auto& act = std::get<std::string>(c.node->attrs[1]);
    const Expr z = normalised(c.in(0), c.in(1), c.in(2), c.in(3), c.in(4), c.node->float_attr("epsilon"));
    return {act == "none" ? z : unary(cutting_act(act), z)};
}

Out batch_norm_add_body(const OpCall& c) {
    const auto& act = std::get<std::string>(c.node->attrs[1]);
    if (act != "none" && act != "relu") fail<UserError>("batch_norm_add: act is '", act, "'; expected none or relu");
    const Expr z = normalised(c.in(0), c.in(1), c.in(2), c.in(3), c.in(4), c.node->float_attr("epsilon")) + c.in(5);
    return {act == "none" ? z : unary(act, z)};
}

Out batch_norm_moments_body(const OpCall& c) {
    const Expr x = c.in(0);
    const Dims axes = all_but_last(x.rank());
    const double n = static_cast<double>(x.type().size() / x.dims().back());
    const Expr mean = reduce_sum(x, axes) * (1.0 / n), centred = x - mean;
    return {mean, reduce_sum(centred * centred, axes) * (1.0 / n)};
}

Expr as_rows(Expr x) { return reshape(x, {x.type().size() / x.dims().back(), x.dims().back()}); }

// The activation as a matrix of rows.
Expr normalised_rows(const OpCall& c) {
    return as_rows(emit("batch_norm_apply", {c.in(0), c.in(1), c.in(2), c.in(3), c.in(4)},
                        {c.node->attrs[0], c.node->attrs[1], int64_t{0}}));
}

// The 1x1 convolution of rows.
Expr pointwise(const OpCall& c, Expr rows, Expr w) {
    const Dims& d = w.dims();
    return reshape(emit("matmul", {rows, reshape(w, {d[d.size() - 2], d.back()})}), c.node->types[0].dims);
}

Out and_moments(Expr y) {
    const Out m = emit_all("batch_norm_moments", {y});
    return {y, m[0], m[1]};
}

Out norm_pointwise_body(const OpCall& c) { return {pointwise(c, normalised_rows(c), c.in(5))}; }
Out norm_pointwise_moments_body(const OpCall& c) { return and_moments(pointwise(c, normalised_rows(c), c.in(5))); }
Out pointwise_moments_body(const OpCall& c) { return and_moments(pointwise(c, as_rows(c.in(0)), c.in(1))); }

Out norm_pointwise_grad_body(const OpCall& c) {
    return {reshape(emit("matmul", {normalised_rows(c), as_rows(c.in(5))}, {int64_t{1}, int64_t{0}}), c.node->types[0].dims)};
}

Out batch_norm_act_grad_body(const OpCall& c) {
    const Expr x = c.in(0), gamma = c.in(1), beta = c.in(2), mean = c.in(3), var = c.in(4);
    const double epsilon = c.node->float_attr("epsilon");
    const auto& act = std::get<std::string>(c.node->attrs[1]);
    const Expr z = normalised(x, gamma, beta, mean, var, epsilon);
    return emit_all("batch_norm_train_grad", {x, gamma, mean, var, where(passes(z, act), c.in(5), 0.0)}, {epsilon});
}

// Gradients of a normalisation (inputs 0 to 5) and of the 1x1 convolution of x with w before it.
Out norm_grad_of_pointwise(const OpCall& c, Expr x, Expr w) {
    const Expr y = c.in(0);
    const int64_t n = y.dims().back(), k = x.dims().back(), rows = y.type().size() / n;
    const Attr &epsilon = c.node->attrs[0], &act = c.node->attrs[1];
    const Out d = std::get<std::string>(act) == "none"
                      ? emit_all("batch_norm_train_grad", {y, c.in(1), c.in(3), c.in(4), c.in(5)}, {epsilon})
                      : emit_all("batch_norm_act_grad", {y, c.in(1), c.in(2), c.in(3), c.in(4), c.in(5)}, {epsilon, act});
    const Expr dy = reshape(d[0], {rows, n});
    const Expr dx = emit("matmul", {dy, reshape(w, {k, n})}, {int64_t{0}, int64_t{1}});
    const Expr dw = emit("matmul", {reshape(x, {rows, k}), dy}, {int64_t{1}, int64_t{0}});
    return {reshape(dx, x.dims()), reshape(dw, w.dims()), d[1], d[2]};
}

Out pointwise_norm_grad_body(const OpCall& c) { return norm_grad_of_pointwise(c, c.in(6), c.in(7)); }

Out pointwise_norm_grad_join_body(const OpCall& c) {
    Out out = norm_grad_of_pointwise(c, c.in(6), c.in(7));
    const auto& act = std::get<std::string>(c.node->attrs[2]);
    out[0] = c.in(8) + out[0];
    if (act != "none") out[0] = where(passes(c.in(6), act), out[0], 0.0);
    return out;
}

Out norm_pointwise_norm_grad_body(const OpCall& c) {
    const Expr z = emit("batch_norm_apply", {c.in(6), c.in(7), c.in(8), c.in(9), c.in(10)},
                        {c.node->attrs[2], c.node->attrs[3], int64_t{0}});
    return norm_grad_of_pointwise(c, z, c.in(11));
}

Out batch_norm_vjp(const VjpCall& c) {
    const Expr x = c.in(0), gamma = c.in(1), mean = c.out(1), var = c.out(2);
    const double n = static_cast<double>(x.type().size() / x.dims().back());
    Out grads(3);
    if (c.dys[0].valid())
        grads = emit_all("batch_norm_train_grad", {x, gamma, mean, var, c.dys[0]}, {c.node().float_attr("epsilon")});
    auto add_dx = [&](Expr d) { grads[0] = grads[0].valid() ? grads[0] + d : broadcast_to(d, x.dims()); };
    if (c.dys[1].valid()) add_dx(c.dys[1] * (1.0 / n));
    if (c.dys[2].valid()) add_dx(c.dys[2] * (2.0 / n) * (x - mean));
    return grads;
}

Out layer_norm_body(const OpCall& c) {
    const Expr x = c.in(0);
    const Moments m = moments(x, {x.rank() - 1}, c.node->float_attr("epsilon"));
    return {m.centred * m.rstd * c.in(1) + c.in(2)};
}

Out layer_norm_grad_body(const OpCall& c) {
    const Expr x = c.in(0), gamma = c.in(1), dy = c.in(2);
    const Dims row{x.rank() - 1};
    const double n = static_cast<double>(x.dims().back());
    const Moments m = moments(x, row, c.node->float_attr("epsilon"));
    const Expr xhat = m.centred * m.rstd, g = dy * gamma;
    const Expr dx = m.rstd * (g - reduce_sum(g, row, true) * (1.0 / n) - xhat * (reduce_sum(g * xhat, row, true) * (1.0 / n)));
    const Dims lead = all_but_last(x.rank());
    return {dx, reduce_sum(dy * xhat, lead), reduce_sum(dy, lead)};
}

}  // namespace

std::vector<OpDef> normalization() {
    return {
        OpDef{.name = "softmax",
              .summary = "exp(x) normalised to sum to one along an axis.",
              .inputs = kX,
              .attrs = kAxis,
              .infer = infer_axis,
              .body = softmax_body,
              .vjp = [](const VjpCall& c) -> Out {
                  const Expr y = c.out(), p = c.dy() * y;
                  return {p - y * keep_reduce("reduce_sum", p, {axis_of(c.node())})};
              }},
        OpDef{.name = "log_softmax",
              .summary = "Logarithm of softmax, without overflow.",
              .inputs = kX,
              .attrs = kAxis,
              .infer = infer_axis,
              .body = log_softmax_body,
              .vjp = [](const VjpCall& c) -> Out {
                  return {c.dy() - exp(c.out()) * keep_reduce("reduce_sum", c.dy(), {axis_of(c.node())})};
              }},
        OpDef{.name = "batch_norm_train",
              .summary =
                  "Normalises over all axes but the last with this batch's statistics; also returns mean and biased variance.",
              .inputs = kXGB,
              .attrs = kEpsilon,
              .infer = infer_batch_norm,
              .body = batch_norm_body,
              .vjp = batch_norm_vjp},
        OpDef{.name = "batch_norm_train_grad",
              .summary = "Gradients of batch_norm_train's first output: dx, dgamma, dbeta.",
              .inputs = kBnGrad,
              .attrs = kEpsilon,
              .infer = infer_norm_grad,
              .body = batch_norm_grad_body},
        OpDef{.name = "batch_norm_join_grad",
              .summary =
                  "Gradients dx, dy, dgamma, dbeta of a batch_norm_train to which something is added before a relu that gives "
                  "z: dy, the gradient of the sum, is dz + other, from two readers of z, where z is positive.",
              .inputs = kBnJoinGrad,
              .attrs = kEpsilon,
              .infer = infer_norm_join_grad,
              .body = batch_norm_join_grad_body},
        OpDef{.name = "batch_norm_act",
              .summary = "relu or relu6 of batch_norm_train's first output; also returns mean and biased variance.",
              .inputs = kXGB,
              .attrs = kEpsilonAct,
              .infer = infer_batch_norm,
              .body = batch_norm_act_body},
        OpDef{.name = "batch_norm_moments",
              .summary = "batch_norm_train's mean and variance alone.",
              .inputs = std::span(kX),
              .infer = infer_moments,
              .body = batch_norm_moments_body},
        OpDef{.name = "norm_pointwise",
              .summary = "1x1 convolution of batch_norm_apply(x, gamma, beta, mean, variance).",
              .inputs = kNormXW,
              .attrs = kEpsilonAct,
              .infer = infer_norm_pointwise,
              .body = norm_pointwise_body},
        OpDef{.name = "norm_pointwise_moments",
              .summary = "norm_pointwise, and the mean and variance of its result as batch_norm_moments takes them.",
              .inputs = kNormXW,
              .attrs = kEpsilonAct,
              .infer = infer_norm_pointwise_moments,
              .body = norm_pointwise_moments_body},
        OpDef{.name = "pointwise_moments",
              .summary = "1x1 convolution, and the mean and variance of its result as batch_norm_moments takes them.",
              .inputs = kXW,
              .infer = infer_pointwise_moments,
              .body = pointwise_moments_body},
        OpDef{.name = "norm_pointwise_grad",
              .summary = "Gradient of norm_pointwise with respect to the filter.",
              .inputs = kNormXDy,
              .attrs = kPointwiseGrad,
              .infer = infer_norm_pointwise_grad,
              .body = norm_pointwise_grad_body},
        OpDef{.name = "pointwise_norm_grad",
              .summary = "Gradients dx, dw, dgamma, dbeta of batch_norm_act(y)'s first output, where y is the 1x1 convolution of "
                         "x with w; of batch_norm_train's with act none, which does not depend on beta.",
              .inputs = kPointwiseNormGrad,
              .attrs = kEpsilonAct,
              .infer = infer_pointwise_norm_grad,
              .body = pointwise_norm_grad_body},
        OpDef{.name = "pointwise_norm_grad_join",
              .summary = "pointwise_norm_grad where x has another reader, whose gradient with respect to x is `other`: dx is the "
                         "sum, taken back through the activation x_act that made x.",
              .inputs = kPointwiseNormGradJoin,
              .attrs = kEpsilonActs,
              .infer = infer_pointwise_norm_grad_join,
              .body = pointwise_norm_grad_join_body},
        OpDef{.name = "norm_pointwise_norm_grad",
              .summary =
                  "pointwise_norm_grad where batch_norm_apply(x) is what was multiplied with w; dx is its gradient, not x's.",
              .inputs = kNormPointwiseNormGrad,
              .attrs = kTwoNorms,
              .infer = infer_norm_pointwise_norm_grad,
              .body = norm_pointwise_norm_grad_body},
        OpDef{.name = "batch_norm_apply",
              .summary = "The first output of batch_norm_act, or batch_norm_train with act none, from the mean and variance that "
                         "it returned.",
              .inputs = kBnApply,
              .attrs = kApply,
              .infer = infer_norm_apply,
              .body = batch_norm_apply_body},
        OpDef{.name = "batch_norm_add",
              .summary = "relu, or with act none nothing, of the sum of batch_norm_apply's result, without an activation of its "
                         "own, and another tensor.",
              .inputs = kBnAdd,
              .attrs = kEpsilonAct,
              .infer = infer_norm_add,
              .body = batch_norm_add_body},
        OpDef{.name = "batch_norm_act_grad",
              .summary = "Gradients of batch_norm_act's first output: dx, dgamma, dbeta.",
              .inputs = kBnActGrad,
              .attrs = kEpsilonAct,
              .infer = infer_norm_grad,
              .body = batch_norm_act_grad_body},
        OpDef{.name = "layer_norm",
              .summary = "Normalises each row of the last axis (arXiv:1607.06450).",
              .inputs = kXGB,
              .attrs = kEpsilon,
              .infer = infer_layer_norm,
              .body = layer_norm_body,
              .vjp = [](const VjpCall& c) -> Out {
                  return emit_all("layer_norm_grad", {c.in(0), c.in(1), c.dy()}, {c.node().float_attr("epsilon")});
              }},
        OpDef{.name = "layer_norm_grad",
              .summary = "Gradients of layer_norm: dx, dgamma, dbeta.",
              .inputs = kLnGrad,
              .attrs = kEpsilon,
              .infer = infer_norm_grad,
              .body = layer_norm_grad_body},
    };
}

}  // namespace fk::families
