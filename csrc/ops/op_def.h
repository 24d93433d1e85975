// How an op is declared: once, as data. Everything else (Python function, shape inference, gradient, decomposition,
// fusion, tests) reads this declaration. Start at `OpDef`; ops/expr.h holds the expression language of bodies and vjps.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ops/prims.h"

namespace fk {

enum class OpKind : uint8_t {
    prim,        // a scalar function of ir/prims.def, applied to each element
    structural,  // moves, reduces or makes elements: broadcast, reshape, reduce_sum, gather ...
    library,     // no useful expansion: matmul, conv, sort ... needs an implementation on each device
    composite    // `body` writes it in other ops; stays one node until `decompose`
};

// What happens to operand types before an elementwise op is recorded (after broadcasting).
enum class Promotion : uint8_t {
    none,        // not elementwise: operands are taken as they are
    same,        // common type
    floating,    // common type, integers become float32
    comparison,  // common type in, bool out
    logical,     // bool in, bool out
    integral,    // common integer type (bool allowed)
    select,      // first operand bool, the others a common type
    shape_only   // one operand, any type, output type from `infer`
};

enum class AttrType : uint8_t { integer, floating, boolean, text, dims, dtype, bodies };
struct AttrDef {
    std::string_view name;
    AttrType type;
    std::optional<Attr> fallback = std::nullopt;  // no value: required
};

struct InferCall {
    const OpDef& op;
    std::span<const TensorType> in;
    const Attrs& attrs;
    [[nodiscard]] int64_t integer(size_t i) const { return std::get<int64_t>(attrs[i]); }
    [[nodiscard]] double real(size_t i) const { return std::get<double>(attrs[i]); }
    [[nodiscard]] const Dims& dims(size_t i) const { return std::get<Dims>(attrs[i]); }
    [[nodiscard]] const Bodies& bodies(size_t i) const { return std::get<Bodies>(attrs[i]); }
    [[nodiscard]] DType dtype(size_t i) const { return static_cast<DType>(integer(i)); }
};

struct Expr;  // ops/expr.h
struct OpCall;
struct VjpCall;
using InferFn = std::vector<TensorType> (*)(const InferCall&);
using BodyFn = std::vector<Expr> (*)(const OpCall&);
// Gradients of the inputs, in order; an Expr with an invalid value means "no gradient".
using VjpFn = std::vector<Expr> (*)(const VjpCall&);

struct OpDef {
    std::string_view name;
    std::string_view summary;
    OpKind kind = OpKind::composite;
    std::span<const std::string_view> inputs = {};
    bool variadic = false;  // the last input may repeat
    std::span<const AttrDef> attrs = {};
    Promotion promotion = Promotion::none;
    InferFn infer = nullptr;
    BodyFn body = nullptr;
    VjpFn vjp = nullptr;          // null: differentiate the body; no body either: no gradient
    Prim prim = Prim::none;       // kind == prim only
    bool checks_indices = false;  // its kernels may fail at run time: an index outside the data, an interrupted loop
    bool differentiable = true;   // false: gradient stops here (comparisons, argmax, random bits ...)

    [[nodiscard]] int attr_index(std::string_view attr) const;  // -1 when absent
    [[nodiscard]] bool is_control() const { return !attrs.empty() && attrs[0].type == AttrType::bodies; }
};

// Whether its kernels may report bad data at run time: its own op says so, or one in the bodies it runs.
[[nodiscard]] bool may_report(const Node& node);

// The registry: built once, closed afterwards.
[[nodiscard]] const OpDef* find_op(std::string_view name);  // null when unknown
[[nodiscard]] const OpDef& get_op(std::string_view name);   // InternalError when unknown
[[nodiscard]] std::span<const OpDef* const> all_ops();

}  // namespace fk
