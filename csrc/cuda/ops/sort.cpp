// Sorting along an axis (kernels/sort.cuh). Lines of up to 2048 elements are sorted in shared memory, a block to one or more of
// them. Longer ones are cut into pieces of 2048: of few wanted elements (top_k) each piece passes on only as many, until one
// piece is left; otherwise the sorted pieces are merged, two into one.
#include <bit>

#include "cuda/ops/sort_items.h"

namespace fk::cuda {
namespace {

constexpr int64_t kPiece = 2048, kLeastTile = 512;

int64_t pieces_of(int64_t n) { return (n + kPiece - 1) / kPiece; }

}  // namespace

Item item_for(int key_bits, int64_t positions) {
    const int shift = std::bit_width(static_cast<uint64_t>(std::max<int64_t>(positions - 1, 0)));
    if (key_bits + shift <= 32) return {"u32", shift, 4};
    if (key_bits + shift <= 64) return {"u64", shift, 8};
    return {"Ranked", shift, 16};
}

size_t sort_items(ProgramBuilder& program, const ItemSort& s) {
    const int64_t few = std::max<int64_t>(s.keep, 1);
    const bool prunes = s.n > kPiece && few <= kPiece / 2;
    // Two buffers take turns; the first kernel leaves the most items.
    const int64_t most = prunes ? pieces_of(s.n) * few : s.n;
    const bool through = s.n > kPiece || s.sink.empty();
    size_t buffers[2] = {};
    const size_t bytes = static_cast<size_t>(s.lines * most) * s.item.bytes;
    if (through) buffers[0] = program.reserve(bytes);
    if (s.n > kPiece) buffers[1] = program.reserve(bytes);
    int at = 0;  // where the items are

    const auto nothing = concat("(", s.item.type, "*)0");
    // Sorts pieces of lines of n items; says whether that was the last kernel.
    const auto pieces = [&](int64_t n, bool first) {
        const bool last = n <= kPiece, to_sink = last && !s.sink.empty();
        const int64_t run = std::max<int64_t>(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::min(n, kPiece)))), 2);
        const int64_t tile = std::max(run, kLeastTile), keep = last || !prunes ? run : few;
        const int64_t kept = keep < run ? pieces_of(n) * keep : n;
        std::string sink = s.sink, to = s.to;
        if (first)
            s.read(program);
        else
            program.scratch("from", s.item.type, buffers[at]);
        if (!first) at = 1 - at;
        if (to_sink) {
            s.write(program);
        } else {
            program.scratch("to", s.item.type, buffers[at]);
            sink = concat("ToItems<", s.item.type, ", ", kept, ">");
            to = concat(nothing, ", to, ", nothing);
        }
        if (first && s.reports) program.error();
        const std::string source = first ? s.source : concat("FromItems<", s.item.type, ", ", n, ">");
        const int64_t segments = s.lines * std::max<int64_t>((n + run - 1) / run, 1);
        program.kernel(
            "sort",
            call("sort_pieces", concat(first ? s.from : "from", ", ", to, first && s.reports ? ", error" : ", (Error*)0"),
                 s.item.type, s.item.shift, source, sink, s.lines, n, tile, run, keep),
            blocks_for(segments, tile / run), 256, true);
        return last;
    };
    int64_t n = s.n;
    bool done = pieces(n, true);
    while (!done && prunes) {
        n = pieces_of(n) * few;
        done = pieces(n, false);
    }
    const int64_t own = s.item.bytes > 8 ? 4 : 8;  // of a thread, as many as registers and shared memory hold
    for (int64_t run = kPiece; !done; run *= 2) {
        done = run * 2 >= s.n;
        const bool to_sink = done && !s.sink.empty();
        program.scratch("from", s.item.type, buffers[at]);
        at = 1 - at;
        if (to_sink)
            s.write(program);
        else
            program.scratch("to", s.item.type, buffers[at]);
        program.number("run", run);
        program.kernel("merge",
                       call("merge_runs", concat("from, ", to_sink ? s.to : concat(nothing, ", to, ", nothing), ", run"),
                            s.item.type, to_sink ? s.sink : concat("ToItems<", s.item.type, ", ", s.n, ">"), own, s.n),
                       s.lines * ((s.n + 256 * own - 1) / (256 * own)), 256, true);
    }
    return buffers[at];
}

namespace any_sort {

std::string match(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    if (x.rank() == 0) return "a scalar";
    return view_axis(x.dims, node.is("top_k") ? -1 : node.int_attr("axis")).n > INT32_MAX
               ? "the axis is longer than int32 indices reach"
               : "";
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const bool top = node.is("top_k"), values = !node.is("argsort"), positions = !node.is("sort");
    const AxisView v = view_axis(x.dims, top ? -1 : node.int_attr("axis"));
    const int64_t k = top ? node.int_attr("k") : v.n;
    ProgramBuilder program(g, node, concat("cuda:", node.op->name, " ", v.outer * v.inner, "x", v.n));
    program.uses(text::sort);
    if (x.size() == 0) return program.done();
    const std::string_view type = memory_name(x.dtype);
    ItemSort sort;
    sort.item = item_for(static_cast<int>(8 * size_of(x.dtype)), v.n);
    sort.lines = v.outer * v.inner;
    sort.n = v.n;
    sort.keep = k;
    sort.source = concat("FromTensor<", type, ", ", sort.item.type, ", ", sort.item.shift, ", ", top ? "true" : "false", ", ",
                         v.n, ", ", v.inner, ">");
    sort.from = "in0";
    sort.sink = concat("ToTensor<", type, ", ", sort.item.type, ", ", sort.item.shift, ", ", v.n, ", ", k, ", ", v.inner, ">");
    sort.to = concat(values ? "x" : concat("(", type, "*)0"), ", ", values ? "values" : concat("(", type, "*)0"), ", ",
                     positions ? "positions" : "(i32*)0");
    sort.read = [](ProgramBuilder& p) { p.input(0); };
    sort.write = [=](ProgramBuilder& p) {
        if (values) p.input(0, {}, "x").output(0, {}, "values");
        if (positions) p.output(values ? 1 : 0, {}, "positions");
    };
    sort_items(program, sort);
    return program.done();
}

}  // namespace any_sort

}  // namespace fk::cuda
