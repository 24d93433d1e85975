// Moves that fusion does not turn into strides: transposes, slices and reversals are regions that read in another order; padding
// and concatenation place rows (kernels/index.cuh).
#include <bit>

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

// Dimensions that nothing pads are one with the dimension before them; where what is left of the last one comes in words, these
// are its elements.
namespace any_pad {
namespace {

struct Padded {
    int64_t out, low, step, n;
};

// `value` as an element. Integers come as the CPU takes them: cut off, and wrapped.
std::string element(DType t, double value) {
    const std::string_view memory = memory_name(t);
    if (is_float(t))
        return concat("Memory<", memory, ">::of((", class_name(class_of(t)), ")bits_f64(", std::bit_cast<uint64_t>(value),
                      "ull))");
    const uint64_t whole = value >= 0 ? static_cast<uint64_t>(value) : static_cast<uint64_t>(static_cast<int64_t>(value));
    return concat("Memory<", memory, ">::of((", memory == "b8" ? "u8" : memory, ")", whole, "ull)");
}

}  // namespace

std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType &x = input_type(g, node, 0), &out = node.types[0];
    const Dims &low = node.dims_attr("low"), &high = node.dims_attr("high"), &interior = node.dims_attr("interior");
    std::vector<Padded> dims = {{1, 0, 1, 1}};
    for (size_t d = 0; d < x.dims.size(); ++d) {
        const int64_t step = interior.empty() ? 1 : interior[d] + 1;
        Padded& outer = dims.back();
        if (low[d] == 0 && high[d] == 0 && step == 1 && outer.step == 1)
            outer = {outer.out * x.dims[d], outer.low * x.dims[d], 1, outer.n * x.dims[d]};
        else
            dims.push_back({out.dims[d], low[d], step, x.dims[d]});
    }
    ProgramBuilder program(g, node, concat("cuda:pad ", dims.size(), " dimensions"));
    if (out.size() == 0) return program.done();
    const auto size = static_cast<int64_t>(size_of(x.dtype));
    Padded& last = dims.back();
    Word w = widest_word(size);
    if (last.step == 1) {
        w = {"uint4", 16};
        while (last.out * size % w.bytes != 0 || last.low * size % w.bytes != 0 || last.n * size % w.bytes != 0)
            w = widest_word(w.bytes / 2);
        last = {last.out * size / w.bytes, last.low * size / w.bytes, 1, last.n * size / w.bytes};
    }
    const int64_t count = out.size() * size / w.bytes;
    const std::string_view index = index_type(count);
    std::string statements = concat("const ", index, " g = (", index, ")blockIdx.x * 256 + threadIdx.x;\n    if (g >= ", count,
                                    ") return;\n    ", index, " rest = g, at = 0;\n    bool inside = true;\n    ");
    int64_t stride = 1;
    for (size_t d = dims.size(); d-- > 0; stride *= dims[d].n)
        statements += concat(
            "inside &= ", call("padded", "rest, at", index, dims[d].out, dims[d].low, dims[d].step, dims[d].n, stride), "\n    ");
    statements += concat("if (inside)\n        out0[g] = in0[at];\n    else\n        out0[g] = filled<", w.type, ">(",
                         element(x.dtype, node.float_attr("value")), ");");
    return program.uses(text::index).input(0, w.type).output(0, w.type).kernel("pad", statements, blocks_for(count)).done();
}
}  // namespace any_pad

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
