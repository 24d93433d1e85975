// Recurrent cells backward, for the same groups of samples as forward: in each step the gradients of all gates, then their
// product with the transposed recurrent kernel, which is what reaches the states of the step before.
#include "cpu/kernels/own_isa.h"
#include "cpu/kernels/recurrent_tile.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

using Cell = RecurrentCell;

// For each panel of units: a row for every unit of every gate, padded with zeros as the gates' gradients are.
void pack_transposed(const float* kernel, const RecurrentShape& s, float* out) {
    const int64_t row = s.gates * s.units, padded = padded_units(s.units);
    for (int64_t unit = 0; unit < s.units; unit += kMaxVectors * kLanes) {
        const int64_t vectors = smaller(kMaxVectors, (s.units - unit + kLanes - 1) / kLanes);
        for (int64_t gate = 0; gate < s.gates; ++gate)
            for (int64_t k = 0; k < padded; ++k)
                for (int64_t i = 0; i < vectors * kLanes; ++i)
                    *out++ = k < s.units && unit + i < s.units ? kernel[(unit + i) * row + gate * s.units + k] : 0.0f;
    }
}

template <Cell C>
class Backward {
  public:
    Backward(const RecurrentGradArgs& a, int64_t first, int64_t rows, float* scratch)
        : a_(a), first_(first), n_(rows), units_(a.shape.units), row_(padded_units(units_)) {
        const int64_t block = n_ * row_;
        dh_ = scratch;
        dc_ = dh_ + block;
        da_ = dc_ + block;
        part_ = da_ + kGates * block;
    }

    void run() {
        for (int64_t i = 0; i < (2 + kGates) * n_ * row_; ++i) dh_[i] = 0;  // dh, dc and da: what pads a row stays zero
        each_block([&](Block b) {
            for (int64_t r = 0; r < n_; ++r) {
                store(dh_ + r * row_ + b.unit, load_part(a_.dh_last + sample(r) * units_ + b.unit, b.width));
                if (C == Cell::lstm) store(dc_ + r * row_ + b.unit, load_part(a_.dc_last + sample(r) * units_ + b.unit, b.width));
            }
        });
        const Clock clock{a_.shape.steps, a_.shape.reverse};
        for (int64_t s = clock.steps; s-- > 0;) step(clock.time(s), s == 0 ? -1 : clock.time(s - 1));
        each_block([&](Block b) {
            for (int64_t r = 0; r < n_; ++r) {
                store_part(a_.dh0 + sample(r) * units_ + b.unit, load<vf>(dh_ + r * row_ + b.unit), b.width);
                if (C == Cell::lstm) store_part(a_.dc0 + sample(r) * units_ + b.unit, load<vf>(dc_ + r * row_ + b.unit), b.width);
            }
        });
    }

  private:
    static constexpr int kGates = C == Cell::lstm ? 4 : C == Cell::gru || C == Cell::gru_reset_before ? 3 : 1;
    struct Block {
        int64_t unit, width;
    };

    [[nodiscard]] int64_t sample(int64_t r) const { return first_ + r; }
    [[nodiscard]] int64_t moment(int64_t r, int64_t t) const { return sample(r) * a_.shape.steps + t; }
    template <class F>
    void each_block(F f) const {
        for (int64_t unit = 0; unit < units_; unit += kLanes) f(Block{unit, smaller(kLanes, units_ - unit)});
    }
    [[nodiscard]] vf gate(int64_t r, int64_t t, int gate, Block b) const {
        return load_part(a_.gates + (moment(r, t) * kGates + gate) * units_ + b.unit, b.width);
    }
    [[nodiscard]] vf at(const float* sequence, int64_t r, int64_t t, Block b) const {
        return load_part(sequence + moment(r, t) * units_ + b.unit, b.width);
    }
    [[nodiscard]] vf under_dropout(int gate, int64_t r, Block b, vf v) const {
        if (a_.dropout == nullptr) return v;
        return v * load_part(a_.dropout + (gate * a_.shape.batch + sample(r)) * units_ + b.unit, b.width);
    }
    // The gradient of a gate's sum, of which `inner` comes from the product with the state.
    void set_gate(int64_t r, int64_t t, int gate, Block b, vf da, vf inner) const {
        store_part(a_.dxw + (moment(r, t) * kGates + gate) * units_ + b.unit, da, b.width);
        store(da_ + (r * kGates + gate) * row_ + b.unit, inner);
    }

    void step(int64_t t, int64_t before) const {
        each_block([&](Block b) {
            for (int64_t r = 0; r < n_; ++r) {
                float* const dh_of = dh_ + r * row_ + b.unit;
                vf dh = load<vf>(dh_of);
                if (a_.dh != nullptr) dh = dh + at(a_.dh, r, t, b);
                if (a_.mask != nullptr && a_.mask[moment(r, t)] == 0)
                    for (int g = 0; g < kGates; ++g) set_gate(r, t, g, b, vf{}, vf{});
                else
                    dh = cell(r, t, before, b, dh);
                store(dh_of, dh);
            }
        });
        if constexpr (C == Cell::gru_reset_before) {
            add_products(2, 3, [&](int64_t r, Block b, vf product, float* dh) {
                const vf d = under_dropout(2, r, b, product), reset = gate(r, t, 1, b);
                const vf da = d * at(a_.before, r, t, b) * reset * (1.0f - reset);
                const bool masked = a_.mask != nullptr && a_.mask[moment(r, t)] == 0;
                set_gate(r, t, 1, b, masked ? vf{} : da, masked ? vf{} : da);
                if (!masked) store(dh, load<vf>(dh) + d * reset);
            });
            add_gates(2);
        } else {
            add_gates(kGates);
        }
        add_bias();
    }

    void add_bias() const {
        for (int64_t i = 0; i < kGates * row_; i += kLanes) {
            vf sum{};
            for (int64_t r = 0; r < n_; ++r) sum += load<vf>(da_ + r * kGates * row_ + i);
            store(a_.dbias + i, load<vf>(a_.dbias + i) + sum);
        }
    }

    // The gradients of the first gates reach the state through the recurrent kernel.
    void add_gates(int gates) const {
        if (a_.dropout != nullptr) {
            for (int g = 0; g < gates; ++g)
                add_products(g, g + 1, [&](int64_t r, Block b, vf product, float* dh) {
                    store(dh, load<vf>(dh) + under_dropout(g, r, b, product));
                });
            return;
        }
        each_panel([&](int64_t unit, int vectors, const float* packed) {
            multiply_panel(vectors, n_, da_, kGates * row_, packed, gates * row_, dh_ + unit, row_);
        });
    }
    // f(row, block, product of the gradients of gates [begin, end) with the kernel, where dh is)
    template <class F>
    void add_products(int begin, int end, F f) const {
        each_panel([&](int64_t unit, int vectors, const float* packed) {
            const int64_t width = vectors * kLanes;
            for (int64_t i = 0; i < n_ * width; ++i) part_[i] = 0;
            multiply_panel(vectors, n_, da_ + begin * row_, kGates * row_, packed + begin * row_ * width, (end - begin) * row_,
                           part_, width);
            for (int64_t r = 0; r < n_; ++r)
                for (int v = 0; v < vectors; ++v) {
                    const int64_t at = unit + v * kLanes;
                    f(r, Block{at, smaller(kLanes, units_ - at)}, load<vf>(part_ + r * width + v * kLanes), dh_ + r * row_ + at);
                }
        });
    }
    template <class F>
    void each_panel(F f) const {
        const float* packed = a_.packed;
        for (int64_t unit = 0; unit < units_; unit += kMaxVectors * kLanes) {
            const auto vectors = static_cast<int>(smaller(kMaxVectors, (units_ - unit + kLanes - 1) / kLanes));
            f(unit, vectors, packed);
            packed += kGates * row_ * vectors * kLanes;
        }
    }

    // Gradients of the gates from that of the new state; returns what reaches the old state past the product.
    [[gnu::always_inline]] inline vf cell(int64_t r, int64_t t, int64_t before, Block b, vf dh) const {
        if constexpr (C == Cell::lstm) {
            const vf i = gate(r, t, 0, b), f = gate(r, t, 1, b), g = gate(r, t, 2, b), o = gate(r, t, 3, b);
            const vf y = gate_tanh(at(a_.memory, r, t, b));
            float* const dc_of = dc_ + r * row_ + b.unit;
            const vf dc = load<vf>(dc_of) + dh * o * (1.0f - y * y);
            const vf c = before < 0 ? load_part(a_.c0 + sample(r) * units_ + b.unit, b.width) : at(a_.memory, r, before, b);
            const vf da_i = dc * g * i * (1.0f - i), da_f = dc * c * f * (1.0f - f);
            const vf da_g = dc * i * (1.0f - g * g), da_o = dh * y * o * (1.0f - o);
            set_gate(r, t, 0, b, da_i, da_i);
            set_gate(r, t, 1, b, da_f, da_f);
            set_gate(r, t, 2, b, da_g, da_g);
            set_gate(r, t, 3, b, da_o, da_o);
            store(dc_of, dc * f);
            return vf{};
        } else if constexpr (C == Cell::gru || C == Cell::gru_reset_before) {
            const vf z = gate(r, t, 0, b), reset = gate(r, t, 1, b), g = gate(r, t, 2, b);
            const vf da_z = dh * (at(a_.before, r, t, b) - g) * z * (1.0f - z);
            const vf da_g = dh * (1.0f - z) * (1.0f - g * g);
            set_gate(r, t, 0, b, da_z, da_z);
            if constexpr (C == Cell::gru) {
                const vf inner = at(a_.memory, r, t, b);
                const vf da_r = da_g * inner * reset * (1.0f - reset);
                set_gate(r, t, 1, b, da_r, da_r);
                set_gate(r, t, 2, b, da_g, da_g * reset);
            } else {
                set_gate(r, t, 2, b, da_g, da_g);  // that of the reset gate follows from this one's product
            }
            return dh * z;
        } else {
            const vf h = at(a_.h, r, t, b);
            const vf da = C == Cell::rnn_tanh ? dh * (1.0f - h * h) : select(h > 0.0f, dh, vf{});
            set_gate(r, t, 0, b, da, da);
            return vf{};
        }
    }

    const RecurrentGradArgs& a_;
    int64_t first_, n_, units_, row_;
    float *dh_, *dc_, *da_, *part_;
};

template <Cell C>
void backward(const RecurrentGradArgs& a, int64_t begin, int64_t end, float* scratch) {
    for (int64_t r = begin; r < end; r += a.shape.rows) Backward<C>(a, r, smaller(a.shape.rows, end - r), scratch).run();
}

}  // namespace

void fill_recurrent_grad(OwnKernels& table) {
    table.recurrent.pack_transposed = pack_transposed;
    table.recurrent.backward[static_cast<int>(Cell::lstm)] = backward<Cell::lstm>;
    table.recurrent.backward[static_cast<int>(Cell::gru)] = backward<Cell::gru>;
    table.recurrent.backward[static_cast<int>(Cell::gru_reset_before)] = backward<Cell::gru_reset_before>;
    table.recurrent.backward[static_cast<int>(Cell::rnn_tanh)] = backward<Cell::rnn_tanh>;
    table.recurrent.backward[static_cast<int>(Cell::rnn_relu)] = backward<Cell::rnn_relu>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
