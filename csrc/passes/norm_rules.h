// What the passes about batch normalisations and 1x1 convolutions share.
#pragma once

#include <algorithm>

#include "ops/expr.h"

namespace fk {

// Whether a convolution, or a gradient of one, has a 1x1 filter on every position.
[[nodiscard]] inline bool is_pointwise(const Node& n, const Dims& filter) {
    const auto all = [](const Dims& d, int64_t value) { return std::ranges::all_of(d, [=](int64_t i) { return i == value; }); };
    return all(n.dims_attr("strides"), 1) && all(n.dims_attr("pad_low"), 0) && all(n.dims_attr("pad_high"), 0) &&
           n.int_attr("groups") == 1 && product(filter) == filter.back() * filter[filter.size() - 2];
}

// The outputs of batch_norm_train `norm` (operands `in` of `out`), from its moments and arithmetic.
[[nodiscard]] inline std::vector<Value> normalise_with(Graph& out, const Node& norm, std::span<const Value> in, Value mean,
                                                       Value variance) {
    const auto expr = [&](Value v) { return Expr{&out, v}; };
    const Expr scale = emit("rsqrt", {expr(variance) + norm.float_attr("epsilon")}) * expr(in[1]);
    return {((expr(in[0]) - expr(mean)) * scale + expr(in[2])).v, mean, variance};
}

}  // namespace fk
