// Reductions over axes, scans along an axis, and positions of extremes.
#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kX[] = {"x"};
const AttrDef kReduceAttrs[] = {{"axes", AttrType::dims}, {"keepdims", AttrType::boolean, Attr{int64_t{0}}}};
const AttrDef kAxis[] = {{"axis", AttrType::integer}};
const AttrDef kScanAttrs[] = {{"axis", AttrType::integer}, {"reverse", AttrType::boolean, Attr{int64_t{0}}}};

// A reduced tensor brought back to the shape of the input.
Expr expand(Expr reduced, const Dims& dims, const Dims& axes) {
    return broadcast_to(reshape(reduced, keepdims_shape(dims, axes)), dims);
}

Out sum_vjp(const VjpCall& c) { return {expand(c.dy(), c.in(0).dims(), c.node().dims_attr("axes"))}; }

// Equal extremes share the gradient equally.
Out extreme_vjp(const VjpCall& c) {
    const Expr x = c.in(0);
    const Dims axes = c.node().dims_attr("axes");
    const Expr mask = cast(equal(x, expand(c.out(), x.dims(), axes)), x.dtype());
    const Expr share = reshape(c.dy(), keepdims_shape(x.dims(), axes)) / reduce_sum(mask, axes, true);
    return {mask * broadcast_to(share, x.dims())};
}

// prod / x, with the zeros taken out of the product so that one zero keeps its finite gradient.
Out prod_vjp(const VjpCall& c) {
    const Expr x = c.in(0);
    const Dims axes = c.node().dims_attr("axes");
    const Expr is_zero = equal(x, 0.0), zeros = reduce_sum(cast(is_zero, x.dtype()), axes, true);
    const Expr others = emit("reduce_prod", {where(is_zero, 1.0, x)}, {axes, int64_t{1}});
    const Expr n = broadcast_to(zeros, x.dims()), p = broadcast_to(others, x.dims());
    const Expr dydx = where(equal(n, 0.0), p / where(is_zero, 1.0, x), where(logical_and(equal(n, 1.0), is_zero), p, 0.0));
    return {expand(c.dy(), x.dims(), axes) * dydx};
}

Types infer_arg(const InferCall& c) {
    const TensorType& x = c.in[0];
    const auto axis = static_cast<size_t>(normalize_axis(c.integer(0), x.rank()));
    if (x.dims[axis] == 0)
        fail<UserError>(c.op.name, " over axis ", axis, " of shape ", to_string(x.dims), ": there is no element");
    TensorType t{DType::i32, x.dims};
    t.dims.erase(t.dims.begin() + static_cast<std::ptrdiff_t>(axis));
    return {t};
}

Types infer_scan(const InferCall& c) {
    (void)normalize_axis(c.integer(0), c.in[0].rank());
    return {c.in[0]};
}

Expr cumsum(Expr x, int64_t axis, bool reverse) { return emit("cumsum", {x}, {axis, static_cast<int64_t>(reverse)}); }

OpDef reduction(std::string_view name, std::string_view summary, VjpFn vjp) {
    return OpDef{.name = name,
                 .summary = summary,
                 .kind = OpKind::structural,
                 .inputs = kX,
                 .attrs = kReduceAttrs,
                 .infer = infer::reduction,
                 .vjp = vjp};
}

}  // namespace

std::vector<OpDef> reductions() {
    return {
        reduction("reduce_sum", "Sum over axes.", sum_vjp),
        reduction("reduce_prod", "Product over axes.", prod_vjp),
        reduction("reduce_max", "Maximum over axes; NaN if any element is.", extreme_vjp),
        reduction("reduce_min", "Minimum over axes; NaN if any element is.", extreme_vjp),
        OpDef{.name = "argmax",
              .summary = "Index of the first maximum along an axis, int32.",
              .kind = OpKind::library,
              .inputs = kX,
              .attrs = kAxis,
              .infer = infer_arg,
              .differentiable = false},
        OpDef{.name = "argmin",
              .summary = "Index of the first minimum along an axis, int32.",
              .kind = OpKind::library,
              .inputs = kX,
              .attrs = kAxis,
              .infer = infer_arg,
              .differentiable = false},
        OpDef{.name = "cumsum",
              .summary = "Running sum along an axis.",
              .kind = OpKind::library,
              .inputs = kX,
              .attrs = kScanAttrs,
              .infer = infer_scan,
              .vjp = [](const VjpCall& c) -> Out {
                  return {cumsum(c.dy(), c.node().int_attr("axis"), !c.node().bool_attr("reverse"))};
              }},
        OpDef{.name = "cumprod",
              .summary = "Running product along an axis (its gradient needs x without zeros).",
              .kind = OpKind::library,
              .inputs = kX,
              .attrs = kScanAttrs,
              .infer = infer_scan,
              .vjp = [](const VjpCall& c) -> Out {
                  return {cumsum(c.dy() * c.out(), c.node().int_attr("axis"), !c.node().bool_attr("reverse")) / c.in(0)};
              }},
    };
}

}  // namespace fk::families
