// argmax, argmin, cumsum and cumprod (kernels/scan.cuh).
#include "cuda/ops/common.h"

namespace fk::cuda {
namespace {

constexpr int64_t kBlocksWanted = 528;  // four on each multiprocessor of an H200

// Into how many slices of at least `least` elements lines of n are cut for enough blocks.
struct Slices {
    int64_t count = 1, part = 1;
};
Slices slices_of(int64_t n, int64_t least, int64_t blocks, int64_t most) {
    const int64_t wanted = std::clamp<int64_t>(std::min(kBlocksWanted / blocks, n / least), 1, most);
    const int64_t part = std::max<int64_t>((n + wanted - 1) / wanted, 1);
    return {std::max<int64_t>((n + part - 1) / part, 1), part};
}

}  // namespace

namespace any_arg_extreme {
std::string match(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    if (x.rank() == 0) return "a scalar";
    const int64_t n = view_axis(x.dims, node.int_attr("axis")).n;
    return n < 1 ? "the axis is empty" : n > INT32_MAX ? "the axis is longer than int32 indices reach" : "";
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const int64_t lines = v.outer * v.inner;
    const std::string_view type = memory_name(x.dtype), largest = node.is("argmax") ? "true" : "false";
    ProgramBuilder program(g, node, concat("cuda:", node.op->name, " ", lines, "x", v.n));
    program.uses(text::sort).uses(text::scan);
    if (lines == 0) return program.done();
    const bool rows = v.inner == 1;
    int64_t lanes = 256;
    if (rows && v.n <= 1024)
        for (lanes = 4; lanes < 32 && lanes < v.n;) lanes *= 2;
    const int64_t blocks = rows ? blocks_for(lines, 256 / lanes) : blocks_for(lines);
    const Slices s = rows ? slices_of(v.n, lanes == 256 ? 8192 : v.n, blocks, 65535) : slices_of(v.n, 64, blocks, 65535);
    const size_t wide = size_of(x.dtype) == 8 ? 16 : 8;
    const std::string partial = concat("Best<", wide == 16 ? "u64" : "u32", ">");
    const size_t at = s.count > 1 ? program.reserve(static_cast<size_t>(lines * s.count) * wide) : 0;
    program.input(0);
    if (s.count > 1)
        program.scratch("partial", partial, at);
    else
        program.output(0);
    const std::string operands = s.count > 1 ? "in0, (i32*)0, partial" : concat("in0, out0, (", partial, "*)0");
    program.kernel("extreme",
                   rows ? call("arg_rows", operands, type, largest, lanes, lines, v.n, s.part, s.count)
                        : call("arg_columns", operands, type, largest, lines, v.n, v.inner, s.part, s.count),
                   blocks, 256, rows, s.count);
    if (s.count > 1)
        program.scratch("partial", partial, at)
            .output(0)
            .kernel("extreme", call("arg_slices", "partial, out0", type, lines, s.count), blocks_for(lines));
    return program.done();
}
}  // namespace any_arg_extreme

namespace any_cumulative {
std::string match(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).rank() == 0) return "a scalar";
    return input_type(g, node, 0).dtype != node.types[0].dtype ? "changes the type" : "";
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    constexpr int64_t kLongRow = 128;
    const TensorType& x = input_type(g, node, 0);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const int64_t lines = v.outer * v.inner;
    ProgramBuilder program(g, node, concat("cuda:", node.op->name, " ", lines, "x", v.n));
    program.uses(text::sort).uses(text::scan).share(0, 0);
    if (x.size() == 0) return program.done();
    // Booleans count as on the CPU: as bytes.
    const DType dtype = x.dtype == DType::boolean ? DType::u8 : x.dtype;
    const std::string_view type = memory_name(dtype), sum = class_name(class_of(dtype));
    const bool rows = v.inner == 1 && v.n >= kLongRow, product = node.is("cumprod");
    const int64_t blocks = rows ? lines : blocks_for(lines);
    const Slices s = rows ? slices_of(v.n, 4096, blocks, 256) : slices_of(v.n, 32, blocks, 65535);
    const std::string none = concat("(", sum, ")", product ? 1 : 0);
    const std::string constants =
        concat(type, ", ", sum, ", ", product ? "Prod" : "Sum", ", ", node.bool_attr("reverse") ? "true" : "false");
    const size_t at = s.count > 1 ? program.reserve(static_cast<size_t>(lines * s.count) * size_of(class_of(dtype))) : 0;
    if (s.count > 1) {
        const std::string operands = concat("in0, partial, ", none);
        program.input(0, type)
            .scratch("partial", sum, at)
            .kernel("totals",
                    rows ? call("row_totals", operands, constants, v.n, s.part, s.count)
                         : call("column_totals", operands, constants, lines, v.n, v.inner, s.part),
                    blocks, 256, rows, s.count);
    }
    program.input(0, type).output(0, type);
    if (s.count > 1) program.scratch("partial", sum, at);
    const std::string operands = concat("in0, out0, ", s.count > 1 ? "partial" : concat("(", sum, "*)0"), ", ", none);
    program.kernel("scan",
                   rows ? call("scan_rows", operands, constants, v.n, s.part, s.count)
                        : call("scan_columns", operands, constants, lines, v.n, v.inner, s.part, s.count),
                   blocks, 256, rows, s.count);
    return program.done();
}
}  // namespace any_cumulative

}  // namespace fk::cuda
