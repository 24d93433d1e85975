// Shape and dtype rules shared by op families. Messages speak to the user: what came, what was expected.
#pragma once

#include "core/errors.h"
#include "ops/op_def.h"

namespace fk::infer {

std::vector<TensorType> same_as_input(const InferCall& c);  // output = type of input 0
std::vector<TensorType> elementwise(const InferCall& c);    // equal dims; dtype by the op's promotion
std::vector<TensorType> reduction(const InferCall& c);      // attrs: axes, keepdims
std::vector<TensorType> like_inputs(const InferCall& c);    // output i = type of input i

void require_float(const InferCall& c, size_t input);
void require_integer(const InferCall& c, size_t input);
void require_rank(const InferCall& c, size_t input, int rank);
void require_type(const InferCall& c, size_t input, const TensorType& expected);
// The bias (input 2), the tensor that is added (input 3, where there is one) and the activation (the last attribute) of
// matmul_bias_act, conv_bias_act and the like.
void require_epilogue(const InferCall& c, const TensorType& result);

}  // namespace fk::infer
