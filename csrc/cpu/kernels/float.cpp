// Float arithmetic, comparisons, rounding and the super-instructions.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

struct Maximum {  // NaN wins from either side
    static float of(float a, float b) {
        const float m = a > b ? a : b;
        return a != a ? a : m;
    }
};
struct Minimum {
    static float of(float a, float b) {
        const float m = a < b ? a : b;
        return a != a ? a : m;
    }
};
struct FloorDivide {  // in double: the quotient of floats must not round up to an integer first
    static float of(float a, float b) {
        return static_cast<float>(__builtin_floor(static_cast<double>(a) / static_cast<double>(b)));
    }
};

struct Neg {
    static float of(float a) { return -a; }
};
struct Abs {
    static float of(float a) { return __builtin_fabsf(a); }
};
struct Sign {
    static float of(float a) { return a != a ? a : static_cast<float>((a > 0) - (a < 0)); }
};
struct Sqrt {
    static float of(float a) { return __builtin_sqrtf(a); }
};
struct Rsqrt {
    static float of(float a) { return 1.0f / __builtin_sqrtf(a); }
};
struct Reciprocal {
    static float of(float a) { return 1.0f / a; }
};
struct IsFinite {
    static bool of(float a) { return __builtin_fabsf(a) < __builtin_inff(); }
};
struct IsNan {
    static bool of(float a) { return a != a; }
};
struct IsInf {
    static bool of(float a) { return __builtin_fabsf(a) == __builtin_inff(); }
};

// Rounding by the addition trick where the instruction set has no rounding instruction.
#if defined(__AVX2__)
struct Floor {
    static float of(float a) { return __builtin_floorf(a); }
};
struct Ceil {
    static float of(float a) { return __builtin_ceilf(a); }
};
struct Trunc {
    static float of(float a) { return __builtin_truncf(a); }
};
struct Round {
    static float of(float a) { return __builtin_rintf(a); }
};
#else
struct Round {
    static float of(float a) {
        const float m = __builtin_fabsf(a), r = (m + 0x1p23f) - 0x1p23f;
        return m < 0x1p23f ? __builtin_copysignf(r, a) : a;
    }
};
struct Floor {
    static float of(float a) {
        const float r = Round::of(a);
        return __builtin_copysignf(r > a ? r - 1.0f : r, a);
    }
};
struct Ceil {
    static float of(float a) {
        const float r = Round::of(a);
        return __builtin_copysignf(r < a ? r + 1.0f : r, a);
    }
};
struct Trunc {
    static float of(float a) { return __builtin_copysignf(Floor::of(__builtin_fabsf(a)), a); }
};
#endif

// outer(inner(a, b), c); fused where the instruction set can.
template <class Inner, PairOuter outer>
struct Pair {
    static float of(float a, float b, float c) {
        const float x = Inner::of(a, b);
        if constexpr (outer == PairOuter::add)
            return x + c;
        else if constexpr (outer == PairOuter::subtract)
            return x - c;
        else if constexpr (outer == PairOuter::rsub)
            return c - x;
        else
            return x * c;
    }
};
template <class Op, Form2 F, bool kScalarC>
void map_pair(void* dst, const void* a, const void* b, const void* c, const void*, int64_t n) {
    float* d = at<float>(dst);
    const float* x = at<float>(a);
    const float* y = at<float>(b);
    const float* z = at<float>(c);
    const float sx = x[0], sy = y[0], sz = z[0];
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = Op::of(F == sv ? sx : x[i], F == vs ? sy : y[i], kScalarC ? sz : z[i]);
}
template <class Inner, PairOuter outer>
void set_pair(TileFn (&entry)[kForm2Count][2]) {
    using Op = Pair<Inner, outer>;
    entry[vv][0] = map_pair<Op, vv, false>;
    entry[vs][0] = map_pair<Op, vs, false>;
    entry[sv][0] = map_pair<Op, sv, false>;
    entry[vv][1] = map_pair<Op, vv, true>;
    entry[vs][1] = map_pair<Op, vs, true>;
    entry[sv][1] = map_pair<Op, sv, true>;
}
template <class Inner>
void set_pairs(TileFn (&entry)[kPairOuterCount][kForm2Count][2]) {
    set_pair<Inner, PairOuter::add>(entry[0]);
    set_pair<Inner, PairOuter::subtract>(entry[1]);
    set_pair<Inner, PairOuter::rsub>(entry[2]);
    set_pair<Inner, PairOuter::multiply>(entry[3]);
}

// compare(a, b) ? c : d
template <class Op, Form2 F, Form3 G>
void map_compare_select(void* dst, const void* a, const void* b, const void* c, const void* d, int64_t n) {
    float* out = at<float>(dst);
    const float* x = at<float>(a);
    const float* y = at<float>(b);
    const float* yes = at<float>(c);
    const float* no = at<float>(d);
    const float sx = x[0], sy = y[0], yes0 = yes[0], no0 = no[0];
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
        const float u = G == vsv || G == vss ? yes0 : yes[i], v = G == vvs || G == vss ? no0 : no[i];
        out[i] = Op::of(F == sv ? sx : x[i], F == vs ? sy : y[i]) ? u : v;
    }
}
template <class Op, Form2 F>
void set_compare_select_form(TileFn (&entry)[kForm3Count]) {
    entry[vvv] = map_compare_select<Op, F, vvv>;
    entry[vvs] = map_compare_select<Op, F, vvs>;
    entry[vsv] = map_compare_select<Op, F, vsv>;
    entry[vss] = map_compare_select<Op, F, vss>;
}
template <class Op>
void set_compare_select(KernelTable& t, Prim compare) {
    auto& entry = t.compare_select[id(compare) - id(Prim::equal)];
    set_compare_select_form<Op, vv>(entry[vv]);
    set_compare_select_form<Op, vs>(entry[vs]);
    set_compare_select_form<Op, sv>(entry[sv]);
}

}  // namespace

void fill_float(KernelTable& t) {
    constexpr int f = id(Class::f32);
    auto unary = [&](Prim p, TileFn fn) { t.unary[id(p)][f] = fn; };
    unary(Prim::neg, map1<float, float, Neg>);
    unary(Prim::abs, map1<float, float, Abs>);
    unary(Prim::sign, map1<float, float, Sign>);
    unary(Prim::floor, map1<float, float, Floor>);
    unary(Prim::ceil, map1<float, float, Ceil>);
    unary(Prim::round, map1<float, float, Round>);
    unary(Prim::trunc, map1<float, float, Trunc>);
    unary(Prim::sqrt, map1<float, float, Sqrt>);
    unary(Prim::rsqrt, map1<float, float, Rsqrt>);
    unary(Prim::reciprocal, map1<float, float, Reciprocal>);
    unary(Prim::isfinite, map1<uint8_t, float, IsFinite>);
    unary(Prim::isnan, map1<uint8_t, float, IsNan>);
    unary(Prim::isinf, map1<uint8_t, float, IsInf>);

    set_binary<float, float, Add>(t.binary[id(Prim::add)][f]);
    set_binary<float, float, Subtract>(t.binary[id(Prim::subtract)][f]);
    set_binary<float, float, Multiply>(t.binary[id(Prim::multiply)][f]);
    set_binary<float, float, Divide>(t.binary[id(Prim::divide)][f]);
    set_binary<float, float, Maximum>(t.binary[id(Prim::maximum)][f]);
    set_binary<float, float, Minimum>(t.binary[id(Prim::minimum)][f]);
    t.binary[id(Prim::floor_divide)][f][vv] = map2<float, float, FloorDivide, vv>;
    set_comparisons<float>(t, Class::f32);

    set_compare_select<Equal>(t, Prim::equal);
    set_compare_select<NotEqual>(t, Prim::not_equal);
    set_compare_select<Less>(t, Prim::less);
    set_compare_select<LessEqual>(t, Prim::less_equal);
    set_compare_select<Greater>(t, Prim::greater);
    set_compare_select<GreaterEqual>(t, Prim::greater_equal);

    set_pairs<Add>(t.pair[static_cast<int>(PairInner::add)]);
    set_pairs<Subtract>(t.pair[static_cast<int>(PairInner::subtract)]);
    set_pairs<Multiply>(t.pair[static_cast<int>(PairInner::multiply)]);
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
