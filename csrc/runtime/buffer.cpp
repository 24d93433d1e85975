// Allocation behind buffer.h.
#include "runtime/buffer.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fk {
namespace {

constexpr size_t kAlignment = 64, kHugePage = size_t{2} << 20;
std::atomic<size_t> g_allocated{0};

std::byte* from_system(size_t rounded) {
    const bool huge = rounded >= 2 * kHugePage;  // fewer page faults and TLB misses for large arenas
    void* p = std::aligned_alloc(huge ? kHugePage : kAlignment, rounded);
    if (p == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    if (huge) madvise(p, rounded, MADV_HUGEPAGE);
#endif
    return static_cast<std::byte*>(p);
}

// Blocks given back and kept for the next request of their size. A loop that makes new values of its variables at each step
// would otherwise map and clear fresh pages each time, which costs more than computing them.
class Reserve {
  public:
    static constexpr size_t kSmallest = 32 << 10, kLimit = 64 << 20;
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool kDisabled = true;  // it would hide uses after the end of a life
#else
    static constexpr bool kDisabled = false;
#endif

    std::byte* take(size_t rounded) {
        const std::lock_guard lock(mutex_);
        const auto it = blocks_.find(rounded);
        if (it == blocks_.end() || it->second.empty()) return nullptr;
        std::byte* p = it->second.back();
        it->second.pop_back();
        held_ -= rounded;
        return p;
    }
    bool keep(std::byte* p, size_t rounded) {
        const std::lock_guard lock(mutex_);
        if (kDisabled || held_ + rounded > kLimit) return false;
        blocks_[rounded].push_back(p);
        held_ += rounded;
        return true;
    }

  private:
    std::mutex mutex_;
    std::unordered_map<size_t, std::vector<std::byte*>> blocks_;
    size_t held_ = 0;
};

Reserve& reserve() {
    static Reserve* r = new Reserve;  // outlives the last tensor of the process
    return *r;
}

size_t rounded_size(size_t bytes) {
    const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : bytes >= Reserve::kSmallest ? 4096 : kAlignment;
    return std::max((bytes + alignment - 1) / alignment * alignment, alignment);
}

std::byte* allocate_bytes(size_t bytes) {
    const size_t rounded = rounded_size(bytes);
    std::byte* p = rounded >= Reserve::kSmallest ? reserve().take(rounded) : nullptr;
    if (p == nullptr) p = from_system(rounded);
    g_allocated += bytes;
    return p;
}

void free_bytes(std::byte* p, size_t bytes) {
    const size_t rounded = rounded_size(bytes);
    if (rounded < Reserve::kSmallest || !reserve().keep(p, rounded)) std::free(p);
    g_allocated -= bytes;
}

}  // namespace

Buffer::Buffer(size_t bytes) : data_(allocate_bytes(bytes)), bytes_(bytes) {}
Buffer::~Buffer() { free_bytes(data_, bytes_); }
std::shared_ptr<Buffer> Buffer::allocate(size_t bytes) { return std::shared_ptr<Buffer>(new Buffer(bytes)); }

size_t allocated_bytes() { return g_allocated; }

void AlignedDelete::operator()(std::byte* p) const { free_bytes(p, bytes); }
AlignedMemory allocate_aligned(size_t bytes) { return AlignedMemory(allocate_bytes(bytes), AlignedDelete{bytes}); }

}  // namespace fk
