// Loops of layer and batch normalisation. Column functions work on a block of rows of a row-major [rows, n] matrix.
#include <cmath>

#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

template <class T>
void layer_norm(const T* x, const T* gamma, const T* beta, int64_t n, T epsilon, T* y) {
    T sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    const T mean = sum / static_cast<T>(n);
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const T inv = 1 / std::sqrt(squares / static_cast<T>(n) + epsilon);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inv * gamma[i] + beta[i];
}

template <class T>
void layer_norm_grad(const T* x, const T* gamma, const T* dy, int64_t n, T epsilon, T* dx, T* dgamma, T* dbeta) {
    T sum = 0, squares = 0, sum_g = 0, sum_gx = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    const T mean = sum / static_cast<T>(n);
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const T inv = 1 / std::sqrt(squares / static_cast<T>(n) + epsilon);
#pragma omp simd reduction(+ : sum_g, sum_gx)
    for (int64_t i = 0; i < n; ++i) {
        const T xhat = (x[i] - mean) * inv, g = dy[i] * gamma[i];
        sum_g += g;
        sum_gx += g * xhat;
        dgamma[i] += dy[i] * xhat;
        dbeta[i] += dy[i];
    }
    const T a = sum_g / static_cast<T>(n), b = sum_gx / static_cast<T>(n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] = inv * (dy[i] * gamma[i] - a - (x[i] - mean) * inv * b);
}

template <class T>
void column_sum(const T* x, int64_t rows, int64_t n, T* sum) {
    for (int64_t r = 0; r < rows; ++r, x += n)
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

template <class T>
void column_square_sum(const T* x, int64_t rows, int64_t n, const T* mean, T* sum) {
    for (int64_t r = 0; r < rows; ++r, x += n)
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) sum[i] += (x[i] - mean[i]) * (x[i] - mean[i]);
}

template <class T>
void column_affine(const T* x, int64_t rows, int64_t n, const T* mean, const T* scale, const T* shift, T low, T high, T* y) {
    for (int64_t r = 0; r < rows; ++r, x += n, y += n)
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const T v = (x[i] - mean[i]) * scale[i] + shift[i];
            y[i] = v < low ? low : v > high ? high : v;  // NaN stays
        }
}

// f(column, x - mean, dy as far as it passes) for the elements of a row.
template <class T, class F>
[[gnu::always_inline]] inline void for_columns(const T* x, const T* dy, int64_t n, const T* mean, const OpenRange<T>* open, F f) {
    if (open == nullptr) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) f(i, x[i] - mean[i], dy[i]);
        return;
    }
    const T *scale = open->scale, *shift = open->shift, low = open->low, high = open->high;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const T centred = x[i] - mean[i], v = centred * scale[i] + shift[i];
        const bool passes = (v > low) & !(v >= high);
        f(i, centred, passes ? dy[i] : T(0));
    }
}

template <class T>
void column_norm_sums(const T* x, const T* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, T* sum_dy,
                      T* sum_dy_x) {
    for (int64_t r = 0; r < rows; ++r, x += n, dy += n)
        for_columns(x, dy, n, mean, open, [&](int64_t i, T centred, T d) {
            sum_dy[i] += d;
            sum_dy_x[i] += d * centred;
        });
}

template <class T>
void column_norm_grad(const T* x, const T* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, const T* a,
                      const T* b, const T* c, T* dx) {
    for (int64_t r = 0; r < rows; ++r, x += n, dy += n, dx += n)
        for_columns(x, dy, n, mean, open, [&](int64_t i, T centred, T d) { dx[i] = d * a[i] + centred * b[i] + c[i]; });
}

template <class T>
void fill(RowKernels<T>& t) {
    t.layer_norm = layer_norm<T>;
    t.layer_norm_grad = layer_norm_grad<T>;
    t.column_sum = column_sum<T>;
    t.column_square_sum = column_square_sum<T>;
    t.column_affine = column_affine<T>;
    t.column_norm_sums = column_norm_sums<T>;
    t.column_norm_grad = column_norm_grad<T>;
}

}  // namespace

void fill_norm(OwnKernels& table) {
    fill(table.rows_f32);
    fill(table.rows_f64);
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
