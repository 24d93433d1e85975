// Cross-entropies fused with their softmax or sigmoid, so that neither overflow nor a probability tensor appears.
#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kProbabilitiesLabels[] = {"probabilities", "labels"};
constexpr std::string_view kLogitsLabels[] = {"logits", "labels"};
constexpr std::string_view kLogitsLabelsDy[] = {"logits", "labels", "dy"};
constexpr std::string_view kLogitsTargets[] = {"logits", "targets"};
constexpr std::string_view kLogitsTargetsDy[] = {"logits", "targets", "dy"};

Dims rows_of(const TensorType& logits) { return {logits.dims.begin(), logits.dims.end() - 1}; }

Types infer_sparse(const InferCall& c) {
    infer::require_float(c, 0);
    infer::require_integer(c, 1);
    if (c.in[0].rank() < 1 || rows_of(c.in[0]) != c.in[1].dims)
        fail<UserError>(c.op.name, ": labels have shape ", to_string(c.in[1].dims),
                        "; expected one class index per row of logits of shape ", to_string(c.in[0].dims));
    return {{c.in[0].dtype, c.in[1].dims}};
}

Types infer_dense(const InferCall& c) {
    infer::require_float(c, 0);
    if (c.in[0].rank() < 1 || c.in[0] != c.in[1])
        fail<UserError>(c.op.name, ": targets are ", to_string(c.in[1]), "; expected the type of the logits, ",
                        to_string(c.in[0]));
    return {{c.in[0].dtype, rows_of(c.in[0])}};
}

// The gradients take the operands of their loss and dy, of the loss' type.
Types infer_grad(const InferCall& c, InferFn loss) {
    infer::require_type(c, 2, loss(c)[0]);
    return {c.in[0]};
}

// All that a training step asks of its logits: gradient, loss, index of the largest, and the gradient summed over the rows.
Types infer_step(const InferCall& c, InferFn loss) {
    const Types dx = infer_grad(c, loss);
    return {dx[0], loss(c)[0], {DType::i32, rows_of(c.in[0])}, {c.in[0].dtype, {c.in[0].dims.back()}}};
}

Out step_of(const OpCall& c, std::string_view loss, std::string_view gradient) {
    const Expr dx = emit(gradient, {c.in(0), c.in(1), c.in(2)});
    const Expr best = emit("argmax", {c.in(0)}, {static_cast<int64_t>(c.in(0).dims().size()) - 1});
    return {dx, emit(loss, {c.in(0), c.in(1)}), best, reduce_sum(dx, all_but_last(static_cast<int>(dx.dims().size())))};
}

Expr column(Expr x) {
    Dims dims = x.dims();
    dims.push_back(1);
    return reshape(x, dims);
}

Expr one_hot_like(Expr labels, Expr logits) {
    return emit("one_hot", {labels}, {logits.dims().back(), static_cast<int64_t>(logits.dtype())});
}

}  // namespace

std::vector<OpDef> losses() {
    return {
        OpDef{.name = "sparse_softmax_cross_entropy",
              .summary = "-log(softmax(logits)[label]) for each row; a label outside the classes is an error.",
              .inputs = kLogitsLabels,
              .infer = infer_sparse,
              .body = [](const OpCall& c) -> Out {
                  const Expr picked =
                      emit("take_along_axis", {emit("log_softmax", {c.in(0)}, {int64_t{-1}}), column(c.in(1))}, {int64_t{-1}});
                  return {reshape(-picked, c.out_type().dims)};
              },
              .vjp = [](const VjpCall& c) -> Out {
                  return {emit("sparse_softmax_cross_entropy_grad", {c.in(0), c.in(1), c.dy()}), Expr{}};
              },
              .checks_indices = true},
        OpDef{.name = "sparse_softmax_cross_entropy_grad",
              .summary = "(softmax(logits) - one_hot(labels)) * dy.",
              .inputs = kLogitsLabelsDy,
              .infer = [](const InferCall& c) { return infer_grad(c, infer_sparse); },
              .body = [](const OpCall& c) -> Out {
                  const Expr p = emit("softmax", {c.in(0)}, {int64_t{-1}});
                  return {(p - one_hot_like(c.in(1), c.in(0))) * column(c.in(2))};
              },
              .checks_indices = true},
        OpDef{.name = "sparse_softmax_cross_entropy_step",
              .summary =
                  "sparse_softmax_cross_entropy_grad, the loss itself, argmax of the logits, and the gradient's sum over rows.",
              .inputs = kLogitsLabelsDy,
              .infer = [](const InferCall& c) { return infer_step(c, infer_sparse); },
              .body = [](const OpCall& c) -> Out {
                  return step_of(c, "sparse_softmax_cross_entropy", "sparse_softmax_cross_entropy_grad");
              },
              .checks_indices = true},
        OpDef{.name = "class_probability",
              .summary = "The element of each row that its label points to; a label outside the classes is an error.",
              .kind = OpKind::library,
              .inputs = kProbabilitiesLabels,
              .infer = infer_sparse,
              .vjp = [](const VjpCall& c) -> Out {
                  const Expr zeros = zeros_like(c.in(0));
                  const Expr dx = emit("scatter_add_along_axis", {zeros, column(c.in(1)), column(c.dy())}, {int64_t{-1}});
                  return {dx, Expr{}};
              },
              .checks_indices = true},
        OpDef{.name = "softmax_cross_entropy",
              .summary = "-sum(targets * log(softmax(logits))) over the last axis.",
              .inputs = kLogitsTargets,
              .infer = infer_dense,
              .body = [](const OpCall& c) -> Out {
                  return {-reduce_sum(c.in(1) * emit("log_softmax", {c.in(0)}, {int64_t{-1}}), {-1})};
              },
              .vjp = [](const VjpCall& c) -> Out {
                  return {emit("softmax_cross_entropy_grad", {c.in(0), c.in(1), c.dy()}),
                          -(emit("log_softmax", {c.in(0)}, {int64_t{-1}}) * column(c.dy()))};
              }},
        OpDef{.name = "softmax_cross_entropy_grad",
              .summary = "(softmax(logits) * sum(targets) - targets) * dy.",
              .inputs = kLogitsTargetsDy,
              .infer = [](const InferCall& c) { return infer_grad(c, infer_dense); },
              .body = [](const OpCall& c) -> Out {
                  const Expr p = emit("softmax", {c.in(0)}, {int64_t{-1}});
                  return {(p * reduce_sum(c.in(1), {-1}, true) - c.in(1)) * column(c.in(2))};
              }},
        OpDef{.name = "softmax_cross_entropy_step",
              .summary = "softmax_cross_entropy_grad, the loss itself, argmax of the logits, and the gradient's sum over rows.",
              .inputs = kLogitsTargetsDy,
              .infer = [](const InferCall& c) { return infer_step(c, infer_dense); },
              .body = [](const OpCall& c) -> Out { return step_of(c, "softmax_cross_entropy", "softmax_cross_entropy_grad"); }},
        OpDef{.name = "sigmoid_cross_entropy",
              .summary = "-(t log(sigmoid(x)) + (1 - t) log(1 - sigmoid(x))), elementwise.",
              .inputs = kLogitsTargets,
              .promotion = Promotion::floating,
              .infer = infer::elementwise,
              .body = [](const OpCall& c) -> Out {
                  const Expr x = c.in(0);
                  return {maximum(x, 0.0) - x * c.in(1) + log1p(exp(-abs(x)))};
              },
              .vjp = [](const VjpCall& c) -> Out { return {c.dy() * (sigmoid(c.in(0)) - c.in(1)), -c.dy() * c.in(0)}; }},
    };
}

}  // namespace fk::families
