// Batch and layer normalisation. Statistics of a column are gathered a block of rows at a time, each block around its
// own mean while it is in the cache, and combined in double: one pass over memory, no cancellation.
#include <cmath>

#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

int64_t block_rows(int64_t n) { return std::clamp<int64_t>(8192 / std::max<int64_t>(n, 1), 8, 512); }

struct NormShape {
    int64_t rows = 0, n = 0;
    double epsilon = 0;
    int64_t block = 1;
};

NormShape norm_shape(const TensorType& x, double epsilon) {
    NormShape s{0, x.dims.back(), epsilon, block_rows(x.dims.back())};
    s.rows = s.n == 0 ? 0 : x.size() / s.n;
    return s;
}

// Scratch of one slot: `count` rows of n doubles, then two rows of n values of T.
template <class T>
struct Sums {
    double* total;
    T *first, *second;
    Sums(std::byte* scratch, const NormShape& s, int64_t slot)
        : total(reinterpret_cast<double*>(scratch + static_cast<size_t>(slot) * bytes(s))),
          first(reinterpret_cast<T*>(total + 2 * s.n)),
          second(first + s.n) {}
    static size_t bytes(const NormShape& s) { return round_up(static_cast<size_t>(s.n) * (2 * sizeof(double) + 2 * sizeof(T))); }
};

// Combines the mean and squared deviations of `added` rows into those of `count` rows (Chan et al.).
void combine(double& mean, double& squares, double count, double mean_b, double squares_b, double added) {
    const double delta = mean_b - mean, n = count + added;
    mean += delta * added / n;
    squares += squares_b + delta * delta * count * added / n;
}

template <class T>
RunFn batch_norm(const NormShape& s) {
    return [=, threads = max_threads()](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        const T* gamma = static_cast<const T*>(a.in[1]);
        const T* beta = static_cast<const T*>(a.in[2]);
        T* y = static_cast<T*>(a.out[0]);
        T* mean = static_cast<T*>(a.out[1]);
        T* variance = static_cast<T*>(a.out[2]);
        const RowKernels<T>& kernels = row_kernels<T>();
        const auto n = static_cast<size_t>(s.n);
        std::vector<double> counts(static_cast<size_t>(threads), 0.0);
        parallel_slots(threads, s.rows, s.n * 2, [&](int64_t begin, int64_t end, int64_t slot) {
            const Sums<T> t(a.scratch, s, slot);
            std::fill(t.total, t.total + 2 * n, 0.0);
            double count = 0;
            for (int64_t r = begin; r < end; r += s.block) {
                const int64_t rows = std::min(s.block, end - r);
                std::fill(t.first, t.first + 2 * n, T{0});
                kernels.column_sum(x + r * s.n, rows, s.n, t.first);
                for (size_t i = 0; i < n; ++i) t.first[i] /= static_cast<T>(rows);
                kernels.column_square_sum(x + r * s.n, rows, s.n, t.first, t.second);
                for (size_t i = 0; i < n; ++i)
                    combine(t.total[i], t.total[n + i], count, static_cast<double>(t.first[i]), static_cast<double>(t.second[i]),
                            static_cast<double>(rows));
                count += static_cast<double>(rows);
            }
            counts[static_cast<size_t>(slot)] = count;
        });
        const Sums<T> all(a.scratch, s, 0);
        double count = counts[0];
        for (int64_t slot = 1; slot < threads && counts[static_cast<size_t>(slot)] > 0; ++slot) {
            const Sums<T> t(a.scratch, s, slot);
            const double added = counts[static_cast<size_t>(slot)];
            for (size_t i = 0; i < n; ++i) combine(all.total[i], all.total[n + i], count, t.total[i], t.total[n + i], added);
            count += added;
        }
        T* scale = all.first;
        for (size_t i = 0; i < n; ++i) {
            const double var = all.total[n + i] / count;
            mean[i] = static_cast<T>(all.total[i]);
            variance[i] = static_cast<T>(var);
            scale[i] = static_cast<T>(static_cast<double>(gamma[i]) / std::sqrt(var + s.epsilon));
        }
        parallel_ranges(s.rows, s.n, [&](int64_t begin, int64_t end) {
            kernels.column_affine(x + begin * s.n, end - begin, s.n, mean, scale, beta, y + begin * s.n);
        });
    };
}

template <class T>
RunFn batch_norm_grad(const NormShape& s) {
    return [=, threads = max_threads()](const KernelArgs& args) {
        const T* x = static_cast<const T*>(args.in[0]);
        const T* gamma = static_cast<const T*>(args.in[1]);
        const T* mean = static_cast<const T*>(args.in[2]);
        const T* variance = static_cast<const T*>(args.in[3]);
        const T* dy = static_cast<const T*>(args.in[4]);
        T* dx = static_cast<T*>(args.out[0]);
        T* dgamma = static_cast<T*>(args.out[1]);
        T* dbeta = static_cast<T*>(args.out[2]);
        const RowKernels<T>& kernels = row_kernels<T>();
        const auto n = static_cast<size_t>(s.n);
        for (int64_t slot = 0; slot < threads; ++slot) {
            const Sums<T> t(args.scratch, s, slot);
            std::fill(t.total, t.total + 2 * n, 0.0);
        }
        parallel_slots(threads, s.rows, s.n * 2, [&](int64_t begin, int64_t end, int64_t slot) {
            const Sums<T> t(args.scratch, s, slot);
            for (int64_t r = begin; r < end; r += s.block) {
                const int64_t rows = std::min(s.block, end - r);
                std::fill(t.first, t.first + 2 * n, T{0});
                kernels.column_norm_sums(x + r * s.n, dy + r * s.n, rows, s.n, mean, t.first, t.second);
                for (size_t i = 0; i < 2 * n; ++i) t.total[i] += static_cast<double>(t.first[i]);
            }
        });
        const Sums<T> all(args.scratch, s, 0);
        for (int64_t slot = 1; slot < threads; ++slot) {
            const Sums<T> t(args.scratch, s, slot);
            for (size_t i = 0; i < 2 * n; ++i) all.total[i] += t.total[i];
        }
        // dx = gamma * inv * (dy - sum_dy / rows - (x - mean) * inv^2 * sum_dy_x / rows); the sums are used up here.
        T *a = all.first, *b = all.second;
        T* c = reinterpret_cast<T*>(all.total);  // written at or behind the place just read
        const auto rows = static_cast<double>(s.rows);
        std::vector<double> sum_dy(all.total, all.total + n);
        for (size_t i = 0; i < n; ++i) {
            const double inv = 1 / std::sqrt(static_cast<double>(variance[i]) + s.epsilon), scale = static_cast<double>(gamma[i]) * inv;
            const double sum_dy_x = all.total[n + i];
            dgamma[i] = static_cast<T>(sum_dy_x * inv);
            dbeta[i] = static_cast<T>(sum_dy[i]);
            a[i] = static_cast<T>(scale);
            b[i] = static_cast<T>(-scale * inv * inv * sum_dy_x / rows);
            c[i] = static_cast<T>(-scale * sum_dy[i] / rows);
        }
        parallel_ranges(s.rows, s.n * 2, [&](int64_t begin, int64_t end) {
            kernels.column_norm_grad(x + begin * s.n, dy + begin * s.n, end - begin, s.n, mean, a, b, c, dx + begin * s.n);
        });
    };
}

template <class T>
RunFn layer_norm(const NormShape& s) {
    return [=](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        const T* gamma = static_cast<const T*>(a.in[1]);
        const T* beta = static_cast<const T*>(a.in[2]);
        T* y = static_cast<T*>(a.out[0]);
        const RowKernels<T>& kernels = row_kernels<T>();
        parallel_ranges(s.rows, s.n * 3, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) kernels.layer_norm(x + r * s.n, gamma, beta, s.n, static_cast<T>(s.epsilon), y + r * s.n);
        });
    };
}

template <class T>
RunFn layer_norm_grad(const NormShape& s) {
    return [=, threads = max_threads()](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        const T* gamma = static_cast<const T*>(a.in[1]);
        const T* dy = static_cast<const T*>(a.in[2]);
        T* dx = static_cast<T*>(a.out[0]);
        T* dgamma = static_cast<T*>(a.out[1]);
        T* dbeta = static_cast<T*>(a.out[2]);
        const RowKernels<T>& kernels = row_kernels<T>();
        const auto n = static_cast<size_t>(s.n);
        for (int64_t slot = 0; slot < threads; ++slot) {
            const Sums<T> t(a.scratch, s, slot);
            std::fill(t.total, t.total + 2 * n, 0.0);
        }
        parallel_slots(threads, s.rows, s.n * 4, [&](int64_t begin, int64_t end, int64_t slot) {
            const Sums<T> t(a.scratch, s, slot);
            for (int64_t r0 = begin; r0 < end; r0 += s.block) {
                std::fill(t.first, t.first + 2 * n, T{0});
                for (int64_t r = r0; r < std::min(end, r0 + s.block); ++r)
                    kernels.layer_norm_grad(x + r * s.n, gamma, dy + r * s.n, s.n, static_cast<T>(s.epsilon), dx + r * s.n, t.first, t.second);
                for (size_t i = 0; i < 2 * n; ++i) t.total[i] += static_cast<double>(t.first[i]);
            }
        });
        const Sums<T> all(a.scratch, s, 0);
        for (int64_t slot = 1; slot < threads; ++slot) {
            const Sums<T> t(a.scratch, s, slot);
            for (size_t i = 0; i < 2 * n; ++i) all.total[i] += t.total[i];
        }
        for (size_t i = 0; i < n; ++i) {
            dgamma[i] = static_cast<T>(all.total[i]);
            dbeta[i] = static_cast<T>(all.total[n + i]);
        }
    };
}

std::string refuse(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    if (x.rank() == 0) return "a scalar";
    const size_t params = node.is("layer_norm_grad") ? 2 : node.is("batch_norm_train_grad") ? 4 : 3;
    for (size_t i = 1; i < params; ++i)
        if (input_type(g, node, i).size() != x.dims.back()) return "a parameter is not one value per channel";
    return check_compute_types(g, node);
}

template <class F>
std::unique_ptr<Kernel> make_norm(const Graph& g, const Node& node, bool sums, int inplace, F&& body) {
    const TensorType& x = input_type(g, node, 0);
    const NormShape s = norm_shape(x, node.float_attr("epsilon"));
    const auto threads = static_cast<size_t>(max_threads());
    const std::string text = concat("own:", node.op->name);
    if (x.dtype == DType::f64) return make_widened(g, node, text, body(Type<double>{}, s), sums ? threads * Sums<double>::bytes(s) : 0, inplace);
    return make_widened(g, node, text, body(Type<float>{}, s), sums ? threads * Sums<float>::bytes(s) : 0, inplace);
}

}  // namespace

namespace own_batch_norm {
std::string match(const Graph& g, const Node& node) {
    return input_type(g, node, 0).size() == 0 ? "no elements to normalise over" : refuse(g, node);
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, true, 0, [](auto tag, const NormShape& s) { return batch_norm<typename decltype(tag)::type>(s); });
}
}  // namespace own_batch_norm

namespace own_batch_norm_grad {
std::string match(const Graph& g, const Node& node) {
    return input_type(g, node, 0).size() == 0 ? "no elements to normalise over" : refuse(g, node);
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, true, 4, [](auto tag, const NormShape& s) { return batch_norm_grad<typename decltype(tag)::type>(s); });
}
}  // namespace own_batch_norm_grad

namespace own_layer_norm {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, false, 0, [](auto tag, const NormShape& s) { return layer_norm<typename decltype(tag)::type>(s); });
}
}  // namespace own_layer_norm

namespace own_layer_norm_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, true, 2, [](auto tag, const NormShape& s) { return layer_norm_grad<typename decltype(tag)::type>(s); });
}
}  // namespace own_layer_norm_grad

}  // namespace fk::cpu
