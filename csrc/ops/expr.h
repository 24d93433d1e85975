// The expression language in which op bodies and gradients are written: `Expr` is a value of a graph with arithmetic on
// it. Elementwise functions broadcast and promote as NumPy does; a double literal takes the type of its partner.
#pragma once

#include <initializer_list>
#include <vector>

#include "core/errors.h"
#include "ops/op_def.h"

namespace fk {

struct Expr {
    Graph* g = nullptr;
    Value v;
    [[nodiscard]] const TensorType& type() const { return g->type(v); }
    [[nodiscard]] const Dims& dims() const { return type().dims; }
    [[nodiscard]] DType dtype() const { return type().dtype; }
    [[nodiscard]] int rank() const { return type().rank(); }
    [[nodiscard]] bool valid() const { return v.valid(); }
};

struct OpCall {
    Graph* g;
    std::span<const Value> inputs;
    const Node* node;  // the node being decomposed: attributes and output types
    [[nodiscard]] Expr in(size_t i) const { return {g, inputs[i]}; }
    [[nodiscard]] const TensorType& out_type(size_t i = 0) const { return node->types[i]; }
};

struct VjpCall {
    Graph* g;
    uint32_t index;         // the node being differentiated
    std::vector<Expr> dys;  // gradients of its outputs; invalid where an output is not used
    [[nodiscard]] const Node& node() const { return g->node(index); }
    [[nodiscard]] Expr in(size_t i) const { return {g, g->node(index).inputs[i]}; }
    [[nodiscard]] Expr out(size_t i = 0) const { return {g, {index, static_cast<uint32_t>(i)}}; }
    [[nodiscard]] Expr dy() const { return dys[0]; }
};

// Records any op; elementwise ones get their operands broadcast and promoted first.
[[nodiscard]] uint32_t emit_node(Graph& g, const OpDef& op, std::vector<Value> inputs, Attrs attrs = {});
[[nodiscard]] Expr emit(std::string_view op, std::initializer_list<Expr> inputs, Attrs attrs = {});
[[nodiscard]] std::vector<Expr> emit_all(std::string_view op, std::initializer_list<Expr> inputs, Attrs attrs = {});
// The type that elementwise operands of these types are brought to before `op` is recorded.
[[nodiscard]] DType operand_type(const OpDef& op, DType common);

[[nodiscard]] Expr full(Graph& g, double value, DType dtype, Dims dims = {});
[[nodiscard]] Expr lit(Expr like, double value);  // scalar of like's type
[[nodiscard]] Expr zeros_like(Expr x);
[[nodiscard]] Expr cast(Expr x, DType t);
[[nodiscard]] Expr broadcast_to(Expr x, const Dims& dims);
[[nodiscard]] Expr reshape(Expr x, const Dims& dims);
[[nodiscard]] Expr reduce_sum(Expr x, const Dims& axes, bool keepdims = false);
// Sums `x` down to `dims`, undoing a broadcast from there.
[[nodiscard]] Expr sum_to(Expr x, const Dims& dims);
[[nodiscard]] Dims keepdims_shape(const Dims& dims, const Dims& axes);
[[nodiscard]] Dims all_but_last(int rank);

inline Expr unary(std::string_view op, Expr x) { return emit(op, {x}); }
#define FK_EXPR1(fn) \
    inline Expr fn(Expr x) { return emit(#fn, {x}); }
FK_EXPR1(exp)
FK_EXPR1(log) FK_EXPR1(log1p) FK_EXPR1(expm1) FK_EXPR1(sqrt) FK_EXPR1(rsqrt) FK_EXPR1(abs) FK_EXPR1(sign) FK_EXPR1(tanh)
    FK_EXPR1(sigmoid) FK_EXPR1(square) FK_EXPR1(sin) FK_EXPR1(cos) FK_EXPR1(sinh) FK_EXPR1(cosh) FK_EXPR1(erf) FK_EXPR1(digamma)
        FK_EXPR1(floor) FK_EXPR1(reciprocal) FK_EXPR1(softplus)
#undef FK_EXPR1
#define FK_EXPR2(fn, op)                                                   \
    inline Expr fn(Expr a, Expr b) { return emit(#op, {a, b}); }           \
    inline Expr fn(Expr a, double b) { return emit(#op, {a, lit(a, b)}); } \
    inline Expr fn(double a, Expr b) { return emit(#op, {lit(b, a), b}); }
            FK_EXPR2(operator+, add) FK_EXPR2(operator-, subtract) FK_EXPR2(operator*, multiply) FK_EXPR2(operator/, divide)
                FK_EXPR2(maximum, maximum) FK_EXPR2(minimum, minimum) FK_EXPR2(power, power) FK_EXPR2(operator>, greater)
                    FK_EXPR2(operator>=, greater_equal) FK_EXPR2(operator<, less) FK_EXPR2(operator<=, less_equal)
                        FK_EXPR2(equal, equal) FK_EXPR2(logical_and, logical_and)
#undef FK_EXPR2
                            inline Expr
                            operator-(Expr x) {
    return emit("neg", {x});
}
inline Expr where(Expr c, Expr a, Expr b) { return emit("where", {c, a, b}); }
inline Expr where(Expr c, Expr a, double b) { return where(c, a, lit(a, b)); }
inline Expr where(Expr c, double a, Expr b) { return where(c, lit(b, a), b); }

}  // namespace fk
