// Pooling and its gradients (kernels/pool.cuh).
#include "cuda/ops/windows.h"

namespace fk::cuda {
namespace {

std::string refuse(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    return is_float(t) ? "" : concat(name(t), " is not a floating type");
}

// A thread to a word of channels of the result. `more`: what goes behind the template's class, windows and word.
template <class... Constants>
std::unique_ptr<Kernel> make_pool(const Graph& g, const Node& node, std::string_view function, const Constants&... more) {
    const TensorType& out = node.types[0];
    const int64_t word = word_of(out.dims.back(), input_type(g, node, 0).dtype);
    ProgramBuilder program(g, node, concat("cuda:", node.op->name, " ", word, " channels to a thread"));
    if (out.size() == 0) return program.done();
    program.uses(text::windows).uses(text::pool);
    std::string parameters;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        program.input(i);
        parameters += concat("in", i, ", ");
    }
    program.output(0).kernel(node.op->name,
                             call(function, parameters + "out0", class_name(class_of(out.dtype)),
                                  windows_text(cpu::pool_shape(g, node)), word, more...),
                             blocks_for(out.size() / word));
    return program.done();
}

}  // namespace

namespace any_pool {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_pool(g, node, "pool", node.is("max_pool") ? "true" : "false");
}
}  // namespace any_pool

namespace any_pool_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) { return make_pool(g, node, node.op->name); }
}  // namespace any_pool_grad

namespace any_pool_select {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) { return make_pool(g, node, node.op->name); }
}  // namespace any_pool_select

}  // namespace fk::cuda
