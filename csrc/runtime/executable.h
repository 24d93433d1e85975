// A traced and compiled function of its inputs and of the cells it reads and writes. It runs as one call, or is recorded into
// another graph, where gradients flow through it.
#pragma once

#include "runtime/lazy.h"
#include "runtime/prologue.h"

namespace fk {

// Runs that were only made to be timed.
struct Measurement {
    std::vector<int64_t> totals;  // nanoseconds of each run as the caller sees it
    std::vector<int64_t> steps;   // of each step, in the quickest run
};

class Executable {
  public:
    Executable(Recorder& trace, const std::vector<TensorPtr>& outputs, std::string name = "");

    struct Input {
        const void* data = nullptr;  // used as it is when `tensor` is null
        TensorPtr tensor;
    };
    [[nodiscard]] const std::vector<TensorType>& input_types() const { return input_types_; }
    [[nodiscard]] const Plan& plan();  // compiled when first asked for
    [[nodiscard]] const Graph& graph() const { return graph_; }
    std::vector<TensorPtr> run(const std::vector<Input>& inputs);
    void check_input(size_t i, const TensorType& got) const;  // UserError for another type
    // Runs up to `runs` times, or until `seconds` have passed, on copies of the cells: no variable changes.
    Measurement measure(const std::vector<Input>& inputs, int runs, double seconds);
    // Records the function's nodes in the current recorder.
    std::vector<TensorPtr> record(const std::vector<TensorPtr>& inputs);
    uint64_t runs = 0;

  private:
    // Brings the inputs into memory and notes where they are, in `parameters`; `held` keeps them there.
    void take_inputs(const std::vector<Input>& inputs, std::vector<const void*>& parameters, std::vector<BufferPtr>& held);
    // What cells and constants hold, by number of the parameter: the ids of their tensors, 0 for inputs.
    [[nodiscard]] std::vector<uint64_t> source_ids() const;
    // Waits until the cells and constants are in memory. Until the host's lock is released again, they stay as they are.
    void await_sources();
    [[nodiscard]] const TensorPtr& source(size_t i) const {
        return sources_[i].cell ? sources_[i].cell->value : sources_[i].tensor;
    }

    std::string name_;
    Graph graph_;  // outputs: the results, then the new values of the cells written
    std::shared_ptr<const Plan> plan_;
    Prologue prologue_;  // of `plan_`
    std::vector<TensorType> input_types_;
    std::vector<Recorder::Source> sources_;
    std::vector<int32_t> input_of_;                    // per parameter: number of the input, or -1
    size_t results_ = 0;                               // the first outputs are returned, the others written to cells
    std::vector<CellPtr> written_;                     // per further output
    std::vector<std::pair<CellPtr, Value>> versions_;  // what written cells were read as inside
};

}  // namespace fk
