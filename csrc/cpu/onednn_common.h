// What the kernels built on oneDNN share. A kernel is a list of primitives created once, each argument bound to an
// input, an output or a place in scratch; a run sets addresses that changed and executes. Start at `OnednnKernel`.
//
// Every primitive is made for one thread. A kernel splits its work into parts by itself (rows of a product, samples of a
// batch), a primitive each, and gives them to the team of threads.h: the library's own OpenMP team waits at a barrier for
// threads that another process keeps from running, ours does not.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "cpu/epilogue.h"
#include "cpu/own_common.h"

namespace fk::cpu {

// The engine is shared by reference count: kernels that outlive everything else keep it alive.
[[nodiscard]] const dnnl::engine& onednn_engine();
[[nodiscard]] std::optional<dnnl::memory::data_type> onednn_type(DType t);  // none: the library does not know it
[[nodiscard]] dnnl::memory::desc strided_desc(const Dims& dims, DType t, const Dims& strides);

enum class Place : uint8_t { input, output, scratch };
struct Binding {
    int arg = 0;  // DNNL_ARG_*
    dnnl::memory::desc desc;
    Place place = Place::input;
    size_t at = 0;      // operand number, or offset in scratch
    size_t offset = 0;  // bytes from there
};
struct Step {
    dnnl::primitive primitive;
    std::vector<Binding> bindings;
};
// Steps that follow each other, in parts that may run at the same time; a stage begins when the one before is done.
using Stage = std::vector<std::vector<Step>>;

class OnednnKernel final : public Kernel {
  public:
    OnednnKernel(std::string text, std::vector<Stage> stages, size_t scratch);
    void run(const KernelArgs& args) const override;
    [[nodiscard]] std::unique_ptr<KernelState> make_state() const override;
    [[nodiscard]] size_t scratch_bytes() const override { return scratch_; }
    [[nodiscard]] std::string describe() const override { return text_; }

  private:
    void run_part(const KernelArgs& args, size_t first, const std::vector<Step>& steps) const;

    std::string text_;
    dnnl::engine engine_;
    std::vector<Stage> stages_;
    std::vector<std::vector<size_t>> first_;  // per stage and part: its first binding in the state
    size_t scratch_;
};

// oneDNN takes the size of its team from OpenMP when a primitive is made and when it runs: both happen inside one of these.
class SingleThread {
  public:
    SingleThread();
    ~SingleThread();
    SingleThread(const SingleThread&) = delete;
    SingleThread& operator=(const SingleThread&) = delete;

  private:
    int before_;
};
// Into how many parts work of this size is split.
[[nodiscard]] int parts_for(int64_t multiply_adds);

// Builds the stages of one kernel and lays out its scratch. New steps go to the last stage's part `part`.
class StepBuilder {
  public:
    StepBuilder() { next_stage(); }
    [[nodiscard]] static dnnl::primitive_attr attributes(Act act = Act::none);  // user scratchpad, activation as post-op
    void next_stage() { stages_.emplace_back(1); }
    size_t reserve(const dnnl::memory::desc& desc);
    // Adds a primitive; `pd` supplies its scratchpad.
    void add(const dnnl::primitive& primitive, const dnnl::primitive_desc_base& pd, std::vector<Binding> bindings,
             size_t part = 0);
    // `add`: to what is there already.
    void reorder(const Binding& from, const Binding& to, bool add = false);
    // The kernel wants its input `input`, which is stored as `from`, as `to`.
    void prepare(int input, const dnnl::memory::desc& from, const dnnl::memory::desc& to);
    [[nodiscard]] std::unique_ptr<Kernel> finish(std::string text);

  private:
    size_t scratch_ = 0;
    std::vector<Stage> stages_;
    std::vector<Prepared> prepared_;
};

// Plain loops for reference come last in the library's lists: behind them nothing is left to choose. (And lists must not be
// walked to their ends: that of the gradients of filters has led beyond it.)
template <class Pd>
[[nodiscard]] bool is_reference(const Pd& pd) {
    return std::string_view(pd.impl_info_str()).find("ref") != std::string_view::npos;
}

}  // namespace fk::cpu
