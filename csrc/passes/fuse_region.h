// Building one region: the expression trees of its roots, with the moves between them folded into how operands are read.
// Used by passes/fuse.cpp, which decides what is a root and which roots share a region.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "codegen/region.h"
#include "ir/graph.h"

namespace fk {

// Where a value comes from, seen from inside a region.
enum class Origin : uint8_t {
    external,  // in memory: a parameter, the result of a kernel, or a reshape of one
    inlined,   // recomputed inside each region that uses it
    root       // computed by one region and stored by it
};

struct FusionState {
    const Graph* g = nullptr;
    std::vector<Origin> origin;  // per node
    std::vector<int32_t> group;  // per node: group of a root, -1 otherwise
};

[[nodiscard]] bool is_reduction(const Node& n);
// The iteration space of a root: its own shape, or that of the reduced operand.
[[nodiscard]] const Dims& space_of(const Graph& g, uint32_t root);
// Which dimensions of the space a reduction root reduces; all false for a stored root.
[[nodiscard]] std::vector<bool> reduced_mask(const Graph& g, uint32_t root);
// True when coordinates of the result give coordinates of the operand as linear expressions (dimensions only split).
[[nodiscard]] bool reshape_is_linear(const Dims& from, const Dims& to);

struct BuiltRegion {
    Region region;
    std::vector<Value> inputs;     // values of the original graph, one per RegionInput (in order)
    std::vector<uint32_t> stored;  // roots, in output order
};

// Null when the roots cannot share a region: one is read by another at other coordinates, or masks differ.
[[nodiscard]] std::optional<BuiltRegion> build_region(const FusionState& s, const std::vector<uint32_t>& roots,
                                                      const std::vector<uint8_t>& store);

}  // namespace fk
