// Convolutions with a 1x1 filter and their gradients are matrix products over all positions: the own kernel takes them as they
// lie in memory.
#include "cpu/conv_shape.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/matmul_shape.h"
#include "cpu/own_common.h"

namespace fk::cpu::own_pointwise {

std::string match(const Graph& g, const Node& node) {
    const auto is_float32 = [](const TensorType& t) { return t.dtype == DType::f32; };
    bool all = current_isa() >= Isa::avx512 && is_float32(node.types[0]);
    for (size_t i = 0; i < node.inputs.size(); ++i) all = all && is_float32(input_type(g, node, i));
    if (!all) return "for float32 with AVX-512 only";
    const ConvShape s = conv_shape(g, node);
    const Dims3 ones{1, 1, 1}, none{0, 0, 0};
    if (s.empty()) return "an empty operand";
    if (s.kernel != ones || s.stride != ones || s.low != none || s.high != none) return "not a 1x1 filter on every position";
    if (s.groups != 1) return "groups";
    return refuse_ending(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = conv_shape(g, node);
    const int64_t positions = s.batch * s.in_points();
    MatmulShape m;
    if (node.is("conv_input_grad"))  // dy w^T
        m = {.m = positions, .n = s.in_channels, .k = s.out_channels, .transpose_b = true};
    else if (node.is("conv_filter_grad"))  // x^T dy
        m = {.m = s.in_channels, .n = s.out_channels, .k = positions, .transpose_a = true};
    else
        m = {.m = positions, .n = s.out_channels, .k = s.in_channels};
    return make_product(g, node, m, act_of(node), "own:pointwise");
}

}  // namespace fk::cpu::own_pointwise
