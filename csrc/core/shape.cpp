// Shape arithmetic behind shape.h.
#include "core/shape.h"

#include <algorithm>

#include "core/errors.h"

namespace fk {

int64_t product(const Dims& dims) {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    return n;
}

Dims row_major_strides(const Dims& dims) {
    Dims strides(dims.size());
    int64_t step = 1;
    for (size_t i = dims.size(); i-- > 0;) {
        strides[i] = step;
        step *= dims[i];
    }
    return strides;
}

std::string to_string(const Dims& dims) {
    std::string out = "(";
    for (size_t i = 0; i < dims.size(); ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
    return out + (dims.size() == 1 ? ",)" : ")");
}

std::string to_string(const TensorType& type) {
    std::string out(name(type.dtype));
    out += '[';
    for (size_t i = 0; i < type.dims.size(); ++i) out += (i ? "," : "") + std::to_string(type.dims[i]);
    return out + ']';
}

Dims broadcast_dims(const Dims& a, const Dims& b) {
    const size_t rank = std::max(a.size(), b.size());
    Dims out(rank);
    for (size_t i = 0; i < rank; ++i) {
        const int64_t x = i < rank - a.size() ? 1 : a[i - (rank - a.size())];
        const int64_t y = i < rank - b.size() ? 1 : b[i - (rank - b.size())];
        if (x != y && x != 1 && y != 1)
            fail<UserError>("shapes ", to_string(a), " and ", to_string(b), " do not broadcast: dimension ", i, " is ", x,
                            " against ", y, "; each pair of dimensions must be equal, or one of them 1");
        out[i] = x == 1 ? y : x;
    }
    return out;
}

int normalize_axis(int64_t axis, int rank) {
    if (axis < -rank || axis >= rank)
        fail<UserError>("axis ", axis, " is outside a tensor of rank ", rank, "; expected ", -rank, " <= axis < ", rank);
    return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace fk
