// What the engine's own CPU kernels share: a Kernel made of a function object, dtype dispatch, the views they take of
// their operands and a loop over threads. Start at `FnKernel`.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>

#include "core/errors.h"
#include "cpu/cpu.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/threads.h"
#include "ops/op_def.h"
#include "runtime/kernel.h"

namespace fk::cpu {

using RunFn = std::function<void(const KernelArgs&)>;

// A kernel whose whole state is captured by a function object.
class FnKernel final : public Kernel {
  public:
    // Output `shared_output` may have the buffer of input `inplace`.
    FnKernel(std::string text, RunFn fn, size_t scratch = 0, int inplace = -1, int shared_output = 0)
        : text_(std::move(text)), fn_(std::move(fn)), scratch_(scratch), inplace_(inplace), shared_output_(shared_output) {}
    void run(const KernelArgs& args) const override { fn_(args); }
    [[nodiscard]] size_t scratch_bytes() const override { return scratch_; }
    [[nodiscard]] bool may_share(int out, int in) const override { return out == shared_output_ && in == inplace_; }
    [[nodiscard]] std::string describe() const override { return text_; }

  private:
    std::string text_;
    RunFn fn_;
    size_t scratch_;
    int inplace_, shared_output_;
};

[[nodiscard]] inline std::unique_ptr<Kernel> make_kernel(std::string text, RunFn fn, size_t scratch = 0, int inplace = -1,
                                                         int shared_output = 0) {
    return std::make_unique<FnKernel>(std::move(text), std::move(fn), scratch, inplace, shared_output);
}

template <class T>
struct Type {
    using type = T;
};

template <class F>
decltype(auto) dispatch_float(DType t, F&& f) {
    switch (t) {
        case DType::f16:
            return f(Type<F16>{});
        case DType::bf16:
            return f(Type<Bf16>{});
        case DType::f32:
            return f(Type<float>{});
        case DType::f64:
            return f(Type<double>{});
        default:
            fail<InternalError>("no floating kernel for ", name(t));
    }
}

// Booleans are handled as uint8.
template <class F>
decltype(auto) dispatch_any(DType t, F&& f) {
    switch (t) {
        case DType::boolean:
        case DType::u8:
            return f(Type<uint8_t>{});
        case DType::i8:
            return f(Type<int8_t>{});
        case DType::i16:
            return f(Type<int16_t>{});
        case DType::u16:
            return f(Type<uint16_t>{});
        case DType::i32:
            return f(Type<int32_t>{});
        case DType::u32:
            return f(Type<uint32_t>{});
        case DType::i64:
            return f(Type<int64_t>{});
        case DType::u64:
            return f(Type<uint64_t>{});
        default:
            return dispatch_float(t, std::forward<F>(f));
    }
}

// Runs f(begin, end, slot) over [0, n): on the team when n * work_per_item is worth a fork, on this thread otherwise.
// slot < slots names the part of the scratch memory that the call may use; `slots` is what scratch was sized for, as the
// size of the team may have changed since.
inline constexpr int64_t kForkWork = 32 * 1024;
template <class F>
void parallel_slots(int slots, int64_t n, int64_t work_per_item, F&& f) {
    if (n <= 0) return;
    if (n == 1 || n * std::max<int64_t>(work_per_item, 1) < kForkWork) return f(int64_t{0}, n, int64_t{0});
    parallel(std::min(slots, max_threads()), [&](int thread, int threads) {
        const Slice part = slice_of(n, thread, threads);
        if (part.begin < part.end) f(part.begin, part.end, static_cast<int64_t>(thread));
    });
}
template <class F>
void parallel_ranges(int64_t n, int64_t work_per_item, F&& f) {
    parallel_slots(max_threads(), n, work_per_item, [&f](int64_t begin, int64_t end, int64_t) { f(begin, end); });
}

// A tensor seen around one axis: [outer, n, inner].
struct AxisView {
    int64_t outer = 1, n = 1, inner = 1;
};
[[nodiscard]] inline AxisView view_axis(const Dims& dims, int64_t axis) {
    const auto a = static_cast<size_t>(normalize_axis(axis, static_cast<int>(dims.size())));
    AxisView v;
    for (size_t i = 0; i < a; ++i) v.outer *= dims[i];
    v.n = dims[a];
    for (size_t i = a + 1; i < dims.size(); ++i) v.inner *= dims[i];
    return v;
}

[[nodiscard]] inline const TensorType& input_type(const Graph& g, const Node& node, size_t i) { return g.type(node.inputs[i]); }

[[nodiscard]] constexpr size_t round_up(size_t bytes, size_t to = 64) { return (bytes + to - 1) / to * to; }

// The size of an element moved without being looked at.
template <class F>
decltype(auto) dispatch_size(size_t bytes, F&& f) {
    switch (bytes) {
        case 1:
            return f(Type<uint8_t>{});
        case 2:
            return f(Type<uint16_t>{});
        case 4:
            return f(Type<uint32_t>{});
        default:
            return f(Type<uint64_t>{});
    }
}

// Reads `n` indices of any integer type as int64, negative ones wrapped once into [0, limit). An index outside
// [-limit, limit) becomes -1 and the first such is reported.
void read_indices(const void* src, DType type, int64_t n, int64_t limit, std::string_view op, int64_t* dst, RunErrors* errors,
                  bool wrap = true);

// Why operands of these types cannot be computed together: "" or the reason.
[[nodiscard]] std::string check_compute_types(const Graph& graph, const Node& node);

[[nodiscard]] constexpr bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }
// How kernels/own_mixed_gemm.cpp names a type; only float and the 16-bit floats have one.
[[nodiscard]] constexpr Stored stored_as(DType t) {
    return t == DType::bf16 ? Stored::bf16 : t == DType::f16 ? Stored::f16 : Stored::f32;
}
void widen_to_float(DType t, const void* src, int64_t n, float* dst);
void narrow_from_float(DType t, const float* src, int64_t n, void* dst);

// Operands of a node by bit: input i is bit i, output i is bit 16 + i.
using OperandSet = uint32_t;
[[nodiscard]] constexpr OperandSet input_bit(int i) { return OperandSet{1} << i; }
[[nodiscard]] constexpr OperandSet output_bit(int i) { return OperandSet{1} << (16 + i); }

// A kernel whose body works on float (or double) buffers only: 16-bit inputs are widened into scratch before it and
// 16-bit outputs narrowed after it, except those the body streams itself. `scratch` is what the body needs; it comes first.
[[nodiscard]] std::unique_ptr<Kernel> make_widened(const Graph& graph, const Node& node, std::string text, RunFn body,
                                                   size_t scratch, int inplace = -1, OperandSet streamed = 0,
                                                   int shared_output = 0);

// Works through operands that are rows, on the team, a chunk at a time; chunks of 16-bit operands are widened and
// narrowed in the cache on the way. Made with the kernel; `run` calls f(chunk, first row, rows, slot).
class RowStream {
  public:
    static constexpr size_t kMaxOperands = 4;
    template <class T>
    struct Chunk {
        const void* in[kMaxOperands];
        void* out[kMaxOperands];
        [[nodiscard]] const T* input(size_t i) const { return static_cast<const T*>(in[i]); }  // i-th streamed input
        [[nodiscard]] T* output(size_t i) const { return static_cast<T*>(out[i]); }
    };
    // Each operand has size / rows elements a row. Scratch is taken from `scratch_at` on. With `as_stored` nothing is widened:
    // the body takes 16-bit chunks.
    RowStream(const Graph& graph, const Node& node, OperandSet operands, int64_t rows, int64_t chunk, size_t scratch_at = 0,
              bool as_stored = false);
    [[nodiscard]] size_t scratch_bytes() const { return slot_bytes_ * static_cast<size_t>(threads_); }
    [[nodiscard]] int threads() const { return threads_; }

    // Each thread takes its chunks from the first to the last, or with `backwards` the other way round: a second pass that
    // begins where the first one ended finds those rows in the cache.
    template <class T, class F>
    void run(const KernelArgs& args, int64_t work_per_row, F&& f, bool backwards = false) const {
        parallel_slots(threads_, rows_, work_per_row, [&](int64_t begin, int64_t end, int64_t slot) {
            Chunk<T> chunk{};
            const int64_t chunks = (end - begin + chunk_ - 1) / chunk_;
            for (int64_t i = 0; i < chunks; ++i) {
                const int64_t r = begin + (backwards ? chunks - 1 - i : i) * chunk_, count = std::min(chunk_, end - r);
                enter(args, r, count, slot, chunk.in, chunk.out);
                f(chunk, r, count, slot);
                leave(args, r, count, chunk.out);
            }
        });
    }

  private:
    struct Operand {
        size_t index;  // among the node's inputs or outputs
        DType dtype;
        int64_t width;  // elements per row
        size_t offset;  // of its widened chunk within a slot
        bool widened;
    };
    void enter(const KernelArgs& args, int64_t row, int64_t count, int64_t slot, const void** in, void** out) const;
    void leave(const KernelArgs& args, int64_t row, int64_t count, void* const* out) const;
    std::vector<Operand> in_, out_;
    int64_t rows_, chunk_;
    int threads_;
    size_t scratch_at_, slot_bytes_ = 0;
};

}  // namespace fk::cpu
