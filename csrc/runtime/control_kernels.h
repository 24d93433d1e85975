// Control flow, on any device: kernels of `switch`, `scan` and `while` that run plans of the bodies, compiled for the device that
// is being compiled for. Conditions are read on the host.
#pragma once

#include "runtime/kernel.h"

namespace fk {

[[nodiscard]] std::string any_control(const Graph& graph, const Node& node);  // refuses nothing
[[nodiscard]] std::unique_ptr<Kernel> make_switch(const Graph& graph, const Node& node);
[[nodiscard]] std::unique_ptr<Kernel> make_scan(const Graph& graph, const Node& node);
[[nodiscard]] std::unique_ptr<Kernel> make_while(const Graph& graph, const Node& node);

}  // namespace fk
