// A region as the CPU runs it: a *tile program*. The iteration space is reordered and cut into tiles of a few hundred
// elements; every instruction handles one tile through one call of a vector function (cpu/kernels/table.h), with its
// registers in the L1 cache. Reading order: codegen/emit_cpu.cpp (region -> instructions), codegen/tile_nest.cpp (which
// loops, which operands need what), cpu/tile_kernel.cpp (the run).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "codegen/region.h"
#include "codegen/typed_code.h"
#include "cpu/kernels/table.h"
#include "runtime/kernel.h"

namespace fk::cpu {

// A walk over memory (or, for an index, over integers) with one stride per dimension of the nest.
struct TileWalk {
    enum class Kind : uint8_t { input, output, index };
    Kind kind = Kind::input;
    int32_t arg = -1;  // which input, output or RegionIndex
    DType dtype = DType::f32;
    Dims strides;
    int64_t offset = 0;
};

// What a reduction does with a tile; see TileNest.
enum class TileForm : uint8_t {
    map,      // nothing is reduced
    squares,  // the same by rectangles of the last two dimensions, because an operand is transposed
    blocks,   // a tile holds whole reduction groups, so it finishes its results
    run,      // the tile lies inside one group that has a single result
    lanes,    // the tile is a whole number of rows [C] of one group: accumulate element by element, fold the rows at the end
    columns   // the tile lies inside one row [C]: accumulate into the row's accumulators
};

// Tiles that leave no accumulators behind: they may run in any order on any thread.
[[nodiscard]] constexpr bool independent_tiles(TileForm f) {
    return f == TileForm::map || f == TileForm::squares || f == TileForm::blocks;
}

// The loops, after reordering into kept dimensions A, reduced dimensions R and inner kept dimensions C:
//   for unit in A (columns: and in chunks of the row)          <- split between threads, or
//     for step in (R outside the group) x (tiles of the group)  <- split between threads, partial results combined
// Dimensions from `group` on form the range that tiles run over linearly; a map has all others in A.
struct TileNest {
    TileForm form = TileForm::map;
    Dims dims;
    std::vector<TileWalk> walks;
    size_t first_reduced = 0, first_inner = 0, group = 0;
    int64_t group_size = 1;  // elements
    int64_t tile = 1;        // elements per tile, the last one of a group may have fewer
    int64_t chunk = 1;       // columns: elements of a row accumulated together; otherwise group_size
    int64_t square_rows = 0, square_cols = 0;
    double cost = 0;  // estimated nanoseconds on one thread
};

// How the elements of a walk reach the instructions of a tile.
enum class Access : uint8_t {
    uniform,   // one value for the whole group
    direct,    // dense along the group: a pointer into memory
    periodic,  // repeats with a short period: a pointer into a copy that holds a period and a tile
    gathered   // anything else: copied into (or out of) a tile buffer
};
struct WalkAccess {
    Access access = Access::direct;
    int64_t period = 0;
};
[[nodiscard]] WalkAccess classify(const TileNest& nest, const TileWalk& walk);
[[nodiscard]] Rate uniform_rate(const TileNest& nest, const TileWalk& walk);

// What the choice of a nest needs to know about the instructions.
struct TileLoad {
    int64_t tile = 512;  // elements per tile that keep the registers in L1
    int instructions = 1;
    double work = 1;  // nanoseconds per element, estimated
};
// Picks the cheapest nest. `region` is collapsed; walks are its loads, indices and stores.
[[nodiscard]] TileNest choose_nest(const Region& region, const TileLoad& load);

struct TileOp {
    TileFn fn = nullptr;
    int32_t dst = 0, a = 0, b = 0, c = 0, d = 0;  // slots
    bool spread = false;                          // in the scalar programs: fills a tile, not one element
};

struct TileStream {
    TileWalk walk;
    Access access = Access::direct;
    Rate rate = Rate::tile;  // of a uniform or, for the moment its copy is made, a periodic walk
    int32_t slot = 0;
    int32_t size = 4;  // bytes per element
    int64_t period = 0;
    size_t buffer = 0;        // workspace offset of the copy
    bool first_only = false;  // an index whose readers need only the first value of the tile
};

struct TileReduction {
    int32_t output = 0, slot = 0;
    ReduceKind kind = ReduceKind::sum;
    DType dtype = DType::f32;     // of the result in memory
    Class cls = Class::f32;       // of the reduced values
    Class wide = Class::f32;      // of partial results
    size_t lanes = 0, wides = 0;  // workspace offsets of the accumulators
    size_t partials = 0;          // scratch offset of the threads' partial results
};

struct TileProgram {
    TileNest nest;
    std::vector<TileOp> code[3];  // by Rate
    std::vector<TileStream> streams;
    std::vector<TileReduction> reductions;
    std::vector<uint64_t> constants;
    std::vector<int64_t> slots;                     // >= 0: workspace offset; < 0: constant ~slot
    std::vector<std::pair<int32_t, int32_t>> keys;  // slot, input: read as a whole
    std::vector<bool> shares;                       // [output * inputs + input]: may have one buffer
    size_t inputs = 0;
    int64_t results = 1;  // values per reduction
    size_t workspace = 0, scratch = 0;
    int threads = 1;
    bool split_steps = false;  // threads share the steps of each unit rather than the units
    const KernelTable* table = nullptr;
    std::string text;
};

struct TileOptions {
    int threads = 0;   // 0: as many as the work deserves
    int64_t tile = 0;  // 0: what fits L1
};
[[nodiscard]] TileProgram emit_tile_program(const Region& region, const TileOptions& options = {});
[[nodiscard]] std::unique_ptr<Kernel> make_tile_kernel(TileProgram program);  // cpu/tile_kernel.cpp

}  // namespace fk::cpu
