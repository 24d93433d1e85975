// Ops that make, move or rearrange elements without computing on them.
#include <algorithm>

#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kX[] = {"x"};
constexpr std::string_view kXs[] = {"xs"};
const AttrDef kParameterAttrs[] = {{"index", AttrType::integer}};
const AttrDef kFullAttrs[] = {{"value", AttrType::floating}, {"shape", AttrType::dims}, {"dtype", AttrType::dtype}};
const AttrDef kIotaAttrs[] = {{"shape", AttrType::dims}, {"axis", AttrType::integer}, {"dtype", AttrType::dtype}};
const AttrDef kShape[] = {{"shape", AttrType::dims}};
const AttrDef kPerm[] = {{"perm", AttrType::dims}};
const AttrDef kSliceAttrs[] = {{"start", AttrType::dims}, {"stop", AttrType::dims}, {"step", AttrType::dims}};
const AttrDef kPadAttrs[] = {{"low", AttrType::dims},
                             {"high", AttrType::dims},
                             {"interior", AttrType::dims, Attr{Dims{}}},
                             {"value", AttrType::floating, Attr{0.0}}};
const AttrDef kAxis[] = {{"axis", AttrType::integer}};
const AttrDef kAxes[] = {{"axes", AttrType::dims}};

void check_sizes(const InferCall& c, const Dims& dims) {
    for (int64_t d : dims)
        if (d < 0) fail<UserError>(c.op.name, " got shape ", to_string(dims), "; expected dimensions >= 0");
}

Types infer_broadcast(const InferCall& c) {
    check_sizes(c, c.dims(0));
    if (broadcast_dims(c.in[0].dims, c.dims(0)) != c.dims(0))
        fail<UserError>("broadcast_to: shape ", to_string(c.in[0].dims), " does not broadcast to ", to_string(c.dims(0)));
    return {{c.in[0].dtype, c.dims(0)}};
}

Types infer_reshape(const InferCall& c) {
    Dims dims = c.dims(0);
    int64_t known = 1, hole = -1;
    for (size_t i = 0; i < dims.size(); ++i) {
        if (dims[i] == -1 && hole < 0)
            hole = static_cast<int64_t>(i);
        else
            known *= dims[i];
    }
    const int64_t size = c.in[0].size();
    if (hole >= 0 && known > 0 && size % known == 0) dims[static_cast<size_t>(hole)] = size / known;
    if (product(dims) != size || std::ranges::any_of(dims, [](int64_t d) { return d < 0; }))
        fail<UserError>("reshape: a tensor of shape ", to_string(c.in[0].dims), " has ", size,
                        " elements, which do not fit shape ", to_string(c.dims(0)));
    return {{c.in[0].dtype, dims}};
}

Types infer_transpose(const InferCall& c) {
    const TensorType& x = c.in[0];
    const Dims& perm = c.dims(0);
    std::vector<bool> seen(x.dims.size(), false);
    TensorType t{x.dtype, {}};
    for (int64_t p : perm) {
        if (p < 0 || p >= x.rank() || seen[static_cast<size_t>(p)])
            fail<UserError>("transpose: axes ", to_string(perm), " are not a permutation of the ", x.rank(), " axes of shape ",
                            to_string(x.dims));
        seen[static_cast<size_t>(p)] = true;
        t.dims.push_back(x.dims[static_cast<size_t>(p)]);
    }
    if (t.rank() != x.rank())
        fail<UserError>("transpose: got ", perm.size(), " axes for a tensor of rank ", x.rank(), "; expected one each");
    return {t};
}

Types infer_slice(const InferCall& c) {
    const TensorType& x = c.in[0];
    TensorType t{x.dtype, {}};
    for (size_t a = 0; a < 3; ++a)
        if (c.dims(a).size() != x.dims.size())
            fail<UserError>("slice: ", c.op.attrs[a].name, " has ", c.dims(a).size(), " entries for shape ", to_string(x.dims));
    for (size_t i = 0; i < x.dims.size(); ++i) {
        const int64_t start = c.dims(0)[i], stop = c.dims(1)[i], step = c.dims(2)[i];
        if (start < 0 || stop < start || stop > x.dims[i] || step < 1)
            fail<UserError>("slice: [", start, ":", stop, ":", step, "] is outside dimension ", i, " of shape ",
                            to_string(x.dims));
        t.dims.push_back((stop - start + step - 1) / step);
    }
    return {t};
}

Dims interior_of(const Attrs& attrs, size_t rank) {
    const Dims& interior = std::get<Dims>(attrs[2]);
    return interior.empty() ? Dims(rank, 0) : interior;
}

Types infer_pad(const InferCall& c) {
    const TensorType& x = c.in[0];
    const Dims interior = interior_of(c.attrs, x.dims.size());
    if (c.dims(0).size() != x.dims.size() || c.dims(1).size() != x.dims.size() || interior.size() != x.dims.size())
        fail<UserError>("pad: low ", to_string(c.dims(0)), " and high ", to_string(c.dims(1)),
                        " need one entry per dimension of shape ", to_string(x.dims));
    TensorType t{x.dtype, {}};
    for (size_t i = 0; i < x.dims.size(); ++i) {
        if (c.dims(0)[i] < 0 || c.dims(1)[i] < 0 || interior[i] < 0)
            fail<UserError>("pad: got a negative amount in low ", to_string(c.dims(0)), ", high ", to_string(c.dims(1)));
        t.dims.push_back(c.dims(0)[i] + x.dims[i] + std::max<int64_t>(x.dims[i] - 1, 0) * interior[i] + c.dims(1)[i]);
    }
    return {t};
}

Out pad_vjp(const VjpCall& c) {
    const Dims dims = c.in(0).dims();
    const Attrs& attrs = c.node().attrs;
    const Dims low = std::get<Dims>(attrs[0]), interior = interior_of(attrs, dims.size());
    Dims start = low, stop(dims.size()), step(dims.size());
    for (size_t i = 0; i < dims.size(); ++i) {
        step[i] = interior[i] + 1;
        stop[i] = low[i] + (dims[i] == 0 ? 0 : (dims[i] - 1) * step[i] + 1);
    }
    return {emit("slice", {c.dy()}, {start, stop, step})};
}

Out slice_vjp(const VjpCall& c) {
    const Dims dims = c.in(0).dims(), out = c.out().dims();
    const Dims start = c.node().dims_attr("start"), step = c.node().dims_attr("step");
    Dims high(dims.size()), interior(dims.size());
    for (size_t i = 0; i < dims.size(); ++i) {
        interior[i] = step[i] - 1;
        high[i] = out[i] == 0 ? dims[i] - start[i] : dims[i] - start[i] - ((out[i] - 1) * step[i] + 1);
    }
    return {emit("pad", {c.dy()}, {start, high, interior, 0.0})};
}

Types infer_concatenate(const InferCall& c) {
    TensorType t = c.in[0];
    const auto axis = static_cast<size_t>(normalize_axis(c.integer(0), t.rank()));
    for (size_t k = 1; k < c.in.size(); ++k) {
        const TensorType& x = c.in[k];
        bool fits = x.rank() == t.rank();
        for (size_t i = 0; fits && i < t.dims.size(); ++i) fits = i == axis || x.dims[i] == t.dims[i];
        if (!fits)
            fail<UserError>("concatenate along axis ", axis, ": input ", k, " has shape ", to_string(x.dims), " against ",
                            to_string(c.in[0].dims), "; all other dimensions must be equal");
        if (x.dtype != t.dtype)
            fail<UserError>("concatenate: input ", k, " has dtype ", name(x.dtype), " against ", name(t.dtype),
                            "; cast them to one dtype");
        t.dims[axis] += x.dims[axis];
    }
    return {t};
}

Out concatenate_vjp(const VjpCall& c) {
    const Dims out = c.out().dims();
    const auto axis = static_cast<size_t>(normalize_axis(c.node().int_attr("axis"), static_cast<int>(out.size())));
    Out grads;
    int64_t at = 0;
    for (size_t k = 0, n = c.node().inputs.size(); k < n; ++k) {
        const int64_t width = c.in(k).dims()[axis];
        Dims start(out.size(), 0), stop = out;
        start[axis] = at;
        stop[axis] = at += width;
        grads.push_back(emit("slice", {c.dy()}, {start, stop, Dims(out.size(), 1)}));
    }
    return grads;
}

Types infer_reverse(const InferCall& c) {
    for (int64_t a : c.dims(0)) (void)normalize_axis(a, c.in[0].rank());
    return {c.in[0]};
}

Out transpose_vjp(const VjpCall& c) {
    const Dims perm = c.node().dims_attr("perm");
    Dims inverse(perm.size());
    for (size_t i = 0; i < perm.size(); ++i) inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
    return {emit("transpose", {c.dy()}, {inverse})};
}

}  // namespace

std::vector<OpDef> structure() {
    constexpr auto kind = OpKind::structural;
    return {
        OpDef{.name = "parameter",
              .summary = "An input of the graph.",
              .kind = kind,
              .attrs = kParameterAttrs,
              .differentiable = false},
        OpDef{.name = "fused",
              .summary = "A loop region made by the fuse pass.",
              .kind = OpKind::library,
              .variadic = true,
              .differentiable = false},
        OpDef{.name = "full",
              .summary = "A tensor of one value.",
              .kind = kind,
              .attrs = kFullAttrs,
              .infer = [](const InferCall& c) -> Types {
                  check_sizes(c, c.dims(1));
                  return {{c.dtype(2), c.dims(1)}};
              },
              .differentiable = false},
        OpDef{.name = "iota",
              .summary = "The index along one axis.",
              .kind = kind,
              .attrs = kIotaAttrs,
              .infer = [](const InferCall& c) -> Types {
                  check_sizes(c, c.dims(0));
                  (void)normalize_axis(c.integer(1), static_cast<int>(c.dims(0).size()));
                  return {{c.dtype(2), c.dims(0)}};
              },
              .differentiable = false},
        OpDef{.name = "stop_gradient",
              .summary = "The identity, through which no gradient flows.",
              .kind = kind,
              .inputs = kX,
              .infer = infer::same_as_input,
              .body = [](const OpCall& c) -> std::vector<Expr> { return {c.in(0)}; },
              .differentiable = false},
        OpDef{.name = "broadcast_to",
              .summary = "Repeats x along new leading and size-1 dimensions.",
              .kind = kind,
              .inputs = kX,
              .attrs = kShape,
              .infer = infer_broadcast,
              .vjp = [](const VjpCall& c) -> Out { return {sum_to(c.dy(), Dims(c.in(0).dims()))}; }},
        OpDef{.name = "reshape",
              .summary = "The same elements in row-major order under another shape; one dimension may be -1.",
              .kind = kind,
              .inputs = kX,
              .attrs = kShape,
              .infer = infer_reshape,
              .vjp = [](const VjpCall& c) -> Out { return {reshape(c.dy(), Dims(c.in(0).dims()))}; }},
        OpDef{.name = "transpose",
              .summary = "Permutes dimensions.",
              .kind = kind,
              .inputs = kX,
              .attrs = kPerm,
              .infer = infer_transpose,
              .vjp = transpose_vjp},
        OpDef{.name = "slice",
              .summary = "A strided box of x.",
              .kind = kind,
              .inputs = kX,
              .attrs = kSliceAttrs,
              .infer = infer_slice,
              .vjp = slice_vjp},
        OpDef{.name = "pad",
              .summary = "Surrounds x with a constant; interior inserts it between elements too.",
              .kind = kind,
              .inputs = kX,
              .attrs = kPadAttrs,
              .infer = infer_pad,
              .vjp = pad_vjp},
        OpDef{.name = "concatenate",
              .summary = "Joins tensors along an axis.",
              .kind = kind,
              .inputs = kXs,
              .variadic = true,
              .attrs = kAxis,
              .infer = infer_concatenate,
              .vjp = concatenate_vjp},
        OpDef{.name = "reverse",
              .summary = "Reverses the order along axes.",
              .kind = kind,
              .inputs = kX,
              .attrs = kAxes,
              .infer = infer_reverse,
              .vjp = [](const VjpCall& c) -> Out { return {emit("reverse", {c.dy()}, {Dims(c.node().dims_attr("axes"))})}; }},
    };
}

}  // namespace fk::families
