// What the kernels of recurrent sequences take: a range of the batch, whose samples do not depend on each other, through all
// steps. Tensors are batch-major, [batch, steps, ...], and float.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fk::cpu {

enum class RecurrentCell : uint8_t { lstm, gru, gru_reset_before, rnn_tanh, rnn_relu };
inline constexpr int kRecurrentCells = 5;

// Rows of scratch memory and packed operands are padded to whole vectors of every instruction set.
inline constexpr int64_t kRecurrentPad = 16;
namespace {  // local to the including file, see own_types.h
[[maybe_unused]] constexpr int64_t padded_units(int64_t units) {
    return (units + kRecurrentPad - 1) / kRecurrentPad * kRecurrentPad;
}
}  // namespace

struct RecurrentShape {
    int64_t batch = 0, steps = 0, units = 0, gates = 0;
    int64_t rows = 0;  // samples that go through the steps together: what scratch memory is sized for
    bool reverse = false;
};

// Pointers that may be null are optional. `mask` is [batch, steps], `dropout` [gates, batch, units].
struct RecurrentArgs {
    RecurrentShape shape;
    const float *xw, *h0, *c0, *bias;
    const uint8_t* mask;
    const float* dropout;
    const float* packed;  // the recurrent kernel, from `pack`
    float *h, *h_last, *c_last;
    // Null where no gradient follows. Memory: cells of an LSTM, what meets the candidate in a GRU; before: h before each step.
    float *gates, *memory, *before;
};

struct RecurrentGradArgs {
    RecurrentShape shape;
    const float* c0;
    const float *h, *before, *gates, *memory;
    const float *dh, *dh_last, *dc_last;  // dh may be null
    const uint8_t* mask;
    const float* dropout;
    const float* packed;  // from `pack_transposed`
    float *dxw, *dh0, *dc0;
    float* dbias;  // [gates, padded units] of this range: added to
};

struct RecurrentKernels {
    // The recurrent kernel [units, gates * units] in the order in which the steps read it; 64-byte aligned elements of
    // packed_elements(). With `apart`, gates are multiplied one by one (each under a dropout mask of its own).
    void (*pack)(const float* kernel, const RecurrentShape& shape, RecurrentCell cell, bool apart, float* packed);
    void (*pack_transposed)(const float* kernel, const RecurrentShape& shape, float* packed);
    // Samples [begin, end) with `scratch` of scratch_elements().
    void (*forward[kRecurrentCells])(const RecurrentArgs& args, int64_t begin, int64_t end, float* scratch);
    void (*backward[kRecurrentCells])(const RecurrentGradArgs& args, int64_t begin, int64_t end, float* scratch);
};

namespace {
[[maybe_unused]] constexpr int64_t packed_elements(const RecurrentShape& s) {
    return s.gates * padded_units(s.units) * padded_units(s.units);
}
// Forward: the states twice, also under each dropout mask, the LSTM's cells, the reset state, the sums of one block of units.
// Backward: the gradients of the states, of all gates, and of one panel.
[[maybe_unused]] constexpr int64_t scratch_elements(const RecurrentShape& s, bool dropout) {
    return s.rows * (padded_units(s.units) * (4 + s.gates + (dropout ? 2 * s.gates : 0)) + 4 * kRecurrentPad);
}
}  // namespace

}  // namespace fk::cpu
