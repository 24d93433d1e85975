// Chooses the loops of a tile program: which dimension runs innermost, over which dimensions tiles run linearly, and what
// that makes of every operand. Candidates are few, so all are built and the cheapest by a small cost model is taken.
#include <algorithm>
#include <functional>
#include <numeric>

#include "codegen/emit_cpu.h"
#include "core/errors.h"

namespace fk::cpu {
namespace {

constexpr int64_t kMaxPeriod = 2048;  // elements of a replicated operand
constexpr int64_t kMaxChunk = 4096;   // accumulators of a column reduction, in L1 and L2

int64_t product_from(const Dims& dims, size_t first, size_t last) {
    return std::accumulate(dims.begin() + static_cast<std::ptrdiff_t>(first), dims.begin() + static_cast<std::ptrdiff_t>(last),
                           int64_t{1}, std::multiplies<>());
}
bool zero_between(const Dims& strides, size_t first, size_t last) {
    return std::all_of(strides.begin() + static_cast<std::ptrdiff_t>(first), strides.begin() + static_cast<std::ptrdiff_t>(last),
                       [](int64_t s) { return s == 0; });
}

enum Part : uint8_t { outer_kept, reduced, inner_kept };

// The region with its dimensions in `order`, parts ascending, and neighbours of one part merged where every walk allows.
TileNest reorder(const Region& region, const std::vector<TileWalk>& walks, const std::vector<size_t>& order,
                 const std::vector<Part>& parts) {
    TileNest nest;
    nest.walks = walks;
    for (TileWalk& w : nest.walks) w.strides.clear();
    std::vector<Part> merged_parts;
    for (const size_t d : order) {
        const int64_t n = region.space[d];
        bool merges = !nest.dims.empty() && merged_parts.back() == parts[d];
        for (size_t w = 0; w < walks.size() && merges; ++w) merges = nest.walks[w].strides.back() == walks[w].strides[d] * n;
        if (merges) {
            nest.dims.back() *= n;
        } else {
            nest.dims.push_back(n);
            merged_parts.push_back(parts[d]);
        }
        for (size_t w = 0; w < walks.size(); ++w) {
            if (merges)
                nest.walks[w].strides.back() = walks[w].strides[d];
            else
                nest.walks[w].strides.push_back(walks[w].strides[d]);
        }
    }
    if (nest.dims.empty()) {  // a scalar region
        nest.dims.push_back(1);
        merged_parts.push_back(outer_kept);
        for (TileWalk& w : nest.walks) w.strides.push_back(0);
    }
    nest.first_reduced = static_cast<size_t>(std::ranges::count(merged_parts, outer_kept));
    nest.first_inner = nest.first_reduced + static_cast<size_t>(std::ranges::count(merged_parts, reduced));
    return nest;
}

// Nanoseconds, on one core of a current machine; only their ratios matter.
constexpr double kTileOverhead = 12, kCallOverhead = 4, kStreamOverhead = 2, kOuterOverhead = 20;

double gather_cost(const TileNest& nest, const TileWalk& walk) {
    const size_t last = nest.dims.size() - 1;
    const int64_t stride = walk.strides[last], above = last > nest.group ? walk.strides[last - 1] : 0;
    const double per_run = 3.0 / static_cast<double>(nest.form == TileForm::squares ? nest.square_cols : nest.dims[last]);
    if (walk.kind == TileWalk::Kind::index) return 0.1 + 3 * per_run;
    if (stride == 0 || stride == 1) return 0.05 + per_run;
    if (nest.form == TileForm::squares && above == 1) return 0.4;
    return (std::abs(stride) >= 16 ? 1.6 : 0.5) + per_run;
}

void estimate(TileNest& nest, const TileLoad& load, double per_element) {
    const double total = static_cast<double>(product(nest.dims));
    const int64_t tile = nest.form == TileForm::squares ? nest.square_rows * nest.square_cols : nest.tile;
    const double tiles_per_group = static_cast<double>((nest.group_size + tile - 1) / tile);
    const double groups = total / static_cast<double>(nest.group_size);
    double per_tile = kTileOverhead + kCallOverhead * load.instructions, per_group = kOuterOverhead, once = 0;
    for (const TileWalk& walk : nest.walks) {
        per_tile += kStreamOverhead;
        per_group += kStreamOverhead;
        const WalkAccess a = classify(nest, walk);
        if (a.access == Access::gathered) per_element += gather_cost(nest, walk);
        if (a.access == Access::periodic) {
            const double copy = 20 + 0.15 * static_cast<double>(a.period + nest.tile);
            (zero_between(walk.strides, 0, nest.group) ? once : per_group) += copy;
        }
    }
    nest.cost = once + groups * (per_group + tiles_per_group * per_tile) + total * (per_element + load.work);
}

class Chooser {
  public:
    Chooser(const Region& region, const TileLoad& load) : region_(region), load_(load) {
        const size_t rank = region.space.size();
        for (size_t i = 0; i < region.inputs.size(); ++i) {
            const RegionInput& in = region.inputs[i];
            const auto arg = static_cast<int32_t>(i);
            const bool loaded =
                std::ranges::any_of(region.code, [&](const RegionInstr& c) { return c.op == RegionOp::load && c.index == arg; });
            if (loaded) walks_.push_back({TileWalk::Kind::input, arg, in.dtype, in.strides, in.offset});
        }
        for (size_t i = 0; i < region.indices.size(); ++i)
            walks_.push_back({TileWalk::Kind::index, static_cast<int32_t>(i), DType::i64, region.indices[i].strides,
                              region.indices[i].offset});
        for (size_t i = 0; i < region.outputs.size(); ++i) {
            if (region.outputs[i].reduced)
                any_reduced_ = true;
            else
                walks_.push_back({TileWalk::Kind::output, static_cast<int32_t>(i), region.outputs[i].dtype,
                                  row_major_strides(region.space), 0});
        }
        for (const TileWalk& w : walks_)
            check_internal(w.strides.size() == rank, "region: strides ", to_string(w.strides), " for space ",
                           to_string(region.space));
    }

    TileNest choose() {
        const size_t rank = region_.space.size();
        if (!any_reduced_) {
            try_map();
        } else if (rank == 0) {  // one point: every result is that point
            TileNest nest = reorder(region_, walks_, {}, {});
            nest.form = TileForm::blocks;
            offer(std::move(nest), 0);
        } else {
            for (size_t inner = 0; inner < rank; ++inner) try_inner(inner);
        }
        check_internal(found_, "no loop nest for ", to_string(region_));
        return std::move(best_);
    }

  private:
    void offer(TileNest nest, double per_element) {
        nest.tile = std::clamp<int64_t>(nest.tile, 1, nest.group_size);
        estimate(nest, load_, per_element);
        if (found_ && nest.cost >= best_.cost) return;
        best_ = std::move(nest);
        found_ = true;
    }

    void try_map() {
        std::vector<size_t> order(region_.space.size());
        std::iota(order.begin(), order.end(), size_t{0});
        TileNest nest = reorder(region_, walks_, order, std::vector<Part>(order.size(), outer_kept));
        for (size_t g = 0; g < nest.dims.size(); ++g) {
            nest.group = g;
            nest.group_size = nest.chunk = product_from(nest.dims, g, nest.dims.size());
            nest.tile = load_.tile;
            offer(nest, 0);
        }
        // A transposed operand is dense along another dimension: tiles become rectangles over that one and the last.
        const size_t last = nest.dims.size() - 1;
        for (size_t row = 0; row < last; ++row) {
            const bool transposed = std::ranges::any_of(nest.walks, [&](const TileWalk& w) {
                return w.kind == TileWalk::Kind::input && std::abs(w.strides[row]) == 1 && std::abs(w.strides[last]) > 1;
            });
            if (transposed) offer(squares(nest, row), 0);
        }
    }

    TileNest squares(TileNest nest, size_t row) const {
        const size_t last = nest.dims.size() - 1;
        const auto move = [&](Dims& v) {
            const auto at = [&](size_t i) { return v.begin() + static_cast<std::ptrdiff_t>(i); };
            std::rotate(at(row), at(row + 1), at(last));
        };
        move(nest.dims);
        for (TileWalk& w : nest.walks) move(w.strides);
        nest.form = TileForm::squares;
        nest.group = last - 1;
        nest.group_size = nest.chunk = nest.dims[last - 1] * nest.dims[last];
        const int64_t widest = std::max<int64_t>(load_.tile, 64);
        nest.square_cols = std::min(nest.dims[last], widest / 16);
        nest.square_rows =
            std::min(nest.dims[last - 1], widest / nest.square_cols / 16 * 16);  // whole cache lines of 4-byte elements
        nest.tile = nest.square_rows * nest.square_cols;
        return nest;
    }

    // All nests with dimension `inner` innermost.
    void try_inner(size_t inner) {
        const std::vector<bool>& is_reduced = region_.reduced;
        const size_t rank = region_.space.size();
        std::vector<Part> parts(rank, outer_kept);
        for (size_t d = 0; d < rank; ++d)
            if (is_reduced[d]) parts[d] = reduced;
        if (!is_reduced[inner]) {
            // Results are written in row-major order of the kept dimensions, so only the last of these may be inside.
            for (size_t d = inner + 1; d < rank; ++d)
                if (!is_reduced[d]) return;
            for (size_t d = inner + 1; d-- > 0 && !is_reduced[d];) parts[d] = inner_kept;
        }
        std::vector<size_t> order;
        for (const Part part : {outer_kept, reduced, inner_kept})
            for (size_t d = 0; d < rank; ++d)
                if (parts[d] == part && !(part == reduced && d == inner)) order.push_back(d);
        if (is_reduced[inner]) order.push_back(inner);  // then there is no inner kept part

        const TileNest base = reorder(region_, walks_, order, parts);
        const size_t end = base.dims.size();
        const int64_t rows = product_from(base.dims, base.first_reduced, base.first_inner);
        const int64_t cols = product_from(base.dims, base.first_inner, end);
        const auto grouped = [&](TileForm form, size_t group, int64_t tile) {
            TileNest nest = base;
            nest.form = form;
            nest.group = group;
            nest.group_size = nest.chunk = product_from(nest.dims, group, end);
            nest.tile = tile;
            return nest;
        };
        if (rows * cols <= load_.tile)
            for (size_t g = 0; g <= base.first_reduced; ++g)
                offer(grouped(TileForm::blocks, g, load_.tile / (rows * cols) * (rows * cols)),
                      0.05 + (cols == 1 ? 2.0 : 3.0) / static_cast<double>(cols == 1 ? rows : cols));
        for (size_t g = base.first_reduced; g < base.first_inner; ++g) {
            if (cols == 1)
                offer(grouped(TileForm::run, g, load_.tile), 0.04);
            else if (cols * 2 <= load_.tile)
                offer(grouped(TileForm::lanes, g, load_.tile / cols * cols), 0.06);
        }
        for (size_t g = base.first_inner; g < end; ++g) {
            TileNest nest = grouped(TileForm::columns, g, load_.tile);
            nest.chunk = std::min(nest.group_size, std::max(kMaxChunk / nest.tile, int64_t{1}) * nest.tile);
            demote(nest);
            offer(std::move(nest), 0.06);
        }
    }

    // Inner kept dimensions outside the group become outer kept ones: their results do not share accumulators.
    static void demote(TileNest& nest) {
        const size_t moved = nest.group - nest.first_inner;
        const auto rotate = [&](Dims& v) {
            const auto at = [&](size_t i) { return v.begin() + static_cast<std::ptrdiff_t>(i); };
            std::rotate(at(nest.first_reduced), at(nest.first_inner), at(nest.group));
        };
        rotate(nest.dims);
        for (TileWalk& w : nest.walks) rotate(w.strides);
        nest.first_reduced += moved;
        nest.first_inner = nest.group;
    }

    const Region& region_;
    const TileLoad& load_;
    std::vector<TileWalk> walks_;
    bool any_reduced_ = false, found_ = false;
    TileNest best_;
};

}  // namespace

Rate uniform_rate(const TileNest& nest, const TileWalk& walk) {
    return zero_between(walk.strides, 0, nest.group) ? Rate::run : Rate::outer;
}

WalkAccess classify(const TileNest& nest, const TileWalk& walk) {
    const size_t end = nest.dims.size();
    if (walk.kind != TileWalk::Kind::output && zero_between(walk.strides, nest.group, end)) return {Access::uniform, 0};
    if (nest.form == TileForm::squares) return {Access::gathered, 0};
    int64_t dense = 1;
    bool linear = true;
    for (size_t d = end; d-- > nest.group; dense *= nest.dims[d]) {
        // The stride of a group of one dimension with stride 1; a dimension of one element may have any.
        if (nest.dims[d] != 1 && walk.strides[d] != dense && !(walk.kind == TileWalk::Kind::index)) linear = false;
    }
    if (walk.kind == TileWalk::Kind::index) {
        for (size_t d = nest.group; d + 1 < end; ++d)
            if (walk.strides[d] != walk.strides[d + 1] * nest.dims[d + 1]) linear = false;
    }
    if (linear) return {Access::direct, 0};
    if (walk.kind == TileWalk::Kind::input) {
        size_t first = nest.group;
        while (walk.strides[first] == 0) ++first;
        const int64_t period = product_from(nest.dims, first, end);
        const bool fixed = zero_between(walk.strides, 0, nest.group);
        if (first > nest.group && period <= kMaxPeriod && (fixed || nest.group_size >= 4 * (period + nest.tile)))
            return {Access::periodic, period};
    }
    return {Access::gathered, 0};
}

TileNest choose_nest(const Region& region, const TileLoad& load) { return Chooser(region, load).choose(); }

}  // namespace fk::cpu
