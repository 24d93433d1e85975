// Dimensions of a tensor and the arithmetic on them that every floor of the engine shares.
#pragma once

#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "core/inline_vector.h"

namespace fk {

using Dims = InlineVector<int64_t, 6>;

struct TensorType {
    DType dtype = DType::f32;
    Dims dims;
    [[nodiscard]] int64_t size() const {
        int64_t n = 1;
        for (int64_t d : dims) n *= d;
        return n;
    }
    [[nodiscard]] size_t bytes() const { return static_cast<size_t>(size()) * size_of(dtype); }
    [[nodiscard]] int rank() const { return static_cast<int>(dims.size()); }
    bool operator==(const TensorType&) const = default;
};

[[nodiscard]] int64_t product(const Dims& dims);
[[nodiscard]] Dims row_major_strides(const Dims& dims);
[[nodiscard]] std::string to_string(const Dims& dims);        // "(2, 3)"
[[nodiscard]] std::string to_string(const TensorType& type);  // "float32[2,3]"

// NumPy broadcasting; throws UserError naming both shapes when they do not fit.
[[nodiscard]] Dims broadcast_dims(const Dims& a, const Dims& b);

// -rank <= axis < rank, returned as 0 <= axis < rank; throws UserError otherwise.
[[nodiscard]] int normalize_axis(int64_t axis, int rank);

}  // namespace fk
