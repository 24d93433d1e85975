// A slow, obvious evaluator of regions for the tests: one point at a time, floats in double, integers in 128 bits wrapped to
// their type after every operation.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "codegen/region.h"

namespace fk::test {

using Buffer = std::vector<std::byte>;

struct Scalar {
    double real = 0;       // floating types
    __int128 integer = 0;  // the others
};

inline float half_value(uint16_t h) {
    const int e = (h >> 10) & 31, m = h & 1023;
    const double v = e == 31 ? (m ? NAN : INFINITY) : e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25);
    return static_cast<float>(h & 0x8000 ? -v : v);
}
inline float bf16_value(uint16_t h) { return std::bit_cast<float>(static_cast<uint32_t>(h) << 16); }

// The nearest value of a 16-bit float type, by bisection over its ordered non-negative values; ties to the even one.
inline uint16_t nearest16(double x, bool half) {
    const auto value = [&](int h) {
        return static_cast<double>(half ? half_value(static_cast<uint16_t>(h)) : bf16_value(static_cast<uint16_t>(h)));
    };
    const int top = half ? 0x7bff : 0x7f7f;  // largest finite
    if (std::isnan(x)) return half ? 0x7e00 : 0x7fc0;
    const double a = std::fabs(x);
    const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    const double limit = value(top) + (value(top) - value(top - 1)) / 2;
    if (a >= limit) return static_cast<uint16_t>(sign | (top + 1));
    int low = 0, high = top;
    while (low < high) {
        const int mid = (low + high + 1) / 2;
        if (value(mid) <= a)
            low = mid;
        else
            high = mid - 1;
    }
    if (low < top) {
        const double down = a - value(low), up = value(low + 1) - a;
        if (up < down || (up == down && (low & 1))) ++low;
    } else {
        low = top;
    }
    return static_cast<uint16_t>(sign | low);
}

template <class T>
T read(const std::byte* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
void write(std::byte* p, T v) {
    std::memcpy(p, &v, sizeof v);
}

inline Scalar load(const std::byte* p, DType t) {
    switch (t) {
        case DType::boolean:
            return {0, read<uint8_t>(p) != 0};
        case DType::i8:
            return {0, read<int8_t>(p)};
        case DType::i16:
            return {0, read<int16_t>(p)};
        case DType::i32:
            return {0, read<int32_t>(p)};
        case DType::i64:
            return {0, read<int64_t>(p)};
        case DType::u8:
            return {0, read<uint8_t>(p)};
        case DType::u16:
            return {0, read<uint16_t>(p)};
        case DType::u32:
            return {0, read<uint32_t>(p)};
        case DType::u64:
            return {0, read<uint64_t>(p)};
        case DType::f16:
            return {half_value(read<uint16_t>(p)), 0};
        case DType::bf16:
            return {bf16_value(read<uint16_t>(p)), 0};
        case DType::f32:
            return {read<float>(p), 0};
        case DType::f64:
            return {read<double>(p), 0};
    }
    return {};
}

inline __int128 wrap(__int128 v, DType t) {
    switch (t) {
        case DType::boolean:
            return v != 0;
        case DType::i8:
            return static_cast<int8_t>(v);
        case DType::i16:
            return static_cast<int16_t>(v);
        case DType::i32:
            return static_cast<int32_t>(v);
        case DType::i64:
            return static_cast<int64_t>(v);
        case DType::u8:
            return static_cast<uint8_t>(v);
        case DType::u16:
            return static_cast<uint16_t>(v);
        case DType::u32:
            return static_cast<uint32_t>(v);
        default:
            return static_cast<uint64_t>(v);
    }
}

inline void store(std::byte* p, DType t, Scalar v) {
    switch (t) {
        case DType::f16:
            write(p, nearest16(v.real, true));
            break;
        case DType::bf16:
            write(p, nearest16(v.real, false));
            break;
        case DType::f32:
            write(p, static_cast<float>(v.real));
            break;
        case DType::f64:
            write(p, v.real);
            break;
        default: {
            const auto u = static_cast<uint64_t>(wrap(v.integer, t));
            std::memcpy(p, &u, size_of(t));
        }
    }
}

inline Scalar convert(Scalar v, DType from, DType to) {
    if (is_float(from)) {
        if (to == DType::f16) return {half_value(nearest16(static_cast<float>(v.real), true)), 0};
        if (to == DType::bf16) return {bf16_value(nearest16(static_cast<float>(v.real), false)), 0};
        if (to == DType::f32) return {static_cast<float>(v.real), 0};
        if (to == DType::f64) return v;
        if (to == DType::boolean) return {0, v.real != 0};
        if (std::isnan(v.real)) return {};
        const __int128 low = is_signed_int(to) ? -(__int128{1} << (size_of(to) * 8 - 1)) : 0;
        const __int128 high = (__int128{1} << (size_of(to) * 8 - (is_signed_int(to) ? 1 : 0))) - 1;
        if (v.real <= static_cast<double>(low)) return {0, low};
        if (v.real >= static_cast<double>(high)) return {0, high};
        return {0, static_cast<__int128>(v.real)};
    }
    if (is_float(to)) return convert({static_cast<double>(v.integer), 0}, DType::f64, to);
    return {0, wrap(v.integer, to)};
}

inline uint32_t philox_word(uint64_t index, const uint32_t* key) {
    const uint64_t counter = index / 4;
    uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}, k[2] = {key[0], key[1]};
    for (int r = 0; r < 10; ++r) {
        const uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
        const uint32_t next[4] = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
                                  static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
        std::memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9;
        k[1] += 0xBB67AE85;
    }
    return c[index % 4];
}

inline __int128 floor_divide(__int128 a, __int128 b) {
    if (b == 0) return 0;
    const __int128 q = a / b;
    return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
}

inline Scalar apply_integer(Prim p, __int128 a, __int128 b, DType t) {
    const int width = static_cast<int>(size_of(t)) * 8;
    switch (p) {
        case Prim::add:
            return {0, a + b};
        case Prim::subtract:
            return {0, a - b};
        case Prim::multiply:
            return {0, static_cast<__int128>(static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b))};
        case Prim::maximum:
            return {0, a > b ? a : b};
        case Prim::minimum:
            return {0, a < b ? a : b};
        case Prim::neg:
            return {0, -a};
        case Prim::abs:
            return {0, a < 0 ? -a : a};
        case Prim::sign:
            return {0, (a > 0) - (a < 0)};
        case Prim::floor_divide:
            return {0, floor_divide(a, b)};
        case Prim::mod:
            return {0, b == 0 ? 0 : a - floor_divide(a, b) * b};
        case Prim::bitwise_and:
            return {0, a & b};
        case Prim::bitwise_or:
            return {0, a | b};
        case Prim::bitwise_xor:
            return {0, a ^ b};
        case Prim::bitwise_not:
            return {0, t == DType::boolean ? a == 0 : ~a};
        case Prim::left_shift:
            return {0, b < 0 || b >= width ? 0 : a << b};
        case Prim::right_shift:
            return {0, b < 0 || b >= width ? (a < 0 ? -1 : 0) : a >> b};
        case Prim::equal:
            return {0, a == b};
        case Prim::not_equal:
            return {0, a != b};
        case Prim::less:
            return {0, a < b};
        case Prim::less_equal:
            return {0, a <= b};
        case Prim::greater:
            return {0, a > b};
        case Prim::greater_equal:
            return {0, a >= b};
        case Prim::logical_and:
            return {0, a && b};
        case Prim::logical_or:
            return {0, a || b};
        case Prim::logical_xor:
            return {0, (a != 0) != (b != 0)};
        case Prim::logical_not:
            return {0, a == 0};
        default:
            return {0, static_cast<__int128>(host_eval(p, static_cast<double>(a), static_cast<double>(b)))};
    }
}

class Reference {
  public:
    Reference(const Region& region, const std::vector<Buffer>& inputs)
        : region_(region), inputs_(inputs), values_(region.code.size()) {}

    std::vector<Buffer> run() {
        std::vector<Buffer> out(region_.outputs.size());
        std::vector<std::vector<Scalar>> results(region_.outputs.size());
        std::vector<std::vector<bool>> seen(region_.outputs.size());
        Dims kept;
        for (size_t d = 0; d < region_.space.size(); ++d)
            if (!region_.reduced[d]) kept.push_back(region_.space[d]);
        for (size_t o = 0; o < out.size(); ++o) {
            const auto n = static_cast<size_t>(region_.outputs[o].reduced ? product(kept) : product(region_.space));
            out[o].resize(n * size_of(region_.outputs[o].dtype));
            if (region_.outputs[o].reduced) results[o].resize(n), seen[o].resize(n);
        }
        const int64_t total = product(region_.space);
        Dims c(region_.space.size(), 0);
        for (int64_t p = 0; p < total; ++p) {
            int64_t r = 0;
            for (size_t d = 0; d < c.size(); ++d)
                if (!region_.reduced[d]) r = r * region_.space[d] + c[d];
            for (size_t i = 0; i < region_.code.size(); ++i) values_[i] = evaluate(region_.code[i], c);
            for (size_t o = 0; o < out.size(); ++o) {
                const RegionOutput& spec = region_.outputs[o];
                const DType from = region_.code[static_cast<size_t>(spec.src)].dtype;
                Scalar v = values_[static_cast<size_t>(spec.src)];
                if (!spec.reduced) {
                    v = from == spec.dtype || (is_float(from) && is_float(spec.dtype)) ? v : convert(v, from, spec.dtype);
                    store(out[o].data() + static_cast<size_t>(p) * size_of(spec.dtype), spec.dtype, v);
                    continue;
                }
                if (is_float(spec.dtype) != is_float(from)) v = convert(v, from, spec.dtype);
                auto& acc = results[o][static_cast<size_t>(r)];
                if (!seen[o][static_cast<size_t>(r)])
                    acc = v;
                else
                    acc = combine(spec.kind, acc, v);
                seen[o][static_cast<size_t>(r)] = true;
            }
            for (size_t d = c.size(); d-- > 0;) {
                if (++c[d] < region_.space[d]) break;
                c[d] = 0;
            }
        }
        for (size_t o = 0; o < out.size(); ++o)
            for (size_t i = 0; i < results[o].size(); ++i)
                store(out[o].data() + i * size_of(region_.outputs[o].dtype), region_.outputs[o].dtype, results[o][i]);
        return out;
    }

  private:
    static Scalar combine(ReduceKind kind, Scalar a, Scalar b) {
        switch (kind) {
            case ReduceKind::sum:
                return {a.real + b.real, a.integer + b.integer};
            case ReduceKind::prod:
                return {a.real * b.real, wrap(a.integer * b.integer, DType::i64)};
            case ReduceKind::max:
                return {host_eval(Prim::maximum, a.real, b.real), std::max(a.integer, b.integer)};
            case ReduceKind::min:
                break;
        }
        return {host_eval(Prim::minimum, a.real, b.real), std::min(a.integer, b.integer)};
    }

    Scalar evaluate(const RegionInstr& instr, const Dims& c) const {
        switch (instr.op) {
            case RegionOp::load: {
                const RegionInput& in = region_.inputs[static_cast<size_t>(instr.index)];
                int64_t at = in.offset;
                for (size_t d = 0; d < c.size(); ++d) at += c[d] * in.strides[d];
                return load(inputs_[static_cast<size_t>(instr.index)].data() + at * static_cast<int64_t>(size_of(in.dtype)),
                            in.dtype);
            }
            case RegionOp::constant:
                return is_float(instr.dtype) ? Scalar{instr.imm, 0} : Scalar{0, instr.int_imm};
            case RegionOp::index: {
                const RegionIndex& index = region_.indices[static_cast<size_t>(instr.index)];
                int64_t at = index.offset;
                for (size_t d = 0; d < c.size(); ++d) at += c[d] * index.strides[d];
                return {0, at};
            }
            case RegionOp::philox: {
                uint32_t key[2];
                std::memcpy(key, inputs_[static_cast<size_t>(instr.index)].data(), sizeof key);
                return {0, philox_word(static_cast<uint64_t>(values_[static_cast<size_t>(instr.src[0])].integer), key)};
            }
            case RegionOp::prim:
                break;
        }
        const auto source = [&](int k) { return values_[static_cast<size_t>(instr.src[k])]; };
        const auto type = [&](int k) { return region_.code[static_cast<size_t>(instr.src[k])].dtype; };
        if (instr.prim == Prim::cast) return convert(source(0), type(0), instr.dtype);
        if (instr.prim == Prim::where) return source(0).integer ? source(1) : source(2);
        const DType t = type(0);
        const Scalar a = source(0), b = arity(instr.prim) > 1 ? source(1) : Scalar{};
        Scalar r =
            is_float(t) ? Scalar{host_eval(instr.prim, a.real, b.real), 0} : apply_integer(instr.prim, a.integer, b.integer, t);
        if (is_float(t) && !is_float(instr.dtype)) return {0, r.real != 0};
        if (!is_float(instr.dtype)) r.integer = wrap(r.integer, instr.dtype);
        return r;
    }

    const Region& region_;
    const std::vector<Buffer>& inputs_;
    std::vector<Scalar> values_;
};

}  // namespace fk::test
