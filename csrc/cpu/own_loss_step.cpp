// What a training step makes of its logits, a row at a time while it is in the cache: loss, gradient (over the logits, where
// nobody else reads them), the largest logit's index, and the gradient's sum over the rows.
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

constexpr int64_t kExpWork = 8;   // an exponential weighs as much as this many plain element operations
constexpr int64_t kSumRows = 64;  // rows summed in one go: sums of sums keep more digits than one long sum

// Where the step's own data lie in scratch: labels, then for each thread the sums of its rows and of the last few.
struct Layout {
    int64_t rows = 0, n = 0;
    bool sparse = false;
    DType labels = DType::i32;
    size_t label_bytes = 0, sum_bytes = 0;
    [[nodiscard]] size_t bytes(int threads) const { return label_bytes + 2 * sum_bytes * static_cast<size_t>(threads); }
    template <class T>
    [[nodiscard]] T* sums(std::byte* scratch, int64_t slot) const {
        return reinterpret_cast<T*>(scratch + label_bytes + 2 * sum_bytes * static_cast<size_t>(slot));
    }
};

template <class T>
void add_to(const T* x, int64_t n, T* y) {
    for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
RunFn step_kernel(const RowStream& stream, const Layout& at) {
    return [=](const KernelArgs& a) {
        const RowKernels<T>& kernels = row_kernels<T>();
        auto* label = reinterpret_cast<int64_t*>(a.scratch);
        if (at.sparse) read_indices(a.in[1], at.labels, at.rows, at.n, "sparse_softmax_cross_entropy", label, a.errors, false);
        std::fill_n(a.scratch + at.label_bytes, at.bytes(stream.threads()) - at.label_bytes, std::byte{0});
        auto* best = static_cast<int32_t*>(a.out[2]);
        const size_t dy_at = at.sparse ? 1 : 2;
        stream.run<T>(a, at.n * kExpWork, [&](const RowStream::Chunk<T>& c, int64_t first, int64_t rows, int64_t slot) {
            T* sums = at.sums<T>(a.scratch, slot);
            T* recent = sums + at.sum_bytes / sizeof(T);
            for (int64_t i = 0; i < rows; ++i) {
                const T* x = c.input(0) + i * at.n;
                const LossStep<T> step{.dy = c.input(dy_at)[i],
                                       .dx = c.output(0) + i * at.n,
                                       .sums = recent,
                                       .loss = c.output(1) + i,
                                       .best = best + first + i};
                if (!at.sparse) {
                    kernels.cross_entropy_step(x, c.input(1) + i * at.n, at.n, step);
                } else if (const int64_t l = label[first + i]; l >= 0) {
                    kernels.sparse_cross_entropy_step(x, at.n, l, step);
                } else {  // reported: the run fails
                    *step.loss = 0;
                    *step.best = 0;
                    std::fill_n(step.dx, at.n, T{0});
                }
                if ((first + i + 1) % kSumRows != 0) continue;
                add_to(recent, at.n, sums);
                std::fill_n(recent, at.n, T{0});
            }
        });
        T* total = at.sums<T>(a.scratch, 0);
        add_to(total + at.sum_bytes / sizeof(T), at.n, total);
        for (int slot = 1; slot < stream.threads(); ++slot) {
            T* sums = at.sums<T>(a.scratch, slot);
            add_to(sums + at.sum_bytes / sizeof(T), at.n, sums);
            add_to(sums, at.n, total);
        }
        std::copy_n(total, at.n, static_cast<T*>(a.out[3]));
    };
}

}  // namespace

namespace own_loss_step {
std::string match(const Graph& g, const Node& node) {
    const TensorType &x = input_type(g, node, 0), &labels = input_type(g, node, 1);
    if (x.rank() == 0) return "logits are a scalar";
    if (x.dims.back() == 0) return "no classes";
    if (x.dims.back() > INT32_MAX) return "more classes than int32 indices reach";
    const bool sparse = node.is("sparse_softmax_cross_entropy_step");
    if (sparse && !is_integer(labels.dtype)) return concat("labels are ", name(labels.dtype));
    const DType wide = x.dtype == DType::f64 ? DType::f64 : DType::f32;
    for (size_t i = 0; i < node.types.size(); ++i)
        if (i != 2 && (node.types[i].dtype == DType::f64) != (wide == DType::f64)) return "mixes float64 with another type";
    return check_compute_types(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    Layout at;
    at.n = x.dims.back();
    at.rows = x.size() / at.n;
    at.sparse = node.is("sparse_softmax_cross_entropy_step");
    at.labels = input_type(g, node, 1).dtype;
    const bool wide = x.dtype == DType::f64;
    at.label_bytes = at.sparse ? round_up(static_cast<size_t>(at.rows) * sizeof(int64_t)) : 0;
    at.sum_bytes = round_up(static_cast<size_t>(at.n) * (wide ? sizeof(double) : sizeof(float)));
    const OperandSet streamed =
        input_bit(0) | input_bit(2) | output_bit(0) | output_bit(1) | (at.sparse ? OperandSet{0} : input_bit(1));
    const int64_t chunk = std::max<int64_t>(4096 / at.n, 1);
    const size_t own = at.bytes(max_threads());
    const RowStream stream(g, node, streamed, at.rows, chunk, own);
    const RunFn body = wide ? step_kernel<double>(stream, at) : step_kernel<float>(stream, at);
    return make_widened(g, node, concat("own:", node.op->name), body, round_up(own) + stream.scratch_bytes(), 0, streamed);
}
}  // namespace own_loss_step

}  // namespace fk::cpu
