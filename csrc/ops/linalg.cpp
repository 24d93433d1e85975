// Matrix products.
#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kAB[] = {"a", "b"};
constexpr std::string_view kABBias[] = {"a", "b", "bias"};
constexpr std::string_view kABBiasAdd[] = {"a", "b", "bias", "add"};
constexpr std::string_view kABFactor[] = {"a", "b", "factor"};
const AttrDef kMatmulAttrs[] = {{"transpose_a", AttrType::boolean, Attr{int64_t{0}}},
                                {"transpose_b", AttrType::boolean, Attr{int64_t{0}}}};
const AttrDef kFusedAttrs[] = {{"transpose_a", AttrType::boolean, Attr{int64_t{0}}},
                               {"transpose_b", AttrType::boolean, Attr{int64_t{0}}},
                               {"act", AttrType::text, Attr{std::string("none")}}};

Types infer_matmul(const InferCall& c) {
    const TensorType &a = c.in[0], &b = c.in[1];
    if (a.rank() < 2 || b.rank() < 2)
        fail<UserError>("matmul: shapes ", to_string(a.dims), " and ", to_string(b.dims),
                        "; expected at least two dimensions each");
    if (a.dtype != b.dtype)
        fail<UserError>("matmul: dtypes ", name(a.dtype), " and ", name(b.dtype), " differ; cast them to one dtype");
    const bool ta = c.integer(0) != 0, tb = c.integer(1) != 0;
    const size_t ra = a.dims.size(), rb = b.dims.size();
    const int64_t m = a.dims[ra - (ta ? 1 : 2)], ka = a.dims[ra - (ta ? 2 : 1)];
    const int64_t kb = b.dims[rb - (tb ? 1 : 2)], n = b.dims[rb - (tb ? 2 : 1)];
    if (ka != kb)
        fail<UserError>("matmul: shapes ", to_string(a.dims), ta ? " (transposed)" : "", " and ", to_string(b.dims),
                        tb ? " (transposed)" : "", " do not fit: the inner dimensions are ", ka, " and ", kb);
    Dims dims = broadcast_dims(Dims(a.dims.begin(), a.dims.end() - 2), Dims(b.dims.begin(), b.dims.end() - 2));
    dims.push_back(m);
    dims.push_back(n);
    return {{a.dtype, dims}};
}

Expr matmul(Expr a, Expr b, bool ta, bool tb) {
    return emit("matmul", {a, b}, {static_cast<int64_t>(ta), static_cast<int64_t>(tb)});
}

// With C = op(A) op(B): dA = dC op(B)^T and dB = op(A)^T dC, transposed back where A or B was.
Out matmul_vjp(const VjpCall& c) {
    const Expr a = c.in(0), b = c.in(1), dy = c.dy();
    const bool ta = c.node().bool_attr("transpose_a"), tb = c.node().bool_attr("transpose_b");
    const Expr da = ta ? matmul(b, dy, tb, true) : matmul(dy, b, false, !tb);
    if (b.rank() == 2 && a.rank() > 2 && !ta) {  // one matrix for a whole batch: its gradient sums over the rows of all
        const auto rows = [](Expr x) { return reshape(x, {x.type().size() / x.dims().back(), x.dims().back()}); };
        if (a.type().size() > 0 && dy.type().size() > 0) {
            const Expr all_a = rows(a), all_dy = rows(dy);
            return {sum_to(da, a.dims()), tb ? matmul(all_dy, all_a, true, false) : matmul(all_a, all_dy, true, false)};
        }
    }
    const Expr db = tb ? matmul(dy, a, true, ta) : matmul(a, dy, !ta, false);
    return {sum_to(da, a.dims()), sum_to(db, b.dims())};
}

}  // namespace

std::vector<OpDef> linalg() {
    return {
        OpDef{.name = "matmul",
              .summary = "Matrix product of the last two dimensions; leading dimensions broadcast.",
              .kind = OpKind::library,
              .inputs = kAB,
              .attrs = kMatmulAttrs,
              .infer = infer_matmul,
              .vjp = matmul_vjp},
        // The next two are made by passes/absorb_epilogues; not recorded by users.
        OpDef{.name = "matmul_bias_act",
              .summary = "act(matmul(a, b) + bias).",
              .inputs = kABBias,
              .attrs = kFusedAttrs,
              .infer = [](const InferCall& c) -> Types {
                  const Types y = infer_matmul(c);
                  infer::require_epilogue(c, y[0]);
                  return y;
              },
              .body = [](const OpCall& c) -> Out {
                  Expr y = matmul(c.in(0), c.in(1), c.node->bool_attr("transpose_a"), c.node->bool_attr("transpose_b")) + c.in(2);
                  const std::string& act = std::get<std::string>(c.node->attrs[2]);
                  return {act == "none" ? y : unary(act, y)};
              }},
        OpDef{.name = "matmul_bias_add_act",
              .summary = "act(matmul(a, b) + bias + add).",
              .inputs = kABBiasAdd,
              .attrs = kFusedAttrs,
              .infer = [](const InferCall& c) -> Types {
                  const Types y = infer_matmul(c);
                  infer::require_epilogue(c, y[0]);
                  return y;
              },
              .body = [](const OpCall& c) -> Out {
                  const Expr y = matmul(c.in(0), c.in(1), c.node->bool_attr("transpose_a"), c.node->bool_attr("transpose_b")) +
                                 c.in(2) + c.in(3);
                  const std::string& act = std::get<std::string>(c.node->attrs[2]);
                  return {act == "none" ? y : unary(act, y)};
              }},
        // The next two are made by passes/pair_slopes: what a layer with an activation computes on its way forward and back.
        OpDef{.name = "matmul_bias_act_slope",
              .summary = "act(y) and act'(y) of y = matmul(a, b) + bias.",
              .inputs = kABBias,
              .attrs = kFusedAttrs,
              .infer = [](const InferCall& c) -> Types {
                  const Types y = infer_matmul(c);
                  infer::require_epilogue(c, y[0]);
                  const std::string& act = std::get<std::string>(c.attrs.back());
                  if (find_op(act + "_slope") == nullptr)
                      fail<UserError>("matmul_bias_act_slope: no op computes the slope of '", act, "'");
                  return {y[0], y[0]};
              },
              .body = [](const OpCall& c) -> Out {
                  const Expr y =
                      matmul(c.in(0), c.in(1), c.node->bool_attr("transpose_a"), c.node->bool_attr("transpose_b")) + c.in(2);
                  const std::string& act = std::get<std::string>(c.node->attrs[2]);
                  return {unary(act, y), unary(act + "_slope", y)};
              }},
        OpDef{.name = "matmul_times",
              .summary = "matmul(a, b) * factor, element by element, and the sum of its rows.",
              .inputs = kABFactor,
              .attrs = kMatmulAttrs,
              .infer = [](const InferCall& c) -> Types {
                  const Types y = infer_matmul(c);
                  infer::require_type(c, 2, y[0]);
                  return {y[0], {y[0].dtype, {y[0].dims.back()}}};
              },
              .body = [](const OpCall& c) -> Out {
                  const Expr y =
                      matmul(c.in(0), c.in(1), c.node->bool_attr("transpose_a"), c.node->bool_attr("transpose_b")) * c.in(2);
                  return {y, sum_to(y, {y.dims().back()})};
              }},
    };
}

}  // namespace fk::families
