// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11): word i of the stream is
// word i % 4 of the block whose counter is i / 4. Blocks are made a vector at a time, one per 64-bit lane: the words of the
// state sit in the low halves, what the products leave above them is never read.
#include "cpu/kernels/loops.h"
#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr int kBlocks = kVectorBytes / 8, kWords = 4 * kBlocks;

[[gnu::always_inline]] inline vul low_product(vul a, uint64_t b) {  // of the low halves
#if defined(__AVX512F__)
    return reinterpret_cast<vul>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), _mm512_set1_epi64(static_cast<int64_t>(b))));
#elif defined(__AVX2__)
    return reinterpret_cast<vul>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(static_cast<int64_t>(b))));
#else
    return (a & 0xffffffff) * b;
#endif
}

// The words of kBlocks blocks from counter `first` on, in stream order.
[[gnu::always_inline]] inline void generate(uint32_t* words, uint64_t first, uint64_t k0, uint64_t k1) {
    vul lane;
    for (int i = 0; i < kBlocks; ++i) lane[i] = static_cast<uint64_t>(i);
    vul c0 = lane + first, c1 = c0 >> 32, c2 = {}, c3 = {};
    for (int round = 0; round < 10; ++round) {
        const vul p0 = low_product(c0, 0xD2511F53), p1 = low_product(c2, 0xCD9E8D57);
        c0 = (p1 >> 32) ^ c1 ^ k0;
        c1 = p1;
        c2 = (p0 >> 32) ^ c3 ^ k1;
        c3 = p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    const vul even = (c0 & 0xffffffff) | (c1 << 32), odd = (c2 & 0xffffffff) | (c3 << 32);
    vul low_order, high_order;
    for (int i = 0; i < kBlocks; ++i) {
        low_order[i] = static_cast<uint64_t>(i / 2 + (i % 2 ? kBlocks : 0));
        high_order[i] = low_order[i] + kBlocks / 2;
    }
    store(words, __builtin_shuffle(even, odd, low_order));
    store(words + kWords / 2, __builtin_shuffle(even, odd, high_order));
}

}  // namespace

void philox_words(uint32_t* d, uint64_t index, uint32_t k0, uint32_t k1, int64_t n) {
    uint32_t words[kWords];
    while (n > 0) {
        const auto skip = static_cast<int64_t>(index & 3);
        if (skip == 0 && n >= kWords) {
            generate(d, index >> 2, k0, k1);
            d += kWords;
            index += kWords;
            n -= kWords;
            continue;
        }
        generate(words, index >> 2, k0, k1);
        const int64_t take = kWords - skip < n ? kWords - skip : n;
        for (int64_t i = 0; i < take; ++i) d[i] = words[skip + i];
        d += take;
        index += static_cast<uint64_t>(take);
        n -= take;
    }
}

namespace {

// Indices a[0], a[0] + 1, ...
void philox_run(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    philox_words(at<uint32_t>(dst), at<uint64_t>(a)[0], at<uint32_t>(b)[0], at<uint32_t>(b)[1], n);
}

// Any indices; those that lie in the blocks just generated are taken from them.
void philox(void* dst, const void* a, const void* b, const void*, const void*, int64_t n) {
    uint32_t* d = at<uint32_t>(dst);
    const uint64_t* index = at<uint64_t>(a);
    const uint64_t k0 = at<uint32_t>(b)[0], k1 = at<uint32_t>(b)[1];
    uint32_t words[kWords];
    for (int64_t i = 0; i < n;) {
        const uint64_t base = index[i] & ~uint64_t{3};
        generate(words, base >> 2, k0, k1);
        for (; i < n && index[i] - base < kWords; ++i) d[i] = words[index[i] - base];
    }
}

}  // namespace

void fill_philox(KernelTable& t) {
    t.philox = philox;
    t.philox_run = philox_run;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
