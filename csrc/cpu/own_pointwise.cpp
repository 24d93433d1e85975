// Convolutions with a 1x1 filter and their gradients are matrix products over all positions: the own kernel takes them as they
// lie in memory.
#include "cpu/conv_shape.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/matmul_shape.h"
#include "cpu/own_common.h"

namespace fk::cpu::own_pointwise {
namespace {

Act act_of(const Node& node) {
    return node.is("conv_bias_act") ? act_from_name(std::get<std::string>(node.attrs[5])).value_or(Act::none) : Act::none;
}

}  // namespace

std::string match(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).dtype != DType::f32 || current_isa() < Isa::avx512) return "for float32 with AVX-512 only";
    const ConvShape s = conv_shape(g, node);
    const Dims3 ones{1, 1, 1}, none{0, 0, 0};
    if (s.empty()) return "an empty operand";
    if (s.kernel != ones || s.stride != ones || s.low != none || s.high != none) return "not a 1x1 filter on every position";
    if (s.groups != 1) return "groups";
    if (node.is("conv_bias_act")) {
        if (!act_from_name(std::get<std::string>(node.attrs[5])))
            return concat("activation ", std::get<std::string>(node.attrs[5]));
        if (input_type(g, node, 2).size() != s.out_channels) return "the bias is not one row";
    }
    return "";
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
