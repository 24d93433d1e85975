// Region -> tile program. `Lowering` types the code: every region instruction becomes one or more steps over classes.
// `Emitter` then chooses the loops, finds which values are scalars, joins steps into super-instructions, binds each step to
// a vector function and allocates registers.
#include "codegen/emit_cpu.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>

#include "codegen/typed_code.h"
#include "core/errors.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"

namespace fk::cpu {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kTileBudget = 32 * 1024;  // bytes of L1 for registers and the operands of a tile
constexpr int64_t kMinTile = 128, kMaxTile = 1024;
constexpr double kForkNanoseconds = 4000;  // a region estimated longer than this is shared by the team
constexpr double kNanosecondsPerByte = 0.008;

size_t round_line(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }
int size_index(size_t bytes) { return std::countr_zero(bytes); }

class Emitter {
  public:
    Emitter(const Region& region, const TileOptions& options)
        : region_(region), options_(options), low_(type_code(region)), table_(kernels()) {}

    TileProgram emit() {
        TileLoad load = measure();
        program_.nest = choose_nest(region_, load);
        program_.table = &table_;
        find_rates();
        join_steps();
        place_outputs();
        spread_scalars();
        bind();
        allocate();
        reductions();
        threads(load);
        shares();
        describe();
        return std::move(program_);
    }

  private:
    using Kind = TypedStep::Kind;
    std::vector<TypedStep>& steps() { return low_.steps; }
    TypedStep& step(int i) { return low_.steps[static_cast<size_t>(i)]; }

    // Bytes per element alive at once and work per element: they size the tile.
    TileLoad measure() {
        const size_t n = steps().size();
        std::vector<size_t> last(n, 0);
        for (size_t i = 0; i < n; ++i)
            for (const int s : steps()[i].sources()) last[static_cast<size_t>(s)] = i;
        size_t live = 0, peak = 0, memory = 0;
        TileLoad load;
        load.instructions = 0;
        load.work = 0;
        for (size_t i = 0; i < n; ++i) {
            const TypedStep& s = steps()[i];
            if (s.kind == Kind::load) memory += s.size;
            if (s.is_scalar_source() || s.kind == Kind::load) continue;
            live += s.size;
            peak = std::max(peak, live);
            ++load.instructions;
            load.work += step_cost(s);
            for (const int src : s.sources())
                if (last[static_cast<size_t>(src)] == i && step(src).kind != Kind::load && step(src).kind != Kind::constant)
                    live -= std::min<size_t>(live, step(src).size);
        }
        for (const RegionOutput& o : region_.outputs)
            if (!o.reduced) memory += fk::size_of(o.dtype);
        const auto fits = static_cast<int64_t>(kTileBudget / std::max<size_t>(peak + memory, 1));
        load.tile = options_.tile ? options_.tile : std::clamp<int64_t>(fits / 64 * 64, kMinTile, kMaxTile);
        return load;
    }

    [[nodiscard]] const TileWalk& walk_of(TileWalk::Kind kind, int arg) const {
        for (const TileWalk& w : program_.nest.walks)
            if (w.kind == kind && w.arg == arg) return w;
        fail<InternalError>("tile program: no walk for operand ", arg);
    }

    void find_rates() {
        for (TypedStep& s : steps()) {
            s.rate = Rate::run;
            if (s.kind == Kind::load || s.kind == Kind::index) {
                const TileWalk& walk = walk_of(s.kind == Kind::load ? TileWalk::Kind::input : TileWalk::Kind::index, s.arg);
                s.rate = classify(program_.nest, walk).access == Access::uniform ? uniform_rate(program_.nest, walk) : Rate::tile;
            }
            for (const int src : s.sources()) s.rate = std::max(s.rate, step(src).rate);
        }
    }

    std::vector<int> count_uses() {
        std::vector<int> uses(steps().size(), 0);
        for (const TypedStep& s : steps())
            if (!s.dead)
                for (const int src : s.sources()) ++uses[static_cast<size_t>(src)];
        for (const int v : low_.output_steps) ++uses[static_cast<size_t>(v)];
        return uses;
    }

    // Two arithmetic steps in a row, or a comparison and a choice, become one super-instruction.
    void join_steps() {
        std::vector<int> uses = count_uses();
        const auto single = [&](int v, Kind kind) {
            const TypedStep& s = step(v);
            return s.kind == kind && s.rate == Rate::tile && s.from == Class::f32 && uses[static_cast<size_t>(v)] == 1;
        };
        const auto arithmetic = [](Prim p) { return p == Prim::add || p == Prim::subtract || p == Prim::multiply; };
        for (TypedStep& s : steps()) {
            if (s.dead || s.rate != Rate::tile) continue;
            if (s.kind == Kind::binary && s.from == Class::f32 && arithmetic(s.prim)) {
                const auto joins = [&](int v) { return single(v, Kind::binary) && arithmetic(step(v).prim); };
                int at = joins(s.src[0]) ? 0 : joins(s.src[1]) ? 1 : -1;
                if (at == 0 && joins(s.src[1]) && step(s.src[1]).prim == Prim::multiply && step(s.src[0]).prim != Prim::multiply)
                    at = 1;
                if (at < 0 || s.src[0] == s.src[1]) continue;
                TypedStep& inner = step(s.src[at]);
                s.kind = Kind::pair;
                s.inner = inner.prim == Prim::add        ? PairInner::add
                          : inner.prim == Prim::subtract ? PairInner::subtract
                                                         : PairInner::multiply;
                s.outer = s.prim == Prim::add        ? PairOuter::add
                          : s.prim == Prim::multiply ? PairOuter::multiply
                          : at == 0                  ? PairOuter::subtract
                                                     : PairOuter::rsub;
                const int other = s.src[1 - at];
                s.set_sources({inner.src[0], inner.src[1], other});
                inner.dead = true;
            } else if (s.kind == Kind::select && s.cls == Class::f32 && single(s.src[0], Kind::binary) &&
                       step(s.src[0]).cls == Class::b8 && step(s.src[0]).prim >= Prim::equal &&
                       step(s.src[0]).prim <= Prim::greater_equal) {
                TypedStep& compare = step(s.src[0]);
                s.kind = Kind::compare_select;
                s.prim = compare.prim;
                s.set_sources({compare.src[0], compare.src[1], s.src[1], s.src[2]});
                compare.dead = true;
            }
        }
    }

    int append(TypedStep s) {
        for (const int src : s.sources()) s.rate = std::max(s.rate, step(src).rate);
        steps().push_back(std::move(s));
        return static_cast<int>(steps().size()) - 1;
    }

    // Decides which step writes which stored output; where none can, a copy is added.
    void place_outputs() {
        for (size_t o = 0; o < region_.outputs.size(); ++o) {
            if (region_.outputs[o].reduced) continue;
            int v = low_.output_steps[o];
            const TypedStep& s = step(v);
            const bool can =
                s.rate == Rate::tile && s.output < 0 && s.kind != Kind::load && s.kind != Kind::index && s.kind != Kind::constant;
            if (!can) {
                TypedStep copy;
                copy.kind = s.rate == Rate::tile ? Kind::copy : Kind::splat;
                copy.cls = copy.from = s.cls;
                copy.size = s.size;
                copy.set_sources({v});
                v = append(copy);
                step(v).rate = Rate::tile;
                low_.output_steps[o] = v;
            }
            step(v).output = static_cast<int>(o);
        }
    }

    // A vector function without a scalar form for an operand gets the scalar spread over a register of its own, once.
    void spread_scalars() {
        std::map<int, int> spread;
        const auto vector_of = [&](int v) {
            if (step(v).rate == Rate::tile) return v;
            auto [at, fresh] = spread.try_emplace(v, -1);
            if (fresh) {
                TypedStep s;
                s.kind = Kind::splat;
                s.cls = s.from = step(v).cls;
                s.size = step(v).size;
                s.set_sources({v});
                at->second = append(s);
                step(at->second).spread = true;
            }
            return at->second;
        };
        const size_t count = steps().size();
        for (size_t i = 0; i < count; ++i) {
            if (steps()[i].dead || steps()[i].rate != Rate::tile) continue;
            TypedStep s = steps()[i];
            if (s.kind == Kind::binary) {
                const auto& entry = table_.binary[static_cast<int>(s.prim)][static_cast<int>(s.from)];
                for (const int k : {0, 1})
                    if (step(s.src[k]).rate != Rate::tile && !entry[k == 0 ? sv : vs]) s.src[k] = vector_of(s.src[k]);
            } else if (s.kind == Kind::select) {
                s.src[0] = vector_of(s.src[0]);
            }
            steps()[i] = s;
        }
        for (size_t o = 0; o < region_.outputs.size(); ++o)
            if (region_.outputs[o].reduced) low_.output_steps[o] = vector_of(low_.output_steps[o]);
    }

    bool is_vector(int v) { return step(v).rate == Rate::tile || step(v).spread; }
    Form2 form2(int a, int b) { return !is_vector(a) && is_vector(b) ? sv : is_vector(a) && !is_vector(b) ? vs : vv; }
    Form3 form3(int a, int b) { return is_vector(a) ? (is_vector(b) ? vvv : vvs) : is_vector(b) ? vsv : vss; }

    TileFn function_of(const TypedStep& s) {
        const int prim = static_cast<int>(s.prim), from = static_cast<int>(s.from), type = static_cast<int>(s.type);
        switch (s.kind) {
            case Kind::unary:
                return table_.unary[prim][from];
            case Kind::binary:
                return table_.binary[prim][from][form2(s.src[0], s.src[1])];
            case Kind::select:
                return table_.select[size_index(s.size)][form3(s.src[1], s.src[2])];
            case Kind::cast:
                return table_.cast[from][static_cast<int>(s.cls)];
            case Kind::load_convert:
                return table_.load[type];
            case Kind::store_convert:
                return table_.store[type];
            case Kind::wrap:
                return table_.wrap[type];
            case Kind::clamp:
                return table_.clamp[type];
            case Kind::copy:
                return table_.copy[size_index(s.size)];
            case Kind::splat:
                return table_.splat[size_index(s.size)];
            case Kind::philox:
                return reads_run(s) ? table_.philox_run : table_.philox;
            case Kind::pair:
                return table_.pair[static_cast<int>(s.inner)][static_cast<int>(s.outer)][form2(s.src[0], s.src[1])]
                                  [is_vector(s.src[2]) ? 0 : 1];
            case Kind::compare_select:
                return table_
                    .compare_select[prim - static_cast<int>(Prim::equal)][form2(s.src[0], s.src[1])][form3(s.src[2], s.src[3])];
            default:
                return nullptr;
        }
    }

    // Turns steps into instructions of the three programs; slots are step numbers.
    void bind() {
        program_.slots.assign(steps().size(), 0);
        bound_at_.assign(steps().size(), -1);
        const std::vector<int> uses = count_uses();
        for (size_t i = 0; i < steps().size(); ++i) {
            const TypedStep& s = steps()[i];
            if (s.dead || uses[i] == 0) continue;
            const auto slot = static_cast<int32_t>(i);
            if (s.kind == Kind::constant) {
                program_.slots[i] = ~static_cast<int64_t>(program_.constants.size());
                program_.constants.push_back(s.bits);
            } else if (s.kind == Kind::load || s.kind == Kind::index) {
                add_stream(walk_of(s.kind == Kind::load ? TileWalk::Kind::input : TileWalk::Kind::index, s.arg), slot);
            } else {
                TileOp op;
                op.fn = function_of(s);
                check_internal(op.fn != nullptr, "no vector function for ", s.text());
                op.dst = slot;
                int32_t* const operands[] = {&op.a, &op.b, &op.c, &op.d};
                for (int32_t* o : operands) *o = s.count ? s.src[0] : slot;
                for (int k = 0; k < s.count; ++k) *operands[k] = s.src[k];
                if (s.kind == Kind::philox) op.b = key_slot(s.arg);
                op.spread = s.spread;
                auto& code = program_.code[static_cast<int>(s.rate)];
                bound_at_[i] = static_cast<int>(code.size());
                code.push_back(op);
                if (s.output >= 0) add_stream(walk_of(TileWalk::Kind::output, s.output), slot);
            }
        }
    }

    // Whether a philox step reads consecutive indices: then the first of a tile tells all.
    bool reads_run(const TypedStep& s) {
        const TypedStep& index = step(s.src[0]);
        if (s.kind != Kind::philox || s.rate != Rate::tile || index.kind != Kind::index) return false;
        const TileWalk& walk = walk_of(TileWalk::Kind::index, index.arg);
        return classify(program_.nest, walk).access == Access::direct && walk.strides.back() == 1;
    }

    int32_t key_slot(int input) {
        const auto slot = static_cast<int32_t>(program_.slots.size());
        program_.slots.push_back(0);
        program_.keys.emplace_back(slot, input);
        return slot;
    }

    void add_stream(const TileWalk& walk, int32_t slot) {
        const WalkAccess access = classify(program_.nest, walk);
        TileStream s;
        s.walk = walk;
        s.access = access.access;
        s.period = access.period;
        s.slot = slot;
        s.size = static_cast<int32_t>(size_of(walk.dtype));
        if (walk.kind == TileWalk::Kind::index) {
            s.first_only = true;
            for (const TypedStep& reader : steps())
                if (!reader.dead && std::ranges::count(reader.sources(), slot)) s.first_only = s.first_only && reads_run(reader);
            for (const int v : low_.output_steps) s.first_only = s.first_only && v != slot;
        }
        s.rate = access.access == Access::uniform || access.access == Access::periodic ? uniform_rate(program_.nest, walk)
                                                                                       : Rate::tile;
        program_.streams.push_back(std::move(s));
    }

    size_t reserve(size_t bytes) {
        const size_t at = program_.workspace;
        program_.workspace += round_line(bytes);
        return at;
    }

    // Linear scan over the tile program: a register is free once its value was read for the last time. An instruction may
    // write over an operand of the same element size that dies with it.
    void allocate() {
        const auto tile = static_cast<size_t>(program_.nest.tile);
        const std::vector<TileOp>& code = program_.code[static_cast<int>(Rate::tile)];
        const auto end = static_cast<int>(code.size());
        std::vector<int> last(program_.slots.size(), -1);
        for (int i = 0; i < end; ++i)
            for (const int32_t s : {code[static_cast<size_t>(i)].a, code[static_cast<size_t>(i)].b,
                                    code[static_cast<size_t>(i)].c, code[static_cast<size_t>(i)].d})
                last[static_cast<size_t>(s)] = i;
        for (size_t o = 0; o < region_.outputs.size(); ++o)
            if (region_.outputs[o].reduced) last[static_cast<size_t>(low_.output_steps[o])] = end;

        program_.workspace =
            round_line(program_.slots.size() * sizeof(void*)) + round_line(program_.streams.size() * sizeof(void*));
        std::vector<bool> placed(program_.slots.size(), false);
        // Registers are shared between values of one element size only: that is what a destination may overlap.
        std::map<size_t, std::vector<int64_t>> free;
        const auto take = [&](size_t slot) {
            const size_t size = step(static_cast<int>(slot)).size;
            auto& list = free[size];
            if (list.empty()) list.push_back(static_cast<int64_t>(reserve(tile * size)));
            program_.slots[slot] = list.back();
            list.pop_back();
            placed[slot] = true;
            owned_.push_back(slot);
        };
        for (const auto& [slot, input] : program_.keys) placed[static_cast<size_t>(slot)] = true;
        for (TileStream& s : program_.streams) {
            const auto slot = static_cast<size_t>(s.slot);
            if (s.walk.kind == TileWalk::Kind::output) {
                if (s.access == Access::gathered)
                    last[slot] = end;
                else
                    placed[slot] = true;
            } else if (s.access == Access::periodic) {
                s.buffer = reserve(static_cast<size_t>(s.period + program_.nest.tile) * static_cast<size_t>(s.size));
                placed[slot] = true;
            } else if (s.access == Access::gathered || (s.walk.kind == TileWalk::Kind::index && s.access != Access::uniform)) {
                take(slot);
            } else if (s.walk.kind == TileWalk::Kind::index) {
                program_.slots[slot] = static_cast<int64_t>(reserve(sizeof(int64_t)));
                placed[slot] = true;
            } else {
                placed[slot] = true;
            }
        }
        for (const Rate rate : {Rate::run, Rate::outer})
            for (const TileOp& op : program_.code[static_cast<int>(rate)]) {
                const auto slot = static_cast<size_t>(op.dst);
                program_.slots[slot] = static_cast<int64_t>(reserve(op.spread ? tile * step(op.dst).size : 8));
                placed[slot] = true;
            }
        for (int i = 0; i < end; ++i) {
            const TileOp& op = code[static_cast<size_t>(i)];
            const auto slot = static_cast<size_t>(op.dst);
            const auto release = [&](size_t size) {  // 0: every size
                std::erase_if(owned_, [&](size_t r) {
                    const size_t own = step(static_cast<int>(r)).size;
                    if (last[r] > i || (size && own != size)) return false;
                    free[own].push_back(program_.slots[r]);
                    return true;
                });
            };
            release(step(op.dst).size);
            if (!placed[slot]) take(slot);
            release(0);
        }
    }

    void reductions() {
        const TileNest& nest = program_.nest;
        const auto tile = static_cast<size_t>(nest.tile);
        program_.results = 1;
        for (size_t d = 0; d < nest.dims.size(); ++d)
            if (d < nest.first_reduced || d >= nest.first_inner) program_.results *= nest.dims[d];
        for (size_t o = 0; o < region_.outputs.size(); ++o) {
            const RegionOutput& out = region_.outputs[o];
            if (!out.reduced) continue;
            TileReduction r;
            r.output = static_cast<int32_t>(o);
            r.slot = low_.output_steps[o];
            r.kind = out.kind;
            r.dtype = out.dtype;
            r.cls = step(r.slot).cls;
            const bool sums = out.kind == ReduceKind::sum || out.kind == ReduceKind::prod;
            r.wide = r.cls == Class::f32 && sums && nest.form != TileForm::blocks ? Class::f64 : r.cls;
            const size_t lanes = nest.form == TileForm::columns ? static_cast<size_t>(nest.chunk) : tile;
            r.lanes = reserve(lanes * 8);
            r.wides = reserve(lanes * 8);
            program_.reductions.push_back(r);
        }
    }

    void threads(const TileLoad& load) {
        const TileNest& nest = program_.nest;
        const int team = options_.threads ? options_.threads : max_threads();
        double scale = 1;
        if (current_isa() == Isa::avx2) scale = 1.6;
        if (current_isa() == Isa::portable) scale = 3;
        size_t bytes = 0;
        for (const TileStream& s : program_.streams)
            if (s.access == Access::direct || s.access == Access::gathered) bytes += static_cast<size_t>(s.size);
        const double moved = static_cast<double>(product(nest.dims)) * static_cast<double>(bytes) * kNanosecondsPerByte;
        const double computed = std::max(nest.cost, static_cast<double>(product(nest.dims)) * load.work * scale);
        program_.threads = options_.threads || (team > 1 && moved + computed >= kForkNanoseconds) ? team : 1;
        if (program_.threads == 1 || independent_tiles(nest.form)) return;
        int64_t units = 1;
        for (size_t d = 0; d < nest.first_reduced; ++d) units *= nest.dims[d];
        if (nest.form == TileForm::columns) units *= (nest.group_size + nest.chunk - 1) / nest.chunk;
        if (units >= 4 * team || units % team == 0) return;
        program_.split_steps = true;
        for (TileReduction& r : program_.reductions) {
            r.partials = program_.scratch;
            program_.scratch += round_line(static_cast<size_t>(program_.results) * 8) * static_cast<size_t>(team);
        }
    }

    // An output may have the buffer of an input that is read at the same places, and not after the output is written.
    void shares() {
        const std::vector<TileOp>& code = program_.code[static_cast<int>(Rate::tile)];
        const bool single = product(program_.nest.dims) == 1;
        program_.inputs = region_.inputs.size();
        program_.shares.assign(region_.outputs.size() * program_.inputs, false);
        for (const TileStream& out : program_.streams) {
            if (out.walk.kind != TileWalk::Kind::output || out.access != Access::direct) continue;
            const int written = bound_at_[static_cast<size_t>(out.slot)];
            for (const TileStream& in : program_.streams) {
                if (in.walk.kind != TileWalk::Kind::input || in.size != out.size || in.walk.offset != 0) continue;
                if (!single && (in.access != Access::direct || in.walk.strides != out.walk.strides)) continue;
                bool late = std::ranges::any_of(program_.keys, [&](const auto& key) { return key.second == in.walk.arg; });
                for (auto i = static_cast<size_t>(written + 1); i < code.size(); ++i)
                    late |= code[i].a == in.slot || code[i].b == in.slot || code[i].c == in.slot || code[i].d == in.slot;
                for (const TileReduction& r : program_.reductions) late |= r.slot == in.slot;
                program_.shares[static_cast<size_t>(out.walk.arg) * program_.inputs + static_cast<size_t>(in.walk.arg)] = !late;
            }
        }
    }

    void describe() {
        static constexpr std::string_view kForms[] = {"map", "squares", "blocks", "run", "lanes", "columns"};
        size_t count = 0;
        for (const auto& code : program_.code) count += code.size();
        program_.text = concat("tile:", name(current_isa()), ":", kForms[static_cast<size_t>(program_.nest.form)], " ", count,
                               " instrs of ", program_.nest.tile, program_.threads > 1 ? ", threads" : "");
    }

    const Region& region_;
    const TileOptions options_;
    TypedCode low_;
    const KernelTable& table_;
    TileProgram program_;
    std::vector<int> bound_at_;  // position of each step in its program
    std::vector<size_t> owned_;  // slots that hold a register
};

}  // namespace

TileProgram emit_tile_program(const Region& region, const TileOptions& options) {
    const Region collapsed = collapse(region);
    return Emitter(collapsed, options).emit();
}

std::unique_ptr<Kernel> compile_region(const Region& region) { return make_tile_kernel(emit_tile_program(region)); }

}  // namespace fk::cpu
