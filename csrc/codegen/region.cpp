// Printing a region and collapsing its dimensions.
#include "codegen/region.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/errors.h"

namespace fk {
namespace {

constexpr std::array<std::string_view, 4> kReduceNames = {"sum", "prod", "max", "min"};

// Which inputs are read point by point: a Philox key is read as a whole, so its strides mean nothing.
std::vector<bool> loaded_inputs(const Region& region) {
    std::vector<bool> loaded(region.inputs.size(), false);
    for (const RegionInstr& instr : region.code)
        if (instr.op == RegionOp::load) loaded[static_cast<size_t>(instr.index)] = true;
    return loaded;
}

}  // namespace

std::string to_string(const Region& region) {
    std::ostringstream out;
    const bool any_reduced = std::ranges::any_of(region.outputs, [](const RegionOutput& o) { return o.reduced; });
    out << "region " << to_string(region.space);
    if (any_reduced) {
        out << " reduced {";
        const char* separator = "";
        for (size_t i = 0; i < region.reduced.size(); ++i)
            if (region.reduced[i]) out << std::exchange(separator, ", ") << i;
        out << '}';
    }
    out << '\n';
    for (size_t i = 0; i < region.inputs.size(); ++i) {
        const RegionInput& in = region.inputs[i];
        out << "  in" << i << ": " << name(in.dtype) << " strides " << to_string(in.strides);
        if (in.offset) out << " offset " << in.offset;
        out << '\n';
    }
    for (size_t i = 0; i < region.code.size(); ++i) {
        const RegionInstr& instr = region.code[i];
        out << "  %" << i << ": " << name(instr.dtype) << " = ";
        switch (instr.op) {
            case RegionOp::load:
                out << "load in" << instr.index;
                break;
            case RegionOp::constant:
                if (is_float(instr.dtype))
                    out << "constant " << instr.imm;
                else
                    out << "constant " << instr.int_imm;
                break;
            case RegionOp::index: {
                const RegionIndex& index = region.indices.at(static_cast<size_t>(instr.index));
                out << "index strides " << to_string(index.strides) << " offset " << index.offset;
                break;
            }
            case RegionOp::philox:
                out << "philox in" << instr.index << " %" << instr.src[0];
                break;
            case RegionOp::prim:
                out << name(instr.prim);
                for (int s = 0; s < arity(instr.prim); ++s) out << (s ? ", %" : " %") << instr.src[s];
                break;
        }
        out << '\n';
    }
    for (size_t i = 0; i < region.outputs.size(); ++i) {
        const RegionOutput& o = region.outputs[i];
        out << "  out" << i << ": " << name(o.dtype) << " = "
            << (o.reduced ? kReduceNames[static_cast<size_t>(o.kind)] : std::string_view("store")) << " %" << o.src << '\n';
    }
    return out.str();
}

Region collapse(Region region) {
    const size_t rank = region.space.size();
    const bool any_reduced = std::ranges::any_of(region.outputs, [](const RegionOutput& o) { return o.reduced; });
    if (!any_reduced) region.reduced.assign(rank, false);
    check_internal(region.reduced.size() == rank, "region: `reduced` has ", region.reduced.size(), " entries for rank ", rank);

    // Every walk over the space that has strides: loaded inputs and indices.
    std::vector<Dims*> walks;
    const std::vector<bool> loaded = loaded_inputs(region);
    for (size_t i = 0; i < region.inputs.size(); ++i) {
        if (loaded[i])
            walks.push_back(&region.inputs[i].strides);
        else
            region.inputs[i].strides.clear();
    }
    for (RegionIndex& index : region.indices) walks.push_back(&index.strides);
    for (const Dims* w : walks)
        check_internal(w->size() == rank, "region: strides ", to_string(*w), " for space ", to_string(region.space));

    Dims space;
    std::vector<bool> reduced;
    std::vector<Dims> strides(walks.size());
    for (size_t d = 0; d < rank; ++d) {
        if (region.space[d] == 1) continue;
        bool merges = !space.empty() && reduced.back() == region.reduced[d];
        for (size_t w = 0; w < walks.size() && merges; ++w) merges = strides[w].back() == (*walks[w])[d] * region.space[d];
        if (merges) {
            space.back() *= region.space[d];
        } else {
            space.push_back(region.space[d]);
            reduced.push_back(region.reduced[d]);
        }
        for (size_t w = 0; w < walks.size(); ++w) {
            if (merges)
                strides[w].back() = (*walks[w])[d];
            else
                strides[w].push_back((*walks[w])[d]);
        }
    }
    for (size_t w = 0; w < walks.size(); ++w) *walks[w] = std::move(strides[w]);
    region.space = std::move(space);
    region.reduced = std::move(reduced);
    return region;
}

}  // namespace fk
