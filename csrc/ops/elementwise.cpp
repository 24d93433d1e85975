// The scalar primitives as ops. Names, arity and promotion come from ir/prims.def; this file adds their gradients.
#include <numbers>
#include <unordered_map>

#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Grads = std::vector<Expr>;
constexpr std::string_view kUnary[] = {"x"};
constexpr std::string_view kBinary[] = {"x1", "x2"};
constexpr std::string_view kWhere[] = {"condition", "x1", "x2"};
const AttrDef kCastAttrs[] = {{"dtype", AttrType::dtype}};

// d(loss)/dx for y = f(x). Written with y where that saves work, as it is kept alive anyway.
const std::unordered_map<Prim, VjpFn>& gradients() {
    using enum Prim;
    static const std::unordered_map<Prim, VjpFn> table = {
        {neg, [](const VjpCall& c) -> Grads { return {-c.dy()}; }},
        {Prim::abs, [](const VjpCall& c) -> Grads { return {c.dy() * fk::sign(c.in(0))}; }},
        {Prim::exp, [](const VjpCall& c) -> Grads { return {c.dy() * c.out()}; }},
        {Prim::expm1, [](const VjpCall& c) -> Grads { return {c.dy() * (c.out() + 1.0)}; }},
        {Prim::log, [](const VjpCall& c) -> Grads { return {c.dy() / c.in(0)}; }},
        {Prim::log2, [](const VjpCall& c) -> Grads { return {c.dy() / (c.in(0) * std::numbers::ln2)}; }},
        {Prim::log10, [](const VjpCall& c) -> Grads { return {c.dy() / (c.in(0) * std::numbers::ln10)}; }},
        {Prim::log1p, [](const VjpCall& c) -> Grads { return {c.dy() / (c.in(0) + 1.0)}; }},
        {Prim::sqrt, [](const VjpCall& c) -> Grads { return {c.dy() * 0.5 / c.out()}; }},
        {Prim::rsqrt, [](const VjpCall& c) -> Grads { return {c.dy() * -0.5 * c.out() / c.in(0)}; }},
        {reciprocal, [](const VjpCall& c) -> Grads { return {-c.dy() * c.out() * c.out()}; }},
        {Prim::sin, [](const VjpCall& c) -> Grads { return {c.dy() * fk::cos(c.in(0))}; }},
        {Prim::cos, [](const VjpCall& c) -> Grads { return {-c.dy() * fk::sin(c.in(0))}; }},
        {Prim::tan, [](const VjpCall& c) -> Grads { return {c.dy() * (1.0 + c.out() * c.out())}; }},
        {Prim::asin, [](const VjpCall& c) -> Grads { return {c.dy() * fk::rsqrt(1.0 - c.in(0) * c.in(0))}; }},
        {Prim::acos, [](const VjpCall& c) -> Grads { return {-c.dy() * fk::rsqrt(1.0 - c.in(0) * c.in(0))}; }},
        {Prim::atan, [](const VjpCall& c) -> Grads { return {c.dy() / (1.0 + c.in(0) * c.in(0))}; }},
        {Prim::sinh, [](const VjpCall& c) -> Grads { return {c.dy() * fk::cosh(c.in(0))}; }},
        {Prim::cosh, [](const VjpCall& c) -> Grads { return {c.dy() * fk::sinh(c.in(0))}; }},
        {Prim::tanh, [](const VjpCall& c) -> Grads { return {c.dy() * (1.0 - c.out() * c.out())}; }},
        {Prim::asinh, [](const VjpCall& c) -> Grads { return {c.dy() * fk::rsqrt(c.in(0) * c.in(0) + 1.0)}; }},
        {Prim::acosh, [](const VjpCall& c) -> Grads { return {c.dy() * fk::rsqrt(c.in(0) * c.in(0) - 1.0)}; }},
        {Prim::atanh, [](const VjpCall& c) -> Grads { return {c.dy() / (1.0 - c.in(0) * c.in(0))}; }},
        {Prim::sigmoid, [](const VjpCall& c) -> Grads { return {c.dy() * (c.out() * (1.0 - c.out()))}; }},
        {Prim::erf,
         [](const VjpCall& c) -> Grads { return {c.dy() * (2.0 * std::numbers::inv_sqrtpi) * fk::exp(-(c.in(0) * c.in(0)))}; }},
        {Prim::erfinv,
         [](const VjpCall& c) -> Grads { return {c.dy() * (0.5 / std::numbers::inv_sqrtpi) * fk::exp(c.out() * c.out())}; }},
        {Prim::lgamma, [](const VjpCall& c) -> Grads { return {c.dy() * unary("digamma", c.in(0))}; }},
        {Prim::cast,
         [](const VjpCall& c) -> Grads {
             if (!is_float(c.in(0).dtype()) || !is_float(c.out().dtype())) return {Expr{}};
             return {fk::cast(c.dy(), c.in(0).dtype())};
         }},
        {add, [](const VjpCall& c) -> Grads { return {c.dy(), c.dy()}; }},
        {subtract, [](const VjpCall& c) -> Grads { return {c.dy(), -c.dy()}; }},
        {multiply, [](const VjpCall& c) -> Grads { return {c.dy() * c.in(1), c.dy() * c.in(0)}; }},
        {divide, [](const VjpCall& c) -> Grads { return {c.dy() / c.in(1), -c.dy() * c.out() / c.in(1)}; }},
        // x^p: the branch at x == 0 avoids 0 * inf, and log is only taken of positive bases.
        {Prim::power,
         [](const VjpCall& c) -> Grads {
             const Expr x = c.in(0), p = c.in(1), zero = zeros_like(x);
             const Expr safe = fk::where(x > 0.0, x, 1.0);
             return {fk::where(fk::equal(p, 0.0), zero, c.dy() * p * fk::power(x, p - 1.0)),
                     fk::where(x > 0.0, c.dy() * c.out() * fk::log(safe), zero)};
         }},
        // Ties share the gradient equally, as XLA does.
        {Prim::maximum,
         [](const VjpCall& c) -> Grads {
             const Expr a = c.in(0), b = c.in(1), tie = fk::where(fk::equal(a, b), c.dy() * 0.5, 0.0);
             return {fk::where(a > b, c.dy(), tie), fk::where(b > a, c.dy(), tie)};
         }},
        {Prim::minimum,
         [](const VjpCall& c) -> Grads {
             const Expr a = c.in(0), b = c.in(1), tie = fk::where(fk::equal(a, b), c.dy() * 0.5, 0.0);
             return {fk::where(a < b, c.dy(), tie), fk::where(b < a, c.dy(), tie)};
         }},
        {mod, [](const VjpCall& c) -> Grads { return {c.dy(), -c.dy() * fk::floor(c.in(0) / c.in(1))}; }},
        {Prim::atan2,
         [](const VjpCall& c) -> Grads {
             const Expr y = c.in(0), x = c.in(1), r2 = x * x + y * y;
             return {c.dy() * x / r2, -c.dy() * y / r2};
         }},
        {Prim::where,
         [](const VjpCall& c) -> Grads { return {Expr{}, fk::where(c.in(0), c.dy(), 0.0), fk::where(c.in(0), 0.0, c.dy())}; }},
    };
    return table;
}

const std::unordered_map<Prim, std::string_view>& summaries() {
    using enum Prim;
    static const std::unordered_map<Prim, std::string_view> table = {
        {rsqrt, "1 / sqrt(x)."},
        {erfinv, "Inverse of the Gauss error function on (-1, 1)."},
        {lgamma, "Logarithm of the absolute value of the gamma function."},
        {mod, "Remainder with the sign of the divisor, x1 - x2 * floor(x1 / x2)."},
        {Prim::round, "Nearest integer, halves to even."},
        {where, "x1 where the condition holds, x2 elsewhere."},
        {cast, "Converts to another dtype; float to integer truncates."},
    };
    return table;
}

constexpr Promotion promotion_of(Prim p) {
    constexpr auto same = Promotion::same, floating = Promotion::floating, comparison = Promotion::comparison,
                   logical = Promotion::logical, integral = Promotion::integral, select = Promotion::select,
                   none = Promotion::shape_only;
    constexpr Promotion table[kPrimCount] = {
#define FK_PRIM(name, arity, promotion, ...) promotion,
#include "ir/prims.def"
#undef FK_PRIM
    };
    return table[static_cast<int>(p)];
}

std::vector<TensorType> infer_cast(const InferCall& c) { return {TensorType{c.dtype(0), c.in[0].dims}}; }

}  // namespace

std::vector<OpDef> elementwise() {
    std::vector<OpDef> ops;
    for (int i = 0; i < kPrimCount; ++i) {
        const Prim p = static_cast<Prim>(i);
        OpDef op;
        op.name = name(p);
        op.kind = OpKind::prim;
        op.prim = p;
        op.promotion = promotion_of(p);
        op.infer = p == Prim::cast ? infer_cast : infer::elementwise;
        const int n = arity(p);
        if (n == 1)
            op.inputs = kUnary;
        else if (n == 2)
            op.inputs = kBinary;
        else
            op.inputs = kWhere;
        if (p == Prim::cast) op.attrs = kCastAttrs;
        if (const auto it = summaries().find(p); it != summaries().end())
            op.summary = it->second;
        else
            op.summary = op.name;
        if (const auto it = gradients().find(p); it != gradients().end()) op.vjp = it->second;
        // Digamma is the one smooth primitive whose derivative is not provided; asking for it is an error, not a zero.
        op.differentiable = op.vjp != nullptr || p == Prim::digamma;
        ops.push_back(op);
    }
    return ops;
}

}  // namespace fk::families
