// Convolutions and their gradients by kernels for all shapes (kernels/conv.cuh): which tiles, into how many slices the terms are
// cut where the tiles alone do not fill the machine, and which groups are too narrow for tiles.
#include <bit>
#include <numeric>
#include <tuple>

#include "cuda/ops/windows.h"

namespace fk::cuda {
namespace {

using cpu::ConvShape;

constexpr int64_t kBlocksWanted = 264;  // two on each of an H200's multiprocessors

std::string refuse(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).dtype != input_type(g, node, 1).dtype) return "operands of two types";
    const bool wide = input_type(g, node, 0).dtype == DType::f64;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        const DType t = input_type(g, node, i).dtype;
        if (!is_float(t)) return concat(name(t), " is not a floating type");
        if ((t == DType::f64) != wide) return concat("mixes float64 with ", name(t));
    }
    return "";
}

std::unique_ptr<Kernel> zeros(const Graph& g, const Node& node) {
    ProgramBuilder program(g, node, "cuda:zeros");
    const int64_t size = node.types[0].size();
    if (size != 0) {
        program.uses(text::windows).uses(text::conv).output(0);
        program.kernel("zeros", call("zeros", "out0", size), blocks_for(size));
    }
    return program.done();
}

// Into how many slices to cut the terms of so many blocks, none of less than `least`, and how long each is.
std::pair<int64_t, int64_t> cut(int64_t blocks, int64_t terms, int64_t least) {
    const int64_t wanted = std::clamp<int64_t>(std::min((kBlocksWanted + blocks - 1) / blocks, terms / least), 1, 1024);
    const int64_t slice = (((terms + wanted - 1) / wanted) + 15) / 16 * 16;
    return {(terms + slice - 1) / slice, slice};
}

// A product of `rows` x `columns` sums for each of `groups`, `terms` long.
struct Product {
    int64_t rows, columns, terms, groups, copies = 1;  // copies: as many of the whole
    // The tile that reads least where there are enough of them: 128 or 64 rows and columns. 64-bit sums take two registers each.
    int64_t high = 4, wide = 4;
    int64_t blocks = 1, slices = 1, slice = 0;

    void plan(bool doubles, bool scattered_rows) {
        const auto count = [&] { return copies * groups * blocks_for(rows, high * 16) * blocks_for(columns, wide * 16); };
        if (!doubles) {
            if (columns > 64) wide = 8;
            if (!scattered_rows && rows > 64) high = 8;
            const auto fills = [&] { return count() * std::max<int64_t>(terms / 1024, 1) >= kBlocksWanted; };
            if (!fills()) high = 4;
            if (!fills()) wide = 4;
        }
        blocks = count();
        std::tie(slices, slice) = cut(blocks, terms, 256);
    }
};

// A kernel that leaves its results, or those of each slice, and what adds these up. `text` makes the call that puts them there.
template <class F>
void add_sliced(ProgramBuilder& program, const Node& node, std::string_view kind, int64_t blocks, int64_t slices, F text) {
    const std::string_view sum = class_name(class_of(node.types[0].dtype));
    const int64_t size = node.types[0].size();
    program.input(0).input(1);
    if (slices == 1) {
        program.output(0).kernel(kind, text("out0"), blocks, 256, true);
        return;
    }
    const size_t part = program.reserve(static_cast<size_t>(slices * size) * size_of(class_of(node.types[0].dtype)));
    program.scratch("part", sum, part);
    program.kernel(kind, text(concat("part + (i64)blockIdx.y * ", size)), blocks, 256, true, slices);
    program.scratch("part", sum, part).output(0);
    program.kernel("add_slices", call("add_slices", "part, out0", size, slices), blocks_for(size, 32), 256, true);
}

void add_product(ProgramBuilder& program, const Node& node, const std::string& windows, const Product& p) {
    add_sliced(program, node, node.op->name, p.blocks, p.slices, [&](std::string_view result) {
        return call(node.op->name, concat("in0, in1, ", result), class_name(class_of(node.types[0].dtype)), windows, p.high,
                    p.wide, p.slice);
    });
}

std::string describe(const Node& node, const Product& p) {
    return concat("cuda:", node.op->name, " tiles of ", p.high * 16, "x", p.wide * 16, ", ", p.blocks, "x", p.slices, " blocks");
}

// Groups of one channel and one filter: neighbouring groups make words.
bool paired(const ConvShape& s) { return s.out_per_group() == 1 && s.in_per_group() == 1; }
// A tile would hold little else than padding.
bool narrow(const ConvShape& s, int64_t columns) { return columns <= 4 || (s.groups > 1 && columns < 16); }

}  // namespace

namespace any_conv {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = cpu::conv_shape(g, node);
    if (s.empty()) return zeros(g, node);
    const DType out = node.types[0].dtype;
    if (narrow(s, s.out_per_group())) {
        const int64_t word = word_of(paired(s) ? s.out_channels : s.out_per_group(), input_type(g, node, 0).dtype);
        ProgramBuilder program(g, node, concat("cuda:conv ", word, " filters to a thread"));
        program.uses(text::windows).uses(text::conv).input(0).input(1).output(0);
        program.kernel("conv", call("conv_alone", "in0, in1, out0", class_name(class_of(out)), windows_text(s), word),
                       blocks_for(node.types[0].size() / word));
        return program.done();
    }
    Product p{s.batch * s.out_points(), s.out_per_group(), s.taps() * s.in_per_group(), s.groups};
    p.plan(out == DType::f64, false);
    ProgramBuilder program(g, node, describe(node, p));
    program.uses(text::windows).uses(text::conv);
    add_product(program, node, windows_text(s), p);
    return program.done();
}
}  // namespace any_conv

namespace any_conv_input_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = cpu::conv_shape(g, node);
    if (s.empty()) return zeros(g, node);
    const DType out = node.types[0].dtype;
    if (narrow(s, s.in_per_group())) {
        const int64_t word = paired(s) ? word_of(s.in_channels, input_type(g, node, 0).dtype) : 1;
        ProgramBuilder program(g, node, concat("cuda:conv_input_grad ", word, " channels to a thread"));
        program.uses(text::windows).uses(text::conv).input(0).input(1).output(0);
        program.kernel("conv_input_grad",
                       call("conv_input_grad_alone", "in0, in1, out0", class_name(class_of(out)), windows_text(s), word),
                       blocks_for(node.types[0].size() / word));
        return program.done();
    }
    // As many products as there are classes of positions modulo the strides (`Classes` of kernels/conv.cuh).
    int64_t cells = s.batch, taps = 1, classes = 1;
    for (size_t i = 0; i < 3; ++i) {
        const int64_t step = s.stride[i] / std::gcd(s.stride[i], s.dilation[i]);
        cells *= (s.in[i] + s.stride[i] - 1) / s.stride[i];
        taps *= (s.kernel[i] + step - 1) / step;
        classes *= std::min(s.stride[i], s.in[i]);
    }
    Product p{cells, s.in_per_group(), taps * s.out_per_group(), s.groups, classes};
    p.plan(out == DType::f64, false);
    ProgramBuilder program(g, node, describe(node, p));
    program.uses(text::windows).uses(text::conv);
    add_product(program, node, windows_text(s), p);
    return program.done();
}
}  // namespace any_conv_input_grad

namespace any_conv_filter_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = cpu::conv_shape(g, node);
    if (s.empty()) return zeros(g, node);
    const DType out = node.types[0].dtype;
    const int64_t rows = s.taps() * s.in_per_group(), positions = s.batch * s.out_points();
    if (s.groups > 1 && s.in_per_group() * s.out_per_group() < 256) {
        const int64_t word = std::min<int64_t>(word_of(paired(s) ? s.out_channels : s.out_per_group(), out), 4);
        const auto lanes =
            std::min<int64_t>(32, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(s.out_channels / word))));
        const int64_t chunks = blocks_for(rows, 36 / word), chunk = blocks_for(rows, chunks);  // 36 sums to a thread
        const int64_t blocks = blocks_for(s.out_channels, lanes * word) * chunks;
        const auto [slices, slice] = cut(blocks, positions, 256 / lanes * 8);
        ProgramBuilder program(
            g, node, concat("cuda:conv_filter_grad ", chunk, "x", word, " sums to a thread, ", blocks, "x", slices, " blocks"));
        program.uses(text::windows).uses(text::conv);
        add_sliced(program, node, "conv_filter_grad", blocks, slices, [&, slice = slice](std::string_view result) {
            return call("conv_filter_grad_narrow", concat("in0, in1, ", result), class_name(class_of(out)), windows_text(s), word,
                        lanes, chunk, slice);
        });
        return program.done();
    }
    Product p{rows, s.out_per_group(), positions, s.groups};
    p.plan(out == DType::f64, s.in_per_group() % 4 != 0);
    ProgramBuilder program(g, node, describe(node, p));
    program.uses(text::windows).uses(text::conv);
    add_product(program, node, windows_text(s), p);
    return program.done();
}
}  // namespace any_conv_filter_grad

}  // namespace fk::cuda
