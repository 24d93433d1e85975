// Memory from the system: huge pages where the system has them, known to be zero until it is first written.
#pragma once

#include <cstddef>

namespace fk {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallestPages = 32 << 10;  // below, the C library's allocator does better

struct Pages {
    std::byte* data = nullptr;
    bool zero = false;  // nothing has written to them
};

// `bytes` is at least kSmallestPages, a multiple of 4096, and of kHugePage from 2 * kHugePage on; so is the address aligned.
// Throws std::bad_alloc.
[[nodiscard]] Pages take_pages(size_t bytes);
void give_pages(std::byte* data, size_t bytes);

}  // namespace fk
