// Softmax over any axis, and the two cross-entropies with their gradients in one pass over the logits.
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

constexpr int64_t kExpWork = 8;  // an exponential weighs as much as this many plain element operations

// Rows a chunk of 16-bit operands is widened by.
int64_t chunk_rows(int64_t n) { return std::max<int64_t>(4096 / std::max<int64_t>(n, 1), 1); }

template <class T>
RunFn softmax_rows(const RowStream& stream, int64_t n, bool log) {
    return [=](const KernelArgs& a) {
        const RowKernels<T>& kernels = row_kernels<T>();
        stream.run<T>(a, n * kExpWork, [&](const RowStream::Chunk<T>& c, int64_t, int64_t rows, int64_t) {
            kernels.softmax(c.input(0), rows, n, log, c.output(0));
        });
    };
}

template <class T>
RunFn softmax_columns(AxisView v, bool log) {
    return [=](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        T* y = static_cast<T*>(a.out[0]);
        if (v.n == 0) return;
        constexpr int64_t block = 128;
        const int64_t chunks = (v.inner + block - 1) / block;
        parallel_ranges(v.outer * chunks, v.n * std::min(v.inner, block) * kExpWork, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const int64_t c0 = i % chunks * block, at = i / chunks * v.n * v.inner + c0;
                row_kernels<T>().softmax_columns(x + at, v.n, v.inner, std::min(block, v.inner - c0), log, y + at);
            }
        });
    };
}

struct Rows {
    int64_t rows = 0, n = 0;
};
Rows rows_of(const TensorType& t) { return {t.dims.back() == 0 ? 0 : t.size() / t.dims.back(), t.dims.back()}; }

// Labels come first in scratch.
template <class T>
RunFn sparse_cross_entropy(const RowStream& stream, Rows r, DType labels, bool grad) {
    return [=](const KernelArgs& a) {
        auto* label = reinterpret_cast<int64_t*>(a.scratch);
        read_indices(a.in[1], labels, r.rows, r.n, "sparse_softmax_cross_entropy", label, a.errors, false);
        const RowKernels<T>& kernels = row_kernels<T>();
        stream.run<T>(a, r.n * kExpWork, [&](const RowStream::Chunk<T>& c, int64_t first, int64_t rows, int64_t) {
            for (int64_t i = 0; i < rows; ++i) {
                const T* x = c.input(0) + i * r.n;
                const int64_t at = label[first + i];
                if (!grad)
                    c.output(0)[i] = at < 0 ? T{0} : kernels.sparse_cross_entropy(x, r.n, at);
                else if (at < 0)
                    std::fill_n(c.output(0) + i * r.n, r.n, T{0});
                else
                    kernels.sparse_cross_entropy_grad(x, r.n, at, c.input(1)[i], c.output(0) + i * r.n);
            }
        });
    };
}

template <class T>
RunFn cross_entropy(const RowStream& stream, Rows r, bool grad) {
    return [=](const KernelArgs& a) {
        const RowKernels<T>& kernels = row_kernels<T>();
        stream.run<T>(a, r.n * kExpWork, [&](const RowStream::Chunk<T>& c, int64_t, int64_t rows, int64_t) {
            for (int64_t i = 0; i < rows; ++i) {
                const T *x = c.input(0) + i * r.n, *targets = c.input(1) + i * r.n;
                if (grad)
                    kernels.cross_entropy_grad(x, targets, r.n, c.input(2)[i], c.output(0) + i * r.n);
                else
                    c.output(0)[i] = kernels.cross_entropy(x, targets, r.n);
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
    const std::string text = concat("own:", node.op->name);
    if (v.inner != 1)
        return make_widened(
            g, node, text, by_precision(x.dtype, [&](auto tag) { return softmax_columns<typename decltype(tag)::type>(v, log); }),
            0, 0);
    constexpr OperandSet streamed = input_bit(0) | output_bit(0);
    const RowStream stream(g, node, streamed, v.n == 0 ? 0 : v.outer, chunk_rows(v.n));
    const RunFn body =
        by_precision(x.dtype, [&](auto tag) { return softmax_rows<typename decltype(tag)::type>(stream, v.n, log); });
    return make_widened(g, node, text, body, stream.scratch_bytes(), 0, streamed);
}
}  // namespace own_softmax

namespace own_sparse_cross_entropy {
std::string match(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).rank() == 0) return "logits are a scalar";
    const DType labels = input_type(g, node, 1).dtype;
    const Rows r = rows_of(input_type(g, node, 0));
    if (!is_integer(labels)) return concat("labels are ", name(labels));
    if (r.n == 0) return "no classes";
    if (input_type(g, node, 1).size() != r.rows) return "there is not one label per row";
    if (node.inputs.size() == 3 && input_type(g, node, 2).size() != r.rows) return "there is not one dy per row";
    return check_compute_types(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Rows r = rows_of(x);
    const bool grad = node.inputs.size() == 3;
    const OperandSet streamed = input_bit(0) | output_bit(0) | (grad ? input_bit(2) : 0);
    const size_t label_bytes = round_up(static_cast<size_t>(r.rows) * sizeof(int64_t));
    const RowStream stream(g, node, streamed, r.rows, chunk_rows(r.n), label_bytes);
    const DType labels = input_type(g, node, 1).dtype;
    const RunFn body = by_precision(
        x.dtype, [&](auto tag) { return sparse_cross_entropy<typename decltype(tag)::type>(stream, r, labels, grad); });
    return make_widened(g, node, concat("own:", node.op->name), body, label_bytes + stream.scratch_bytes(), grad ? 0 : -1,
                        streamed);
}
}  // namespace own_sparse_cross_entropy

namespace own_cross_entropy {
std::string match(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).rank() == 0) return "logits are a scalar";
    if (input_type(g, node, 1).dims != input_type(g, node, 0).dims) return "targets have another shape than logits";
    const Rows r = rows_of(input_type(g, node, 0));
    if (r.n == 0) return "no classes";
    if (node.inputs.size() == 3 && input_type(g, node, 2).size() != r.rows) return "there is not one dy per row";
    return check_compute_types(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Rows r = rows_of(x);
    const bool grad = node.inputs.size() == 3;
    const OperandSet streamed = input_bit(0) | input_bit(1) | output_bit(0) | (grad ? input_bit(2) : 0);
    const RowStream stream(g, node, streamed, r.rows, chunk_rows(r.n));
    const RunFn body =
        by_precision(x.dtype, [&](auto tag) { return cross_entropy<typename decltype(tag)::type>(stream, r, grad); });
    return make_widened(g, node, concat("own:", node.op->name), body, stream.scratch_bytes(), grad ? 0 : -1, streamed);
}
}  // namespace own_cross_entropy

}  // namespace fk::cpu
