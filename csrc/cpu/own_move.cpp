// Pure data movement: slice, reverse, transpose, pad and concatenate are all copies between two strided views, done by
// element size without looking at values. Start at `CopyPlan`.
#include <cstring>

#include "cpu/impls.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

struct CopyDim {
    int64_t n, src, dst;  // length and strides in elements
};

// dst[sum(i * dst)] = src[sum(i * src)], strides may be negative on the source side.
struct CopyPlan {
    std::vector<CopyDim> dims;  // outermost first, in the order of falling dst strides
    int64_t src_offset = 0, dst_offset = 0;
    int64_t total = 1;
};

CopyPlan plan_copy(std::vector<CopyDim> dims, int64_t src_offset, int64_t dst_offset) {
    CopyPlan plan;
    plan.src_offset = src_offset;
    plan.dst_offset = dst_offset;
    for (const CopyDim& d : dims) plan.total *= d.n;
    std::erase_if(dims, [](const CopyDim& d) { return d.n == 1; });
    for (const CopyDim& d : dims) {
        if (!plan.dims.empty()) {
            CopyDim& outer = plan.dims.back();
            if (outer.src == d.src * d.n && outer.dst == d.dst * d.n) {
                outer = {outer.n * d.n, d.src, d.dst};
                continue;
            }
        }
        plan.dims.push_back(d);
    }
    if (plan.dims.empty()) plan.dims.push_back({1, 1, 1});
    return plan;
}

template <class T>
void copy_line(const T* src, T* dst, const CopyDim& d) {
    if (d.src == 1 && d.dst == 1)
        std::memcpy(dst, src, static_cast<size_t>(d.n) * sizeof(T));
    else
        for (int64_t i = 0; i < d.n; ++i) dst[i * d.dst] = src[i * d.src];
}

// A plane whose rows run along different dimensions on the two sides: tiles keep both within L1.
template <class T>
void copy_plane(const T* src, T* dst, const CopyDim& a, const CopyDim& b) {
    constexpr int64_t tile = 16;
    for (int64_t i0 = 0; i0 < a.n; i0 += tile)
        for (int64_t j0 = 0; j0 < b.n; j0 += tile) {
            const int64_t ni = std::min(tile, a.n - i0), nj = std::min(tile, b.n - j0);
            for (int64_t i = i0; i < i0 + ni; ++i)
                for (int64_t j = j0; j < j0 + nj; ++j) dst[i * a.dst + j * b.dst] = src[i * a.src + j * b.src];
        }
}

template <class T>
void run_copy(const CopyPlan& plan, const T* src, T* dst) {
    if (plan.total == 0) return;
    const size_t rank = plan.dims.size();
    const CopyDim inner = plan.dims[rank - 1];
    // The dimension that is contiguous in the source, when it is not the innermost of the destination.
    size_t contiguous = rank;
    if (inner.src != 1)
        for (size_t i = 0; i + 1 < rank; ++i)
            if (plan.dims[i].src == 1) contiguous = i;
    std::vector<CopyDim> outer;
    for (size_t i = 0; i + 1 < rank; ++i)
        if (i != contiguous) outer.push_back(plan.dims[i]);
    int64_t count = 1;
    for (const CopyDim& d : outer) count *= d.n;
    const auto place = [&](int64_t index, int64_t& s, int64_t& d) {
        s = plan.src_offset;
        d = plan.dst_offset;
        for (size_t i = outer.size(); i-- > 0;) {
            const int64_t at = index % outer[i].n;
            index /= outer[i].n;
            s += at * outer[i].src;
            d += at * outer[i].dst;
        }
    };
    if (contiguous == rank && outer.empty()) {  // one line: split it
        parallel_ranges(inner.n, 1, [&](int64_t begin, int64_t end) {
            copy_line(src + plan.src_offset + begin * inner.src, dst + plan.dst_offset + begin * inner.dst,
                      {end - begin, inner.src, inner.dst});
        });
    } else if (contiguous == rank) {
        parallel_ranges(count, inner.n, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                int64_t s, d;
                place(r, s, d);
                copy_line(src + s, dst + d, inner);
            }
        });
    } else {
        const CopyDim across = plan.dims[contiguous];
        if (count == 1) {  // one plane: split its rows
            parallel_ranges(across.n, inner.n, [&](int64_t begin, int64_t end) {
                copy_plane(src + plan.src_offset + begin * across.src, dst + plan.dst_offset + begin * across.dst,
                           {end - begin, across.src, across.dst}, inner);
            });
            return;
        }
        parallel_ranges(count, across.n * inner.n, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                int64_t s, d;
                place(r, s, d);
                copy_plane(src + s, dst + d, across, inner);
            }
        });
    }
}

std::unique_ptr<Kernel> copy_kernel(std::string text, CopyPlan plan, size_t element) {
    return dispatch_size(element, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto run = [plan = std::move(plan)](const KernelArgs& a) {
            run_copy(plan, static_cast<const T*>(a.in[0]), static_cast<T*>(a.out[0]));
        };
        return make_kernel(std::move(text), run);
    });
}

// The bits of `value` as an element of type t, in the low bytes.
uint64_t element_bits(DType t, double value) {
    return dispatch_any(t, [&](auto tag) -> uint64_t {
        using T = typename decltype(tag)::type;
        uint64_t bits = 0;
        const T v = [&] {
            if constexpr (std::is_integral_v<T>)
                return value >= 0 ? static_cast<T>(static_cast<uint64_t>(value)) : static_cast<T>(static_cast<int64_t>(value));
            else
                return narrow<T>(static_cast<Compute<T>>(value));
        }();
        std::memcpy(&bits, &v, sizeof v);
        return bits;
    });
}

std::string any(const Graph&, const Node&) { return ""; }

}  // namespace

namespace own_slice {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Dims &start = node.dims_attr("start"), &step = node.dims_attr("step"), &out = node.types[0].dims;
    const Dims from = row_major_strides(x.dims), to = row_major_strides(out);
    std::vector<CopyDim> dims;
    int64_t offset = 0;
    for (size_t i = 0; i < out.size(); ++i) {
        dims.push_back({out[i], from[i] * step[i], to[i]});
        offset += start[i] * from[i];
    }
    return copy_kernel("own:slice", plan_copy(std::move(dims), offset, 0), size_of(x.dtype));
}
}  // namespace own_slice

namespace own_reverse {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Dims strides = row_major_strides(x.dims);
    std::vector<CopyDim> dims;
    for (size_t i = 0; i < strides.size(); ++i) dims.push_back({x.dims[i], strides[i], strides[i]});
    int64_t offset = 0;
    for (int64_t axis : node.dims_attr("axes")) {
        CopyDim& d = dims[static_cast<size_t>(normalize_axis(axis, x.rank()))];
        if (d.src < 0) continue;  // named twice
        offset += (d.n - 1) * d.src;
        d.src = -d.src;
    }
    return copy_kernel("own:reverse", plan_copy(std::move(dims), offset, 0), size_of(x.dtype));
}
}  // namespace own_reverse

namespace own_transpose {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Dims &perm = node.dims_attr("perm"), &out = node.types[0].dims;
    const Dims from = row_major_strides(x.dims), to = row_major_strides(out);
    std::vector<CopyDim> dims;
    for (size_t i = 0; i < out.size(); ++i)
        dims.push_back({out[i], from[static_cast<size_t>(normalize_axis(perm[i], x.rank()))], to[i]});
    return copy_kernel("own:transpose", plan_copy(std::move(dims), 0, 0), size_of(x.dtype));
}
}  // namespace own_transpose

namespace own_pad {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const Dims &low = node.dims_attr("low"), &interior = node.dims_attr("interior"), &out = node.types[0].dims;
    const Dims from = row_major_strides(x.dims), to = row_major_strides(out);
    std::vector<CopyDim> dims;
    int64_t offset = 0;
    for (size_t i = 0; i < out.size(); ++i) {
        const int64_t gap = interior.empty() ? 0 : interior[i];
        dims.push_back({x.dims[i], from[i], to[i] * (gap + 1)});
        offset += low[i] * to[i];
    }
    const CopyPlan plan = plan_copy(std::move(dims), 0, offset);
    const uint64_t bits = element_bits(x.dtype, node.float_attr("value"));
    const int64_t size = node.types[0].size();
    return dispatch_size(size_of(x.dtype), [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto run = [=](const KernelArgs& a) {
            T* out_data = static_cast<T*>(a.out[0]);
            parallel_ranges(
                size, 1, [&](int64_t begin, int64_t end) { std::fill(out_data + begin, out_data + end, static_cast<T>(bits)); });
            run_copy(plan, static_cast<const T*>(a.in[0]), out_data);
        };
        return make_kernel("own:pad", run);
    });
}
}  // namespace own_pad

namespace own_concatenate {
std::string match(const Graph& g, const Node& n) { return any(g, n); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const int64_t axis = node.int_attr("axis");
    const AxisView v = view_axis(node.types[0].dims, axis);
    const size_t element = size_of(node.types[0].dtype), row = static_cast<size_t>(v.n * v.inner) * element;
    struct Part {
        size_t offset, bytes;
    };
    std::vector<Part> parts;
    size_t offset = 0;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        const AxisView p = view_axis(input_type(g, node, i).dims, axis);
        const size_t bytes = static_cast<size_t>(p.n * p.inner) * element;
        parts.push_back({offset, bytes});
        offset += bytes;
    }
    const auto run = [=](const KernelArgs& a) {
        auto* out = static_cast<std::byte*>(a.out[0]);
        parallel_ranges(v.outer, static_cast<int64_t>(row / 4), [&](int64_t begin, int64_t end) {
            for (int64_t o = begin; o < end; ++o)
                for (size_t i = 0; i < parts.size(); ++i)
                    if (parts[i].bytes != 0)
                        std::memcpy(out + static_cast<size_t>(o) * row + parts[i].offset,
                                    static_cast<const std::byte*>(a.in[i]) + static_cast<size_t>(o) * parts[i].bytes,
                                    parts[i].bytes);
        });
    };
    return make_kernel("own:concatenate", run);
}
}  // namespace own_concatenate

}  // namespace fk::cpu
