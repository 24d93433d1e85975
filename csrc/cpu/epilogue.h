// The activations that matmul_bias_act and conv_bias_act may carry, named as the unary ops of the registry.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fk::cpu {

enum class Act : uint8_t { none, relu, relu6, sigmoid, tanh, silu, gelu, elu };

[[nodiscard]] std::optional<Act> act_from_name(std::string_view name);

// c[r, :] = act(c[r, :] + bias); a null bias adds nothing. Row stride ldc.
template <class T>
void apply_epilogue(T* c, int64_t rows, int64_t n, int64_t ldc, const T* bias, Act act);
extern template void apply_epilogue<float>(float*, int64_t, int64_t, int64_t, const float*, Act);
extern template void apply_epilogue<double>(double*, int64_t, int64_t, int64_t, const double*, Act);

}  // namespace fk::cpu
