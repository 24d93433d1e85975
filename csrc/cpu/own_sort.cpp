// Sorting, extremes and running sums along an axis. Sorting maps every dtype to an ordered unsigned key (NaN last,
// -0 equal to 0, as NumPy has it) and orders (key, position) pairs, so one sort serves all types and is stable.
#include <cstring>
#include <limits>

#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

template <class T>
uint64_t order_key(T raw) {
    if constexpr (std::is_integral_v<T>) {
        return std::is_signed_v<T> ? static_cast<uint64_t>(static_cast<int64_t>(raw)) ^ (uint64_t{1} << 63)
                                   : static_cast<uint64_t>(raw);
    } else {
        const double v = static_cast<double>(widen(raw));
        if (v != v) return UINT64_MAX;
        const auto u = std::bit_cast<uint64_t>(v == 0 ? 0.0 : v);
        return (u >> 63) != 0 ? ~u : u | (uint64_t{1} << 63);
    }
}

struct Ranked {
    uint64_t key;
    int32_t at;
};

enum class SortKind { values, indices, top };

}  // namespace

namespace own_sort {
std::string match(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    if (x.rank() == 0) return "a scalar";
    const int64_t axis = node.is("top_k") ? -1 : node.int_attr("axis");
    return view_axis(x.dims, axis).n > INT32_MAX ? "the axis is longer than int32 indices reach" : "";
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const SortKind kind = node.is("top_k") ? SortKind::top : node.is("sort") ? SortKind::values : SortKind::indices;
    const AxisView v = view_axis(x.dims, kind == SortKind::top ? -1 : node.int_attr("axis"));
    const int64_t k = kind == SortKind::top ? node.int_attr("k") : v.n;
    const size_t line_bytes = round_up(static_cast<size_t>(v.n) * sizeof(Ranked));
    const int threads = max_threads();
    return dispatch_any(x.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto run = [=](const KernelArgs& a) {
            const T* in = static_cast<const T*>(a.in[0]);
            T* values = kind == SortKind::indices ? nullptr : static_cast<T*>(a.out[0]);
            int32_t* indices = kind == SortKind::values ? nullptr : static_cast<int32_t*>(a.out[kind == SortKind::top ? 1 : 0]);
            parallel_slots(threads, v.outer * v.inner, v.n * 8, [&](int64_t begin, int64_t end, int64_t slot) {
                auto* line = reinterpret_cast<Ranked*>(a.scratch + static_cast<size_t>(slot) * line_bytes);
                for (int64_t l = begin; l < end; ++l) {
                    const int64_t o = l / v.inner, i = l % v.inner;
                    const T* src = in + o * v.n * v.inner + i;
                    for (int64_t j = 0; j < v.n; ++j) {
                        const uint64_t key = order_key(src[j * v.inner]);
                        line[j] = {kind == SortKind::top ? ~key : key, static_cast<int32_t>(j)};
                    }
                    const auto less = [](const Ranked& p, const Ranked& q) {
                        return p.key != q.key ? p.key < q.key : p.at < q.at;
                    };
                    if (k < v.n)
                        std::partial_sort(line, line + k, line + v.n, less);
                    else
                        std::sort(line, line + v.n, less);
                    for (int64_t j = 0; j < k; ++j) {
                        const int64_t to = (o * k + j) * v.inner + i;
                        if (values) values[to] = src[line[j].at * v.inner];
                        if (indices) indices[to] = line[j].at;
                    }
                }
            });
        };
        return make_kernel(concat("own:", node.op->name), run, line_bytes * static_cast<size_t>(threads));
    });
}
}  // namespace own_sort

namespace own_arg_extreme {
std::string match(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    if (x.rank() == 0) return "a scalar";
    const int64_t n = view_axis(x.dims, node.int_attr("axis")).n;
    return n < 1 ? "the axis is empty" : n > INT32_MAX ? "the axis is longer than int32 indices reach" : "";
}

namespace {

constexpr int64_t kVectorRow = 32;  // shorter rows are not worth a call

}  // namespace

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const bool want_max = node.is("argmax");
    if (v.inner == 1 && v.n >= kVectorRow && is_float(x.dtype)) {
        const RowStream stream(g, node, input_bit(0), v.outer, std::max<int64_t>(4096 / v.n, 1));
        const auto rows = [&](auto tag) -> RunFn {
            using T = typename decltype(tag)::type;
            return [=](const KernelArgs& a) {
                const auto first = row_kernels<T>().arg_extreme;
                auto* out = static_cast<int32_t*>(a.out[0]);
                stream.run<T>(a, v.n, [&](const RowStream::Chunk<T>& c, int64_t row, int64_t count, int64_t) {
                    for (int64_t r = 0; r < count; ++r)
                        out[row + r] = static_cast<int32_t>(first(c.input(0) + r * v.n, v.n, want_max));
                });
            };
        };
        return make_kernel(concat("own:", node.op->name), x.dtype == DType::f64 ? rows(Type<double>{}) : rows(Type<float>{}),
                           stream.scratch_bytes());
    }
    return dispatch_any(x.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto run = [=](const KernelArgs& a) {
            const T* in = static_cast<const T*>(a.in[0]);
            auto* out = static_cast<int32_t*>(a.out[0]);
            parallel_ranges(v.outer * v.inner, v.n, [&](int64_t begin, int64_t end) {
                for (int64_t l = begin; l < end; ++l) {
                    const T* src = in + (l / v.inner) * v.n * v.inner + l % v.inner;
                    auto best = widen(src[0]);
                    int64_t at = 0;
                    for (int64_t j = 1; j < v.n && best == best; ++j) {  // the first NaN wins, and ends the search
                        const auto value = widen(src[j * v.inner]);
                        if ((want_max ? value > best : value < best) || value != value) {
                            best = value;
                            at = j;
                        }
                    }
                    out[l] = static_cast<int32_t>(at);
                }
            });
        };
        return make_kernel(concat("own:", node.op->name), run);
    });
}
}  // namespace own_arg_extreme

namespace own_cumulative {
std::string match(const Graph& g, const Node& node) { return input_type(g, node, 0).rank() == 0 ? "a scalar" : ""; }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    if (x.dtype != node.types[0].dtype) return nullptr;
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const bool product = node.is("cumprod"), reverse = node.bool_attr("reverse");
    return dispatch_any(x.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        // Integers wrap around; unsigned arithmetic makes that well defined (and wide: uint16 would promote to int).
        using C = Compute<T>;
        using Sum = std::conditional_t<std::is_integral_v<C>, uint64_t, C>;
        const auto run = [=](const KernelArgs& a) {
            const T* in = static_cast<const T*>(a.in[0]);
            T* out = static_cast<T*>(a.out[0]);
            parallel_ranges(v.outer * v.inner, v.n, [&](int64_t begin, int64_t end) {
                for (int64_t l = begin; l < end; ++l) {
                    const int64_t base = (l / v.inner) * v.n * v.inner + l % v.inner;
                    Sum acc = product ? 1 : 0;
                    for (int64_t j = 0; j < v.n; ++j) {
                        const int64_t at = base + (reverse ? v.n - 1 - j : j) * v.inner;
                        const auto value = static_cast<Sum>(widen(in[at]));
                        acc = product ? acc * value : acc + value;
                        out[at] = narrow<T>(static_cast<C>(acc));
                    }
                }
            });
        };
        return make_kernel(concat("own:", node.op->name), run, 0, 0);
    });
}
}  // namespace own_cumulative

}  // namespace fk::cpu
