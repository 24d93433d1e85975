// What the tests of regions share: running a kernel on plain buffers, comparing its outputs, and random regions of every form,
// layout and dtype.
#pragma once

#include <algorithm>
#include <random>

#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "region_reference.h"

namespace fk::test {

inline std::vector<std::string_view> all_isas() {
    std::vector<std::string_view> out;
    for (const auto isa : {cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::avx512_bf16})
        if (isa <= cpu::detected_isa()) out.push_back(cpu::name(isa));
    return out;
}

inline std::vector<Buffer> run_kernel(const Kernel& kernel, const Region& region, const std::vector<Buffer>& inputs,
                                      bool in_place = false) {
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
        if (shared[o] >= 0)
            outs[o].assign(ins[static_cast<size_t>(shared[o])].begin(),
                           ins[static_cast<size_t>(shared[o])].begin() + static_cast<std::ptrdiff_t>(outs[o].size()));
    return outs;
}

// Counts elements that differ by more than the rounding their type and computation allow.
inline size_t mismatches(const RegionOutput& spec, const Buffer& got, const Buffer& want, double slack) {
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
        const double unit = spec.dtype == DType::f16    ? 0x1p-10
                            : spec.dtype == DType::bf16 ? 0x1p-7
                            : spec.dtype == DType::f32  ? 0x1p-22
                                                        : 0x1p-50;
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
        static const std::vector<DType> common = {DType::f32, DType::f32, DType::f32, DType::f16, DType::bf16,
                                                  DType::f64, DType::i32, DType::i64, DType::u8,  DType::i8,
                                                  DType::u32, DType::u64, DType::i16, DType::u16, DType::boolean};
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
            const bool broadcast = layout < 4    ? false
                                   : layout == 4 ? true
                                   : layout == 5 ? d + 1 != rank
                                   : layout == 6 ? d + 1 == rank
                                                 : chance(0.4);
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
            const int64_t v =
                is_unsigned_int(type) || type == DType::boolean ? pick(0, type == DType::boolean ? 1 : 9) : pick(-9, 9);
            store(data.data() + i, type, {static_cast<double>(v) / 4, v});
        }
        inputs.push_back(std::move(data));
        region.inputs.push_back(in);
        push({.op = RegionOp::load, .dtype = type, .index = static_cast<int32_t>(region.inputs.size()) - 1}, 0);
    }

    void add_constant() {
        push({.op = RegionOp::constant,
              .dtype = base_,
              .imm = static_cast<double>(pick(-8, 8)) / 4,
              .int_imm = base_ == DType::boolean ? 1 : pick(0, 5)},
             0);
    }

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

    int any_value() {
        return static_cast<int>(pick(std::max<int64_t>(0, static_cast<int64_t>(region.code.size()) - 6),
                                     static_cast<int64_t>(region.code.size()) - 1));
    }
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
            if (t == DType::boolean)
                instr.prim = one_of(
                    {Prim::logical_and, Prim::logical_or, Prim::logical_xor, Prim::bitwise_and, Prim::bitwise_or, Prim::maximum});
            else if (is_float(t))
                instr.prim = deep < 1 && chance(0.4) ? Prim::multiply
                             : deep > 6              ? Prim::maximum
                                                     : one_of({Prim::add, Prim::subtract, Prim::maximum, Prim::minimum});
            else
                instr.prim = one_of({Prim::add, Prim::subtract, Prim::multiply, Prim::maximum, Prim::minimum, Prim::floor_divide,
                                     Prim::mod, Prim::bitwise_xor, Prim::right_shift, Prim::left_shift});
            push(instr, std::max(level(instr.src[0]) + level(instr.src[1]), deep) + (instr.prim == Prim::maximum ? 0 : 1));
        } else if (what < 7) {
            instr.src[0] = value_of(t);
            instr.prim = t == DType::boolean ? Prim::logical_not
                         : is_float(t)
                             ? one_of({Prim::neg, Prim::abs, Prim::sign, Prim::floor, Prim::ceil, Prim::trunc, Prim::round})
                             : one_of({Prim::neg, Prim::abs, Prim::sign, Prim::bitwise_not});
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

}  // namespace fk::test
