// Batch and layer normalisation. Statistics of a column are gathered a chunk of rows at a time, each around a value near its
// mean, and combined in double: one pass over memory, no cancellation. That pass takes the rows from the last one on, as what
// came before has left it in the cache, and the next pass finds the first rows there.
#include <cmath>
#include <limits>

#include "cpu/epilogue.h"
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/norm_factors.h"
#include "cpu/norm_moments.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

struct NormPlan {
    int64_t rows = 0, n = 0;
    double epsilon = 0;
    Act act = Act::none;
    RowStream statistics, apply;  // first and second pass over the rows
    int threads = 1;
    size_t scratch = 0;
};

bool has_activation(const Node& node) { return node.op->attr_index("act") >= 0; }

// Sums come first in scratch, then a chunk of widened operands per thread (both passes use the same place). With `as_stored`
// there are none of these.
NormPlan plan_norm(const Graph& g, const Node& node, OperandSet statistics, OperandSet apply, bool as_stored) {
    const TensorType& x = input_type(g, node, 0);
    const int64_t n = x.dims.back(), rows = n == 0 ? 0 : x.size() / n,
                  chunk = std::clamp<int64_t>(32768 / std::max<int64_t>(n, 1), 64, 512);
    const auto sums =
        static_cast<size_t>(max_threads()) * (x.dtype == DType::f64 ? Sums<double>::bytes(n) : Sums<float>::bytes(n));
    const Act act = has_activation(node) ? act_from_name(std::get<std::string>(node.attrs[1])).value() : Act::none;
    NormPlan p{rows,
               n,
               node.op->attr_index("epsilon") >= 0 ? node.float_attr("epsilon") : 0,
               act,
               RowStream(g, node, statistics, rows, chunk, sums, as_stored),
               RowStream(g, node, apply, rows, chunk, sums, as_stored)};
    p.threads = p.apply.threads();
    p.scratch = sums + std::max(p.statistics.scratch_bytes(), p.apply.scratch_bytes());
    return p;
}

// From here on rows are stored as S; what there is one of per channel is in T.
template <class S, class T = Compute<S>>
void normalise(const NormPlan& p, const KernelArgs& a, const T* gamma, const T* beta, const T* mean, const T* variance) {
    T* scale = Sums<T>(a.scratch, p.n, 0).first;
    set_scales(p.n, p.epsilon, gamma, variance, scale);
    const Cut<T> cut(p.act);
    p.apply.run<S>(a, p.n, [&](const RowStream::Chunk<S>& c, int64_t, int64_t rows, int64_t) {
        column_kernels<S>().affine(c.input(0), rows, p.n, mean, scale, beta, cut.low, cut.high, c.output(0));
    });
}

template <class S, class T = Compute<S>>
void find_moments(const NormPlan& p, const KernelArgs& a, T* mean, T* variance) {
    const int64_t n = p.n;
    std::vector<double> counts(static_cast<size_t>(p.threads), 0.0);
    p.statistics.run<S>(
        a, n * 2,
        [&](const RowStream::Chunk<S>& c, int64_t, int64_t rows, int64_t slot) {
            double& count = counts[static_cast<size_t>(slot)];
            column_kernels<S>().moments(c.input(0), rows, n, count, Sums<T>(a.scratch, n, slot).moments(n));
            count += static_cast<double>(rows);
        },
        true);
    finish_moments<T>(a.scratch, n, counts, mean, variance);
}

template <class S, class T = Compute<S>>
RunFn batch_norm(const NormPlan& p) {
    return [=](const KernelArgs& a) {
        T *mean = static_cast<T*>(a.out[1]), *variance = static_cast<T*>(a.out[2]);
        find_moments<S>(p, a, mean, variance);
        normalise<S>(p, a, static_cast<const T*>(a.in[1]), static_cast<const T*>(a.in[2]), mean, variance);
    };
}

template <class S, class T = Compute<S>>
RunFn batch_norm_moments(const NormPlan& p) {
    return [=](const KernelArgs& a) { find_moments<S>(p, a, static_cast<T*>(a.out[0]), static_cast<T*>(a.out[1])); };
}

template <class S, class T = Compute<S>>
RunFn batch_norm_apply(const NormPlan& p) {
    return [=](const KernelArgs& a) {
        const auto vector = [&](size_t i) { return static_cast<const T*>(a.in[i]); };
        normalise<S>(p, a, vector(1), vector(2), vector(3), vector(4));
    };
}

template <class S, class T = Compute<S>>
RunFn batch_norm_add(const NormPlan& p) {
    return [=](const KernelArgs& a) {
        const auto vector = [&](size_t i) { return static_cast<const T*>(a.in[i]); };
        T* scale = Sums<T>(a.scratch, p.n, 0).first;
        set_scales(p.n, p.epsilon, vector(1), vector(4), scale);
        p.apply.run<S>(a, p.n, [&](const RowStream::Chunk<S>& c, int64_t, int64_t rows, int64_t) {
            column_kernels<S>().affine_add(c.input(0), c.input(1), rows, p.n, vector(3), scale, vector(2), Cut<T>(p.act).low,
                                           c.output(0));
        });
    };
}

// Adds up what the slots summed; the result is in slot 0.
template <class T>
double* add_slots(std::byte* scratch, int64_t n, int threads) {
    double* all = Sums<T>(scratch, n, 0).total;
    for (int slot = 1; slot < threads; ++slot) {
        const double* t = Sums<T>(scratch, n, slot).total;
        for (int64_t i = 0; i < 2 * n; ++i) all[i] += t[i];
    }
    return all;
}

template <class T>
void clear_slots(std::byte* scratch, int64_t n, int threads) {
    for (int slot = 0; slot < threads; ++slot) Sums<T>(scratch, n, slot).clear(n);
}

// A gradient's passes over the rows: sum(chunk, rows, sums of dy, sums of dy * (x - mean)) for all of them, from the last one on;
// then write(chunk, rows, factors).
template <class S, class Sum, class Write, class T = Compute<S>>
void run_gradient(const NormPlan& p, const KernelArgs& args, const T* gamma, const T* variance, T* dgamma, T* dbeta, Sum&& sum,
                  Write&& write) {
    const int64_t n = p.n;
    clear_slots<T>(args.scratch, n, p.threads);
    p.statistics.run<S>(
        args, n * 2,
        [&](const RowStream::Chunk<S>& c, int64_t, int64_t rows, int64_t slot) {
            const Sums<T> t(args.scratch, n, slot);
            std::fill_n(t.first, 2 * n, T{0});
            sum(c, rows, t.first, t.second);
            for (int64_t i = 0; i < 2 * n; ++i) t.total[i] += static_cast<double>(t.first[i]);
        },
        true);
    std::vector<T> vectors(static_cast<size_t>(3 * n));
    const GradFactors<T> factors{vectors.data(), vectors.data() + n, vectors.data() + 2 * n};
    set_grad_factors(n, p.rows, p.epsilon, gamma, variance, add_slots<T>(args.scratch, n, p.threads), factors, dgamma, dbeta);
    p.apply.run<S>(args, n * 2, [&](const RowStream::Chunk<S>& c, int64_t, int64_t rows, int64_t) { write(c, rows, factors); });
}

template <class S, class T = Compute<S>>
RunFn batch_norm_grad(const NormPlan& p) {
    return [=](const KernelArgs& args) {
        const auto vector = [&](size_t i) { return static_cast<const T*>(args.in[i]); };
        const int64_t n = p.n;
        const size_t at = p.act == Act::none ? 2 : 3;  // with an activation, beta comes after gamma
        const T *gamma = vector(1), *mean = vector(at), *variance = vector(at + 1);
        std::vector<T> scales(static_cast<size_t>(n));
        set_scales(n, p.epsilon, gamma, variance, scales.data());
        const T unbounded = std::numeric_limits<T>::quiet_NaN();
        const OpenRange<T> range{scales.data(), vector(2), T{0}, p.act == Act::relu6 ? T{6} : unbounded};
        const OpenRange<T>* open = p.act == Act::none ? nullptr : &range;
        const ColumnKernels<S>& kernels = column_kernels<S>();
        run_gradient<S>(
            p, args, gamma, variance, static_cast<T*>(args.out[1]), static_cast<T*>(args.out[2]),
            [&](const RowStream::Chunk<S>& c, int64_t rows, T* sum_dy, T* sum_dy_x) {
                kernels.norm_sums(c.input(0), c.input(1), rows, n, mean, open, sum_dy, sum_dy_x);
            },
            [&](const RowStream::Chunk<S>& c, int64_t rows, const GradFactors<T>& f) {
                kernels.norm_grad(c.input(0), c.input(1), rows, n, mean, open, f.on_dy, f.on_x, f.constant, c.output(0));
            });
    };
}

template <class S, class T = Compute<S>>
RunFn batch_norm_join_grad(const NormPlan& p) {
    return [=](const KernelArgs& args) {
        const auto vector = [&](size_t i) { return static_cast<const T*>(args.in[i]); };
        const T* mean = vector(2);
        const ColumnKernels<S>& kernels = column_kernels<S>();
        run_gradient<S>(
            p, args, vector(1), vector(3), static_cast<T*>(args.out[2]), static_cast<T*>(args.out[3]),
            [&](const RowStream::Chunk<S>& c, int64_t rows, T* sum_dy, T* sum_dy_x) {
                kernels.join_sums(c.input(0), c.input(1), c.input(2), c.input(3), rows, p.n, mean, c.output(0), sum_dy, sum_dy_x);
            },
            [&](const RowStream::Chunk<S>& c, int64_t rows, const GradFactors<T>& f) {
                kernels.norm_grad(c.input(0), c.output(1), rows, p.n, mean, nullptr, f.on_dy, f.on_x, f.constant, c.output(0));
            });
    };
}

template <class T>
RunFn layer_norm(const NormPlan& p) {
    return [=](const KernelArgs& a) {
        const T* gamma = static_cast<const T*>(a.in[1]);
        const T* beta = static_cast<const T*>(a.in[2]);
        const RowKernels<T>& kernels = row_kernels<T>();
        p.apply.run<T>(a, p.n * 3, [&](const RowStream::Chunk<T>& c, int64_t, int64_t rows, int64_t) {
            for (int64_t r = 0; r < rows; ++r)
                kernels.layer_norm(c.input(0) + r * p.n, gamma, beta, p.n, static_cast<T>(p.epsilon), c.output(0) + r * p.n);
        });
    };
}

template <class T>
RunFn layer_norm_grad(const NormPlan& p) {
    return [=](const KernelArgs& a) {
        const T* gamma = static_cast<const T*>(a.in[1]);
        T* dgamma = static_cast<T*>(a.out[1]);
        T* dbeta = static_cast<T*>(a.out[2]);
        const RowKernels<T>& kernels = row_kernels<T>();
        const int64_t n = p.n;
        clear_slots<T>(a.scratch, n, p.threads);
        p.apply.run<T>(a, n * 4, [&](const RowStream::Chunk<T>& c, int64_t, int64_t rows, int64_t slot) {
            const Sums<T> t(a.scratch, n, slot);
            std::fill_n(t.first, 2 * n, T{0});
            for (int64_t r = 0; r < rows; ++r)
                kernels.layer_norm_grad(c.input(0) + r * n, gamma, c.input(1) + r * n, n, static_cast<T>(p.epsilon),
                                        c.output(0) + r * n, t.first, t.second);
            for (int64_t i = 0; i < 2 * n; ++i) t.total[i] += static_cast<double>(t.first[i]);
        });
        const double* sums = add_slots<T>(a.scratch, n, p.threads);
        for (int64_t i = 0; i < n; ++i) {
            dgamma[i] = static_cast<T>(sums[i]);
            dbeta[i] = static_cast<T>(sums[n + i]);
        }
    };
}

std::string refuse(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    if (x.rank() == 0) return "a scalar";
    const size_t params = node.is("layer_norm_grad")         ? 2
                          : node.is("batch_norm_train_grad") ? 4
                          : node.is("batch_norm_join_grad")  ? 4
                          : node.is("batch_norm_act_grad")   ? 5
                          : node.is("batch_norm_apply")      ? 5
                          : node.is("batch_norm_add")        ? 5
                          : node.is("batch_norm_moments")    ? 0
                                                             : 3;
    for (size_t i = 1; i < params; ++i)
        if (input_type(g, node, i).size() != x.dims.back()) return "a parameter is not one value per channel";
    if (has_activation(node)) {
        const auto& act = std::get<std::string>(node.attrs[1]);
        const bool none = act == "none" && (node.is("batch_norm_apply") || node.is("batch_norm_add"));
        if (act == "relu6" && node.is("batch_norm_add")) return "activation relu6";
        if (act != "relu" && act != "relu6" && !none) return concat("activation ", act);
    }
    return check_compute_types(g, node);
}

// The type that all of these operands are stored in; float32 where some have 16 bits and others not.
DType common_storage(const Graph& g, const Node& node, OperandSet operands) {
    const DType first = input_type(g, node, 0).dtype;
    bool same = true;
    for (size_t i = 0; i < node.inputs.size(); ++i)
        if (operands & input_bit(static_cast<int>(i))) same = same && input_type(g, node, i).dtype == first;
    for (size_t i = 0; i < node.types.size(); ++i)
        if (operands & output_bit(static_cast<int>(i))) same = same && node.types[i].dtype == first;
    return same || first == DType::f64 ? first : DType::f32;
}

// Batch normalisations: `body` is made for the type that rows are stored in, if that is one, and else for float.
template <class F>
std::unique_ptr<Kernel> make_norm(const Graph& g, const Node& node, OperandSet statistics, OperandSet apply, int inplace,
                                  F&& body, int shared_output = 0) {
    const DType stored = common_storage(g, node, statistics | apply);
    const NormPlan p = plan_norm(g, node, statistics, apply, is_half(stored));
    const RunFn run = dispatch_float(stored, [&](auto tag) { return body(tag, p); });
    return make_widened(g, node, concat("own:", node.op->name), run, p.scratch, inplace, statistics | apply, shared_output);
}

// Layer normalisations: rows are widened.
template <class F>
std::unique_ptr<Kernel> make_row_norm(const Graph& g, const Node& node, OperandSet operands, int inplace, F&& body) {
    const NormPlan p = plan_norm(g, node, 0, operands, false);
    const RunFn run = input_type(g, node, 0).dtype == DType::f64 ? body(Type<double>{}, p) : body(Type<float>{}, p);
    return make_widened(g, node, concat("own:", node.op->name), run, p.scratch, inplace, operands);
}

constexpr OperandSet kX = input_bit(0), kY = output_bit(0);

}  // namespace

namespace own_batch_norm {
std::string match(const Graph& g, const Node& node) {
    return input_type(g, node, 0).size() == 0 ? "no elements to normalise over" : refuse(g, node);
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, kX, kX | kY, 0,
                     [](auto tag, const NormPlan& p) { return batch_norm<typename decltype(tag)::type>(p); });
}
}  // namespace own_batch_norm

namespace own_batch_norm_moments {
std::string match(const Graph& g, const Node& node) { return own_batch_norm::match(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, kX, 0, -1,
                     [](auto tag, const NormPlan& p) { return batch_norm_moments<typename decltype(tag)::type>(p); });
}
}  // namespace own_batch_norm_moments

namespace own_batch_norm_apply {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, 0, kX | kY, 0,
                     [](auto tag, const NormPlan& p) { return batch_norm_apply<typename decltype(tag)::type>(p); });
}
}  // namespace own_batch_norm_apply

namespace own_batch_norm_add {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(g, node, 0, kX | input_bit(5) | kY, 5,
                     [](auto tag, const NormPlan& p) { return batch_norm_add<typename decltype(tag)::type>(p); });
}
}  // namespace own_batch_norm_add

namespace own_batch_norm_grad {
std::string match(const Graph& g, const Node& node) {
    return input_type(g, node, 0).size() == 0 ? "no elements to normalise over" : refuse(g, node);
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const int dy = static_cast<int>(node.inputs.size()) - 1;
    const OperandSet read = kX | input_bit(dy);
    return make_norm(g, node, read, read | kY, dy,
                     [](auto tag, const NormPlan& p) { return batch_norm_grad<typename decltype(tag)::type>(p); });
}
}  // namespace own_batch_norm_grad

namespace own_batch_norm_join_grad {
constexpr OperandSet kRead = kX | input_bit(4) | input_bit(5) | input_bit(6), kDy = output_bit(1);
std::string match(const Graph& g, const Node& node) {
    if (std::string why = own_batch_norm::match(g, node); !why.empty()) return why;
    // Its second pass reads what the first one wrote.
    const DType x = input_type(g, node, 0).dtype;
    if (common_storage(g, node, kRead | kY | kDy) != x || node.types[1].dtype != x) return "operands stored in several types";
    return "";
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_norm(
        g, node, kRead | kDy, kX | kY | kDy, 6,
        [](auto tag, const NormPlan& p) { return batch_norm_join_grad<typename decltype(tag)::type>(p); }, 1);
}
}  // namespace own_batch_norm_join_grad

namespace own_layer_norm {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_row_norm(g, node, kX | kY, 0,
                         [](auto tag, const NormPlan& p) { return layer_norm<typename decltype(tag)::type>(p); });
}
}  // namespace own_layer_norm

namespace own_layer_norm_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_row_norm(g, node, kX | input_bit(2) | kY, 2,
                         [](auto tag, const NormPlan& p) { return layer_norm_grad<typename decltype(tag)::type>(p); });
}
}  // namespace own_layer_norm_grad

}  // namespace fk::cpu
