// Pooling of the windows of one row over neighbouring channels, a vector of channels at a time. Channels that do not fill a
// vector go through a padded copy.
#include "cpu/kernels/half_simd.h"
#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

// Channels in a group: one vector of the widest kind.
template <class T>
constexpr int64_t kGroup = 64 / static_cast<int64_t>(sizeof(Compute<T>));

template <class T>
constexpr bool kIsHalf = std::is_same_v<T, F16> || std::is_same_v<T, Bf16>;

// A group of values in the type they are computed in.
template <class T>
struct Group {
    Compute<T> at[kGroup<T>];
};

template <bool Whole, class T>
[[gnu::always_inline]] inline Group<T> read(const T* x, int64_t n) {
    Group<T> g;
    if constexpr (Whole && kIsHalf<T>) {
#pragma GCC unroll 4
        for (int64_t i = 0; i < kGroup<T>; i += kLanes) store(g.at + i, load_wide(x + i));
    } else if constexpr (Whole) {
#pragma omp simd
        for (int64_t i = 0; i < kGroup<T>; ++i) g.at[i] = x[i];
    } else {
        for (int64_t i = 0; i < kGroup<T>; ++i) g.at[i] = i < n ? fk::cpu::widen<T>(x[i]) : Compute<T>(0);
    }
    return g;
}
template <bool Whole, class T>
[[gnu::always_inline]] inline void write(T* y, const Group<T>& g, int64_t n) {
    if constexpr (Whole && kIsHalf<T>) {
#pragma GCC unroll 4
        for (int64_t i = 0; i < kGroup<T>; i += kLanes) store_narrow(y + i, load<vf>(g.at + i));
    } else if constexpr (Whole) {
#pragma omp simd
        for (int64_t i = 0; i < kGroup<T>; ++i) y[i] = g.at[i];
    } else {
        for (int64_t i = 0; i < n; ++i) y[i] = fk::cpu::narrow<T>(g.at[i]);
    }
}
// Gradients are kept in the type they are summed in.
template <bool Whole, class T>
[[gnu::always_inline]] inline void give(Compute<T>* x, const Group<T>& g, int64_t n, bool apart) {
    if constexpr (Whole) {
        if (apart) {
#pragma omp simd
            for (int64_t i = 0; i < kGroup<T>; ++i) x[i] = g.at[i];
        } else {
#pragma omp simd
            for (int64_t i = 0; i < kGroup<T>; ++i) x[i] += g.at[i];
        }
    } else {
        for (int64_t i = 0; i < n; ++i) x[i] = apart ? g.at[i] : x[i] + g.at[i];
    }
}

// f(offset of the window in the input, of its output, channels in the group; whether they fill it) over a row.
template <class T, class F>
[[gnu::always_inline]] inline void for_groups(const PoolRow& row, F f) {
    for (int64_t w = 0; w < row.windows; ++w) {
        int64_t c = 0;
        for (; c + kGroup<T> <= row.channels; c += kGroup<T>)
            f(w * row.step + c, w * row.stride + c, kGroup<T>, std::true_type{});
        if (c < row.channels) f(w * row.step + c, w * row.stride + c, row.channels - c, std::false_type{});
    }
}

template <class T>
void max_pool(const T* x, const PoolRow& row, T* y) {
    for_groups<T>(row, [&](int64_t in, int64_t out, int64_t n, auto whole) {
        Group<T> best = read<whole.value>(x + in + row.taps[0], n);
        for (int64_t t = 1; t < row.count; ++t) {
            const Group<T> tap = read<whole.value>(x + in + row.taps[t], n);
#pragma omp simd
            for (int64_t i = 0; i < kGroup<T>; ++i) {
                const Compute<T> v = tap.at[i], b = best.at[i], m = v <= b ? b : v;
                best.at[i] = b != b ? b : m;  // a NaN wins and stays
            }
        }
        write<whole.value>(y + out, best, n);
    });
}

template <class T>
void avg_pool(const T* x, const PoolRow& row, T* y) {
    const Compute<T> scale = 1 / static_cast<Compute<T>>(row.count);
    for_groups<T>(row, [&](int64_t in, int64_t out, int64_t n, auto whole) {
        Group<T> sum = read<whole.value>(x + in + row.taps[0], n);
        for (int64_t t = 1; t < row.count; ++t) {
            const Group<T> tap = read<whole.value>(x + in + row.taps[t], n);
#pragma omp simd
            for (int64_t i = 0; i < kGroup<T>; ++i) sum.at[i] += tap.at[i];
        }
#pragma omp simd
        for (int64_t i = 0; i < kGroup<T>; ++i) sum.at[i] *= scale;
        write<whole.value>(y + out, sum, n);
    });
}

template <class T>
void max_pool_grad(const T* x, const T* y, const T* dy, const PoolRow& row, bool apart, Compute<T>* dx) {
    for_groups<T>(row, [&](int64_t in, int64_t out, int64_t n, auto whole) {
        const Group<T> best = read<whole.value>(y + out, n);
        Group<T> left = read<whole.value>(dy + out, n);  // dy until the first maximum, 0 after it
        for (int64_t t = 0; t < row.count; ++t) {
            const Group<T> tap = read<whole.value>(x + in + row.taps[t], n);
            Group<T> given;
#pragma omp simd
            for (int64_t i = 0; i < kGroup<T>; ++i) {
                const Compute<T> v = tap.at[i];
                const bool hit = (v == best.at[i]) | (v != v);
                given.at[i] = hit ? left.at[i] : Compute<T>(0);
                left.at[i] = hit ? Compute<T>(0) : left.at[i];
            }
            give<whole.value, T>(dx + in + row.taps[t], given, n, apart);
        }
    });
}

template <class T>
void max_pool_select(const T* x, const T* y, const T* dd, const PoolRow& row, T* out) {
    for_groups<T>(row, [&](int64_t in, int64_t to, int64_t n, auto whole) {
        const Group<T> best = read<whole.value>(y + to, n);
        Group<T> found, open;  // open: 1 until the first maximum, 0 after it
#pragma omp simd
        for (int64_t i = 0; i < kGroup<T>; ++i) found.at[i] = 0, open.at[i] = 1;
        for (int64_t t = 0; t < row.count; ++t) {
            const Group<T> tap = read<whole.value>(x + in + row.taps[t], n), value = read<whole.value>(dd + in + row.taps[t], n);
#pragma omp simd
            for (int64_t i = 0; i < kGroup<T>; ++i) {
                const Compute<T> v = tap.at[i];
                const bool hit = (v == best.at[i]) | (v != v), take = hit & (open.at[i] != 0);
                found.at[i] = take ? value.at[i] : found.at[i];
                open.at[i] = hit ? Compute<T>(0) : open.at[i];
            }
        }
        write<whole.value>(out + to, found, n);
    });
}

template <class T>
void avg_pool_grad(const T* dy, const PoolRow& row, bool apart, Compute<T>* dx) {
    const Compute<T> scale = 1 / static_cast<Compute<T>>(row.count);
    for_groups<T>(row, [&](int64_t in, int64_t out, int64_t n, auto whole) {
        Group<T> part = read<whole.value>(dy + out, n);
#pragma omp simd
        for (int64_t i = 0; i < kGroup<T>; ++i) part.at[i] *= scale;
        for (int64_t t = 0; t < row.count; ++t) give<whole.value, T>(dx + in + row.taps[t], part, n, apart);
    });
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
