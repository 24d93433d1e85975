// Who reads a value, whether it only repeats a vector or a number, whether it is an activation's mask, whether a convolution is a
// product, what lies behind a cast: what passes that join neighbours ask.
#pragma once

#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace fk {

struct Uses {
    std::vector<uint32_t> count;
    std::vector<uint32_t> user;  // the only user, where count is 1
    explicit Uses(const Graph& g);
    [[nodiscard]] uint32_t only(uint32_t n) const { return count[n] == 1 ? user[n] : UINT32_MAX; }
};

// The vector over the last dimension that `v` broadcasts; an invalid value if it is none.
[[nodiscard]] Value broadcast_vector(const Graph& g, Value v);

[[nodiscard]] bool is_constant(const Graph& g, Value v, double value);

// Whether `mask` says where the gradient of act(x) = z passes, as the vjp of relu or relu6 writes it.
[[nodiscard]] bool is_mask(const Graph& g, Value mask, Value z, std::string_view act);

[[nodiscard]] bool is_cast(const Node& n);
// A cast to 16 bits of what is computed in float32.
[[nodiscard]] bool is_narrowing(const Graph& g, const Node& n);
// Under a mixed policy values are stored in 16 bits and computed in float32: what a cast between the two was made from, or `v`.
[[nodiscard]] Value before_widening(const Graph& g, Value v);
[[nodiscard]] Value before_narrowing(const Graph& g, Value v);
// `v` in this type: itself or a cast of it.
[[nodiscard]] Value in_type(Graph& g, DType t, Value v);

// Whether a value is in memory anyway: no loop's, or one that others read, too. An op's result that is rounded to 16 bits is
// stored like that.
[[nodiscard]] bool is_stored(const Graph& g, const Uses& uses, Value v);

// Whether a sum leaves one element for each of the `n` of a row.
[[nodiscard]] bool sums_rows(const Graph& g, const Node& sum, int64_t n);

// Whether a convolution, or a gradient of one, has a 1x1 filter on every position.
[[nodiscard]] bool is_pointwise(const Node& n, const Dims& filter);

}  // namespace fk
