// Convolution and its gradients without a library, for what oneDNN refuses and for float64: patches of the input are
// laid out as matrix rows a block of output positions at a time, and the register-tiled product does the rest.
#include <cstring>

#include "cpu/conv_shape.h"
#include "cpu/epilogue.h"
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

void spatial(const Dims& dims, size_t first, int rank, Dims3& out) {
    for (int i = 0; i < rank; ++i) out[static_cast<size_t>(3 - rank + i)] = dims[first + static_cast<size_t>(i)];
}

}  // namespace

ConvShape conv_shape(const Graph& g, const Node& node) {
    const bool input_grad = node.is("conv_input_grad"), filter_grad = node.is("conv_filter_grad");
    const Dims& x = input_grad ? node.types[0].dims : input_type(g, node, 0).dims;
    const Dims& w = filter_grad ? node.types[0].dims : input_type(g, node, 1).dims;
    const Dims& y = input_grad ? input_type(g, node, 0).dims : filter_grad ? input_type(g, node, 1).dims : node.types[0].dims;
    ConvShape s;
    s.rank = static_cast<int>(x.size()) - 2;
    s.batch = x[0];
    s.in_channels = x.back();
    s.out_channels = w.back();
    s.groups = node.int_attr("groups");
    spatial(x, 1, s.rank, s.in);
    spatial(y, 1, s.rank, s.out);
    spatial(w, 0, s.rank, s.kernel);
    spatial(node.dims_attr("strides"), 0, s.rank, s.stride);
    spatial(node.dims_attr("dilations"), 0, s.rank, s.dilation);
    spatial(node.dims_attr("pad_low"), 0, s.rank, s.low);
    spatial(node.dims_attr("pad_high"), 0, s.rank, s.high);
    return s;
}

ConvShape pool_shape(const Graph& g, const Node& node) {
    const bool input_grad = node.is("avg_pool_grad");
    const Dims& x = input_grad ? node.types[0].dims : input_type(g, node, 0).dims;
    const Dims& y = input_grad                 ? input_type(g, node, 0).dims
                    : node.is("max_pool_grad") ? input_type(g, node, 1).dims
                                               : node.types[0].dims;
    ConvShape s;
    s.rank = static_cast<int>(x.size()) - 2;
    s.batch = x[0];
    s.in_channels = s.out_channels = x.back();
    spatial(x, 1, s.rank, s.in);
    spatial(y, 1, s.rank, s.out);
    spatial(node.dims_attr("window"), 0, s.rank, s.kernel);
    spatial(node.dims_attr("strides"), 0, s.rank, s.stride);
    spatial(node.dims_attr("pad_low"), 0, s.rank, s.low);
    spatial(node.dims_attr("pad_high"), 0, s.rank, s.high);
    return s;
}

namespace {

// Calls f(tap, offset) for each tap of the output position `p` (over batch and space): `offset` is that of the input
// pixel in elements, or -1 in the padding.
template <class F>
void for_taps(const ConvShape& s, int64_t p, F&& f) {
    const int64_t w = p % s.out[2], h = p / s.out[2] % s.out[1], d = p / (s.out[2] * s.out[1]) % s.out[0], n = p / s.out_points();
    int64_t tap = 0;
    for (int64_t kd = 0; kd < s.kernel[0]; ++kd) {
        const int64_t id = d * s.stride[0] - s.low[0] + kd * s.dilation[0];
        for (int64_t kh = 0; kh < s.kernel[1]; ++kh) {
            const int64_t ih = h * s.stride[1] - s.low[1] + kh * s.dilation[1];
            for (int64_t kw = 0; kw < s.kernel[2]; ++kw, ++tap) {
                const int64_t iw = w * s.stride[2] - s.low[2] + kw * s.dilation[2];
                const bool inside = id >= 0 && id < s.in[0] && ih >= 0 && ih < s.in[1] && iw >= 0 && iw < s.in[2];
                f(tap, inside ? (((n * s.in[0] + id) * s.in[1] + ih) * s.in[2] + iw) * s.in_channels : int64_t{-1});
            }
        }
    }
}

// Rows [begin, end) of the patch matrix of one group.
template <class T>
void gather_patches(const ConvShape& s, const T* x, int64_t group, int64_t begin, int64_t end, T* rows) {
    const int64_t c = s.in_per_group();
    for (int64_t p = begin; p < end; ++p, rows += s.taps() * c)
        for_taps(s, p, [&](int64_t tap, int64_t offset) {
            if (offset < 0)
                std::memset(rows + tap * c, 0, static_cast<size_t>(c) * sizeof(T));
            else
                std::memcpy(rows + tap * c, x + offset + group * c, static_cast<size_t>(c) * sizeof(T));
        });
}

struct Blocks {
    int64_t rows = 1;  // output positions per block
    size_t row_bytes = 0, slot_bytes = 0;
};

template <class T>
Blocks plan_blocks(const ConvShape& s) {
    Blocks b;
    b.row_bytes = static_cast<size_t>(s.taps() * s.in_per_group()) * sizeof(T);
    b.rows = std::clamp<int64_t>(static_cast<int64_t>((512 * 1024) / std::max<size_t>(b.row_bytes, 1)), 8, 512);
    b.slot_bytes = round_up(static_cast<size_t>(b.rows) * b.row_bytes) +
                   round_up(static_cast<size_t>(gemm_pack_elements(kGemmMostRows, kGemmDepth, true)) * sizeof(T));
    return b;
}

template <class T>
struct Buffers {
    T *patches, *pack;
    Buffers(std::byte* scratch, const Blocks& b, int64_t slot)
        : patches(reinterpret_cast<T*>(scratch + static_cast<size_t>(slot) * b.slot_bytes)),
          pack(reinterpret_cast<T*>(scratch + static_cast<size_t>(slot) * b.slot_bytes +
                                    round_up(static_cast<size_t>(b.rows) * b.row_bytes))) {}
};

template <class T>
RunFn forward(const ConvShape& s, const Blocks& b, bool has_bias, Act act) {
    return [=, threads = max_threads()](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        const T* w = static_cast<const T*>(a.in[1]);
        const T* bias = has_bias ? static_cast<const T*>(a.in[2]) : nullptr;
        T* y = static_cast<T*>(a.out[0]);
        const int64_t points = s.batch * s.out_points(), blocks = (points + b.rows - 1) / b.rows,
                      depth = s.taps() * s.in_per_group();
        parallel_slots(threads, blocks, b.rows * depth * s.out_channels / 4, [&](int64_t first, int64_t last, int64_t slot) {
            const Buffers<T> buffers(a.scratch, b, slot);
            for (int64_t i = first; i < last; ++i) {
                const int64_t p0 = i * b.rows, p1 = std::min(points, p0 + b.rows);
                for (int64_t group = 0; group < s.groups; ++group) {
                    gather_patches(s, x, group, p0, p1, buffers.patches);
                    T* c = y + p0 * s.out_channels + group * s.out_per_group();
                    row_kernels<T>().gemm({buffers.patches, depth, 1, w + group * s.out_per_group(), s.out_channels, 1, c,
                                           s.out_channels, p1 - p0, s.out_per_group(), depth, false, buffers.pack});
                }
                if (bias || act != Act::none)
                    row_kernels<T>().epilogue(y + p0 * s.out_channels, p1 - p0, s.out_channels, s.out_channels, bias, act);
            }
        });
    };
}

// Images are independent: each is zeroed and then summed into by one thread.
template <class T>
RunFn input_grad(const ConvShape& s, const Blocks& b) {
    return [=, threads = max_threads()](const KernelArgs& a) {
        const T* dy = static_cast<const T*>(a.in[0]);
        const T* w = static_cast<const T*>(a.in[1]);
        T* dx = static_cast<T*>(a.out[0]);
        const int64_t points = s.out_points(), depth = s.taps() * s.in_per_group(), image = s.in_points() * s.in_channels,
                      c = s.in_per_group();
        parallel_slots(threads, s.batch, points * depth * s.out_channels / 4, [&](int64_t first, int64_t last, int64_t slot) {
            const Buffers<T> buffers(a.scratch, b, slot);
            for (int64_t n = first; n < last; ++n) {
                std::fill(dx + n * image, dx + (n + 1) * image, T{0});
                for (int64_t p0 = n * points; p0 < (n + 1) * points; p0 += b.rows) {
                    const int64_t p1 = std::min((n + 1) * points, p0 + b.rows);
                    for (int64_t group = 0; group < s.groups; ++group) {
                        row_kernels<T>().gemm({dy + p0 * s.out_channels + group * s.out_per_group(), s.out_channels, 1,
                                               w + group * s.out_per_group(), 1, s.out_channels, buffers.patches, depth, p1 - p0,
                                               depth, s.out_per_group(), false, buffers.pack});
                        const T* row = buffers.patches;
                        for (int64_t p = p0; p < p1; ++p, row += depth)
                            for_taps(s, p, [&](int64_t tap, int64_t offset) {
                                if (offset < 0) return;
                                T* dst = dx + offset + group * c;
                                for (int64_t j = 0; j < c; ++j) dst[j] += row[tap * c + j];
                            });
                    }
                }
            }
        });
    };
}

// Each thread sums its share of the positions into a filter of its own; these are then added in order.
template <class T>
RunFn filter_grad(const ConvShape& s, const Blocks& b, size_t partials) {
    return [=, threads = max_threads()](const KernelArgs& a) {
        const T* x = static_cast<const T*>(a.in[0]);
        const T* dy = static_cast<const T*>(a.in[1]);
        T* dw = static_cast<T*>(a.out[0]);
        const int64_t points = s.batch * s.out_points(), blocks = (points + b.rows - 1) / b.rows,
                      depth = s.taps() * s.in_per_group();
        const int64_t size = depth * s.out_channels;
        T* sums = reinterpret_cast<T*>(a.scratch + partials);
        std::fill(dw, dw + size, T{0});
        std::fill(sums, sums + size * (threads - 1), T{0});
        parallel_slots(threads, blocks, b.rows * size / 4, [&](int64_t first, int64_t last, int64_t slot) {
            const Buffers<T> buffers(a.scratch, b, slot);
            T* sum = slot == 0 ? dw : sums + (slot - 1) * size;
            for (int64_t i = first; i < last; ++i) {
                const int64_t p0 = i * b.rows, p1 = std::min(points, p0 + b.rows);
                for (int64_t group = 0; group < s.groups; ++group) {
                    gather_patches(s, x, group, p0, p1, buffers.patches);
                    const int64_t at = group * s.out_per_group();
                    row_kernels<T>().gemm({buffers.patches, 1, depth, dy + p0 * s.out_channels + at, s.out_channels, 1, sum + at,
                                           s.out_channels, depth, s.out_per_group(), p1 - p0, true, buffers.pack});
                }
            }
        });
        for (int64_t t = 0; t + 1 < threads; ++t)
            for (int64_t i = 0; i < size; ++i) dw[i] += sums[t * size + i];
    };
}

template <class F>
std::unique_ptr<Kernel> make_conv(const Graph& g, const Node& node, F&& build) {
    const ConvShape s = conv_shape(g, node);
    if (input_type(g, node, 0).dtype == DType::f64) return build(Type<double>{}, s, plan_blocks<double>(s));
    return build(Type<float>{}, s, plan_blocks<float>(s));
}

}  // namespace

namespace own_conv {
std::string match(const Graph& g, const Node& node) {
    if (node.inputs.size() == 3) {
        if (input_type(g, node, 2).size() != node.types[0].dims.back()) return "the bias is not one value per filter";
        const auto& act = std::get<std::string>(node.attrs[5]);
        if (!act_from_name(act)) return concat("activation ", act);
    }
    return check_compute_types(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const bool fused = node.inputs.size() == 3;
    const Act act = fused ? act_from_name(std::get<std::string>(node.attrs[5])).value() : Act::none;
    return make_conv(g, node, [&](auto tag, const ConvShape& s, const Blocks& b) {
        using T = typename decltype(tag)::type;
        return make_widened(g, node, "own:im2col", forward<T>(s, b, fused, act),
                            b.slot_bytes * static_cast<size_t>(max_threads()));
    });
}
}  // namespace own_conv

namespace own_conv_input_grad {
std::string match(const Graph& g, const Node& node) { return check_compute_types(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_conv(g, node, [&](auto tag, const ConvShape& s, const Blocks& b) {
        using T = typename decltype(tag)::type;
        return make_widened(g, node, "own:col2im", input_grad<T>(s, b), b.slot_bytes * static_cast<size_t>(max_threads()));
    });
}
}  // namespace own_conv_input_grad

namespace own_conv_filter_grad {
std::string match(const Graph& g, const Node& node) { return check_compute_types(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return make_conv(g, node, [&](auto tag, const ConvShape& s, const Blocks& b) {
        using T = typename decltype(tag)::type;
        const size_t partials = b.slot_bytes * static_cast<size_t>(max_threads());
        const size_t size = static_cast<size_t>(node.types[0].size()) * sizeof(T) * static_cast<size_t>(max_threads() - 1);
        return make_widened(g, node, "own:im2col", filter_grad<T>(s, b, partials), partials + size);
    });
}
}  // namespace own_conv_filter_grad

}  // namespace fk::cpu
