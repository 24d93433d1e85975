// Region -> CUDA C++. `Statements` writes the code of one point; `Emitter` the loops around it.
#include "codegen/emit_cuda.h"

#include <algorithm>
#include <bit>

#include "codegen/cuda_text.h"
#include "codegen/typed_code.h"
#include "core/errors.h"

namespace fk::cuda {
namespace {

using Kind = TypedStep::Kind;

constexpr int kThreads = 256;
constexpr int64_t kRowOfBlock = 2048;  // a longer row is reduced by a block, a shorter one by a warp or part of one

constexpr const char* kReduceTypes[] = {"Sum", "Prod", "Max", "Min"};

class Emitter {
  public:
    Emitter(const Region& region, const EmitOptions& options) : region_(region), options_(options), code_(type_code(region)) {
        for (size_t d = 0; d < region_.space.size(); ++d) (region_.reduced[d] ? reduced_ : kept_).push_back(d);
        results_ = points(kept_);
        terms_ = points(reduced_);
        for (size_t o = 0; o < region_.outputs.size(); ++o)
            if (region_.outputs[o].reduced) sums_.push_back(o);
        reduces_ = !sums_.empty();
        wide_index_ = find_wide_index();
        for (size_t i = 0; i < code_.steps.size(); ++i)
            if (code_.steps[i].kind == Kind::load || code_.steps[i].kind == Kind::index) walks_.push_back(static_cast<int>(i));
    }

    Program emit() {
        const bool rows = reduces_ && !region_.space.empty() && region_.reduced.back();
        vector_ = choose_vector();
        if (!reduces_)
            emit_map();
        else if (rows || kept_.empty())
            emit_rows();
        else
            emit_columns();
        program_.inputs = region_.inputs.size();
        find_shares();
        return std::move(program_);
    }

  private:
    [[nodiscard]] int64_t points(const std::vector<size_t>& dims) const {
        int64_t n = 1;
        for (size_t d : dims) n *= region_.space[d];
        return n;
    }
    [[nodiscard]] const TypedStep& step(int i) const { return code_.steps[static_cast<size_t>(i)]; }
    [[nodiscard]] const Dims& strides(int walk) const {
        const TypedStep& s = step(walk);
        const auto arg = static_cast<size_t>(s.arg);
        return s.kind == Kind::load ? region_.inputs[arg].strides : region_.indices[arg].strides;
    }
    [[nodiscard]] int64_t offset(int walk) const {
        const TypedStep& s = step(walk);
        const auto arg = static_cast<size_t>(s.arg);
        return s.kind == Kind::load ? region_.inputs[arg].offset : region_.indices[arg].offset;
    }

    // Whether 32 bits do not hold all places in memory. Indices are values, in 64 bits always.
    [[nodiscard]] bool find_wide_index() const {
        constexpr int64_t limit = INT32_MAX / 2;
        if (product(region_.space) > limit) return true;
        for (const RegionInput& in : region_.inputs) {
            int64_t far = std::abs(in.offset);
            for (size_t d = 0; d < in.strides.size(); ++d) far += std::abs(in.strides[d]) * (region_.space[d] - 1);
            if (far > limit) return true;
        }
        return false;
    }
    [[nodiscard]] std::string_view index_type() const { return wide_index_ ? "i64" : "i32"; }

    // Points of the innermost dimension that one thread takes: 16 bytes of the widest operand that is dense along it.
    [[nodiscard]] int64_t choose_vector() const {
        if (region_.space.empty()) return 1;
        size_t widest = 1;
        bool dense = false;
        for (int w : walks_)
            if (step(w).kind == Kind::load && strides(w).back() == 1) {
                widest = std::max(widest, step(w).size);
                dense = true;
            }
        for (const RegionOutput& o : region_.outputs)
            if (!o.reduced) {
                widest = std::max(widest, fk::size_of(o.dtype));
                dense = true;
            }
        if (!dense) widest = 4;
        auto n = std::min<int64_t>(static_cast<int64_t>(16 / widest), 8);
        while (region_.space.back() % n != 0) n /= 2;
        return n;
    }
    // Whether a walk may be read as vectors: dense, and each vector aligned.
    [[nodiscard]] bool reads_vectors(int walk) const {
        const Dims& s = strides(walk);
        if (vector_ == 1 || s.empty() || s.back() != 1 || offset(walk) % vector_ != 0) return false;
        if (static_cast<size_t>(vector_) * step(walk).size > 16) return false;
        for (size_t d = 0; d + 1 < s.size(); ++d)
            if (s[d] % vector_ != 0) return false;
        return true;
    }

    // --- names -----------------------------------------------------------------------------------------------------------
    static std::string value(int s) { return concat("t", s); }
    static std::string base(int walk) { return concat("at", walk); }
    static std::string coordinate(size_t d) { return concat("c", d); }

    // Coordinates of dims from a number that counts their points.
    void coordinates(Text& t, const std::vector<size_t>& dims, const std::string& count) const {
        std::string rest = count;
        for (size_t i = dims.size(); i-- > 0;) {
            const std::string c = coordinate(dims[i]);
            if (i == 0) {
                t.line("const ", index_type(), " ", c, " = ", rest, ";");
                break;
            }
            const std::string next = concat("q", dims[i]);
            t.line("const ", index_type(), " ", next, " = (", rest, ") / ", region_.space[dims[i]], ", ", c, " = (", rest, ") - ",
                   next, " * ", region_.space[dims[i]], ";");
            rest = next;
        }
    }
    // Where the walk is at the point whose coordinates are known.
    [[nodiscard]] std::string place(int walk, const std::vector<size_t>& dims, const std::string& from,
                                    std::string_view type) const {
        std::string text = from;
        for (size_t d : dims)
            if (const int64_t s = strides(walk)[d]; s != 0) {
                text += concat(text.empty() ? "" : " + ", "(", type, ")", coordinate(d));
                if (s != 1) text += concat(" * ", s, wide(type));
            }
        return text.empty() ? "0" : text;
    }
    static std::string_view wide(std::string_view type) { return type == "i64" ? "ll" : ""; }
    [[nodiscard]] std::string_view walk_type(int walk) const { return step(walk).kind == Kind::index ? "i64" : index_type(); }
    [[nodiscard]] std::string start(int walk) const {
        const int64_t o = offset(walk);
        return o == 0 ? "" : concat(o, wide(walk_type(walk)));
    }
    // The linear place of the point in a dense output.
    [[nodiscard]] std::string dense_place() const {
        std::string text;
        int64_t stride = 1;
        for (size_t d = region_.space.size(); d-- > 0; stride *= region_.space[d]) {
            text += concat(text.empty() ? "" : " + ", "(", index_type(), ")", coordinate(d));
            if (stride != 1) text += concat(" * ", stride, wide(index_type()));
        }
        return text.empty() ? "0" : text;
    }

    // --- one point -------------------------------------------------------------------------------------------------------
    // Loads of what threads read at once, before the loop over the points of a vector.
    void load_vectors(Text& t) const {
        for (int w : walks_) {
            if (step(w).kind != Kind::load) continue;
            if (reads_vectors(w))
                t.line("const Vec<", memory_name(step(w).type), ", ", vector_, "> v", w, " = load_vec<", vector_, ">(in",
                       step(w).arg, " + ", base(w), ");");
        }
    }
    // Statements that compute all steps at point `j` of the vector.
    void point(Text& t) const {
        for (size_t i = 0; i < code_.steps.size(); ++i) {
            const TypedStep& s = code_.steps[i];
            const std::string text = expression(static_cast<int>(i));
            const std::string_view type =
                s.kind == Kind::load || s.kind == Kind::store_convert ? memory_name(memory_type(s)) : class_name(s.cls);
            t.line("const ", type, " ", value(static_cast<int>(i)), " = ", text, ";");
        }
    }
    static DType memory_type(const TypedStep& s) { return s.type; }

    // The value of a step in its class: loads leave the memory type where it is narrower.
    [[nodiscard]] std::string operand(int i) const {
        const TypedStep& s = step(i);
        return s.kind == Kind::load ? concat("widen(", value(i), ")") : value(i);
    }
    [[nodiscard]] std::string expression(int i) const {
        const TypedStep& s = step(i);
        const auto source = [&](int k) { return operand(s.src[k]); };
        switch (s.kind) {
            case Kind::load: {
                const int64_t stride = strides(i).empty() || vector_ == 1 ? 0 : strides(i).back();
                if (reads_vectors(i)) return concat("v", i, ".at[j]");
                if (stride == 0) return concat("in", s.arg, "[", base(i), "]");
                return concat("in", s.arg, "[", base(i), " + j * ", stride, wide(index_type()), "]");
            }
            case Kind::index: {
                const int64_t stride = strides(i).empty() || vector_ == 1 ? 0 : strides(i).back();
                return stride == 0 ? base(i) : concat(base(i), " + j * ", stride, "ll");
            }
            case Kind::constant:
                return literal(s.cls, s.bits);
            case Kind::philox:
                return concat("philox((u64)", source(0), ", in", s.arg, ")");
            case Kind::unary:
                return concat("p::", name(s.prim), "(", source(0), ")");
            case Kind::binary:
                return concat("p::", name(s.prim), "(", source(0), ", ", source(1), ")");
            case Kind::select:
                return concat(source(0), " ? ", source(1), " : ", source(2));
            case Kind::cast:
                return concat("To<", class_name(s.cls), ">::of(", source(0), ")");
            case Kind::load_convert:
                return source(0);
            case Kind::store_convert:
                return concat("Memory<", memory_name(s.type), ">::of(", source(0), ")");
            case Kind::wrap:
                if (s.type == DType::f16 || s.type == DType::bf16)
                    return concat("rounded_", memory_name(s.type), "(", source(0), ")");
                return concat("wrapped<", memory_name(s.type), ">(", source(0), ")");
            case Kind::clamp: {
                const int bits = static_cast<int>(fk::size_of(s.type)) * 8;
                const bool is_signed = is_signed_int(s.type);
                const int low = is_signed ? -(1 << (bits - 1)) : 0, high = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
                return concat("clamped(", source(0), ", ", low, ", ", high, ")");
            }
            default:
                break;
        }
        check_internal(false, "a typed step that only tile programs have: ", s.text());
        return {};
    }
    // What goes to memory type `type` from step i.
    [[nodiscard]] std::string stored(int i, DType type) const {
        const TypedStep& s = step(i);
        if ((s.kind == Kind::load || s.kind == Kind::store_convert) && s.type == type) return value(i);
        return concat("Memory<", memory_name(type), ">::of(", operand(i), ")");
    }

    // The loop over the points of a vector: computes, keeps what is stored and adds to the accumulators.
    void points_of_vector(Text& t, bool separate_sums) const {
        load_vectors(t);
        for (size_t o = 0; o < region_.outputs.size(); ++o)
            if (const RegionOutput& out = region_.outputs[o]; !out.reduced)
                t.line("Vec<", memory_name(out.dtype), ", ", vector_, "> r", o, ";");
        t.line("#pragma unroll");
        t.open("for (int j = 0; j < ", vector_, "; ++j)");
        point(t);
        for (size_t o = 0; o < region_.outputs.size(); ++o) {
            const RegionOutput& out = region_.outputs[o];
            const int s = code_.output_steps[o];
            if (!out.reduced) {
                t.line("r", o, ".at[j] = ", stored(s, out.dtype), ";");
                continue;
            }
            const std::string sum = separate_sums ? concat("s", o, "[j]") : concat("s", o);
            t.line(sum, " = ", kReduceTypes[static_cast<int>(out.kind)], "::of(", sum, ", ", operand(s), ");");
        }
        t.close();
        for (size_t o = 0; o < region_.outputs.size(); ++o)
            if (const RegionOutput& out = region_.outputs[o]; !out.reduced)
                t.line("store_vec<", vector_, ">(out", o, " + dense, r", o, ");");
    }

    [[nodiscard]] Class sum_class(size_t o) const { return step(code_.output_steps[o]).cls; }
    void declare_sums(Text& t, bool separate_sums) const {
        for (const size_t o : sums_) {
            const std::string start = identity(region_.outputs[o].kind, sum_class(o));
            if (!separate_sums) {
                t.line(class_name(sum_class(o)), " s", o, " = ", start, ";");
            } else {
                t.line(class_name(sum_class(o)), " s", o, "[", vector_, "];");
                t.line("#pragma unroll");
                t.line("for (int j = 0; j < ", vector_, "; ++j) s", o, "[j] = ", start, ";");
            }
        }
    }
    // Result number `k`, or what this slice adds to it.
    void leave_sum(Text& t, size_t o, const std::string& k, const std::string& sum) const {
        if (slices_ > 1)
            t.line("part", o, "[(", index_type(), ")blockIdx.y * ", results_, " + ", k, "] = ", sum, ";");
        else
            t.line("out", o, "[", k, "] = Memory<", memory_name(region_.outputs[o].dtype), ">::of(", sum, ");");
    }
    [[nodiscard]] const char* reduction(size_t o) const { return kReduceTypes[static_cast<int>(region_.outputs[o].kind)]; }
    [[nodiscard]] bool any_dense() const {
        return std::ranges::any_of(region_.outputs, [](const RegionOutput& o) { return !o.reduced; });
    }

    // --- kernels ---------------------------------------------------------------------------------------------------------
    // "(const f32* in0, ..., f32* out0, f32* part1)", and the arguments to go with it.
    std::string parameters(std::vector<Argument>& arguments, bool partial) {
        std::string text = "(";
        const auto add = [&](const std::string& p, Argument a) {
            text += (arguments.empty() ? "" : ", ") + p;
            arguments.push_back(a);
        };
        for (size_t i = 0; i < region_.inputs.size(); ++i)
            add(concat("const ", memory_name(region_.inputs[i].dtype), "* in", i), {Argument::Kind::input, i});
        for (size_t o = 0; o < region_.outputs.size(); ++o) {
            const RegionOutput& out = region_.outputs[o];
            if (out.reduced && partial) {
                partials_.push_back({o, program_.scratch});
                add(concat(class_name(sum_class(o)), "* part", o), {Argument::Kind::scratch, program_.scratch});
                program_.scratch += round_up(static_cast<size_t>(slices_ * results_) * size_of(sum_class(o)));
            } else {
                add(concat(memory_name(out.dtype), "* out", o), {Argument::Kind::output, o});
            }
        }
        return text + ")";
    }
    static size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }

    void finish(std::string_view kind, int threads, const std::string& body, std::vector<Argument> arguments, int64_t blocks,
                int64_t slices, bool synchronizes) {
        check_internal(blocks <= INT32_MAX && slices <= 65535, "a grid of ", blocks, " x ", slices, " blocks");
        Launch launch = make_launch(kind, threads, body, synchronizes);
        launch.blocks = blocks;
        launch.slices = slices;
        launch.arguments = std::move(arguments);
        program_.launches.push_back(std::move(launch));
    }
    void describe(std::string_view form) {
        program_.text = concat("cuda:", form, " ", code_.steps.size(), " steps, ", program_.launches.front().blocks, "x",
                               program_.launches.front().slices, " blocks, vectors of ", vector_);
    }

    void walk_places(Text& t, const std::vector<size_t>& dims, bool first, std::string_view suffix, std::string_view from) const {
        for (int w : walks_) {
            const std::string before = first ? start(w) : concat(base(w), from);
            t.line("const ", walk_type(w), " ", base(w), suffix, " = ", place(w, dims, before, walk_type(w)), ";");
        }
    }

    void emit_map() {
        std::vector<Argument> arguments;
        Text t;
        const std::string head = parameters(arguments, false);
        const int64_t vectors = product(region_.space) / vector_, blocks = (vectors + kThreads - 1) / kThreads;
        const bool wide = wide_index_;
        t.line("const ", wide ? "i64" : "i32", " g = ", wide ? "(i64)" : "", "blockIdx.x * ", kThreads, " + threadIdx.x;");
        t.line("if (g >= ", vectors, ") return;");
        t.line("const ", index_type(), " dense = g * ", vector_, ";");
        coordinates(t, kept_, "dense");
        walk_places(t, kept_, true, "", "");
        points_of_vector(t, false);
        finish("map", kThreads, head + " {\n" + t.str() + "}", std::move(arguments), std::max<int64_t>(blocks, 1), 1, false);
        describe("map");
    }

    // How many parts to cut the terms of each result into, with `blocks` blocks when they are whole and `least` terms to a part.
    [[nodiscard]] int64_t choose_slices(int64_t blocks, int64_t least) const {
        const int64_t wanted = (options_.blocks_wanted + blocks - 1) / blocks;
        return std::clamp<int64_t>(std::min(wanted, terms_ / std::max<int64_t>(least, 1)), 1, 1024);
    }

    void emit_rows() {
        const int64_t vectors = terms_ / vector_;
        const int lanes =
            terms_ > kRowOfBlock
                ? kThreads
                : static_cast<int>(std::min<int64_t>(32, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(vectors)))));
        const int rows = kThreads / lanes;
        const int64_t blocks = (results_ + rows - 1) / rows;
        slices_ = lanes == kThreads ? choose_slices(blocks, int64_t{4} * kThreads * vector_) : 1;
        // Whole turns of all lanes to a slice, so that vectors stay whole.
        const int64_t turn = int64_t{lanes} * vector_;
        const int64_t slice = (((terms_ + slices_ - 1) / slices_) + turn - 1) / turn * turn;
        slices_ = (terms_ + slice - 1) / slice;
        const bool partial = slices_ > 1;
        std::vector<Argument> arguments;
        Text t;
        const std::string head = parameters(arguments, partial);
        t.line("const i32 lane = threadIdx.x % ", lanes, ";");
        t.line("const ", index_type(), " k = (", index_type(), ")blockIdx.x * ", rows, " + threadIdx.x / ", lanes, ";");
        declare_sums(t, false);
        t.open("if (k < ", results_, ")");
        coordinates(t, kept_, "k");
        if (partial)
            t.line("const ", index_type(), " first = (", index_type(), ")blockIdx.y * ", slice, ", end = first + ", slice, " < ",
                   terms_, " ? first + ", slice, " : ", terms_, ";");
        else
            t.line("const ", index_type(), " first = 0, end = ", terms_, ";");
        walk_places(t, kept_, true, "_row", "");
        t.open("for (", index_type(), " r = first + lane * ", vector_, "; r < end; r += ", turn, ")");
        coordinates(t, reduced_, "r");
        walk_places(t, reduced_, false, "", "_row");
        if (any_dense()) t.line("const ", index_type(), " dense = ", dense_place(), ";");
        points_of_vector(t, false);
        t.close();
        t.close();
        for (const size_t o : sums_) {
            if (lanes == kThreads) {
                t.line("__shared__ ", class_name(sum_class(o)), " space", o, "[", kThreads / 32, "];");
                t.line("s", o, " = reduce_block<", reduction(o), ", ", kThreads, ">(s", o, ", space", o, ");");
            } else if (lanes > 1) {
                t.line("s", o, " = reduce_lanes<", reduction(o), ", ", lanes, ">(s", o, ");");
            }
        }
        t.open("if (lane == 0 && k < ", results_, ")");
        for (const size_t o : sums_) leave_sum(t, o, "k", concat("s", o));
        t.close();
        finish("rows", kThreads, head + " {\n" + t.str() + "}", std::move(arguments), blocks, slices_, lanes > 1);
        if (partial) emit_finish();
        describe(lanes == kThreads ? "rows by block" : concat("rows by ", lanes, " threads"));
    }

    void emit_columns() {
        const int64_t groups = results_ / vector_;
        const auto wide =
            static_cast<int>(std::min<int64_t>(32, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(groups)))));
        const int high = kThreads / wide;
        const int64_t blocks = (groups + wide - 1) / wide;
        slices_ = choose_slices(blocks, int64_t{4} * high);
        const int64_t slice = (terms_ + slices_ - 1) / slices_;
        slices_ = (terms_ + slice - 1) / slice;
        const bool partial = slices_ > 1;
        std::vector<Argument> arguments;
        Text t;
        const std::string head = parameters(arguments, partial);
        t.line("const i32 column = threadIdx.x % ", wide, ", row = threadIdx.x / ", wide, ";");
        t.line("const ", index_type(), " k = ((", index_type(), ")blockIdx.x * ", wide, " + column) * ", vector_, ";");
        declare_sums(t, true);
        t.open("if (k < ", results_, ")");
        coordinates(t, kept_, "k");
        t.line("const ", index_type(), " first = (", index_type(), ")blockIdx.y * ", slice, ", end = first + ", slice, " < ",
               terms_, " ? first + ", slice, " : ", terms_, ";");
        walk_places(t, kept_, true, "_column", "");
        t.open("for (", index_type(), " r = first + row; r < end; r += ", high, ")");
        coordinates(t, reduced_, "r");
        walk_places(t, reduced_, false, "", "_column");
        if (any_dense()) t.line("const ", index_type(), " dense = ", dense_place(), ";");
        points_of_vector(t, true);
        t.close();
        t.close();
        for (const size_t o : sums_) {
            t.line("__shared__ ", class_name(sum_class(o)), " space", o, "[", high, "][", int64_t{wide} * vector_, "];");
            t.line("#pragma unroll");
            t.line("for (int j = 0; j < ", vector_, "; ++j) space", o, "[row][column * ", vector_, " + j] = s", o, "[j];");
        }
        t.line("__syncthreads();");
        t.open("if (row == 0 && k < ", results_, ")");
        for (const size_t o : sums_) {
            t.line("#pragma unroll");
            t.open("for (int j = 0; j < ", vector_, "; ++j)");
            t.line("for (int y = 1; y < ", high, "; ++y) s", o, "[j] = ", reduction(o), "::of(s", o, "[j], space", o,
                   "[y][column * ", vector_, " + j]);");
            leave_sum(t, o, "k + j", concat("s", o, "[j]"));
            t.close();
        }
        t.close();
        finish("columns", kThreads, head + " {\n" + t.str() + "}", std::move(arguments), blocks, slices_, true);
        if (partial) emit_finish();
        describe("columns");
    }

    // Adds up the partial results of the slices: a thread to a result where there are many, else a warp.
    void emit_finish() {
        const int lanes = results_ >= 4096 ? 1 : 32;
        const int rows = kThreads / lanes;
        std::vector<Argument> arguments;
        std::string head = "(";
        for (const auto& [o, at] : partials_) {
            head += concat(arguments.empty() ? "" : ", ", "const ", class_name(sum_class(o)), "* part", o, ", ",
                           memory_name(region_.outputs[o].dtype), "* out", o);
            arguments.push_back({Argument::Kind::scratch, at});
            arguments.push_back({Argument::Kind::output, o});
        }
        Text t;
        t.line("const i32 lane = threadIdx.x % ", lanes, ";");
        t.line("const ", index_type(), " k = (", index_type(), ")blockIdx.x * ", rows, " + threadIdx.x / ", lanes, ";");
        for (const auto& [o, at] : partials_) {
            const RegionOutput& out = region_.outputs[o];
            const std::string op = kReduceTypes[static_cast<int>(out.kind)];
            t.line(class_name(sum_class(o)), " s", o, " = ", identity(out.kind, sum_class(o)), ";");
            t.line("if (k < ", results_, ") for (int i = lane; i < ", slices_, "; i += ", lanes, ") s", o, " = ", op, "::of(s", o,
                   ", part", o, "[(", index_type(), ")i * ", results_, " + k]);");
            if (lanes > 1) t.line("s", o, " = reduce_lanes<", op, ", ", lanes, ">(s", o, ");");
            t.line("if (lane == 0 && k < ", results_, ") out", o, "[k] = Memory<", memory_name(out.dtype), ">::of(s", o, ");");
        }
        finish("finish", kThreads, head + ") {\n" + t.str() + "}", std::move(arguments), (results_ + rows - 1) / rows, 1,
               lanes > 1);
    }

    // An output of a map may lie over an input that every thread reads only where it writes.
    void find_shares() {
        program_.shares.assign(region_.outputs.size() * region_.inputs.size(), false);
        if (reduces_) return;
        const Dims dense = row_major_strides(region_.space);
        for (size_t o = 0; o < region_.outputs.size(); ++o)
            for (size_t i = 0; i < region_.inputs.size(); ++i) {
                const RegionInput& in = region_.inputs[i];
                bool loaded = false, keyed = false;
                for (const TypedStep& s : code_.steps) {
                    loaded |= s.kind == Kind::load && s.arg == static_cast<int>(i);
                    keyed |= s.kind == Kind::philox && s.arg == static_cast<int>(i);
                }
                program_.shares[o * region_.inputs.size() + i] = loaded && !keyed && in.offset == 0 && in.strides == dense &&
                                                                 fk::size_of(in.dtype) == fk::size_of(region_.outputs[o].dtype);
            }
    }

    Region region_;
    EmitOptions options_;
    TypedCode code_;
    Program program_;
    std::vector<size_t> sums_;                         // the outputs that are reduced
    std::vector<size_t> kept_, reduced_;               // dimensions
    std::vector<int> walks_;                           // steps that walk over memory or count
    std::vector<std::pair<size_t, size_t>> partials_;  // output, scratch offset
    int64_t results_ = 1, terms_ = 1, vector_ = 1, slices_ = 1;
    bool reduces_ = false, wide_index_ = false;
};

}  // namespace

Program emit_cuda(const Region& region, const EmitOptions& options) { return Emitter(collapse(region), options).emit(); }

}  // namespace fk::cuda
