// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11): word i of the stream is
// word i % 4 of the block whose counter is i / 4.
#include "cpu/kernels/loops.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr int kBlocks = 16;  // blocks generated side by side
constexpr int kWords = 4 * kBlocks;

[[gnu::always_inline]] inline uint32_t high_product(uint32_t a, uint32_t b) {
    return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32);
}

// The words of kBlocks blocks from counter `first` on, in stream order.
void generate(uint32_t* words, uint64_t first, const uint32_t* key) {
    uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks] = {}, c3[kBlocks] = {};
    for (int i = 0; i < kBlocks; ++i) {
        const uint64_t counter = first + static_cast<uint64_t>(i);
        c0[i] = static_cast<uint32_t>(counter);
        c1[i] = static_cast<uint32_t>(counter >> 32);
    }
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < kBlocks; ++i) {
            const uint32_t low0 = 0xD2511F53u * c0[i], high0 = high_product(0xD2511F53u, c0[i]);
            const uint32_t low1 = 0xCD9E8D57u * c2[i], high1 = high_product(0xCD9E8D57u, c2[i]);
            c0[i] = high1 ^ c1[i] ^ k0;
            c1[i] = low1;
            c2[i] = high0 ^ c3[i] ^ k1;
            c3[i] = low0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < kBlocks; ++i) {
        words[4 * i] = c0[i];
        words[4 * i + 1] = c1[i];
        words[4 * i + 2] = c2[i];
        words[4 * i + 3] = c3[i];
    }
}

// Indices mostly rise by a small constant step; whatever lies in the blocks just generated is taken from them.
void philox(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    uint32_t* d = at<uint32_t>(dst);
    const int64_t* index = at<int64_t>(a);
    const uint32_t* key = at<uint32_t>(b);
    uint32_t words[kWords];
    int64_t i = 0;
    while (i < n) {
        const uint64_t base = static_cast<uint64_t>(index[i]) & ~uint64_t{3};
        if (i + kWords <= n && base == static_cast<uint64_t>(index[i]) && index[i + kWords - 1] - index[i] == kWords - 1) {
            int64_t off = 0;
            for (int k = 0; k < kWords; ++k) off |= index[i + k] - index[i] - k;
            if (off == 0) {
                generate(d + i, base >> 2, key);
                i += kWords;
                continue;
            }
        }
        generate(words, base >> 2, key);
        for (; i < n; ++i) {
            const uint64_t at_word = static_cast<uint64_t>(index[i]) - base;
            if (at_word >= kWords) break;
            d[i] = words[at_word];
        }
    }
}

}  // namespace

void fill_philox(KernelTable& t) { t.philox = philox; }

}  // namespace fk::cpu::FK_ISA_NAMESPACE
