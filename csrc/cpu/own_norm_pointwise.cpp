// Products whose first operand is normalised on the way: a block of rows at a time, into scratch that stays in the cache. The
// normalised tensor is neither written to memory nor read back.
#include <cmath>
#include <limits>

#include "cpu/epilogue.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/matmul_shape.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

constexpr int64_t kLeastBytes = int64_t{1} << 20;  // smaller tensors stay in the cache anyway
constexpr int64_t kBlock = 65536;                  // elements normalised at a time, about

struct Plan {
    int64_t rows, k, n;  // x is [rows, k], the other operand or the result has n columns
    int64_t block;       // rows at a time
    double epsilon;
    float high;
    int threads;

    [[nodiscard]] size_t vector_bytes() const { return round_up(static_cast<size_t>(k) * sizeof(float)); }
    [[nodiscard]] size_t block_bytes() const { return round_up(static_cast<size_t>(block * k) * sizeof(float)); }
};

Plan plan_of(const Graph& g, const Node& node) {
    const TensorType& x = input_type(g, node, 0);
    const int64_t k = x.dims.back(), rows = x.size() / k;
    const TensorType& other = node.is("norm_pointwise") ? node.types[0] : input_type(g, node, 5);
    const bool open = std::get<std::string>(node.attrs[1]) == "relu";
    return {rows,
            k,
            other.dims.back(),
            std::clamp<int64_t>(kBlock / k / 8 * 8, 128, kGemmDepth),
            node.float_attr("epsilon"),
            open ? std::numeric_limits<float>::infinity() : 6.0f,
            max_threads()};
}

std::string refuse(const Graph& g, const Node& node) {
    if (current_isa() < Isa::avx512) return "for AVX-512 only";
    for (size_t i = 0; i < node.inputs.size(); ++i)
        if (input_type(g, node, i).dtype != DType::f32) return "for float32 only";
    const auto& act = std::get<std::string>(node.attrs[1]);
    if (act != "relu" && act != "relu6") return concat("activation ", act);
    const TensorType& x = input_type(g, node, 0);
    if (static_cast<int64_t>(x.bytes()) < kLeastBytes) return "a tensor that stays in the cache";
    if (x.dims.back() > 1024) return "rows too long for a block of them";
    return "";
}

// Calls f(rows normalised, first row, rows, slot) for blocks of the rows, those of a slot in order.
template <class F>
void for_normalised(const Plan& p, const KernelArgs& a, F&& f) {
    const auto vector = [&](size_t i) { return static_cast<const float*>(a.in[i]); };
    const float *x = vector(0), *gamma = vector(1), *beta = vector(2), *mean = vector(3), *variance = vector(4);
    auto* scale = reinterpret_cast<float*>(a.scratch);
    for (int64_t i = 0; i < p.k; ++i)
        scale[i] = static_cast<float>(static_cast<double>(gamma[i]) / std::sqrt(static_cast<double>(variance[i]) + p.epsilon));
    parallel_slots(p.threads, p.rows, p.k * p.n, [&](int64_t begin, int64_t end, int64_t slot) {
        auto* block = reinterpret_cast<float*>(a.scratch + p.vector_bytes() + static_cast<size_t>(slot) * p.block_bytes());
        for (int64_t r = begin; r < end; r += p.block) {
            const int64_t count = std::min(p.block, end - r);
            row_kernels<float>().column_affine(x + r * p.k, count, p.k, mean, scale, beta, 0.0f, p.high, block);
            f(block, r, count, slot);
        }
    });
}

}  // namespace

namespace own_norm_pointwise {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const Plan p = plan_of(g, node);
    const size_t pack_at = p.vector_bytes() + static_cast<size_t>(p.threads) * p.block_bytes();
    const int64_t pack = gemm_pack_elements(p.block, p.k, false);
    const auto run = [=](const KernelArgs& a) {
        for_normalised(p, a, [&](const float* block, int64_t row, int64_t rows, int64_t slot) {
            GemmArgs<float> m{};
            m.a = block, m.a_row = p.k, m.a_col = 1;
            m.b = static_cast<const float*>(a.in[5]), m.b_row = p.n, m.b_col = 1;
            m.c = static_cast<float*>(a.out[0]) + row * p.n, m.ldc = p.n;
            m.m = rows, m.n = p.n, m.k = p.k;
            m.pack = reinterpret_cast<float*>(a.scratch + pack_at) + slot * pack;
            row_kernels<float>().gemm(m);
        });
    };
    return make_kernel("own:norm_pointwise", run, pack_at + static_cast<size_t>(pack * p.threads) * sizeof(float));
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
    const auto run = [=](const KernelArgs& a) {
        float* partial = reinterpret_cast<float*>(a.scratch + pack_at) + pack * p.threads;
        std::vector<int64_t> seen(static_cast<size_t>(p.threads), 0);  // rows of each slot
        for_normalised(p, a, [&](const float* block, int64_t row, int64_t rows, int64_t slot) {
            const float* dy = static_cast<const float*>(a.in[5]) + row * p.n;
            GemmArgs<float> m{};
            m.a = flipped ? dy : block, m.a_row = 1, m.a_col = flipped ? p.n : p.k;
            m.b = flipped ? block : dy, m.b_row = flipped ? p.k : p.n, m.b_col = 1;
            m.c = partial + slot * size, m.ldc = m.b_row;
            m.m = m.a_col, m.n = m.b_row, m.k = rows;
            m.accumulate = seen[static_cast<size_t>(slot)] > 0;
            m.pack = reinterpret_cast<float*>(a.scratch + pack_at) + slot * pack;
            row_kernels<float>().gemm(m);
            seen[static_cast<size_t>(slot)] += rows;
        });
        auto* dw = static_cast<float*>(a.out[0]);
        parallel_ranges(p.k, p.n * p.threads, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                for (int64_t j = 0; j < p.n; ++j) {
                    float sum = 0;
                    for (int slot = 0; slot < p.threads; ++slot)
                        if (seen[static_cast<size_t>(slot)] > 0)
                            sum += partial[slot * size + (flipped ? j * p.k + i : i * p.n + j)];
                    dw[i * p.n + j] = sum;
                }
        });
    };
    return make_kernel("own:norm_pointwise_grad", run, pack_at + static_cast<size_t>((pack + size) * p.threads) * sizeof(float));
}
}  // namespace own_norm_pointwise_grad

}  // namespace fk::cpu
