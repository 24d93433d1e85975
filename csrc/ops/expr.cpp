// Recording with broadcasting and promotion, and the small vocabulary shared by bodies and gradients.
#include "ops/expr.h"

#include <algorithm>

namespace fk {

DType operand_type(const OpDef& op, DType common) {
    switch (op.promotion) {
        case Promotion::floating:
            return is_float(common) ? common : DType::f32;
        case Promotion::logical:
            return DType::boolean;
        case Promotion::integral:
            if (is_float(common))
                fail<UserError>(op.name, " got ", name(common), "; expected integers or booleans. Cast the operands first");
            return common;
        default:
            return common;
    }
}

uint32_t emit_node(Graph& g, const OpDef& op, std::vector<Value> inputs, Attrs attrs) {
    if (op.promotion == Promotion::none || op.promotion == Promotion::shape_only)
        return g.add(op, std::move(inputs), std::move(attrs));
    const size_t first = op.promotion == Promotion::select ? 1 : 0;
    Dims dims = g.type(inputs[0]).dims;
    DType common = g.type(inputs[first]).dtype;
    for (size_t i = 1; i < inputs.size(); ++i) {
        const TensorType& t = g.type(inputs[i]);
        if (t.dims != dims) dims = broadcast_dims(dims, t.dims);
        if (i > first) common = promote(common, t.dtype);
    }
    common = operand_type(op, common);
    for (size_t i = 0; i < inputs.size(); ++i) {
        Expr x{&g, inputs[i]};
        x = cast(x, i < first ? DType::boolean : common);
        inputs[i] = broadcast_to(x, dims).v;
    }
    return g.add(op, std::move(inputs), std::move(attrs));
}

Expr emit(std::string_view op, std::initializer_list<Expr> inputs, Attrs attrs) {
    return emit_all(op, inputs, std::move(attrs))[0];
}

std::vector<Expr> emit_all(std::string_view op, std::initializer_list<Expr> inputs, Attrs attrs) {
    check_internal(inputs.size() > 0, "emit without inputs");
    Graph& g = *inputs.begin()->g;
    std::vector<Value> values;
    for (const Expr& e : inputs) values.push_back(e.v);
    const uint32_t n = emit_node(g, get_op(op), std::move(values), std::move(attrs));
    std::vector<Expr> outs;
    for (uint32_t i = 0; i < g.node(n).types.size(); ++i) outs.push_back({&g, {n, i}});
    return outs;
}

Expr full(Graph& g, double value, DType dtype, Dims dims) {
    static const OpDef& op = get_op("full");
    return {&g, {g.add(op, {}, {value, std::move(dims), static_cast<int64_t>(dtype)}), 0}};
}

Expr lit(Expr like, double value) { return full(*like.g, value, like.dtype()); }
Expr zeros_like(Expr x) { return full(*x.g, 0.0, x.dtype(), x.dims()); }

Expr cast(Expr x, DType t) {
    if (x.dtype() == t) return x;
    static const OpDef& op = get_op("cast");
    return {x.g, {x.g->add(op, {x.v}, {static_cast<int64_t>(t)}), 0}};
}

Expr broadcast_to(Expr x, const Dims& dims) {
    if (x.dims() == dims) return x;
    static const OpDef& op = get_op("broadcast_to");
    return {x.g, {x.g->add(op, {x.v}, {dims}), 0}};
}

Expr reshape(Expr x, const Dims& dims) {
    if (x.dims() == dims) return x;
    static const OpDef& op = get_op("reshape");
    return {x.g, {x.g->add(op, {x.v}, {dims}), 0}};
}

Expr reduce_sum(Expr x, const Dims& axes, bool keepdims) {
    if (axes.empty()) return x;
    return emit("reduce_sum", {x}, {axes, static_cast<int64_t>(keepdims)});
}

Dims keepdims_shape(const Dims& dims, const Dims& axes) {
    Dims out = dims;
    for (int64_t a : axes) out[static_cast<size_t>(normalize_axis(a, static_cast<int>(dims.size())))] = 1;
    return out;
}

Dims all_but_last(int rank) {
    Dims axes;
    for (int i = 0; i + 1 < rank; ++i) axes.push_back(i);
    return axes;
}

Expr sum_to(Expr x, const Dims& dims) {
    if (x.dims() == dims) return x;
    const Dims from = x.dims();
    const size_t lead = from.size() - dims.size();
    Dims axes;
    for (size_t i = 0; i < from.size(); ++i)
        if (i < lead || (dims[i - lead] == 1 && from[i] != 1)) axes.push_back(static_cast<int64_t>(i));
    return reshape(reduce_sum(x, axes), dims);
}

}  // namespace fk
