// A compiled computation. It owns its working memory; inputs and outputs belong to the caller, who passes one pointer each.
#pragma once

#include <optional>
#include <string_view>

#include "fastkeras/types.h"

namespace fk {
class Plan;
}

namespace fastkeras {

class FASTKERAS_API Program {
  public:
    [[nodiscard]] const std::vector<TensorType>& inputs() const { return inputs_; }
    [[nodiscard]] const std::vector<TensorType>& outputs() const { return outputs_; }
    // The input whose memory output `i` may be given, when it was recorded as its update.
    [[nodiscard]] std::optional<size_t> updates(size_t i) const;

    // Runs once, on dense row-major memory of exactly the declared types. No output may overlap another, or an input other
    // than the one it updates. Safe from several threads at a time. InvalidArgument when the data is bad (an index out of
    // range); an output given the memory of the input it updates is then unchanged.
    void run(std::span<const void* const> inputs, std::span<void* const> outputs) const;
    // The same with memory that belongs to arrays; the types are checked.
    [[nodiscard]] std::vector<Array> run(std::span<const Array* const> inputs) const;
    [[nodiscard]] std::vector<Array> run(std::initializer_list<const Array*> inputs) const;

    [[nodiscard]] size_t kernels() const;
    [[nodiscard]] size_t arena_bytes() const;  // working memory of one run
    [[nodiscard]] std::string text() const;    // one line per kernel

  private:
    friend class GraphBuilder;
    explicit Program(std::shared_ptr<const fk::Plan> plan);
    std::shared_ptr<const fk::Plan> plan_;
    std::vector<TensorType> inputs_, outputs_;
};

// The engine's switches (FASTKERAS_* variables): num_threads, disable_passes, log ... InvalidArgument for an unknown name.
FASTKERAS_API void set_option(std::string_view name, std::string_view value);
[[nodiscard]] FASTKERAS_API std::string_view version();

}  // namespace fastkeras
