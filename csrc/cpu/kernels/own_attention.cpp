// Attention of one head, a few targets at a time: their scores against all sources stay in the cache from the first product to
// the last. Start at `attention_forward`; the gradient makes the weights again from the statistics that it left.
#include "cpu/kernels/math.h"
#include "cpu/kernels/own_isa.h"
#include "cpu/kernels/transpose.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

constexpr float kHidden = -0.7f * 3.4028234663852886e38f;  // as the op's body has it
constexpr int64_t kStep = 16;                              // sources are padded to this, a multiple of every vector
constexpr int64_t kTileFloats = 12288;                     // of the two tiles of a block of targets: they stay in the L1 cache
constexpr int64_t kGroupRows = kGemmLooseDepth;            // targets whose gradients reach keys and values in one product
constexpr int64_t kGroupFloats = 32768;                    // of the two tiles of such a group: they stay in the L2 cache

constexpr int64_t padded(int64_t n) { return (n + kStep - 1) / kStep * kStep; }

int64_t tile_rows(const AttentionHead& h) {
    const int64_t rows = kTileFloats / 2 / padded(h.sources) / 8 * 8;
    const int64_t most = h.causal ? 16 : 32;  // fewer rows look together at fewer sources that one of them does not see
    return rows < 8 ? 8 : rows > most ? most : rows;
}

// Whole blocks of targets: a longer sum for each time that the gradients of keys and values pass by.
int64_t group_rows(const AttentionHead& h) {
    const int64_t step = tile_rows(h), most = h.targets < kGroupRows ? h.targets : kGroupRows;
    const int64_t fit = kGroupFloats / 2 / padded(h.sources), rows = fit < most ? fit : most;
    return rows <= step ? step : (rows + step - 1) / step * step;
}

struct Scratch {
    float *keys, *values;   // transposed: (depth, padded sources)
    float *scores, *other;  // (rows of a group, padded sources)
    float* pack;            // of gemm
    uint32_t* words;        // of one row
    Scratch(const AttentionHead& h, float* at) {
        const int64_t width = padded(h.sources), tile = group_rows(h) * width;
        keys = at;
        values = keys + h.depth * width;
        scores = values + h.value_depth * width;
        other = scores + tile;
        words = reinterpret_cast<uint32_t*>(other + tile);
        pack = other + tile + width;
    }
    static int64_t floats(const AttentionHead& h) {
        const int64_t width = padded(h.sources);
        return (h.depth + h.value_depth + 2 * group_rows(h) + 1) * width + gemm_pack_elements(group_rows(h), kGemmDepth, false);
    }
};

// (sources, depth) -> (depth, padded sources), zeros at the end of each row.
void transpose(const float* x, int64_t row, int64_t sources, int64_t depth, float* out) {
    const int64_t width = padded(sources), squares_s = sources / 16 * 16, squares_d = depth / 16 * 16;
    for (int64_t s = 0; s < squares_s; s += 16)
        for (int64_t d = 0; d < squares_d; d += 16) transpose_16(x + s * row + d, row, out + d * width + s, width);
    for (int64_t s = 0; s < sources; ++s)
        for (int64_t d = s < squares_s ? squares_d : 0; d < depth; ++d) out[d * width + s] = x[s * row + d];
    for (int64_t d = 0; d < depth; ++d)
        for (int64_t s = sources; s < width; ++s) out[d * width + s] = 0;
}

// How many sources a target sees at most. With a mask all of them are looked at, as a row that sees nothing may be even.
int64_t visible(const AttentionHead& h, int64_t target) {
    if (!h.causal || h.mask) return h.sources;
    return target + 1 < h.sources ? target + 1 : h.sources;
}

bool shows(const AttentionHead& h, int64_t target, int64_t source) {
    return (!h.mask || h.mask[target * h.mask_row + source * h.mask_col]) && (!h.causal || source <= target);
}

constexpr int32_t kLaneNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
[[gnu::always_inline]] inline vi lane_numbers() { return load<vi>(kLaneNumbers); }

// Of all lanes, by halves.
[[gnu::always_inline]] inline float sum_lanes(vf x) {
    for (int step = kLanes / 2; step > 0; step /= 2) x += __builtin_shuffle(x, lane_numbers() ^ step);
    return x[0];
}
[[gnu::always_inline]] inline float max_lanes(vf x) {
    for (int step = kLanes / 2; step > 0; step /= 2) x = larger(__builtin_shuffle(x, lane_numbers() ^ step), x);
    return x[0];
}

// Keep (1 / (1 - rate)) or drop (0) for the next sources.
[[gnu::always_inline]] inline vf kept(const AttentionHead& h, const uint32_t* words, int64_t s) {
    const vi high = reinterpret_cast<vi>(load<vu>(words + s) >> 8);
    return select(high >= static_cast<int32_t>(h.threshold), splat(h.keep_scale), vf{});
}

void make_words(const AttentionHead& h, int64_t target, int64_t n, uint32_t* words) {
    if (h.threshold == 0) return;
    philox_words(words, h.first_word + static_cast<uint64_t>(target * h.sources), h.key_0, h.key_1, n);
}

// What the products of one target are multiplied by to be logits. With a mask they are afterwards, and hidden ones at kHidden.
float begin_logits(const AttentionHead& h, int64_t target, int64_t n, float* row) {
    if (!h.mask) return h.scale;
    for (int64_t s = 0; s < n; ++s) row[s] = shows(h, target, s) ? row[s] * h.scale : kHidden;
    return 1.0f;
}

// f(s, shown) for the vectors of sources up to the padded end of n; shown(x, y) is x with the lanes of y from n on.
template <class F>
[[gnu::always_inline]] inline void for_sources(int64_t n, F f) {
    int64_t s = 0;
    for (; s + kLanes <= n; s += kLanes) f(s, [](vf x, vf) __attribute__((always_inline)) { return x; });
    for (; s < padded(n); s += kLanes) {
        const vi inside = lane_numbers() < static_cast<int32_t>(n - s);
        f(s, [inside](vf x, vf y) __attribute__((always_inline)) { return select(inside, x, y); });
    }
}

// Softmax of a row of products in place, not yet divided by the sum, then dropout. Returns what is left to multiply by.
float weigh(const AttentionHead& h, int64_t target, int64_t n, float* row, float* statistics, uint32_t* words) {
    const float factor = begin_logits(h, target, n, row);
    vf most = splat(-kInfinity);
    const auto compare = [&](int64_t s, auto shown) __attribute__((always_inline)) {
        most = larger(shown(load<vf>(row + s) * factor, splat(-kInfinity)), most);
    };
    for_sources(n, compare);
    const float max = max_lanes(most);
    vf total{};
    const auto exponentiate = [&](int64_t s, auto shown) __attribute__((always_inline)) {
        const vf e = shown(exp_v(load<vf>(row + s) * factor - max), vf{});
        total += e;
        store(row + s, e);
    };
    for_sources(n, exponentiate);
    float inverse = 1.0f / sum_lanes(total);
    if (h.blank_zero && max <= kHidden) inverse = 0.0f;
    statistics[0] = max;
    statistics[1] = inverse;
    if (h.threshold != 0) {
        make_words(h, target, n, words);
        for (int64_t s = 0; s < n; s += kLanes) store(row + s, load<vf>(row + s) * kept(h, words, s));
    }
    return inverse;
}

// All operands of a head lie in the cache.
void multiply(GemmArgs<float> args) {
    args.near = true;
    gemm<float>(args);
}

// Products of targets [begin, begin + rows) with all of `width` sources, from a transposed operand.
void products(const float* x, int64_t x_row, const float* transposed, int64_t stride, int64_t rows, int64_t width, int64_t depth,
              float* tile, float* pack) {
    multiply({x, x_row, 1, transposed, stride, 1, tile, stride, rows, width, depth, false, pack});
}

void attention_forward(const AttentionHead& h, const AttentionForward& a, float* scratch) {
    const Scratch s(h, scratch);
    const int64_t width = padded(h.sources), step = tile_rows(h);
    transpose(a.k, h.k_row, h.sources, h.depth, s.keys);
    float left[32];
    for (int64_t first = a.begin; first < a.end; first += step) {
        const int64_t rows = a.end - first < step ? a.end - first : step, seen = visible(h, first + rows - 1);
        products(a.q + first * h.q_row, h.q_row, s.keys, width, rows, padded(seen), h.depth, s.scores, s.pack);
        for (int64_t r = 0; r < rows; ++r) {
            float* row = s.scores + r * width;
            const int64_t n = visible(h, first + r);
            left[r] = weigh(h, first + r, n, row, a.statistics + 2 * (first + r), s.words);
            for (int64_t i = padded(n); i < seen; i += kLanes) store(row + i, vf{});
        }
        float* out = a.out + first * h.out_row;
        multiply({s.scores, width, 1, a.v, h.v_row, 1, out, h.out_row, rows, h.value_depth, seen, false, s.pack});
        for (int64_t r = 0; r < rows; ++r) {
            float* const row = out + r * h.out_row;
            const float factor = left[r];
            map_vectors(row, row, h.value_depth, [=](vf x) { return x * factor; });
        }
    }
}

// From a row of products q k and one of dy v: the weights with dropout, and the gradients of the products.
void differentiate(const AttentionHead& h, int64_t target, int64_t n, const float* statistics, float* row, float* other,
                   uint32_t* words) {
    const float factor = begin_logits(h, target, n, row);
    make_words(h, target, n, words);
    const float max = statistics[0], inverse = statistics[1];
    vf total{};
    const auto weigh_again = [&](int64_t s, auto shown) __attribute__((always_inline)) {
        const vf p = shown(exp_v(load<vf>(row + s) * factor - max) * inverse, vf{});
        const vf seen = shown(load<vf>(other + s), vf{});
        const vf dp = h.threshold == 0 ? seen : seen * kept(h, words, s);
        total += p * dp;
        store(row + s, p);
        store(other + s, dp);
    };
    for_sources(n, weigh_again);
    const float mean = sum_lanes(total);
    for (int64_t s = 0; s < n; s += kLanes) {
        const vf p = load<vf>(row + s);
        store(other + s, p * (load<vf>(other + s) - mean) * h.scale);
        if (h.threshold != 0) store(row + s, p * kept(h, words, s));
    }
    if (h.mask && statistics[0] <= kHidden)  // it sees nothing: no logit of its own had a part in the weights
        for (int64_t s = 0; s < n; ++s) other[s] = 0;
}

void attention_backward(const AttentionHead& h, const AttentionBackward& a, float* scratch) {
    const Scratch s(h, scratch);
    const int64_t width = padded(h.sources), step = tile_rows(h), group = group_rows(h);
    transpose(a.k, h.k_row, h.sources, h.depth, s.keys);
    transpose(a.v, h.v_row, h.sources, h.value_depth, s.values);
    for (int64_t begin = 0; begin < h.targets; begin += group) {
        const int64_t end = h.targets - begin < group ? h.targets : begin + group;
        for (int64_t first = begin; first < end; first += step) {
            const int64_t rows = end - first < step ? end - first : step, seen = visible(h, first + rows - 1);
            const float *q = a.q + first * h.q_row, *dy = a.dy + first * h.out_row;
            float *scores = s.scores + (first - begin) * width, *others = s.other + (first - begin) * width;
            products(q, h.q_row, s.keys, width, rows, padded(seen), h.depth, scores, s.pack);
            products(dy, h.out_row, s.values, width, rows, padded(seen), h.value_depth, others, s.pack);
            for (int64_t r = 0; r < rows; ++r) {
                float *row = scores + r * width, *other = others + r * width;
                const int64_t n = visible(h, first + r);
                differentiate(h, first + r, n, a.statistics + 2 * (first + r), row, other, s.words);
                for (int64_t i = padded(n); i < seen; i += kLanes) store(row + i, vf{}), store(other + i, vf{});
            }
            multiply({others, width, 1, a.k, h.k_row, 1, a.dq + first * h.q_row, h.q_row, rows, h.depth, seen, false, s.pack});
        }
        // Sources that all targets of the group look at, then those that only the targets from some block on do.
        const auto add = [&](int64_t first, int64_t from, int64_t to) {
            const int64_t at = (first - begin) * width + from, rows = end - first;
            const float *q = a.q + first * h.q_row, *dy = a.dy + first * h.out_row;
            float *dk = a.dk + from * h.k_row, *dv = a.dv + from * h.v_row;
            multiply({s.other + at, 1, width, q, h.q_row, 1, dk, h.k_row, to - from, h.depth, rows, true, s.pack});
            multiply({s.scores + at, 1, width, dy, h.out_row, 1, dv, h.v_row, to - from, h.value_depth, rows, true, s.pack});
        };
        int64_t done = 0;
        for (int64_t first = begin; first < end; first += step) {
            const int64_t seen = visible(h, (end - first < step ? end : first + step) - 1);
            if (seen > done) add(first, done, seen);
            done = seen;
        }
    }
}

}  // namespace

void fill_attention(OwnKernels& table) {
    table.attention_scratch = Scratch::floats;
    table.attention_forward = attention_forward;
    table.attention_backward = attention_backward;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
