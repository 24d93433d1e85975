// Convolutions of 16-bit tensors that compute in float: matrix products whose left operand, the patches of the image, is made
// block by block while it is widened (kernels/own_mixed_gemm.cpp). For CPUs whose own 16-bit products are slower than this.
#include <cstring>

#include "cpu/conv_shape.h"
#include "cpu/epilogue.h"
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

constexpr size_t kPackBytes = static_cast<size_t>(kMixedPackElements) * sizeof(float);

// Which pixel of the image a tap sees from a position. Forward it is position * stride - low + tap * dilation. For the input's
// gradient (of a convolution with stride 1) the image is dy, and tap k sees position + low - k * dilation: the taps are taken
// from the last to the first there, so that they go through memory in order.
struct Patches {
    const void* image;
    DType type;
    Dims3 size;       // of the image
    Dims3 positions;  // from which patches are taken
    Dims3 kernel, scale, offset, step;
    int64_t channels;
    int64_t first;  // position of line 0

    [[nodiscard]] int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    [[nodiscard]] int64_t depth() const { return taps() * channels; }

    [[nodiscard]] Dims3 tap_step(int64_t tap) const {
        return {tap / (kernel[1] * kernel[2]) * step[0], tap / kernel[2] % kernel[1] * step[1], tap % kernel[2] * step[2]};
    }
    // The element at which the pixel begins that a tap, `move` away from the position's first, sees; -1 outside of the image.
    [[nodiscard]] int64_t pixel(int64_t n, const Dims3& at, const Dims3& move) const {
        int64_t index = n;
        for (size_t d = 0; d < 3; ++d) {
            const int64_t i = at[d] * scale[d] + offset[d] + move[d];
            if (i < 0 || i >= size[d]) return -1;
            index = index * size[d] + i;
        }
        return index * channels;
    }

    // Values of a patch that lie next to each other in the image: those of one tap, or of the rest of a row of taps.
    struct Run {
        int64_t to, count, channel;
        Dims3 move;
    };
    int64_t find_runs(int64_t from, int64_t n, Run* runs) const {
        int64_t count = 0;
        for (int64_t j = 0; j < n; j += runs[count++].count) {
            const int64_t tap = (from + j) / channels, channel = (from + j) % channels;
            const int64_t taps_on = step[2] == 1 ? kernel[2] - tap % kernel[2] : 1;
            runs[count] = {j, std::min(n - j, taps_on * channels - channel), channel, tap_step(tap)};
        }
        return count;
    }

    // Where a position's window begins.
    struct Place {
        int64_t batch;
        Dims3 at;
    };
    [[nodiscard]] int64_t element(const Place& w, const Dims3& move) const {
        return (((w.batch * size[0] + w.at[0] + move[0]) * size[1] + w.at[1] + move[1]) * size[2] + w.at[2] + move[2]) * channels;
    }
    [[nodiscard]] bool is_inside(const Place& w) const {
        bool inside = true;
        for (size_t d = 0; d < 3; ++d) inside &= w.at[d] >= 0 && w.at[d] + (kernel[d] - 1) * step[d] < size[d];
        return inside;
    }
    // A run of a window that reaches over the edge of the image: zeros there.
    void fill_run(const Place& w, const Run& run, float* dst) const {
        const Dims3 p = {w.at[0] + run.move[0], w.at[1] + run.move[1], w.at[2] + run.move[2]};
        // The part of the run that is inside of the image, counted from the pixel it begins in.
        const int64_t end = run.channel + run.count;
        int64_t low = std::clamp(-p[2] * channels, run.channel, end), high = std::clamp((size[2] - p[2]) * channels, low, end);
        if (p[0] < 0 || p[0] >= size[0] || p[1] < 0 || p[1] >= size[1]) low = high = run.channel;
        float* const to = dst + run.to - run.channel;
        std::fill(to + run.channel, to + low, 0.0f);
        const MixedRun part{element(w, run.move) + low, run.to - run.channel + low, high - low};
        if (low < high) widen_runs(&part, 1, 0, dst);
        std::fill(to + high, to + end, 0.0f);
    }
    void widen_runs(const MixedRun* runs, int64_t count, int64_t at, float* dst) const {
        const OwnKernels& kernels = own_kernels();
        if (type == DType::bf16)
            kernels.widen_runs_bf16(static_cast<const Bf16*>(image) + at, runs, count, dst);
        else
            kernels.widen_runs_f16(static_cast<const F16*>(image) + at, runs, count, dst);
    }

    static void fill(const void* context, int64_t line, int64_t lines, int64_t from, int64_t n, float* dst, int64_t stride) {
        constexpr int64_t kMost = kMixedDepth + kMixedRows;
        const Patches& p = *static_cast<const Patches*>(context);
        Run runs[kMost];
        MixedRun inside[kMost];  // counted from the element at which a window begins
        const int64_t count = p.find_runs(from, n, runs);
        for (int64_t r = 0; r < count; ++r)
            inside[r] = {p.element({}, runs[r].move) + runs[r].channel, runs[r].to, runs[r].count};
        const int64_t points = p.positions[0] * p.positions[1] * p.positions[2], in = (p.first + line) % points;
        Dims3 at = {in / (p.positions[1] * p.positions[2]), in / p.positions[2] % p.positions[1], in % p.positions[2]};
        Place w{(p.first + line) / points, {}};
        for (int64_t i = 0; i < lines; ++i, dst += stride) {
            for (size_t d = 0; d < 3; ++d) w.at[d] = at[d] * p.scale[d] + p.offset[d];
            if (p.is_inside(w))
                p.widen_runs(inside, count, p.element(w, {}), dst);
            else
                for (int64_t r = 0; r < count; ++r) p.fill_run(w, runs[r], dst);
            if (++at[2] < p.positions[2]) continue;
            at[2] = 0;
            if (++at[1] < p.positions[1]) continue;
            at[1] = 0;
            if (++at[0] < p.positions[0]) continue;
            at[0] = 0;
            ++w.batch;
        }
    }

    // Of an image with one channel, neighbouring positions see neighbouring pixels: the same patches by taps, each of which is a
    // line over positions.
    [[nodiscard]] bool by_taps() const { return channels == 1 && scale[2] == 1; }
    static void fill_taps(const void* context, int64_t line, int64_t lines, int64_t from, int64_t n, float* dst, int64_t stride) {
        const Patches& p = *static_cast<const Patches*>(context);
        const auto* image = static_cast<const uint16_t*>(p.image);
        const int64_t points = p.positions[0] * p.positions[1] * p.positions[2];
        uint16_t row[kMixedDepth + kMixedRows];
        for (int64_t i = 0; i < lines; ++i, dst += stride) {
            const Dims3 move = p.tap_step(line + i);
            for (int64_t j = 0; j < n;) {
                const int64_t at = p.first + from + j, batch = at / points, in = at % points, w0 = in % p.positions[2];
                const int64_t count = std::min(n - j, p.positions[2] - w0), w = w0 + p.offset[2] + move[2];
                const int64_t d = in / (p.positions[1] * p.positions[2]) * p.scale[0] + p.offset[0] + move[0],
                              h = in / p.positions[2] % p.positions[1] * p.scale[1] + p.offset[1] + move[1];
                int64_t low = std::clamp<int64_t>(-w, 0, count), high = std::clamp<int64_t>(p.size[2] - w, low, count);
                if (d < 0 || d >= p.size[0] || h < 0 || h >= p.size[1]) low = high = 0;
                const uint16_t* src = image + ((batch * p.size[0] + d) * p.size[1] + h) * p.size[2] + w;
                std::fill(row + j, row + j + low, uint16_t{0});
                std::copy(src + low, src + high, row + j + low);
                std::fill(row + j + high, row + j + count, uint16_t{0});
                j += count;
            }
            widen_to_float(p.type, row, n, dst);
        }
    }
};

Patches forward_patches(const ConvShape& s, DType t) {
    Patches p{nullptr, t, s.in, s.out, s.kernel, s.stride, {}, s.dilation, s.in_channels, 0};
    for (size_t d = 0; d < 3; ++d) p.offset[d] = -s.low[d];
    return p;
}
Patches backward_patches(const ConvShape& s, DType t) {
    Patches p{nullptr, t, s.out, s.in, s.kernel, {1, 1, 1}, {}, s.dilation, s.out_channels, 0};
    for (size_t d = 0; d < 3; ++d) p.offset[d] = s.low[d] - (s.kernel[d] - 1) * s.dilation[d];
    return p;
}

bool all_ones(const Dims3& d) { return d[0] == 1 && d[1] == 1 && d[2] == 1; }
// One tap that sees each position's own pixel: patches are the image itself.
bool is_pointwise(const ConvShape& s) { return s.taps() == 1 && all_ones(s.stride) && s.low == Dims3{} && s.high == Dims3{}; }

// Elements [0, n) of an operand from `at` on.
const void* at(const void* p, DType t, int64_t element) {
    return static_cast<const std::byte*>(p) + static_cast<size_t>(element) * size_of(t);
}
void* at(void* p, DType t, int64_t element) { return static_cast<std::byte*>(p) + static_cast<size_t>(element) * size_of(t); }

float* pack_of(std::byte* scratch, int64_t slot) { return reinterpret_cast<float*>(scratch) + slot * kMixedPackElements; }

// Rows of the result split between the team; `product` is complete but for what depends on the rows.
void by_rows(const KernelArgs& args, int threads, int64_t rows, const MixedGemmArgs& product, const Patches* patches, DType a,
             DType b, DType c) {
    // Where the filter is the larger operand it is divided: then each thread brings its part of it only.
    constexpr int64_t unit = 32;  // columns
    if (product.n > rows && (patches == nullptr || patches->taps() == 1)) {
        parallel_slots(threads, (product.n + unit - 1) / unit, std::max<int64_t>(rows * product.k * unit / 4, 1),
                       [&](int64_t begin, int64_t end, int64_t slot) {
                           const int64_t first = begin * unit;
                           MixedGemmArgs g = product;
                           const MixedSource source{Patches::fill, patches, false};
                           if (patches) g.source = &source;
                           g.b.data = at(product.b.data, b, first * product.b.col);
                           g.c = at(product.c, c, first);
                           if (product.bias) g.bias = product.bias + first;
                           g.m = rows, g.n = std::min(product.n, end * unit) - first;
                           g.pack = pack_of(args.scratch, slot);
                           own_kernels().mixed_gemm(g);
                       });
        return;
    }
    parallel_slots(threads, rows, std::max<int64_t>(product.n * product.k / 4, 1), [&](int64_t begin, int64_t end, int64_t slot) {
        MixedGemmArgs g = product;
        Patches mine = patches ? *patches : Patches{};
        mine.first = begin;
        const MixedSource source{Patches::fill, &mine, false};
        if (patches)
            g.source = &source;
        else
            g.a.data = at(product.a.data, a, begin * product.a.row);
        g.c = at(product.c, c, begin * product.ldc);
        g.m = end - begin;
        g.pack = pack_of(args.scratch, slot);
        own_kernels().mixed_gemm(g);
    });
}

RunFn forward(const ConvShape& s, DType t, DType w, DType bias, DType y, bool has_bias, Act act) {
    const int threads = max_threads();
    return [=, patches = forward_patches(s, t)](const KernelArgs& args) {
        Patches p = patches;
        p.image = args.in[0];
        MixedGemmArgs g{};
        g.a = {args.in[0], stored_as(t), s.in_channels, 1};
        g.b = {args.in[1], stored_as(w), s.out_channels, 1};
        g.c = args.out[0];
        g.c_type = stored_as(y);
        g.ldc = g.n = s.out_channels;
        g.k = p.depth();
        g.relu = act == Act::relu;
        if (has_bias) {
            auto* wide = reinterpret_cast<float*>(args.scratch + kPackBytes * static_cast<size_t>(threads));
            if (is_half(bias)) widen_to_float(bias, args.in[2], s.out_channels, wide);
            g.bias = is_half(bias) ? wide : static_cast<const float*>(args.in[2]);
        }
        by_rows(args, threads, s.batch * s.out_points(), g, is_pointwise(s) ? nullptr : &p, t, w, y);
    };
}

// With a stride of 1 the gradient is a convolution of dy, too.
RunFn input_grad(const ConvShape& s, DType t, DType w, DType x) {
    const int threads = max_threads();
    return [=, patches = backward_patches(s, t)](const KernelArgs& args) {
        Patches p = patches;
        p.image = args.in[0];
        MixedGemmArgs g{};
        g.a = {args.in[0], stored_as(t), s.out_channels, 1};
        const int64_t tap = s.in_channels * s.out_channels;
        g.b = {at(args.in[1], w, (s.taps() - 1) * tap), stored_as(w), 1, s.out_channels};  // of each tap, the transpose
        g.b_period = s.out_channels;
        g.b_jump = -tap;
        g.c = args.out[0];
        g.c_type = stored_as(x);
        g.ldc = g.n = s.in_channels;
        g.k = p.depth();
        by_rows(args, threads, s.batch * s.in_points(), g, is_pointwise(s) ? nullptr : &p, t, w, x);
    };
}

// A filter of one tap gives each position's products to a pixel of its own; the other pixels get zeros.
RunFn placed_input_grad(const ConvShape& s, DType t, DType w, DType x) {
    return [=, threads = max_threads(), patches = forward_patches(s, t)](const KernelArgs& args) {
        const int64_t points = s.out_points(), image = s.in_points() * s.in_channels;
        auto* const pixels =
            reinterpret_cast<int64_t*>(args.scratch + kPackBytes * static_cast<size_t>(threads));  // of each position
        parallel_slots(
            threads, s.batch, points * s.in_channels * s.out_channels / 4, [&](int64_t first, int64_t last, int64_t slot) {
                std::memset(at(args.out[0], x, first * image), 0, static_cast<size_t>((last - first) * image) * size_of(x));
                for (int64_t n = first; n < last; ++n)
                    for (int64_t i = 0; i < points; ++i) {
                        const Dims3 position = {i / (s.out[1] * s.out[2]), i / s.out[2] % s.out[1], i % s.out[2]};
                        pixels[n * points + i] = patches.pixel(n, position, {});
                    }
                MixedGemmArgs g{};
                g.a = {at(args.in[0], t, first * points * s.out_channels), stored_as(t), s.out_channels, 1};
                g.b = {args.in[1], stored_as(w), 1, s.out_channels};
                g.c = args.out[0];
                g.c_type = stored_as(x);
                g.c_rows = pixels + first * points;
                g.m = (last - first) * points;
                g.n = s.in_channels;
                g.k = s.out_channels;
                g.pack = pack_of(args.scratch, slot);
                own_kernels().mixed_gemm(g);
            });
    };
}

// Otherwise each position's products are added to the pixels that its taps saw, image by image in float.
struct Scattering {
    int64_t rows = 1;  // positions at a time
    size_t image = 0, patches = 0, slot = 0;
};
Scattering plan_scattering(const ConvShape& s) {
    const auto depth = static_cast<size_t>(s.taps() * s.in_channels);
    Scattering b;
    b.rows = std::clamp<int64_t>(static_cast<int64_t>(512 * 1024 / (depth * sizeof(float))), 8, s.out_points());
    b.image = kPackBytes;
    b.patches = b.image + round_up(static_cast<size_t>(s.in_points() * s.in_channels) * sizeof(float));
    b.slot = b.patches + round_up(static_cast<size_t>(b.rows) * depth * sizeof(float));
    return b;
}

RunFn scattered_input_grad(const ConvShape& s, const Scattering& b, DType t, DType w, DType x) {
    return [=, threads = max_threads(), patches = forward_patches(s, t)](const KernelArgs& args) {
        const int64_t points = s.out_points(), depth = patches.depth(), size = s.in_points() * s.in_channels;
        parallel_slots(threads, s.batch, points * depth * s.out_channels / 4, [&](int64_t first, int64_t last, int64_t slot) {
            std::byte* scratch = args.scratch + static_cast<size_t>(slot) * b.slot;
            auto *image = reinterpret_cast<float*>(scratch + b.image), *rows = reinterpret_cast<float*>(scratch + b.patches);
            MixedGemmArgs g{};
            g.b = {args.in[1], stored_as(w), 1, s.out_channels};
            g.c = rows;
            g.c_type = Stored::f32;
            g.ldc = g.n = depth;
            g.k = s.out_channels;
            g.pack = reinterpret_cast<float*>(scratch);
            for (int64_t n = first; n < last; ++n) {
                std::fill_n(image, size, 0.0f);
                for (int64_t p0 = 0; p0 < points; p0 += b.rows) {
                    g.m = std::min(b.rows, points - p0);
                    g.a = {at(args.in[0], t, (n * points + p0) * s.out_channels), stored_as(t), s.out_channels, 1};
                    own_kernels().mixed_gemm(g);
                    for (int64_t i = 0; i < g.m; ++i) {
                        const int64_t in = p0 + i;
                        const Dims3 position = {in / (s.out[1] * s.out[2]), in / s.out[2] % s.out[1], in % s.out[2]};
                        for (int64_t tap = 0; tap < s.taps(); ++tap) {
                            const int64_t pixel = patches.pixel(0, position, patches.tap_step(tap));
                            if (pixel < 0) continue;
                            const float* row = rows + i * depth + tap * s.in_channels;
                            for (int64_t j = 0; j < s.in_channels; ++j) image[pixel + j] += row[j];
                        }
                    }
                }
                void* dst = at(args.out[0], x, n * size);
                if (is_half(x))
                    narrow_from_float(x, image, size, dst);
                else
                    std::memcpy(dst, image, static_cast<size_t>(size) * sizeof(float));
            }
        });
    };
}

// How the team divides the gradient of a filter. A small one is a sum over many positions: of these, so that each thread reads
// its part of both operands only, and the sums are added up in the end. Otherwise the rows of the filter, or its columns if there
// are more of them.
struct FilterSplit {
    enum class By : uint8_t { positions, rows, columns } by;
    int64_t parts;
    bool turned;  // the sums are those of the transpose: the side with fewer values is packed into strips, which takes longer
    FilterSplit(const ConvShape& s, int64_t threads) : by(By::rows), parts(threads), turned(false) {
        const int64_t rows = s.taps() * s.in_channels, columns = s.out_channels, positions = s.batch * s.out_points();
        if (rows < columns) by = By::columns;
        if (positions >= threads * kMixedDepth && 8 * rows * columns * threads < (rows + columns) * positions) by = By::positions;
        const int64_t size = by == By::rows ? rows : by == By::columns ? columns : positions;
        parts = rows * columns * positions < kForkWork * 4 ? 1 : std::min(threads, (size + unit() - 1) / unit());
        turned = by == By::positions && is_pointwise(s) && rows > columns;
    }
    [[nodiscard]] int64_t unit() const { return by == By::rows ? 8 : 16; }
    // Part `i` of what is divided, which has `size` elements.
    [[nodiscard]] Slice part(int64_t i, int64_t size) const {
        const int64_t units = (size + unit() - 1) / unit();
        return {std::min(size, units * i / parts * unit()), std::min(size, units * (i + 1) / parts * unit())};
    }
    // Bytes of scratch for the sums of all parts and for their total.
    [[nodiscard]] size_t sums(int64_t size) const {
        return by == By::positions ? round_up(static_cast<size_t>((parts + 1) * size) * sizeof(float)) : 0;
    }
};

// Rows [m0, m1) and columns [n0, n1) of a filter's gradient over positions [k0, k1).
struct FilterPart {
    Slice m, n, k;
};

void filter_grad_part(const ConvShape& s, const Patches& patches, const FilterPart& part, bool turned, DType dy,
                      MixedGemmArgs g) {
    struct Shifted {
        Patches patches;
        int64_t from;
    } mine{patches, part.m.begin};
    mine.patches.first = part.k.begin;
    const MixedSource source{
        [](const void* context, int64_t line, int64_t lines, int64_t from, int64_t n, float* dst, int64_t stride) {
            const auto& c = *static_cast<const Shifted*>(context);
            Patches::fill(&c.patches, line, lines, c.from + from, n, dst, stride);
        },
        &mine, true};
    const MixedSource taps{
        [](const void* context, int64_t line, int64_t lines, int64_t from, int64_t n, float* dst, int64_t stride) {
            const auto& c = *static_cast<const Shifted*>(context);
            Patches::fill_taps(&c.patches, c.from + line, lines, from, n, dst, stride);
        },
        &mine, false};
    if (is_pointwise(s))
        g.a = {at(patches.image, patches.type, part.k.begin * s.in_channels + part.m.begin), stored_as(patches.type), 1,
               s.in_channels};
    else
        g.source = patches.by_taps() ? &taps : &source;
    g.b = {at(g.b.data, dy, part.k.begin * s.out_channels + part.n.begin), stored_as(dy), s.out_channels, 1};
    g.ldc = s.out_channels;
    g.m = part.m.end - part.m.begin;
    g.n = part.n.end - part.n.begin;
    g.k = part.k.end - part.k.begin;
    if (turned) {
        std::swap(g.a, g.b);
        std::swap(g.a.row, g.a.col);
        std::swap(g.b.row, g.b.col);
        std::swap(g.m, g.n);
        g.ldc = g.n;
    }
    own_kernels().mixed_gemm(g);
}

RunFn filter_grad(const ConvShape& s, const FilterSplit& split, DType t, DType dy, DType w) {
    using By = FilterSplit::By;
    const int threads = max_threads();
    return [=, patches = forward_patches(s, t)](const KernelArgs& args) {
        Patches p = patches;
        p.image = args.in[0];
        const int64_t rows = p.depth(), columns = s.out_channels, points = s.batch * s.out_points(), size = rows * columns;
        const bool summed = split.by == By::positions;
        auto* const sums = reinterpret_cast<float*>(args.scratch + kPackBytes * static_cast<size_t>(threads));
        parallel_slots(threads, split.parts, kForkWork, [&](int64_t first, int64_t last, int64_t slot) {
            for (int64_t i = first; i < last; ++i) {
                FilterPart part{{0, rows}, {0, columns}, {0, points}};
                Slice& cut = split.by == By::rows ? part.m : split.by == By::columns ? part.n : part.k;
                cut = split.part(i, cut.end);
                MixedGemmArgs g{};
                g.b.data = args.in[1];
                g.c = summed ? sums + i * size : at(args.out[0], w, part.m.begin * columns + part.n.begin);
                g.c_type = summed ? Stored::f32 : stored_as(w);
                g.pack = pack_of(args.scratch, slot);
                filter_grad_part(s, p, part, split.turned, dy, g);
            }
        });
        if (!summed) return;
        parallel_ranges(rows, columns * split.parts, [&](int64_t begin, int64_t end) {
            float* const total = is_half(w) ? sums + split.parts * size : static_cast<float*>(args.out[0]);
            for (int64_t i = begin; i < end; ++i)
                for (int64_t j = 0; j < columns; ++j) {
                    const float* from = sums + (split.turned ? j * rows + i : i * columns + j);
                    float sum = *from;
                    for (int64_t q = 1; q < split.parts; ++q) sum += from[q * size];
                    total[i * columns + j] = sum;
                }
            const int64_t first = begin * columns;
            if (is_half(w)) narrow_from_float(w, total + first, (end - begin) * columns, at(args.out[0], w, first));
        });
    };
}

std::string refuse(const Graph& g, const Node& node) {
    const DType w = input_type(g, node, 1).dtype;
    if (!is_half(input_type(g, node, 0).dtype)) return "for activations in 16 bits";
    if (!is_half(w) && (w != DType::f32 || node.is("conv_filter_grad"))) return concat("the other operand is ", name(w));
    if (node.int_attr("groups") != 1) return "groups";
    return conv_shape(g, node).empty() ? "an empty operand" : "";
}

size_t packs() { return kPackBytes * static_cast<size_t>(max_threads()); }

}  // namespace

namespace own_mixed_conv {
std::string match(const Graph& g, const Node& node) {
    if (node.inputs.size() == 3) {
        if (input_type(g, node, 2).size() != node.types[0].dims.back()) return "the bias is not one value per filter";
        const auto& act = std::get<std::string>(node.attrs.back());
        if (act != "none" && act != "relu") return concat("activation ", act);
    }
    return refuse(g, node);
}
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = conv_shape(g, node);
    const bool fused = node.inputs.size() == 3;
    const Act act = fused ? act_from_name(std::get<std::string>(node.attrs.back())).value() : Act::none;
    return make_kernel("own:mixed_conv",
                       forward(s, input_type(g, node, 0).dtype, input_type(g, node, 1).dtype,
                               fused ? input_type(g, node, 2).dtype : DType::f32, node.types[0].dtype, fused, act),
                       packs() + static_cast<size_t>(s.out_channels) * sizeof(float));
}
}  // namespace own_mixed_conv

namespace own_mixed_conv_input_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = conv_shape(g, node);
    const DType t = input_type(g, node, 0).dtype, w = input_type(g, node, 1).dtype, x = node.types[0].dtype;
    if (all_ones(s.stride)) return make_kernel("own:mixed_conv", input_grad(s, t, w, x), packs());
    if (s.taps() == 1)
        return make_kernel("own:mixed_conv", placed_input_grad(s, t, w, x),
                           packs() + static_cast<size_t>(s.batch * s.out_points()) * sizeof(int64_t));
    const Scattering b = plan_scattering(s);
    return make_kernel("own:mixed_col2im", scattered_input_grad(s, b, t, w, x), b.slot * static_cast<size_t>(max_threads()));
}
}  // namespace own_mixed_conv_input_grad

namespace own_mixed_conv_filter_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = conv_shape(g, node);
    const FilterSplit split(s, max_threads());
    return make_kernel("own:mixed_conv",
                       filter_grad(s, split, input_type(g, node, 0).dtype, input_type(g, node, 1).dtype, node.types[0].dtype),
                       packs() + split.sums(s.taps() * s.in_channels * s.out_channels));
}
}  // namespace own_mixed_conv_filter_grad

}  // namespace fk::cpu
