// Values per channel that the passes of batch normalisation's kernels are given.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/kernels/own_types.h"

namespace fk::cpu {

// gamma / sqrt(variance + epsilon): from the variance as it is returned, so that whoever computes it again gets the same bits.
template <class T>
void set_scales(int64_t n, double epsilon, const T* gamma, const T* variance, T* scale) {
    for (int64_t i = 0; i < n; ++i)
        scale[i] = static_cast<T>(static_cast<double>(gamma[i]) / std::sqrt(static_cast<double>(variance[i]) + epsilon));
}

// dx = dy * on_dy + (x - mean) * on_x + constant
template <class T>
struct GradFactors {
    T *on_dy, *on_x, *constant;
};

// From sums of dy and of dy * (x - mean) over the rows: dx = gamma * inv * (dy - sum_dy / rows - (x - mean) * inv^2 * sum_dy_x /
// rows)
template <class T>
void set_grad_factors(int64_t n, int64_t row_count, double epsilon, const T* gamma, const T* variance, const double* sums,
                      const GradFactors<T>& f, T* dgamma, T* dbeta) {
    const auto rows = static_cast<double>(row_count);
    for (int64_t i = 0; i < n; ++i) {
        const double inv = 1 / std::sqrt(static_cast<double>(variance[i]) + epsilon), scale = static_cast<double>(gamma[i]) * inv;
        const double sum_dy = sums[i], sum_dy_x = sums[n + i];
        dgamma[i] = static_cast<T>(sum_dy_x * inv);
        dbeta[i] = static_cast<T>(sum_dy);
        f.on_dy[i] = static_cast<T>(scale);
        f.on_x[i] = static_cast<T>(-scale * inv * inv * sum_dy_x / rows);
        f.constant[i] = static_cast<T>(-scale * sum_dy / rows);
    }
}

// What an activation that cuts its input off keeps.
template <class T>
struct Cut {
    T low = -std::numeric_limits<T>::infinity(), high = std::numeric_limits<T>::infinity();
    explicit Cut(Act act) {
        if (act != Act::none) low = 0;
        if (act == Act::relu6) high = 6;
    }
};

}  // namespace fk::cpu
