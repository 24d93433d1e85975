// Several batches of rows of arrays, one after the other through one executable: the inner loop of `fit` without the host
// language in it. Start reading at run_batches.
#pragma once

#include <span>

#include "runtime/executable.h"

namespace fk {

// Rows of an array in memory, which is also one input of an executable.
struct RowSource {
    const std::byte* data = nullptr;
    int64_t row_bytes = 0;
    std::byte* batch = nullptr;  // room for the rows of a batch, when they are gathered
};

// batch[i] = row order[i] for `count` rows, on the thread team.
void gather(const RowSource& source, const int64_t* order, int64_t count);

struct BatchRun {
    int64_t batches = 0;             // how many ran
    std::vector<TensorPtr> outputs;  // those of the last one
};

// Runs up to `limit` batches of `size` rows, and begins none after `seconds`. Batch k holds rows first + k * size and on, or the
// rows that `order` has there. If a batch fails, those before it have run.
[[nodiscard]] BatchRun run_batches(Executable& executable, std::span<const RowSource> sources, const int64_t* order,
                                   int64_t first, int64_t size, int64_t limit, double seconds);

}  // namespace fk
