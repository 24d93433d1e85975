// Products beside batch normalisations, a block of rows at a time that stays in the cache. An operand that a normalisation or its
// gradient makes is made on the way, into scratch: it is neither written to memory nor read back. The moments of a result are
// taken from its rows right after they were computed. Rows stored in 16 bits are widened as they come into a block, and narrowed
// as they leave one: products and sums are those of float32.
#include <limits>

#include "cpu/epilogue.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/matmul_shape.h"
#include "cpu/norm_factors.h"
#include "cpu/norm_moments.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

constexpr int64_t kLeastBytes = int64_t{1} << 20;  // smaller tensors stay in the cache anyway
constexpr int64_t kBlock = 65536;                  // elements normalised at a time, about
constexpr int64_t kResults = 524288;               // results in 16 bits that wait for their moments, about

// Whether operand i is a matrix of rows; the others are filters or have one value per channel.
bool is_rows(const Node& node, size_t i) {
    const bool gradient = node.op->name.find("grad") != std::string_view::npos,
               of_both = node.op->name.find("pointwise_norm_grad") != std::string_view::npos;
    return i == 0 || (i == 5 && gradient) || (i == 6 && of_both) || (i == 8 && node.is("pointwise_norm_grad_join"));
}

// f with a value of the type in which rows are stored.
template <class F>
auto with_stored(DType t, F f) {
    return t == DType::bf16 ? f(Bf16{}) : t == DType::f16 ? f(F16{}) : f(float{});
}
template <class S>
constexpr DType kTypeOf = std::is_same_v<S, Bf16>  ? DType::bf16
                          : std::is_same_v<S, F16> ? DType::f16
                                                   : DType::f32;

// Values that come into the cache during a product.
struct Next {
    const float* at = nullptr;
    int64_t count = 0;
    Next() = default;
    template <class S>
    Next(const S* values, int64_t n)
        : at(reinterpret_cast<const float*>(values)),
          count(n * static_cast<int64_t>(sizeof(S)) / static_cast<int64_t>(sizeof(float))) {}
};

// The filter [rows, columns], or its transpose, as the second operand of products of many blocks of rows: in float and packed,
// once a run.
struct Filter {
    size_t input;
    DType type;
    bool transposed;
    int64_t rows, columns;
    Filter(const Graph& g, const Node& node, size_t i, bool transposed)
        : input(i), type(input_type(g, node, i).dtype), transposed(transposed), columns(input_type(g, node, i).dims.back()) {
        rows = input_type(g, node, i).size() / columns;
    }
    [[nodiscard]] int64_t depth() const { return transposed ? columns : rows; }
    [[nodiscard]] size_t packed_bytes() const {
        return round_up(static_cast<size_t>(depth() * gemm_packed_columns(transposed ? rows : columns)) * sizeof(float));
    }
    [[nodiscard]] size_t bytes() const {
        return packed_bytes() + (is_half(type) ? round_up(static_cast<size_t>(rows * columns) * sizeof(float)) : 0);
    }
    // Sets what a product takes of it.
    void pack(const KernelArgs& a, std::byte* scratch, GemmArgs<float>& m) const {
        const auto* w = static_cast<const float*>(a.in[input]);
        if (is_half(type)) {
            auto* wide = reinterpret_cast<float*>(scratch + packed_bytes());
            const auto* from = static_cast<const uint16_t*>(a.in[input]);
            parallel_ranges(rows * columns, 1,
                            [&](int64_t begin, int64_t end) { widen_to_float(type, from + begin, end - begin, wide + begin); });
            w = wide;
        }
        m.b = w, m.b_row = transposed ? 1 : columns, m.b_col = transposed ? columns : 1;
        m.n = transposed ? rows : columns, m.k = depth();
        auto* packed = reinterpret_cast<float*>(scratch);
        parallel_ranges(gemm_blocks(m.k), kGemmDepth * m.n, [&](int64_t begin, int64_t end) {
            for (int64_t block = begin; block < end; ++block) row_kernels<float>().pack_b(m, block, packed);
        });
        m.packed = packed;
    }
};

struct Plan {
    int64_t rows, k, n;  // x is [rows, k], the other operand or the result has n columns
    int64_t block;       // rows at a time
    bool normalise;      // x, before it is multiplied
    double epsilon;
    float high;
    int threads;

    [[nodiscard]] size_t vector_bytes() const { return normalise ? round_up(static_cast<size_t>(k) * sizeof(float)) : 0; }
    [[nodiscard]] size_t block_bytes() const { return normalise ? round_up(static_cast<size_t>(block * k) * sizeof(float)) : 0; }
};

Plan plan_of(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const int64_t k = x.dims.back(), rows = x.size() / k;
    const TensorType& other = node.is("norm_pointwise_grad") ? input_type(g, node, 5) : node.types[0];
    const bool normalise = node.op->attr_index("act") >= 0;
    const bool open = normalise && std::get<std::string>(node.attrs[1]) == "relu";
    return {rows,
            k,
            other.dims.back(),
            normalise || !is_half(x.dtype) ? std::clamp<int64_t>(kBlock / k / 8 * 8, 128, kGemmDepth)
                                           : std::clamp<int64_t>(kResults / other.dims.back() / 64 * 64, 64, 1024),
            normalise,
            normalise ? node.float_attr("epsilon") : 0.0,
            open ? std::numeric_limits<float>::infinity() : 6.0f,
            max_threads()};
}

std::string refuse(const Graph& g, const Node& node) {
    if (current_isa() < Isa::avx512) return "for AVX-512 only";
    const TensorType& x = input_type(g, node, 0);
    if (x.dtype != DType::f32 && !is_half(x.dtype)) return "for float32 and 16 bits only";
    if (is_half(x.dtype) && native_products(x.dtype)) return concat("the CPU multiplies ", name(x.dtype), " itself");
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        const TensorType& t = input_type(g, node, i);
        const bool filter = t.rank() > 1 && !is_rows(node, i);
        if (t.dtype != (is_rows(node, i) ? x.dtype : DType::f32) && !(filter && is_half(t.dtype)))
            return concat("rows of ", name(x.dtype), " beside ", name(t.dtype));
    }
    for (size_t i = 0; i < node.types.size(); ++i)
        if (node.types[i].dtype != (i == 0 && !node.is("norm_pointwise_grad") ? x.dtype : DType::f32))
            return concat("a result in ", name(node.types[i].dtype));
    if (x.size() == 0) return "no elements";
    if (static_cast<int64_t>(std::max(x.bytes(), node.types[0].bytes())) < kLeastBytes) return "a tensor that stays in the cache";
    if (is_half(x.dtype) && node.types[0].dtype == x.dtype && node.types[0].dims.back() > x.size() / x.dims.back())
        return "the filter is the larger operand, and is divided instead of the rows";
    if (node.op->attr_index("act") < 0) return "";
    const auto& act = std::get<std::string>(node.attrs[1]);
    const bool none = act == "none" && node.op->name.find("pointwise_norm_grad") != std::string_view::npos;
    if (act != "relu" && act != "relu6" && !none) return concat("activation ", act);
    if (x.dims.back() > 1024) return "rows too long for a block of them";
    return "";
}

// Calls f(rows normalised, or as they are, or null for those in 16 bits, first row, rows, rows of the next block, slot) for
// blocks of the rows, those of a slot in order.
template <class S, class F>
void for_blocks_of_rows(const Plan& p, const KernelArgs& a, F&& f) {
    const auto vector = [&](size_t i) { return static_cast<const float*>(a.in[i]); };
    const S* x = static_cast<const S*>(a.in[0]);
    auto* scale = reinterpret_cast<float*>(a.scratch);
    if (p.normalise) set_scales(p.k, p.epsilon, vector(1), vector(4), scale);
    parallel_slots(p.threads, p.rows, p.k * p.n, [&](int64_t begin, int64_t end, int64_t slot) {
        auto* block = reinterpret_cast<float*>(a.scratch + p.vector_bytes() + static_cast<size_t>(slot) * p.block_bytes());
        for (int64_t r = begin; r < end; r += p.block) {
            const int64_t count = std::min(p.block, end - r), following = std::min(p.block, end - r - count);
            const S* rows = x + r * p.k;
            const float* left = nullptr;
            if constexpr (std::is_same_v<S, float>) left = rows;
            if (p.normalise) {
                column_kernels<S>().affine_wide(rows, count, p.k, vector(3), scale, vector(2), 0.0f, p.high, block);
                left = block;
            }
            f(left, r, count, following, slot);
        }
    });
}

// dw[k, n] = the sum of the partial results of the slots that have seen rows; flipped ones are [n, k].
void add_up(const float* partial, const std::vector<int64_t>& seen, int64_t k, int64_t n, bool flipped, float* dw) {
    const auto slots = static_cast<int64_t>(seen.size());
    parallel_ranges(k, n * slots, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            for (int64_t j = 0; j < n; ++j) {
                float sum = 0;
                for (int64_t slot = 0; slot < slots; ++slot)
                    if (seen[static_cast<size_t>(slot)] > 0) sum += partial[slot * k * n + (flipped ? j * k + i : i * n + j)];
                dw[i * n + j] = sum;
            }
    });
}

// c = or += x^T y, flipped y^T x, for blocks of rows of x [rows, k] and y [rows, n], while what is next comes into the cache.
void add_product(const float* x, int64_t k, const float* y, int64_t n, int64_t rows, bool flipped, bool accumulate, float* pack,
                 float* c, Next first, Next second = {}) {
    GemmArgs<float> m{};
    m.a = flipped ? y : x, m.a_row = 1, m.a_col = flipped ? n : k;
    m.b = flipped ? x : y, m.b_row = flipped ? k : n, m.b_col = 1;
    m.c = c, m.ldc = m.b_row;
    m.m = m.a_col, m.n = m.b_row, m.k = rows;
    m.accumulate = accumulate;
    m.pack = pack;
    m.next[0] = {first.at, first.count};
    m.next[1] = {second.at, second.count};
    row_kernels<float>().gemm(m);
}

}  // namespace

namespace own_norm_pointwise {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

// y, and its moments where the node has outputs for them.
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const Plan p = plan_of(g, node);
    const Filter filter(g, node, node.inputs.size() - 1, false);
    const DType type = node.types[0].dtype;
    const bool moments = node.types.size() > 1, mixed = is_half(type);
    // Scratch: x's blocks; what products pack; sums; the filter.
    const size_t pack_at = p.vector_bytes() + static_cast<size_t>(p.threads) * p.block_bytes();
    const int64_t pack = mixed ? kMixedPackElements : gemm_pack_elements(p.block, p.k, false);
    const size_t sums_at = round_up(pack_at + static_cast<size_t>(pack * p.threads) * sizeof(float));
    const size_t filter_at = round_up(sums_at + (moments ? static_cast<size_t>(p.threads) * Sums<float>::bytes(p.n) : 0));
    return with_stored(type, [&](auto stored) {
        using S = decltype(stored);
        const auto run = [=](const KernelArgs& a) {
            GemmArgs<float> product{};
            if (!mixed) filter.pack(a, a.scratch + filter_at, product);
            std::vector<double> counts(static_cast<size_t>(p.threads), 0.0);  // rows of each slot
            for_blocks_of_rows<S>(p, a, [&](const float* block, int64_t row, int64_t rows, int64_t following, int64_t slot) {
                S* const y = static_cast<S*>(a.out[0]) + row * p.n;
                const S* const x = static_cast<const S*>(a.in[0]) + row * p.k;
                float* const packed = reinterpret_cast<float*>(a.scratch + pack_at) + slot * pack;
                if constexpr (std::is_same_v<S, float>) {
                    GemmArgs<float> m = product;
                    m.a = block, m.a_row = p.k, m.a_col = 1;
                    m.c = y, m.ldc = p.n;
                    m.m = rows;
                    m.pack = packed;
                    m.next[0] = {x + rows * p.k, following * p.k};
                    row_kernels<float>().gemm(m);
                } else {  // tiles are narrowed while they are in the first-level cache
                    MixedGemmArgs m{};
                    m.a = {x, stored_as(type), p.k, 1};
                    if (block != nullptr) m.a = {block, Stored::f32, p.k, 1};
                    m.b = {a.in[filter.input], stored_as(filter.type), p.n, 1};
                    m.c = y, m.c_type = stored_as(type), m.ldc = p.n;
                    m.m = rows, m.n = p.n, m.k = p.k;
                    m.pack = packed;
                    own_kernels().mixed_gemm(m);
                }
                if (!moments) return;
                double& count = counts[static_cast<size_t>(slot)];
                column_kernels<S>().moments(y, rows, p.n, count, Sums<float>(a.scratch + sums_at, p.n, slot).moments(p.n));
                count += static_cast<double>(rows);
            });
            if (moments)
                finish_moments(a.scratch + sums_at, p.n, counts, static_cast<float*>(a.out[1]), static_cast<float*>(a.out[2]));
        };
        return make_kernel(concat("own:", node.op->name), run, filter_at + (mixed ? 0 : filter.bytes()));
    });
}
}  // namespace own_norm_pointwise

namespace own_norm_pointwise_grad {
std::string match(const Graph& g, const Node& node) {
    if (std::string why = refuse(g, node); !why.empty()) return why;
    const Plan p = plan_of(g, node);
    if (8 * p.k * p.n * p.threads >= (p.k + p.n) * p.rows) return "a sum too short for partial results";
    return "";
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const Plan p = plan_of(g, node);
    const bool flipped = is_flipped({.m = p.k, .n = p.n, .k = p.rows, .transpose_a = true}, true);
    const size_t pack_at = p.vector_bytes() + static_cast<size_t>(p.threads) * p.block_bytes();
    const int64_t pack = gemm_pack_elements(std::max(p.k, p.n), p.block, true), size = p.k * p.n;
    const DType type = input_type(g, node, 5).dtype;
    const int64_t wide = is_half(type) ? p.block * p.n : 0;  // of dy, after what products pack and the partial results
    return with_stored(type, [&](auto stored) {
        using S = decltype(stored);
        const auto run = [=](const KernelArgs& a) {
            float* const partial = reinterpret_cast<float*>(a.scratch + pack_at) + pack * p.threads;
            std::vector<int64_t> seen(static_cast<size_t>(p.threads), 0);  // rows of each slot
            for_blocks_of_rows<S>(p, a, [&](const float* block, int64_t row, int64_t rows, int64_t following, int64_t slot) {
                const S* const dy = static_cast<const S*>(a.in[5]) + row * p.n;
                const float* rows_of_dy;
                if constexpr (std::is_same_v<S, float>) {
                    rows_of_dy = dy;
                } else {
                    float* const room = partial + size * p.threads + slot * wide;
                    widen_to_float(kTypeOf<S>, dy, rows * p.n, room);
                    rows_of_dy = room;
                }
                add_product(block, p.k, rows_of_dy, p.n, rows, flipped, seen[static_cast<size_t>(slot)] > 0,
                            reinterpret_cast<float*>(a.scratch + pack_at) + slot * pack, partial + slot * size,
                            {static_cast<const S*>(a.in[0]) + (row + rows) * p.k, following * p.k},
                            {dy + rows * p.n, following * p.n});
                seen[static_cast<size_t>(slot)] += rows;
            });
            add_up(partial, seen, p.k, p.n, flipped, static_cast<float*>(a.out[0]));
        };
        return make_kernel("own:norm_pointwise_grad", run,
                           pack_at + static_cast<size_t>((pack + size + wide) * p.threads) * sizeof(float));
    });
}
}  // namespace own_norm_pointwise_grad

// Gradients of a normalisation of y and of the 1x1 convolution before it; inputs y, gamma, beta, mean, variance, dz, x and
// further ones, outputs dx, dw, dgamma, dbeta.
namespace own_pointwise_norm_grad {

struct GradPlan {
    int64_t n, k, rows, block;  // y is [rows, n], x [rows, k]
    double epsilon, x_epsilon;
    Cut<float> x_cut;  // of x's own normalisation
    float high;        // where y's activation stops, NaN: nowhere
    bool open;         // y has an activation
    bool normalise;    // x, before it is multiplied; its gamma is input 7
    bool join;         // input 8 is added to dx
    bool mask;         // and dx is that of x's ReLU
    bool flipped;      // dw is computed as its transpose
    bool narrow;       // rows are stored in 16 bits
    int threads;
};

std::string act_of(const Node& node, std::string_view attr) {
    const int at = node.op->attr_index(attr);
    return at < 0 ? "none" : std::get<std::string>(node.attrs[static_cast<size_t>(at)]);
}

GradPlan grad_plan_of(const Graph& g, const Node& node) {
    const int64_t n = input_type(g, node, 0).dims.back(), rows = input_type(g, node, 0).size() / n,
                  k = input_type(g, node, 6).dims.back();
    const bool normalise = node.is("norm_pointwise_norm_grad"), join = node.is("pointwise_norm_grad_join");
    const std::string act = act_of(node, "act"), x_act = act_of(node, "x_act");
    return {n,
            k,
            rows,
            std::clamp<int64_t>(kBlock / n / 8 * 8, 128, kGemmDepth),
            node.float_attr("epsilon"),
            normalise ? node.float_attr("x_epsilon") : 0.0,
            Cut<float>(normalise ? act_from_name(x_act).value() : Act::none),
            act == "relu6" ? 6.0f : std::numeric_limits<float>::quiet_NaN(),
            act != "none",
            normalise,
            join,
            join && x_act == "relu",
            is_flipped({.m = k, .n = n, .k = rows, .transpose_a = true}, true),
            is_half(input_type(g, node, 0).dtype),
            max_threads()};
}

std::string match(const Graph& g, const Node& node) {
    if (std::string why = refuse(g, node); !why.empty()) return why;
    const std::string x_act = act_of(node, "x_act");
    if (x_act != "none" && x_act != "relu" && (x_act != "relu6" || node.is("pointwise_norm_grad_join")))
        return concat("activation ", x_act);
    const GradPlan p = grad_plan_of(g, node);
    if (8 * p.k * p.n * p.threads >= (p.k + p.n) * p.rows) return "a sum too short for partial results";
    return "";
}

// Scratch: factors; of each slot sums in double and float, blocks, what products pack; partial results of dw; the filter.
struct GradScratch {
    int64_t pack;
    size_t x_scale, sums, dy, x, dx, packed, slot_bytes, partial, filter, bytes;

    GradScratch(const GradPlan& p, const Filter& w)
        : pack(gemm_pack_elements(std::max({p.k, p.n, p.block}), std::max(p.block, p.n), true)) {
        const auto floats = [](int64_t count) { return round_up(static_cast<size_t>(count) * sizeof(float)); };
        x_scale = floats(4 * p.n);
        sums = x_scale + floats(p.k);
        dy = floats(6 * p.n);  // from here on within a slot
        x = dy + floats(p.block * p.n);
        dx = x + (p.normalise || p.narrow ? floats(p.block * p.k) : 0);
        packed = dx + (p.join || p.narrow ? floats(p.block * p.k) : 0);
        slot_bytes = packed + floats(pack);
        partial = sums + static_cast<size_t>(p.threads) * slot_bytes;
        filter = partial + floats(p.k * p.n * p.threads);
        bytes = filter + w.bytes();
    }
};

// What the passes of a run share.
template <class S>
struct GradRun {
    static constexpr bool kNarrow = !std::is_same_v<S, float>;
    const GradPlan& p;
    const GradScratch& s;
    const KernelArgs& args;
    float *scale, *x_scale;
    GemmArgs<float> product{};  // dx = dy w^T
    GradFactors<float> factors;
    OpenRange<float> range;

    GradRun(const GradPlan& plan, const GradScratch& scratch, const Filter& filter, const KernelArgs& a)
        : p(plan),
          s(scratch),
          args(a),
          scale(reinterpret_cast<float*>(a.scratch)),
          x_scale(reinterpret_cast<float*>(a.scratch + scratch.x_scale)),
          factors{scale + plan.n, scale + 2 * plan.n, scale + 3 * plan.n},
          range{scale, in(2), 0.0f, plan.high} {
        filter.pack(a, a.scratch + s.filter, product);
        set_scales(p.n, p.epsilon, in(1), in(4), scale);
        if (p.normalise) set_scales(p.k, p.x_epsilon, in(7), in(10), x_scale);
    }
    [[nodiscard]] const float* in(size_t i) const { return static_cast<const float*>(args.in[i]); }
    [[nodiscard]] const S* rows(size_t i, int64_t at) const { return static_cast<const S*>(args.in[i]) + at; }
    [[nodiscard]] float* out(size_t i) const { return static_cast<float*>(args.out[i]); }
    [[nodiscard]] const OpenRange<float>* open() const { return p.open ? &range : nullptr; }
    [[nodiscard]] float* block(int64_t slot, size_t at) const {
        return reinterpret_cast<float*>(args.scratch + s.sums + static_cast<size_t>(slot) * s.slot_bytes + at);
    }
    [[nodiscard]] double* total(int64_t slot) const { return reinterpret_cast<double*>(block(slot, 0)); }

    void find_factors() const {
        const int64_t n = p.n, block = p.block;
        for (int slot = 0; slot < p.threads; ++slot) std::fill_n(total(slot), 2 * n, 0.0);
        parallel_slots(p.threads, p.rows, 2 * n, [&](int64_t begin, int64_t end, int64_t slot) {
            auto* sums = reinterpret_cast<float*>(total(slot) + 2 * n);
            for (int64_t last = end; last > begin; last -= std::min(block, last - begin)) {  // backwards, as in own_norm.cpp
                const int64_t count = std::min(block, last - begin), r = last - count;
                std::fill_n(sums, 2 * n, 0.0f);
                column_kernels<S>().norm_sums(rows(0, r * n), rows(5, r * n), count, n, in(3), open(), sums, sums + n);
                for (int64_t i = 0; i < 2 * n; ++i) total(slot)[i] += static_cast<double>(sums[i]);
            }
        });
        for (int slot = 1; slot < p.threads; ++slot)
            for (int64_t i = 0; i < 2 * n; ++i) total(0)[i] += total(slot)[i];
        set_grad_factors(n, p.rows, p.epsilon, in(1), in(4), total(0), factors, out(2), out(3));
    }

    // The products of rows [r, r + count), while the next `following` rows come into the cache.
    void multiply(int64_t r, int64_t count, int64_t following, int64_t slot, bool first) const {
        const ColumnKernels<S>& columns = column_kernels<S>();
        const int64_t n = p.n, k = p.k, after = r + count;
        float *dy = block(slot, s.dy), *pack = block(slot, s.packed), *wide_dx = block(slot, s.dx);
        S* const rows_of_dx = static_cast<S*>(args.out[0]) + r * k;
        if constexpr (!kNarrow)
            if (!p.join) wide_dx = rows_of_dx;
        columns.norm_grad_wide(rows(0, r * n), rows(5, r * n), count, n, in(3), open(), factors.on_dy, factors.on_x,
                               factors.constant, dy);
        GemmArgs<float> m = product;
        m.a = dy, m.a_row = n, m.a_col = 1;
        m.c = wide_dx, m.ldc = k;
        m.m = count;
        m.pack = pack;
        const Next next[2] = {{rows(0, after * n), following * n}, {rows(5, after * n), following * n}};
        for (int i = 0; i < 2; ++i) m.next[i] = {next[i].at, next[i].count};
        row_kernels<float>().gemm(m);
        const S* const x = rows(6, r * k);
        if (p.join)
            columns.add_where_positive(rows(8, r * k), wide_dx, p.mask ? x : nullptr, count * k, rows_of_dx);
        else if constexpr (kNarrow)
            narrow_from_float(kTypeOf<S>, wide_dx, count * k, rows_of_dx);
        add_product(left(x, count, slot), k, dy, n, count, p.flipped, !first, pack, partial(slot),
                    {rows(6, after * k), following * k}, p.join ? Next{rows(8, after * k), following * k} : Next{});
    }
    // What was multiplied with w: rows of x, or their normalisation.
    [[nodiscard]] const float* left(const S* x, int64_t count, int64_t slot) const {
        float* const z = block(slot, s.x);
        if (p.normalise)
            column_kernels<S>().affine_wide(x, count, p.k, in(9), x_scale, in(8), p.x_cut.low, p.x_cut.high, z);
        else if constexpr (kNarrow)
            widen_to_float(kTypeOf<S>, x, count * p.k, z);
        else
            return x;
        return z;
    }
    [[nodiscard]] float* partial(int64_t slot) const {
        return reinterpret_cast<float*>(args.scratch + s.partial) + slot * p.k * p.n;
    }
};

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const GradPlan p = grad_plan_of(g, node);
    const Filter filter(g, node, p.normalise ? 11 : 7, true);
    const GradScratch s(p, filter);
    return with_stored(node.types[0].dtype, [&](auto stored) {
        using S = decltype(stored);
        const auto run = [=](const KernelArgs& args) {
            const GradRun<S> grad(p, s, filter, args);
            grad.find_factors();
            std::vector<int64_t> seen(static_cast<size_t>(p.threads), 0);  // rows of each slot
            parallel_slots(p.threads, p.rows, 2 * p.k * p.n, [&](int64_t begin, int64_t end, int64_t slot) {
                int64_t& before = seen[static_cast<size_t>(slot)];
                for (int64_t r = begin; r < end; r += p.block) {
                    const int64_t count = std::min(p.block, end - r);
                    grad.multiply(r, count, std::min(p.block, end - r - count), slot, before == 0);
                    before += count;
                }
            });
            add_up(grad.partial(0), seen, p.k, p.n, p.flipped, grad.out(1));
        };
        return make_kernel(concat("own:", node.op->name), run, s.bytes, p.join ? 8 : -1);
    });
}
}  // namespace own_pointwise_norm_grad

}  // namespace fk::cpu
