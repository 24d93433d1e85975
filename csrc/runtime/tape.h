// Gradients of what was recorded. A tape notes which nodes of a recorder were added while it was recording; gradients follow
// only these, from the targets back to the sources. They are recorded like any op, so an outer tape differentiates them again.
#pragma once

#include "passes/differentiate.h"
#include "runtime/lazy.h"

namespace fk {

// Gradients of the sum of the targets (weighted by the seeds; null: ones) through everything that the current recorder's graph
// holds; null where nothing connects. A cell stands for all the values it was read as.
[[nodiscard]] std::vector<TensorPtr> gradients(const std::vector<TensorPtr>& targets, const std::vector<OperandRef>& sources,
                                               const std::vector<TensorPtr>& seeds);

class Tape {
  public:
    Tape() = default;
    ~Tape();
    Tape(const Tape&) = delete;
    Tape& operator=(const Tape&) = delete;

    void enter();  // records from here on, in the recorder it was in before or else in the current one
    void leave();
    void pause();
    void resume();
    void reset();  // forgets what was recorded
    [[nodiscard]] bool recording() const { return recording_; }

    struct Request {
        std::vector<TensorPtr> targets;
        std::vector<OperandRef> sources;
        std::vector<TensorPtr> seeds;     // null: ones
        std::vector<OperandRef> watched;  // where gradients begin, beside the cells that were read
        bool cells_watched = true;
    };
    [[nodiscard]] std::vector<TensorPtr> gradient(const Request& request);
    [[nodiscard]] std::vector<CellPtr> cells_read() const;

  private:
    RecorderPtr recorder_;
    std::vector<NodeSpan> spans_;
    uint64_t since_ = 0;  // which tape of the recorder this was to be entered, counted from 1
    bool recording_ = false, entered_ = false;

    void begin_span();
    void end_span();
};

}  // namespace fk
