// Gather and scatter. Indices are read once into int64 with their bounds checked, so the loops that move data neither
// know the index type nor can leave the tensor. Scatters are deterministic: each target row is written by one thread,
// in the order of the indices.
#include <bit>
#include <cstring>

#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

template <class T>
void read_as(const void* src, int64_t n, int64_t limit, bool wrap, std::string_view op, int64_t* dst, RunErrors* errors) {
    const T* in = static_cast<const T*>(src);
    for (int64_t i = 0; i < n; ++i) {
        const T raw = in[i];
        // An unsigned value above the int64 range is outside any tensor.
        int64_t v = std::in_range<int64_t>(raw) ? static_cast<int64_t>(raw) : INT64_MAX;
        if (wrap && v < 0) v += limit;
        if (v < 0 || v >= limit) {
            if (errors && !errors->failed()) {
                std::string text =
                    concat(op == "gather" || wrap ? "index " : "label ", +raw, " is outside [0, ", limit, ") in ", op);
                if (wrap && raw < 0) text += concat("; negative indices reach down to ", -limit);
                if (op == "gather") text += ". Check the data, or enlarge the table (input_dim of an Embedding)";
                if (text.starts_with("label"))
                    text += concat(". Labels must be 0 to ", limit - 1, ": check them, or give the last layer more units");
                errors->report(std::move(text));
            }
            v = -1;
        }
        dst[i] = v;
    }
}

std::string any(const Graph&, const Node&) { return ""; }
std::string addable(const Graph& g, const Node& node) {
    return input_type(g, node, 0).dtype == DType::boolean ? "booleans do not add up" : "";
}

// Integers wrap around.
template <class T>
T add(T a, T b) {
    if constexpr (std::is_integral_v<T>)
        return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    else
        return narrow<T>(widen(a) + widen(b));
}

template <class T>
void add_row(T* dst, const T* src, int64_t n) {
    for (int64_t i = 0; i < n; ++i) dst[i] = add(dst[i], src[i]);
}

// Adds rows of 16-bit floats in float: a row hit often would stop growing otherwise.
template <class H>
void widen_rows(const void* src, int64_t n, float* dst) {
    if constexpr (std::is_same_v<H, Bf16>)
        own_kernels().widen_bf16(static_cast<const Bf16*>(src), n, dst);
    else
        own_kernels().widen_f16(static_cast<const F16*>(src), n, dst);
}
template <class H>
void narrow_rows(const float* src, int64_t n, void* dst) {
    if constexpr (std::is_same_v<H, Bf16>)
        own_kernels().narrow_bf16(src, n, static_cast<Bf16*>(dst));
    else
        own_kernels().narrow_f16(src, n, static_cast<F16*>(dst));
}

// out[o, idx[j], :] += updates[o, j, :]; the rows of `out` are shared out among threads.
template <class A, class U>
void scatter_rows(A* out, const U* updates, const int64_t* idx, AxisView v, int64_t m) {
    const int64_t rows = v.outer * v.n;
    if (rows == 0) return;
    const auto add_all = [&](int64_t begin, int64_t end) {
        for (int64_t o = begin / v.n; o * v.n < end; ++o) {
            const int64_t low = std::max<int64_t>(begin - o * v.n, 0), high = std::min(end - o * v.n, v.n);
            for (int64_t j = 0; j < m; ++j) {
                if (idx[j] < low || idx[j] >= high) continue;  // -1 included
                A* dst = out + (o * v.n + idx[j]) * v.inner;
                const U* src = updates + (o * m + j) * v.inner;
                if constexpr (std::is_same_v<A, U>)
                    add_row(dst, src, v.inner);
                else
                    for (int64_t i = 0; i < v.inner; ++i) dst[i] += widen(src[i]);
            }
        }
    };
    if (v.outer * m * v.inner < kForkWork)
        add_all(0, rows);
    else
        parallel_ranges(rows, kForkWork, add_all);
}

}  // namespace

void read_indices(const void* src, DType type, int64_t n, int64_t limit, std::string_view op, int64_t* dst, RunErrors* errors,
                  bool wrap) {
    dispatch_any(type, [&](auto tag) {
        using T = typename decltype(tag)::type;
        if constexpr (std::is_integral_v<T>)
            read_as<T>(src, n, limit, wrap, op, dst, errors);
        else
            fail<InternalError>("indices of a floating type");
    });
}

// The probability that each row gives to its label; the gradient scatters, so labels are read again there.
namespace own_class_probability {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const DType labels = input_type(g, node, 1).dtype;
    const int64_t rows = node.types[0].size(), classes = input_type(g, node, 0).dims.back();
    const size_t bytes = size_of(node.types[0].dtype);
    const auto run = [=](const KernelArgs& a) {
        auto* label = reinterpret_cast<int64_t*>(a.scratch);
        read_indices(a.in[1], labels, rows, classes, "class_probability", label, a.errors, false);
        const auto* p = static_cast<const std::byte*>(a.in[0]);
        auto* out = static_cast<std::byte*>(a.out[0]);
        for (int64_t r = 0; r < rows; ++r) {
            std::byte* dst = out + static_cast<size_t>(r) * bytes;
            if (label[r] < 0)
                std::memset(dst, 0, bytes);
            else
                std::memcpy(dst, p + static_cast<size_t>(r * classes + label[r]) * bytes, bytes);
        }
    };
    return make_kernel("own:class_probability", run, static_cast<size_t>(rows) * sizeof(int64_t));
}
}  // namespace own_class_probability

namespace own_gather {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const AxisView v = view_axis(input_type(g, node, 0).dims, node.int_attr("axis"));
    const DType itype = input_type(g, node, 1).dtype;
    const int64_t m = input_type(g, node, 1).size();
    const size_t bytes = static_cast<size_t>(v.inner) * size_of(node.types[0].dtype);
    const auto run = [=](const KernelArgs& a) {
        auto* idx = reinterpret_cast<int64_t*>(a.scratch);
        read_indices(a.in[1], itype, m, v.n, "gather", idx, a.errors);
        const auto* x = static_cast<const std::byte*>(a.in[0]);
        auto* y = static_cast<std::byte*>(a.out[0]);
        parallel_ranges(v.outer * m, static_cast<int64_t>(bytes / 4), [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                const int64_t o = r / m, i = idx[r % m];
                std::byte* dst = y + static_cast<size_t>(r) * bytes;
                if (i < 0) {
                    std::memset(dst, 0, bytes);
                    continue;
                }
                const std::byte* src = x + static_cast<size_t>(o * v.n + i) * bytes;
                if (bytes == 4)
                    std::memcpy(dst, src, 4);
                else if (bytes == 8)
                    std::memcpy(dst, src, 8);
                else
                    std::memcpy(dst, src, bytes);
            }
        });
    };
    return make_kernel("own:gather", run, static_cast<size_t>(m) * 8);
}
}  // namespace own_gather

namespace own_scatter_add {
std::string match(const Graph& g, const Node& n) { return addable(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const DType itype = input_type(g, node, 1).dtype;
    const int64_t m = input_type(g, node, 1).size(), size = x.size();
    const size_t index_bytes = round_up(static_cast<size_t>(m) * 8);
    const bool half = size_of(x.dtype) == 2 && is_float(x.dtype);
    return dispatch_any(x.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto run = [=](const KernelArgs& a) {
            auto* idx = reinterpret_cast<int64_t*>(a.scratch);
            read_indices(a.in[1], itype, m, v.n, "scatter_add", idx, a.errors);
            const T* updates = static_cast<const T*>(a.in[2]);
            if constexpr (std::is_same_v<T, F16> || std::is_same_v<T, Bf16>) {
                auto* wide = reinterpret_cast<float*>(a.scratch + index_bytes);
                widen_rows<T>(a.in[0], size, wide);
                scatter_rows(wide, updates, idx, v, m);
                narrow_rows<T>(wide, size, a.out[0]);
            } else {
                T* out = static_cast<T*>(a.out[0]);
                if (a.out[0] != a.in[0]) std::memcpy(out, a.in[0], static_cast<size_t>(size) * sizeof(T));
                scatter_rows(out, updates, idx, v, m);
            }
        };
        return make_kernel("own:scatter_add", run, index_bytes + (half ? static_cast<size_t>(size) * 4 : 0), 0);
    });
}
}  // namespace own_scatter_add

namespace own_take_along_axis {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const AxisView v = view_axis(input_type(g, node, 0).dims, node.int_attr("axis"));
    const AxisView iv = view_axis(input_type(g, node, 1).dims, node.int_attr("axis"));
    const DType itype = input_type(g, node, 1).dtype;
    const int64_t count = input_type(g, node, 1).size();
    return dispatch_size(size_of(node.types[0].dtype), [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto run = [=](const KernelArgs& a) {
            auto* idx = reinterpret_cast<int64_t*>(a.scratch);
            read_indices(a.in[1], itype, count, v.n, "take_along_axis", idx, a.errors);
            const T* x = static_cast<const T*>(a.in[0]);
            T* y = static_cast<T*>(a.out[0]);
            for (int64_t o = 0, at = 0; o < iv.outer; ++o)
                for (int64_t j = 0; j < iv.n; ++j)
                    for (int64_t i = 0; i < iv.inner; ++i, ++at)
                        y[at] = idx[at] < 0 ? T{0} : x[(o * v.n + idx[at]) * v.inner + i];
        };
        return make_kernel("own:take_along_axis", run, static_cast<size_t>(count) * 8);
    });
}
}  // namespace own_take_along_axis

namespace own_scatter_add_along_axis {
std::string match(const Graph& g, const Node& n) { return addable(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const AxisView v = view_axis(x.dims, node.int_attr("axis"));
    const AxisView iv = view_axis(input_type(g, node, 1).dims, node.int_attr("axis"));
    const DType itype = input_type(g, node, 1).dtype;
    const int64_t count = input_type(g, node, 1).size(), size = x.size();
    return dispatch_any(x.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto run = [=](const KernelArgs& a) {
            auto* idx = reinterpret_cast<int64_t*>(a.scratch);
            read_indices(a.in[1], itype, count, v.n, "scatter_add_along_axis", idx, a.errors);
            const T* updates = static_cast<const T*>(a.in[2]);
            T* y = static_cast<T*>(a.out[0]);
            if (a.out[0] != a.in[0]) std::memcpy(y, a.in[0], static_cast<size_t>(size) * sizeof(T));
            for (int64_t o = 0, at = 0; o < iv.outer; ++o)
                for (int64_t j = 0; j < iv.n; ++j)
                    for (int64_t i = 0; i < iv.inner; ++i, ++at) {
                        if (idx[at] < 0) continue;
                        T& dst = y[(o * v.n + idx[at]) * v.inner + i];
                        dst = add(dst, updates[at]);
                    }
        };
        return make_kernel("own:scatter_add_along_axis", run, static_cast<size_t>(count) * 8, 0);
    });
}
}  // namespace own_scatter_add_along_axis

namespace own_scatter_set {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const AxisView v = view_axis(x.dims, 0);
    const DType itype = input_type(g, node, 1).dtype;
    const int64_t m = input_type(g, node, 1).size();
    const size_t bytes = static_cast<size_t>(v.inner) * size_of(x.dtype), total = x.bytes();
    const auto run = [=](const KernelArgs& a) {
        auto* idx = reinterpret_cast<int64_t*>(a.scratch);
        read_indices(a.in[1], itype, m, v.n, "scatter_set", idx, a.errors);
        auto* y = static_cast<std::byte*>(a.out[0]);
        const auto* updates = static_cast<const std::byte*>(a.in[2]);
        if (a.out[0] != a.in[0]) std::memcpy(y, a.in[0], total);
        for (int64_t j = 0; j < m; ++j)
            if (idx[j] >= 0)
                std::memcpy(y + static_cast<size_t>(idx[j]) * bytes, updates + static_cast<size_t>(j) * bytes, bytes);
    };
    return make_kernel("own:scatter_set", run, static_cast<size_t>(m) * 8, 0);
}
}  // namespace own_scatter_set

// Positions stand in an open-addressed table under the indices that they are the first of. An index out of bounds is reported by
// whoever reads the rows.
namespace own_first_of_equal {
std::string match(const Graph& g, const Node& n) {
    return input_type(g, n, 0).size() > INT32_MAX ? "more indices than int32 positions reach" : "";
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const DType itype = input_type(g, node, 0).dtype;
    const int64_t m = input_type(g, node, 0).size(), rows = node.int_attr("rows");
    const uint64_t places = std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(2 * m, 2)));
    const int shift = 64 - std::countr_zero(places);
    const size_t index_bytes = round_up(static_cast<size_t>(m) * sizeof(int64_t));
    const auto run = [=](const KernelArgs& a) {
        auto* idx = reinterpret_cast<int64_t*>(a.scratch);
        auto* table = reinterpret_cast<int32_t*>(a.scratch + index_bytes);
        auto* first = static_cast<int32_t*>(a.out[0]);
        read_indices(a.in[0], itype, m, rows, "first_of_equal", idx, nullptr);
        std::fill_n(table, places, -1);
        for (int64_t i = 0; i < m; ++i) {
            uint64_t at = static_cast<uint64_t>(idx[i]) * 0x9E3779B97F4A7C15u >> shift;
            while (table[at] >= 0 && idx[table[at]] != idx[i]) at = (at + 1) & (places - 1);
            if (table[at] < 0) table[at] = static_cast<int32_t>(i);
            first[i] = table[at];
        }
    };
    return make_kernel("own:first_of_equal", run, index_bytes + places * sizeof(int32_t));
}
}  // namespace own_first_of_equal

}  // namespace fk::cpu
