// Integer and boolean arithmetic. Signed arithmetic wraps, division by zero gives 0, shifts by the width or more give 0 or,
// to the right of a negative number, -1.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

template <class T>
struct Bits;
template <>
struct Bits<int32_t> {
    using U = uint32_t;
};
template <>
struct Bits<uint32_t> {
    using U = uint32_t;
};
template <>
struct Bits<int64_t> {
    using U = uint64_t;
};
template <>
struct Bits<uint64_t> {
    using U = uint64_t;
};
template <class T>
using Unsigned = typename Bits<T>::U;
template <class T>
constexpr bool kSigned = static_cast<T>(-1) < static_cast<T>(0);

struct WrapAdd {
    template <class T>
    static T of(T a, T b) {
        return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
    }
};
struct WrapSubtract {
    template <class T>
    static T of(T a, T b) {
        return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
    }
};
struct WrapMultiply {
    template <class T>
    static T of(T a, T b) {
        return static_cast<T>(static_cast<Unsigned<T>>(a) * static_cast<Unsigned<T>>(b));
    }
};
struct WrapNeg {
    template <class T>
    static T of(T a) {
        return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a));
    }
};
struct WrapAbs {
    template <class T>
    static T of(T a) {
        if constexpr (kSigned<T>)
            return a < 0 ? WrapNeg::of(a) : a;
        else
            return a;
    }
};
struct Sign {
    template <class T>
    static T of(T a) {
        return static_cast<T>((a > 0) - (a < 0));
    }
};
struct Not {
    template <class T>
    static T of(T a) {
        return static_cast<T>(~a);
    }
};
struct IsZero {
    template <class T>
    static bool of(T a) {
        return a == 0;
    }
};
struct Maximum {
    template <class T>
    static T of(T a, T b) {
        return a > b ? a : b;
    }
};
struct Minimum {
    template <class T>
    static T of(T a, T b) {
        return a < b ? a : b;
    }
};
struct And {
    template <class T>
    static T of(T a, T b) {
        return a & b;
    }
};
struct Or {
    template <class T>
    static T of(T a, T b) {
        return a | b;
    }
};
struct Xor {
    template <class T>
    static T of(T a, T b) {
        return a ^ b;
    }
};
// Operands are 0 or 1 except when a foreign buffer says otherwise.
struct BoolAnd {
    static uint8_t of(uint8_t a, uint8_t b) { return (a != 0) & (b != 0); }
};
struct BoolOr {
    static uint8_t of(uint8_t a, uint8_t b) { return (a | b) != 0; }
};
struct BoolXor {
    static uint8_t of(uint8_t a, uint8_t b) { return (a != 0) ^ (b != 0); }
};

struct LeftShift {
    template <class T>
    static T of(T a, T b) {
        constexpr Unsigned<T> width = sizeof(T) * 8;
        const Unsigned<T> by = static_cast<Unsigned<T>>(b);
        const Unsigned<T> shifted = static_cast<Unsigned<T>>(a) << (by & (width - 1));
        return by < width ? static_cast<T>(shifted) : T{0};
    }
};
struct RightShift {
    template <class T>
    static T of(T a, T b) {
        constexpr Unsigned<T> width = sizeof(T) * 8;
        const Unsigned<T> by = static_cast<Unsigned<T>>(b);
        return static_cast<T>(by < width ? a >> (by & (width - 1)) : a < 0 ? T(-1) : T{0});
    }
};
struct FloorDivide {
    template <class T>
    static T of(T a, T b) {
        if (b == 0) return 0;
        if constexpr (kSigned<T>) {
            if (b == -1) return WrapNeg::of(a);
            const T q = a / b;
            return q * b != a && (a < 0) != (b < 0) ? q - 1 : q;
        } else {
            return a / b;
        }
    }
};
struct Mod {
    template <class T>
    static T of(T a, T b) {
        if (b == 0) return 0;
        if constexpr (kSigned<T>) {
            if (b == -1) return 0;
            const T r = a % b;
            return r != 0 && (r < 0) != (b < 0) ? r + b : r;
        } else {
            return a % b;
        }
    }
};
struct Power {
    template <class T>
    static T of(T a, T b) {
        using U = Unsigned<T>;
        if constexpr (kSigned<T>) {
            if (b < 0) return a == 1 ? T{1} : a == -1 ? static_cast<T>(b & 1 ? -1 : 1) : T{0};
        }
        U result = 1, base = static_cast<U>(a);
        for (U e = static_cast<U>(b); e; e >>= 1, base *= base)
            if (e & 1) result *= base;
        return static_cast<T>(result);
    }
};

template <class T>
void fill_class(KernelTable& t, Class cls) {
    const int c = id(cls);
    auto unary = [&](Prim p, TileFn fn) { t.unary[id(p)][c] = fn; };
    unary(Prim::neg, map1<T, T, WrapNeg>);
    unary(Prim::abs, map1<T, T, WrapAbs>);
    unary(Prim::sign, map1<T, T, Sign>);
    for (const Prim p : {Prim::floor, Prim::ceil, Prim::round, Prim::trunc}) unary(p, map1<T, T, Identity>);
    unary(Prim::bitwise_not, map1<T, T, Not>);
    unary(Prim::logical_not, map1<uint8_t, T, IsZero>);
    unary(Prim::isfinite, map1<uint8_t, T, Always>);
    unary(Prim::isnan, map1<uint8_t, T, Never>);
    unary(Prim::isinf, map1<uint8_t, T, Never>);
    set_binary<T, T, WrapAdd>(t.binary[id(Prim::add)][c]);
    set_binary<T, T, WrapSubtract>(t.binary[id(Prim::subtract)][c]);
    set_binary<T, T, WrapMultiply>(t.binary[id(Prim::multiply)][c]);
    set_binary<T, T, Maximum>(t.binary[id(Prim::maximum)][c]);
    set_binary<T, T, Minimum>(t.binary[id(Prim::minimum)][c]);
    set_binary<T, T, And>(t.binary[id(Prim::bitwise_and)][c]);
    set_binary<T, T, Or>(t.binary[id(Prim::bitwise_or)][c]);
    set_binary<T, T, Xor>(t.binary[id(Prim::bitwise_xor)][c]);
    set_binary<T, T, LeftShift>(t.binary[id(Prim::left_shift)][c]);
    set_binary<T, T, RightShift>(t.binary[id(Prim::right_shift)][c]);
    t.binary[id(Prim::floor_divide)][c][vv] = map2<T, T, FloorDivide, vv>;
    t.binary[id(Prim::mod)][c][vv] = map2<T, T, Mod, vv>;
    t.binary[id(Prim::power)][c][vv] = map2<T, T, Power, vv>;
    set_comparisons<T>(t, cls);
}

}  // namespace

void fill_integer(KernelTable& t) {
    fill_class<int32_t>(t, Class::i32);
    fill_class<uint32_t>(t, Class::u32);
    fill_class<int64_t>(t, Class::i64);
    fill_class<uint64_t>(t, Class::u64);

    constexpr int b = id(Class::b8);
    t.unary[id(Prim::logical_not)][b] = map1<uint8_t, uint8_t, IsZero>;
    t.unary[id(Prim::bitwise_not)][b] = map1<uint8_t, uint8_t, IsZero>;
    for (const Prim p : {Prim::logical_and, Prim::bitwise_and}) set_binary<uint8_t, uint8_t, BoolAnd>(t.binary[id(p)][b]);
    for (const Prim p : {Prim::logical_or, Prim::bitwise_or}) set_binary<uint8_t, uint8_t, BoolOr>(t.binary[id(p)][b]);
    for (const Prim p : {Prim::logical_xor, Prim::bitwise_xor}) set_binary<uint8_t, uint8_t, BoolXor>(t.binary[id(p)][b]);
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
