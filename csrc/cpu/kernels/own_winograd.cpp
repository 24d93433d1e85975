// Winograd's convolutions, F(2x2, 3x3): transforms of tiles and filters, vectors of channels at a time, and the products between
// them. With X a 4x4 tile and g the filter, Y = A^T [(G g G^T) * (B^T X B)] A, where * multiplies point by point and sums over
// channels; the filter's gradient is G^T [(B^T X B) * (A dY A^T)] G. Operands in 16 bits are widened as they are read, results in
// 16 bits rounded once.
#include "cpu/kernels/winograd.h"

#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/half_simd.h"
#include "cpu/kernels/simd.h"
#include "cpu/kernels/transpose.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr int64_t kLane = kLanes;
template <class T>
alignas(64) constexpr T kZeros[kWinogradChannels] = {};

// The transforms along one dimension: neighbours lie `s` elements apart in `d`, `t` in `out`.
struct InputPoints {
    [[gnu::always_inline]] void operator()(const vf* d, int s, vf* out, int t) const {
        out[0] = d[0] - d[2 * s];
        out[t] = d[s] + d[2 * s];
        out[2 * t] = d[2 * s] - d[s];
        out[3 * t] = d[s] - d[3 * s];
    }
};
struct GradientPoints {
    [[gnu::always_inline]] void operator()(const vf* d, int s, vf* out, int t) const {
        out[0] = d[0];
        out[t] = d[0] + d[s];
        out[2 * t] = d[0] - d[s];
        out[3 * t] = -d[s];
    }
};
struct FilterPoints {
    [[gnu::always_inline]] void operator()(const vf* d, int s, vf* out, int t) const {
        const vf outer = 0.5f * (d[0] + d[2 * s]), inner = 0.5f * d[s];
        out[0] = d[0];
        out[t] = outer + inner;
        out[2 * t] = outer - inner;
        out[3 * t] = d[2 * s];
    }
};
struct OutputValues {
    [[gnu::always_inline]] void operator()(const vf* d, int s, vf* out, int t) const {
        out[0] = d[0] + (d[s] + d[2 * s]);
        out[t] = (d[s] - d[2 * s]) - d[3 * s];
    }
};
struct FilterValues {
    [[gnu::always_inline]] void operator()(const vf* d, int s, vf* out, int t) const {
        const vf sum = 0.5f * (d[s] + d[2 * s]);
        out[0] = d[0] + sum;
        out[t] = 0.5f * (d[s] - d[2 * s]);
        out[2 * t] = sum + d[3 * s];
    }
};

// From IN x IN values to OUT x OUT, along one dimension and then along the other.
template <int IN, int OUT, class Along>
[[gnu::always_inline]] inline void transform(const vf* in, vf* out) {
    constexpr Along along;
    vf half[OUT * IN];
#pragma GCC unroll 4
    for (int j = 0; j < IN; ++j) along(in + j, IN, half + j, IN);
#pragma GCC unroll 4
    for (int i = 0; i < OUT; ++i) along(half + i * IN, 1, out + i * OUT, 1);
}

// Calls f(index, image, row, column of the first pixel) for each tile of a block.
template <class F>
[[gnu::always_inline]] inline void for_tiles(WinogradImages g, WinogradBlock b, F f) {
    int64_t j = b.first_tile % g.tiles_across, i = b.first_tile / g.tiles_across % g.tiles_down,
            n = b.first_tile / (g.tiles_across * g.tiles_down);
    for (int64_t t = 0; t < b.tiles; ++t) {
        f(t, n, 2 * i + g.top, 2 * j + g.left);
        if (++j < g.tiles_across) continue;
        j = 0;
        if (++i < g.tiles_down) continue;
        i = 0, ++n;
    }
}

// Asks for the line that the next but few vectors will be stored to.
constexpr int64_t kAhead = 4 * 16;
[[gnu::always_inline]] inline void store_ahead(float* p, vf v) {
    store(p, v);
    __builtin_prefetch(p + kAhead, 1);
}
[[gnu::always_inline]] inline void store_points(float* at, int64_t point, const vf* points) {
#pragma GCC unroll 16
    for (int p = 0; p < kWinogradPoints; ++p, at += point) store_ahead(at, points[p]);
}
[[gnu::always_inline]] inline void load_points(const float* at, int64_t point, vf* points) {
#pragma GCC unroll 16
    for (int p = 0; p < kWinogradPoints; ++p, at += point) points[p] = load<vf>(at);
}

// The pixels of a tile of SIZE x SIZE: within the image a step apart, at its edges each by itself.
template <class T>
struct Inside {
    const T* first;
    int64_t down, across;
    [[gnu::always_inline]] const T* operator()(int i, int j) const { return first + i * down + j * across; }
};
template <int SIZE, class T>
struct AtEdge {
    const T* pixel[SIZE * SIZE];
    [[gnu::always_inline]] const T* operator()(int i, int j) const { return pixel[i * SIZE + j]; }
};

template <int SIZE, class Along, class Pixels, class Put>
[[gnu::always_inline]] inline void transform_tile(const Pixels pixels, int64_t channels, Put put) {
    const int64_t whole = channels / kLane * kLane;
    vf in[SIZE * SIZE], out[kWinogradPoints];
    for (int64_t c = 0; c < whole; c += kLane) {
#pragma GCC unroll 4
        for (int i = 0; i < SIZE; ++i)
#pragma GCC unroll 4
            for (int j = 0; j < SIZE; ++j) in[i * SIZE + j] = load_wide(pixels(i, j) + c);
        transform<SIZE, 4, Along>(in, out);
        put(c, out);
    }
    if (whole == channels) return;
    for (int i = 0; i < SIZE; ++i)
        for (int j = 0; j < SIZE; ++j) in[i * SIZE + j] = load_part(pixels(i, j) + whole, channels - whole);
    transform<SIZE, 4, Along>(in, out);
    put(whole, out);
}

// Hands the transformed vectors of tiles of SIZE x SIZE pixels to put(tile, channel, vectors).
template <int SIZE, class Along, class T, class Put>
[[gnu::always_inline]] inline void transform_tiles(const T* x, WinogradImages g, WinogradBlock b, Put put) {
    for_tiles(g, b, [=](int64_t t, int64_t n, int64_t row, int64_t column) {
        const auto put_vector = [=](int64_t c, const vf* points) __attribute__((always_inline)) { put(t, c, points); };
        const T* first = x + ((n * g.height + row) * g.width + column) * g.channels + b.first_channel;
        if (row >= 0 && row + SIZE <= g.height && column >= 0 && column + SIZE <= g.width) {
            transform_tile<SIZE, Along>(Inside<T>{first, g.width * g.channels, g.channels}, b.channels, put_vector);
            return;
        }
        AtEdge<SIZE, T> edge;
        for (int i = 0; i < SIZE; ++i)
            for (int j = 0; j < SIZE; ++j) {
                const int64_t h = row + i, w = column + j;
                const bool inside = h >= 0 && h < g.height && w >= 0 && w < g.width;
                edge.pixel[i * SIZE + j] = inside ? first + (i * g.width + j) * g.channels : kZeros<T>;
            }
        transform_tile<SIZE, Along>(edge, b.channels, put_vector);
    });
}

// What the loops use is in variables of their own: stores could change what a reference refers to.
void transform_input(const void* x, Stored type, const WinogradImages& images, const WinogradBlock& block,
                     const WinogradRows& to) {
    with_type(type, x, [&](auto* values) {
        transform_tiles<4, InputPoints>(values, images, block, [to = to](int64_t t, int64_t c, const vf* points) {
            store_points(to.data + t * to.row + c, to.point, points);
        });
    });
}

void transform_gradient(const void* dy, Stored type, const WinogradImages& images, const WinogradBlock& block,
                        const WinogradPanels& to) {
    with_type(type, dy, [&](auto* values) {
        transform_tiles<2, GradientPoints>(values, images, block, [to = to](int64_t t, int64_t c, const vf* points) {
            store_points(to.data + c / kWinogradPanel * to.panel + t * kWinogradPanel + c % kWinogradPanel, to.point, points);
        });
    });
}

// The points of filter values for a vector of outputs, whose taps lie `tap` floats apart.
[[gnu::always_inline]] inline void put_filter(const vf* taps, float* at, int64_t point) {
    vf out[kWinogradPoints];
    transform<3, 4, FilterPoints>(taps, out);
    store_points(at, point, out);
}

// The rows of the filter after next are on their way meanwhile: its taps are streams too many for the processor to foresee.
template <class T>
void transform_plain_filter(const T* w, const WinogradFilter& f, const WinogradFilterBlock& b, const WinogradPanels& to) {
    const int64_t tap = f.in * f.out;
    for (int64_t first = 0; first < b.outputs; first += kWinogradPanel) {
        const int64_t columns = b.outputs - first < kWinogradPanel ? b.outputs - first : kWinogradPanel;
        const T* row = w + b.first_input * f.out + b.first_output + first;
        float* at = to.data + first / kWinogradPanel * to.panel;
        for (int64_t k = 0; k < b.inputs; ++k, row += f.out, at += kWinogradPanel)
            for (int64_t c = 0; c < columns; c += kLane) {
                vf taps[9];
#pragma GCC unroll 9
                for (int i = 0; i < 9; ++i) {
                    const T* from = row + i * tap + c;
                    __builtin_prefetch(from + 2 * f.out);
                    taps[i] = c + kLane <= columns ? load_wide(from) : load_part(from, columns - c);
                }
                put_filter(taps, at + c, to.point);
            }
    }
}

// Outputs are the rows of the filter here: a block of it is transposed on the way.
template <class T>
void transform_turned_filter(const T* w, const WinogradFilter& f, const WinogradFilterBlock& b, const WinogradPanels& to) {
    constexpr int64_t size = 16;
    const int64_t tap = f.in * f.out;
    for (int64_t first = 0; first < b.outputs; first += size) {
        const int64_t columns = b.outputs - first < size ? b.outputs - first : size;
        float* const panel = to.data + first / kWinogradPanel * to.panel + first % kWinogradPanel;
        for (int64_t k0 = 0; k0 < b.inputs; k0 += size) {
            const int64_t depth = b.inputs - k0 < size ? b.inputs - k0 : size;
            alignas(64) float block[9][size * size];
            for (int64_t i = 0; i < 9; ++i) {
                const T* from = w + (8 - i) * tap + (b.first_output + first) * f.in + b.first_input + k0;
                if (columns == size && depth == size) {
                    transpose_16(from, f.in, block[i], size);
                    continue;
                }
                for (int64_t k = 0; k < depth; ++k)
                    for (int64_t c = 0; c < size; ++c)
                        block[i][k * size + c] = c < columns ? fk::cpu::widen(from[c * f.in + k]) : 0.0f;
            }
            for (int64_t k = 0; k < depth; ++k)
                for (int64_t c = 0; c < size; c += kLane) {
                    vf taps[9];
#pragma GCC unroll 9
                    for (int i = 0; i < 9; ++i) taps[i] = load<vf>(&block[i][k * size + c]);
                    put_filter(taps, panel + (k0 + k) * kWinogradPanel + c, to.point);
                }
        }
    }
}

void transform_filter(const WinogradFilter& filter, const WinogradFilterBlock& block, const WinogradPanels& to) {
    with_type(filter.type, filter.data, [&](auto* w) {
        filter.turned ? transform_turned_filter(w, filter, block, to) : transform_plain_filter(w, filter, block, to);
    });
}

// Tiles of few rows by a whole panel, if there are registers for that many sums.
constexpr int kPanelVectors = static_cast<int>(kWinogradPanel / kLanes);
constexpr int kWide = kPanelVectors <= 4 ? kPanelVectors : 2, kTall = kWide == 4 ? 6 : 4;

template <int NV>
TileFn<float> tile_of_rows(int64_t rows) {
    switch (rows) {
        case 1:
            return multiply_tile<float, 1, NV>;
        case 2:
            return multiply_tile<float, 2, NV>;
        case 3:
            return multiply_tile<float, 3, NV>;
        case 4:
            return multiply_tile<float, 4, NV>;
        case 5:
            return multiply_tile < float, 5 < kTall ? 5 : kTall, NV > ;
        default:
            return multiply_tile<float, kTall, NV>;
    }
}
TileFn<float> tile_of(int64_t rows, int64_t vectors) {
    switch (vectors) {
        case 1:
            return tile_of_rows<1>(rows);
        case 2:
            return tile_of_rows<2>(rows);
        case 3:
            return tile_of_rows < 3 < kWide ? 3 : kWide > (rows);
        default:
            return tile_of_rows<kWide>(rows);
    }
}

// A filter in memory is fetched into the cache while the point before it is multiplied, two lines of a row with each tile; after
// the last point come the values of k that follow.
void multiply(const WinogradProduct& g) {
    for (int64_t p = 0; p < kWinogradPoints; ++p) {
        const float *b = g.b + p * g.b_point, *next = p + 1 < kWinogradPoints ? b + g.b_point : g.b + g.k * kWinogradPanel;
        for (int64_t n0 = 0; n0 < g.n; n0 += kWide * kLane) {
            const int64_t rest = (g.n - n0 + kLane - 1) / kLane, vectors = rest < kWide ? rest : kWide;
            const int64_t at = n0 / kWinogradPanel * g.b_panel + n0 % kWinogradPanel;
            Tile<float> t{nullptr, g.a_row, g.a_col, b + at, kWinogradPanel, nullptr, g.c.row, g.k, kLanes, g.accumulate};
            const TileFn<float> full = tile_of(kTall, vectors);
            for (int64_t m0 = 0; m0 < g.m; m0 += kTall) {
                const int64_t rows = g.m - m0, fetched = m0 / kTall * 2;
                t.a = g.a + p * g.a_point + m0 * g.a_row;
                t.c = g.c.data + p * g.c.point + m0 * g.c.row + n0;
                for (int i = 0; i < 2; ++i)
                    t.ahead[i] = {g.far && fetched < kWide ? next + at + (fetched + i) * kLane : nullptr, kWinogradPanel};
                (rows >= kTall ? full : tile_of(rows, vectors))(t);
            }
        }
    }
}

// Floats get bias and activation in memory, while they are in the cache; what is rounded gets them before, and knows only ReLU.
template <class T>
void write_output(const WinogradRows& from, const WinogradImages& g, const WinogradBlock& b, const float* bias, Act act, T* y) {
    constexpr bool is_wide = std::is_same_v<T, float>;
    const bool ends = is_wide && (bias != nullptr || act != Act::none);
    for_tiles(g, b, [=, from = from, g = g, b = b](int64_t t, int64_t n, int64_t row, int64_t column) {
        const int64_t line = g.width * g.channels;
        T* const to = y + ((n * g.height + row) * g.width + column) * g.channels + b.first_channel;
        const int64_t down = g.height - row < 2 ? 1 : 2, across = g.width - column < 2 ? 1 : 2;
        for (int64_t c = 0; c < b.channels; c += kLane) {
            const float* at = from.data + t * from.row + c;
            const int64_t left = b.channels - c;
            vf points[kWinogradPoints], out[4];
            load_points(at, from.point, points);
            transform<4, 2, OutputValues>(points, out);
            if constexpr (!is_wide) {
                const vf added = bias == nullptr ? vf{} : left < kLane ? load_part(bias + c, left) : load<vf>(bias + c);
                for (vf& v : out) {
                    v += added;
                    if (act == Act::relu) v = select(v < 0.0f, vf{}, v);
                }
            }
            if (down == 2 && across == 2 && left >= kLane) {
                store_narrow(to + c, out[0]);
                store_narrow(to + g.channels + c, out[1]);
                store_narrow(to + line + c, out[2]);
                store_narrow(to + line + g.channels + c, out[3]);
                continue;
            }
            for (int64_t i = 0; i < down; ++i)
                for (int64_t j = 0; j < across; ++j)
                    store_part(to + i * line + j * g.channels + c, out[i * 2 + j], left < kLane ? left : kLane);
        }
        if constexpr (is_wide)
            if (ends)
                for (int64_t i = 0; i < down; ++i) epilogue(to + i * line, across, b.channels, g.channels, bias, act);
    });
}
void transform_output(const WinogradRows& from, const WinogradImages& images, const WinogradBlock& block, const float* bias,
                      Act act, void* y, Stored type) {
    with_type(type, y, [&](auto* values) { write_output(from, images, block, bias, act, values); });
}

template <class T>
void write_filter_gradient(const WinogradRows& from, int64_t parts, int64_t part, int64_t begin, int64_t end, int64_t columns,
                           int64_t tap, int64_t row, T* dw) {
    for (int64_t r = begin; r < end; ++r)
        for (int64_t c = 0; c < columns; c += kLane) {
            const float* at = from.data + r * from.row + c;
            vf points[kWinogradPoints], out[9];
#pragma GCC unroll 16
            for (int p = 0; p < kWinogradPoints; ++p) {
                points[p] = load<vf>(at + p * from.point);
                for (int64_t i = 1; i < parts; ++i) points[p] += load<vf>(at + p * from.point + i * part);
            }
            transform<4, 3, FilterValues>(points, out);
            T* to = dw + r * row + c;
            const int64_t left = columns - c;
#pragma GCC unroll 9
            for (int i = 0; i < 9; ++i) __builtin_prefetch(to + i * tap + row, 1);  // for the next row
#pragma GCC unroll 9
            for (int i = 0; i < 9; ++i)
                if (left >= kLane)
                    store_narrow(to + i * tap, out[i]);
                else
                    store_part(to + i * tap, out[i], left);
        }
}
void filter_gradient(const WinogradRows& from, int64_t parts, int64_t part, int64_t begin, int64_t end, int64_t columns,
                     int64_t tap, int64_t row, void* dw, Stored type, int64_t first) {
    with_type(type, dw,
              [&](auto* values) { write_filter_gradient(from, parts, part, begin, end, columns, tap, row, values + first); });
}

}  // namespace

void fill_winograd(OwnKernels& table) {
    table.winograd = {transform_input, transform_gradient, transform_filter, multiply, transform_output, filter_gradient};
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
