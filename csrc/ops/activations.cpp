// Activation functions and other elementwise functions written in primitives.
#include <numbers>

#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
constexpr std::string_view kX[] = {"x"};
constexpr std::string_view kXX[] = {"x1", "x2"};
const AttrDef kApproximate[] = {{"approximate", AttrType::boolean, Attr{int64_t{0}}}};
const AttrDef kAlpha[] = {{"alpha", AttrType::floating, Attr{1.0}}};
const AttrDef kSlope[] = {{"negative_slope", AttrType::floating, Attr{0.2}}};

double attr(const Node& n, size_t i) { return std::get<double>(n.attrs[i]); }

// Gaussian error linear unit, x * Phi(x); the tanh form is Hendrycks & Gimpel's approximation (arXiv:1606.08415).
Out gelu_body(const OpCall& c) {
    const Expr x = c.in(0);
    if (c.node->bool_attr("approximate")) {
        const double k = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
        return {0.5 * x * (1.0 + tanh(k * (x + 0.044715 * x * x * x)))};
    }
    return {0.5 * x * (1.0 + erf(x * (1.0 / std::numbers::sqrt2)))};
}

Out gelu_slope_body(const OpCall& c) {
    const Expr x = c.in(0);
    const double k = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
    if (c.node->bool_attr("approximate")) {
        const Expr t = tanh(k * (x + 0.044715 * x * x * x));
        return {0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * k * (1.0 + 3 * 0.044715 * x * x)};
    }
    const double inv_sqrt_2pi = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    return {0.5 * (1.0 + erf(x * (1.0 / std::numbers::sqrt2))) + x * inv_sqrt_2pi * exp(-0.5 * x * x)};
}

// The gradient of an activation whose derivative is an op: a product that computes the one leaves the other as well.
Out times_slope(const VjpCall& c) {
    return {c.dy() * emit(std::string(c.node().op->name) + "_slope", {c.in(0)}, c.node().attrs)};
}

constexpr double kSeluAlpha = 1.6732632423543772848170429916717, kSeluScale = 1.0507009873554804934193349852946;

OpDef unary(std::string_view name, std::string_view summary, BodyFn body, VjpFn vjp = nullptr,
            std::span<const AttrDef> attrs = {}) {
    return OpDef{.name = name,
                 .summary = summary,
                 .inputs = kX,
                 .attrs = attrs,
                 .promotion = Promotion::floating,
                 .infer = infer::elementwise,
                 .body = body,
                 .vjp = vjp};
}

}  // namespace

std::vector<OpDef> activations() {
    return {
        OpDef{.name = "square",
              .summary = "x * x.",
              .inputs = kX,
              .promotion = Promotion::same,
              .infer = infer::elementwise,
              .body = [](const OpCall& c) -> Out { return {c.in(0) * c.in(0)}; },
              .vjp = [](const VjpCall& c) -> Out { return {c.dy() * 2.0 * c.in(0)}; }},
        OpDef{.name = "squared_difference",
              .summary = "(x1 - x2) squared.",
              .inputs = kXX,
              .promotion = Promotion::same,
              .infer = infer::elementwise,
              .body = [](const OpCall& c) -> Out {
                  const Expr d = c.in(0) - c.in(1);
                  return {d * d};
              }},
        OpDef{.name = "relu",
              .summary = "Rectified linear unit, max(x, 0).",
              .inputs = kX,
              .promotion = Promotion::same,
              .infer = infer::elementwise,
              .body = [](const OpCall& c) -> Out { return {maximum(c.in(0), 0.0)}; },
              // From the output, so that the pre-activation need not be kept.
              .vjp = [](const VjpCall& c) -> Out { return {where(c.out() > 0.0, c.dy(), 0.0)}; }},
        OpDef{.name = "relu6",
              .summary = "min(max(x, 0), 6).",
              .inputs = kX,
              .promotion = Promotion::same,
              .infer = infer::elementwise,
              .body = [](const OpCall& c) -> Out { return {minimum(maximum(c.in(0), 0.0), 6.0)}; },
              .vjp = [](const VjpCall& c) -> Out { return {where(logical_and(c.out() > 0.0, c.out() < 6.0), c.dy(), 0.0)}; }},
        unary(
            "softplus", "Smooth approximation of relu, log(1 + exp(x)).",
            [](const OpCall& c) -> Out { return {maximum(c.in(0), 0.0) + log1p(exp(-abs(c.in(0))))}; },
            [](const VjpCall& c) -> Out { return {c.dy() * sigmoid(c.in(0))}; }),
        unary(
            "softsign", "x / (1 + |x|).", [](const OpCall& c) -> Out { return {c.in(0) / (1.0 + abs(c.in(0)))}; },
            [](const VjpCall& c) -> Out { return {c.dy() / square(1.0 + abs(c.in(0)))}; }),
        unary(
            "silu", "x * sigmoid(x), also called swish (arXiv:1710.05941).",
            [](const OpCall& c) -> Out { return {c.in(0) * sigmoid(c.in(0))}; }, times_slope),
        unary("silu_slope", "The derivative of silu.",
              [](const OpCall& c) -> Out {
                  const Expr s = sigmoid(c.in(0));
                  return {s + c.in(0) * s * (1.0 - s)};
              }),
        unary("gelu", "Gaussian error linear unit, x * Phi(x) (arXiv:1606.08415).", gelu_body, times_slope, kApproximate),
        unary("gelu_slope", "The derivative of gelu.", gelu_slope_body, nullptr, kApproximate),
        unary(
            "elu", "x where x > 0, alpha * (exp(x) - 1) elsewhere (arXiv:1511.07289).",
            [](const OpCall& c) -> Out {
                const Expr x = c.in(0);
                return {where(x > 0.0, x, attr(*c.node, 0) * expm1(minimum(x, 0.0)))};
            },
            [](const VjpCall& c) -> Out { return {c.dy() * where(c.in(0) > 0.0, 1.0, c.out() + attr(c.node(), 0))}; }, kAlpha),
        unary(
            "selu", "Self-normalizing elu (arXiv:1706.02515).",
            [](const OpCall& c) -> Out {
                const Expr x = c.in(0);
                return {kSeluScale * where(x > 0.0, x, kSeluAlpha * expm1(minimum(x, 0.0)))};
            },
            [](const VjpCall& c) -> Out {
                return {c.dy() * where(c.in(0) > 0.0, lit(c.in(0), kSeluScale), c.out() + kSeluScale * kSeluAlpha)};
            }),
        unary(
            "leaky_relu", "x where x >= 0, negative_slope * x elsewhere.",
            [](const OpCall& c) -> Out { return {where(c.in(0) >= 0.0, c.in(0), attr(*c.node, 0) * c.in(0))}; },
            [](const VjpCall& c) -> Out { return {where(c.in(0) >= 0.0, c.dy(), attr(c.node(), 0) * c.dy())}; }, kSlope),
        unary(
            "hard_sigmoid", "relu6(x + 3) / 6.",
            [](const OpCall& c) -> Out { return {minimum(maximum(c.in(0) + 3.0, 0.0), 6.0) * (1.0 / 6.0)}; },
            [](const VjpCall& c) -> Out {
                return {where(logical_and(c.in(0) > -3.0, c.in(0) < 3.0), c.dy() * (1.0 / 6.0), 0.0)};
            }),
        unary(
            "hard_silu", "x * hard_sigmoid(x).",
            [](const OpCall& c) -> Out { return {c.in(0) * (minimum(maximum(c.in(0) + 3.0, 0.0), 6.0) * (1.0 / 6.0))}; },
            [](const VjpCall& c) -> Out {
                const Expr x = c.in(0), inside = (2.0 * x + 3.0) * (1.0 / 6.0);
                return {c.dy() * where(x >= 3.0, 1.0, where(x <= -3.0, 0.0, inside))};
            }),
        unary(
            "log_sigmoid", "log(sigmoid(x)) without overflow.", [](const OpCall& c) -> Out { return {-softplus(-c.in(0))}; },
            [](const VjpCall& c) -> Out { return {c.dy() * sigmoid(-c.in(0))}; }),
        unary("mish", "x * tanh(softplus(x)) (arXiv:1908.08681).",
              [](const OpCall& c) -> Out { return {c.in(0) * tanh(softplus(c.in(0)))}; }),
        unary(
            "celu", "max(0, x) + min(0, alpha * (exp(x / alpha) - 1)).",
            [](const OpCall& c) -> Out {
                const double alpha = attr(*c.node, 0);
                return {maximum(c.in(0), 0.0) + alpha * expm1(minimum(c.in(0), 0.0) * (1.0 / alpha))};
            },
            [](const VjpCall& c) -> Out {
                const double alpha = attr(c.node(), 0);
                return {c.dy() * where(c.in(0) > 0.0, 1.0, exp(minimum(c.in(0), 0.0) * (1.0 / alpha)))};
            },
            kAlpha),
        unary(
            "hard_tanh", "x clipped to [-1, 1].", [](const OpCall& c) -> Out { return {minimum(maximum(c.in(0), -1.0), 1.0)}; },
            [](const VjpCall& c) -> Out { return {where(logical_and(c.in(0) > -1.0, c.in(0) < 1.0), c.dy(), 0.0)}; }),
    };
}

}  // namespace fk::families
