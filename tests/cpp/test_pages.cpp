// Memory from the system: alignment, that blocks do not overlap, and that what is said to be zero is.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "runtime/buffer.h"
#include "runtime/pages.h"

namespace fk::test {
namespace {

struct Block {
    std::byte* data;
    size_t bytes;
    std::byte mark;
};

bool is_filled(const std::byte* data, size_t bytes, std::byte value) {
    return std::all_of(data, data + bytes, [&](std::byte b) { return b == value; });
}

}  // namespace

TEST_CASE("pages: blocks of random sizes keep their contents, and fresh ones are zero") {
    std::mt19937 random(1);
    std::vector<Block> blocks;
    size_t fresh = 0;
    for (int i = 0; i < 3000; ++i) {
        const bool take = blocks.size() < 8 || (blocks.size() < 60 && random() % 2 == 0);
        if (take) {
            size_t bytes = kSmallestPages + random() % 64 * 4096;
            if (random() % 20 == 0) bytes = (2 + random() % 2) * kHugePage;
            const Pages p = take_pages(bytes);
            CHECK(reinterpret_cast<size_t>(p.data) % (bytes >= 2 * kHugePage ? kHugePage : 4096) == 0);
            if (p.zero) {
                ++fresh;
                CHECK(is_filled(p.data, bytes, std::byte{0}));
            }
            const auto mark = static_cast<std::byte>(1 + random() % 255);
            std::memset(p.data, static_cast<int>(mark), bytes);
            blocks.push_back({p.data, bytes, mark});
        } else {
            const size_t at = random() % blocks.size();
            const Block b = blocks[at];
            CHECK(is_filled(b.data, b.bytes, b.mark));
            give_pages(b.data, b.bytes);
            blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    for (const Block& b : blocks) {
        CHECK(is_filled(b.data, b.bytes, b.mark));
        give_pages(b.data, b.bytes);
    }
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
    CHECK(fresh > 0);
#endif
}

TEST_CASE("buffers: zeros are zero in memory that others have used, too") {
    for (const size_t bytes : {size_t{1}, size_t{1000}, size_t{40} << 10, size_t{3} << 20, size_t{9} << 20})
        for (int i = 0; i < 3; ++i) {
            const BufferPtr zeros = Buffer::zeros(bytes);
            CHECK(is_filled(zeros->data(), bytes, std::byte{0}));
            std::memset(zeros->data(), 0xff, bytes);
        }
}

}  // namespace fk::test
