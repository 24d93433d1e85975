// What the files of this directory share: names of types in CUDA C++, and programs of one or more calls of the templates in
// ../kernels. An op is a `match` and a `make` that fills in the template's constants.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/errors.h"
#include "cuda/impls.h"
#include "cuda/texts.h"
#include "ops/op_def.h"

namespace fk::cuda {

[[nodiscard]] inline const TensorType& input_type(const Graph& g, const Node& node, size_t i) { return g.type(node.inputs[i]); }

[[nodiscard]] inline size_t normalize_axis(int64_t axis, size_t rank) {
    return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

// A tensor seen along one axis: [outer, n, inner].
struct AxisView {
    int64_t outer = 1, n = 1, inner = 1;
};
[[nodiscard]] AxisView view_axis(const Dims& dims, int64_t axis);

// The widest of CUDA's words, up to 16 bytes, that divides so many bytes.
struct Word {
    std::string_view type;
    int64_t bytes;
};
[[nodiscard]] Word widest_word(int64_t bytes);

// "name<a, b, 3>(parameters)".
template <class... Constants>
[[nodiscard]] std::string call(std::string_view name, std::string_view parameters, const Constants&... constants) {
    std::string text = concat(name, "<");
    const char* separator = "";
    ((text += concat(std::exchange(separator, ", "), constants)), ...);
    return concat(text, ">(", parameters, ");");
}

// What is told of an index outside [0, limit).
[[nodiscard]] std::function<std::string(int64_t bad)> bad_index(std::string op, int64_t limit);

// What counts so many things, and threads beyond them: 64-bit division costs a GPU several times as much.
[[nodiscard]] inline std::string_view index_type(int64_t count) { return count < INT32_MAX - 1024 ? "i32" : "i64"; }

class ProgramBuilder {
  public:
    explicit ProgramBuilder(const Graph& g, const Node& node, std::string text);
    // Parameters of the next kernel, in order: "const T* in0", "T* out0", "T* part"; `error` is "Error* error".
    // Another type than the tensor's: "const u32* in0"; or another name.
    ProgramBuilder& input(size_t i, std::string_view type = {}, std::string_view name = {});
    ProgramBuilder& output(size_t o, std::string_view type = {}, std::string_view name = {});
    ProgramBuilder& scratch(std::string_view name, std::string_view type, size_t offset);
    ProgramBuilder& error();
    ProgramBuilder& number(std::string_view name, int64_t value);
    // Ends the kernel: its statements, and how it is launched.
    ProgramBuilder& kernel(std::string_view kind, const std::string& statements, int64_t blocks, int threads = 256,
                           bool synchronizes = false, int64_t slices = 1);
    ProgramBuilder& uses(const char* text);      // of texts.h, for all kernels from here on
    [[nodiscard]] size_t reserve(size_t bytes);  // scratch memory; its offset
    ProgramBuilder& share(size_t out, size_t in);
    ProgramBuilder& message(std::function<std::string(int64_t bad)> make);
    [[nodiscard]] std::unique_ptr<Kernel> done();

  private:
    const Graph& g_;
    const Node& node_;
    Program program_;
    std::string parameters_;
    std::vector<Argument> arguments_;
    std::vector<const char*> uses_;
};

[[nodiscard]] inline int64_t blocks_for(int64_t threads, int64_t per_block = 256) {
    return std::max<int64_t>((threads + per_block - 1) / per_block, 1);
}

}  // namespace fk::cuda
