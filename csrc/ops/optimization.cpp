// Optimizer updates that every training step runs over all weights. Other optimizers are recorded arithmetic; these keep their
// name so that a device may give them a loop of its own, and their bodies are the definition.
#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;

constexpr std::string_view kAdam[] = {"variable", "momentum", "velocity", "gradient", "step_size"};
const AttrDef kAdamAttrs[] = {{"rate_1", AttrType::floating}, {"rate_2", AttrType::floating}, {"epsilon", AttrType::floating}};

Types infer_adam(const InferCall& c) {
    infer::require_float(c, 0);
    for (size_t i = 1; i < 4; ++i) infer::require_type(c, i, c.in[0]);
    infer::require_type(c, 4, {c.in[0].dtype, {}});
    return {c.in[0], c.in[0], c.in[0]};
}

Out adam_body(const OpCall& c) {
    const Expr gradient = c.in(3);
    const Expr m = c.in(1) + (gradient - c.in(1)) * c.node->float_attr("rate_1");
    const Expr v = c.in(2) + (square(gradient) - c.in(2)) * c.node->float_attr("rate_2");
    return {c.in(0) - m * c.in(4) / (sqrt(v) + c.node->float_attr("epsilon")), m, v};
}

}  // namespace

std::vector<OpDef> optimization() {
    return {
        OpDef{.name = "adam_update",
              .summary = "Adam's new variable, momentum and velocity (arXiv:1412.6980); rates are 1 - beta, step_size is the "
                         "learning rate with both bias corrections.",
              .inputs = kAdam,
              .attrs = kAdamAttrs,
              .infer = infer_adam,
              .body = adam_body},
    };
}

}  // namespace fk::families
