// A convolution or pooling node reduced to sizes, padded with leading 1s to three spatial dimensions.
#pragma once

#include <array>

#include "ir/graph.h"

namespace fk::cpu {

using Dims3 = std::array<int64_t, 3>;

struct ConvShape {
    int rank = 2;  // spatial dimensions the node has
    int64_t batch = 0, in_channels = 0, out_channels = 0, groups = 1;
    Dims3 in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1}, low{0, 0, 0}, high{0, 0, 0};

    [[nodiscard]] int64_t in_per_group() const { return in_channels / groups; }
    [[nodiscard]] int64_t out_per_group() const { return out_channels / groups; }
    [[nodiscard]] int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    [[nodiscard]] int64_t in_points() const { return in[0] * in[1] * in[2]; }
    [[nodiscard]] int64_t out_points() const { return out[0] * out[1] * out[2]; }
    [[nodiscard]] int64_t multiply_adds() const { return batch * out_points() * taps() * in_per_group() * out_channels; }
    [[nodiscard]] bool empty() const { return batch * in_points() * out_points() * taps() * in_channels * out_channels == 0; }
};

// Of conv, conv_bias_act, conv_input_grad or conv_filter_grad.
[[nodiscard]] ConvShape conv_shape(const Graph& graph, const Node& node);
// Of max_pool, avg_pool, their gradients and max_pool_select: `kernel` is the window, channels are equal on both sides.
[[nodiscard]] ConvShape pool_shape(const Graph& graph, const Node& node);

}  // namespace fk::cpu
