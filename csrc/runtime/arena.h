// Places for values in one block of memory, by their lifetimes: how the planner fills a plan's arena.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>

namespace fk {

constexpr size_t kAlign = 64;
[[nodiscard]] constexpr size_t aligned(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// First-fit free list over offsets, best fit by size.
class Arena {
  public:
    size_t take(size_t bytes) {
        bytes = aligned(std::max<size_t>(bytes, 1));
        auto best = free_.end();
        for (auto it = free_.begin(); it != free_.end(); ++it)
            if (it->second >= bytes && (best == free_.end() || it->second < best->second)) best = it;
        if (best == free_.end()) {
            if (!free_.empty()) {  // grow the last hole when it ends at the top
                auto last = std::prev(free_.end());
                if (last->first + last->second == top_) {
                    const size_t at = last->first;
                    free_.erase(last);
                    top_ = at + bytes;
                    return at;
                }
            }
            const size_t at = top_;
            top_ += bytes;
            return at;
        }
        const auto [at, size] = *best;
        free_.erase(best);
        if (size > bytes) free_.emplace(at + bytes, size - bytes);
        return at;
    }
    void give(size_t at, size_t bytes) {
        bytes = aligned(std::max<size_t>(bytes, 1));
        auto it = free_.emplace(at, bytes).first;
        if (auto next = std::next(it); next != free_.end() && at + it->second == next->first)
            it->second += next->second, free_.erase(next);
        if (it != free_.begin())
            if (auto prev = std::prev(it); prev->first + prev->second == at) prev->second += it->second, free_.erase(it);
    }
    [[nodiscard]] size_t top() const { return top_; }

  private:
    std::map<size_t, size_t> free_;
    size_t top_ = 0;
};

}  // namespace fk
