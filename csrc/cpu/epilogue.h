// The activations that matmul_bias_act and conv_bias_act may carry, named as the unary ops of the registry.
#pragma once

#include <optional>
#include <string_view>

#include "cpu/kernels/own_types.h"

namespace fk::cpu {

[[nodiscard]] std::optional<Act> act_from_name(std::string_view name);

}  // namespace fk::cpu
