// See common.h.
#include "cuda/ops/common.h"

namespace fk::cuda {

AxisView view_axis(const Dims& dims, int64_t axis) {
    AxisView v;
    const size_t at = normalize_axis(axis, dims.size());
    for (size_t d = 0; d < dims.size(); ++d) (d < at ? v.outer : d == at ? v.n : v.inner) *= dims[d];
    return v;
}

Word widest_word(int64_t bytes) {
    if (bytes % 16 == 0) return {"uint4", 16};
    if (bytes % 8 == 0) return {"u64", 8};
    if (bytes % 4 == 0) return {"u32", 4};
    if (bytes % 2 == 0) return {"u16", 2};
    return {"u8", 1};
}

std::function<std::string(int64_t bad)> bad_index(std::string op, int64_t limit) {
    return [op = std::move(op), limit](int64_t bad) {
        std::string text = concat("index ", bad, " is outside [0, ", limit, ") in ", op);
        if (bad < 0) text += concat("; negative indices reach down to ", -limit);
        if (op == "gather") text += ". Check the data, or enlarge the table (input_dim of an Embedding)";
        return text;
    };
}

ProgramBuilder::ProgramBuilder(const Graph& g, const Node& node, std::string text) : g_(g), node_(node) {
    program_.inputs = node.inputs.size();
    program_.shares.assign(node.types.size() * node.inputs.size(), false);
    program_.text = std::move(text);
}
ProgramBuilder& ProgramBuilder::input(size_t i, std::string_view type, std::string_view name) {
    parameters_ +=
        concat(arguments_.empty() ? "" : ", ", "const ", type.empty() ? memory_name(input_type(g_, node_, i).dtype) : type, "* ",
               name.empty() ? concat("in", i) : std::string(name));
    arguments_.push_back({Argument::Kind::input, i});
    return *this;
}
ProgramBuilder& ProgramBuilder::output(size_t o, std::string_view type, std::string_view name) {
    parameters_ += concat(arguments_.empty() ? "" : ", ", type.empty() ? memory_name(node_.types[o].dtype) : type, "* ",
                          name.empty() ? concat("out", o) : std::string(name));
    arguments_.push_back({Argument::Kind::output, o});
    return *this;
}
ProgramBuilder& ProgramBuilder::scratch(std::string_view name, std::string_view type, size_t offset) {
    parameters_ += concat(arguments_.empty() ? "" : ", ", type, "* ", name);
    arguments_.push_back({Argument::Kind::scratch, offset});
    return *this;
}
ProgramBuilder& ProgramBuilder::error() {
    parameters_ += concat(arguments_.empty() ? "" : ", ", "Error* error");
    arguments_.push_back({Argument::Kind::error, 0});
    return *this;
}
ProgramBuilder& ProgramBuilder::number(std::string_view name, int64_t value) {
    parameters_ += concat(arguments_.empty() ? "" : ", ", "i64 ", name);
    arguments_.push_back({Argument::Kind::number, static_cast<size_t>(value)});
    return *this;
}
ProgramBuilder& ProgramBuilder::kernel(std::string_view kind, const std::string& statements, int64_t blocks, int threads,
                                       bool synchronizes, int64_t slices) {
    check_internal(blocks <= INT32_MAX && slices <= 65535, "a grid of ", blocks, " x ", slices, " blocks");
    Launch l = make_launch(kind, threads, concat("(", parameters_, ") {\n    ", statements, "\n}"), synchronizes);
    l.blocks = blocks;
    l.slices = slices;
    l.arguments = std::exchange(arguments_, {});
    l.uses = uses_;
    parameters_.clear();
    program_.launches.push_back(std::move(l));
    return *this;
}
ProgramBuilder& ProgramBuilder::uses(const char* text) {
    uses_.push_back(text);
    return *this;
}
size_t ProgramBuilder::reserve(size_t bytes) {
    const size_t at = program_.scratch;
    program_.scratch += (bytes + 255) / 256 * 256;
    return at;
}
ProgramBuilder& ProgramBuilder::share(size_t out, size_t in) {
    program_.shares[out * program_.inputs + in] = true;
    return *this;
}
ProgramBuilder& ProgramBuilder::message(std::function<std::string(int64_t bad)> make) {
    program_.message = std::move(make);
    return *this;
}
std::unique_ptr<Kernel> ProgramBuilder::done() { return std::make_unique<ProgramKernel>(std::move(program_)); }

}  // namespace fk::cuda
