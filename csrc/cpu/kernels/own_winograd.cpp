// Winograd's convolutions, F(2x2, 3x3) and F(4x4, 3x3): transforms of tiles and filters, vectors of channels at a time, and the
// products between them. With X what a tile sees and g the filter, Y = A^T [(G g G^T) * (B^T X B)] A, where * multiplies point by
// point and sums over channels; the filter's gradient is G^T [(B^T X B) * (A dY A^T)] G, where * sums over tiles. Operands in 16
// bits are widened as they are read, results in 16 bits rounded once.
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

// The transforms along one dimension, for tiles of two and of four positions.
template <int TILE>
struct InputPoints;
template <int TILE>
struct FilterPoints;
template <int TILE>
struct OutputValues;
template <int TILE>
struct GradientPoints;  // of a result's gradient: transposed OutputValues
template <int TILE>
struct FilterValues;  // of a filter's gradient: transposed FilterPoints

// Polynomials are taken at 0, 1, -1 and infinity.
template <>
struct InputPoints<2> {
    static constexpr int from = 4, to = 4;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        out[0] = d[0] - d[2];
        out[1] = d[1] + d[2];
        out[2] = d[2] - d[1];
        out[3] = d[1] - d[3];
    }
};
template <>
struct FilterPoints<2> {
    static constexpr int from = 3, to = 4;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        const vf outer = 0.5f * (d[0] + d[2]), inner = 0.5f * d[1];
        out[0] = d[0];
        out[1] = outer + inner;
        out[2] = outer - inner;
        out[3] = d[2];
    }
};
template <>
struct OutputValues<2> {
    static constexpr int from = 4, to = 2;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        out[0] = d[0] + (d[1] + d[2]);
        out[1] = (d[1] - d[2]) - d[3];
    }
};
template <>
struct GradientPoints<2> {
    static constexpr int from = 2, to = 4;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        out[0] = d[0];
        out[1] = d[0] + d[1];
        out[2] = d[0] - d[1];
        out[3] = -d[1];
    }
};
template <>
struct FilterValues<2> {
    static constexpr int from = 4, to = 3;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        const vf sum = 0.5f * (d[1] + d[2]);
        out[0] = d[0] + sum;
        out[1] = 0.5f * (d[1] - d[2]);
        out[2] = sum + d[3];
    }
};

// At 0, a, -a, b, -b and infinity, with a = 2/3 and b = 3/2: a and b near these values amplify rounding errors least, to less
// than half of what 1 and 2 make of them, and a b = 1 saves products.
constexpr float kA = 2.0f / 3, kA2 = 4.0f / 9, kA3 = 8.0f / 27, kB = 1.5f, kB2 = 2.25f, kB3 = 3.375f;
// Filters are divided by the products of a point's distances to the others: 2 a^2 (a^2 - b^2), and with a and b exchanged.
constexpr float kOfA = -81.0f / 130, kOfB = 8.0f / 65;
template <>
struct InputPoints<4> {
    static constexpr int from = 6, to = 6;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        const vf even_a = d[4] - kB2 * d[2], odd_a = d[3] - kB2 * d[1];
        const vf even_b = d[4] - kA2 * d[2], odd_b = d[3] - kA2 * d[1];
        out[0] = (d[0] + d[4]) - (kA2 + kB2) * d[2];
        out[1] = even_a + kA * odd_a;
        out[2] = even_a - kA * odd_a;
        out[3] = even_b + kB * odd_b;
        out[4] = even_b - kB * odd_b;
        out[5] = (d[1] + d[5]) - (kA2 + kB2) * d[3];
    }
};
template <>
struct FilterPoints<4> {
    static constexpr int from = 3, to = 6;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        const vf even_a = kOfA * d[0] + kOfA * kA2 * d[2], odd_a = kOfA * kA * d[1];
        const vf even_b = kOfB * d[0] + kOfB * kB2 * d[2], odd_b = kOfB * kB * d[1];
        out[0] = d[0];
        out[1] = even_a + odd_a;
        out[2] = even_a - odd_a;
        out[3] = even_b + odd_b;
        out[4] = even_b - odd_b;
        out[5] = d[2];
    }
};
template <>
struct OutputValues<4> {
    static constexpr int from = 6, to = 4;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        const vf sum_a = d[1] + d[2], sum_b = d[3] + d[4], difference_a = d[1] - d[2], difference_b = d[3] - d[4];
        out[0] = d[0] + (sum_a + sum_b);
        out[1] = kA * difference_a + kB * difference_b;
        out[2] = kA2 * sum_a + kB2 * sum_b;
        out[3] = d[5] + (kA3 * difference_a + kB3 * difference_b);
    }
};
template <>
struct GradientPoints<4> {
    static constexpr int from = 4, to = 6;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        const vf even_a = d[0] + kA2 * d[2], odd_a = kA * d[1] + kA3 * d[3];
        const vf even_b = d[0] + kB2 * d[2], odd_b = kB * d[1] + kB3 * d[3];
        out[0] = d[0];
        out[1] = even_a + odd_a;
        out[2] = even_a - odd_a;
        out[3] = even_b + odd_b;
        out[4] = even_b - odd_b;
        out[5] = d[3];
    }
};
template <>
struct FilterValues<4> {
    static constexpr int from = 6, to = 3;
    [[gnu::always_inline]] static void along(const vf* d, vf* out) {
        const vf sum_a = kOfA * (d[1] + d[2]), sum_b = kOfB * (d[3] + d[4]);
        out[0] = d[0] + (sum_a + sum_b);
        out[1] = kOfA * kA * (d[1] - d[2]) + kOfB * kB * (d[3] - d[4]);
        out[2] = d[5] + (kA2 * sum_a + kB2 * sum_b);
    }
};

// From the square of vectors that get(row, column) gives to another one, handed to put(row, column, vector): along one dimension,
// then along the other. What lies between stays in registers if it fits; else a line at a time is computed, in loops that leave
// the addresses of lines in registers instead.
template <class T, class Get, class Put>
[[gnu::always_inline]] inline void transform(Get get, Put put) {
    constexpr int from = T::from, to = T::to;
    vf half[to * from];
    const auto column = [&](int j) __attribute__((always_inline)) {
        vf in[from], out[to];
#pragma GCC unroll 6
        for (int i = 0; i < from; ++i) in[i] = get(i, j);
        T::along(in, out);
#pragma GCC unroll 6
        for (int i = 0; i < to; ++i) half[i * from + j] = out[i];
    };
    const auto row = [&](int i) __attribute__((always_inline)) {
        vf out[to];
        T::along(half + i * from, out);
#pragma GCC unroll 6
        for (int j = 0; j < to; ++j) put(i, j, out[j]);
    };
    if constexpr (from * to <= 16) {
#pragma GCC unroll 4
        for (int j = 0; j < from; ++j) column(j);
#pragma GCC unroll 4
        for (int i = 0; i < to; ++i) row(i);
    } else {
#pragma GCC unroll 1
        for (int j = 0; j < from; ++j) column(j);
#pragma GCC unroll 1
        for (int i = 0; i < to; ++i) row(i);
    }
}

// The first pixel of a tile.
struct Position {
    int64_t image, row, column;
};

// Calls f(index, position, position of the tile after it) for each tile of a block.
template <int TILE, class F>
[[gnu::always_inline]] inline void for_tiles(WinogradImages g, WinogradBlock b, F f) {
    int64_t j = b.first_tile % g.tiles_across, i = b.first_tile / g.tiles_across % g.tiles_down,
            n = b.first_tile / (g.tiles_across * g.tiles_down);
    const auto here = [&] { return Position{n, TILE * i + g.top, TILE * j + g.left}; };
    for (int64_t t = 0; t < b.tiles; ++t) {
        const Position at = here();
        if (++j == g.tiles_across) j = 0, ++i;
        if (i == g.tiles_down) i = 0, ++n;
        f(t, at, here());
    }
}

// Asks for the line that the next but few vectors will be stored to.
constexpr int64_t kAhead = 4 * 16;
[[gnu::always_inline]] inline void store_ahead(float* p, vf v) {
    store(p, v);
    __builtin_prefetch(p + kAhead, 1);
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
    const T* const* pixel;
    [[gnu::always_inline]] const T* operator()(int i, int j) const { return pixel[i * SIZE + j]; }
};

// Calls put(channel, row, column, vector) for each point of a tile.
template <class T, class Pixels, class Put>
[[gnu::always_inline]] inline void transform_tile(const Pixels pixels, int64_t channels, Put put) {
    const int64_t whole = channels / kLane * kLane;
    for (int64_t c = 0; c < whole; c += kLane)
        transform<T>([=](int i, int j) { return load_wide(pixels(i, j) + c); }, [=](int i, int j, vf v) { put(c, i, j, v); });
    if (whole == channels) return;
    transform<T>([=](int i, int j) { return load_part(pixels(i, j) + whole, channels - whole); },
                 [=](int i, int j, vf v) { put(whole, i, j, v); });
}

// Hands the transformed vectors of tiles, for results of TILE x TILE, to put(tile, channel, row, column, vector).
template <int TILE, class Transform, class T, class Put>
[[gnu::always_inline]] inline void transform_tiles(const T* x, WinogradImages g, WinogradBlock b, Put put) {
    constexpr int size = Transform::from;
    for_tiles<TILE>(g, b, [=](int64_t t, Position at, Position) {
        const auto [n, row, column] = at;
        const auto put_vector = [=](int64_t c, int i, int j, vf v) __attribute__((always_inline)) { put(t, c, i, j, v); };
        const T* first = x + ((n * g.height + row) * g.width + column) * g.channels + b.first_channel;
        if (row >= 0 && row + size <= g.height && column >= 0 && column + size <= g.width) {
            transform_tile<Transform>(Inside<T>{first, g.width * g.channels, g.channels}, b.channels, put_vector);
            return;
        }
        const T* pixel[size * size];
        for (int i = 0; i < size; ++i)
            for (int j = 0; j < size; ++j) {
                const int64_t h = row + i, w = column + j;
                const bool inside = h >= 0 && h < g.height && w >= 0 && w < g.width;
                pixel[i * size + j] = inside ? first + (i * g.width + j) * g.channels : kZeros<T>;
            }
        transform_tile<Transform>(AtEdge<size, T>{pixel}, b.channels, put_vector);
    });
}

// What the loops use is in variables of their own: stores could change what a reference refers to.
template <int TILE>
void transform_input(const void* x, Stored type, const WinogradImages& images, const WinogradBlock& block,
                     const WinogradRows& to) {
    with_type(type, x, [&](auto* values) {
        transform_tiles<TILE, InputPoints<TILE>>(values, images, block, [to = to](int64_t t, int64_t c, int i, int j, vf v) {
            store_ahead(to.data + t * to.row + c + (i * InputPoints<TILE>::to + j) * to.point, v);
        });
    });
}

template <int TILE>
void transform_gradient(const void* dy, Stored type, const WinogradImages& images, const WinogradBlock& block,
                        const WinogradPanels& to) {
    with_type(type, dy, [&](auto* values) {
        transform_tiles<TILE, GradientPoints<TILE>>(values, images, block, [to = to](int64_t t, int64_t c, int i, int j, vf v) {
            float* const at = to.data + c / kWinogradPanel * to.panel + t * kWinogradPanel + c % kWinogradPanel;
            store_ahead(at + (i * GradientPoints<TILE>::to + j) * to.point, v);
        });
    });
}

// The points of filter values for a vector of outputs.
template <int TILE>
[[gnu::always_inline]] inline void put_filter(const vf* taps, float* at, int64_t point) {
    transform<FilterPoints<TILE>>([=](int i, int j) { return taps[i * 3 + j]; },
                                  [=](int i, int j, vf v) { store_ahead(at + (i * FilterPoints<TILE>::to + j) * point, v); });
}

// The rows of the filter after next are on their way meanwhile: its taps are streams too many for the processor to foresee.
template <int TILE, class T>
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
                put_filter<TILE>(taps, at + c, to.point);
            }
    }
}

// Outputs are the rows of the filter here: a block of it is transposed on the way.
template <int TILE, class T>
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
            // The block after this one is on its way meanwhile: its rows are too many for the processor to foresee.
            const T* next =
                w + (b.first_output + first) * f.in + b.first_input + (k0 + size < b.inputs ? k0 + size : size * f.in);
            for (int64_t k = 0; k < depth; ++k, next += f.in) {
                for (int64_t i = 0; i < 9; ++i) __builtin_prefetch(next + i * tap);
                for (int64_t c = 0; c < size; c += kLane) {
                    vf taps[9];
#pragma GCC unroll 9
                    for (int i = 0; i < 9; ++i) taps[i] = load<vf>(&block[i][k * size + c]);
                    put_filter<TILE>(taps, panel + (k0 + k) * kWinogradPanel + c, to.point);
                }
            }
        }
    }
}

template <int TILE>
void transform_filter(const WinogradFilter& filter, const WinogradFilterBlock& block, const WinogradPanels& to) {
    with_type(filter.type, filter.data, [&](auto* w) {
        filter.turned ? transform_turned_filter<TILE>(w, filter, block, to) : transform_plain_filter<TILE>(w, filter, block, to);
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

// A filter in memory is fetched into the cache while the point before it is multiplied, a part of it with each tile; after the
// last point come the values of k that follow.
void multiply(const WinogradProduct& g) {
    const int64_t tiles = (g.m + kTall - 1) / kTall, share = (g.k * kWinogradPanel / kLane + tiles - 1) / tiles * kLane;
    for (int64_t p = 0; p < g.points; ++p) {
        const float *b = g.b + p * g.b_point, *next = p + 1 < g.points ? b + g.b_point : g.b + g.k * kWinogradPanel;
        for (int64_t n0 = 0; n0 < g.n; n0 += kWide * kLane) {
            const int64_t rest = (g.n - n0 + kLane - 1) / kLane, vectors = rest < kWide ? rest : kWide;
            const int64_t at = n0 / kWinogradPanel * g.b_panel + n0 % kWinogradPanel;
            Tile<float> t{nullptr, g.a_row, g.a_col, b + at, kWinogradPanel, nullptr, g.c.row, g.k, kLanes, nullptr};
            const TileFn<float> full = tile_of(kTall, vectors);
            for (int64_t m0 = 0; m0 < g.m; m0 += kTall) {
                const int64_t rows = g.m - m0;
                t.a = g.a + p * g.a_point + m0 * g.a_row;
                t.c = g.c.data + p * g.c.point + m0 * g.c.row + n0;
                if (g.accumulate) t.add = t.c;
                if (g.far) fetch_during(t, next + at + m0 / kTall * share, share);
                (rows >= kTall ? full : tile_of(rows, vectors))(t);
            }
        }
    }
}

// Floats get bias and activation in memory, while they are in the cache; what is rounded gets them before, and knows only ReLU.
template <int TILE, class T>
void write_output(const WinogradRows& from, const WinogradImages& g, const WinogradBlock& b, const float* bias, Act act, T* y) {
    constexpr bool is_wide = std::is_same_v<T, float>;
    const bool ends = is_wide && (bias != nullptr || act != Act::none);
    for_tiles<TILE>(g, b, [=, from = from, g = g, b = b](int64_t t, Position here, Position after) {
        const int64_t line = g.width * g.channels;
        const auto pixel = [=](Position p) {
            return y + ((p.image * g.height + p.row) * g.width + p.column) * g.channels + b.first_channel;
        };
        T *const to = pixel(here), *const next = pixel(after);
        const auto [n, row, column] = here;
        const int64_t down = g.height - row < TILE ? g.height - row : TILE,
                      across = g.width - column < TILE ? g.width - column : TILE;
        for (int64_t c = 0; c < b.channels; c += kLane) {
            const float* at = from.data + t * from.row + c;
            const int64_t left = b.channels - c;
            const auto point = [=](int i, int j) { return load<vf>(at + (i * (TILE + 2) + j) * from.point); };
            vf added{};
            if constexpr (!is_wide)
                if (bias != nullptr) added = left < kLane ? load_part(bias + c, left) : load<vf>(bias + c);
            const auto finished = [=](vf v) {
                if constexpr (!is_wide) {
                    v += added;
                    if (act == Act::relu) v = select(v < 0.0f, vf{}, v);
                }
                return v;
            };
            // Results lie in memory: their lines are on the way while the tile before is transformed.
            if (down == TILE && across == TILE && left >= kLane) {
                transform<OutputValues<TILE>>(point, [=](int i, int j, vf v) {
                    const int64_t offset = i * line + j * g.channels + c;
                    __builtin_prefetch(next + offset, 1);
                    store_narrow(to + offset, finished(v));
                });
                continue;
            }
            transform<OutputValues<TILE>>(point, [=](int i, int j, vf v) {
                const int64_t offset = i * line + j * g.channels + c;
                __builtin_prefetch(next + offset, 1);
                if (i < down && j < across) store_part(to + offset, finished(v), left < kLane ? left : kLane);
            });
        }
        if constexpr (is_wide)
            if (ends)
                for (int64_t i = 0; i < down; ++i) epilogue(to + i * line, across, b.channels, g.channels, bias, act);
    });
}
template <int TILE>
void transform_output(const WinogradRows& from, const WinogradImages& images, const WinogradBlock& block, const float* bias,
                      Act act, void* y, Stored type) {
    with_type(type, y, [&](auto* values) { write_output<TILE>(from, images, block, bias, act, values); });
}

template <int TILE, class T>
void write_filter_gradient(const WinogradRows& from, int64_t parts, int64_t part, int64_t begin, int64_t end, int64_t columns,
                           int64_t tap, int64_t row, T* dw) {
    for (int64_t r = begin; r < end; ++r)
        for (int64_t c = 0; c < columns; c += kLane) {
            const float* at = from.data + r * from.row + c;
            vf out[9];
            const auto sum = [=](int i, int j) {
                const float* const point = at + (i * (TILE + 2) + j) * from.point;
                vf v = load<vf>(point);
                for (int64_t k = 1; k < parts; ++k) v += load<vf>(point + k * part);
                return v;
            };
            transform<FilterValues<TILE>>(sum, [&](int i, int j, vf v) { out[i * 3 + j] = v; });
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
template <int TILE>
void filter_gradient(const WinogradRows& from, int64_t parts, int64_t part, int64_t begin, int64_t end, int64_t columns,
                     int64_t tap, int64_t row, void* dw, Stored type, int64_t first) {
    with_type(type, dw, [&](auto* values) {
        write_filter_gradient<TILE>(from, parts, part, begin, end, columns, tap, row, values + first);
    });
}

template <int TILE>
constexpr WinogradTransforms kTransforms{transform_input<TILE>, transform_filter<TILE>, transform_output<TILE>,
                                         transform_gradient<TILE>, filter_gradient<TILE>};

}  // namespace

void fill_winograd(OwnKernels& table) {
    table.winograd = {.small = kTransforms<2>, .large = kTransforms<4>, .multiply = multiply};
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
