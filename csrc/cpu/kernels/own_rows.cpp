// Softmax, cross-entropy and extremes over rows.
#include <cmath>
#include <limits>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "cpu/kernels/math.h"
#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

// exp within 1 ulp or so over the whole range, for loops that the compiler vectorises. NaN stays NaN.
inline float fast_exp(float x) {
    constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer held in the low bits
    const float clamped = x > 89.0f ? 89.0f : x < -104.0f ? -104.0f : x;
    const float shifted = clamped * 1.44269504f + magic, n = shifted - magic;
    const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;
    float p = 1.98756915e-4f;
    p = p * r + 1.39819995e-3f;
    p = p * r + 8.33345190e-3f;
    p = p * r + 4.16657962e-2f;
    p = p * r + 1.66666655e-1f;
    p = p * r + 5.00000013e-1f;
    p = p * r * r + r + 1.0f;
    // 2^n in two factors, so that results below the normal range and just above the largest one come out right.
    const int32_t e = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(magic), half = e >> 1;
    return p * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((e - half + 127) << 23);
}
inline double fast_exp(double x) { return std::exp(x); }

// A row is worked on in whole blocks of one vector and a padded copy of the rest: short rows (ten classes) are all rest.
template <class T>
constexpr int64_t kRowLanes = 64 / static_cast<int64_t>(sizeof(T));

template <class T>
inline void load_tail(const T* x, int64_t n, T fill, T* lane) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        const auto mask = static_cast<__mmask16>((1u << n) - 1);
        _mm512_storeu_ps(lane, _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask, x));
        return;
    }
#endif
    for (int64_t i = 0; i < kRowLanes<T>; ++i) lane[i] = fill;
    for (int64_t i = 0; i < n; ++i) lane[i] = x[i];
}

template <class T>
inline void store_tail(const T* lane, int64_t n, T* y) {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, float>) {
        _mm512_mask_storeu_ps(y, static_cast<__mmask16>((1u << n) - 1), _mm512_loadu_ps(lane));
        return;
    }
#endif
    for (int64_t i = 0; i < n; ++i) y[i] = lane[i];
}

// The largest of m and n values, a multiple of kRowLanes. Four at a time: each maximum waits for the one before it.
inline float max_blocks(const float* x, int64_t n, float m) {
    vf most[4] = {splat(m), splat(m), splat(m), splat(m)};
    int64_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes)
        for (int j = 0; j < 4; ++j) most[j] = larger(load<vf>(x + i + j * kLanes), most[j]);
    for (; i < n; i += kLanes) most[0] = larger(load<vf>(x + i), most[0]);
    float lanes[kLanes];
    store(lanes, larger(larger(most[0], most[1]), larger(most[2], most[3])));
    for (const float lane : lanes) m = lane > m ? lane : m;
    return m;
}
inline double max_blocks(const double* x, int64_t n, double m) {
#pragma omp simd reduction(max : m)
    for (int64_t i = 0; i < n; ++i) m = x[i] > m ? x[i] : m;
    return m;
}

template <class T>
T row_max(const T* x, int64_t n) {
    const int64_t whole = n / kRowLanes<T> * kRowLanes<T>;
    T m = max_blocks(x, whole, x[0]);
    if (whole == n) return m;
    T lane[kRowLanes<T>];
    load_tail(x + whole, n - whole, m, lane);
#pragma omp simd reduction(max : m)
    for (int64_t i = 0; i < kRowLanes<T>; ++i) m = lane[i] > m ? lane[i] : m;
    return m;
}

// y = exp(x - max) for n, a multiple of kRowLanes; returns their sum. x and y may be the same, or y null.
inline float exp_blocks(const float* x, int64_t n, float max, float* y) {
    const vf shift = splat(max);
    vf sums = {};
    for (int64_t i = 0; i < n; i += kLanes) {
        const vf e = exp_v(load<vf>(x + i) - shift);
        if (y != nullptr) store(y + i, e);
        sums += e;
    }
    float lanes[kLanes];
    store(lanes, sums);
    for (int half = kLanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lanes[i] += lanes[half + i];
    return lanes[0];
}
inline double exp_blocks(const double* x, int64_t n, double max, double* y) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        const double e = std::exp(x[i] - max);
        if (y != nullptr) y[i] = e;
        sum += e;
    }
    return sum;
}

// The same for any n.
template <class T>
T exp_row(const T* x, int64_t n, T max, T* y) {
    const int64_t whole = n / kRowLanes<T> * kRowLanes<T>, rest = n - whole;
    const T sum = exp_blocks(x, whole, max, y);
    if (rest == 0) return sum;
    T lane[kRowLanes<T>];
    load_tail(x + whole, rest, -std::numeric_limits<T>::infinity(), lane);
    const T last = exp_blocks(lane, kRowLanes<T>, max, lane);
    if (y != nullptr) store_tail(lane, rest, y + whole);
    return sum + last;
}

template <class T>
T exp_sum(const T* x, int64_t n, T max) {
    return exp_row<T>(x, n, max, nullptr);
}

template <class T>
void softmax(const T* x, int64_t rows, int64_t n, bool log, T* y) {
    for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
        const T max = row_max(x, n);
        if (log) {
            const T shift = std::log(exp_sum(x, n, max));
#pragma omp simd
            for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - max) - shift;
        } else {
            const T scale = 1 / exp_row(x, n, max, y);
#pragma omp simd
            for (int64_t i = 0; i < n; ++i) y[i] *= scale;
        }
    }
}

template <class T>
void softmax_columns(const T* x, int64_t n, int64_t stride, int64_t width, bool log, T* y) {
    constexpr int64_t block = 128;
    T max[block], sum[block];
    for (int64_t c0 = 0; c0 < width; c0 += block, x += block, y += block) {
        const int64_t w = width - c0 < block ? width - c0 : block;
        for (int64_t c = 0; c < w; ++c) {
            max[c] = x[c];
            sum[c] = 0;
        }
        for (int64_t i = 1; i < n; ++i) {
            const T* row = x + i * stride;
#pragma omp simd
            for (int64_t c = 0; c < w; ++c) max[c] = row[c] > max[c] ? row[c] : max[c];
        }
        for (int64_t i = 0; i < n; ++i) {
            const T* row = x + i * stride;
            T* out = y + i * stride;
            if (log) {
#pragma omp simd
                for (int64_t c = 0; c < w; ++c) sum[c] += fast_exp(row[c] - max[c]);
            } else {
#pragma omp simd
                for (int64_t c = 0; c < w; ++c) {
                    const T e = fast_exp(row[c] - max[c]);
                    out[c] = e;
                    sum[c] += e;
                }
            }
        }
        for (int64_t c = 0; c < w; ++c) sum[c] = log ? std::log(sum[c]) : 1 / sum[c];
        for (int64_t i = 0; i < n; ++i) {
            const T* row = x + i * stride;
            T* out = y + i * stride;
            if (log) {
#pragma omp simd
                for (int64_t c = 0; c < w; ++c) out[c] = (row[c] - max[c]) - sum[c];
            } else {
#pragma omp simd
                for (int64_t c = 0; c < w; ++c) out[c] *= sum[c];
            }
        }
    }
}

// The first place where the row holds the value, which is there: by blocks, the last of them by element.
template <class T>
int64_t first_equal(const T* x, int64_t n, T value) {
    constexpr int64_t block = 8 * kRowLanes<T>;
    for (int64_t begin = 0; begin + block <= n; begin += block) {
        int32_t equal = 0;
#pragma omp simd reduction(+ : equal)
        for (int64_t i = begin; i < begin + block; ++i) equal += x[i] == value ? 1 : 0;
        if (equal == 0) continue;
        while (x[begin] != value) ++begin;
        return begin;
    }
    int64_t at = n / block * block;
    while (x[at] != value) ++at;
    return at;
}

// The first NaN counts as the extreme.
template <class T>
int64_t arg_extreme(const T* x, int64_t n, bool largest) {
    T best = x[0];
    int32_t nans = 0;
    if (largest) {
#pragma omp simd reduction(max : best) reduction(+ : nans)
        for (int64_t i = 0; i < n; ++i) {
            best = x[i] > best ? x[i] : best;
            nans += x[i] != x[i] ? 1 : 0;
        }
    } else {
#pragma omp simd reduction(min : best) reduction(+ : nans)
        for (int64_t i = 0; i < n; ++i) {
            best = x[i] < best ? x[i] : best;
            nans += x[i] != x[i] ? 1 : 0;
        }
    }
    if (nans == 0) return first_equal(x, n, best);
    int64_t at = 0;
    while (x[at] == x[at]) ++at;
    return at;
}

template <class T>
T sparse_cross_entropy(const T* x, int64_t n, int64_t label) {
    const T max = row_max(x, n);
    return std::log(exp_sum(x, n, max)) - (x[label] - max);
}

template <class T>
void sparse_cross_entropy_grad(const T* x, int64_t n, int64_t label, T dy, T* dx) {
    const T max = row_max(x, n), scale = dy / exp_row(x, n, max, dx);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] *= scale;
    dx[label] -= dy;
}

template <class T>
T cross_entropy(const T* x, const T* targets, int64_t n) {
    const T max = row_max(x, n), shift = std::log(exp_sum(x, n, max));
    T loss = 0;
#pragma omp simd reduction(+ : loss)
    for (int64_t i = 0; i < n; ++i) loss += targets[i] * (shift - (x[i] - max));
    return loss;
}

// dx may be x or targets.
template <class T>
void cross_entropy_grad(const T* x, const T* targets, int64_t n, T dy, T* dx) {
    T total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; ++i) total += targets[i];
    const T max = row_max(x, n), scale = total / exp_sum(x, n, max);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] = dy * (fast_exp(x[i] - max) * scale - targets[i]);
}

// The row's largest element as arg_extreme sees it, from its maximum: first `before` its exponentials may replace it, then
// `after`.
template <class T>
int32_t largest_before(const T* x, int64_t n, T max) {
    return static_cast<int32_t>(__builtin_isfinite(max) ? first_equal(x, n, max) : arg_extreme(x, n, true));
}
template <class T>
int32_t largest_after(const T* exponentials, T sum, T max, int32_t before) {
    if (sum == sum || !__builtin_isfinite(max)) return before;
    int32_t at = 0;  // of the first NaN, which its exponential is as well
    while (exponentials[at] == exponentials[at]) ++at;
    return at;
}

template <class T>
void sparse_cross_entropy_step(const T* x, int64_t n, int64_t label, const LossStep<T>& step) {
    const T max = row_max(x, n), picked = x[label] - max, dy = step.dy;
    const int32_t before = largest_before(x, n, max);
    T *dx = step.dx, *sums = step.sums;
    const T sum = exp_row(x, n, max, dx), scale = dy / sum;
    *step.best = largest_after(dx, sum, max, before);
    *step.loss = std::log(sum) - picked;
    // The label's element is put right behind the loop; its part of the sums would cancel there.
    const T at_label = dx[label] * scale - dy, others = sums[label];
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const T d = dx[i] * scale;
        dx[i] = d;
        sums[i] += d;
    }
    dx[label] = at_label;
    sums[label] = others + at_label;
}

// For targets of one sign, no terms of the loss cancel.
template <class T>
void cross_entropy_step(const T* x, const T* targets, int64_t n, const LossStep<T>& step) {
    const T max = row_max(x, n), dy = step.dy;
    const int32_t before = largest_before(x, n, max);
    T *dx = step.dx, *sums = step.sums, total = 0, below = 0;
#pragma omp simd reduction(+ : total, below)
    for (int64_t i = 0; i < n; ++i) {
        total += targets[i];
        below += targets[i] * (max - x[i]);
    }
    const T sum = exp_row(x, n, max, dx), scale = total / sum;
    *step.best = largest_after(dx, sum, max, before);
    *step.loss = total * std::log(sum) + below;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const T d = dy * (dx[i] * scale - targets[i]);
        dx[i] = d;
        sums[i] += d;
    }
}

template <class T>
void fill(RowKernels<T>& t) {
    t.softmax = softmax<T>;
    t.softmax_columns = softmax_columns<T>;
    t.sparse_cross_entropy = sparse_cross_entropy<T>;
    t.sparse_cross_entropy_grad = sparse_cross_entropy_grad<T>;
    t.arg_extreme = arg_extreme<T>;
    t.cross_entropy = cross_entropy<T>;
    t.cross_entropy_grad = cross_entropy_grad<T>;
    t.sparse_cross_entropy_step = sparse_cross_entropy_step<T>;
    t.cross_entropy_step = cross_entropy_step<T>;
}

}  // namespace

void fill_rows(OwnKernels& table) {
    fill(table.rows_f32);
    fill(table.rows_f64);
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
