// Gathers (kernels/index.cuh). A bad index moves zeros, and is reported.
#include "cuda/ops/common.h"

namespace fk::cuda {
namespace {

std::string any(const Graph&, const Node&) { return ""; }

std::string_view element_word(DType t) { return widest_word(static_cast<int64_t>(size_of(t))).type; }

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
        .kernel("gather",
                call("gather", "in0, in1, out0, error", w.type, memory_name(indices.dtype), index_type(v.outer * m * inner),
                     v.outer, v.n, m, inner),
                blocks_for(v.outer * m * inner))
        .done();
}
}  // namespace any_gather

namespace any_take_along_axis {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& indices = input_type(g, node, 1);
    const AxisView v = view_axis(input_type(g, node, 0).dims, node.int_attr("axis"));
    const int64_t m = view_axis(indices.dims, node.int_attr("axis")).n, count = indices.size();
    ProgramBuilder program(g, node, concat("cuda:take_along_axis ", v.outer, "x", m, "x", v.inner));
    if (count == 0) return program.done();
    const std::string_view word = element_word(node.types[0].dtype);
    return program.uses(text::index)
        .message(bad_index("take_along_axis", v.n))
        .input(0, word)
        .input(1)
        .output(0, word)
        .error()
        .kernel("take_along_axis",
                call("take_along_axis", "in0, in1, out0, error", word, memory_name(indices.dtype), index_type(count), count, v.n,
                     m, v.inner),
                blocks_for(count))
        .done();
}
}  // namespace any_take_along_axis

// The probability that each row gives to its label; the gradient scatters, so labels are read again there.
namespace any_class_probability {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const int64_t rows = node.types[0].size(), classes = input_type(g, node, 0).dims.back();
    ProgramBuilder program(g, node, concat("cuda:class_probability ", rows, "x", classes));
    if (rows == 0) return program.done();
    const std::string_view word = element_word(node.types[0].dtype);
    return program.uses(text::index)
        .message([classes](int64_t bad) {
            return concat("label ", bad, " is outside [0, ", classes, ") in class_probability. Labels must be 0 to ", classes - 1,
                          ": check them, or give the last layer more units");
        })
        .input(0, word)
        .input(1)
        .output(0, word)
        .error()
        .kernel(
            "class_probability",
            call("class_probability", "in0, in1, out0, error", word, memory_name(input_type(g, node, 1).dtype), rows, classes),
            blocks_for(rows))
        .done();
}
}  // namespace any_class_probability

}  // namespace fk::cuda
