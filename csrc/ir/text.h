// The text form of a graph: what logs and `graph_text()` show, what golden tests compare, and what a test may be written
// in. One node per line, numbered as in the graph:
//
//   %0 = parameter() : float32[32,784]
//   %1 = parameter() : float32[784,128]
//   %2 = matmul(%0, %1) : float32[32,128]  # dense_1
//   %3 = top_k(%2) {k = 5} : float32[32,5], int32[32,5]
//   %4 = add(%3, %3) : float32[32,5]
//   return %4, %3.1, %2 -> %1
//
// `%3` is the first output of node 3 and `%3.1` its second. Attributes that have their default are left out. `# text` is the
// label of the layer that recorded the node; `-> %1` marks an output that may overwrite that parameter. A fused node is
// followed by the indented loop of its region. The graphs that a control-flow node runs are named before it:
//
//   body @0 {
//       %0 = parameter() : float32[]
//       %1 = exp(%0) : float32[]
//       return %1
//   }
//   %7 = switch(%5, %6) {branches = [@0, @0]} : float32[]
#pragma once

#include <string>
#include <string_view>

#include "ir/graph.h"

namespace fk {

[[nodiscard]] std::string to_text(const Graph& g);

// The inverse: parse_graph(to_text(g)) prints as g does. Types are inferred again and must agree with the text, which may
// leave them out except for parameters; numbers only need to be declared before they are used. Empty lines and lines that
// start with `//` are skipped. UserError names the line of a mistake; a fused node cannot be read back.
[[nodiscard]] Graph parse_graph(std::string_view text);

}  // namespace fk
