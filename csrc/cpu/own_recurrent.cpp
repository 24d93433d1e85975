// Recurrent sequences: samples do not depend on each other, so each part of the team takes some of them through all steps,
// without a barrier, with a copy of the recurrent kernel that is packed once per run.
#include <array>

#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"
#include "ops/recurrent.h"

namespace fk::cpu {
namespace {

RecurrentCell cell_of(const Node& node) {
    if (node.op->attr_index("reset_after") >= 0)
        return node.bool_attr("reset_after") ? RecurrentCell::gru : RecurrentCell::gru_reset_before;
    const int activation = node.op->attr_index("activation");
    if (activation < 0) return RecurrentCell::lstm;
    return std::get<std::string>(node.attrs[static_cast<size_t>(activation)]) == "relu" ? RecurrentCell::rnn_relu
                                                                                        : RecurrentCell::rnn_tanh;
}

struct SequencePlan {
    RecurrentShape shape;
    RecurrentCell cell;
    bool dropout;
    int threads;
    size_t packed_bytes, slot_bytes;
    std::array<int, 12> at;  // operands, in the order in which the bodies below name them

    SequencePlan(const Graph& g, const Node& node, std::initializer_list<std::string_view> names) : cell(cell_of(node)) {
        const Dims& kernel = input_type(g, node, static_cast<size_t>(recurrent_input(node, "kernel"))).dims;
        const Dims& sequence = node.types[0].dims;
        shape.batch = sequence[0];
        shape.steps = sequence[1];
        shape.units = kernel[0];
        shape.gates = shape.units == 0 ? 1 : kernel[1] / shape.units;
        shape.reverse = node.bool_attr("reverse");
        dropout = node.bool_attr("dropout");
        threads = max_threads();
        // Few enough samples that their states stay in the first cache, more where each step reads a large kernel.
        const int64_t share = (shape.batch + threads - 1) / threads;
        packed_bytes = round_up(static_cast<size_t>(packed_elements(shape)) * sizeof(float));
        const int64_t most = packed_bytes <= (size_t{1} << 20) ? 24 : 96,
                      groups = std::max<int64_t>((share + most - 1) / most, 1);
        shape.rows = std::max<int64_t>((share + groups - 1) / groups, 1);
        slot_bytes = round_up(static_cast<size_t>(bias_elements() + scratch_elements(shape, dropout)) * sizeof(float));
        at.fill(-1);
        size_t i = 0;
        for (std::string_view name : names) at[i++] = recurrent_input(node, name);
    }
    [[nodiscard]] size_t scratch() const { return packed_bytes + static_cast<size_t>(threads) * slot_bytes; }
    [[nodiscard]] const float* input(const KernelArgs& a, size_t i) const {
        return at[i] < 0 ? nullptr : static_cast<const float*>(a.in[at[i]]);
    }
    [[nodiscard]] const uint8_t* mask(const KernelArgs& a, size_t i) const {
        return at[i] < 0 ? nullptr : static_cast<const uint8_t*>(a.in[at[i]]);
    }
    [[nodiscard]] int64_t bias_elements() const { return shape.gates * padded_units(shape.units); }
    // A part's sum of gradients of the bias, followed by what else it needs.
    [[nodiscard]] float* slot(const KernelArgs& a, int64_t i) const {
        return reinterpret_cast<float*>(a.scratch + packed_bytes + static_cast<size_t>(i) * slot_bytes);
    }
    // f(begin, end, slot) for parts of the batch.
    template <class F>
    void run(F f) const {
        parallel_slots(threads, shape.batch, shape.steps * shape.gates * shape.units * (shape.units / 8 + 4), f);
    }
};

float* output(const KernelArgs& a, size_t i) { return static_cast<float*>(a.out[i]); }

// `history`: the number of the first output that only gradients read; 0: there is none.
RunFn forward(const SequencePlan& p, size_t history) {
    return [=](const KernelArgs& a) {
        const bool lstm = p.cell == RecurrentCell::lstm, rnn = p.shape.gates == 1;
        auto* packed = reinterpret_cast<float*>(a.scratch);
        const RecurrentKernels& kernels = own_kernels().recurrent;
        kernels.pack(p.input(a, 1), p.shape, p.cell, p.dropout, packed);
        const RecurrentArgs args{.shape = p.shape,
                                 .xw = p.input(a, 0),
                                 .h0 = p.input(a, 2),
                                 .c0 = p.input(a, 3),
                                 .bias = p.input(a, 4),
                                 .mask = p.mask(a, 5),
                                 .dropout = p.input(a, 6),
                                 .packed = packed,
                                 .h = output(a, 0),
                                 .h_last = output(a, 1),
                                 .c_last = lstm ? output(a, 2) : nullptr,
                                 .gates = history != 0 && !rnn ? output(a, history) : nullptr,
                                 .memory = history != 0 && !rnn ? output(a, history + 1) : nullptr,
                                 .before = history != 0 ? output(a, history + (rnn ? 0 : 2)) : nullptr};
        p.run([&](int64_t begin, int64_t end, int64_t slot) {
            kernels.forward[static_cast<size_t>(p.cell)](args, begin, end, p.slot(a, slot) + p.bias_elements());
        });
    };
}

RunFn backward(const SequencePlan& p) {
    return [=](const KernelArgs& a) {
        const bool lstm = p.cell == RecurrentCell::lstm;
        auto* packed = reinterpret_cast<float*>(a.scratch);
        const RecurrentKernels& kernels = own_kernels().recurrent;
        kernels.pack_transposed(p.input(a, 0), p.shape, packed);
        const RecurrentGradArgs args{.shape = p.shape,
                                     .c0 = p.input(a, 1),
                                     .h = p.input(a, 2),
                                     .before = p.input(a, 3),
                                     .gates = p.input(a, 4),
                                     .memory = p.input(a, 5),
                                     .dh = p.input(a, 6),
                                     .dh_last = p.input(a, 7),
                                     .dc_last = p.input(a, 8),
                                     .mask = p.mask(a, 9),
                                     .dropout = p.input(a, 10),
                                     .packed = packed,
                                     .dxw = output(a, 0),
                                     .dh0 = output(a, 2),
                                     .dc0 = lstm ? output(a, 3) : nullptr,
                                     .dbias = nullptr};
        const int64_t sums = p.bias_elements(), padded = padded_units(p.shape.units);
        for (int64_t i = 0; i < p.threads; ++i) std::fill_n(p.slot(a, i), sums, 0.0F);
        p.run([&](int64_t begin, int64_t end, int64_t slot) {
            RecurrentGradArgs mine = args;
            mine.dbias = p.slot(a, slot);
            kernels.backward[static_cast<size_t>(p.cell)](mine, begin, end, mine.dbias + sums);
        });
        for (int64_t i = 0; i < p.shape.gates * p.shape.units; ++i) {
            double sum = 0;
            for (int64_t part = 0; part < p.threads; ++part)
                sum += static_cast<double>(p.slot(a, part)[i / p.shape.units * padded + i % p.shape.units]);
            output(a, 1)[i] = static_cast<float>(sum);
        }
    };
}

std::string refuse(const Graph& g, const Node& node) {
    if (input_type(g, node, 0).dtype == DType::f64) return "computes in float32";
    return check_compute_types(g, node);
}

}  // namespace

namespace own_recurrent {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const SequencePlan p(g, node, {"xw", "kernel", "h0", "c0", "bias", "mask", "dropout"});
    const size_t history = node.bool_attr("history") ? recurrent_states(node) : 0;
    // The gates take the place of the sums they come from.
    const bool in_place = history != 0 && p.shape.gates > 1;
    return make_widened(g, node, concat("own:", node.op->name), forward(p, history), p.scratch(), in_place ? 0 : -1, 0,
                        static_cast<int>(history));
}
}  // namespace own_recurrent

namespace own_recurrent_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }
std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const bool lstm = cell_of(node) == RecurrentCell::lstm;
    const SequencePlan p(
        g, node,
        {"kernel", "c0", "h", "before", "gates", lstm ? "cells" : "candidate", "dh", "dh_last", "dc_last", "mask", "dropout"});
    // The gradients of the gates' sums take the place of the gates.
    return make_widened(g, node, concat("own:", node.op->name), backward(p), p.scratch(), recurrent_input(node, "gates"));
}
}  // namespace own_recurrent_grad

}  // namespace fk::cpu
