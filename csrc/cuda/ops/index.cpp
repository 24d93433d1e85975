// Gathers and scatters (kernels/index.cuh). A bad index moves zeros, or nothing, and is reported.
#include "cuda/ops/common.h"

namespace fk::cuda {
namespace {

std::string any(const Graph&, const Node&) { return ""; }

// What is told of an index outside [0, limit).
auto bad_index(std::string op, int64_t limit) {
    return [op = std::move(op), limit](int64_t bad) {
        std::string text = concat("index ", bad, " is outside [0, ", limit, ") in ", op);
        if (bad < 0) text += concat("; negative indices reach down to ", -limit);
        if (op == "gather") text += ". Check the data, or enlarge the table (input_dim of an Embedding)";
        return text;
    };
}

}  // namespace

namespace any_gather {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const AxisView v = view_axis(input_type(g, node, 0).dims, node.int_attr("axis"));
    const TensorType& indices = input_type(g, node, 1);
    const Word w = widest_word(v.inner * static_cast<int64_t>(size_of(node.types[0].dtype)));
    const int64_t inner = v.inner * static_cast<int64_t>(size_of(node.types[0].dtype)) / w.bytes, m = indices.size();
    return ProgramBuilder(g, node, concat("cuda:gather ", v.outer, "x", m, "x", v.inner))
        .uses(text::index)
        .message(bad_index("gather", v.n))
        .input(0, w.type)
        .input(1)
        .output(0, w.type)
        .error()
        .kernel("gather", call("gather", "in0, in1, out0, error", w.type, memory_name(indices.dtype), v.outer, v.n, m, inner),
                blocks_for(v.outer * m * inner))
        .done();
}
}  // namespace any_gather

}  // namespace fk::cuda
