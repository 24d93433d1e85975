// The widening wrapper that gives every float kernel its float16 and bfloat16 forms.
#include "cpu/own_common.h"

#include "cpu/kernels/own_kernels.h"

namespace fk::cpu {
namespace {

bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }

void widen_buffer(DType t, const void* src, int64_t n, float* dst) {
    parallel_ranges(n, 1, [&](int64_t begin, int64_t end) {
        if (t == DType::bf16)
            own_kernels().widen_bf16(static_cast<const Bf16*>(src) + begin, end - begin, dst + begin);
        else
            own_kernels().widen_f16(static_cast<const F16*>(src) + begin, end - begin, dst + begin);
    });
}

void narrow_buffer(DType t, const float* src, int64_t n, void* dst) {
    parallel_ranges(n, 1, [&](int64_t begin, int64_t end) {
        if (t == DType::bf16)
            own_kernels().narrow_bf16(src + begin, end - begin, static_cast<Bf16*>(dst) + begin);
        else
            own_kernels().narrow_f16(src + begin, end - begin, static_cast<F16*>(dst) + begin);
    });
}

struct Wide {
    DType dtype;
    int64_t size;
    size_t offset;  // of the widened copy in scratch; unused unless dtype is 16 bits wide
};

}  // namespace

std::string check_compute_types(const Graph& graph, const Node& node) {
    const bool wide = input_type(graph, node, 0).dtype == DType::f64;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        const DType t = input_type(graph, node, i).dtype;
        if (i == 0 && !is_float(t)) return concat(name(t), " is not a floating type");
        if (is_float(t) && (t == DType::f64) != wide) return concat("mixes float64 with ", name(t));
    }
    return "";
}

std::unique_ptr<Kernel> make_widened(const Graph& graph, const Node& node, std::string text, RunFn body, size_t scratch, int inplace) {
    std::vector<Wide> in, out;
    size_t offset = round_up(scratch);
    bool any = false;
    const auto place = [&](const TensorType& t, std::vector<Wide>& list) {
        list.push_back({t.dtype, t.size(), offset});
        if (is_half(t.dtype)) {
            offset += round_up(static_cast<size_t>(t.size()) * sizeof(float));
            any = true;
        }
    };
    for (size_t i = 0; i < node.inputs.size(); ++i) place(input_type(graph, node, i), in);
    for (const TensorType& t : node.types) place(t, out);
    if (!any) return make_kernel(std::move(text), std::move(body), scratch, inplace);
    const auto run = [=, body = std::move(body)](const KernelArgs& a) {
        const void* inputs[8];
        void* outputs[8];
        for (size_t i = 0; i < in.size(); ++i) {
            inputs[i] = a.in[i];
            if (!is_half(in[i].dtype)) continue;
            auto* wide = reinterpret_cast<float*>(a.scratch + in[i].offset);
            widen_buffer(in[i].dtype, a.in[i], in[i].size, wide);
            inputs[i] = wide;
        }
        for (size_t i = 0; i < out.size(); ++i) outputs[i] = is_half(out[i].dtype) ? a.scratch + out[i].offset : a.out[i];
        body({inputs, outputs, a.scratch, a.state, a.errors});
        for (size_t i = 0; i < out.size(); ++i)
            if (is_half(out[i].dtype)) narrow_buffer(out[i].dtype, static_cast<const float*>(outputs[i]), out[i].size, a.out[i]);
    };
    check_internal(in.size() <= 8 && out.size() <= 8, "too many operands to widen");
    return make_kernel(std::move(text) + ":widened", run, offset);
}

}  // namespace fk::cpu
