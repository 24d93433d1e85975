// Types the code of a region: which class each value is computed in, and the conversions between memory types and classes.
#include "codegen/typed_code.h"

#include <array>
#include <bit>
#include <cmath>
#include <map>

#include "core/errors.h"

namespace fk {
namespace {

using Kind = TypedStep::Kind;

bool is_comparison(Prim p) { return p >= Prim::equal && p <= Prim::greater_equal; }
bool is_classification(Prim p) { return p == Prim::isfinite || p == Prim::isnan || p == Prim::isinf; }
bool is_logical(Prim p) {
    return p == Prim::logical_and || p == Prim::logical_or || p == Prim::logical_xor || p == Prim::logical_not;
}
bool is_bitwise(Prim p) {
    return p == Prim::bitwise_and || p == Prim::bitwise_or || p == Prim::bitwise_xor || p == Prim::bitwise_not;
}

bool is_shift(Prim p) { return p == Prim::left_shift || p == Prim::right_shift; }

// Memory types whose values are held in a wider class.
bool is_narrow(DType t) { return size_of(t) < size_of(class_of(t)); }
bool is_narrow_int(DType t) { return is_narrow(t) && !is_float(t); }

// Primitives on small integers whose int32 result is again a value of the type.
bool stays_in_range(Prim p) {
    switch (p) {
        case Prim::maximum:
        case Prim::minimum:
        case Prim::bitwise_and:
        case Prim::bitwise_or:
        case Prim::bitwise_xor:
        case Prim::right_shift:
        case Prim::floor:
        case Prim::ceil:
        case Prim::round:
        case Prim::trunc:
            return true;
        default:
            return false;
    }
}

class Lowering {
  public:
    explicit Lowering(const Region& region) : region_(region) {}

    TypedCode run() {
        mark_needed();
        values_.resize(region_.code.size());
        for (size_t i = 0; i < region_.code.size(); ++i)
            if (needed_[i]) values_[i] = lower(region_.code[i]);
        for (const RegionOutput& o : region_.outputs) {
            const Value v = value(o.src);
            out_.output_steps.push_back(o.reduced ? reduced(v, o) : stored(v, o.dtype));
        }
        return std::move(out_);
    }

  private:
    struct Value {
        int step = -1;
        DType type = DType::f32;
    };

    void mark_needed() {
        needed_.assign(region_.code.size(), false);
        for (const RegionOutput& o : region_.outputs) needed_.at(static_cast<size_t>(o.src)) = true;
        for (size_t i = region_.code.size(); i-- > 0;) {
            if (!needed_[i]) continue;
            for (const int32_t s : region_.code[i].src) {
                if (s < 0) continue;
                check_internal(static_cast<size_t>(s) < i, "region: instruction ", i, " reads %", s);
                needed_[static_cast<size_t>(s)] = true;
            }
        }
    }

    const Value& value(int32_t i) const { return values_.at(static_cast<size_t>(i)); }
    const TypedStep& step(int i) const { return out_.steps[static_cast<size_t>(i)]; }

    int add(TypedStep s, std::initializer_list<int> sources = {}) {
        s.set_sources(sources);
        out_.steps.push_back(s);
        return static_cast<int>(out_.steps.size()) - 1;
    }
    int make(Kind kind, Class from, Class to, std::initializer_list<int> sources, DType type = DType::f32,
             Prim prim = Prim::none) {
        TypedStep s;
        s.kind = kind;
        s.prim = prim;
        s.type = type;
        s.from = from;
        s.cls = to;
        s.size = kind == Kind::store_convert ? size_of(type) : size_of(to);
        return add(s, sources);
    }

    // The number that memory of a narrow integer type would hold. Constants of 16-bit floats keep their precision, as the values
    // between the instructions of a loop do.
    static int64_t wrapped(DType type, int64_t integer) {
        switch (type) {
            case DType::i8:
                return static_cast<int8_t>(integer);
            case DType::u8:
                return static_cast<uint8_t>(integer);
            case DType::i16:
                return static_cast<int16_t>(integer);
            case DType::u16:
                return static_cast<uint16_t>(integer);
            default:
                return integer;
        }
    }

    Value constant(DType type, double real, int64_t integer) {
        integer = wrapped(type, integer);
        TypedStep s;
        s.kind = Kind::constant;
        s.cls = s.from = class_of(type);
        s.size = size_of(s.cls);
        switch (s.cls) {
            case Class::f32:
                s.bits = std::bit_cast<uint32_t>(static_cast<float>(real));
                break;
            case Class::f64:
                s.bits = std::bit_cast<uint64_t>(real);
                break;
            case Class::b8:
                s.bits = integer != 0;
                break;
            case Class::i32:
            case Class::u32:
                s.bits = static_cast<uint32_t>(integer);
                break;
            default:
                s.bits = static_cast<uint64_t>(integer);
        }
        return {add(s), type};
    }

    Value load(int32_t input) {
        const DType type = region_.inputs.at(static_cast<size_t>(input)).dtype;
        auto [at, fresh] = loads_.try_emplace(input, -1);
        if (fresh) {
            TypedStep s;
            s.kind = Kind::load;
            s.arg = input;
            s.type = type;
            s.cls = s.from = class_of(type);
            s.size = size_of(type);
            at->second = add(s);
            if (is_narrow(type)) at->second = make(Kind::load_convert, s.cls, s.cls, {at->second}, type);
        }
        return {at->second, type};
    }

    Value cast(Value v, DType to) {
        const DType from = v.type;
        if (from == to) return v;
        const Class cf = class_of(from), ct = class_of(to);
        int s = v.step;
        if (is_narrow_int(to)) {
            if (cf != Class::i32) s = make(Kind::cast, cf, Class::i32, {s});
            if (is_float(from))
                s = make(Kind::clamp, Class::i32, Class::i32, {s}, to);
            else if (from != DType::boolean)
                s = make(Kind::wrap, Class::i32, Class::i32, {s}, to);
            return {s, to};
        }
        if (cf != ct) s = make(Kind::cast, cf, ct, {s});
        if (to == DType::f16 || to == DType::bf16) s = make(Kind::wrap, ct, ct, {s}, to);
        return {s, to};
    }
    // The same without rounding to 16-bit floats: what follows is computed in their class anyway.
    Value widen(Value v, DType to) {
        if (class_of(to) == Class::f32 && to != v.type) {
            v = cast(v, DType::f32);
            v.type = to;
            return v;
        }
        return cast(v, to);
    }

    Value lower(const RegionInstr& c) {
        switch (c.op) {
            case RegionOp::load:
                return widen(load(c.index), c.dtype);
            case RegionOp::constant:
                return constant(c.dtype, c.imm, c.int_imm);
            case RegionOp::index: {
                TypedStep s;
                s.kind = Kind::index;
                s.arg = c.index;
                s.cls = s.from = Class::i64;
                s.size = 8;
                return cast({add(s), DType::i64}, c.dtype);
            }
            case RegionOp::philox: {
                TypedStep s;
                s.kind = Kind::philox;
                s.arg = c.index;
                s.from = Class::i64;
                s.cls = Class::u32;
                const int index = cast(value(c.src[0]), DType::i64).step;
                return cast({add(s, {index}), DType::u32}, c.dtype);
            }
            case RegionOp::prim:
                break;
        }
        return prim(c);
    }

    // A value is held in its class; the two 16-bit floats are not rounded after each operation.
    Value prim(const RegionInstr& c) {
        if (c.prim == Prim::cast) return cast(value(c.src[0]), c.dtype);
        if (c.prim == Prim::where) {
            const int condition = cast(value(c.src[0]), DType::boolean).step;
            const int yes = widen(value(c.src[1]), c.dtype).step, no = widen(value(c.src[2]), c.dtype).step;
            const Class cls = class_of(c.dtype);
            return {make(Kind::select, cls, cls, {condition, yes, no}), c.dtype};
        }
        const bool two = arity(c.prim) == 2;
        DType type = value(c.src[0]).type;
        if (two) type = promote(type, value(c.src[1]).type);
        if (is_logical(c.prim))
            type = DType::boolean;
        else if (type == DType::boolean && !is_bitwise(c.prim))
            type = DType::i32;
        if (!computes(c.prim, class_of(type)) && !is_float(type)) type = is_float(c.dtype) ? c.dtype : DType::f32;
        check_internal(computes(c.prim, class_of(type)), "primitive ", name(c.prim), " on ", name(type));

        const Class cls = class_of(type);
        const bool to_bool = is_comparison(c.prim) || is_classification(c.prim) || is_logical(c.prim);
        const Class result = to_bool ? Class::b8 : cls;
        const int a = widen(value(c.src[0]), type).step;
        Value v{-1, to_bool ? DType::boolean : type};
        if (two)
            v.step = make(Kind::binary, cls, result, {a, widen(value(c.src[1]), type).step}, DType::f32, c.prim);
        else
            v.step = make(Kind::unary, cls, result, {a}, DType::f32, c.prim);
        if (is_narrow_int(v.type) && !stays_in_range(c.prim)) v.step = make(Kind::wrap, cls, cls, {v.step}, v.type);
        return v.type == c.dtype ? v : widen(v, c.dtype);
    }

    // The value in its memory type. Rounding to that type beforehand would be done twice.
    int stored(Value v, DType type) {
        v = class_of(v.type) == class_of(type) && is_float(type) ? v : cast(v, type);
        if (!is_narrow(type)) return v.step;
        while (step(v.step).kind == Kind::wrap && step(v.step).type == type) v.step = step(v.step).src[0];
        const TypedStep& s = step(v.step);
        if (s.kind == Kind::load_convert && s.type == type) return s.src[0];
        return make(Kind::store_convert, class_of(type), class_of(type), {v.step}, type);
    }

    // The value in the class it is accumulated in: the output's, unless the value is a wider float.
    int reduced(Value v, const RegionOutput& o) {
        if (is_float(v.type) && is_float(o.dtype) && size_of(class_of(v.type)) > size_of(class_of(o.dtype))) return v.step;
        if (o.dtype == DType::boolean) return cast(cast(v, DType::boolean), DType::i32).step;
        return widen(v, o.dtype).step;
    }

    const Region& region_;
    TypedCode out_;
    std::vector<bool> needed_;
    std::vector<Value> values_;
    std::map<int32_t, int> loads_;
};

constexpr std::array<std::string_view, 16> kKindNames = {"load",   "constant", "index",        "philox",        "unary", "binary",
                                                         "select", "cast",     "load_convert", "store_convert", "wrap",  "clamp",
                                                         "copy",   "splat",    "pair",         "compare_select"};

double prim_cost(Prim p, Class c) {
    const bool f64 = c == Class::f64;
    switch (p) {
        case Prim::exp:
            return f64 ? 5 : 0.25;
        case Prim::expm1:
        case Prim::log:
        case Prim::log2:
        case Prim::log10:
        case Prim::log1p:
        case Prim::tanh:
        case Prim::sigmoid:
        case Prim::erf:
            return f64 ? 12 : 0.45;
        case Prim::sin:
        case Prim::cos:
            return f64 ? 12 : 0.6;
        case Prim::power:
            return f64 ? 25 : c == Class::f32 ? 1.3 : 4;
        case Prim::tan:
        case Prim::asin:
        case Prim::acos:
        case Prim::atan:
        case Prim::sinh:
        case Prim::cosh:
        case Prim::asinh:
        case Prim::acosh:
        case Prim::atanh:
        case Prim::lgamma:
        case Prim::atan2:
            return 12;
        case Prim::erfinv:
        case Prim::digamma:
            return 80;
        case Prim::mod:
            return is_float(f64 ? DType::f64 : DType::f32) && (f64 || c == Class::f32) ? 10 : 2;
        case Prim::floor_divide:
            return c == Class::f32 || f64 ? 0.4 : 2;
        case Prim::divide:
        case Prim::sqrt:
        case Prim::rsqrt:
        case Prim::reciprocal:
            return 0.15;
        default:
            return size_of(c) == 8 ? 0.1 : 0.05;
    }
}

}  // namespace

std::string TypedStep::text() const {
    return concat(kKindNames[static_cast<size_t>(kind)], " ", name(prim), " class ", static_cast<int>(from), " to ",
                  static_cast<int>(cls));
}

double step_cost(const TypedStep& s) {
    switch (s.kind) {
        case Kind::constant:
        case Kind::load:
            return 0;
        case Kind::index:
            return 0.1;
        case Kind::philox:
            return 0.9;
        case Kind::unary:
        case Kind::binary:
            return prim_cost(s.prim, s.from);
        default:
            return size_of(s.cls) == 8 ? 0.1 : 0.06;
    }
}

Class class_of(DType t) {
    switch (t) {
        case DType::boolean:
            return Class::b8;
        case DType::u32:
            return Class::u32;
        case DType::i64:
            return Class::i64;
        case DType::u64:
            return Class::u64;
        case DType::f16:
        case DType::bf16:
        case DType::f32:
            return Class::f32;
        case DType::f64:
            return Class::f64;
        default:
            return Class::i32;
    }
}

size_t size_of(Class c) { return c == Class::b8 ? 1 : c == Class::i32 || c == Class::u32 || c == Class::f32 ? 4 : 8; }

bool computes(Prim p, Class cls) {
    if (p == Prim::cast || p == Prim::where || p == Prim::none) return false;
    if (cls == Class::b8) return is_logical(p) || is_bitwise(p);
    if (cls == Class::f32 || cls == Class::f64) return !is_bitwise(p) && !is_shift(p) && !is_logical(p);
    if (is_comparison(p) || is_classification(p) || is_bitwise(p) || is_shift(p)) return true;
    switch (p) {
        case Prim::neg:
        case Prim::abs:
        case Prim::sign:
        case Prim::floor:
        case Prim::ceil:
        case Prim::round:
        case Prim::trunc:
        case Prim::logical_not:
        case Prim::add:
        case Prim::subtract:
        case Prim::multiply:
        case Prim::maximum:
        case Prim::minimum:
        case Prim::floor_divide:
        case Prim::mod:
        case Prim::power:
            return true;
        default:
            return false;
    }
}

TypedCode type_code(const Region& region) { return Lowering(region).run(); }

}  // namespace fk
