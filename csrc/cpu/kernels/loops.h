// Loops the compiler vectorises: one function object per scalar operation, one loop per operand form. `ivdep` states the
// contract of table.h: the destination is an operand itself or does not overlap it.
#pragma once

#include "cpu/kernels/simd.h"
#include "cpu/kernels/table.h"

namespace fk::cpu::FK_ISA_NAMESPACE {

// Each source file fills its part of kernel_table().
void fill_float(KernelTable& t);
void fill_transcendental(KernelTable& t);
void fill_double(KernelTable& t);
void fill_integer(KernelTable& t);
void fill_convert(KernelTable& t);
void fill_reduce(KernelTable& t);
void fill_move(KernelTable& t);
void fill_philox(KernelTable& t);

namespace {

template <class T>
[[gnu::always_inline]] inline T* at(void* p) {
    return static_cast<T*>(p);
}
template <class T>
[[gnu::always_inline]] inline const T* at(const void* p) {
    return static_cast<const T*>(p);
}

template <class D, class A, class Op>
void map1(void* dst, const void* a, const void*, const void*, const void*, int64_t n) {
    D* d = at<D>(dst);
    const A* x = at<A>(a);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<D>(Op::of(x[i]));
}

template <class D, class A, class Op, Form2 F>
void map2(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    D* d = at<D>(dst);
    const A* x = at<A>(a);
    const A* y = at<A>(b);
    if constexpr (F == vv) {
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) d[i] = static_cast<D>(Op::of(x[i], y[i]));
    } else if constexpr (F == vs) {
        const A s = y[0];
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) d[i] = static_cast<D>(Op::of(x[i], s));
    } else {
        const A s = x[0];
#pragma GCC ivdep
        for (int64_t i = 0; i < n; ++i) d[i] = static_cast<D>(Op::of(s, y[i]));
    }
}

template <class D, class A, class Op>
void set_binary(TileFn (&entry)[kForm2Count]) {
    entry[vv] = map2<D, A, Op, vv>;
    entry[vs] = map2<D, A, Op, vs>;
    entry[sv] = map2<D, A, Op, sv>;
}

// Operations that read the same on every arithmetic type.
struct Add {
    template <class T>
    static T of(T a, T b) {
        return a + b;
    }
};
struct Subtract {
    template <class T>
    static T of(T a, T b) {
        return a - b;
    }
};
struct Multiply {
    template <class T>
    static T of(T a, T b) {
        return a * b;
    }
};
struct Divide {
    template <class T>
    static T of(T a, T b) {
        return a / b;
    }
};
struct Equal {
    template <class T>
    static bool of(T a, T b) {
        return a == b;
    }
};
struct NotEqual {
    template <class T>
    static bool of(T a, T b) {
        return a != b;
    }
};
struct Less {
    template <class T>
    static bool of(T a, T b) {
        return a < b;
    }
};
struct LessEqual {
    template <class T>
    static bool of(T a, T b) {
        return a <= b;
    }
};
struct Greater {
    template <class T>
    static bool of(T a, T b) {
        return a > b;
    }
};
struct GreaterEqual {
    template <class T>
    static bool of(T a, T b) {
        return a >= b;
    }
};
struct Identity {
    template <class T>
    static T of(T a) {
        return a;
    }
};
struct Always {
    template <class T>
    static bool of(T) {
        return true;
    }
};
struct Never {
    template <class T>
    static bool of(T) {
        return false;
    }
};

constexpr int id(Prim p) { return static_cast<int>(p); }
constexpr int id(Class c) { return static_cast<int>(c); }
constexpr int id(DType t) { return static_cast<int>(t); }

template <class T>
void set_comparisons(KernelTable& t, Class c) {
    set_binary<uint8_t, T, Equal>(t.binary[id(Prim::equal)][id(c)]);
    set_binary<uint8_t, T, NotEqual>(t.binary[id(Prim::not_equal)][id(c)]);
    set_binary<uint8_t, T, Less>(t.binary[id(Prim::less)][id(c)]);
    set_binary<uint8_t, T, LessEqual>(t.binary[id(Prim::less_equal)][id(c)]);
    set_binary<uint8_t, T, Greater>(t.binary[id(Prim::greater)][id(c)]);
    set_binary<uint8_t, T, GreaterEqual>(t.binary[id(Prim::greater_equal)][id(c)]);
}

}  // namespace
}  // namespace fk::cpu::FK_ISA_NAMESPACE
