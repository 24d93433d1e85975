// The shared inference rules of infer.h.
#include "ops/infer.h"

#include <algorithm>

namespace fk::infer {

std::vector<TensorType> same_as_input(const InferCall& c) { return {c.in[0]}; }

std::vector<TensorType> elementwise(const InferCall& c) {
    const size_t first = c.op.promotion == Promotion::select ? 1 : 0;
    TensorType t = c.in[first];
    for (const TensorType& x : c.in)
        if (x.dims != t.dims)  // asked first: the message of an error that does not happen would cost more than the rest
            check_internal(false, c.op.name, " recorded on unequal shapes ", to_string(x), " and ", to_string(t));
    for (size_t i = first; i < c.in.size(); ++i)
        check_internal(c.in[i].dtype == t.dtype, c.op.name, " recorded on unequal dtypes");
    if (c.op.promotion == Promotion::comparison || c.op.promotion == Promotion::logical) t.dtype = DType::boolean;
    return {t};
}

std::vector<TensorType> reduction(const InferCall& c) {
    const TensorType& x = c.in[0];
    std::vector<bool> reduced(x.dims.size(), false);
    for (int64_t a : c.dims(0)) {
        const auto i = static_cast<size_t>(normalize_axis(a, x.rank()));
        if (x.dims[i] == 0 && (c.op.name == "reduce_max" || c.op.name == "reduce_min"))
            fail<UserError>(c.op.name, " over axis ", a, " of shape ", to_string(x.dims),
                            ": there is no element to take the extreme of");
        if (reduced[i]) fail<UserError>(c.op.name, " got axis ", a, " twice in ", to_string(c.dims(0)));
        reduced[i] = true;
    }
    const bool keep = c.integer(1) != 0;
    TensorType t{x.dtype, {}};
    for (size_t i = 0; i < x.dims.size(); ++i) {
        if (!reduced[i])
            t.dims.push_back(x.dims[i]);
        else if (keep)
            t.dims.push_back(1);
    }
    return {t};
}

std::vector<TensorType> like_inputs(const InferCall& c) { return {c.in.begin(), c.in.end()}; }

void require_float(const InferCall& c, size_t input) {
    if (!is_float(c.in[input].dtype))
        fail<UserError>(c.op.name, ": input '", c.op.inputs[input], "' has dtype ", name(c.in[input].dtype),
                        "; expected a floating-point tensor. Cast it with ops.cast(x, 'float32')");
}

void require_integer(const InferCall& c, size_t input) {
    if (!is_integer(c.in[input].dtype))
        fail<UserError>(c.op.name, ": input '", c.op.inputs[input], "' has dtype ", name(c.in[input].dtype),
                        "; expected integers. Cast it with ops.cast(x, 'int32')");
}

void require_rank(const InferCall& c, size_t input, int rank) {
    if (c.in[input].rank() != rank)
        fail<UserError>(c.op.name, ": input '", c.op.inputs[input], "' has shape ", to_string(c.in[input].dims),
                        "; expected rank ", rank);
}

void require_type(const InferCall& c, size_t input, const TensorType& expected) {
    if (c.in[input] != expected)
        fail<UserError>(c.op.name, ": input '", c.op.inputs[input], "' is ", to_string(c.in[input]), "; expected ",
                        to_string(expected));
}

void require_epilogue(const InferCall& c, const TensorType& result) {
    require_type(c, 2, {result.dtype, {result.dims.back()}});
    if (c.in.size() > 3) require_type(c, 3, result);
    const std::string& act = std::get<std::string>(c.attrs.back());
    const OpDef* op = act == "none" ? nullptr : find_op(act);
    if (act != "none" &&
        (op == nullptr || op->inputs.size() != 1 || (op->promotion != Promotion::floating && op->promotion != Promotion::same)))
        fail<UserError>(c.op.name, ": act is '", act, "'; expected 'none' or the name of an activation");
}

}  // namespace fk::infer
