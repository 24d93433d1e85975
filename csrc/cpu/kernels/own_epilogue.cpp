// Bias and activation over rows that a product has just left in the cache.
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
struct Gelu {
    [[gnu::always_inline]] vf operator()(vf x) const { return x * 0.5f * (1.0f + erf_v(x * 0.70710678118654752f)); }
    double operator()(double x) const { return x * (1 + std::erf(x * 0.70710678118654752)) / 2; }
};
struct Elu {
    [[gnu::always_inline]] vf operator()(vf x) const { return select(x > 0.0f, x, expm1_v(x)); }
    double operator()(double x) const { return x > 0 ? x : std::expm1(x); }
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

void fill_epilogue(OwnKernels& table) {
    table.rows_f32.epilogue = epilogue<float>;
    table.rows_f64.epilogue = epilogue<double>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
