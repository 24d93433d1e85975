// What the kernels of Winograd's convolutions take. A tile is 2x2 or 4x4 positions of a convolution's result, which see two more
// each way of its input. Transformed, a tile and a filter are 16 or 36 points each: the convolution of a tile is one product over
// channels for each point. Transformed operands have their points `point` floats apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/kernels/gemm_args.h"
#include "cpu/kernels/own_types.h"

namespace fk::cpu {

inline constexpr int64_t winograd_points(int64_t tile) { return (tile + 2) * (tile + 2); }
inline constexpr int64_t kWinogradPanel = 64;      // columns that a product works on together
inline constexpr int64_t kWinogradChannels = 256;  // of a tile transformed at a time, at most

// Channels-last images, cut into tiles: tile (n, i, j) begins at row i * tile + top, column j * tile + left of image n. What
// lies outside of an image reads as zero and is not written.
struct WinogradImages {
    int64_t height, width, channels, tile, tiles_down, tiles_across, top, left;
};

// Some tiles, and some channels of them.
struct WinogradBlock {
    int64_t first_tile, tiles, first_channel, channels;
};

// Rows of a transformed block: a row per tile, whole vectors of channels. In panels, each kWinogradPanel channels are a matrix
// of their own, `panel` floats after the one before, with rows of kWinogradPanel.
struct WinogradRows {
    float* data;
    int64_t point, row;
};
struct WinogradPanels {
    float* data;
    int64_t point, panel;
};

// A 3x3 filter [3, 3, in, out], or turned by half a circle and [3, 3, out, in] as an input's gradient needs it.
struct WinogradFilter {
    const void* data;
    Stored type;
    int64_t in, out;
    bool turned;
};
// Some of the inputs and outputs of the convolution that the filter is for.
struct WinogradFilterBlock {
    int64_t first_input, inputs, first_output, outputs;
};

// c = a b, or += when `accumulate`, for each of some points: rows of c by whole vectors of columns.
struct WinogradProduct {
    int64_t points;
    const float* a;
    int64_t a_point, a_row, a_col;
    const float* b;  // panels
    int64_t b_point, b_panel;
    WinogradRows c;
    int64_t m, n, k;
    bool accumulate;
    bool far = false;  // b lies in memory, rows of the next values of k behind those for these
};

// For tiles of one size.
struct WinogradTransforms {
    // The points of what tiles see of an input.
    void (*input)(const void* x, Stored type, const WinogradImages& images, const WinogradBlock& block, const WinogradRows& to);
    void (*filter)(const WinogradFilter& filter, const WinogradFilterBlock& block, const WinogradPanels& to);
    // Tiles from the points of products, with the bias of the block's channels (or null) and the activation: for results in 16
    // bits none or ReLU.
    void (*output)(const WinogradRows& from, const WinogradImages& images, const WinogradBlock& block, const float* bias, Act act,
                   void* y, Stored type);
};

struct WinogradKernels {
    WinogradTransforms small, large;  // 2x2 and 4x4
    void (*multiply)(const WinogradProduct& args);
    // For the gradient of a 3x3 filter, in 2x2 tiles: the points of the result's gradient; and rows [begin, end) by `columns`,
    // from its element `first` on, rows `row` elements apart and taps `tap`, from the sum of `parts` results, `part` floats
    // apart.
    void (*gradient)(const void* dy, Stored type, const WinogradImages& images, const WinogradBlock& block,
                     const WinogradPanels& to);
    void (*filter_gradient)(const WinogradRows& from, int64_t parts, int64_t part, int64_t begin, int64_t end, int64_t columns,
                            int64_t tap, int64_t row, void* dw, Stored type, int64_t first);
};

}  // namespace fk::cpu
