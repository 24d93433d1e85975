// Algebraic simplification: constants fold, identities vanish, moves merge, transposes disappear into matmul.
// One function per op family; `simplify_node` dispatches. Only rules that keep every IEEE result (or improve it) apply.
#include <algorithm>
#include <cmath>
#include <optional>

#include "ops/expr.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/simplify_windows.h"

namespace fk {
namespace {

using Result = std::optional<std::vector<Value>>;

Result one(Value v) { return std::vector<Value>{v}; }

struct Ops {
    const OpDef &full = get_op("full"), &broadcast = get_op("broadcast_to"), &reshape = get_op("reshape"),
                &transpose = get_op("transpose"), &slice = get_op("slice"), &pad = get_op("pad"), &matmul = get_op("matmul"),
                &stop_gradient = get_op("stop_gradient"), &concatenate = get_op("concatenate"), &reverse = get_op("reverse"),
                &cast = get_op("cast");
    static const Ops& get() {
        static const Ops ops;
        return ops;
    }
};

std::optional<double> constant(const Graph& g, Value v) {
    const Node& n = g.node(v);
    if (n.op == &Ops::get().full) return std::get<double>(n.attrs[0]);
    return std::nullopt;
}

Value constant_like(Graph& g, double value, const TensorType& t) { return full(g, value, t.dtype, t.dims).v; }

// The value as it is stored in `t`: integers wrap, float32 rounds. 16-bit floats are left to the kernels.
std::optional<double> stored(double v, DType t) {
    if (t == DType::f64) return v;
    if (t == DType::f32) return static_cast<double>(static_cast<float>(v));
    if (t == DType::boolean) return v != 0 ? 1.0 : 0.0;
    if (!is_float(t) && std::isfinite(v) && v == std::floor(v) && std::fabs(v) < 0x1p31 && (v >= 0 || is_signed_int(t))) {
        const int bits = static_cast<int>(size_of(t)) * 8 - (is_signed_int(t) ? 1 : 0);
        if (std::fabs(v) < std::ldexp(1.0, bits)) return v;
    }
    return std::nullopt;
}

Result fold_prim(Graph& g, const Node& n, std::span<const Value> in) {
    double x[3] = {0, 0, 0};
    for (size_t i = 0; i < in.size(); ++i) {
        const auto c = constant(g, in[i]);
        if (!c) return std::nullopt;
        x[i] = *c;
    }
    double y = host_eval(n.op->prim, x[0], x[1], x[2]);
    const DType t = n.types[0].dtype;
    if (n.op->prim == Prim::cast && !is_float(t) && t != DType::boolean) y = std::trunc(x[0]);
    if (n.op->prim == Prim::bitwise_not && t == DType::boolean) y = x[0] == 0;
    const auto kept = stored(y, n.types[0].dtype);
    if (!kept) return std::nullopt;
    return one(constant_like(g, *kept, n.types[0]));
}

Result simplify_prim(Graph& g, const Node& n, std::span<const Value> in) {
    if (Result folded = fold_prim(g, n, in)) return folded;
    const bool floating = is_float(n.types[0].dtype);
    auto is = [&](size_t i, double v) {
        const auto c = constant(g, in[i]);
        return c && *c == v && !(v == 0 && std::signbit(*c));
    };
    switch (n.op->prim) {
        case Prim::add:  // x + 0 only changes -0.0
            if (is(1, 0)) return one(in[0]);
            if (is(0, 0)) return one(in[1]);
            break;
        case Prim::subtract:
            if (is(1, 0)) return one(in[0]);
            break;
        case Prim::multiply:
            if (is(1, 1)) return one(in[0]);
            if (is(0, 1)) return one(in[1]);
            if (!floating && (is(0, 0) || is(1, 0))) return one(constant_like(g, 0, n.types[0]));
            break;
        case Prim::divide:
            if (is(1, 1)) return one(in[0]);
            if (const auto c = constant(g, in[1]); c && floating) {  // exact for powers of two
                int exponent = 0;
                if (std::isnormal(*c) && std::frexp(*c, &exponent) == std::copysign(0.5, *c) && std::abs(exponent) < 100)
                    return one({g.add(get_op("multiply"), {in[0], constant_like(g, 1.0 / *c, n.types[0])}), 0});
            }
            break;
        case Prim::power:
            if (is(1, 1)) return one(in[0]);
            if (is(1, 2)) return one({g.add(get_op("multiply"), {in[0], in[0]}), 0});
            if (is(1, 0.5) && floating) return one({g.add(get_op("sqrt"), {in[0]}), 0});
            break;
        case Prim::neg:
            if (g.node(in[0]).op->prim == Prim::neg) return one(g.node(in[0]).inputs[0]);
            break;
        case Prim::where:
            if (const auto c = constant(g, in[0])) return one(*c != 0 ? in[1] : in[2]);
            if (in[1] == in[2]) return one(in[1]);
            return simplify_windows(g, n, in);
        case Prim::cast:
            if (g.type(in[0]).dtype == n.types[0].dtype) return one(in[0]);
            break;
        default:
            break;
    }
    return std::nullopt;
}

bool is_iota(const Dims& perm) {
    for (size_t i = 0; i < perm.size(); ++i)
        if (perm[i] != static_cast<int64_t>(i)) return false;
    return true;
}

Result simplify_move(Graph& g, const Node& n, std::span<const Value> in) {
    const Ops& ops = Ops::get();
    if (n.op == &ops.stop_gradient) return one(in[0]);
    if (in.empty()) return std::nullopt;
    const Value x = in[0];
    const Node& producer = g.node(x);
    const TensorType& xt = g.type(x);
    if (n.op == &ops.broadcast || n.op == &ops.reshape) {
        if (xt.dims == n.types[0].dims) return one(x);
        if (const auto c = constant(g, x)) return one(constant_like(g, *c, n.types[0]));
        if (producer.op == n.op) {
            if (g.type(producer.inputs[0]).dims == n.types[0].dims) return one(producer.inputs[0]);
            return one({g.add(*n.op, {producer.inputs[0]}, {n.types[0].dims}), 0});
        }
        if (n.op == &ops.broadcast && xt.size() == n.types[0].size()) return one({g.add(ops.reshape, {x}, {n.types[0].dims}), 0});
    }
    if (n.op == &ops.transpose) {
        const Dims& perm = std::get<Dims>(n.attrs[0]);
        if (is_iota(perm)) return one(x);
        if (const auto c = constant(g, x)) return one(constant_like(g, *c, n.types[0]));
        if (producer.op == n.op) {
            const Dims& inner = std::get<Dims>(producer.attrs[0]);
            Dims both(perm.size());
            for (size_t i = 0; i < perm.size(); ++i) both[i] = inner[static_cast<size_t>(perm[i])];
            if (is_iota(both)) return one(producer.inputs[0]);
            return one({g.add(ops.transpose, {producer.inputs[0]}, {both}), 0});
        }
        // Moving only dimensions of size 1 is a reshape.
        Dims kept;
        for (int64_t p : perm)
            if (xt.dims[static_cast<size_t>(p)] != 1) kept.push_back(p);
        if (std::ranges::is_sorted(kept)) return one({g.add(ops.reshape, {x}, {n.types[0].dims}), 0});
    }
    if (n.op == &ops.slice || n.op == &ops.pad) {
        if (xt.dims == n.types[0].dims) return one(x);
        if (const auto c = constant(g, x); c && n.op == &ops.slice) return one(constant_like(g, *c, n.types[0]));
    }
    if (n.op == &ops.concatenate && in.size() == 1) return one(x);
    if (n.op == &ops.reverse && std::get<Dims>(n.attrs[0]).empty()) return one(x);
    return std::nullopt;
}

Result simplify_reduction(Graph& g, const Node& n, std::span<const Value> in) {
    int64_t count = 1;
    const TensorType xt = g.type(in[0]);
    for (int64_t a : std::get<Dims>(n.attrs[0])) count *= xt.dims[static_cast<size_t>(normalize_axis(a, xt.rank()))];
    if (count == 0) {  // the sum of nothing is 0, the product 1; inference refuses the others
        const double y = n.is("reduce_prod") ? 1.0 : 0.0;
        return one(constant_like(g, y, n.types[0]));
    }
    if (count == 1 && xt.dims == n.types[0].dims) return one(in[0]);
    if (count == 1) return one({g.add(Ops::get().reshape, {in[0]}, {n.types[0].dims}), 0});
    if (Result kept = simplify_windows(g, n, in)) return kept;
    if (const auto c = constant(g, in[0]); c && count > 0) {
        const std::string_view op = n.op->name;
        const double y = op == "reduce_sum"    ? *c * static_cast<double>(count)
                         : op == "reduce_prod" ? std::pow(*c, static_cast<double>(count))
                                               : *c;
        if (const auto kept = stored(y, n.types[0].dtype)) return one(constant_like(g, *kept, n.types[0]));
    }
    return std::nullopt;
}

// matmul reads a transposed operand through its flag.
Result simplify_matmul(Graph& g, const Node& n, std::span<const Value> in) {
    Value operand[2] = {in[0], in[1]};
    int64_t flag[2] = {n.int_attr("transpose_a"), n.int_attr("transpose_b")};
    bool changed = false;
    for (int i = 0; i < 2; ++i) {
        const Node& p = g.node(operand[i]);
        if (p.op != &Ops::get().transpose) continue;
        Dims perm = std::get<Dims>(p.attrs[0]);
        std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
        if (!is_iota(perm)) continue;
        operand[i] = p.inputs[0];
        flag[i] ^= 1;
        changed = true;
    }
    if (!changed) return std::nullopt;
    return one({g.add(*n.op, {operand[0], operand[1]}, {flag[0], flag[1]}), 0});
}

Result simplify_node(Graph& g, const Node& n, std::span<const Value> in) {
    if (n.region) return std::nullopt;
    if (n.op->kind == OpKind::prim) return simplify_prim(g, n, in);
    if (n.op == &Ops::get().matmul) return simplify_matmul(g, n, in);
    if (n.op->name.starts_with("reduce_")) return simplify_reduction(g, n, in);
    if (n.op->kind == OpKind::structural) {
        if (Result moved = simplify_move(g, n, in)) return moved;
    }
    return simplify_windows(g, n, in);
}

}  // namespace

Graph simplify(const Graph& g) { return rewrite(g, simplify_node); }

}  // namespace fk
