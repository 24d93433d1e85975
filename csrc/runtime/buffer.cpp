// Allocation behind buffer.h.
#include "runtime/buffer.h"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fk {
namespace {

constexpr size_t kAlignment = 64, kHugePage = size_t{2} << 20;
std::atomic<size_t> g_allocated{0};

std::byte* allocate_bytes(size_t bytes) {
    const bool huge = bytes >= 2 * kHugePage;  // fewer page faults and TLB misses for large arenas
    const size_t alignment = huge ? kHugePage : kAlignment;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* p = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (p == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    if (huge) madvise(p, rounded, MADV_HUGEPAGE);
#endif
    g_allocated += bytes;
    return static_cast<std::byte*>(p);
}

void free_bytes(std::byte* p, size_t bytes) {
    std::free(p);
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
