// Sorting for ops that need it (kernels/sort.cuh): how items are stored, and the kernels that sort them.
#pragma once

#include <functional>

#include "cuda/ops/common.h"

namespace fk::cuda {

// A key and a position, in a number if they fit.
struct Item {
    std::string_view type;
    int shift = 0;  // bits of the position
    size_t bytes = 4;
};
[[nodiscard]] Item item_for(int key_bits, int64_t positions);

// The sort of `lines` of `n` items. `source`, `sink` and `operands` of the last kernel are C++ of sort.cuh: where items come from
// and go to, and what is passed to them.
struct ItemSort {
    Item item;
    int64_t lines = 1, n = 0, keep = 0;         // the first `keep` of each line are wanted
    std::string source, from;                   // "FromTensor<...>", "in0"
    std::function<void(ProgramBuilder&)> read;  // adds the parameters of `source`
    bool reports = false;                       // `source` reports bad data
    std::string sink, to;                       // "ToTensor<...>", "in0, out0, out1"; none: sorted items in scratch memory
    std::function<void(ProgramBuilder&)> write;
};
// Adds the kernels; where the sorted items lie in scratch memory, unless they went to a sink.
size_t sort_items(ProgramBuilder& program, const ItemSort& sort);

}  // namespace fk::cuda
