// The ways by which float kernels get their float16 and bfloat16 forms: whole operands widened around a body, or rows
// widened a chunk at a time.
#include "cpu/own_common.h"

#include "cpu/kernels/own_kernels.h"

namespace fk::cpu {
namespace {

struct Wide {
    DType dtype;
    int64_t size;
    size_t offset;  // of the widened copy in scratch
    bool widened;
};

}  // namespace

void widen_to_float(DType t, const void* src, int64_t n, float* dst) {
    if (t == DType::bf16)
        own_kernels().widen_bf16(static_cast<const Bf16*>(src), n, dst);
    else
        own_kernels().widen_f16(static_cast<const F16*>(src), n, dst);
}

void narrow_from_float(DType t, const float* src, int64_t n, void* dst) {
    if (t == DType::bf16)
        own_kernels().narrow_bf16(src, n, static_cast<Bf16*>(dst));
    else
        own_kernels().narrow_f16(src, n, static_cast<F16*>(dst));
}

std::string check_compute_types(const Graph& graph, const Node& node) {
    const bool wide = input_type(graph, node, 0).dtype == DType::f64;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        const DType t = input_type(graph, node, i).dtype;
        if (i == 0 && !is_float(t)) return concat(name(t), " is not a floating type");
        if (is_float(t) && (t == DType::f64) != wide) return concat("mixes float64 with ", name(t));
    }
    return "";
}

std::unique_ptr<Kernel> make_widened(const Graph& graph, const Node& node, std::string text, RunFn body, size_t scratch,
                                     int inplace, OperandSet streamed, int shared_output) {
    constexpr size_t most = 12;
    std::vector<Wide> in, out;
    size_t offset = round_up(scratch);
    bool any = false;
    const auto place = [&](const TensorType& t, OperandSet bit, std::vector<Wide>& list) {
        const bool widened = is_half(t.dtype) && (streamed & bit) == 0;
        list.push_back({t.dtype, t.size(), offset, widened});
        if (widened) offset += round_up(static_cast<size_t>(t.size()) * sizeof(float));
        any = any || widened;
    };
    check_internal(node.inputs.size() <= most && node.types.size() <= most, "too many operands to widen");
    for (size_t i = 0; i < node.inputs.size(); ++i) place(input_type(graph, node, i), input_bit(static_cast<int>(i)), in);
    for (size_t i = 0; i < node.types.size(); ++i) place(node.types[i], output_bit(static_cast<int>(i)), out);
    // A buffer shared with a widened operand would be read and written in different widths.
    const auto type_in = [&] { return in[static_cast<size_t>(inplace)]; };
    const Wide& shared = out[static_cast<size_t>(shared_output)];
    if (inplace >= 0 && (shared.widened || type_in().widened || shared.dtype != type_in().dtype)) inplace = -1;
    if (!any) return make_kernel(std::move(text), std::move(body), scratch, inplace, shared_output);
    const auto run = [=, body = std::move(body)](const KernelArgs& a) {
        const void* inputs[most];
        void* outputs[most];
        for (size_t i = 0; i < in.size(); ++i) {
            inputs[i] = a.in[i];
            if (!in[i].widened) continue;
            auto* wide = reinterpret_cast<float*>(a.scratch + in[i].offset);
            const auto* src = static_cast<const uint16_t*>(a.in[i]);
            parallel_ranges(in[i].size, 1, [&](int64_t begin, int64_t end) {
                widen_to_float(in[i].dtype, src + begin, end - begin, wide + begin);
            });
            inputs[i] = wide;
        }
        for (size_t i = 0; i < out.size(); ++i) outputs[i] = out[i].widened ? a.scratch + out[i].offset : a.out[i];
        body({inputs, outputs, a.scratch, a.state, a.errors});
        for (size_t i = 0; i < out.size(); ++i) {
            if (!out[i].widened) continue;
            const auto* wide = static_cast<const float*>(outputs[i]);
            auto* dst = static_cast<uint16_t*>(a.out[i]);
            parallel_ranges(out[i].size, 1, [&](int64_t begin, int64_t end) {
                narrow_from_float(out[i].dtype, wide + begin, end - begin, dst + begin);
            });
        }
    };
    return make_kernel(std::move(text), run, offset, inplace, shared_output);
}

RowStream::RowStream(const Graph& graph, const Node& node, OperandSet operands, int64_t rows, int64_t chunk, size_t scratch_at,
                     bool as_stored)
    : rows_(rows), chunk_(std::max<int64_t>(chunk, 1)), threads_(max_threads()), scratch_at_(round_up(scratch_at)) {
    const auto take = [&](const TensorType& t, size_t index, std::vector<Operand>& list) {
        const int64_t width = rows == 0 ? 0 : t.size() / rows;
        const bool widened = is_half(t.dtype) && !as_stored;
        list.push_back({index, t.dtype, width, slot_bytes_, widened});
        if (widened) slot_bytes_ += round_up(static_cast<size_t>(chunk_ * width) * sizeof(float));
    };
    for (size_t i = 0; i < node.inputs.size(); ++i)
        if (operands & input_bit(static_cast<int>(i))) take(input_type(graph, node, i), i, in_);
    for (size_t i = 0; i < node.types.size(); ++i)
        if (operands & output_bit(static_cast<int>(i))) take(node.types[i], i, out_);
    check_internal(in_.size() <= kMaxOperands && out_.size() <= kMaxOperands, "too many operands to stream");
}

void RowStream::enter(const KernelArgs& args, int64_t row, int64_t count, int64_t slot, const void** in, void** out) const {
    std::byte* scratch = args.scratch + scratch_at_ + static_cast<size_t>(slot) * slot_bytes_;
    for (size_t i = 0; i < in_.size(); ++i) {
        const Operand& o = in_[i];
        const std::byte* src =
            static_cast<const std::byte*>(args.in[o.index]) + static_cast<size_t>(row * o.width) * size_of(o.dtype);
        in[i] = src;
        if (!o.widened) continue;
        widen_to_float(o.dtype, src, count * o.width, reinterpret_cast<float*>(scratch + o.offset));
        in[i] = scratch + o.offset;
    }
    for (size_t i = 0; i < out_.size(); ++i) {
        const Operand& o = out_[i];
        out[i] = o.widened ? scratch + o.offset
                           : static_cast<std::byte*>(args.out[o.index]) + static_cast<size_t>(row * o.width) * size_of(o.dtype);
    }
}

void RowStream::leave(const KernelArgs& args, int64_t row, int64_t count, void* const* out) const {
    for (size_t i = 0; i < out_.size(); ++i) {
        const Operand& o = out_[i];
        if (o.widened)
            narrow_from_float(o.dtype, static_cast<const float*>(out[i]), count * o.width,
                              static_cast<uint16_t*>(args.out[o.index]) + row * o.width);
    }
}

}  // namespace fk::cpu
