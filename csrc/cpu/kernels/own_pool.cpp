// Pooling of one window over neighbouring channels. A window arrives as the offsets of its taps that lie inside the
// input, in window order; channels are walked in blocks whose running values stay in registers or L1.
#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr int64_t kBlock = 64;

template <class T>
void max_pool(const T* x, PoolWindow window, int64_t channels, T* y) {
    Compute<T> best[kBlock];
    for (int64_t c0 = 0; c0 < channels; c0 += kBlock) {
        const int64_t w = channels - c0 < kBlock ? channels - c0 : kBlock;
        const T* first = x + window.taps[0] + c0;
#pragma omp simd
        for (int64_t c = 0; c < w; ++c) best[c] = widen(first[c]);
        for (int64_t t = 1; t < window.count; ++t) {
            const T* tap = x + window.taps[t] + c0;
#pragma omp simd
            for (int64_t c = 0; c < w; ++c) {
                const Compute<T> v = widen(tap[c]), b = best[c], m = v <= b ? b : v;
                best[c] = b != b ? b : m;  // a NaN wins and stays
            }
        }
#pragma omp simd
        for (int64_t c = 0; c < w; ++c) y[c0 + c] = narrow<T>(best[c]);
    }
}

template <class T>
void avg_pool(const T* x, PoolWindow window, int64_t channels, T* y) {
    Compute<T> sum[kBlock];
    const Compute<T> scale = 1 / static_cast<Compute<T>>(window.count);
    for (int64_t c0 = 0; c0 < channels; c0 += kBlock) {
        const int64_t w = channels - c0 < kBlock ? channels - c0 : kBlock;
        for (int64_t c = 0; c < w; ++c) sum[c] = 0;
        for (int64_t t = 0; t < window.count; ++t) {
            const T* tap = x + window.taps[t] + c0;
#pragma omp simd
            for (int64_t c = 0; c < w; ++c) sum[c] += widen(tap[c]);
        }
#pragma omp simd
        for (int64_t c = 0; c < w; ++c) y[c0 + c] = narrow<T>(sum[c] * scale);
    }
}

template <class T>
void max_pool_grad(const T* x, const T* y, const T* dy, PoolWindow window, int64_t channels, Compute<T>* dx) {
    Compute<T> best[kBlock], left[kBlock];  // what is still to be given away: dy until the first maximum, 0 after it
    for (int64_t c0 = 0; c0 < channels; c0 += kBlock) {
        const int64_t w = channels - c0 < kBlock ? channels - c0 : kBlock;
#pragma omp simd
        for (int64_t c = 0; c < w; ++c) {
            best[c] = widen(y[c0 + c]);
            left[c] = widen(dy[c0 + c]);
        }
        for (int64_t t = 0; t < window.count; ++t) {
            const T* tap = x + window.taps[t] + c0;
            Compute<T>* out = dx + window.taps[t] + c0;
#pragma omp simd
            for (int64_t c = 0; c < w; ++c) {
                const Compute<T> v = widen(tap[c]);
                const bool hit = (v == best[c]) | (v != v);
                out[c] += hit ? left[c] : Compute<T>(0);
                left[c] = hit ? Compute<T>(0) : left[c];
            }
        }
    }
}

template <class T>
void max_pool_select(const T* x, const T* y, const T* dd, PoolWindow window, int64_t channels, T* out) {
    Compute<T> best[kBlock], found[kBlock], open[kBlock];  // open: 1 until the first maximum, 0 after it
    for (int64_t c0 = 0; c0 < channels; c0 += kBlock) {
        const int64_t w = channels - c0 < kBlock ? channels - c0 : kBlock;
#pragma omp simd
        for (int64_t c = 0; c < w; ++c) {
            best[c] = widen(y[c0 + c]);
            found[c] = 0;
            open[c] = 1;
        }
        for (int64_t t = 0; t < window.count; ++t) {
            const T *tap = x + window.taps[t] + c0, *value = dd + window.taps[t] + c0;
#pragma omp simd
            for (int64_t c = 0; c < w; ++c) {
                const Compute<T> v = widen(tap[c]), d = widen(value[c]);
                const bool hit = (v == best[c]) | (v != v), take = hit & (open[c] != 0);
                found[c] = take ? d : found[c];
                open[c] = hit ? Compute<T>(0) : open[c];
            }
        }
#pragma omp simd
        for (int64_t c = 0; c < w; ++c) out[c0 + c] = narrow<T>(found[c]);
    }
}

template <class T>
void avg_pool_grad(const T* dy, PoolWindow window, int64_t channels, Compute<T>* dx) {
    const Compute<T> scale = 1 / static_cast<Compute<T>>(window.count);
    for (int64_t t = 0; t < window.count; ++t) {
        Compute<T>* out = dx + window.taps[t];
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) out[c] += widen(dy[c]) * scale;
    }
}

template <class T>
void fill(PoolKernels<T>& t) {
    t.max = max_pool<T>;
    t.avg = avg_pool<T>;
    t.max_grad = max_pool_grad<T>;
    t.max_select = max_pool_select<T>;
    t.avg_grad = avg_pool_grad<T>;
}

}  // namespace

void fill_pool(OwnKernels& table) {
    fill(table.pool_f32);
    fill(table.pool_f64);
    fill(table.pool_bf16);
    fill(table.pool_f16);
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
