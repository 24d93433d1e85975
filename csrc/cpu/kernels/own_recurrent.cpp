// Recurrent cells forward: a group of samples goes through all steps. In each, a block of units at a time, the product of the
// states with the recurrent kernel is followed at once by the arithmetic of the gates, while the sums are in the cache.
#include "cpu/kernels/own_isa.h"
#include "cpu/kernels/recurrent_tile.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

using Cell = RecurrentCell;

// Gates whose products are made together. Only a candidate that is reset before its product has to wait for other gates.
struct Group {
    int first, count;
};
struct Groups {
    int count;
    Group group[2];
};
constexpr Groups groups_of(Cell cell) {
    switch (cell) {
        case Cell::lstm:
            return {1, {{0, 4}}};
        case Cell::gru:
            return {1, {{0, 3}}};
        case Cell::gru_reset_before:
            return {2, {{0, 2}, {2, 1}}};
        default:
            return {1, {{0, 1}}};
    }
}

// For each group and block of units: the kernel's columns of all its gates side by side, or (apart) one gate after the other.
void pack(const float* kernel, const RecurrentShape& s, RecurrentCell cell, bool apart, float* out) {
    const int64_t row = s.gates * s.units;
    const Groups groups = groups_of(cell);
    for (int i = 0; i < groups.count; ++i) {
        const Group g = groups.group[i];
        const int together = apart ? 1 : g.count;
        for (int64_t unit = 0; unit < s.units; unit += kLanes) {
            const int64_t width = smaller(kLanes, s.units - unit);
            for (int gate = g.first; gate < g.first + g.count; gate += together)
                for (int64_t k = 0; k < s.units; ++k)
                    for (int v = 0; v < together; ++v, out += kLanes)
                        store(out, load_part(kernel + k * row + (gate + v) * s.units + unit, width));
        }
    }
}

template <Cell C>
class Forward {
  public:
    Forward(const RecurrentArgs& a, int64_t first, int64_t rows, float* scratch)
        : a_(a), first_(first), n_(rows), units_(a.shape.units), row_(padded_units(units_)) {
        const auto take = [&](int64_t elements) {
            float* p = scratch;
            scratch += elements;
            return p;
        };
        const int64_t block = n_ * row_;
        h_ = take(block), next_ = take(block), c_ = take(block), reset_ = take(block);
        if (a.dropout != nullptr) under_ = take(block * kGates), under_next_ = take(block * kGates);
        sums_ = take(n_ * kGates * kLanes);
    }

    void run() {
        for (int64_t i = 0; i < 4 * n_ * row_; ++i) h_[i] = 0;  // h, next, c and reset: what pads a row stays zero
        if (a_.dropout != nullptr)
            for (int64_t i = 0; i < 2 * kGates * n_ * row_; ++i) under_[i] = 0;
        each_block([&](Block b) {
            for (int64_t r = 0; r < n_; ++r) {
                set_state(r, b, load_part(a_.h0 + sample(r) * units_ + b.unit, b.width));
                if (C == Cell::lstm) store(c_ + r * row_ + b.unit, load_part(a_.c0 + sample(r) * units_ + b.unit, b.width));
            }
        });
        swap_states();
        const Clock clock{a_.shape.steps, a_.shape.reverse};
        for (int64_t s = 0; s < clock.steps; ++s) {
            step(clock.time(s));
            swap_states();
        }
        each_block([&](Block b) {
            for (int64_t r = 0; r < n_; ++r) {
                store_part(a_.h_last + sample(r) * units_ + b.unit, load<vf>(h_ + r * row_ + b.unit), b.width);
                if (C == Cell::lstm)
                    store_part(a_.c_last + sample(r) * units_ + b.unit, load<vf>(c_ + r * row_ + b.unit), b.width);
            }
        });
    }

  private:
    static constexpr Groups kGroups = groups_of(C);
    static constexpr int kGates = kGroups.group[kGroups.count - 1].first + kGroups.group[kGroups.count - 1].count;
    struct Block {
        int64_t unit, width;
    };

    [[nodiscard]] int64_t sample(int64_t r) const { return first_ + r; }
    [[nodiscard]] int64_t moment(int64_t r, int64_t t) const { return sample(r) * a_.shape.steps + t; }
    template <class F>
    void each_block(F f) const {
        for (int64_t unit = 0; unit < units_; unit += kLanes) f(Block{unit, smaller(kLanes, units_ - unit)});
    }
    void swap_states() {
        const auto exchange = [](float*& a, float*& b) {
            float* const was = a;
            a = b;
            b = was;
        };
        exchange(h_, next_);
        exchange(under_, under_next_);
    }
    [[nodiscard]] vf dropped(int gate, int64_t r, Block b, vf h) const {
        if (a_.dropout == nullptr) return h;
        return h * load_part(a_.dropout + (gate * a_.shape.batch + sample(r)) * units_ + b.unit, b.width);
    }
    void set_state(int64_t r, Block b, vf h) const {
        store(next_ + r * row_ + b.unit, h);
        if (a_.dropout == nullptr) return;
        for (int g = 0; g < kGates; ++g) store(under_next_ + (g * n_ + r) * row_ + b.unit, dropped(g, r, b, h));
    }
    [[nodiscard]] const float* xw(int64_t r, int64_t t, int gate, Block b) const {
        return a_.xw + (moment(r, t) * kGates + gate) * units_ + b.unit;
    }
    void keep_gate(int64_t r, int64_t t, int gate, Block b, vf v) const {
        if (a_.gates != nullptr) store_part(a_.gates + (moment(r, t) * kGates + gate) * units_ + b.unit, v, b.width);
    }
    void keep_memory(int64_t r, int64_t t, Block b, vf v) const {
        if (a_.memory != nullptr) store_part(a_.memory + moment(r, t) * units_ + b.unit, v, b.width);
    }
    [[nodiscard]] bool masked(int64_t r, int64_t t) const { return a_.mask != nullptr && a_.mask[moment(r, t)] == 0; }
    void finish(int64_t r, int64_t t, Block b, vf h) const {
        const vf old = load<vf>(h_ + r * row_ + b.unit);
        if (a_.before != nullptr) store_part(a_.before + moment(r, t) * units_ + b.unit, old, b.width);
        if (masked(r, t)) h = old;
        store_part(a_.h + moment(r, t) * units_ + b.unit, h, b.width);
        set_state(r, b, h);
    }

    void step(int64_t t) const {
        const float* packed = a_.packed;
        for (int i = 0; i < kGroups.count; ++i) {
            const Group g = kGroups.group[i];
            each_block([&](Block b) {
                // A tile of rows at a time: what it reads is still in the first cache when its results take that place.
                for (int64_t r = 0; r < n_; r += kTileRows[g.count]) {
                    const int64_t end = smaller(r + kTileRows[g.count], n_);
                    start(g, r, end, t, b);
                    multiply_gates(g, r, end, packed);
                    for (int64_t k = r; k < end; ++k) cell(g, k, t, b, sums_ + (k - r) * g.count * kLanes);
                }
                packed += units_ * g.count * kLanes;
            });
        }
    }
    static constexpr bool reads_reset(Group g) { return g.first != 0; }

    // What the products of rows [begin, end) are added to.
    void start(Group g, int64_t begin, int64_t end, int64_t t, Block b) const {
        for (int v = 0; v < g.count; ++v) {
            const int gate = g.first + v;
            const vf bias = load_part(a_.bias + gate * units_ + b.unit, b.width);
            const bool later = C == Cell::gru && gate == 2;  // the product is reset before the inputs are added
            float* sum = sums_ + v * kLanes;
            for (int64_t r = begin; r < end; ++r, sum += g.count * kLanes)
                store(sum, later ? bias : bias + load_part(xw(r, t, gate, b), b.width));
        }
    }

    void multiply_gates(Group g, int64_t begin, int64_t end, const float* packed) const {
        const int64_t rows = end - begin, width = g.count * kLanes;
        if (a_.dropout == nullptr || reads_reset(g)) {
            const float* state = (reads_reset(g) ? reset_ : h_) + begin * row_;
            return multiply_panel(g.count, rows, state, row_, packed, units_, sums_, width);
        }
        for (int v = 0; v < g.count; ++v)
            multiply_panel(1, rows, under_ + ((g.first + v) * n_ + begin) * row_, row_, packed + v * units_ * kLanes, units_,
                           sums_ + v * kLanes, width);
    }

    [[gnu::always_inline]] inline void cell(Group group, int64_t r, int64_t t, Block b, const float* sums) const {
        const auto sum = [sums](int v) { return load<vf>(sums + v * kLanes); };
        const vf h = load<vf>(h_ + r * row_ + b.unit);
        if constexpr (C == Cell::lstm) {
            const vf i = gate_sigmoid(sum(0)), f = gate_sigmoid(sum(1)), g = gate_tanh(sum(2)), o = gate_sigmoid(sum(3));
            const vf before = load<vf>(c_ + r * row_ + b.unit);
            vf c = f * before + i * g;
            const vf y = o * gate_tanh(c);
            if (masked(r, t)) c = before;
            store(c_ + r * row_ + b.unit, c);
            keep_gate(r, t, 0, b, i);
            keep_gate(r, t, 1, b, f);
            keep_gate(r, t, 2, b, g);
            keep_gate(r, t, 3, b, o);
            keep_memory(r, t, b, c);
            finish(r, t, b, y);
        } else if constexpr (C == Cell::gru) {
            const vf z = gate_sigmoid(sum(0)), reset = gate_sigmoid(sum(1)), inner = sum(2);
            const vf g = gate_tanh(load_part(xw(r, t, 2, b), b.width) + reset * inner);
            keep_gate(r, t, 0, b, z);
            keep_gate(r, t, 1, b, reset);
            keep_gate(r, t, 2, b, g);
            keep_memory(r, t, b, inner);
            finish(r, t, b, z * h + (1.0f - z) * g);
        } else if constexpr (C == Cell::gru_reset_before) {
            float* const z_of = next_ + r * row_ + b.unit;  // until the new state takes its place
            if (!reads_reset(group)) {
                const vf z = gate_sigmoid(sum(0)), reset = gate_sigmoid(sum(1)), kept = reset * dropped(2, r, b, h);
                store(z_of, z);
                store(reset_ + r * row_ + b.unit, kept);
                keep_gate(r, t, 0, b, z);
                keep_gate(r, t, 1, b, reset);
                keep_memory(r, t, b, kept);
            } else {
                const vf z = load<vf>(z_of), g = gate_tanh(sum(0));
                keep_gate(r, t, 2, b, g);
                finish(r, t, b, z * h + (1.0f - z) * g);
            }
        } else {
            const vf x = sum(0);
            finish(r, t, b, C == Cell::rnn_tanh ? gate_tanh(x) : select(x < 0.0f, vf{}, x));
        }
    }

    const RecurrentArgs& a_;
    int64_t first_, n_, units_, row_;
    float *h_, *next_, *c_, *reset_, *under_ = nullptr, *under_next_ = nullptr, *sums_;
};

template <Cell C>
void forward(const RecurrentArgs& a, int64_t begin, int64_t end, float* scratch) {
    for (int64_t r = begin; r < end; r += a.shape.rows) Forward<C>(a, r, smaller(a.shape.rows, end - r), scratch).run();
}

}  // namespace

void fill_recurrent(OwnKernels& table) {
    table.recurrent.pack = pack;
    table.recurrent.forward[static_cast<int>(Cell::lstm)] = forward<Cell::lstm>;
    table.recurrent.forward[static_cast<int>(Cell::gru)] = forward<Cell::gru>;
    table.recurrent.forward[static_cast<int>(Cell::gru_reset_before)] = forward<Cell::gru_reset_before>;
    table.recurrent.forward[static_cast<int>(Cell::rnn_tanh)] = forward<Cell::rnn_tanh>;
    table.recurrent.forward[static_cast<int>(Cell::rnn_relu)] = forward<Cell::rnn_relu>;
}

}  // namespace fk::cpu::FK_ISA_NAMESPACE
