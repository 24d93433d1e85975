// A traced and compiled function of its inputs and of the cells it reads and writes. It runs as one call, or is recorded into
// another graph, where gradients flow through it.
#pragma once

#include "runtime/lazy.h"

namespace fk {

class Executable {
  public:
    Executable(Recorder& trace, const std::vector<TensorPtr>& outputs);

    struct Input {
        const void* data = nullptr;  // used as it is when `tensor` is null
        TensorPtr tensor;
    };
    [[nodiscard]] const std::vector<TensorType>& input_types() const { return input_types_; }
    [[nodiscard]] const Plan& plan();  // compiled when first asked for
    [[nodiscard]] const Graph& graph() const { return graph_; }
    std::vector<TensorPtr> run(const std::vector<Input>& inputs);
    void check_input(size_t i, const TensorType& got) const;  // UserError for another type
    // Records the function's nodes in the current recorder.
    std::vector<TensorPtr> record(const std::vector<TensorPtr>& inputs);
    uint64_t runs = 0;

  private:
    Graph graph_;  // outputs: the results, then the new values of the cells written
    std::shared_ptr<const Plan> plan_;
    std::vector<TensorType> input_types_;
    std::vector<Recorder::Source> sources_;
    std::vector<int32_t> input_of_;                    // per parameter: number of the input, or -1
    size_t results_ = 0;                               // the first outputs are returned, the others written to cells
    std::vector<CellPtr> written_;                     // per further output
    std::vector<std::pair<CellPtr, Value>> versions_;  // what written cells were read as inside
};

}  // namespace fk
