// Scatters (kernels/scatter.cuh). The indices are sorted by row first, so that each row's updates are added in a fixed order, and
// a row that many indices hit is added up by many threads. Rows that nobody hits are copied, or stay where they are in place.
#include <bit>

#include "cuda/ops/sort_items.h"

namespace fk::cuda {
namespace {

constexpr int64_t kCopyBlocks = 1056;  // eight on each multiprocessor of an H200

// Sorted indices: the items' type, bits of a position, and where they lie.
struct SortedIndices {
    Item item;
    size_t at = 0;
};

// `source`: of scatter.cuh, after its type of index, of item and the shift.
SortedIndices sort_indices(ProgramBuilder& program, size_t input, DType type, int64_t m, int64_t rows, std::string_view source,
                           std::string_view constants, bool reports) {
    ItemSort sort;
    sort.item = item_for(std::bit_width(static_cast<uint64_t>(rows)), m);
    sort.n = sort.keep = m;
    sort.source = concat(source, "<", memory_name(type), ", ", sort.item.type, ", ", sort.item.shift, ", ", constants, ">");
    sort.from = concat("in", input);
    sort.read = [=](ProgramBuilder& p) { p.input(input); };
    sort.reports = reports;
    const size_t at = sort_items(program, sort);
    return {sort.item, at};
}

void copy_rest(ProgramBuilder& program, const TensorType& x) {
    const Word w = widest_word(static_cast<int64_t>(x.bytes()));
    const int64_t count = static_cast<int64_t>(x.bytes()) / w.bytes, blocks = std::min(blocks_for(count), kCopyBlocks);
    if (count == 0) return;
    program.input(0, w.type).output(0, w.type).kernel("copy", call("copy_unless_same", "in0, out0", w.type, count, blocks),
                                                      blocks);
}

// out[o, row, :] = x + the updates that `sorted` says; x is there already.
void add_sorted(ProgramBuilder& program, const TensorType& x, const SortedIndices& sorted, AxisView v, int64_t m) {
    if (v.outer * v.n * v.inner == 0) return;
    const auto size = static_cast<int64_t>(size_of(x.dtype));
    int64_t width = std::min<int64_t>(16 / size, 8), chunk = 16;
    while (v.inner % width != 0) width /= 2;
    while (chunk < 256 && chunk * chunk * 4 < m) chunk *= 2;
    const int64_t chunks = (m + chunk - 1) / chunk, words = v.inner / width;
    const std::string_view memory = memory_name(x.dtype), sum = class_name(class_of(x.dtype));
    const std::string constants =
        concat(memory, ", ", sum, ", ", sorted.item.type, ", ", sorted.item.shift, ", ", width, ", ", chunk, ", ", v.outer);
    const bool crosses = chunks > 1;
    const size_t partial =
        crosses ? program.reserve(static_cast<size_t>(v.outer * chunks * 2 * v.inner) * size_of(class_of(x.dtype))) : 0;
    program.scratch("items", sorted.item.type, sorted.at).input(0).input(2).output(0);
    if (crosses) program.scratch("partial", sum, partial);
    program.kernel("add_rows",
                   call("add_rows", concat("items, in0, in2, out0, ", crosses ? "partial" : concat("(", sum, "*)0")), constants,
                        v.n, m, words),
                   blocks_for(v.outer * chunks * words));
    if (!crosses) return;
    program.scratch("items", sorted.item.type, sorted.at).scratch("partial", sum, partial).output(0);
    program.kernel("finish_rows", call("finish_rows", "items, partial, out0", constants, v.n, m, words),
                   blocks_for(v.outer * chunks * v.inner));
}

std::string addable(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).dtype == DType::boolean) return "booleans do not add up";
    return input_type(g, node, 1).size() > INT32_MAX ? "more indices than 32 bits count" : "";
}

}  // namespace

namespace any_scatter_add {
std::string match(const Graph& g, const Node& n) { return addable(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType &x = input_type(g, node, 0), &indices = input_type(g, node, 1);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const int64_t m = indices.size();
    ProgramBuilder program(g, node, concat("cuda:scatter_add ", v.outer, "x", m, "x", v.inner));
    program.uses(text::index).uses(text::sort).uses(text::scatter).message(bad_index("scatter_add", v.n)).share(0, 0);
    copy_rest(program, x);
    if (m == 0) return program.done();
    const SortedIndices sorted = sort_indices(program, 1, indices.dtype, m, v.n, "FromIndices", concat(v.n, ", true"), true);
    add_sorted(program, x, sorted, v, m);
    return program.done();
}
}  // namespace any_scatter_add

// A thread to a line adds in order; of few lines, or 16-bit floats whose sum is not to be rounded on the way, the elements are
// rows.
namespace any_scatter_add_along_axis {
std::string match(const Graph& g, const Node& n) { return addable(g, n); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    constexpr int64_t kManyLines = 4096, kFewUpdates = 16;
    const TensorType &x = input_type(g, node, 0), &indices = input_type(g, node, 1);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const int64_t m = view_axis(indices.dims, node.int_attr("axis")).n, lines = v.outer * v.inner, count = indices.size();
    ProgramBuilder program(g, node, concat("cuda:scatter_add_along_axis ", v.outer, "x", m, "x", v.inner));
    program.uses(text::index).uses(text::sort).uses(text::scatter).message(bad_index("scatter_add_along_axis", v.n)).share(0, 0);
    copy_rest(program, x);
    if (count == 0) return program.done();
    const bool rounds = size_of(x.dtype) == 2 && is_float(x.dtype);
    if (m == 1 || (!rounds && (lines >= kManyLines || m <= kFewUpdates))) {
        program.input(1).input(2).output(0).error().kernel(
            "add_along",
            call("add_along", "in1, in2, out0, error", memory_name(x.dtype), class_name(class_of(x.dtype)),
                 memory_name(indices.dtype), lines, v.n, m, v.inner),
            blocks_for(lines));
        return program.done();
    }
    const SortedIndices sorted = sort_indices(program, 1, indices.dtype, count, x.size(), "FromElements",
                                              concat(v.outer, ", ", v.n, ", ", m, ", ", v.inner), true);
    add_sorted(program, x, sorted, {1, x.size(), 1}, count);
    return program.done();
}
}  // namespace any_scatter_add_along_axis

namespace any_scatter_set {
std::string match(const Graph& g, const Node& n) {
    return input_type(g, n, 1).size() > INT32_MAX ? "more indices than 32 bits count" : "";
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType &x = input_type(g, node, 0), &indices = input_type(g, node, 1);
    const AxisView v = view_axis(x.dims, 0);
    const int64_t m = indices.size(), bytes = v.inner * static_cast<int64_t>(size_of(x.dtype));
    ProgramBuilder program(g, node, concat("cuda:scatter_set ", m, "x", v.inner));
    program.uses(text::index).uses(text::sort).uses(text::scatter).message(bad_index("scatter_set", v.n)).share(0, 0);
    copy_rest(program, x);
    if (m == 0) return program.done();
    const SortedIndices sorted = sort_indices(program, 1, indices.dtype, m, v.n, "FromIndices", concat(v.n, ", true"), true);
    if (x.size() == 0) return program.done();
    const Word w = widest_word(bytes);
    program.scratch("items", sorted.item.type, sorted.at)
        .input(2, w.type)
        .output(0, w.type)
        .kernel("set_rows",
                call("set_rows", "items, in2, out0", w.type, sorted.item.type, sorted.item.shift, v.n, m, bytes / w.bytes),
                blocks_for(m * (bytes / w.bytes)));
    return program.done();
}
}  // namespace any_scatter_set

// An index out of bounds is reported by whoever reads the rows.
namespace any_first_of_equal {
std::string match(const Graph& g, const Node& n) {
    return input_type(g, n, 0).size() > INT32_MAX ? "more indices than int32 positions reach" : "";
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& indices = input_type(g, node, 0);
    const int64_t m = indices.size(), rows = node.int_attr("rows");
    ProgramBuilder program(g, node, concat("cuda:first_of_equal ", m));
    program.uses(text::index).uses(text::sort).uses(text::scatter);
    if (m == 0) return program.done();
    const SortedIndices sorted = sort_indices(program, 0, indices.dtype, m, rows, "FromIndices", concat(rows, ", false"), false);
    program.scratch("items", sorted.item.type, sorted.at)
        .output(0)
        .kernel("first_positions", call("first_positions", "items, out0", sorted.item.type, sorted.item.shift, m), blocks_for(m));
    return program.done();
}
}  // namespace any_first_of_equal

}  // namespace fk::cuda
