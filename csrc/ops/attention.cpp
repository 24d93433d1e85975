// Scaled dot-product attention (arXiv:1706.03762) as one op, so that a device may keep the scores out of memory. Its gradient
// computes the weights again.
#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kInputs[] = {"query", "key", "value", "mask", "seed"};
constexpr std::string_view kGradInputs[] = {"query", "key", "value", "mask", "seed", "statistics", "dy"};
const AttrDef kAttrs[] = {{"scale", AttrType::floating},
                          {"causal", AttrType::boolean, Attr{int64_t{0}}},
                          {"rate", AttrType::floating, Attr{0.0}},
                          {"blank_zero", AttrType::boolean, Attr{int64_t{0}}}};

// What hidden logits are set to: adding to it does not overflow.
constexpr double kHidden = -0.7 * 3.4028234663852886e38;

DType wide(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

struct Sizes {
    int64_t batch, targets, sources, heads, groups, shared, depth, value_depth;  // heads = groups * shared
};
Sizes sizes_of(const TensorType& q, const TensorType& k, const TensorType& v) {
    return {q.dims[0], q.dims[1], k.dims[1], q.dims[2], k.dims[2], q.dims[2] / k.dims[2], q.dims[3], v.dims[3]};
}

TensorType checked_output(const InferCall& c) {
    for (size_t i = 0; i < 3; ++i) infer::require_rank(c, i, 4);
    infer::require_float(c, 0);
    const TensorType &q = c.in[0], &k = c.in[1], &v = c.in[2], &mask = c.in[3];
    const bool fits = k.dims[0] == q.dims[0] && k.dims[3] == q.dims[3] && k.dims[2] > 0 && q.dims[2] % k.dims[2] == 0 &&
                      Dims(v.dims.begin(), v.dims.end() - 1) == Dims(k.dims.begin(), k.dims.end() - 1);
    if (!fits || k.dtype != q.dtype || v.dtype != q.dtype)
        fail<UserError>(c.op.name, ": query ", to_string(q), ", key ", to_string(k), " and value ", to_string(v),
                        " do not fit together; expected (batch, T, heads, depth), (batch, S, key heads, depth) and "
                        "(batch, S, key heads, value depth) of one type, with heads a multiple of key heads");
    const Dims scores{q.dims[0], q.dims[2], q.dims[1], k.dims[1]};
    bool broadcasts = mask.dtype == DType::boolean && mask.rank() == 4;
    for (size_t i = 0; broadcasts && i < 4; ++i) broadcasts = mask.dims[i] == 1 || mask.dims[i] == scores[i];
    if (!broadcasts)
        fail<UserError>(c.op.name, ": the mask is ", to_string(mask), "; expected bool, with each dimension 1 or that of ",
                        to_string(scores));
    infer::require_type(c, 4, {DType::u32, {2}});
    if (const double rate = c.real(2); !(rate >= 0.0 && rate < 1.0))
        fail<UserError>(c.op.name, ": rate is ", rate, "; expected 0 <= rate < 1");
    return {q.dtype, {q.dims[0], q.dims[1], q.dims[2], v.dims[3]}};
}

TensorType statistics_type(const TensorType& q) { return {wide(q.dtype), {q.dims[0], q.dims[2], q.dims[1], 2}}; }

Types infer_attention(const InferCall& c) { return {checked_output(c), statistics_type(c.in[0])}; }

Types infer_grad(const InferCall& c) {
    infer::require_type(c, 6, checked_output(c));
    infer::require_type(c, 5, statistics_type(c.in[0]));
    return {c.in[0], c.in[1], c.in[2]};
}

Expr matmul(Expr a, Expr b, bool ta, bool tb) {
    return emit("matmul", {a, b}, {static_cast<int64_t>(ta), static_cast<int64_t>(tb)});
}
Expr transpose(Expr x, Dims perm) { return emit("transpose", {x}, {std::move(perm)}); }

// (batch, T, heads, n) <-> (batch, groups, shared * T, n): heads that share a key are further rows of its product.
Expr grouped(Expr x, const Sizes& s) {
    const int64_t n = x.dims()[3], rows = x.dims()[1];
    const Expr split = reshape(x, {s.batch, rows, s.groups, x.dims()[2] / s.groups, n});
    return reshape(transpose(split, {0, 2, 3, 1, 4}), {s.batch, s.groups, x.dims()[2] / s.groups * rows, n});
}
Expr ungrouped(Expr x, const Sizes& s, int64_t rows, int64_t heads) {
    const int64_t n = x.dims()[3];
    const Expr split = reshape(x, {s.batch, s.groups, heads / s.groups, rows, n});
    return reshape(transpose(split, {0, 3, 1, 2, 4}), {s.batch, rows, heads, n});
}

struct Weights {
    Expr q, k, v;       // grouped
    Expr visible;       // of the scores' shape (batch, heads, T, S); invalid: all are
    Expr p;             // softmax, of that shape, wide
    Expr max, inverse;  // of its logits, and one over the sum of exponentials: (batch, heads, T, 1)
};

Weights weights_of(const OpCall& c, const Sizes& s) {
    Weights w{grouped(c.in(0), s), grouped(c.in(1), s), grouped(c.in(2), s), {}, {}, {}, {}};
    const Dims scores{s.batch, s.heads, s.targets, s.sources};
    Graph& g = *c.g;
    Expr logits = reshape(matmul(w.q, w.k, false, true), scores);
    logits = cast(logits, wide(logits.dtype())) * c.node->float_attr("scale");
    const Node& mask = g.node(c.in(3).v);
    if (!mask.is("full") || mask.float_attr("value") == 0.0) w.visible = broadcast_to(c.in(3), scores);
    if (c.node->bool_attr("causal")) {
        const auto iota = [&](int64_t axis) {
            return Expr{&g, {emit_node(g, get_op("iota"), {}, {scores, axis, static_cast<int64_t>(DType::i32)}), 0}};
        };
        const Expr past = iota(3) <= iota(2);
        w.visible = w.visible.valid() ? logical_and(w.visible, past) : past;
    }
    if (w.visible.valid()) logits = where(w.visible, logits, kHidden);
    w.max = emit("reduce_max", {logits}, {Dims{3}, int64_t{1}});
    const Expr e = exp(logits - w.max);
    w.inverse = 1.0 / reduce_sum(e, {3}, true);
    if (c.node->bool_attr("blank_zero")) w.inverse = where(w.max <= kHidden, 0.0, w.inverse);
    w.p = e * w.inverse;
    return w;
}

Expr dropped(const OpCall& c, Expr x) {
    const double rate = c.node->float_attr("rate");
    return rate > 0.0 ? emit("dropout", {x, c.in(4)}, {rate}) : x;
}

Out attention_body(const OpCall& c) {
    const Sizes s = sizes_of(c.in(0).type(), c.in(1).type(), c.in(2).type());
    const Weights w = weights_of(c, s);
    const Expr kept = reshape(cast(dropped(c, w.p), w.v.dtype()), {s.batch, s.groups, s.shared * s.targets, s.sources});
    return {ungrouped(matmul(kept, w.v, false, false), s, s.targets, s.heads),
            emit("concatenate", {w.max, w.inverse}, {int64_t{3}})};
}

// With P = softmax(logits), M the dropout and O = (M P) V: dV = (M P)^T dO, dP = M (dO V^T),
// dlogits = P (dP - sum(P dP)), dQ = scale dlogits K, dK = scale dlogits^T Q.
Out attention_grad_body(const OpCall& c) {
    const Sizes s = sizes_of(c.in(0).type(), c.in(1).type(), c.in(2).type());
    const Weights w = weights_of(c, s);
    const Dims scores = w.p.dims(), rows{s.batch, s.groups, s.shared * s.targets, s.sources};
    const DType t = w.v.dtype();
    const Expr dy = grouped(c.in(6), s);
    const Expr kept = reshape(cast(dropped(c, w.p), t), rows);
    const Expr dp = dropped(c, cast(reshape(matmul(dy, w.v, false, true), scores), w.p.dtype()));
    Expr ds = w.p * (dp - broadcast_to(reduce_sum(w.p * dp, {3}, true), scores));
    if (w.visible.valid()) ds = where(w.visible, ds, 0.0);
    ds = reshape(cast(ds * c.node->float_attr("scale"), t), rows);
    return {ungrouped(matmul(ds, w.k, false, false), s, s.targets, s.heads),
            ungrouped(matmul(ds, w.q, true, false), s, s.sources, s.groups),
            ungrouped(matmul(kept, dy, true, false), s, s.sources, s.groups)};
}

Out attention_vjp(const VjpCall& c) {
    check_internal(!c.dys[1].valid(), "attention's statistics are for its own gradient only");
    const Node& n = c.node();
    Attrs attrs(n.attrs.begin(), n.attrs.end());
    Out grads = emit_all("attention_grad", {c.in(0), c.in(1), c.in(2), c.in(3), c.in(4), c.out(1), c.dy()}, std::move(attrs));
    grads.resize(5);
    return grads;
}

}  // namespace

std::vector<OpDef> attention() {
    return {
        OpDef{.name = "attention",
              .summary =
                  "softmax(query key^T * scale) value per head, hidden positions apart, the weights with dropout; also the "
                  "largest logit and one over the sum of exponentials of each row.",
              .inputs = kInputs,
              .attrs = kAttrs,
              .infer = infer_attention,
              .body = attention_body,
              .vjp = attention_vjp},
        OpDef{.name = "attention_grad",
              .summary = "Gradients of attention's first output: of query, key and value.",
              .inputs = kGradInputs,
              .attrs = kAttrs,
              .infer = infer_grad,
              .body = attention_grad_body},
    };
}

}  // namespace fk::families
