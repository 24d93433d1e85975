// Recording control flow. A body is recorded like a trace, in a recorder whose parent is the current one; what it captures
// there (tensors, variables) becomes an operand of the control-flow node, and a variable it assigns becomes a carried value.
#pragma once

#include "runtime/lazy.h"

namespace fk {

struct Body {
    RecorderPtr recorder;            // its inputs were added first, in order
    std::vector<TensorPtr> outputs;  // in `recorder`
};

// What the branch that `index` (int32, clamped) names returns; a variable that a branch does not assign keeps its value there.
[[nodiscard]] std::vector<TensorPtr> record_switch(const TensorPtr& index, const std::vector<Body>& branches,
                                                   const std::vector<TensorPtr>& operands);
// The body takes the carries, then a slice of each of `xs`; it returns the new carries, then what is to be stacked.
[[nodiscard]] std::vector<TensorPtr> record_scan(const Body& body, const std::vector<TensorPtr>& carries,
                                                 const std::vector<TensorPtr>& xs, int64_t length, bool reverse);
// Both take the carries; `limit` < 0: no bound on the number of iterations, and no gradient.
[[nodiscard]] std::vector<TensorPtr> record_while(const Body& condition, const Body& body, const std::vector<TensorPtr>& carries,
                                                  int64_t limit);
// `outputs` again, with a gradient of the caller's: `gradient` takes one seed per output and returns the gradients of `inputs`.
[[nodiscard]] std::vector<TensorPtr> record_custom_gradient(const std::vector<TensorPtr>& outputs,
                                                            const std::vector<TensorPtr>& inputs, const Body& gradient);

}  // namespace fk
