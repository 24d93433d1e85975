// Runs a tile program: the loops of its nest, the pointers of each tile, the accumulators of its reductions.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "codegen/emit_cpu.h"
#include "core/errors.h"
#include "cpu/threads.h"

namespace fk::cpu {
namespace {

constexpr int64_t kFlushEvery = 64;  // float accumulators take this many values before they move to double
constexpr size_t kMaxRank = 16;

constexpr Prim kCombine[] = {Prim::add, Prim::multiply, Prim::maximum, Prim::minimum};

template <class T>
uint64_t bits_of(T value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}
template <class T>
uint64_t identity_of(ReduceKind kind) {
    using L = std::numeric_limits<T>;
    switch (kind) {
        case ReduceKind::sum:
            return bits_of(T{0});
        case ReduceKind::prod:
            return bits_of(T{1});
        case ReduceKind::max:
            return bits_of(L::has_infinity ? -L::infinity() : L::lowest());
        case ReduceKind::min:
            break;
    }
    return bits_of(L::has_infinity ? L::infinity() : L::max());
}
uint64_t identity_of(ReduceKind kind, Class c) {
    switch (c) {
        case Class::b8:
        case Class::i32:
            return identity_of<int32_t>(kind);
        case Class::u32:
            return identity_of<uint32_t>(kind);
        case Class::i64:
            return identity_of<int64_t>(kind);
        case Class::u64:
            return identity_of<uint64_t>(kind);
        case Class::f32:
            return identity_of<float>(kind);
        case Class::f64:
            break;
    }
    return identity_of<double>(kind);
}

// One thread's part of one run.
class Worker {
  public:
    Worker(const TileProgram& program, const KernelArgs& args, int thread, int threads)
        : p_(program), nest_(program.nest), table_(*program.table), args_(args), thread_(thread), threads_(threads) {
        workspace_ = thread_workspace(p_.workspace);
        slots_ = reinterpret_cast<std::byte**>(workspace_);
        bases_ = reinterpret_cast<std::byte**>(workspace_ + (p_.slots.size() * sizeof(void*) + 63) / 64 * 64);
        for (size_t i = 0; i < p_.slots.size(); ++i) {
            const int64_t at = p_.slots[i];
            slots_[i] = at >= 0 ? workspace_ + at : const_at(static_cast<size_t>(~at));
        }
        for (const auto& [slot, input] : p_.keys) slots_[slot] = input_at(input);
        for (size_t d = 0; d < nest_.first_reduced; ++d) outer_units_ *= nest_.dims[d];
        if (independent_tiles(nest_.form)) {
            outer_units_ = 1;
            for (size_t d = 0; d < nest_.group; ++d) outer_units_ *= nest_.dims[d];
        } else {
            for (size_t d = nest_.first_reduced; d < std::min(nest_.group, nest_.first_inner); ++d) outer_steps_ *= nest_.dims[d];
        }
        chunks_ = (nest_.group_size + nest_.chunk - 1) / nest_.chunk;
    }

    void run() {
        enter(Rate::run);
        if (independent_tiles(nest_.form)) {
            const int64_t tiles = tiles_in_chunk(0);
            const Slice part = slice_of(outer_units_ * tiles, thread_, threads_);
            for (int64_t q = part.begin; q < part.end;) {
                const int64_t unit = q / tiles, first = q % tiles, last = std::min(tiles, first + part.end - q);
                run_unit(unit, first, last);
                q += last - first;
            }
            return;
        }
        const int64_t units = outer_units_ * chunks_;
        const Slice part = p_.split_steps ? Slice{0, units} : slice_of(units, thread_, threads_);
        for (int64_t u = part.begin; u < part.end; ++u) {
            const int64_t steps = outer_steps_ * tiles_in_chunk(u % chunks_);
            const Slice s = p_.split_steps ? slice_of(steps, thread_, threads_) : Slice{0, steps};
            run_unit(u, s.begin, s.end);
        }
    }

    // After split_steps: adds up the threads' results in their order. One thread does this.
    void combine() {
        for (const TileReduction& r : p_.reductions) {
            std::byte* first = partials(r, 0);
            for (int t = 1; t < threads_; ++t) combine(r, r.wide, first, partials(r, t), p_.results);
            write_results(r, first, 0, p_.results);
        }
    }

  private:
    std::byte* const_at(size_t i) const { return reinterpret_cast<std::byte*>(const_cast<uint64_t*>(&p_.constants[i])); }
    std::byte* input_at(int32_t i) const { return static_cast<std::byte*>(const_cast<void*>(args_.in[i])); }
    std::byte* partials(const TileReduction& r, int thread) const {
        return args_.scratch + r.partials + (static_cast<size_t>(p_.results) * 8 + 63) / 64 * 64 * static_cast<size_t>(thread);
    }
    int64_t chunk_end(int64_t chunk) const { return std::min(nest_.group_size, (chunk + 1) * nest_.chunk); }
    int64_t tiles_in_chunk(int64_t chunk) const {
        if (nest_.form == TileForm::squares)
            return (nest_.dims[nest_.group] + nest_.square_rows - 1) / nest_.square_rows *
                   ((nest_.dims.back() + nest_.square_cols - 1) / nest_.square_cols);
        return (chunk_end(chunk) - chunk * nest_.chunk + nest_.tile - 1) / nest_.tile;
    }

    void execute(Rate rate, int64_t n) {
        for (const TileOp& op : p_.code[static_cast<int>(rate)])
            op.fn(slots_[op.dst], slots_[op.a], slots_[op.b], slots_[op.c], slots_[op.d], op.spread ? nest_.tile : n);
    }

    // Pointers of the operands at the current outer coordinates, then everything that changes with them.
    void enter(Rate rate) {
        for (size_t i = 0; i < p_.streams.size(); ++i) {
            const TileStream& s = p_.streams[i];
            int64_t at = s.walk.offset;
            if (rate == Rate::outer)
                for (size_t d = 0; d < nest_.group; ++d) at += coord_[d] * s.walk.strides[d];
            if (s.walk.kind == TileWalk::Kind::index) {
                bases_[i] = std::bit_cast<std::byte*>(at);
                if (s.access == Access::uniform && s.rate == rate) std::memcpy(slots_[s.slot], &at, sizeof at);
                continue;
            }
            std::byte* base =
                s.walk.kind == TileWalk::Kind::output ? static_cast<std::byte*>(args_.out[s.walk.arg]) : input_at(s.walk.arg);
            bases_[i] = base + at * s.size;
            if (s.rate != rate) continue;
            if (s.access == Access::uniform) slots_[s.slot] = bases_[i];
            if (s.access == Access::periodic) replicate(s, bases_[i]);
        }
        execute(rate, 1);
    }

    void replicate(const TileStream& s, std::byte* base) {
        std::byte* copy = workspace_ + s.buffer;
        gather(s, base, {.start = 0, .n = s.period}, copy);
        const auto period = static_cast<size_t>(s.period) * static_cast<size_t>(s.size);
        const size_t all = static_cast<size_t>(s.period + nest_.tile) * static_cast<size_t>(s.size);
        for (size_t have = period; have < all; have += std::min(have, all - have))
            std::memcpy(copy + have, copy, std::min(have, all - have));
    }

    // Where a tile lies in its group: elements [start, start + n), or a rectangle of the last two dimensions.
    struct Place {
        int64_t start = 0, n = 0;
        int64_t row = 0, col = 0, rows = 0, cols = 0;
    };

    // Calls f(offset in elements, position in the tile, rows, cols) for the dense rectangles over the last two dimensions
    // that make up [start, start + n) of the group.
    template <class F>
    void for_rectangles(const Dims& strides, const Place& place, F&& f) const {
        const size_t last = nest_.dims.size() - 1;
        if (nest_.form == TileForm::squares) {
            f(place.row * strides[last - 1] + place.col * strides[last], int64_t{0}, place.rows, place.cols);
            return;
        }
        int64_t c[kMaxRank];
        int64_t offset = 0, rest = place.start;
        for (size_t d = last + 1; d-- > nest_.group;) {
            c[d] = d == nest_.group ? rest : rest % nest_.dims[d];
            rest /= nest_.dims[d];
            offset += c[d] * strides[d];
        }
        const int64_t inner = nest_.dims[last];
        for (int64_t done = 0; done < place.n;) {
            const int64_t left = place.n - done;
            size_t d = last;
            if (c[last] == 0 && left >= inner && last > nest_.group) {
                const int64_t rows = std::min(nest_.dims[last - 1] - c[last - 1], left / inner);
                f(offset, done, rows, inner);
                done += rows * inner;
                d = last - 1;
                c[d] += rows;
                offset += rows * strides[d];
            } else {
                const int64_t run = std::min(inner - c[last], left);
                f(offset, done, int64_t{1}, run);
                done += run;
                c[last] += run;
                offset += run * strides[last];
            }
            for (; d > nest_.group && c[d] == nest_.dims[d]; --d) {
                offset += strides[d - 1] - c[d] * strides[d];
                c[d] = 0;
                ++c[d - 1];
            }
        }
    }
    // Strides of the rows and columns of such rectangles.
    [[nodiscard]] int64_t row_stride(const Dims& strides) const {
        return strides.size() > nest_.group + 1 ? strides[strides.size() - 2] : 0;
    }

    void gather(const TileStream& s, const std::byte* base, const Place& place, std::byte* dst) const {
        const auto size = static_cast<int64_t>(s.size);
        const auto move = table_.gather[std::countr_zero(static_cast<unsigned>(s.size))];
        for_rectangles(s.walk.strides, place, [&](int64_t offset, int64_t at, int64_t rows, int64_t cols) {
            move(dst + at * size, base + offset * size, rows, cols, row_stride(s.walk.strides), s.walk.strides.back());
        });
    }

    void scatter(const TileStream& s, std::byte* base, const Place& place, const std::byte* src) const {
        const auto size = static_cast<int64_t>(s.size);
        const auto move = table_.scatter[std::countr_zero(static_cast<unsigned>(s.size))];
        for_rectangles(s.walk.strides, place, [&](int64_t offset, int64_t at, int64_t rows, int64_t cols) {
            move(base + offset * size, src + at * size, rows, cols, row_stride(s.walk.strides), s.walk.strides.back());
        });
    }

    void generate(const TileStream& s, int64_t base, const Place& place) const {
        const int64_t inner = s.walk.strides.back();
        std::byte* dst = slots_[s.slot];
        if (s.access == Access::direct) {
            const int64_t first = base + place.start * inner;
            if (s.first_only)
                std::memcpy(dst, &first, sizeof first);
            else
                table_.iota(dst, &first, &inner, nullptr, nullptr, place.n);
            return;
        }
        for_rectangles(s.walk.strides, place, [&](int64_t offset, int64_t at, int64_t rows, int64_t cols) {
            for (int64_t r = 0; r < rows; ++r) {
                const int64_t first = base + offset + r * row_stride(s.walk.strides);
                table_.iota(dst + (at + r * cols) * 8, &first, &inner, nullptr, nullptr, cols);
            }
        });
    }

    void run_tile(const Place& place) {
        for (size_t i = 0; i < p_.streams.size(); ++i) {
            const TileStream& s = p_.streams[i];
            if (s.access == Access::uniform) continue;
            if (s.walk.kind == TileWalk::Kind::index)
                generate(s, std::bit_cast<int64_t>(bases_[i]), place);
            else if (s.access == Access::direct)
                slots_[s.slot] = bases_[i] + place.start * s.size;
            else if (s.access == Access::periodic)
                slots_[s.slot] = workspace_ + s.buffer + place.start % s.period * s.size;
            else if (s.walk.kind == TileWalk::Kind::input)
                gather(s, bases_[i], place, slots_[s.slot]);
        }
        execute(Rate::tile, place.n);
        for (size_t i = 0; i < p_.streams.size(); ++i) {
            const TileStream& s = p_.streams[i];
            if (s.walk.kind == TileWalk::Kind::output && s.access == Access::gathered)
                scatter(s, bases_[i], place, slots_[s.slot]);
        }
    }

    // Splits a linear number into coordinates of dims [first, last).
    void set_coords(int64_t linear, size_t first, size_t last) {
        for (size_t d = last; d-- > first;) {
            coord_[d] = linear % nest_.dims[d];
            linear /= nest_.dims[d];
        }
    }

    // Tile `t` of the part [begin, end) of the group.
    [[nodiscard]] Place place_of(int64_t t, int64_t begin, int64_t end) const {
        Place p;
        if (nest_.form == TileForm::squares) {
            const int64_t height = nest_.dims[nest_.group], width = nest_.dims.back();
            const int64_t across = (width + nest_.square_cols - 1) / nest_.square_cols;
            p.row = t / across * nest_.square_rows;
            p.col = t % across * nest_.square_cols;
            p.rows = std::min(nest_.square_rows, height - p.row);
            p.cols = std::min(nest_.square_cols, width - p.col);
            p.n = p.rows * p.cols;
        } else {
            p.start = begin + t * nest_.tile;
            p.n = std::min(nest_.tile, end - p.start);
        }
        return p;
    }

    void run_unit(int64_t unit, int64_t first, int64_t last) {
        const bool independent = independent_tiles(nest_.form);
        const int64_t chunk = independent ? 0 : unit % chunks_, outer = independent ? unit : unit / chunks_;
        const int64_t begin = chunk * nest_.chunk, end = chunk_end(chunk), tiles = tiles_in_chunk(chunk);
        set_coords(outer, 0, independent ? nest_.group : nest_.first_reduced);
        reset();
        int64_t row = -1;
        for (int64_t s = first; s < last; ++s) {
            if (const int64_t r = s / tiles; r != row) {
                row = r;
                if (!independent) set_coords(r, nest_.first_reduced, std::min(nest_.group, nest_.first_inner));
                enter(Rate::outer);
            }
            const Place place = place_of(s % tiles, begin, end);
            run_tile(place);
            for (const TileReduction& r : p_.reductions) accumulate(r, unit, place.start, place.start - begin, place.n);
            if (nest_.form == TileForm::lanes || nest_.form == TileForm::columns) {
                if (++since_flush_ >= kFlushEvery * (nest_.form == TileForm::columns ? tiles : 1)) flush();
            }
        }
        for (const TileReduction& r : p_.reductions) finish(r, outer, begin, end);
    }

    // Accumulators. `lanes` holds values of the class, `wides` partial results; float sums move from one to the other.
    bool flushes(const TileReduction& r) const { return r.kind == ReduceKind::sum && r.cls == Class::f32; }
    int64_t lane_count() const { return nest_.form == TileForm::columns ? nest_.chunk : nest_.tile; }

    void fill_identity(void* dst, ReduceKind kind, Class c, int64_t n) const {
        const uint64_t bits = identity_of(kind, c);
        table_.splat[size_of(c) == 4 ? 2 : 3](dst, &bits, nullptr, nullptr, nullptr, n);
    }
    void reset() {
        since_flush_ = 0;
        for (const TileReduction& r : p_.reductions) {
            if (nest_.form == TileForm::run) fill_identity(workspace_ + r.wides, r.kind, r.wide, 1);
            if (nest_.form != TileForm::lanes && nest_.form != TileForm::columns) continue;
            fill_identity(workspace_ + r.lanes, r.kind, r.cls, lane_count());
            if (flushes(r)) fill_identity(workspace_ + r.wides, r.kind, r.wide, lane_count());
        }
    }
    void flush() {
        since_flush_ = 0;
        for (const TileReduction& r : p_.reductions)
            if (flushes(r))
                table_.flush_sum(reinterpret_cast<double*>(workspace_ + r.wides), reinterpret_cast<float*>(workspace_ + r.lanes),
                                 lane_count());
    }
    void combine(const TileReduction& r, Class c, void* acc, const void* x, int64_t n) const {
        const Prim prim = kCombine[static_cast<int>(r.kind)];
        table_.binary[static_cast<int>(prim)][static_cast<int>(c)][vv](acc, acc, x, nullptr, nullptr, n);
    }

    void accumulate(const TileReduction& r, int64_t unit, int64_t start, int64_t in_chunk, int64_t n) {
        const int kind = static_cast<int>(r.kind), cls = static_cast<int>(r.cls);
        const std::byte* src = slots_[r.slot];
        if (nest_.form == TileForm::blocks) {
            int64_t shape[2] = {1, 1};
            for (size_t d = nest_.first_reduced; d < nest_.dims.size(); ++d)
                shape[d < nest_.first_inner ? 0 : 1] *= nest_.dims[d];
            table_.reduce_blocks[kind][cls](workspace_ + r.lanes, src, shape, nullptr, nullptr, n);
            write_results(r, workspace_ + r.lanes, (unit * nest_.group_size + start) / shape[0], n / shape[0]);
        } else if (nest_.form == TileForm::run) {
            uint64_t value = 0;
            table_.reduce[kind][cls](&value, src, nullptr, nullptr, nullptr, n);
            combine(r, r.wide, workspace_ + r.wides, &value, 1);
        } else {
            combine(
                r, r.cls,
                workspace_ + r.lanes + (nest_.form == TileForm::columns ? in_chunk * static_cast<int64_t>(size_of(r.cls)) : 0),
                src, n);
        }
    }

    // The results of a unit, from its accumulators.
    void finish(const TileReduction& r, int64_t outer, int64_t begin, int64_t end) {
        if (nest_.form == TileForm::blocks) return;
        std::byte* values = workspace_ + r.wides;
        int64_t count = 1, at = outer;
        if (nest_.form != TileForm::run) {
            const int64_t cols = end - begin;
            count = nest_.form == TileForm::columns ? cols : inner_size();
            at = outer * inner_size() + (nest_.form == TileForm::columns ? begin : 0);
            const int64_t lanes = nest_.form == TileForm::columns ? cols : nest_.tile;
            std::byte* in_lanes = workspace_ + r.lanes;
            if (flushes(r)) {
                table_.flush_sum(reinterpret_cast<double*>(values), reinterpret_cast<float*>(in_lanes), lanes);
            } else if (r.wide != r.cls) {
                table_.cast[static_cast<int>(r.cls)][static_cast<int>(r.wide)](values, in_lanes, nullptr, nullptr, nullptr,
                                                                               lanes);
            } else {
                values = in_lanes;
            }
            for (int64_t rows = lanes / count; rows > 1;) {  // fold the rows of the lanes
                const int64_t half = rows / 2;
                combine(r, r.wide, values, values + (rows - half) * count * static_cast<int64_t>(size_of(r.wide)), half * count);
                rows -= half;
            }
        }
        if (p_.split_steps)
            std::memcpy(partials(r, thread_) + at * static_cast<int64_t>(size_of(r.wide)), values,
                        static_cast<size_t>(count) * size_of(r.wide));
        else
            write_results(r, values, at, count);
    }
    int64_t inner_size() const {
        int64_t n = 1;
        for (size_t d = nest_.first_inner; d < nest_.dims.size(); ++d) n *= nest_.dims[d];
        return n;
    }

    // Converts `count` wide values to the output's type, results [at, at + count). Values may be overwritten.
    void write_results(const TileReduction& r, std::byte* values, int64_t at, int64_t count) const {
        const Class cls = class_of(r.dtype);
        const TileFn store = table_.store[static_cast<int>(r.dtype)];
        std::byte* dst = static_cast<std::byte*>(args_.out[r.output]) + at * static_cast<int64_t>(size_of(r.dtype));
        const TileFn cast = table_.cast[static_cast<int>(r.wide)][static_cast<int>(cls)];
        if (r.wide != cls && !store) {
            cast(dst, values, nullptr, nullptr, nullptr, count);
        } else if (!store) {
            std::memcpy(dst, values, static_cast<size_t>(count) * size_of(cls));
        } else {
            for (int64_t i = 0; i < count; ++i) {  // through one element: conversions need room for their class
                uint64_t value = 0;
                const std::byte* wide = values + i * static_cast<int64_t>(size_of(r.wide));
                if (r.wide != cls)
                    cast(&value, wide, nullptr, nullptr, nullptr, 1);
                else
                    std::memcpy(&value, wide, size_of(cls));
                store(dst + i * static_cast<int64_t>(size_of(r.dtype)), &value, nullptr, nullptr, nullptr, 1);
            }
        }
    }

    const TileProgram& p_;
    const TileNest& nest_;
    const KernelTable& table_;
    const KernelArgs& args_;
    const int thread_, threads_;
    std::byte* workspace_ = nullptr;
    std::byte** slots_ = nullptr;
    std::byte** bases_ = nullptr;
    int64_t outer_units_ = 1, outer_steps_ = 1, chunks_ = 1, since_flush_ = 0;
    int64_t coord_[kMaxRank] = {};
};

class TileKernel final : public Kernel {
  public:
    explicit TileKernel(TileProgram program) : program_(std::move(program)) {
        check_internal(program_.nest.dims.size() <= kMaxRank, "region of rank ", program_.nest.dims.size());
    }
    void run(const KernelArgs& args) const override {
        int used = 1;
        parallel(std::min(program_.threads, max_threads()), [&](int thread, int threads) {
            if (thread == 0) used = threads;
            Worker(program_, args, thread, threads).run();
        });
        if (program_.split_steps) Worker(program_, args, 0, used).combine();
    }
    [[nodiscard]] size_t scratch_bytes() const override { return program_.scratch; }
    [[nodiscard]] bool may_share(int out, int in) const override {
        return program_.shares.at(static_cast<size_t>(out) * program_.inputs + static_cast<size_t>(in));
    }
    [[nodiscard]] std::string describe() const override { return program_.text; }

  private:
    TileProgram program_;
};

}  // namespace

std::unique_ptr<Kernel> make_tile_kernel(TileProgram program) { return std::make_unique<TileKernel>(std::move(program)); }

}  // namespace fk::cpu
