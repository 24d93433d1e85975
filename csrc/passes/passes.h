// The passes between a recorded graph and a plan, in pipeline order. Each is a pure function Graph -> Graph, in a file of
// its own; pipeline.cpp is the ordered list and the place to start reading.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "runtime/kernel.h"

namespace fk {

// Algebra, constant folding, removal of moves that move nothing. Runs before and after decompose.
[[nodiscard]] Graph simplify(const Graph& g);
// Drops outputs of control flow that nobody reads, and the carried values that only they need.
[[nodiscard]] Graph prune(const Graph& g);

// Why an implementation that would be preferred does not do the work.
struct Refusal {
    std::string op, impl, why;
    std::string label;           // the layer
    uint32_t node = UINT32_MAX;  // of the lowered graph; none: the op was written in others instead
};
using Refusals = std::vector<Refusal>;

// Drops vectors over the channels that are added in front of a batch normalisation, and their gradients, which are zero.
[[nodiscard]] Graph cancel_shifts(const Graph& g);
// batch normalisation + ReLU or ReLU6 -> one op, and the same for their gradients, where an implementation takes it.
[[nodiscard]] Graph absorb_activations(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// matmul + bias + an activation that has a slope -> one op, which leaves the slope as well where a gradient reads it; a product
// that is multiplied by such a slope -> one op. Where an implementation takes them.
[[nodiscard]] Graph pair_slopes(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// Replaces each composite op that no implementation claims by its body, until none is left.
[[nodiscard]] Graph decompose(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// Updates of tables that only move the rows a batch looks up -> updates of these rows.
[[nodiscard]] Graph update_rows(const Graph& g);
// What multiplies each channel of a matmul or convolution with steady weights -> part of the weights.
[[nodiscard]] Graph fold_scales(const Graph& g);
// matmul/conv + bias + activation -> one op, where an implementation takes it.
[[nodiscard]] Graph absorb_epilogues(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// batch normalisation + ReLU -> part of the 1x1 convolutions that read it, where an implementation takes them all.
[[nodiscard]] Graph absorb_prologues(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// The sum of two readers' gradients and the mask of a ReLU -> part of the gradient of the batch normalisation before it.
[[nodiscard]] Graph absorb_joins(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// What is added to the result of a batch normalisation, and a ReLU behind the sum -> part of the normalisation.
[[nodiscard]] Graph absorb_shortcuts(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// batch normalisation whose result only arithmetic reads -> its moments and arithmetic, for `fuse` to join.
[[nodiscard]] Graph split_norms(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// Makes activations again that a gradient reads long after the forward pass, where that costs less than keeping them.
[[nodiscard]] Graph recompute_far(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// The moments that a batch normalisation needs -> results of the 1x1 convolution before it, where an implementation takes them.
[[nodiscard]] Graph absorb_moments(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// Decides what is stored in 16 bits and what in float32, where a graph names both: casts become part of the kernels beside them.
[[nodiscard]] Graph cast_mixed(const Graph& g, std::span<const Impl> impls);
// Whether cast_mixed may have given the operands and results of a node other floating types than its op asks for.
[[nodiscard]] bool takes_mixed_precision(const Node& n);
// A softmax cross-entropy, its gradient, the gradient's sum over rows and the largest logit's index -> one op, where the gradient
// does not depend on the loss.
[[nodiscard]] Graph join_losses(const Graph& g, std::span<const Impl> impls, Refusals* refusals = nullptr);
// Groups elementwise ops, moves and reductions into `fused` regions.
[[nodiscard]] Graph fuse(const Graph& g, std::span<const Impl> impls);
// The same lowering with each op as a region of its own: what runs when `fuse` is disabled.
[[nodiscard]] Graph lower_unfused(const Graph& g, std::span<const Impl> impls);

struct PassTiming {
    std::string name;
    double microseconds = 0;
    uint32_t nodes = 0;  // after the pass
    int64_t begin = 0;   // profiler::now
};

// Runs every enabled pass; verifies after each when asked (always in debug builds).
[[nodiscard]] Graph run_pipeline(const Graph& g, std::span<const Impl> impls, std::vector<PassTiming>* timings = nullptr,
                                 Refusals* refusals = nullptr);

// Throws InternalError when an invariant of the IR is broken; `after` names the pass.
void verify(const Graph& g, std::string_view after);

}  // namespace fk
