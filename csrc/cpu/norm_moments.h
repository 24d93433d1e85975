// Means and variances of columns, gathered by several threads a chunk of rows at a time and put together in double.
#pragma once

#include <algorithm>
#include <span>

#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {

// Scratch of a slot that sums over rows: two rows of n doubles, then three rows of n values of T.
template <class T>
struct Sums {
    double* total;
    T *first, *second, *third;
    Sums(std::byte* scratch, int64_t n, int64_t slot)
        : total(reinterpret_cast<double*>(scratch + static_cast<size_t>(slot) * bytes(n))),
          first(reinterpret_cast<T*>(total + 2 * n)),
          second(first + n),
          third(second + n) {}
    void clear(int64_t n) const { std::fill_n(total, 2 * n, 0.0); }
    static size_t bytes(int64_t n) { return round_up(static_cast<size_t>(n) * (2 * sizeof(double) + 3 * sizeof(T))); }
    [[nodiscard]] ColumnMoments<T> moments(int64_t n) const { return {total, total + n, first, second, third}; }
};

// Combines the mean and squared deviations of `added` rows into those of `count` rows (Chan et al.).
inline void combine_moments(double& mean, double& squares, double count, double mean_b, double squares_b, double added) {
    const double delta = mean_b - mean, n = count + added;
    mean += delta * added / n;
    squares += squares_b + delta * delta * count * added / n;
}

// The moments of all rows, from those of counts[slot] rows that lie in scratch for each slot. The first slot has rows.
template <class T>
void finish_moments(std::byte* scratch, int64_t n, std::span<const double> counts, T* mean, T* variance) {
    const Sums<T> all(scratch, n, 0);
    double count = counts[0];
    for (size_t slot = 1; slot < counts.size(); ++slot) {
        if (counts[slot] == 0) continue;
        const Sums<T> t(scratch, n, static_cast<int64_t>(slot));
        for (int64_t i = 0; i < n; ++i)
            combine_moments(all.total[i], all.total[n + i], count, t.total[i], t.total[n + i], counts[slot]);
        count += counts[slot];
    }
    for (int64_t i = 0; i < n; ++i) {
        mean[i] = static_cast<T>(all.total[i]);
        variance[i] = static_cast<T>(all.total[n + i] / count);
    }
}

}  // namespace fk::cpu
