// Control flow on the CPU: the bodies of the node are compiled to plans of their own, which its kernel runs. Slices are read
// and written where they lie in the stacked tensors; carried values alternate between two buffers.
#include <algorithm>
#include <cstring>

#include "cpu/impls.h"
#include "cpu/own_common.h"
#include "runtime/host.h"
#include "runtime/plan.h"

namespace fk::cpu {
namespace {

using PlanPtr = std::shared_ptr<const Plan>;

std::string any(const Graph&, const Node&) { return ""; }

std::byte* bytes_of(void* p) { return static_cast<std::byte*>(p); }
const std::byte* bytes_of(const void* p) { return static_cast<const std::byte*>(p); }

// Bad data inside a body is reported like that of any other kernel.
bool run_body(const Plan& plan, const void* const* in, void* const* out, RunErrors* errors) {
    try {
        plan.run(in, out);
        return true;
    } catch (const UserError& e) {
        errors->report(e.what());
    } catch (const Interrupted&) {
        errors->interrupt();
    }
    return false;
}

class SwitchKernel final : public Kernel {
  public:
    explicit SwitchKernel(std::vector<PlanPtr> branches) : branches_(std::move(branches)) {}
    void run(const KernelArgs& a) const override {
        int32_t index = 0;
        std::memcpy(&index, a.in[0], sizeof index);
        const auto last = static_cast<int32_t>(branches_.size()) - 1;
        run_body(*branches_[static_cast<size_t>(std::clamp(index, 0, last))], a.in + 1, a.out, a.errors);
    }
    [[nodiscard]] std::string describe() const override { return concat("own:switch of ", branches_.size()); }

  private:
    std::vector<PlanPtr> branches_;
};

// Two buffers in scratch memory for each carried value; sizes are rounded up to cache lines.
class Carries {
  public:
    explicit Carries(std::vector<size_t> bytes) : bytes_(std::move(bytes)) {
        for (size_t b : bytes_) offsets_.push_back(total_), total_ += (b + 63) / 64 * 64;
    }
    [[nodiscard]] size_t scratch() const { return total_; }
    [[nodiscard]] size_t size() const { return bytes_.size(); }
    [[nodiscard]] size_t bytes(size_t i) const { return bytes_[i]; }
    [[nodiscard]] std::byte* at(std::byte* scratch, size_t i) const { return scratch + offsets_[i]; }

  private:
    std::vector<size_t> bytes_, offsets_;
    size_t total_ = 0;
};

class ScanKernel final : public Kernel {
  public:
    ScanKernel(PlanPtr body, const Node& node)
        : body_(std::move(body)),
          n_carries_(static_cast<size_t>(node.int_attr("carries"))),
          n_xs_(static_cast<size_t>(node.int_attr("xs"))),
          length_(node.int_attr("length")),
          reverse_(node.bool_attr("reverse")),
          carries_(sizes(body_->parameter_types, n_carries_)) {}

    void run(const KernelArgs& a) const override {
        const size_t n_in = body_->parameter_types.size(), n_out = body_->output_types.size();
        std::vector<const void*> in(a.in, a.in + n_in);
        std::vector<void*> out(n_out);
        for (int64_t t = 0; t < length_; ++t) {
            const auto row = static_cast<size_t>(reverse_ ? length_ - 1 - t : t);
            // The last iteration writes to the outputs, the one before to scratch, and so on.
            const bool to_output = (length_ - 1 - t) % 2 == 0;
            for (size_t i = 0; i < n_carries_; ++i) out[i] = to_output ? a.out[i] : carries_.at(a.scratch, i);
            for (size_t i = n_carries_; i < n_carries_ + n_xs_; ++i)
                in[i] = bytes_of(a.in[i]) + row * body_->parameter_types[i].bytes();
            for (size_t i = n_carries_; i < n_out; ++i) out[i] = bytes_of(a.out[i]) + row * body_->output_types[i].bytes();
            if (!run_body(*body_, in.data(), out.data(), a.errors)) return;
            for (size_t i = 0; i < n_carries_; ++i) in[i] = out[i];
            if (interrupted(t)) return a.errors->interrupt();
        }
        if (length_ == 0)
            for (size_t i = 0; i < n_carries_; ++i) std::memcpy(a.out[i], a.in[i], carries_.bytes(i));
    }
    [[nodiscard]] size_t scratch_bytes() const override { return carries_.scratch(); }
    [[nodiscard]] std::string describe() const override {
        return concat("own:scan ", length_, " x ", body_->steps.size(), " steps");
    }

    static std::vector<size_t> sizes(const std::vector<TensorType>& types, size_t n) {
        std::vector<size_t> bytes;
        for (size_t i = 0; i < n; ++i) bytes.push_back(types[i].bytes());
        return bytes;
    }

  private:
    PlanPtr body_;
    size_t n_carries_, n_xs_;
    int64_t length_;
    bool reverse_;
    Carries carries_;
};

class WhileKernel final : public Kernel {
  public:
    WhileKernel(PlanPtr condition, PlanPtr body, const Node& node)
        : condition_(std::move(condition)),
          body_(std::move(body)),
          limit_(node.int_attr("limit")),
          history_(node.bool_attr("history")),
          carries_(ScanKernel::sizes(body_->parameter_types, static_cast<size_t>(node.int_attr("carries")))) {}

    void run(const KernelArgs& a) const override {
        const size_t n = carries_.size();
        std::vector<const void*> in(a.in, a.in + body_->parameter_types.size());
        std::vector<void*> out(n);
        std::byte* buffers[2] = {a.scratch, a.scratch + carries_.scratch()};
        int64_t t = 0;
        for (; limit_ < 0 || t < limit_; ++t) {
            bool more = false;
            void* answer = &more;
            if (!run_body(*condition_, in.data(), &answer, a.errors)) return;
            if (!more) break;
            if (history_)
                for (size_t i = 0; i < n; ++i)
                    std::memcpy(row(a, i, t), in[i], carries_.bytes(i));
            for (size_t i = 0; i < n; ++i) out[i] = carries_.at(buffers[t % 2], i);
            if (!run_body(*body_, in.data(), out.data(), a.errors)) return;
            for (size_t i = 0; i < n; ++i) in[i] = out[i];
            if (interrupted(t)) return a.errors->interrupt();
        }
        for (size_t i = 0; i < n; ++i) std::memcpy(a.out[i], in[i], carries_.bytes(i));
        if (!history_) return;
        const auto count = static_cast<int32_t>(t);
        std::memcpy(a.out[n], &count, sizeof count);
        for (size_t i = 0; i < n; ++i) std::memset(row(a, i, t), 0, static_cast<size_t>(limit_ - t) * carries_.bytes(i));
    }
    [[nodiscard]] size_t scratch_bytes() const override { return 2 * carries_.scratch(); }
    [[nodiscard]] std::string describe() const override { return concat("own:while ", body_->steps.size(), " steps"); }

  private:
    [[nodiscard]] std::byte* row(const KernelArgs& a, size_t i, int64_t t) const {
        return bytes_of(a.out[carries_.size() + 1 + i]) + static_cast<size_t>(t) * carries_.bytes(i);
    }
    PlanPtr condition_, body_;
    int64_t limit_;
    bool history_;
    Carries carries_;
};

}  // namespace

namespace own_switch {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph&, const Node& node) {
    std::vector<PlanPtr> branches;
    for (const auto& branch : node.bodies()) branches.push_back(compile(*branch));
    return std::make_unique<SwitchKernel>(std::move(branches));
}
}  // namespace own_switch

namespace own_scan {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph&, const Node& node) {
    return std::make_unique<ScanKernel>(compile(*node.bodies()[0]), node);
}
}  // namespace own_scan

namespace own_while {
std::string match(const Graph& g, const Node& n) { return any(g, n); }
std::unique_ptr<Kernel> make(const Graph&, const Node& node) {
    return std::make_unique<WhileKernel>(compile(*node.bodies()[0]), compile(*node.bodies()[1]), node);
}
}  // namespace own_while

}  // namespace fk::cpu
