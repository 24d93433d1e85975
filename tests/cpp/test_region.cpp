// Fused regions on the CPU: random regions of every form, layout and dtype against the reference evaluator, on every
// instruction set this machine has, in one and several threads, in place and not; then the accuracy of the vector functions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "codegen/emit_cpu.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/threads.h"
#include "region_reference.h"

using namespace fk;
using namespace fk::test;

namespace {

std::vector<std::string_view> all_isas() {
    std::vector<std::string_view> out;
    for (const auto isa : {cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::avx512_bf16})
        if (isa <= cpu::detected_isa()) out.push_back(cpu::name(isa));
    return out;
}

std::vector<Buffer> run_kernel(const Kernel& kernel, const Region& region, const std::vector<Buffer>& inputs, bool in_place = false) {
    Dims kept;
    for (size_t d = 0; d < region.space.size(); ++d)
        if (!region.reduced[d]) kept.push_back(region.space[d]);
    std::vector<Buffer> ins = inputs, outs(region.outputs.size());
    std::vector<const void*> in(ins.size());
    std::vector<void*> out(outs.size());
    for (size_t i = 0; i < ins.size(); ++i) in[i] = ins[i].data();
    std::vector<int> shared(outs.size(), -1);
    for (size_t o = 0; o < outs.size(); ++o) {
        const auto n = static_cast<size_t>(region.outputs[o].reduced ? product(kept) : product(region.space));
        for (int i = static_cast<int>(ins.size()) - 1; in_place && i >= 0; --i)
            if (shared[o] < 0 && std::ranges::count(shared, i) == 0 && kernel.may_share(static_cast<int>(o), i)) shared[o] = i;
        outs[o].assign(n * size_of(region.outputs[o].dtype), std::byte{0xa5});
        out[o] = shared[o] >= 0 ? static_cast<void*>(ins[static_cast<size_t>(shared[o])].data()) : outs[o].data();
    }
    Buffer scratch(kernel.scratch_bytes() + 64);
    RunErrors errors;
    auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
    kernel.run({in.data(), out.data(), kernel.scratch_bytes() ? aligned : nullptr, nullptr, &errors});
    for (size_t o = 0; o < outs.size(); ++o)
        if (shared[o] >= 0) outs[o].assign(ins[static_cast<size_t>(shared[o])].begin(), ins[static_cast<size_t>(shared[o])].begin() + static_cast<std::ptrdiff_t>(outs[o].size()));
    return outs;
}

// Counts elements that differ by more than the rounding their type and computation allow.
size_t mismatches(const RegionOutput& spec, const Buffer& got, const Buffer& want, double slack) {
    size_t bad = 0;
    const size_t size = size_of(spec.dtype);
    for (size_t i = 0; i < got.size() / size; ++i) {
        const Scalar g = load(got.data() + i * size, spec.dtype), w = load(want.data() + i * size, spec.dtype);
        if (!is_float(spec.dtype)) {
            bad += g.integer != w.integer;
            continue;
        }
        if (std::isnan(w.real) || std::isnan(g.real)) {
            bad += std::isnan(w.real) != std::isnan(g.real);
            continue;
        }
        const double unit = spec.dtype == DType::f16 ? 0x1p-10 : spec.dtype == DType::bf16 ? 0x1p-7 : spec.dtype == DType::f32 ? 0x1p-22 : 0x1p-50;
        bad += !(g.real == w.real || std::fabs(g.real - w.real) <= unit * std::fabs(w.real) + slack);
    }
    return bad;
}

class RandomRegion {
  public:
    explicit RandomRegion(uint32_t seed, int64_t max_size) : rng_(seed) { make(max_size); }
    Region region;
    std::vector<Buffer> inputs;

  private:
    int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(rng_); }
    bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(rng_) < p; }
    template <class T>
    T one_of(std::initializer_list<T> list) {
        return list.begin()[pick(0, static_cast<int64_t>(list.size()) - 1)];
    }

    void make(int64_t max_size) {
        const int64_t rank = pick(0, 5);
        for (int64_t d = 0; d < rank; ++d) {
            const int64_t n = one_of<int64_t>({1, 2, 3, 5, 7, 10, 16, 17, 31, 32, 33, 64, 100, 128, 300, 701, 2000});
            region.space.push_back(product(region.space) * n <= max_size ? n : 2);
        }
        const bool reduces = chance(0.6);
        for (int64_t d = 0; d < rank; ++d) region.reduced.push_back(reduces && chance(0.5));
        static const std::vector<DType> common = {DType::f32, DType::f32, DType::f32, DType::f16, DType::bf16, DType::f64, DType::i32, DType::i64,
                                                  DType::u8,  DType::i8,  DType::u32, DType::u64, DType::i16,  DType::u16, DType::boolean};
        base_ = common[static_cast<size_t>(pick(0, static_cast<int64_t>(common.size()) - 1))];
        const int64_t operands = pick(1, 4);
        for (int64_t i = 0; i < operands; ++i) add_input(chance(0.8) ? base_ : common[static_cast<size_t>(pick(0, 14))]);
        if (chance(0.3)) add_constant();
        if (chance(0.2)) add_index();
        if (chance(0.15)) add_philox();
        const int64_t length = pick(0, 12);
        for (int64_t i = 0; i < length; ++i) add_instruction();
        add_outputs(reduces);
    }

    int push(RegionInstr instr, int level) {
        region.code.push_back(instr);
        level_.push_back(level);
        return static_cast<int>(region.code.size()) - 1;
    }

    void add_input(DType type) {
        const size_t rank = region.space.size();
        RegionInput in;
        in.dtype = type;
        in.strides.assign(rank, 0);
        std::vector<size_t> order;
        const int64_t layout = pick(0, 9);
        for (size_t d = 0; d < rank; ++d) {
            const bool broadcast = layout < 4 ? false : layout == 4 ? true : layout == 5 ? d + 1 != rank : layout == 6 ? d + 1 == rank : chance(0.4);
            if (!broadcast) order.push_back(d);
        }
        if (layout == 3 || layout == 9) std::shuffle(order.begin(), order.end(), rng_);
        int64_t step = layout >= 8 && chance(0.3) ? 2 : 1, low = 0, high = 0;
        for (size_t k = order.size(); k-- > 0;) {
            const size_t d = order[k];
            const bool backwards = layout >= 7 && chance(0.2);
            in.strides[d] = backwards ? -step : step;
            (backwards ? low : high) += (region.space[d] - 1) * in.strides[d];
            step *= region.space[d] + (layout == 8 && chance(0.3) ? 1 : 0);
        }
        in.offset = -low;
        if (layout == 7 && chance(0.3)) in.offset += 3;
        Buffer data(static_cast<size_t>(high + in.offset + 1) * size_of(type));
        for (size_t i = 0; i < data.size(); i += size_of(type)) {
            const int64_t v = is_unsigned_int(type) || type == DType::boolean ? pick(0, type == DType::boolean ? 1 : 9) : pick(-9, 9);
            store(data.data() + i, type, {static_cast<double>(v) / 4, v});
        }
        inputs.push_back(std::move(data));
        region.inputs.push_back(in);
        push({.op = RegionOp::load, .dtype = type, .index = static_cast<int32_t>(region.inputs.size()) - 1}, 0);
    }

    void add_constant() { push({.op = RegionOp::constant, .dtype = base_, .imm = static_cast<double>(pick(-8, 8)) / 4, .int_imm = base_ == DType::boolean ? 1 : pick(0, 5)}, 0); }

    void add_index() {
        RegionIndex index;
        index.strides = chance(0.5) ? row_major_strides(region.space) : Dims(region.space.size(), 0);
        for (int64_t& s : index.strides)
            if (s == 0) s = pick(0, 2);
        index.offset = pick(0, 10);
        region.indices.push_back(index);
        push({.op = RegionOp::index, .dtype = DType::i64, .index = static_cast<int32_t>(region.indices.size()) - 1}, 0);
    }

    void add_philox() {
        add_index();
        RegionInput key;
        key.dtype = DType::u32;
        Buffer data(8);
        for (auto& b : data) b = static_cast<std::byte>(pick(0, 255));
        inputs.push_back(std::move(data));
        region.inputs.push_back(key);
        RegionInstr instr{.op = RegionOp::philox, .dtype = DType::u32, .index = static_cast<int32_t>(region.inputs.size()) - 1};
        instr.src[0] = static_cast<int32_t>(region.code.size()) - 1;
        const int word = push(instr, 0);
        RegionInstr shift{.op = RegionOp::constant, .dtype = DType::u32, .int_imm = 28};
        const int by = push(shift, 0);
        RegionInstr small{.op = RegionOp::prim, .prim = Prim::right_shift, .dtype = DType::u32};
        small.src[0] = word;
        small.src[1] = by;
        push(small, 0);
    }

    int any_value() { return static_cast<int>(pick(std::max<int64_t>(0, static_cast<int64_t>(region.code.size()) - 6), static_cast<int64_t>(region.code.size()) - 1)); }
    DType type_of(int v) const { return region.code[static_cast<size_t>(v)].dtype; }
    int level(int v) const { return level_[static_cast<size_t>(v)]; }

    // A value of type t: an existing one, cast when need be.
    int value_of(DType t) {
        int v = any_value();
        for (int tries = 0; tries < 8 && type_of(v) != t; ++tries) v = any_value();
        if (type_of(v) == t) return v;
        RegionInstr cast{.op = RegionOp::prim, .prim = Prim::cast, .dtype = t};
        cast.src[0] = v;
        return push(cast, level(v));
    }

    // Operations chosen so that values stay exact in every type: comparisons must not depend on rounding.
    void add_instruction() {
        const DType t = chance(0.85) ? base_ : one_of({DType::f32, DType::i32, DType::f64, DType::i8});
        const int64_t what = pick(0, 9);
        RegionInstr instr{.op = RegionOp::prim, .dtype = t};
        if (what < 5) {
            instr.src[0] = value_of(t);
            instr.src[1] = value_of(t);
            const int deep = std::max(level(instr.src[0]), level(instr.src[1]));
            if (t == DType::boolean) instr.prim = one_of({Prim::logical_and, Prim::logical_or, Prim::logical_xor, Prim::bitwise_and, Prim::bitwise_or, Prim::maximum});
            else if (is_float(t)) instr.prim = deep < 1 && chance(0.4) ? Prim::multiply : deep > 6 ? Prim::maximum : one_of({Prim::add, Prim::subtract, Prim::maximum, Prim::minimum});
            else instr.prim = one_of({Prim::add, Prim::subtract, Prim::multiply, Prim::maximum, Prim::minimum, Prim::floor_divide, Prim::mod, Prim::bitwise_xor, Prim::right_shift, Prim::left_shift});
            push(instr, std::max(level(instr.src[0]) + level(instr.src[1]), deep) + (instr.prim == Prim::maximum ? 0 : 1));
        } else if (what < 7) {
            instr.src[0] = value_of(t);
            instr.prim = t == DType::boolean ? Prim::logical_not : is_float(t) ? one_of({Prim::neg, Prim::abs, Prim::sign, Prim::floor, Prim::ceil, Prim::trunc, Prim::round}) : one_of({Prim::neg, Prim::abs, Prim::sign, Prim::bitwise_not});
            push(instr, level(instr.src[0]));
        } else if (what == 7) {
            instr.src[0] = value_of(t);
            instr.src[1] = value_of(t);
            instr.prim = one_of({Prim::equal, Prim::not_equal, Prim::less, Prim::less_equal, Prim::greater, Prim::greater_equal});
            instr.dtype = DType::boolean;
            push(instr, 0);
        } else if (what == 8) {
            instr.src[0] = value_of(DType::boolean);
            instr.src[1] = value_of(t);
            instr.src[2] = value_of(t);
            instr.prim = Prim::where;
            push(instr, std::max(level(instr.src[1]), level(instr.src[2])));
        } else {
            instr.src[0] = any_value();
            instr.prim = Prim::cast;
            push(instr, level(instr.src[0]));
        }
    }

    void add_outputs(bool reduces) {
        const int64_t count = pick(1, 3);
        int64_t reduced_size = 1;
        for (size_t d = 0; d < region.space.size(); ++d)
            if (region.reduced[d]) reduced_size *= region.space[d];
        for (int64_t i = 0; i < count; ++i) {
            RegionOutput o;
            o.src = chance(0.7) ? static_cast<int32_t>(region.code.size()) - 1 : any_value();
            o.dtype = region.code[static_cast<size_t>(o.src)].dtype;
            o.reduced = reduces && chance(0.7);
            if (o.reduced) {
                o.kind = one_of({ReduceKind::sum, ReduceKind::sum, ReduceKind::max, ReduceKind::min, ReduceKind::prod});
                if (o.kind == ReduceKind::prod && (reduced_size > 6 || is_float(o.dtype))) o.kind = ReduceKind::max;
                if (o.dtype == DType::f16 && o.kind == ReduceKind::sum) o.dtype = DType::f32;
                if (o.dtype == DType::boolean && o.kind == ReduceKind::sum && chance(0.5)) o.dtype = DType::i32;
            } else if (chance(0.1)) {
                o.dtype = is_float(o.dtype) ? DType::f32 : o.dtype;
            }
            region.outputs.push_back(o);
        }
    }

    std::mt19937 rng_;
    DType base_ = DType::f32;
    std::vector<int> level_;
};

void check_region(const Region& region, const std::vector<Buffer>& inputs, const std::vector<Buffer>& want, const cpu::TileOptions& options) {
    auto program = cpu::emit_tile_program(region, options);
    const auto kernel = cpu::make_tile_kernel(std::move(program));
    for (const bool in_place : {false, true}) {
        const std::vector<Buffer> got = run_kernel(*kernel, region, inputs, in_place);
        for (size_t o = 0; o < got.size(); ++o) {
            const double slack = region.outputs[o].reduced ? 1e-6 * static_cast<double>(product(region.space)) : 1e-6;
            const size_t bad = mismatches(region.outputs[o], got[o], want[o], slack);
            CHECK_MESSAGE(bad == 0, "output ", o, in_place ? " in place" : "", ": ", bad, " wrong; ", kernel->describe(), "\n", to_string(region));
        }
    }
}

}  // namespace

TEST_CASE("random regions agree with the reference on every instruction set") {
    const char* count_text = std::getenv("REGION_TESTS");
    const char* first_text = std::getenv("REGION_FIRST");
    const int count = count_text ? std::atoi(count_text) : 400, first = first_text ? std::atoi(first_text) : 1;
    cpu::set_max_threads(2);
    for (int seed = first; seed < first + count; ++seed) {
        const RandomRegion random(static_cast<uint32_t>(seed), seed % 20 == 0 ? 60000 : 4000);
        CAPTURE(seed);
        const std::vector<Buffer> want = Reference(random.region, random.inputs).run();
        for (const std::string_view isa : all_isas()) {
            CAPTURE(isa);
            cpu::set_max_isa(isa);
            check_region(random.region, random.inputs, want, {.threads = 1});
            check_region(random.region, random.inputs, want, {.threads = 2, .tile = 64});
            if (seed % 4 == 0) check_region(random.region, random.inputs, want, {.threads = 2, .tile = 16});
        }
        cpu::set_max_isa("avx512_bf16");
    }
}

namespace {

// Distance in units of the last place of the nearest float to `want`.
double ulps(float got, double want) {
    const auto rounded = static_cast<float>(want);
    if (std::isnan(want)) return std::isnan(got) ? 0 : INFINITY;
    if (got == rounded) return 0;
    if (!std::isfinite(got) || !std::isfinite(rounded)) return INFINITY;
    const double magnitude = std::max(std::fabs(want), 0x1p-126);
    return std::fabs(got - want) / std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

std::vector<float> call(const cpu::TileFn fn, const std::vector<float>& a, const std::vector<float>& b = {}) {
    std::vector<float> out(a.size());
    fn(out.data(), a.data(), b.empty() ? a.data() : b.data(), nullptr, nullptr, static_cast<int64_t>(a.size()));
    return out;
}

// Floats of every exponent, and the values where functions have their edges.
std::vector<float> sample_floats(uint32_t step) {
    std::vector<float> out;
    for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += step) out.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
    for (const float edge : {0.0f, 1.0f, 0.5f, 2.0f, 4.0f, 10.0f, 20.0f, 88.72283f, 88.72284f, 89.0f, 103.97f, 104.0f, 0x1p-126f, 0x1p-149f, 0x1.fffffep127f, INFINITY, 1e-30f, 1e30f, 0.9999999f, 1.0000001f, 1.5707964f, 3.1415927f, 6.2831855f, 1e6f, 1.00001e6f})
        for (const float v : {edge, -edge}) out.push_back(v);
    out.push_back(NAN);
    return out;
}

}  // namespace

TEST_CASE("vector functions stay within their error bounds") {
    struct Bound {
        Prim prim;
        double ulps;
    };
    const std::vector<Bound> bounds = {{Prim::exp, 1},   {Prim::log, 2},        {Prim::log2, 3},       {Prim::log10, 3}, {Prim::log1p, 3}, {Prim::expm1, 3},
                                       {Prim::tanh, 4},  {Prim::sigmoid, 4},    {Prim::erf, 4},        {Prim::sin, 3},   {Prim::cos, 3},   {Prim::sqrt, 0.5},
                                       {Prim::rsqrt, 2}, {Prim::reciprocal, 1}, {Prim::tan, 4},        {Prim::asin, 4},  {Prim::acos, 4},  {Prim::atan, 4},
                                       {Prim::sinh, 4},  {Prim::cosh, 4},       {Prim::asinh, 4},      {Prim::acosh, 4}, {Prim::atanh, 4}, {Prim::floor, 0},
                                       {Prim::ceil, 0},  {Prim::round, 0},      {Prim::trunc, 0},      {Prim::neg, 0},   {Prim::abs, 0},   {Prim::sign, 0}};
    const char* step = std::getenv("REGION_FLOAT_STEP");
    const std::vector<float> x = sample_floats(step ? static_cast<uint32_t>(std::atoi(step)) : 16411);
    for (const Bound& bound : bounds) {
        CAPTURE(name(bound.prim));
        std::vector<double> want(x.size());
        for (size_t i = 0; i < x.size(); ++i) want[i] = host_eval(bound.prim, static_cast<double>(x[i]));
        for (const std::string_view isa : all_isas()) {
            CAPTURE(isa);
            cpu::set_max_isa(isa);
            const std::vector<float> y = call(cpu::kernels().unary[static_cast<int>(bound.prim)][static_cast<int>(cpu::Class::f32)], x);
            double worst = 0;
            float at = 0;
            for (size_t i = 0; i < x.size(); ++i)
                if (const double u = ulps(y[i], want[i]); u > worst) worst = u, at = x[i];
            CHECK_MESSAGE(worst <= std::max(bound.ulps, 0.501), "at ", at, " (", std::bit_cast<uint32_t>(at), ")");
            if (std::getenv("REGION_VERBOSE")) MESSAGE(name(bound.prim), " ", isa, ": ", worst, " ulp at ", at);
        }
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("power follows the C library, special cases included") {
    std::mt19937 rng(7);
    std::vector<float> a, b;
    for (int i = 0; i < 400000; ++i) {
        a.push_back(std::ldexp(std::uniform_real_distribution<float>(1, 2)(rng), std::uniform_int_distribution(-60, 60)(rng)));
        b.push_back(std::uniform_real_distribution<float>(-2, 2)(rng));
        a.push_back(std::uniform_real_distribution<float>(0.5f, 2)(rng));
        b.push_back(std::uniform_real_distribution<float>(-130, 130)(rng));
    }
    for (const float x : {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 0.5f, INFINITY, -INFINITY, NAN, 1e-40f, -1e-40f, 3.0f, -3.0f, 1e38f})
        for (const float y : {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 3.0f, -3.0f, 0.5f, -0.5f, 1.5f, INFINITY, -INFINITY, NAN, 1e30f, 126.0f, 1e-30f}) a.push_back(x), b.push_back(y);
    for (const std::string_view isa : all_isas()) {
        CAPTURE(isa);
        cpu::set_max_isa(isa);
        const auto& entry = cpu::kernels().binary[static_cast<int>(Prim::power)][static_cast<int>(cpu::Class::f32)];
        const std::vector<float> y = call(entry[cpu::vv], a, b);
        double worst = 0;
        for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, ulps(y[i], std::pow(static_cast<double>(a[i]), static_cast<double>(b[i]))));
        CHECK(worst <= 1);
        for (const float e : {0.0f, 1.0f, 2.0f, 3.0f, -1.0f, 0.5f, -0.5f, 1.7f}) {
            const std::vector<float> z = call(entry[cpu::vs], a, {e});
            worst = 0;
            for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, ulps(z[i], std::pow(static_cast<double>(a[i]), static_cast<double>(e))));
            CHECK_MESSAGE(worst <= 2, "exponent ", e);
        }
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("16-bit floats convert exactly and round to nearest even") {
    std::vector<uint16_t> all(65536);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
    std::mt19937 rng(3);
    for (const std::string_view isa : all_isas()) {
        CAPTURE(isa);
        cpu::set_max_isa(isa);
        for (const DType type : {DType::f16, DType::bf16}) {
            CAPTURE(name(type));
            const auto load_fn = cpu::kernels().load[static_cast<int>(type)], store_fn = cpu::kernels().store[static_cast<int>(type)];
            std::vector<float> values(all.size());
            load_fn(values.data(), all.data(), nullptr, nullptr, nullptr, static_cast<int64_t>(all.size()));
            size_t bad = 0;
            for (size_t i = 0; i < all.size(); ++i) {
                const float want = type == DType::f16 ? half_value(all[i]) : bf16_value(all[i]);
                bad += std::isnan(want) ? !std::isnan(values[i]) : std::bit_cast<uint32_t>(want) != std::bit_cast<uint32_t>(values[i]);
            }
            CHECK(bad == 0);
            // Every value, points between neighbours, and random floats.
            std::vector<float> x;
            for (size_t i = 0; i + 1 < all.size(); ++i) {
                if (!std::isfinite(values[i]) || !std::isfinite(values[i + 1])) continue;
                const float middle = values[i] + (values[i + 1] - values[i]) / 2;
                for (const float v : {values[i], middle, std::nextafter(middle, values[i]), std::nextafter(middle, values[i + 1])}) x.push_back(v);
            }
            for (int i = 0; i < 20000; ++i) x.push_back(std::bit_cast<float>(static_cast<uint32_t>(rng())));
            for (const float v : {65504.0f, 65519.0f, 65520.0f, 1e10f, INFINITY, 3.4e38f, 0x1p-25f, 0x1.8p-25f}) x.push_back(v), x.push_back(-v);
            std::vector<uint16_t> y(x.size());
            store_fn(y.data(), x.data(), nullptr, nullptr, nullptr, static_cast<int64_t>(x.size()));
            bad = 0;
            for (size_t i = 0; i < x.size(); ++i) {
                if (type == DType::bf16 && std::fabs(x[i]) < 0x1p-126f) continue;  // the bfloat16 instructions flush subnormals
                const uint16_t want = nearest16(x[i], type == DType::f16);
                const bool nan = std::isnan(x[i]);
                bad += nan ? !std::isnan(type == DType::f16 ? half_value(y[i]) : bf16_value(y[i])) : y[i] != want;
            }
            CHECK(bad == 0);
        }
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("integers never trap and floats saturate into them") {
    for (const std::string_view isa : all_isas()) {
        CAPTURE(isa);
        cpu::set_max_isa(isa);
        const cpu::KernelTable& t = cpu::kernels();
        const auto binary = [&]<class T>(Prim p, cpu::Class c, T a, T b) {
            T r{};
            t.binary[static_cast<int>(p)][static_cast<int>(c)][cpu::vv](&r, &a, &b, nullptr, nullptr, 1);
            return r;
        };
        constexpr int32_t low = INT32_MIN;
        constexpr int64_t low64 = INT64_MIN;
        CHECK(binary(Prim::floor_divide, cpu::Class::i32, low, -1) == low);
        CHECK(binary(Prim::mod, cpu::Class::i32, low, -1) == 0);
        CHECK(binary(Prim::floor_divide, cpu::Class::i32, 5, 0) == 0);
        CHECK(binary(Prim::mod, cpu::Class::i32, 5, 0) == 0);
        CHECK(binary(Prim::floor_divide, cpu::Class::i32, -7, 2) == -4);
        CHECK(binary(Prim::mod, cpu::Class::i32, -7, 2) == 1);
        CHECK(binary(Prim::mod, cpu::Class::i32, 7, -2) == -1);
        CHECK(binary(Prim::floor_divide, cpu::Class::i64, low64, int64_t{-1}) == low64);
        CHECK(binary(Prim::floor_divide, cpu::Class::u64, UINT64_MAX, uint64_t{0}) == 0);
        CHECK(binary(Prim::left_shift, cpu::Class::i32, 1, 32) == 0);
        CHECK(binary(Prim::right_shift, cpu::Class::u32, 0xffffffffu, 32u) == 0);
        CHECK(binary(Prim::right_shift, cpu::Class::i32, -8, 40) == -1);
        CHECK(binary(Prim::right_shift, cpu::Class::i32, -8, 1) == -4);
        CHECK(binary(Prim::power, cpu::Class::i32, 3, 4) == 81);
        CHECK(binary(Prim::power, cpu::Class::i32, 2, -1) == 0);
        CHECK(binary(Prim::power, cpu::Class::i64, int64_t{-1}, int64_t{-3}) == -1);
        CHECK(binary(Prim::multiply, cpu::Class::i64, int64_t{3} << 40, int64_t{1} << 20) == int64_t{3} << 60);
        const auto cast = [&]<class From, class To>(cpu::Class from, cpu::Class to, From a, To) {
            std::vector<From> in(37, a);
            std::vector<To> out(37);
            t.cast[static_cast<int>(from)][static_cast<int>(to)](out.data(), in.data(), nullptr, nullptr, nullptr, 37);
            CHECK(out[0] == out[36]);
            return out[36];
        };
        using C = cpu::Class;
        CHECK(cast(C::f32, C::i32, 3e9f, int32_t{}) == INT32_MAX);
        CHECK(cast(C::f32, C::i32, -3e9f, int32_t{}) == INT32_MIN);
        CHECK(cast(C::f32, C::i32, NAN, int32_t{}) == 0);
        CHECK(cast(C::f32, C::i32, -2.75f, int32_t{}) == -2);
        CHECK(cast(C::f32, C::u32, 3e9f, uint32_t{}) == 3000000000u);
        CHECK(cast(C::f32, C::u32, -1.0f, uint32_t{}) == 0);
        CHECK(cast(C::f32, C::i64, 1e19f, int64_t{}) == INT64_MAX);
        CHECK(cast(C::f32, C::i64, -INFINITY, int64_t{}) == INT64_MIN);
        CHECK(cast(C::f64, C::u64, 1e20, uint64_t{}) == UINT64_MAX);
        CHECK(cast(C::f64, C::u64, 1.5e19, uint64_t{}) == 15000000000000000000u);
        CHECK(cast(C::f64, C::i32, 2147483646.5, int32_t{}) == 2147483646);
        CHECK(cast(C::u64, C::f64, UINT64_MAX, double{}) == 0x1p64);
        CHECK(cast(C::i64, C::f32, int64_t{1} << 40, float{}) == 0x1p40f);
        CHECK(cast(C::u32, C::f32, 4000000000u, float{}) == 4e9f);
        CHECK(cast(C::f32, C::b8, NAN, uint8_t{}) == 1);
    }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("a long float sum is accurate and repeatable") {
    constexpr int64_t n = 1000003;
    Region region;
    region.space = {n};
    region.reduced = {true};
    region.inputs.push_back({DType::f32, {1}, 0});
    region.code.push_back({.op = RegionOp::load, .index = 0});
    region.outputs.push_back({DType::f32, 0, true, ReduceKind::sum});
    std::mt19937 rng(11);
    Buffer data(n * sizeof(float));
    double exact = 0;
    for (int64_t i = 0; i < n; ++i) {
        const float v = std::uniform_real_distribution<float>(0, 1)(rng);
        write(data.data() + static_cast<size_t>(i) * sizeof v, v);
        exact += static_cast<double>(v);
    }
    for (const std::string_view isa : all_isas())
        for (const int threads : {1, 2}) {
            cpu::set_max_isa(isa);
            const auto kernel = cpu::make_tile_kernel(cpu::emit_tile_program(region, {.threads = threads}));
            const float first = read<float>(run_kernel(*kernel, region, {data})[0].data());
            CHECK(std::fabs(static_cast<double>(first) - exact) <= 1e-6 * exact);
            for (int i = 0; i < 5; ++i) CHECK(read<float>(run_kernel(*kernel, region, {data})[0].data()) == first);
        }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("NaN wins maxima and minima, reduced or not") {
    for (const int64_t n : {1, 3, 17, 200, 5000})
        for (const bool rows : {false, true}) {
            Region region;
            region.space = {n, 40};
            region.reduced = {!rows, rows};
            region.inputs.push_back({DType::f32, {40, 1}, 0});
            region.code.push_back({.op = RegionOp::load, .index = 0});
            region.outputs.push_back({DType::f32, 0, true, ReduceKind::max});
            region.outputs.push_back({DType::f32, 0, true, ReduceKind::min});
            Buffer data(static_cast<size_t>(n) * 40 * sizeof(float), std::byte{0});
            const size_t spot = static_cast<size_t>(n / 2 * 40 + 23);
            write(data.data() + spot * sizeof(float), NAN);
            for (const std::string_view isa : all_isas()) {
                cpu::set_max_isa(isa);
                const auto out = run_kernel(*cpu::compile_region(region), region, {data});
                for (const Buffer& b : out)
                    for (size_t i = 0; i < b.size() / sizeof(float); ++i)
                        CHECK(std::isnan(read<float>(b.data() + i * sizeof(float))) == (i == (rows ? spot / 40 : spot % 40)));
            }
        }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("host definitions of erfinv and digamma") {
    for (double x = -5.5; x <= 5.5; x += 0.01) CHECK(std::fabs(host_eval(Prim::erfinv, std::erf(x)) - x) <= 1e-14 + 2e-16 * std::exp(x * x));
    CHECK(host_eval(Prim::erfinv, 1) == INFINITY);
    CHECK(std::isnan(host_eval(Prim::erfinv, 1.5)));
    CHECK(host_eval(Prim::erfinv, 1e-300) == doctest::Approx(0.88622692545275801e-300));
    CHECK(host_eval(Prim::digamma, 1) == doctest::Approx(-0.57721566490153286).epsilon(1e-14));
    CHECK(host_eval(Prim::digamma, 0.5) == doctest::Approx(-1.9635100260214235).epsilon(1e-14));
    CHECK(host_eval(Prim::digamma, -1.5) == doctest::Approx(0.70315664064524319).epsilon(1e-13));
    CHECK(host_eval(Prim::digamma, 100) == doctest::Approx(4.6001618527380874).epsilon(1e-14));
    CHECK(std::isnan(host_eval(Prim::digamma, -2)));
}

TEST_CASE("collapse merges what every operand walks alike and ignores a key's strides") {
    Region region;
    region.space = {4, 1, 5, 6};
    region.reduced = {false, false, true, true};
    region.inputs.push_back({DType::f32, {30, 7, 6, 1}, 0});
    region.inputs.push_back({DType::u32, {}, 0});
    region.indices.push_back({{30, 0, 6, 1}, 2});
    region.code.push_back({.op = RegionOp::load, .index = 0});
    region.code.push_back({.op = RegionOp::index, .dtype = DType::i64, .index = 0});
    RegionInstr bits{.op = RegionOp::philox, .dtype = DType::u32, .index = 1};
    bits.src[0] = 1;
    region.code.push_back(bits);
    region.outputs.push_back({DType::f32, 0, true, ReduceKind::sum});
    region.outputs.push_back({DType::u32, 2, false, ReduceKind::sum});
    const Region small = collapse(region);
    CHECK(small.space == Dims{4, 30});
    CHECK(small.inputs[0].strides == Dims{30, 1});
    CHECK(small.reduced == std::vector<bool>{false, true});
    region.outputs.erase(region.outputs.begin());
    CHECK(collapse(region).space == Dims{120});
    CHECK(!to_string(region).empty());
}
