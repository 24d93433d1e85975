// Large blocks are mapped one by one. Smaller ones are cut out of regions, so that a model's weights and optimizer slots share
// huge pages: mapping and clearing one costs little more than an ordinary page of 4 KB, which takes a fault of its own.
#include "runtime/pages.h"

#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fk {
namespace {

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)

std::byte* map_aligned(size_t bytes) {
    void* const mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    auto* const begin = static_cast<std::byte*>(mapped);
    const size_t before = (kHugePage - reinterpret_cast<size_t>(begin) % kHugePage) % kHugePage;
    if (before > 0) munmap(begin, before);
    munmap(begin + before + bytes, kHugePage - before);
    madvise(begin + before, bytes, MADV_HUGEPAGE);
    return begin + before;
}

class Regions {
  public:
    Pages take(size_t bytes) {
        const std::lock_guard lock(mutex_);
        for (auto& [begin, region] : regions_)
            for (auto hole = region.holes.begin(); hole != region.holes.end(); ++hole)
                if (hole->second >= bytes) return {begin + cut(region, hole, bytes), false};
        for (auto& [begin, region] : regions_)
            if (kRegion - region.touched >= bytes) return {begin + extend(region, bytes), true};
        std::byte* const begin = map_aligned(kRegion);
        return {begin + extend(regions_[begin], bytes), true};
    }

    void give(std::byte* data, size_t bytes) {
        const std::lock_guard lock(mutex_);
        const auto it = std::prev(regions_.upper_bound(data));
        Region& region = it->second;
        region.used -= bytes;
        if (region.used == 0) {
            munmap(it->first, kRegion);
            regions_.erase(it);
            return;
        }
        auto hole = region.holes.emplace(static_cast<size_t>(data - it->first), bytes).first;
        if (const auto next = std::next(hole); next != region.holes.end() && hole->first + hole->second == next->first)
            hole->second += next->second, region.holes.erase(next);
        if (hole != region.holes.begin())
            if (const auto last = std::prev(hole); last->first + last->second == hole->first)
                last->second += hole->second, region.holes.erase(hole);
    }

  private:
    static constexpr size_t kRegion = 16 * kHugePage;
    struct Region {
        size_t touched = 0;              // from its beginning; what lies behind was never given out
        size_t used = 0;                 // bytes that are given out
        std::map<size_t, size_t> holes;  // offset and length of what came back
    };

    static size_t extend(Region& region, size_t bytes) {
        region.used += bytes;
        return std::exchange(region.touched, region.touched + bytes);
    }
    static size_t cut(Region& region, std::map<size_t, size_t>::iterator hole, size_t bytes) {
        const auto [at, length] = *hole;
        region.holes.erase(hole);
        if (length > bytes) region.holes.emplace(at + bytes, length - bytes);
        region.used += bytes;
        return at;
    }

    std::mutex mutex_;
    std::map<std::byte*, Region> regions_;
};

Regions& regions() {
    static Regions* r = new Regions;  // outlives the last tensor of the process
    return *r;
}

}  // namespace

Pages take_pages(size_t bytes) { return bytes >= 2 * kHugePage ? Pages{map_aligned(bytes), true} : regions().take(bytes); }
void give_pages(std::byte* data, size_t bytes) {
    if (bytes >= 2 * kHugePage)
        munmap(data, bytes);
    else
        regions().give(data, bytes);
}

#else  // also where a sanitizer watches each block

}  // namespace

Pages take_pages(size_t bytes) {
    void* p = std::aligned_alloc(bytes >= 2 * kHugePage ? kHugePage : 4096, bytes);
    if (p == nullptr) throw std::bad_alloc();
    return {static_cast<std::byte*>(p), false};
}
void give_pages(std::byte* data, size_t) { std::free(data); }

#endif

}  // namespace fk
