// Convolutions by 3x3 filters, and their gradients, with 16 instead of 36 multiplications for each 2x2 positions, or 36 instead
// of 144 for each 4x4 (Winograd's F(2x2, 3x3) and F(4x4, 3x3)). Tiles are transformed, multiplied and transformed back a block at
// a time in the cache: only the operands and the result are in memory, and the transformed filter where it is steady and used for
// few tiles. Start at `plan`; `cost` says where this pays, and with which tiles.
#include <atomic>
#include <numeric>

#include "cpu/conv_shape.h"
#include "cpu/cpu.h"
#include "cpu/epilogue.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

constexpr int64_t kPanel = kWinogradPanel;
constexpr int64_t kBlockFloats = 216 * 1024;   // of a block's transformed operands, which stay in the L2 cache
constexpr int64_t kFilterFloats = 256 * 1024;  // of a transformed filter beside it;
constexpr int64_t kAloneFloats = 450 * 1024;   // of a block for which a larger one comes from the L3 cache: many tiles share it
constexpr int64_t kSumFloats = 128 * 1024;     // of the gradient of a filter
constexpr int64_t kSumTiles = 64;              // summed up at a time there
// Channels summed at a time: a panel of the filter stays in the L1 cache. A sum of fewer has less of an error, which makes up for
// what the transforms of large tiles add to it.
constexpr int64_t depth_of(int64_t tile) { return tile == 2 ? 128 : 64; }
constexpr int64_t kMostSteadyTiles = 256;  // with more of them transforming the filter is less than a tenth of the work

int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t vectors_of(int64_t channels) { return parts_of(channels, 16) * 16; }

// Points of a block are stored to at once: they lie in different sets of the L1 cache.
int64_t point_stride(int64_t floats) { return parts_of(floats, 1024) * 1024 + 64; }

// Equal parts of n, of at most `size` and whole units.
int64_t even(int64_t n, int64_t size, int64_t unit) {
    const int64_t units = parts_of(n, unit), parts = parts_of(units, std::max<int64_t>(size / unit, 1));
    return parts_of(units, parts) * unit;
}

// The same, but all alike: no thread gets a larger one.
int64_t alike(int64_t n, int64_t size, int64_t unit) {
    const int64_t units = parts_of(n, unit);
    int64_t of_part = std::clamp<int64_t>(size / unit, 1, units);
    while (units % of_part != 0) --of_part;
    return of_part * unit;
}

// How often tiles are divided so that each thread gets as much as the others.
int64_t ranges_of(int64_t chunks, int64_t tiles, int64_t threads) {
    return chunks >= 8 * threads ? 1 : std::min(threads / std::gcd(threads, chunks), tiles);
}

WinogradImages images(const Dims3& size, int64_t channels, const Dims3& tiled, int64_t tile, int64_t top, int64_t left) {
    return {size[1], size[2], channels, tile, parts_of(tiled[1], tile), parts_of(tiled[2], tile), top, left};
}

const WinogradTransforms& transforms_of(int64_t tile) {
    const WinogradKernels& k = own_kernels().winograd;
    return tile == 2 ? k.small : k.large;
}

// A convolution of `from` that gives `to`: the forward one, or an input's gradient, with the filter turned.
struct Convolution {
    WinogradImages from, to;
    Stored x = Stored::f32, w = Stored::f32, y = Stored::f32;
    bool turned = false;
    int64_t tiles = 0, points = 0;    // of a tile
    int64_t columns = 0, chunks = 0;  // output channels are worked on in chunks, each with its part of the filter,
    int64_t ranges = 0;               // and so are ranges of tiles where there are fewer chunks than threads;
    int64_t block = 0, depth = 0;     // tiles and input channels of a block;
    bool keeps_filter = false;        // all input channels of the filter, for the next block of tiles;
    bool steady = false;              // the transformed filter comes instead of the filter, as `transform_ahead` leaves it.
    int64_t filter_point = 0, panel = 0, in_point = 0, out_point = 0;
    int64_t filter_at = 0, in_at = 0, out_at = 0, slot = 0;  // floats of scratch for each thread
};

// The transformed filter, complete: its panels one after the other, each with all points of all input channels.
int64_t panel_floats(const Convolution& c) { return c.points * c.from.channels * kPanel; }
int64_t transformed_floats(const Convolution& c) { return parts_of(c.to.channels, kPanel) * panel_floats(c); }

Convolution plan(const ConvShape& s, bool input_grad, bool steady, int64_t tile, int64_t threads) {
    Convolution c;
    c.points = winograd_points(tile);
    c.turned = input_grad;
    const Dims3& result = input_grad ? s.in : s.out;
    c.from = input_grad ? images(s.out, s.out_channels, result, tile, s.low[1] - 2, s.low[2] - 2)
                        : images(s.in, s.in_channels, result, tile, -s.low[1], -s.low[2]);
    c.to = images(result, input_grad ? s.in_channels : s.out_channels, result, tile, 0, 0);
    c.tiles = s.batch * c.to.tiles_down * c.to.tiles_across;
    const int64_t in = c.from.channels, out = c.to.channels;
    c.depth = even(in, depth_of(tile), 16);
    // Not where panels are so empty that the filter grows to more than twice its size.
    c.steady = steady && c.tiles <= kMostSteadyTiles && transformed_floats(c) <= 2 * 9 * in * out;
    const auto columns = [&](int64_t least) { return alike(out, std::max(kFilterFloats / (c.points * in), least), kPanel); };
    const auto block = [&] {
        const bool fits = c.steady || c.points * in * c.columns <= kFilterFloats;
        return (fits ? kBlockFloats : kAloneFloats) / (c.points * (c.depth + c.columns));
    };
    // A wide chunk spares transforms of the input. A steady filter that is read only once need not stay in the cache.
    c.columns = c.steady ? even(out, parts_of(out, threads), kPanel) : columns(2 * kPanel);
    if (c.steady && c.tiles > block()) c.columns = columns(kPanel);
    c.chunks = parts_of(out, c.columns);
    c.ranges = ranges_of(c.chunks, c.tiles, threads);
    c.block = even(parts_of(c.tiles, c.ranges), block(), 6);
    c.keeps_filter = c.block < parts_of(c.tiles, c.ranges);
    c.panel = c.steady ? panel_floats(c) : (c.keeps_filter ? in : c.depth) * kPanel;
    c.filter_point = c.steady ? in * kPanel : point_stride(parts_of(c.columns, kPanel) * c.panel);
    c.in_point = point_stride(c.block * c.depth);
    c.out_point = point_stride(c.block * c.columns);
    c.in_at = c.steady ? 0 : c.points * c.filter_point;
    c.out_at = c.in_at + c.points * c.in_point;
    c.slot = c.out_at + c.points * c.out_point;
    return c;
}

// Transforms some of the filter's weights as the products read them.
void make_filter(const Convolution& c, const void* w, const WinogradFilterBlock& block, float* to) {
    transforms_of(c.to.tile).filter({w, c.w, c.from.channels, c.to.channels, c.turned}, block, {to, c.filter_point, c.panel});
}

// All of the filter, ahead of the runs.
RunFn transform_ahead(const Convolution& c) {
    return [=](const KernelArgs& args) {
        const void* w = args.in[0];
        auto* to = static_cast<float*>(args.out[0]);
        const int64_t in = c.from.channels, out = c.to.channels, depth = c.depth, parts = parts_of(in, depth);
        parallel_ranges(parts_of(out, kPanel) * parts, c.points * depth * kPanel, [&](int64_t begin, int64_t end) {
            for (int64_t item = begin; item < end; ++item) {
                const int64_t panel = item / parts, i = item % parts * depth, o = panel * kPanel;
                make_filter(c, w, {i, std::min(depth, in - i), o, std::min(kPanel, out - o)}, to + panel * c.panel + i * kPanel);
            }
        });
    };
}

// One block of tiles; `fresh`: the filter for these output channels is not in the slot yet.
void convolve(const Convolution& c, const void* x, const void* w, bool fresh, const float* bias, Act act, WinogradBlock out,
              float* slot, void* y) {
    const WinogradTransforms& transforms = transforms_of(c.to.tile);
    const WinogradRows points{slot + c.in_at, c.in_point, c.depth}, sums{slot + c.out_at, c.out_point, c.columns};
    WinogradBlock in = out;
    for (int64_t first = 0; first < c.from.channels; first += c.depth) {
        in.first_channel = first;
        in.channels = std::min(c.depth, c.from.channels - first);
        const float* filter;
        if (c.steady) {
            filter = static_cast<const float*>(w) + out.first_channel / kPanel * c.panel + first * kPanel;
        } else {
            float* const made = slot + (c.keeps_filter ? first * kPanel : 0);
            if (fresh || !c.keeps_filter) make_filter(c, w, {first, in.channels, out.first_channel, out.channels}, made);
            filter = made;
        }
        transforms.input(x, c.x, c.from, in, points);
        own_kernels().winograd.multiply({.points = c.points,
                                         .a = points.data,
                                         .a_point = points.point,
                                         .a_row = points.row,
                                         .a_col = 1,
                                         .b = filter,
                                         .b_point = c.filter_point,
                                         .b_panel = c.panel,
                                         .c = sums,
                                         .m = in.tiles,
                                         .n = out.channels,
                                         .k = in.channels,
                                         .accumulate = first > 0,
                                         .far = c.steady});
    }
    transforms.output(sums, c.to, out, bias ? bias + out.first_channel : nullptr, act, y, c.y);
}

// A bias in 16 bits is widened behind what the threads use of the scratch memory.
RunFn convolution(const Convolution& c, int threads, bool has_bias, DType bias_type, Act act) {
    return [=](const KernelArgs& args) {
        const void *x = args.in[0], *w = args.in[1];
        void* y = args.out[0];
        const auto* bias = has_bias ? static_cast<const float*>(args.in[2]) : nullptr;
        if (has_bias && is_half(bias_type)) {
            float* const wide = reinterpret_cast<float*>(args.scratch) + threads * c.slot;
            widen_to_float(bias_type, args.in[2], c.to.channels, wide);
            bias = wide;
        }
        const int64_t work = parts_of(c.tiles, c.ranges) * c.from.channels * c.columns;
        parallel_slots(threads, c.chunks * c.ranges, work, [&](int64_t begin, int64_t end, int64_t slot) {
            float* const scratch = reinterpret_cast<float*>(args.scratch) + slot * c.slot;
            for (int64_t item = begin; item < end; ++item) {
                const int64_t chunk = item / c.ranges, range = item % c.ranges;
                const int64_t c0 = chunk * c.columns, c1 = std::min(c0 + c.columns, c.to.channels);
                bool fresh = item == begin || range == 0;
                const Slice tiles = slice_of(c.tiles, static_cast<int>(range), static_cast<int>(c.ranges));
                for (int64_t t = tiles.begin; t < tiles.end; t += c.block, fresh = false)
                    convolve(c, x, w, fresh, bias, act, {t, std::min(c.block, tiles.end - t), c0, c1 - c0}, scratch, y);
            }
        });
    };
}

// The gradient of a filter, from tiles of 2x2 (of 4x4 its error is several times as large), in pieces of its rows (input
// channels) and columns. Where there are fewer pieces than threads, ranges of tiles give results that are added up in their
// order.
constexpr int64_t kGradientTile = 2, kPoints = winograd_points(kGradientTile);
struct FilterGradient {
    WinogradImages x, dy;
    Stored x_type = Stored::f32, dy_type = Stored::f32, dw_type = Stored::f32;
    int64_t tiles = 0, ranges = 0, block = 0;
    int64_t rows = 0, columns = 0, by_rows = 0, by_columns = 0;
    int64_t x_point = 0, dy_point = 0, panel = 0, sum_point = 0;
    int64_t dy_at = 0, sum_at = 0, slot = 0;  // floats of scratch for each thread
    [[nodiscard]] int64_t pieces() const { return by_rows * by_columns; }
    [[nodiscard]] int64_t sum_floats() const { return kPoints * sum_point; }
};

FilterGradient plan_filter(const ConvShape& s, int64_t threads) {
    FilterGradient f;
    f.x = images(s.in, s.in_channels, s.out, kGradientTile, -s.low[1], -s.low[2]);
    f.dy = images(s.out, s.out_channels, s.out, kGradientTile, 0, 0);
    f.tiles = s.batch * f.dy.tiles_down * f.dy.tiles_across;
    f.columns = even(s.out_channels, 2 * kPanel, kPanel);
    f.rows = even(s.in_channels, kSumFloats / (kPoints * f.columns), 16);
    f.by_rows = parts_of(s.in_channels, f.rows);
    f.by_columns = parts_of(s.out_channels, f.columns);
    f.ranges = ranges_of(f.pieces(), f.tiles, threads);
    f.block = even(parts_of(f.tiles, f.ranges), kSumTiles, 1);
    f.panel = f.block * kPanel;
    f.x_point = point_stride(f.block * vectors_of(f.rows));
    f.dy_point = point_stride(parts_of(f.columns, kPanel) * f.panel);
    f.sum_point = point_stride(f.rows * f.columns);
    f.dy_at = kPoints * f.x_point;
    f.sum_at = f.dy_at + kPoints * f.dy_point;
    f.slot = f.sum_at + f.sum_floats();
    return f;
}

FilterGradient plan_filter(const Graph& g, const Node& node) {
    FilterGradient f = plan_filter(conv_shape(g, node), max_threads());
    f.x_type = stored_as(input_type(g, node, 0).dtype);
    f.dy_type = stored_as(input_type(g, node, 1).dtype);
    f.dw_type = stored_as(node.types[0].dtype);
    return f;
}

// Rows [begin, end) of the gradient from the results of a piece's ranges.
void finish_filter(const FilterGradient& f, const WinogradBlock& row, const WinogradBlock& column, const float* sums,
                   int64_t begin, int64_t end, void* dw) {
    const int64_t in = f.x.channels, out = f.dy.channels;
    own_kernels().winograd.filter_gradient({const_cast<float*>(sums), f.sum_point, f.columns}, f.ranges, f.sum_floats(), begin,
                                           end, column.channels, in * out, out, dw, f.dw_type,
                                           row.first_channel * out + column.first_channel);
}

RunFn filter_gradient(const FilterGradient& f, int threads) {
    return [=](const KernelArgs& args) {
        const void *x = args.in[0], *dy = args.in[1];
        void* dw = args.out[0];
        auto* const scratch = reinterpret_cast<float*>(args.scratch);
        float* const partial = scratch + threads * f.slot;
        const WinogradKernels& k = own_kernels().winograd;
        const auto piece_of = [&](int64_t piece, WinogradBlock& row, WinogradBlock& column) {
            row.first_channel = piece / f.by_columns * f.rows;
            row.channels = std::min(f.rows, f.x.channels - row.first_channel);
            column.first_channel = piece % f.by_columns * f.columns;
            column.channels = std::min(f.columns, f.dy.channels - column.first_channel);
        };
        const int64_t work = parts_of(f.tiles, f.ranges) * f.rows * f.columns;
        parallel_slots(threads, f.pieces() * f.ranges, work, [&](int64_t begin, int64_t end, int64_t slot) {
            float* const mine = scratch + slot * f.slot;
            const WinogradRows x_points{mine, f.x_point, vectors_of(f.rows)};
            const WinogradPanels dy_points{mine + f.dy_at, f.dy_point, f.panel};
            for (int64_t item = begin; item < end; ++item) {
                WinogradBlock row{}, column{};
                piece_of(item / f.ranges, row, column);
                const WinogradRows sums{f.ranges == 1 ? mine + f.sum_at : partial + item * f.sum_floats(), f.sum_point,
                                        f.columns};
                const Slice tiles = slice_of(f.tiles, static_cast<int>(item % f.ranges), static_cast<int>(f.ranges));
                for (int64_t t = tiles.begin; t < tiles.end; t += f.block) {
                    row.first_tile = column.first_tile = t;
                    row.tiles = column.tiles = std::min(f.block, tiles.end - t);
                    k.small.input(x, f.x_type, f.x, row, x_points);
                    k.gradient(dy, f.dy_type, f.dy, column, dy_points);
                    k.multiply({.points = kPoints,
                                .a = x_points.data,
                                .a_point = x_points.point,
                                .a_row = 1,
                                .a_col = x_points.row,
                                .b = dy_points.data,
                                .b_point = dy_points.point,
                                .b_panel = dy_points.panel,
                                .c = sums,
                                .m = row.channels,
                                .n = column.channels,
                                .k = row.tiles,
                                .accumulate = t > tiles.begin});
                }
                if (f.ranges == 1) finish_filter(f, row, column, sums.data, 0, row.channels, dw);
            }
        });
        if (f.ranges == 1) return;
        parallel_ranges(f.pieces() * f.rows, f.ranges * kPoints * f.columns, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end;) {
                const int64_t piece = i / f.rows, first = i % f.rows, last = std::min(f.rows, first + end - i);
                WinogradBlock row{}, column{};
                piece_of(piece, row, column);
                finish_filter(f, row, column, partial + piece * f.ranges * f.sum_floats(), first, std::min(last, row.channels),
                              dw);
                i += last - first;
            }
        });
    };
}

// Costs are in multiply-adds of a direct convolution, as measured (benchmarks/cpp has the shapes). A tile costs something by
// itself and for each channel each time it is transformed; a weight is transformed, while direct convolutions copy it. One that
// has been transformed ahead comes from memory while others are multiplied.
struct Costs {
    double product, tile, channel, weight, turned_weight;
};
constexpr Costs kSmall{1.2, 9000, 90, 360, 520}, kLarge{1.4, 24000, 290, 570, 860};
constexpr double kFetchCost = 400, kCopyCost = 150;
constexpr double kDirectGradient = 1.1;  // of a filter: takes longer for each multiply-add

double products(const Costs& costs, int64_t tiles, int64_t points, int64_t in, int64_t out) {
    return costs.product * static_cast<double>(tiles * points * in * vectors_of(out));
}
double transforms(const Costs& costs, int64_t tiles, int64_t channels) {
    return static_cast<double>(tiles) * (costs.tile + costs.channel * static_cast<double>(channels));
}
double cost(const Convolution& c) {
    const Costs& costs = c.to.tile == 2 ? kSmall : kLarge;
    const int64_t in = c.from.channels, out = c.to.channels;
    const auto weights = static_cast<double>(in * out * c.ranges);
    const double multiplied = products(costs, c.tiles, c.points, in, out);
    return transforms(costs, c.tiles, vectors_of(in) * c.chunks + vectors_of(out)) +
           (c.steady ? std::max(multiplied, kFetchCost * weights)
                     : multiplied + (c.turned ? costs.turned_weight : costs.weight) * weights);
}
double cost(const FilterGradient& f) {
    const int64_t in = f.x.channels, out = f.dy.channels;
    return transforms(kSmall, f.tiles, vectors_of(in) * f.by_columns + vectors_of(out) * f.by_rows) +
           products(kSmall, f.tiles, kPoints, in, out) + kSmall.weight * static_cast<double>(in * out * f.ranges);
}
double direct_cost(const ConvShape& s, bool filter_grad) {
    return static_cast<double>(s.multiply_adds()) * (filter_grad ? kDirectGradient : 1) +
           kCopyCost * static_cast<double>(s.in_channels * s.out_channels);
}

enum class Use : uint8_t { where_quicker, never, always, small, large };  // small and large tiles: always, and of that size
constexpr std::pair<std::string_view, Use> kUses[] = {
    {"", Use::where_quicker}, {"never", Use::never}, {"always", Use::always}, {"2", Use::small}, {"4", Use::large}};
std::atomic<Use> use{Use::where_quicker};

Convolution plan(const Graph& g, const Node& node) {
    const TensorType& filter = input_type(g, node, 1);
    // In 16 bits the filter is far smaller than what it is transformed to.
    const bool steady = g.steady(node.inputs[1]) && filter.dtype == DType::f32;
    const ConvShape s = conv_shape(g, node);
    const auto of = [&](int64_t tile) { return plan(s, node.is("conv_input_grad"), steady, tile, max_threads()); };
    const Use wanted = use.load(std::memory_order_relaxed);
    Convolution c = of(wanted == Use::large ? 4 : 2);
    if (wanted != Use::small && wanted != Use::large)
        if (const Convolution large = of(4); cost(large) < cost(c)) c = large;
    c.x = stored_as(input_type(g, node, 0).dtype);
    c.w = stored_as(filter.dtype);
    c.y = stored_as(node.types[0].dtype);
    return c;
}

std::string refuse(const Graph& g, const Node& node) {
    const Use wanted = use.load(std::memory_order_relaxed);
    if (wanted == Use::never) return "switched off";
    const auto taken = [](const TensorType& t) { return t.dtype == DType::f32 || is_half(t.dtype); };
    bool all = current_isa() >= Isa::avx512 && taken(node.types[0]);
    for (size_t i = 0; i < node.inputs.size(); ++i) all = all && taken(input_type(g, node, i));
    if (!all) return "for float32 and 16 bits with AVX-512 only";
    if (const DType t = input_type(g, node, 0).dtype; is_half(t) && native_products(t))
        return concat("the CPU multiplies ", name(t), " itself");
    const ConvShape s = conv_shape(g, node);
    const Dims3 ones{1, 1, 1}, three{1, 3, 3};
    if (s.empty()) return "an empty operand";
    if (s.rank != 2 || s.kernel != three || s.stride != ones || s.dilation != ones) return "not a 3x3 filter on every position";
    if (s.groups != 1) return "groups";
    if (node.is("conv_bias_act")) {
        const auto act = act_from_name(std::get<std::string>(node.attrs[5]));
        const bool simple = act == Act::none || act == Act::relu;
        if (!act || (is_half(node.types[0].dtype) && !simple)) return concat("activation ", std::get<std::string>(node.attrs[5]));
        if (input_type(g, node, 2).size() != s.out_channels) return "the bias is not one row";
    }
    const bool filter_grad = node.is("conv_filter_grad");
    const double cost_of = filter_grad ? cost(plan_filter(g, node)) : cost(plan(g, node));
    if (wanted == Use::where_quicker && cost_of >= direct_cost(s, filter_grad))
        return "transforms would cost more than they save";
    return "";
}

}  // namespace

bool set_winograd(std::string_view wanted) {
    for (const auto& [name, meant] : kUses)
        if (name == wanted) {
            use.store(meant, std::memory_order_relaxed);
            return true;
        }
    return false;
}

namespace own_winograd {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const int threads = max_threads();
    const Convolution c = plan(g, node);
    const bool fused = node.is("conv_bias_act");
    const Act act = fused ? act_from_name(std::get<std::string>(node.attrs[5])).value() : Act::none;
    const DType bias = fused ? input_type(g, node, 2).dtype : DType::f32;
    auto kernel = make_kernel(c.to.tile == 2 ? "own:winograd:2x2" : "own:winograd:4x4", convolution(c, threads, fused, bias, act),
                              static_cast<size_t>(c.slot * threads + c.to.channels) * sizeof(float));
    if (c.steady) {
        const auto bytes = static_cast<size_t>(transformed_floats(c)) * sizeof(float);
        kernel->prepared.push_back({1, bytes, make_kernel("own:winograd_filter", transform_ahead(c))});
    }
    return kernel;
}
}  // namespace own_winograd

namespace own_winograd_filter_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const int threads = max_threads();
    const FilterGradient f = plan_filter(g, node);
    const int64_t partials = f.ranges == 1 ? 0 : f.pieces() * f.ranges * f.sum_floats();
    return make_kernel("own:winograd:2x2", filter_gradient(f, threads),
                       static_cast<size_t>(f.slot * threads + partials) * sizeof(float));
}
}  // namespace own_winograd_filter_grad

}  // namespace fk::cpu
