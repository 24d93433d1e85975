// The invariants every pass must keep.
#include "codegen/region.h"
#include "core/errors.h"
#include "ops/op_def.h"
#include "passes/passes.h"

namespace fk {
namespace {

void verify_region(const Node& n, const Region& r, std::string_view after) {
    auto ok = [&](bool condition, std::string_view what) {
        check_internal(condition, "after ", after, ": a fused region ", what);
    };
    ok(r.reduced.size() == r.space.size(), "has a malformed space");  // a space without dimensions is one point
    ok(r.inputs.size() == n.inputs.size() && r.outputs.size() == n.types.size(), "does not match its node");
    for (size_t i = 0; i < r.code.size(); ++i) {
        if (r.code[i].op == RegionOp::load)
            ok(r.inputs.at(static_cast<size_t>(r.code[i].index)).strides.size() == r.space.size(),
               "has an input without a stride for each dimension");
        for (int32_t s : r.code[i].src) ok(s < static_cast<int32_t>(i), "reads a later instruction");
    }
    int64_t points = 1, kept = 1;
    for (size_t d = 0; d < r.space.size(); ++d) points *= r.space[d], kept *= r.reduced[d] ? 1 : r.space[d];
    for (size_t i = 0; i < r.outputs.size(); ++i) {
        ok(r.outputs[i].src >= 0 && r.outputs[i].src < static_cast<int32_t>(r.code.size()), "stores nothing");
        ok(n.types[i].size() == (r.outputs[i].reduced ? kept : points), "stores another number of elements than its type says");
    }
}

void widen(TensorType& t) {
    if (t.dtype == DType::f16 || t.dtype == DType::bf16) t.dtype = DType::f32;
}

}  // namespace

void verify(const Graph& g, std::string_view after) {
    for (uint32_t i = 0; i < g.size(); ++i) {
        const Node& n = g.node(i);
        check_internal(n.op != nullptr && !n.types.empty(), "after ", after, ": node ", i, " is incomplete");
        std::vector<TensorType> in;
        for (Value v : n.inputs) {
            check_internal(v.node < i && v.out < g.node(v.node).types.size(), "after ", after, ": node ", i, " (", n.op->name,
                           ") reads a later value");
            in.push_back(g.type(v));
        }
        for (const auto& body : n.bodies()) verify(*body, after);
        if (n.region) {
            verify_region(n, *n.region, after);
        } else if (n.op->infer != nullptr) {
            Types types = n.types;
            if (takes_mixed_precision(n)) {
                for (TensorType& t : in) widen(t);
                for (TensorType& t : types) widen(t);
            }
            check_internal(n.op->infer(InferCall{*n.op, in, n.attrs}) == types, "after ", after, ": node ", i, " (", n.op->name,
                           ") has types that its inputs do not give");
        }
    }
    for (Value v : g.outputs) check_internal(v.node < g.size(), "after ", after, ": an output is not in the graph");
    check_internal(g.output_aliases.empty() || g.output_aliases.size() == g.outputs.size(), "after ", after,
                   ": output aliases are malformed");
}

}  // namespace fk
