// Convolutions and their gradients by kernels for all shapes (kernels/conv.cuh): which tiles, into how many slices the terms are
// cut where the tiles alone do not fill the machine, and which groups are too narrow for tiles.
#include "cuda/ops/windows.h"

namespace fk::cuda {
namespace {

using cpu::ConvShape;

constexpr int64_t kBlocksWanted = 264;  // two on each of an H200's multiprocessors

std::string refuse(const Graph& g, const Node& node) {
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
        slices = std::clamp<int64_t>(std::min((kBlocksWanted + blocks - 1) / blocks, terms / 256), 1, 1024);
        slice = (((terms + slices - 1) / slices) + 15) / 16 * 16;
        slices = (terms + slice - 1) / slice;
    }
};

// The kernel of a product, and what adds up its slices. `operands`: "in0, in1".
void add_product(ProgramBuilder& program, const Node& node, std::string_view what, const std::string& windows, const Product& p) {
    const DType out = node.types[0].dtype;
    const std::string_view sum = class_name(class_of(out));
    const int64_t size = node.types[0].size();
    const auto text = [&](std::string_view result) {
        return call(what, concat("in0, in1, ", result), sum, windows, p.high, p.wide, p.slice);
    };
    program.input(0).input(1);
    if (p.slices == 1) {
        program.output(0).kernel(what, text("out0"), p.blocks, 256, true);
        return;
    }
    const size_t part = program.reserve(static_cast<size_t>(p.slices * size) * size_of(class_of(out)));
    program.scratch("part", sum, part).kernel(what, text(concat("part + (i64)blockIdx.y * ", size)), p.blocks, 256, true, p.slices);
    program.scratch("part", sum, part).output(0);
    program.kernel("add_slices", call("add_slices", "part, out0", size, p.slices), blocks_for(size, 32), 256, true);
}

std::string describe(const Node& node, const Product& p) {
    return concat("cuda:", node.op->name, " tiles of ", p.high * 16, "x", p.wide * 16, ", ", p.blocks, "x", p.slices, " blocks");
}

// Neighbouring filters that one thread makes alone.
int64_t filters_alone(const ConvShape& s, DType t) {
    return word_of(s.out_per_group() == 1 && s.in_per_group() == 1 ? s.out_channels : s.out_per_group(), t);
}

}  // namespace

namespace any_conv {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = cpu::conv_shape(g, node);
    if (s.empty()) return zeros(g, node);
    const DType out = node.types[0].dtype;
    if (s.out_per_group() <= 4 || (s.groups > 1 && s.out_per_group() < 16)) {
        const int64_t word = filters_alone(s, input_type(g, node, 0).dtype);
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
    add_product(program, node, "conv", windows_text(s), p);
    return program.done();
}
}  // namespace any_conv

}  // namespace fk::cuda
