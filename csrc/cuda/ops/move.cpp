// Moves that fusion does not turn into strides: transposes, slices and reversals are regions that read in another order; padding
// and concatenation place rows (kernels/index.cuh).
#include "codegen/emit_cuda.h"
#include "cuda/ops/common.h"

namespace fk::cuda {
namespace {

std::string any(const Graph&, const Node&) { return ""; }

// Reads the input with these strides.
std::unique_ptr<Kernel> strided(const Node& node, Dims strides, int64_t offset, std::string_view what) {
    const TensorType& out = node.types[0];
    Region region;
    region.space = out.dims;
    region.reduced.assign(out.dims.size(), false);
    region.inputs.push_back({.dtype = out.dtype, .strides = std::move(strides), .offset = offset});
    region.code.push_back({.op = RegionOp::load, .dtype = out.dtype, .index = 0});
    region.outputs.push_back({.dtype = out.dtype, .src = 0});
    Program program = emit_cuda(region);
    program.text = concat("cuda:", what);
    return std::make_unique<ProgramKernel>(std::move(program));
}

}  // namespace

namespace any_transpose {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const Dims from = row_major_strides(input_type(g, node, 0).dims);
    Dims strides;
    for (int64_t p : node.dims_attr("perm")) strides.push_back(from[normalize_axis(p, from.size())]);
    return strided(node, std::move(strides), 0, "transpose");
}
}  // namespace any_transpose

namespace any_slice {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const Dims from = row_major_strides(input_type(g, node, 0).dims), &start = node.dims_attr("start"),
               &step = node.dims_attr("step");
    Dims strides;
    int64_t offset = 0;
    for (size_t d = 0; d < from.size(); ++d) {
        offset += start[d] * from[d];
        strides.push_back(step[d] * from[d]);
    }
    return strided(node, std::move(strides), offset, "slice");
}
}  // namespace any_slice

namespace any_reverse {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const Dims& dims = input_type(g, node, 0).dims;
    Dims strides = row_major_strides(dims);
    int64_t offset = 0;
    for (int64_t a : node.dims_attr("axes")) {
        const size_t d = normalize_axis(a, dims.size());
        if (strides[d] < 0) continue;  // named twice
        offset += (dims[d] - 1) * strides[d];
        strides[d] = -strides[d];
    }
    return strided(node, std::move(strides), offset, "reverse");
}
}  // namespace any_reverse

namespace any_concatenate {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const int64_t axis = node.int_attr("axis"), size = static_cast<int64_t>(size_of(node.types[0].dtype));
    const AxisView all = view_axis(node.types[0].dims, axis);
    ProgramBuilder program(g, node, concat("cuda:concatenate ", node.inputs.size()));
    program.uses(text::index);
    int64_t begin = 0;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        const int64_t bytes = view_axis(input_type(g, node, i).dims, axis).n * all.inner * size;
        if (bytes * all.outer == 0) continue;
        // Words that divide this part, where it begins, and the distance from row to row.
        Word w = widest_word(bytes);
        while (begin % w.bytes != 0 || all.n * all.inner * size % w.bytes != 0) w = widest_word(w.bytes / 2);
        program.input(i, w.type).output(0, w.type).kernel(
            "place",
            call("place_rows", concat("in", i, ", out0"), w.type, all.outer, bytes / w.bytes, all.n * all.inner * size / w.bytes,
                 begin / w.bytes),
            blocks_for(all.outer * bytes / w.bytes));
        begin += bytes;
    }
    return program.done();
}
}  // namespace any_concatenate

}  // namespace fk::cuda
