// See index_checks.h.
#include "runtime/index_checks.h"

#include <algorithm>
#include <array>

#include "ops/op_def.h"

namespace fk {
namespace {

constexpr std::array<std::string_view, 5> kAlongAxis = {"gather", "scatter_add", "scatter_set", "take_along_axis",
                                                        "scatter_add_along_axis"};
constexpr std::array<std::string_view, 4> kLabels = {"class_probability", "sparse_softmax_cross_entropy",
                                                     "sparse_softmax_cross_entropy_grad", "sparse_softmax_cross_entropy_step"};

}  // namespace

std::optional<IndexCheck> index_check_of(const Graph& g, const Node& node) {
    const bool along_axis = std::ranges::count(kAlongAxis, node.op->name) != 0;
    if (!along_axis && std::ranges::count(kLabels, node.op->name) == 0) return std::nullopt;
    const TensorType& x = g.type(node.inputs[0]);
    const int axis = node.is("scatter_set") ? 0 : along_axis ? normalize_axis(node.int_attr("axis"), x.rank()) : x.rank() - 1;
    Value indices = node.inputs[1];
    while (g.node(indices).is("reshape")) indices = g.node(indices).inputs[0];
    return IndexCheck{indices, x.dims[static_cast<size_t>(axis)], along_axis};
}

bool holds_always(const Graph& g, const IndexCheck& check) {
    return g.node(check.indices).is("first_of_equal") && check.limit >= g.type(check.indices).size();
}

}  // namespace fk
