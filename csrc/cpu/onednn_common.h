// What the kernels built on oneDNN share. A kernel is a list of primitives created once, each argument bound to an
// input, an output or a place in scratch; a run sets addresses that changed and executes. Start at `OnednnKernel`.
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
    size_t at = 0;  // operand number, or offset in scratch
};
struct Step {
    dnnl::primitive primitive;
    std::vector<Binding> bindings;
};

class OnednnKernel final : public Kernel {
  public:
    // Everything made between construction and finish() is made for this many threads.
    OnednnKernel(std::string text, std::vector<Step> steps, size_t scratch, int threads);
    void run(const KernelArgs& args) const override;
    [[nodiscard]] std::unique_ptr<KernelState> make_state() const override;
    [[nodiscard]] size_t scratch_bytes() const override { return scratch_; }
    [[nodiscard]] std::string describe() const override { return text_; }

  private:
    std::string text_;
    dnnl::engine engine_;
    std::vector<Step> steps_;
    size_t scratch_;
    int threads_;
};

// oneDNN takes the size of its team from OpenMP when a primitive is made and when it runs: both happen inside one of these.
class TeamSize {
  public:
    explicit TeamSize(int threads);
    ~TeamSize();
    TeamSize(const TeamSize&) = delete;
    TeamSize& operator=(const TeamSize&) = delete;

  private:
    int before_;
};
[[nodiscard]] int team_for(int64_t multiply_adds);

// Builds the steps of one kernel and lays out its scratch.
class StepBuilder {
  public:
    explicit StepBuilder(int threads) : threads_(threads) {}
    [[nodiscard]] static dnnl::primitive_attr attributes(Act act = Act::none);  // user scratchpad, activation as post-op
    size_t reserve(const dnnl::memory::desc& desc);
    // Adds a primitive; `pd` supplies its scratchpad.
    void add(const dnnl::primitive& primitive, const dnnl::primitive_desc_base& pd, std::vector<Binding> bindings);
    void reorder(const Binding& from, const Binding& to);
    [[nodiscard]] std::unique_ptr<Kernel> finish(std::string text);

  private:
    int threads_;
    size_t scratch_ = 0;
    std::vector<Step> steps_;
};

// Skips implementations that are plain loops for reference. False: there is no other.
template <class Pd>
[[nodiscard]] bool skip_reference(Pd& pd) {
    while (std::string_view(pd.impl_info_str()).find("ref") != std::string_view::npos)
        if (!pd.next_impl()) return false;
    return true;
}

}  // namespace fk::cpu
