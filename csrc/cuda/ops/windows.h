// What convolutions and poolings tell their kernels: a `Windows` of kernels/windows.cuh.
#pragma once

#include "cpu/conv_shape.h"
#include "cuda/ops/common.h"

namespace fk::cuda {

// "Windows<i32, 8, 3, ...>".
[[nodiscard]] inline std::string windows_text(const cpu::ConvShape& s) {
    // A block's last tile begins inside and ends less than 2^30 further on.
    const int64_t most = std::max({s.batch * s.in_points() * s.in_channels, s.batch * s.out_points() * s.out_channels,
                                   s.taps() * s.in_per_group() * s.out_channels});
    const std::string_view index = most < (int64_t{1} << 30) ? "i32" : "i64";
    const auto three = [&](const cpu::Dims3& d) { return concat(", Three<", index, ", ", d[0], ", ", d[1], ", ", d[2], ">"); };
    return concat("Windows<", index, ", ", s.batch, ", ", s.in_channels, ", ", s.out_channels, ", ", s.groups, three(s.in),
                  three(s.out), three(s.kernel), three(s.stride), three(s.dilation), three(s.low), ">");
}

// The largest power of 2, up to 16 bytes of this type, that divides so many values.
[[nodiscard]] inline int64_t word_of(int64_t values, DType t) {
    int64_t word = 16 / static_cast<int64_t>(size_of(t));
    while (values % word != 0) word /= 2;
    return word;
}

}  // namespace fk::cuda
