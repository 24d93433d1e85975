// What happens to rows that a product has just left in the cache: bias and activation, the slope of the activation as a second
// result, a factor for each element and the sums of the columns.
#include <cmath>

#include "cpu/kernels/math.h"
#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

struct None {
    template <class V>
    [[gnu::always_inline]] V operator()(V x) const {
        return x;
    }
};
struct Relu {
    [[gnu::always_inline]] vf operator()(vf x) const { return select(x < 0.0f, vf{}, x); }
    double operator()(double x) const { return x < 0 ? 0 : x; }
};
struct Relu6 {
    [[gnu::always_inline]] vf operator()(vf x) const { return clamp_v(x, 0.0f, 6.0f); }
    double operator()(double x) const { return x < 0 ? 0 : x > 6 ? 6 : x; }
};
struct Sigmoid {
    [[gnu::always_inline]] vf operator()(vf x) const { return sigmoid_v(x); }
    double operator()(double x) const { return 1 / (1 + std::exp(-x)); }
};
struct Tanh {
    [[gnu::always_inline]] vf operator()(vf x) const { return tanh_v(x); }
    double operator()(double x) const { return std::tanh(x); }
};
struct Silu {
    [[gnu::always_inline]] vf operator()(vf x) const { return x * sigmoid_v(x); }
    double operator()(double x) const { return x / (1 + std::exp(-x)); }
};
// The normal distribution: the probability of less than x, and exp(-x^2 / 2). Beyond |x| it is that exponential times a smooth
// function, here a polynomial in 1 / (1 + 0.3 |x|) fitted to 2^-26 of the result around zero and 2^-20 far out.
struct Normal {
    vf below, bell;
};
[[gnu::always_inline]] inline Normal normal_v(vf x) {
    const vf m = abs_v(x), t = 1.0f / (m * 0.3f + 1.0f), bell = exp_v(-0.5f * x * x);
    const vf beyond = bell * t *
                      poly_terms(t, 0.11964619512541133, 0.12051238772468612, 0.1012776282203153, 0.12460746100146042,
                                 -0.04730327095925889, 0.20060216893118157, -0.15451929465064282, 0.03517673076730944);
    return {select(x < 0.0f, beyond, 1.0f - beyond), bell};
}
struct Gelu {
    [[gnu::always_inline]] vf operator()(vf x) const { return x * normal_v(x).below; }
    double operator()(double x) const { return x * (1 + std::erf(x * 0.70710678118654752)) / 2; }
};
struct Elu {
    [[gnu::always_inline]] vf operator()(vf x) const { return select(x > 0.0f, x, expm1_v(x)); }
    double operator()(double x) const { return x > 0 ? x : std::expm1(x); }
};

// An activation and its derivative at the same point.
template <class V>
struct Point {
    V value, slope;
};
struct SiluPoint {
    [[gnu::always_inline]] Point<vf> operator()(vf x) const {
        const vf s = sigmoid_v(x), y = x * s;
        return {y, s + y * (1.0f - s)};
    }
    Point<double> operator()(double x) const {
        const double s = 1 / (1 + std::exp(-x));
        return {x * s, s + x * s * (1 - s)};
    }
};
struct GeluPoint {
    [[gnu::always_inline]] Point<vf> operator()(vf x) const {
        const Normal n = normal_v(x);
        return {x * n.below, n.below + x * 0.3989422804014327f * n.bell};
    }
    Point<double> operator()(double x) const {
        const double phi = (1 + std::erf(x * 0.70710678118654752)) / 2;
        return {x * phi, phi + x * 0.3989422804014326779 * std::exp(-0.5 * x * x)};
    }
};

template <class F>
void apply(float* c, int64_t rows, int64_t n, int64_t ldc, const float* bias, F f) {
    const int64_t whole = n / kLanes * kLanes;
    const auto tail = static_cast<size_t>(n - whole) * sizeof(float);
    vf last_bias{};
    if (bias) __builtin_memcpy(&last_bias, bias + whole, tail);
    for (int64_t r = 0; r < rows; ++r, c += ldc) {
        for (int64_t i = 0; i < whole; i += kLanes) store(c + i, f(load<vf>(c + i) + (bias ? load<vf>(bias + i) : vf{})));
        if (tail == 0) continue;
        vf x{};
        __builtin_memcpy(&x, c + whole, tail);
        x = f(x + last_bias);
        __builtin_memcpy(c + whole, &x, tail);
    }
}
template <class F>
void apply(double* c, int64_t rows, int64_t n, int64_t ldc, const double* bias, F f) {
    for (int64_t r = 0; r < rows; ++r, c += ldc)
        for (int64_t i = 0; i < n; ++i) c[i] = f(bias ? c[i] + bias[i] : c[i]);
}

// f(c[r, i], second[r, i]) a vector of columns at a time; the end of a row goes through buffers that are zero behind it.
template <class T, class F>
void with_second(float* c, T* second, int64_t rows, int64_t n, int64_t ldc, F f) {
    const int64_t whole = n / kLanes * kLanes;
    const auto tail = static_cast<size_t>(n - whole) * sizeof(float);
    for (int64_t r = 0; r < rows; ++r, c += ldc, second += ldc) {
        for (int64_t i = 0; i < whole; i += kLanes) f(c + i, second + i);
        if (tail == 0) continue;
        float x[kLanes] = {}, y[kLanes] = {};
        __builtin_memcpy(x, c + whole, tail);
        __builtin_memcpy(y, second + whole, tail);
        f(x, y);
        __builtin_memcpy(c + whole, x, tail);
        if constexpr (!std::is_const_v<T>) __builtin_memcpy(second + whole, y, tail);
    }
}

template <class F>
void apply_point(float* c, float* slope, int64_t rows, int64_t n, int64_t ldc, const float* bias, F f) {
    if (bias) apply(c, rows, n, ldc, bias, None{});
    with_second(
        c, slope, rows, n, ldc, [&](float* x, float* to) __attribute__((always_inline)) {
            const Point<vf> p = f(load<vf>(x));
            store(x, p.value);
            store(to, p.slope);
        });
}
template <class F>
void apply_point(double* c, double* slope, int64_t rows, int64_t n, int64_t ldc, const double* bias, F f) {
    for (int64_t r = 0; r < rows; ++r, c += ldc, slope += ldc)
        for (int64_t i = 0; i < n; ++i) {
            const Point<double> p = f(bias ? c[i] + bias[i] : c[i]);
            c[i] = p.value;
            slope[i] = p.slope;
        }
}

// c *= factor, and the columns of the result are added to `sums`: of a tile, a vector of columns at a time.
void multiply(float* c, const float* factor, int64_t rows, int64_t n, int64_t ldc, float* sums) {
    for (int64_t i = 0; i < n; i += kLanes) {
        const int64_t count = n - i < kLanes ? n - i : kLanes;
        vf sum{};
        with_second(
            c + i, factor + i, rows, count, ldc, [&](float* x, const float* f) __attribute__((always_inline)) {
                const vf y = load<vf>(x) * load<vf>(f);
                store(x, y);
                sum += y;
            });
        float lanes[kLanes] = {};
        store(lanes, sum);
        for (int64_t j = 0; j < count; ++j) sums[i + j] += lanes[j];
    }
}
void multiply(double* c, const double* factor, int64_t rows, int64_t n, int64_t ldc, double* sums) {
    for (int64_t r = 0; r < rows; ++r, c += ldc, factor += ldc)
        for (int64_t i = 0; i < n; ++i) sums[i] += c[i] *= factor[i];
}

}  // namespace

template <class T>
void epilogue(T* c, int64_t rows, int64_t n, int64_t ldc, const T* bias, Act act) {
    const auto with = [&](auto f) { apply(c, rows, n, ldc, bias, f); };
    switch (act) {
        case Act::none:
            return with(None{});
        case Act::relu:
            return with(Relu{});
        case Act::relu6:
            return with(Relu6{});
        case Act::sigmoid:
            return with(Sigmoid{});
        case Act::tanh:
            return with(Tanh{});
        case Act::silu:
            return with(Silu{});
        case Act::gelu:
            return with(Gelu{});
        case Act::elu:
            return with(Elu{});
    }
}
template void epilogue<float>(float*, int64_t, int64_t, int64_t, const float*, Act);
template void epilogue<double>(double*, int64_t, int64_t, int64_t, const double*, Act);

template <class T>
void finish(T* c, int64_t rows, int64_t n, int64_t ldc, const Ending<T>& ending) {
    for (int64_t r = 0; ending.add != nullptr && r < rows; ++r) {
        T* const to = c + r * ldc;
        const T* const from = ending.add + r * ldc;
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) to[i] += from[i];
    }
    if (ending.bias == nullptr && !ending.changes_tiles()) return;
    if (ending.factor != nullptr) {
        if (ending.bias != nullptr) epilogue(c, rows, n, ldc, ending.bias, Act::none);
        return multiply(c, ending.factor, rows, n, ldc, ending.sums);
    }
    if (ending.slope == nullptr) return epilogue(c, rows, n, ldc, ending.bias, ending.act);
    if (ending.act == Act::silu) return apply_point(c, ending.slope, rows, n, ldc, ending.bias, SiluPoint{});
    if (ending.act == Act::gelu) return apply_point(c, ending.slope, rows, n, ldc, ending.bias, GeluPoint{});
}
template void finish<float>(float*, int64_t, int64_t, int64_t, const Ending<float>&);
template void finish<double>(double*, int64_t, int64_t, int64_t, const Ending<double>&);

void fill_epilogue(OwnKernels& table) {
    table.rows_f32.finish = finish<float>;
    table.rows_f64.finish = finish<double>;
    table.rows_f32.epilogue = epilogue<float>;
    table.rows_f64.epilogue = epilogue<double>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
