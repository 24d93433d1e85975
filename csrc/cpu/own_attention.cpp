// Attention and its gradient: heads are handed out to the team, the loops over targets are kernels/own_attention.cpp.
#include <cmath>

#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

struct AttentionPlan {
    int64_t batch = 0, heads = 0, groups = 0;
    AttentionHead head{};  // without what differs from head to head
    bool masked = false, mask_is_scalar = false;
    Dims mask_strides;  // in elements; 0 where the mask repeats
    size_t head_scratch = 0;
    int threads = 1;

    // What differs: the mask and the random numbers of one head.
    [[nodiscard]] AttentionHead at(const KernelArgs& a, int64_t b, int64_t h) const {
        AttentionHead out = head;
        const auto* mask = static_cast<const uint8_t*>(a.in[3]);
        if (!mask_is_scalar || *mask == 0) out.mask = mask + b * mask_strides[0] + h * mask_strides[1];
        const auto* key = static_cast<const uint32_t*>(a.in[4]);
        out.key_0 = key[0];
        out.key_1 = key[1];
        out.first_word = static_cast<uint64_t>((b * heads + h) * head.targets * head.sources);
        return out;
    }
    [[nodiscard]] int64_t work() const { return head.targets * head.sources * (head.depth + head.value_depth + 16) / 4; }
    [[nodiscard]] float* scratch(const KernelArgs& a, int64_t slot) const {
        return reinterpret_cast<float*>(a.scratch + static_cast<size_t>(slot) * head_scratch);
    }
};

AttentionPlan plan_attention(const Graph& g, const Node& node) {
    const Dims &q = input_type(g, node, 0).dims, &k = input_type(g, node, 1).dims, &v = input_type(g, node, 2).dims;
    AttentionPlan p;
    p.batch = q[0];
    p.heads = q[2];
    p.groups = k[2];
    AttentionHead& h = p.head;
    h.targets = q[1];
    h.sources = k[1];
    h.depth = q[3];
    h.value_depth = v[3];
    h.q_row = q[2] * q[3];
    h.k_row = k[2] * k[3];
    h.v_row = v[2] * v[3];
    h.out_row = q[2] * v[3];
    h.scale = static_cast<float>(node.float_attr("scale"));
    h.causal = node.bool_attr("causal");
    h.blank_zero = node.bool_attr("blank_zero");
    const auto rate = static_cast<float>(node.float_attr("rate"));
    h.threshold = static_cast<uint32_t>(std::ceil(static_cast<double>(rate) * 0x1p24));
    h.keep_scale = static_cast<float>(1.0 / (1.0 - node.float_attr("rate")));
    const Dims& mask = input_type(g, node, 3).dims;
    p.mask_strides = row_major_strides(mask);
    for (size_t i = 0; i < 4; ++i)
        if (mask[i] == 1) p.mask_strides[i] = 0;
    p.mask_is_scalar = product(mask) == 1;
    h.mask_row = p.mask_strides[2];
    h.mask_col = p.mask_strides[3];
    p.threads = max_threads();
    p.head_scratch = round_up(static_cast<size_t>(own_kernels().attention_scratch(h)) * sizeof(float));
    return p;
}

std::string refuse(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    if (t == DType::f64) return "float64";
    for (size_t i = 0; i < 3; ++i)
        if (input_type(g, node, i).size() == 0) return "an empty operand";
    return "";
}

}  // namespace

namespace own_attention {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const AttentionPlan p = plan_attention(g, node);
    const int64_t heads = p.batch * p.heads;
    // Few heads are cut into ranges of targets.
    const int64_t cuts = heads >= p.threads ? 1 : std::min<int64_t>((p.threads + heads - 1) / heads, (p.head.targets + 31) / 32);
    const RunFn body = [=](const KernelArgs& a) {
        parallel_slots(p.threads, heads * cuts, p.work() / cuts, [&](int64_t begin, int64_t end, int64_t slot) {
            for (int64_t item = begin; item < end; ++item) {
                const int64_t b = item / cuts / p.heads, h = item / cuts % p.heads, group = h / (p.heads / p.groups);
                const AttentionHead head = p.at(a, b, h);
                const auto in = [&](size_t i, int64_t length, int64_t row, int64_t at) {
                    return static_cast<const float*>(a.in[i]) + b * length * row + at;
                };
                const Slice targets = slice_of(head.targets, static_cast<int>(item % cuts), static_cast<int>(cuts));
                own_kernels().attention_forward(
                    head,
                    {in(0, head.targets, head.q_row, h * head.depth), in(1, head.sources, head.k_row, group * head.depth),
                     in(2, head.sources, head.v_row, group * head.value_depth),
                     static_cast<float*>(a.out[0]) + b * head.targets * head.out_row + h * head.value_depth,
                     static_cast<float*>(a.out[1]) + (b * p.heads + h) * head.targets * 2, targets.begin, targets.end},
                    p.scratch(a, slot));
            }
        });
    };
    return make_widened(g, node, "own:attention", body, p.head_scratch * static_cast<size_t>(p.threads));
}
}  // namespace own_attention

namespace own_attention_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const AttentionPlan p = plan_attention(g, node);
    const int64_t shared = p.heads / p.groups;
    const RunFn body = [=](const KernelArgs& a) {
        parallel_slots(p.threads, p.batch * p.groups, 3 * shared * p.work(), [&](int64_t begin, int64_t end, int64_t slot) {
            for (int64_t item = begin; item < end; ++item) {
                const int64_t b = item / p.groups, group = item % p.groups;
                const AttentionHead& all = p.head;
                const int64_t q_at = b * all.targets * all.q_row, out_at = b * all.targets * all.out_row;
                const int64_t k_at = b * all.sources * all.k_row + group * all.depth;
                const int64_t v_at = b * all.sources * all.v_row + group * all.value_depth;
                const auto in = [&](size_t i) { return static_cast<const float*>(a.in[i]); };
                const auto out = [&](size_t i) { return static_cast<float*>(a.out[i]); };
                for (int64_t s = 0; s < all.sources; ++s) {
                    std::fill_n(out(1) + k_at + s * all.k_row, all.depth, 0.0f);
                    std::fill_n(out(2) + v_at + s * all.v_row, all.value_depth, 0.0f);
                }
                for (int64_t h = group * shared; h < (group + 1) * shared; ++h)
                    own_kernels().attention_backward(
                        p.at(a, b, h),
                        {in(0) + q_at + h * all.depth, in(1) + k_at, in(2) + v_at, in(5) + (b * p.heads + h) * all.targets * 2,
                         in(6) + out_at + h * all.value_depth, out(0) + q_at + h * all.depth, out(1) + k_at, out(2) + v_at},
                        p.scratch(a, slot));
            }
        });
    };
    return make_widened(g, node, "own:attention_grad", body, p.head_scratch * static_cast<size_t>(p.threads));
}
}  // namespace own_attention_grad

}  // namespace fk::cpu
