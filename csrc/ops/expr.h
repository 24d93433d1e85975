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

// Named functions of one and two operands, as objects: declared by the name of their op.
struct UnaryFunction {
    std::string_view op;
    Expr operator()(Expr x) const { return emit(op, {x}); }
};
struct BinaryFunction {
    std::string_view op;
    Expr operator()(Expr a, Expr b) const { return emit(op, {a, b}); }
    Expr operator()(Expr a, double b) const { return emit(op, {a, lit(a, b)}); }
    Expr operator()(double a, Expr b) const { return emit(op, {lit(b, a), b}); }
};
inline constexpr UnaryFunction exp{"exp"}, log{"log"}, log1p{"log1p"}, expm1{"expm1"}, sqrt{"sqrt"}, rsqrt{"rsqrt"}, abs{"abs"},
    sign{"sign"}, tanh{"tanh"}, sigmoid{"sigmoid"}, square{"square"}, sin{"sin"}, cos{"cos"}, sinh{"sinh"}, cosh{"cosh"},
    erf{"erf"}, floor{"floor"}, reciprocal{"reciprocal"}, softplus{"softplus"};
inline constexpr BinaryFunction maximum{"maximum"}, minimum{"minimum"}, power{"power"}, equal{"equal"},
    logical_and{"logical_and"};

inline Expr operator+(Expr a, Expr b) { return emit("add", {a, b}); }
inline Expr operator+(Expr a, double b) { return emit("add", {a, lit(a, b)}); }
inline Expr operator+(double a, Expr b) { return emit("add", {lit(b, a), b}); }
inline Expr operator-(Expr a, Expr b) { return emit("subtract", {a, b}); }
inline Expr operator-(Expr a, double b) { return emit("subtract", {a, lit(a, b)}); }
inline Expr operator-(double a, Expr b) { return emit("subtract", {lit(b, a), b}); }
inline Expr operator*(Expr a, Expr b) { return emit("multiply", {a, b}); }
inline Expr operator*(Expr a, double b) { return emit("multiply", {a, lit(a, b)}); }
inline Expr operator*(double a, Expr b) { return emit("multiply", {lit(b, a), b}); }
inline Expr operator/(Expr a, Expr b) { return emit("divide", {a, b}); }
inline Expr operator/(Expr a, double b) { return emit("divide", {a, lit(a, b)}); }
inline Expr operator/(double a, Expr b) { return emit("divide", {lit(b, a), b}); }
inline Expr operator>(Expr a, Expr b) { return emit("greater", {a, b}); }
inline Expr operator>(Expr a, double b) { return emit("greater", {a, lit(a, b)}); }
inline Expr operator>(double a, Expr b) { return emit("greater", {lit(b, a), b}); }
inline Expr operator>=(Expr a, Expr b) { return emit("greater_equal", {a, b}); }
inline Expr operator>=(Expr a, double b) { return emit("greater_equal", {a, lit(a, b)}); }
inline Expr operator>=(double a, Expr b) { return emit("greater_equal", {lit(b, a), b}); }
inline Expr operator<(Expr a, Expr b) { return emit("less", {a, b}); }
inline Expr operator<(Expr a, double b) { return emit("less", {a, lit(a, b)}); }
inline Expr operator<(double a, Expr b) { return emit("less", {lit(b, a), b}); }
inline Expr operator<=(Expr a, Expr b) { return emit("less_equal", {a, b}); }
inline Expr operator<=(Expr a, double b) { return emit("less_equal", {a, lit(a, b)}); }
inline Expr operator<=(double a, Expr b) { return emit("less_equal", {lit(b, a), b}); }
inline Expr operator-(Expr x) { return emit("neg", {x}); }
inline Expr where(Expr c, Expr a, Expr b) { return emit("where", {c, a, b}); }
inline Expr where(Expr c, Expr a, double b) { return where(c, a, lit(a, b)); }
inline Expr where(Expr c, double a, Expr b) { return where(c, lit(b, a), b); }

}  // namespace fk
