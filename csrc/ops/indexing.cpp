// Ops that read or write at positions given by data: gather, scatter, sort, top-k, one-hot.
#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kX[] = {"x"};
constexpr std::string_view kXI[] = {"x", "indices"};
constexpr std::string_view kXIU[] = {"x", "indices", "updates"};
constexpr std::string_view kI[] = {"indices"};
const AttrDef kAxis[] = {{"axis", AttrType::integer}};
const AttrDef kK[] = {{"k", AttrType::integer}};
const AttrDef kRows[] = {{"rows", AttrType::integer}};
const AttrDef kOneHot[] = {{"depth", AttrType::integer}, {"dtype", AttrType::dtype}};

Dims gathered_dims(const TensorType& x, const TensorType& indices, int64_t axis_attr) {
    const auto axis = static_cast<size_t>(normalize_axis(axis_attr, x.rank()));
    Dims dims(x.dims.begin(), x.dims.begin() + static_cast<std::ptrdiff_t>(axis));
    dims.insert(dims.end(), indices.dims.begin(), indices.dims.end());
    dims.insert(dims.end(), x.dims.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.dims.end());
    return dims;
}

Types infer_gather(const InferCall& c) {
    infer::require_integer(c, 1);
    return {{c.in[0].dtype, gathered_dims(c.in[0], c.in[1], c.integer(0))}};
}

void check_updates(const InferCall& c, const Dims& expected) {
    if (c.in[2].dims != expected)
        fail<UserError>(c.op.name, ": updates have shape ", to_string(c.in[2].dims), "; expected ", to_string(expected),
                        " for x of shape ", to_string(c.in[0].dims), " and indices of shape ", to_string(c.in[1].dims));
    if (c.in[2].dtype != c.in[0].dtype)
        fail<UserError>(c.op.name, ": updates have dtype ", name(c.in[2].dtype), " against ", name(c.in[0].dtype),
                        " of x; cast them to one dtype");
}

Types infer_scatter_add(const InferCall& c) {
    infer::require_integer(c, 1);
    check_updates(c, gathered_dims(c.in[0], c.in[1], c.integer(0)));
    return {c.in[0]};
}

Types infer_scatter_set(const InferCall& c) {
    infer::require_integer(c, 1);
    infer::require_rank(c, 1, 1);
    check_updates(c, gathered_dims(c.in[0], c.in[1], 0));
    return {c.in[0]};
}

Dims along_axis_dims(const InferCall& c) {
    const TensorType &x = c.in[0], &i = c.in[1];
    const auto axis = static_cast<size_t>(normalize_axis(c.integer(0), x.rank()));
    infer::require_integer(c, 1);
    Dims dims = x.dims;
    if (i.rank() == x.rank()) dims[axis] = i.dims[axis];
    if (i.dims != dims)
        fail<UserError>(c.op.name, ": indices have shape ", to_string(i.dims), "; expected the shape of x, ", to_string(x.dims),
                        ", except along axis ", axis);
    return dims;
}

Types infer_take_along(const InferCall& c) { return {{c.in[0].dtype, along_axis_dims(c)}}; }

Types infer_scatter_along(const InferCall& c) {
    check_updates(c, along_axis_dims(c));
    return {c.in[0]};
}

Types infer_sort(const InferCall& c) {
    (void)normalize_axis(c.integer(0), c.in[0].rank());
    return {c.in[0]};
}

Types infer_argsort(const InferCall& c) {
    (void)normalize_axis(c.integer(0), c.in[0].rank());
    return {{DType::i32, c.in[0].dims}};
}

Types infer_first_of_equal(const InferCall& c) {
    infer::require_integer(c, 0);
    infer::require_rank(c, 0, 1);
    if (c.integer(0) < 1) fail<UserError>("first_of_equal: rows is ", c.integer(0), "; expected at least 1");
    return {{DType::i32, c.in[0].dims}};
}

Types infer_top_k(const InferCall& c) {
    TensorType t = c.in[0];
    if (t.dims.empty() || c.integer(0) < 1 || c.integer(0) > t.dims.back())
        fail<UserError>("top_k: k is ", c.integer(0), " for shape ", to_string(t.dims),
                        "; expected 1 <= k <= the last dimension");
    t.dims.back() = c.integer(0);
    return {t, {DType::i32, t.dims}};
}

Expr scatter_along(Expr x, Expr indices, Expr updates, int64_t axis) {
    return emit("scatter_add_along_axis", {x, indices, updates}, {axis});
}

// Of updates to the same row only the last one counts: the one whose number the row ends up with.
Out scatter_set_vjp(const VjpCall& c) {
    const Expr x = c.in(0), indices = c.in(1), updates = c.in(2);
    const int64_t k = indices.dims()[0], i32 = static_cast<int64_t>(DType::i32);
    const Expr order{c.g, {c.g->add(get_op("iota"), {}, {Dims{k}, int64_t{0}, i32}), 0}};
    const Expr owner = emit("scatter_set", {full(*c.g, 0, DType::i32, {x.dims()[0]}), indices, order});
    Dims column(updates.dims().size(), 1);
    column[0] = k;
    const Expr last = reshape(equal(emit("gather", {owner, indices}, {int64_t{0}}), order), column);
    return {emit("scatter_set", {c.dy(), indices, zeros_like(updates)}), Expr{},
            where(last, emit("gather", {c.dy(), indices}, {int64_t{0}}), 0.0)};
}

}  // namespace

std::vector<OpDef> indexing() {
    constexpr auto library = OpKind::library;
    return {
        OpDef{.name = "gather",
              .summary = "Slices of x along an axis at integer indices; negative ones count from the end.",
              .kind = library,
              .inputs = kXI,
              .attrs = kAxis,
              .infer = infer_gather,
              .vjp = [](const VjpCall& c) -> Out {
                  return {emit("scatter_add", {zeros_like(c.in(0)), c.in(1), c.dy()}, {c.node().int_attr("axis")}), Expr{}};
              },
              .checks_indices = true},
        OpDef{.name = "scatter_add",
              .summary = "x with updates added to its slices along an axis at integer indices.",
              .kind = library,
              .inputs = kXIU,
              .attrs = kAxis,
              .infer = infer_scatter_add,
              .vjp = [](const VjpCall& c) -> Out {
                  return {c.dy(), Expr{}, emit("gather", {c.dy(), c.in(1)}, {c.node().int_attr("axis")})};
              },
              .checks_indices = true},
        OpDef{.name = "scatter_set",
              .summary = "x with its rows at integer indices replaced; the last write wins.",
              .kind = library,
              .inputs = kXIU,
              .infer = infer_scatter_set,
              .vjp = scatter_set_vjp,
              .checks_indices = true},
        OpDef{.name = "take_along_axis",
              .summary = "Elements of x along an axis at indices of the same rank.",
              .kind = library,
              .inputs = kXI,
              .attrs = kAxis,
              .infer = infer_take_along,
              .vjp = [](const VjpCall& c) -> Out {
                  return {scatter_along(zeros_like(c.in(0)), c.in(1), c.dy(), c.node().int_attr("axis")), Expr{}};
              },
              .checks_indices = true},
        OpDef{.name = "scatter_add_along_axis",
              .summary = "x with updates added to its elements along an axis at indices of the same rank.",
              .kind = library,
              .inputs = kXIU,
              .attrs = kAxis,
              .infer = infer_scatter_along,
              .vjp = [](const VjpCall& c) -> Out {
                  return {c.dy(), Expr{}, emit("take_along_axis", {c.dy(), c.in(1)}, {c.node().int_attr("axis")})};
              },
              .checks_indices = true},
        OpDef{.name = "sort",
              .summary = "Sorts ascending along an axis.",
              .kind = library,
              .inputs = kX,
              .attrs = kAxis,
              .infer = infer_sort,
              .vjp = [](const VjpCall& c) -> Out {
                  const int64_t axis = c.node().int_attr("axis");
                  return {scatter_along(zeros_like(c.in(0)), emit("argsort", {c.in(0)}, {axis}), c.dy(), axis)};
              }},
        OpDef{.name = "argsort",
              .summary = "Indices that sort ascending along an axis, stable, int32.",
              .kind = library,
              .inputs = kX,
              .attrs = kAxis,
              .infer = infer_argsort,
              .differentiable = false},
        OpDef{.name = "first_of_equal",
              .summary = "For each index into an axis of so many rows, the int32 position of the first index of the same row.",
              .kind = library,
              .inputs = kI,
              .attrs = kRows,
              .infer = infer_first_of_equal,
              .differentiable = false},
        OpDef{.name = "top_k",
              .summary = "The k largest elements of the last axis, descending, and their int32 indices.",
              .kind = library,
              .inputs = kX,
              .attrs = kK,
              .infer = infer_top_k,
              .vjp = [](const VjpCall& c) -> Out {
                  if (!c.dys[0].valid()) return {Expr{}};
                  return {scatter_along(zeros_like(c.in(0)), c.out(1), c.dy(), -1)};
              }},
        OpDef{.name = "one_hot",
              .summary = "1 at the index, 0 elsewhere, along a new last axis; an index out of range gives zeros.",
              .inputs = kI,
              .attrs = kOneHot,
              .infer = [](const InferCall& c) -> Types {
                  infer::require_integer(c, 0);
                  TensorType t{c.dtype(1), c.in[0].dims};
                  if (c.integer(0) < 0) fail<UserError>("one_hot: depth is ", c.integer(0), "; expected >= 0");
                  t.dims.push_back(c.integer(0));
                  return {t};
              },
              .body = [](const OpCall& c) -> Out {
                  const Dims dims = c.out_type().dims;
                  Dims column = dims;
                  column.back() = 1;
                  const Expr i = broadcast_to(reshape(c.in(0), column), dims);
                  const Value at{c.g->add(get_op("iota"), {},
                                          {dims, static_cast<int64_t>(dims.size()) - 1, static_cast<int64_t>(i.dtype())}),
                                 0};
                  return {cast(equal(i, Expr{c.g, at}), c.out_type().dtype)};
              },
              .differentiable = false},
    };
}

}  // namespace fk::families
