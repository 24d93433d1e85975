// Softmax over any axis, and the two cross-entropies with their gradients in one pass over the logits.
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

constexpr int64_t kExpWork = 8;  // an exponential weighs as much as this many plain element operations

template <class T>
RunFn softmax(AxisView v, bool log) {
    return [=](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        T* y = static_cast<T*>(a.out[0]);
        if (v.n == 0) return;
        const RowKernels<T>& kernels = row_kernels<T>();
        if (v.inner == 1) {
            parallel_ranges(v.outer, v.n * kExpWork,
                            [&](int64_t begin, int64_t end) { kernels.softmax(x + begin * v.n, end - begin, v.n, log, y + begin * v.n); });
            return;
        }
        constexpr int64_t block = 128;
        const int64_t chunks = (v.inner + block - 1) / block;
        parallel_ranges(v.outer * chunks, v.n * std::min(v.inner, block) * kExpWork, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const int64_t c0 = i % chunks * block, at = i / chunks * v.n * v.inner + c0;
                kernels.softmax_columns(x + at, v.n, v.inner, std::min(block, v.inner - c0), log, y + at);
            }
        });
    };
}

struct Rows {
    int64_t rows = 0, n = 0;
};
Rows rows_of(const TensorType& t) { return {t.dims.back() == 0 ? 0 : t.size() / t.dims.back(), t.dims.back()}; }

template <class T>
RunFn sparse_cross_entropy(Rows r, DType labels, bool grad, bool one_dy) {
    return [=](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        T* out = static_cast<T*>(a.out[0]);
        auto* label = reinterpret_cast<int64_t*>(a.scratch);
        read_indices(a.in[1], labels, r.rows, r.n, "sparse_softmax_cross_entropy", label, a.errors, false);
        const T* dy = grad ? static_cast<const T*>(a.in[2]) : nullptr;
        const RowKernels<T>& kernels = row_kernels<T>();
        parallel_ranges(r.rows, r.n * kExpWork, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                if (grad && label[i] < 0)
                    std::fill(out + i * r.n, out + (i + 1) * r.n, T{0});
                else if (grad)
                    kernels.sparse_cross_entropy_grad(x + i * r.n, r.n, label[i], dy[one_dy ? 0 : i], out + i * r.n);
                else
                    out[i] = label[i] < 0 ? T{0} : kernels.sparse_cross_entropy(x + i * r.n, r.n, label[i]);
            }
        });
    };
}

template <class T>
RunFn cross_entropy(Rows r, bool grad, bool one_dy) {
    return [=](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        const T* targets = static_cast<const T*>(a.in[1]);
        T* out = static_cast<T*>(a.out[0]);
        const T* dy = grad ? static_cast<const T*>(a.in[2]) : nullptr;
        const RowKernels<T>& kernels = row_kernels<T>();
        parallel_ranges(r.rows, r.n * kExpWork, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                if (grad)
                    kernels.cross_entropy_grad(x + i * r.n, targets + i * r.n, r.n, dy[one_dy ? 0 : i], out + i * r.n);
                else
                    out[i] = kernels.cross_entropy(x + i * r.n, targets + i * r.n, r.n);
            }
        });
    };
}

template <class F>
RunFn by_precision(DType t, F&& f) {
    return t == DType::f64 ? f(Type<double>{}) : f(Type<float>{});
}

}  // namespace

namespace own_softmax {
std::string match(const Graph& g, const Node& node) {
    return input_type(g, node, 0).rank() == 0 ? "a scalar" : check_compute_types(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const bool log = node.is("log_softmax");
    const RunFn body = by_precision(x.dtype, [&](auto tag) { return softmax<typename decltype(tag)::type>(v, log); });
    return make_widened(g, node, concat("own:", node.op->name), body, 0, 0);
}
}  // namespace own_softmax

namespace own_sparse_cross_entropy {
std::string match(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).rank() == 0) return "logits are a scalar";
    const DType labels = input_type(g, node, 1).dtype;
    if (!is_integer(labels)) return concat("labels are ", name(labels));
    return check_compute_types(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Rows r = rows_of(x);
    if (input_type(g, node, 1).size() != r.rows) return nullptr;
    const bool grad = node.inputs.size() == 3, one_dy = grad && input_type(g, node, 2).size() == 1;
    if (grad && !one_dy && input_type(g, node, 2).size() != r.rows) return nullptr;
    const DType labels = input_type(g, node, 1).dtype;
    const RunFn body =
        by_precision(x.dtype, [&](auto tag) { return sparse_cross_entropy<typename decltype(tag)::type>(r, labels, grad, one_dy); });
    return make_widened(g, node, concat("own:", node.op->name), body, static_cast<size_t>(r.rows) * 8, grad ? 0 : -1);
}
}  // namespace own_sparse_cross_entropy

namespace own_cross_entropy {
std::string match(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).rank() == 0) return "logits are a scalar";
    if (input_type(g, node, 1).dims != input_type(g, node, 0).dims) return "targets have another shape than logits";
    return check_compute_types(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Rows r = rows_of(x);
    const bool grad = node.inputs.size() == 3, one_dy = grad && input_type(g, node, 2).size() == 1;
    if (grad && !one_dy && input_type(g, node, 2).size() != r.rows) return nullptr;
    const RunFn body = by_precision(x.dtype, [&](auto tag) { return cross_entropy<typename decltype(tag)::type>(r, grad, one_dy); });
    return make_widened(g, node, concat("own:", node.op->name), body, 0, grad ? 0 : -1);
}
}  // namespace own_cross_entropy

}  // namespace fk::cpu
