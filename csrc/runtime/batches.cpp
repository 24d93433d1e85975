// Gathering of rows, and the loop over batches.
#include "runtime/batches.h"

#include <algorithm>
#include <cstring>

#include "cpu/threads.h"
#include "runtime/host.h"
#include "runtime/profiler.h"

namespace fk {
namespace {

constexpr int64_t kGrain = 16 * 1024;  // bytes that are worth another thread
constexpr int64_t kLine = 64;

// Copies a row, and asks for the next one meanwhile: rows in random order are new to the hardware's prefetchers, each of them.
// (memcpy takes instructions for such lengths that are slower than this on rows in a cache.)
void copy_row(std::byte* to, const std::byte* from, const std::byte* next, int64_t bytes) {
    int64_t at = 0;
    for (; at + kLine <= bytes; at += kLine) {
        __builtin_prefetch(next + at, 0, 2);
        __builtin_memcpy(to + at, from + at, kLine);
    }
    __builtin_prefetch(next + at, 0, 2);
    std::memcpy(to + at, from + at, static_cast<size_t>(bytes - at));
}

}  // namespace

void gather(const RowSource& source, const int64_t* order, int64_t count) {
    const int64_t bytes = source.row_bytes;
    cpu::parallel_for(count, kGrain / std::max<int64_t>(bytes, 1) + 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const std::byte* row = source.data + order[i] * bytes;
            copy_row(source.batch + i * bytes, row, i + 1 < end ? source.data + order[i + 1] * bytes : row, bytes);
        }
    });
}

BatchRun run_batches(Executable& executable, std::span<const RowSource> sources, const int64_t* order, int64_t first,
                     int64_t size, int64_t limit, double seconds) {
    BatchRun result;
    std::vector<Executable::Input> inputs(sources.size());
    const int64_t end = profiler::now() + static_cast<int64_t>(seconds * 1e9);
    while (result.batches < limit && (result.batches == 0 || profiler::now() < end)) {
        const int64_t row = first + result.batches * size;
        if (order) {
            const Unlocked unlocked;
            for (const RowSource& s : sources) gather(s, order + row, size);
        }
        for (size_t i = 0; i < sources.size(); ++i)
            inputs[i].data = order ? sources[i].batch : sources[i].data + row * sources[i].row_bytes;
        result.outputs = executable.run(inputs);
        ++result.batches;
    }
    return result;
}

}  // namespace fk
