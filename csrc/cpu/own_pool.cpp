// Max and average pooling over 1 to 3 spatial dimensions, channels last, and their gradients. Windows are
// clipped here to the taps inside the input, those that are not come as a row; kernels/own_pool.cpp works on the channels.
#include "cpu/conv_shape.h"
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

// The output positions along one axis whose windows are not cut off.
struct Inside {
    int64_t begin, end;
};
Inside inside(const ConvShape& s, size_t axis) {
    const int64_t stride = s.stride[axis], begin = (s.low[axis] + stride - 1) / stride;
    const int64_t last = s.in[axis] - s.kernel[axis] + s.low[axis];  // first element of the last whole window
    const int64_t end = last < 0 ? 0 : std::min(s.out[axis], last / stride + 1);
    return {std::min(begin, s.out[axis]), std::max(end, std::min(begin, s.out[axis]))};
}

// The windows of output row (d, h) of one image, as rows of equal windows: those cut off at an end come alone. Calls
// f(row, first output position).
template <class F>
void for_rows(const ConvShape& s, int64_t d, int64_t h, int64_t channels, int64_t* taps, F&& f) {
    const Inside whole = inside(s, 2);
    for (int64_t w = 0; w < s.out[2];) {
        const bool many = w == whole.begin && whole.begin < whole.end;
        const int64_t windows = many ? whole.end - whole.begin : 1;
        const int64_t at[3] = {d * s.stride[0] - s.low[0], h * s.stride[1] - s.low[1], w * s.stride[2] - s.low[2]};
        int64_t low[3], high[3];
        for (size_t i = 0; i < 3; ++i) {
            low[i] = std::max<int64_t>(at[i], 0);
            high[i] = std::min(at[i] + s.kernel[i], s.in[i]);
        }
        int64_t count = 0;
        for (int64_t id = low[0]; id < high[0]; ++id)
            for (int64_t ih = low[1]; ih < high[1]; ++ih)
                for (int64_t iw = low[2]; iw < high[2]; ++iw)
                    taps[count++] = ((id * s.in[1] + ih) * s.in[2] + iw) * s.in_channels;
        f(PoolRow{taps, count, s.stride[2] * s.in_channels, windows, channels, s.in_channels}, w);
        w += windows;
    }
}

size_t taps_bytes(const ConvShape& s) { return round_up(static_cast<size_t>(s.taps()) * sizeof(int64_t)); }

// f(args, offset of the image in the input, row, offset of its first output). Windows that lie in the padding give zeros.
template <class T, class F>
std::unique_ptr<Kernel> make_by_row(const ConvShape& s, std::string text, F f) {
    const size_t slot_bytes = taps_bytes(s);
    const auto run = [=, threads = max_threads()](const KernelArgs& a) {
        T* y = static_cast<T*>(a.out[0]);
        const int64_t c = s.in_channels, lines = s.batch * s.out[0] * s.out[1];
        parallel_slots(threads, lines, s.out[2] * c * s.taps(), [&](int64_t begin, int64_t end, int64_t slot) {
            auto* taps = reinterpret_cast<int64_t*>(a.scratch + static_cast<size_t>(slot) * slot_bytes);
            for (int64_t l = begin; l < end; ++l) {
                const int64_t h = l % s.out[1], d = l / s.out[1] % s.out[0], n = l / (s.out[1] * s.out[0]);
                for_rows(s, d, h, c, taps, [&](const PoolRow& row, int64_t w) {
                    const int64_t at = (l * s.out[2] + w) * c;
                    if (row.count == 0)
                        std::fill(y + at, y + at + c * row.windows, narrow<T>(0));
                    else
                        f(a, n * s.in_points() * c, row, at);
                });
            }
        });
    };
    return make_kernel(std::move(text), run, slot_bytes * static_cast<size_t>(max_threads()));
}

template <class T>
std::unique_ptr<Kernel> make_pool(const ConvShape& s, bool max) {
    return make_by_row<T>(s, max ? "own:max_pool" : "own:avg_pool",
                          [max](const KernelArgs& a, int64_t image, const PoolRow& row, int64_t at) {
                              const auto f = max ? pool_kernels<T>().max : pool_kernels<T>().avg;
                              f(static_cast<const T*>(a.in[0]) + image, row, static_cast<T*>(a.out[0]) + at);
                          });
}

template <class T>
std::unique_ptr<Kernel> make_pool_select(const ConvShape& s) {
    return make_by_row<T>(s, "own:max_pool_select", [](const KernelArgs& a, int64_t image, const PoolRow& row, int64_t at) {
        const T *x = static_cast<const T*>(a.in[0]) + image, *y = static_cast<const T*>(a.in[1]) + at,
                *dd = static_cast<const T*>(a.in[2]) + image;
        pool_kernels<T>().max_select(x, y, dd, row, static_cast<T*>(a.out[0]) + at);
    });
}

// Zeros where no window reaches, if windows lie side by side: behind the last one of each axis.
template <class C>
void clear_rest(const ConvShape& s, int64_t channels, C* image) {
    int64_t covered[3];
    for (size_t i = 0; i < 3; ++i) covered[i] = std::clamp<int64_t>(s.out[i] * s.stride[i] - s.low[i], 0, s.in[i]);
    for (int64_t d = 0; d < s.in[0]; ++d)
        for (int64_t h = 0; h < s.in[1]; ++h) {
            const int64_t first = d < covered[0] && h < covered[1] ? covered[2] : 0;
            for (int64_t w = first; w < s.in[2]; ++w)
                std::fill_n(image + ((d * s.in[1] + h) * s.in[2] + w) * s.in_channels, channels, C{0});
        }
}

// Windows may overlap within an image, so the work is split by image and by block of channels. 16-bit gradients are summed
// in float, in scratch for one image.
template <class T>
std::unique_ptr<Kernel> make_pool_grad(const ConvShape& s, bool max) {
    using C = Compute<T>;
    constexpr bool half = !std::is_same_v<T, C>;
    [[maybe_unused]] const DType type = std::is_same_v<T, F16> ? DType::f16 : DType::bf16;  // when half
    const size_t slot_bytes = taps_bytes(s), sums_at = slot_bytes * static_cast<size_t>(max_threads());
    const int64_t c = s.in_channels, image = s.in_points() * c;
    const int64_t chunk = s.batch >= max_threads() ? std::max<int64_t>(c, 1) : 64, chunks = (c + chunk - 1) / chunk;
    const bool apart = s.stride == s.kernel;
    const auto run = [=, threads = max_threads()](const KernelArgs& a) {
        const T* x = max ? static_cast<const T*>(a.in[0]) : nullptr;
        const T* y = max ? static_cast<const T*>(a.in[1]) : nullptr;
        const T* dy = static_cast<const T*>(a.in[max ? 2 : 0]);
        const PoolKernels<T>& kernels = pool_kernels<T>();
        const int64_t work = s.out_points() * chunk * s.taps();
        parallel_slots(threads, s.batch * chunks, work, [&](int64_t begin, int64_t end, int64_t slot) {
            auto* taps = reinterpret_cast<int64_t*>(a.scratch + static_cast<size_t>(slot) * slot_bytes);
            for (int64_t item = begin; item < end; ++item) {
                const int64_t n = item / chunks, c0 = item % chunks * chunk, width = std::min(chunk, c - c0);
                C* to = c0 +
                        (half ? reinterpret_cast<C*>(a.scratch + sums_at) + slot * image : static_cast<C*>(a.out[0]) + n * image);
                if (apart)
                    clear_rest(s, width, to);
                else
                    for (int64_t p = 0; p < s.in_points(); ++p) std::fill_n(to + p * c, width, C{0});
                for (int64_t line = 0; line < s.out[0] * s.out[1]; ++line)
                    for_rows(s, line / s.out[1], line % s.out[1], width, taps, [&](const PoolRow& row, int64_t w) {
                        const int64_t at = (n * s.out_points() + line * s.out[2] + w) * c + c0;
                        if (row.count == 0) return;
                        if (max)
                            kernels.max_grad(x + n * image + c0, y + at, dy + at, row, apart, to);
                        else
                            kernels.avg_grad(dy + at, row, apart, to);
                    });
                if constexpr (half) {
                    T* out = static_cast<T*>(a.out[0]) + n * image + c0;
                    if (width == c)
                        narrow_from_float(type, to, image, out);
                    else
                        for (int64_t p = 0; p < s.in_points(); ++p) narrow_from_float(type, to + p * c, width, out + p * c);
                }
            }
        });
    };
    const size_t sums = half ? static_cast<size_t>(max_threads() * image) * sizeof(C) : 0;
    return make_kernel(max ? "own:max_pool_grad" : "own:avg_pool_grad", run, sums_at + sums);
}

std::string refuse(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    return is_float(t) ? "" : concat(name(t), " is not a floating type");
}

}  // namespace

namespace own_pool {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return dispatch_float(node.types[0].dtype, [&](auto tag) {
        return make_pool<typename decltype(tag)::type>(pool_shape(g, node), node.is("max_pool"));
    });
}
}  // namespace own_pool

namespace own_pool_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return dispatch_float(node.types[0].dtype, [&](auto tag) {
        return make_pool_grad<typename decltype(tag)::type>(pool_shape(g, node), node.is("max_pool_grad"));
    });
}
}  // namespace own_pool_grad

namespace own_pool_select {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    return dispatch_float(node.types[0].dtype,
                          [&](auto tag) { return make_pool_select<typename decltype(tag)::type>(pool_shape(g, node)); });
}
}  // namespace own_pool_select

}  // namespace fk::cpu
