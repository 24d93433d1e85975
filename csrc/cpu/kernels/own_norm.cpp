// Loops of layer and batch normalisation. Column functions work on a block of rows of a row-major [rows, n] matrix; what is
// stored in 16 bits is computed in float.
#include <cmath>

#include "cpu/kernels/half_simd.h"
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

// Columns worked on together, so that what is summed up over rows stays in registers.
template <class T>
struct Columns {
    typedef T Vec __attribute__((vector_size(kVectorBytes)));
    static constexpr int64_t lanes = kVectorBytes / static_cast<int64_t>(sizeof(T));
};
[[gnu::always_inline]] inline Columns<double>::Vec load_wide(const double* p) { return load<Columns<double>::Vec>(p); }
[[gnu::always_inline]] inline void store_narrow(double* p, Columns<double>::Vec v) { store(p, v); }
constexpr int64_t kBlockElements = 8192;  // of rows passed through before the next columns: in the L1 cache

// f(columns as a constant number of vectors, first row, rows, first column) and, for the columns left over,
// rest(first row, rows, first column) for all of a block of rows.
template <class T, int Most, class F, class R>
[[gnu::always_inline]] inline void for_blocks(int64_t rows, int64_t n, F f, R rest) {
    constexpr int64_t lanes = Columns<T>::lanes;
    const int64_t block = kBlockElements / n < 8 ? 8 : kBlockElements / n;
    for (int64_t r = 0; r < rows; r += block) {
        const int64_t count = rows - r < block ? rows - r : block;
        int64_t i = 0;
        if constexpr (Most >= 6)
            for (; i + 6 * lanes <= n; i += 6 * lanes) f.template operator()<6>(r, count, i);
        for (; i + 4 * lanes <= n; i += 4 * lanes) f.template operator()<4>(r, count, i);
        for (; i + 3 * lanes <= n; i += 3 * lanes) f.template operator()<3>(r, count, i);
        for (; i + 2 * lanes <= n; i += 2 * lanes) f.template operator()<2>(r, count, i);
        for (; i + lanes <= n; i += lanes) f.template operator()<1>(r, count, i);
        if (i < n) rest(r, count, i);
    }
}

// Asks for the same columns of the block of rows behind this one. Rows are passed through a few columns at a time; of 16-bit
// values these are so few bytes that the machine's own prefetcher does not follow.
template <int NV, class S>
[[gnu::always_inline]] inline void fetch_next(const S* p, int64_t rows, int64_t n) {
    if constexpr (sizeof(S) == 2) {
        constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(S)), width = NV * Columns<Compute<S>>::lanes;
#pragma GCC unroll 6
        for (int64_t i = 0; i < width; i += line) __builtin_prefetch(p + rows * n + i, 0, 2);
    }
}

// sum += x - shift, squares += (x - shift)^2
template <class S, class T = Compute<S>>
void shifted_sums(const S* x, int64_t rows, int64_t n, const T* shift, T* sum, T* squares) {
    using Vec = typename Columns<T>::Vec;
    constexpr int64_t lanes = Columns<T>::lanes;
    for_blocks<T, 6>(
        rows, n,
        [&]<int NV>(int64_t r, int64_t count, int64_t i) {
            Vec a[NV], b[NV], s[NV];
            for (int j = 0; j < NV; ++j) {
                a[j] = load<Vec>(sum + i + j * lanes);
                b[j] = load<Vec>(squares + i + j * lanes);
                s[j] = load<Vec>(shift + i + j * lanes);
            }
            const S* row = x + r * n + i;
            for (int64_t k = 0; k < count; ++k, row += n) {
                fetch_next<NV>(row, count, n);
#pragma GCC unroll 6
                for (int j = 0; j < NV; ++j) {
                    const Vec d = load_wide(row + j * lanes) - s[j];
                    a[j] += d;
                    b[j] += d * d;
                }
            }
            for (int j = 0; j < NV; ++j) store(sum + i + j * lanes, a[j]), store(squares + i + j * lanes, b[j]);
        },
        [&](int64_t r, int64_t count, int64_t first) {
            for (int64_t k = r; k < r + count; ++k)
#pragma omp simd
                for (int64_t i = first; i < n; ++i) {
                    const T d = fk::cpu::widen<S>(x[k * n + i]) - shift[i];
                    sum[i] += d;
                    squares[i] += d * d;
                }
        });
}

// One pass: deviations are summed up from a shift near the mean, that of the block before (for the first block, of its first
// rows). Where two blocks are far apart the variance is as large, so what the shift costs in accuracy stays a matter of a few
// roundings. Blocks are combined in double (Chan et al.).
template <class S, class T = Compute<S>>
void column_moments(const S* x, int64_t rows, int64_t n, double count, const ColumnMoments<T>& m) {
    constexpr int64_t first_rows = 8;
    if (count == 0) {
        const int64_t some = rows < first_rows ? rows : first_rows;
        for (int64_t i = 0; i < n; ++i) m.shift[i] = 0, m.mean[i] = 0, m.squares[i] = 0;
        for (int64_t r = 0; r < some; ++r)
#pragma omp simd
            for (int64_t i = 0; i < n; ++i) m.shift[i] += fk::cpu::widen<S>(x[r * n + i]);
        for (int64_t i = 0; i < n; ++i) m.shift[i] /= static_cast<T>(some);
    }
    for (int64_t i = 0; i < n; ++i) m.sum[i] = 0, m.sum_squares[i] = 0;
    shifted_sums(x, rows, n, m.shift, m.sum, m.sum_squares);
    const double added = static_cast<double>(rows), part = added / (count + added), both = count * part, one = 1 / added;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const double sum = m.sum[i], mean = static_cast<double>(m.shift[i]) + sum * one, delta = mean - m.mean[i];
        const double squares = static_cast<double>(m.sum_squares[i]) - sum * sum * one;
        m.squares[i] += (squares < 0 ? 0 : squares) + delta * delta * both;
        m.mean[i] += delta * part;
        m.shift[i] = static_cast<T>(mean);
    }
}

template <class S, class O, class T = Compute<S>>
void column_affine(const S* x, int64_t rows, int64_t n, const T* mean, const T* scale, const T* shift, T low, T high, O* y) {
    using Vec = typename Columns<T>::Vec;
    constexpr int64_t lanes = Columns<T>::lanes;
    for_blocks<T, 6>(
        rows, n,
        [&]<int NV>(int64_t r, int64_t count, int64_t i) {
            Vec m[NV], a[NV], b[NV];
            for (int j = 0; j < NV; ++j) {
                m[j] = load<Vec>(mean + i + j * lanes);
                a[j] = load<Vec>(scale + i + j * lanes);
                b[j] = load<Vec>(shift + i + j * lanes);
            }
            const S* px = x + r * n + i;
            O* py = y + r * n + i;
            for (int64_t k = 0; k < count; ++k, px += n, py += n) {
                fetch_next<NV>(px, count, n);
#pragma GCC unroll 6
                for (int j = 0; j < NV; ++j) {
                    Vec v = (load_wide(px + j * lanes) - m[j]) * a[j] + b[j];
                    v = v < low ? low - Vec{} : v;  // NaN stays
                    store_narrow(py + j * lanes, v > high ? high - Vec{} : v);
                }
            }
        },
        [&](int64_t r, int64_t count, int64_t first) {
            for (int64_t k = r; k < r + count; ++k)
#pragma omp simd
                for (int64_t i = first; i < n; ++i) {
                    const T v = (fk::cpu::widen<S>(x[k * n + i]) - mean[i]) * scale[i] + shift[i];
                    y[k * n + i] = fk::cpu::narrow<O>(v < low ? low : v > high ? high : v);
                }
        });
}

template <class S, class T = Compute<S>>
void column_affine_add(const S* x, const S* other, int64_t rows, int64_t n, const T* mean, const T* scale, const T* shift, T low,
                       S* y) {
    using Vec = typename Columns<T>::Vec;
    constexpr int64_t lanes = Columns<T>::lanes;
    for_blocks<T, 6>(
        rows, n,
        [&]<int NV>(int64_t r, int64_t count, int64_t i) {
            Vec m[NV], a[NV], b[NV];
            for (int j = 0; j < NV; ++j) {
                m[j] = load<Vec>(mean + i + j * lanes);
                a[j] = load<Vec>(scale + i + j * lanes);
                b[j] = load<Vec>(shift + i + j * lanes);
            }
            const S *px = x + r * n + i, *po = other + r * n + i;
            S* py = y + r * n + i;
            for (int64_t k = 0; k < count; ++k, px += n, po += n, py += n) {
                fetch_next<NV>(px, count, n);
                fetch_next<NV>(po, count, n);
#pragma GCC unroll 6
                for (int j = 0; j < NV; ++j) {
                    const Vec v = (load_wide(px + j * lanes) - m[j]) * a[j] + b[j] + load_wide(po + j * lanes);
                    store_narrow(py + j * lanes, v < low ? low - Vec{} : v);  // NaN stays
                }
            }
        },
        [&](int64_t r, int64_t count, int64_t first) {
            for (int64_t k = r; k < r + count; ++k)
#pragma omp simd
                for (int64_t i = first; i < n; ++i) {
                    const T v =
                        (fk::cpu::widen<S>(x[k * n + i]) - mean[i]) * scale[i] + shift[i] + fk::cpu::widen<S>(other[k * n + i]);
                    y[k * n + i] = fk::cpu::narrow<S>(v < low ? low : v);
                }
        });
}

// What both passes of the gradient see of vectors or elements: x - mean, and dy as far as it passes.
template <bool Masked, class T, class V>
[[gnu::always_inline]] inline V passing(V centred, V scale, V shift, const OpenRange<T>* open, V dy) {
    if constexpr (Masked) {
        const V v = centred * scale + shift;
        return (v > open->low) & ~(v >= open->high) ? dy : V{};
    } else {
        return dy;
    }
}
template <bool Masked, class T>
[[gnu::always_inline]] inline T passing_one(T centred, int64_t i, const OpenRange<T>* open, T dy) {
    if constexpr (Masked) {
        const T v = centred * open->scale[i] + open->shift[i];
        return (v > open->low) & !(v >= open->high) ? dy : T(0);
    } else {
        return dy;
    }
}

template <bool Masked, class S, class T = Compute<S>>
void norm_sums(const S* x, const S* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, T* sum_dy,
               T* sum_dy_x) {
    using Vec = typename Columns<T>::Vec;
    constexpr int64_t lanes = Columns<T>::lanes;
    for_blocks<T, 6>(
        rows, n,
        [&]<int NV>(int64_t r, int64_t count, int64_t i) {
            Vec a[NV], b[NV];
            for (int j = 0; j < NV; ++j) a[j] = load<Vec>(sum_dy + i + j * lanes), b[j] = load<Vec>(sum_dy_x + i + j * lanes);
            const S *px = x + r * n + i, *pd = dy + r * n + i;
            const T *scale = Masked ? open->scale + i : mean, *shift = Masked ? open->shift + i : mean;
            for (int64_t k = 0; k < count; ++k, px += n, pd += n) {
                fetch_next<NV>(px, count, n);
                fetch_next<NV>(pd, count, n);
#pragma GCC unroll 6
                for (int j = 0; j < NV; ++j) {
                    const Vec centred = load_wide(px + j * lanes) - load<Vec>(mean + i + j * lanes);
                    const Vec d = passing<Masked, T, Vec>(centred, load<Vec>(scale + j * lanes), load<Vec>(shift + j * lanes),
                                                          open, load_wide(pd + j * lanes));
                    a[j] += d;
                    b[j] += d * centred;
                }
            }
            for (int j = 0; j < NV; ++j) store(sum_dy + i + j * lanes, a[j]), store(sum_dy_x + i + j * lanes, b[j]);
        },
        [&](int64_t r, int64_t count, int64_t first) {
            for (int64_t k = r; k < r + count; ++k)
#pragma omp simd
                for (int64_t i = first; i < n; ++i) {
                    const T centred = fk::cpu::widen<S>(x[k * n + i]) - mean[i],
                            d = passing_one<Masked>(centred, i, open, fk::cpu::widen<S>(dy[k * n + i]));
                    sum_dy[i] += d;
                    sum_dy_x[i] += d * centred;
                }
        });
}

template <class S, class T = Compute<S>>
void join_sums(const S* x, const S* first, const S* second, const S* z, int64_t rows, int64_t n, const T* mean, S* dy, T* sum_dy,
               T* sum_dy_x) {
    using Vec = typename Columns<T>::Vec;
    constexpr int64_t lanes = Columns<T>::lanes;
    for_blocks<T, 6>(
        rows, n,
        [&]<int NV>(int64_t r, int64_t count, int64_t i) {
            Vec a[NV], b[NV], m[NV];
            for (int j = 0; j < NV; ++j) {
                a[j] = load<Vec>(sum_dy + i + j * lanes);
                b[j] = load<Vec>(sum_dy_x + i + j * lanes);
                m[j] = load<Vec>(mean + i + j * lanes);
            }
            for (int64_t k = r; k < r + count; ++k) {
                fetch_next<NV>(x + k * n + i, count, n);
                fetch_next<NV>(first + k * n + i, count, n);
                fetch_next<NV>(second + k * n + i, count, n);
                fetch_next<NV>(z + k * n + i, count, n);
#pragma GCC unroll 6
                for (int j = 0; j < NV; ++j) {
                    const int64_t at = k * n + i + j * lanes;
                    const Vec d = load_wide(z + at) > 0 ? load_wide(first + at) + load_wide(second + at) : Vec{};
                    store_narrow(dy + at, d);
                    a[j] += d;
                    b[j] += d * (load_wide(x + at) - m[j]);
                }
            }
            for (int j = 0; j < NV; ++j) store(sum_dy + i + j * lanes, a[j]), store(sum_dy_x + i + j * lanes, b[j]);
        },
        [&](int64_t r, int64_t count, int64_t begin) {
            for (int64_t k = r; k < r + count; ++k)
#pragma omp simd
                for (int64_t i = begin; i < n; ++i) {
                    const int64_t at = k * n + i;
                    const T sum = fk::cpu::widen<S>(first[at]) + fk::cpu::widen<S>(second[at]),
                            d = fk::cpu::widen<S>(z[at]) > 0 ? sum : T(0);
                    dy[at] = fk::cpu::narrow<S>(d);
                    sum_dy[i] += d;
                    sum_dy_x[i] += d * (fk::cpu::widen<S>(x[at]) - mean[i]);
                }
        });
}

template <bool Masked, class S, class O, class T = Compute<S>>
void norm_grad(const S* x, const S* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, const T* a, const T* b,
               const T* c, O* dx) {
    using Vec = typename Columns<T>::Vec;
    constexpr int64_t lanes = Columns<T>::lanes;
    for_blocks<T, 4>(
        rows, n,
        [&]<int NV>(int64_t r, int64_t count, int64_t i) {
            Vec m[NV], s[NV], t[NV], va[NV], vb[NV], vc[NV];
            for (int j = 0; j < NV; ++j) {
                m[j] = load<Vec>(mean + i + j * lanes);
                s[j] = Masked ? load<Vec>(open->scale + i + j * lanes) : Vec{};
                t[j] = Masked ? load<Vec>(open->shift + i + j * lanes) : Vec{};
                va[j] = load<Vec>(a + i + j * lanes);
                vb[j] = load<Vec>(b + i + j * lanes);
                vc[j] = load<Vec>(c + i + j * lanes);
            }
            const S *px = x + r * n + i, *pd = dy + r * n + i;
            O* out = dx + r * n + i;
            for (int64_t k = 0; k < count; ++k, px += n, pd += n, out += n) {
                fetch_next<NV>(px, count, n);
                fetch_next<NV>(pd, count, n);
#pragma GCC unroll 4
                for (int j = 0; j < NV; ++j) {
                    const Vec centred = load_wide(px + j * lanes) - m[j];
                    const Vec d = passing<Masked, T, Vec>(centred, s[j], t[j], open, load_wide(pd + j * lanes));
                    store_narrow(out + j * lanes, d * va[j] + centred * vb[j] + vc[j]);
                }
            }
        },
        [&](int64_t r, int64_t count, int64_t first) {
            for (int64_t k = r; k < r + count; ++k)
#pragma omp simd
                for (int64_t i = first; i < n; ++i) {
                    const T centred = fk::cpu::widen<S>(x[k * n + i]) - mean[i],
                            d = passing_one<Masked>(centred, i, open, fk::cpu::widen<S>(dy[k * n + i]));
                    dx[k * n + i] = fk::cpu::narrow<O>(d * a[i] + centred * b[i] + c[i]);
                }
        });
}

template <class S, class T = Compute<S>>
void column_norm_sums(const S* x, const S* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, T* sum_dy,
                      T* sum_dy_x) {
    (open ? norm_sums<true, S> : norm_sums<false, S>)(x, dy, rows, n, mean, open, sum_dy, sum_dy_x);
}

template <class S, class O, class T = Compute<S>>
void column_norm_grad(const S* x, const S* dy, int64_t rows, int64_t n, const T* mean, const OpenRange<T>* open, const T* a,
                      const T* b, const T* c, O* dx) {
    (open ? norm_grad<true, S, O> : norm_grad<false, S, O>)(x, dy, rows, n, mean, open, a, b, c, dx);
}

template <class S, class T = Compute<S>>
void add_where_positive(const S* a, const T* b, const S* x, int64_t n, S* y) {
    using Vec = typename Columns<T>::Vec;
    constexpr int64_t lanes = Columns<T>::lanes;
    int64_t i = 0;
    if (x == nullptr)
        for (; i + lanes <= n; i += lanes) store_narrow(y + i, load_wide(a + i) + load<Vec>(b + i));
    else
        for (; i + lanes <= n; i += lanes)
            store_narrow(y + i, load_wide(x + i) > 0 ? load_wide(a + i) + load<Vec>(b + i) : Vec{});
    for (; i < n; ++i) {
        const bool passes = x == nullptr || fk::cpu::widen<S>(x[i]) > 0;
        y[i] = fk::cpu::narrow<S>(passes ? fk::cpu::widen<S>(a[i]) + b[i] : T(0));
    }
}

template <class T>
void fill(RowKernels<T>& t) {
    t.layer_norm = layer_norm<T>;
    t.layer_norm_grad = layer_norm_grad<T>;
}

template <class S>
void fill(ColumnKernels<S>& t) {
    t.moments = column_moments<S>;
    t.affine = column_affine<S, S>;
    t.affine_wide = column_affine<S, Compute<S>>;
    t.affine_add = column_affine_add<S>;
    t.norm_sums = column_norm_sums<S>;
    t.join_sums = join_sums<S>;
    t.norm_grad = column_norm_grad<S, S>;
    t.norm_grad_wide = column_norm_grad<S, Compute<S>>;
    t.add_where_positive = add_where_positive<S>;
}

}  // namespace

void fill_norm(OwnKernels& table) {
    fill(table.rows_f32);
    fill(table.rows_f64);
    fill(table.columns_f32);
    fill(table.columns_f64);
    fill(table.columns_bf16);
    fill(table.columns_f16);
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
