// Max and average pooling over 1 to 3 spatial dimensions, channels last, and their gradients. The window of each output
// position is clipped here to the taps inside the input; kernels/own_pool.cpp works on the channels.
#include "cpu/conv_shape.h"
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

// The taps of output position (d, h, w) within one image, in window order.
PoolWindow clip_window(const ConvShape& s, int64_t d, int64_t h, int64_t w, int64_t* taps) {
    const int64_t at[3] = {d * s.stride[0] - s.low[0], h * s.stride[1] - s.low[1], w * s.stride[2] - s.low[2]};
    int64_t low[3], high[3];
    for (size_t i = 0; i < 3; ++i) {
        low[i] = std::max<int64_t>(at[i], 0);
        high[i] = std::min(at[i] + s.kernel[i], s.in[i]);
    }
    int64_t count = 0;
    for (int64_t id = low[0]; id < high[0]; ++id)
        for (int64_t ih = low[1]; ih < high[1]; ++ih)
            for (int64_t iw = low[2]; iw < high[2]; ++iw) taps[count++] = ((id * s.in[1] + ih) * s.in[2] + iw) * s.in_channels;
    return {taps, count};
}

size_t taps_bytes(const ConvShape& s) { return round_up(static_cast<size_t>(s.taps()) * sizeof(int64_t)); }

// f(args, image, window, at) for each output position: `image` is the offset of its image in the input, `at` that of its
// channels in the output. Positions whose window lies in the padding get zeros.
template <class T, class F>
std::unique_ptr<Kernel> make_by_position(const ConvShape& s, std::string text, F f) {
    const size_t slot_bytes = taps_bytes(s);
    const auto run = [=, threads = max_threads()](const KernelArgs& a) {
        T* y = static_cast<T*>(a.out[0]);
        const int64_t c = s.in_channels, lines = s.batch * s.out[0] * s.out[1];
        parallel_slots(threads, lines, s.out[2] * c * s.taps(), [&](int64_t begin, int64_t end, int64_t slot) {
            auto* taps = reinterpret_cast<int64_t*>(a.scratch + static_cast<size_t>(slot) * slot_bytes);
            for (int64_t l = begin; l < end; ++l) {
                const int64_t h = l % s.out[1], d = l / s.out[1] % s.out[0], n = l / (s.out[1] * s.out[0]);
                for (int64_t w = 0; w < s.out[2]; ++w) {
                    const PoolWindow window = clip_window(s, d, h, w, taps);
                    const int64_t at = (l * s.out[2] + w) * c;
                    if (window.count == 0)
                        std::fill(y + at, y + at + c, narrow<T>(0));
                    else
                        f(a, n * s.in_points() * c, window, at);
                }
            }
        });
    };
    return make_kernel(std::move(text), run, slot_bytes * static_cast<size_t>(max_threads()));
}

template <class T>
std::unique_ptr<Kernel> make_pool(const ConvShape& s, bool max) {
    return make_by_position<T>(s, max ? "own:max_pool" : "own:avg_pool",
                               [c = s.in_channels, max](const KernelArgs& a, int64_t image, PoolWindow window, int64_t at) {
                                   const auto f = max ? pool_kernels<T>().max : pool_kernels<T>().avg;
                                   f(static_cast<const T*>(a.in[0]) + image, window, c, static_cast<T*>(a.out[0]) + at);
                               });
}

template <class T>
std::unique_ptr<Kernel> make_pool_select(const ConvShape& s) {
    return make_by_position<T>(s, "own:max_pool_select",
                               [c = s.in_channels](const KernelArgs& a, int64_t image, PoolWindow window, int64_t at) {
                                   const T *x = static_cast<const T*>(a.in[0]) + image, *y = static_cast<const T*>(a.in[1]) + at,
                                           *dd = static_cast<const T*>(a.in[2]) + image;
                                   pool_kernels<T>().max_select(x, y, dd, window, c, static_cast<T*>(a.out[0]) + at);
                               });
}

// Windows overlap within an image, so the work is split by image and by block of channels. 16-bit gradients are summed
// in float, in scratch.
template <class T>
std::unique_ptr<Kernel> make_pool_grad(const ConvShape& s, bool max) {
    using C = Compute<T>;
    constexpr bool half = !std::is_same_v<T, C>;
    [[maybe_unused]] const DType type = std::is_same_v<T, F16> ? DType::f16 : DType::bf16;  // when half
    const size_t slot_bytes = taps_bytes(s), sums_at = slot_bytes * static_cast<size_t>(max_threads());
    const int64_t c = s.in_channels, image = s.in_points() * c;
    const int64_t chunk = s.batch >= max_threads() ? std::max<int64_t>(c, 1) : 64, chunks = (c + chunk - 1) / chunk;
    const auto run = [=, threads = max_threads()](const KernelArgs& a) {
        const T* x = max ? static_cast<const T*>(a.in[0]) : nullptr;
        const T* y = max ? static_cast<const T*>(a.in[1]) : nullptr;
        const T* dy = static_cast<const T*>(a.in[max ? 2 : 0]);
        C* dx;
        if constexpr (half)
            dx = reinterpret_cast<C*>(a.scratch + sums_at);
        else
            dx = static_cast<C*>(a.out[0]);
        const PoolKernels<T>& kernels = pool_kernels<T>();
        parallel_slots(threads, s.batch * chunks, s.out_points() * chunk * s.taps(),
                       [&](int64_t begin, int64_t end, int64_t slot) {
                           auto* taps = reinterpret_cast<int64_t*>(a.scratch + static_cast<size_t>(slot) * slot_bytes);
                           for (int64_t item = begin; item < end; ++item) {
                               const int64_t n = item / chunks, c0 = item % chunks * chunk, width = std::min(chunk, c - c0);
                               C* to = dx + n * image + c0;
                               for (int64_t p = 0; p < s.in_points(); ++p) std::fill(to + p * c, to + p * c + width, C{0});
                               for (int64_t p = 0; p < s.out_points(); ++p) {
                                   const PoolWindow window =
                                       clip_window(s, p / (s.out[2] * s.out[1]), p / s.out[2] % s.out[1], p % s.out[2], taps);
                                   const int64_t at = (n * s.out_points() + p) * c + c0;
                                   if (window.count == 0) continue;
                                   if (max)
                                       kernels.max_grad(x + n * image + c0, y + at, dy + at, window, width, to);
                                   else
                                       kernels.avg_grad(dy + at, window, width, to);
                               }
                               if constexpr (half) {
                                   T* out = static_cast<T*>(a.out[0]) + n * image + c0;
                                   if (width == c)
                                       narrow_from_float(type, to, image, out);
                                   else
                                       for (int64_t p = 0; p < s.in_points(); ++p)
                                           narrow_from_float(type, to + p * c, width, out + p * c);
                               }
                           }
                       });
    };
    const size_t sums = half ? static_cast<size_t>(s.batch * image) * sizeof(C) : 0;
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
