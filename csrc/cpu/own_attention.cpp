// Attention and its gradient: heads are handed out to the team, the loops over targets are kernels/own_attention.cpp.
#include <cmath>

#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

// The rows of an operand that belong to one head, as the kernel takes them: where they lie if they are floats, widened in
// scratch, side by side, if they are stored in 16 bits.
struct HeadRows {
    DType type = DType::f32;
    int64_t count = 0, width = 0, row = 0;  // rows are `row` elements apart

    [[nodiscard]] int64_t kernel_row() const { return is_half(type) ? width : row; }
    [[nodiscard]] int64_t scratch() const { return is_half(type) ? (count * width + 15) / 16 * 16 : 0; }
    // `at` is the element at which the head's first row begins. Takes its scratch from `from`.
    float* place(void* data, int64_t at, float*& from) const {
        float* const in_scratch = std::exchange(from, from + scratch());
        return is_half(type) ? in_scratch : static_cast<float*>(data) + at;
    }
    const float* read(const void* data, int64_t at, const Slice& rows, float*& from) const {
        float* const in_scratch = std::exchange(from, from + scratch());
        if (!is_half(type)) return static_cast<const float*>(data) + at;
        for (int64_t r = rows.begin; r < rows.end; ++r)
            widen_to_float(type, static_cast<const uint16_t*>(data) + at + r * row, width, in_scratch + r * width);
        return in_scratch;
    }
    void write(const float* placed, const Slice& rows, void* data, int64_t at) const {
        for (int64_t r = rows.begin; is_half(type) && r < rows.end; ++r)
            narrow_from_float(type, placed + r * width, width, static_cast<uint16_t*>(data) + at + r * row);
    }
};

struct AttentionPlan {
    int64_t batch = 0, heads = 0, groups = 0;
    AttentionHead head{};  // without what differs from head to head
    HeadRows q, k, v, out;
    bool masked = false, mask_is_scalar = false;
    Dims mask_strides;  // in elements; 0 where the mask repeats
    int64_t kernel_scratch = 0;
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
    // The element at which the rows of a head, of batch item `b`, begin.
    [[nodiscard]] int64_t begin_of(const HeadRows& rows, int64_t b, int64_t h) const {
        return b * rows.count * rows.row + h * rows.width;
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
    const DType type = input_type(g, node, 0).dtype;
    p.q = {type, h.targets, h.depth, q[2] * q[3]};
    p.k = {type, h.sources, h.depth, k[2] * k[3]};
    p.v = {type, h.sources, h.value_depth, v[2] * v[3]};
    p.out = {type, h.targets, h.value_depth, q[2] * v[3]};
    h.q_row = p.q.kernel_row();
    h.k_row = p.k.kernel_row();
    h.v_row = p.v.kernel_row();
    h.out_row = p.out.kernel_row();
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
    p.kernel_scratch = (own_kernels().attention_scratch(h) + 15) / 16 * 16;
    const int64_t rows = p.q.scratch() + p.k.scratch() + p.v.scratch() + p.out.scratch();
    p.head_scratch = static_cast<size_t>(p.kernel_scratch + 2 * rows) * sizeof(float);  // operands and their gradients
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
                const Slice targets = slice_of(head.targets, static_cast<int>(item % cuts), static_cast<int>(cuts)),
                            sources{0, head.sources};
                float* const scratch = p.scratch(a, slot);
                float* rows = scratch + p.kernel_scratch;
                const int64_t out_at = p.begin_of(p.out, b, h);
                const float *q = p.q.read(a.in[0], p.begin_of(p.q, b, h), targets, rows),
                            *k = p.k.read(a.in[1], p.begin_of(p.k, b, group), sources, rows),
                            *v = p.v.read(a.in[2], p.begin_of(p.v, b, group), sources, rows);
                float* const out = p.out.place(a.out[0], out_at, rows);
                own_kernels().attention_forward(
                    head,
                    {q, k, v, out, static_cast<float*>(a.out[1]) + (b * p.heads + h) * head.targets * 2, targets.begin,
                     targets.end},
                    scratch);
                p.out.write(out, targets, a.out[0], out_at);
            }
        });
    };
    return make_kernel("own:attention", body, p.head_scratch * static_cast<size_t>(p.threads));
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
                const Slice targets{0, p.head.targets}, sources{0, p.head.sources};
                float* const scratch = p.scratch(a, slot);
                float* rows = scratch + p.kernel_scratch;
                const int64_t k_at = p.begin_of(p.k, b, group), v_at = p.begin_of(p.v, b, group);
                const float *k = p.k.read(a.in[1], k_at, sources, rows), *v = p.v.read(a.in[2], v_at, sources, rows);
                float *const dk = p.k.place(a.out[1], k_at, rows), *const dv = p.v.place(a.out[2], v_at, rows);
                for (int64_t s = 0; s < sources.end; ++s) {
                    std::fill_n(dk + s * p.head.k_row, p.head.depth, 0.0f);
                    std::fill_n(dv + s * p.head.v_row, p.head.value_depth, 0.0f);
                }
                for (int64_t h = group * shared; h < (group + 1) * shared; ++h) {
                    const int64_t q_at = p.begin_of(p.q, b, h);
                    float* of_head = rows;
                    const float *q = p.q.read(a.in[0], q_at, targets, of_head),
                                *dy = p.out.read(a.in[6], p.begin_of(p.out, b, h), targets, of_head);
                    float* const dq = p.q.place(a.out[0], q_at, of_head);
                    const float* statistics = static_cast<const float*>(a.in[5]) + (b * p.heads + h) * targets.end * 2;
                    own_kernels().attention_backward(p.at(a, b, h), {q, k, v, statistics, dy, dq, dk, dv}, scratch);
                    p.q.write(dq, targets, a.out[0], q_at);
                }
                p.k.write(dk, sources, a.out[1], k_at);
                p.v.write(dv, sources, a.out[2], v_at);
            }
        });
    };
    return make_kernel("own:attention_grad", body, p.head_scratch * static_cast<size_t>(p.threads));
}
}  // namespace own_attention_grad

}  // namespace fk::cpu
