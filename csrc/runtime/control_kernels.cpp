// See control_kernels.h. The bodies of a node are compiled to plans of their own, which its kernel runs. Slices are read and
// written where they lie in the stacked tensors; carried values alternate between two buffers.
#include "runtime/control_kernels.h"

#include <algorithm>
#include <cstring>

#include "core/errors.h"
#include "ops/op_def.h"
#include "runtime/host.h"
#include "runtime/plan.h"

namespace fk {
namespace {

using PlanPtr = std::shared_ptr<const Plan>;

constexpr size_t kLine = 256;  // what buffers in scratch memory begin at multiples of
size_t round_up(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

// Bytes of a device's memory, or of the host's.
class Bytes {
  public:
    explicit Bytes(DeviceMemory* memory) : memory_(memory) {}
    void copy(void* to, const void* from, size_t bytes) const {
        if (memory_ == nullptr)
            std::memcpy(to, from, bytes);
        else if (bytes > 0)
            memory_->copy(to, from, bytes);
    }
    void zero(void* to, size_t bytes) const {
        if (memory_ == nullptr)
            std::memset(to, 0, bytes);
        else if (bytes > 0)
            memory_->zero(to, bytes);
    }
    template <class T>
    [[nodiscard]] T read(const void* from) const {
        T value{};
        if (memory_ == nullptr)
            std::memcpy(&value, from, sizeof value);
        else
            memory_->download(&value, from, sizeof value);
        return value;
    }
    template <class T>
    void write(void* to, T value) const {
        if (memory_ == nullptr)
            std::memcpy(to, &value, sizeof value);
        else
            memory_->upload(to, &value, sizeof value);
    }

  private:
    DeviceMemory* memory_;
};

std::byte* bytes_of(void* p) { return static_cast<std::byte*>(p); }
const std::byte* bytes_of(const void* p) { return static_cast<const std::byte*>(p); }

// The plans of a node's bodies. They run in the arena of the plan around them: a body's temporary values are scratch memory of
// its kernel, so bodies that run one after the other share it.
class BodyPlans {
  public:
    explicit BodyPlans(std::vector<PlanPtr> plans) : plans_(std::move(plans)) {
        for (const PlanPtr& p : plans_) arena_ = std::max(arena_, round_up(p->arena_bytes));
    }
    [[nodiscard]] const Plan& operator[](size_t i) const { return *plans_[i]; }
    [[nodiscard]] Bytes memory() const { return Bytes(plans_[0]->device->memory()); }
    [[nodiscard]] bool repeatable() const {
        return std::ranges::all_of(plans_, [](const PlanPtr& p) { return p->repeatable; });
    }
    // On devices that tell of bad data later.
    [[nodiscard]] bool checks() const {
        return std::ranges::any_of(plans_, [](const PlanPtr& p) { return p->checks(); });
    }
    void check(RunErrors& errors) const {
        for (const PlanPtr& p : plans_) p->check(errors);
    }
    [[nodiscard]] size_t size() const { return plans_.size(); }
    [[nodiscard]] size_t arena_bytes() const { return arena_; }
    [[nodiscard]] std::unique_ptr<KernelState> make_state() const {
        auto state = std::make_unique<State>();
        for (const PlanPtr& p : plans_) state->instances.push_back(p->make_instance());
        return state;
    }
    [[nodiscard]] std::string text() const {
        std::string all;
        for (size_t i = 0; i < plans_.size(); ++i) all += concat("body ", i, ": ", plans_[i]->text());
        return all;
    }
    // Bad data inside a body is reported like that of any other kernel.
    bool run(size_t body, const KernelArgs& a, const void* const* in, void* const* out) const {
        try {
            plans_[body]->run(*static_cast<State&>(*a.state).instances[body], a.scratch, in, out);
            return true;
        } catch (const UserError& e) {
            a.errors->report(e.what());
        } catch (const Interrupted&) {
            a.errors->interrupt();
        }
        return false;
    }

  private:
    struct State final : KernelState {
        std::vector<Plan::InstancePtr> instances;
    };
    std::vector<PlanPtr> plans_;
    size_t arena_ = 0;
};

class SwitchKernel final : public Kernel {
  public:
    explicit SwitchKernel(BodyPlans branches) : branches_(std::move(branches)) {}
    void run(const KernelArgs& a) const override {
        const auto index = branches_.memory().read<int32_t>(a.in[0]);
        const auto last = static_cast<int32_t>(branches_.size()) - 1;
        branches_.run(static_cast<size_t>(std::clamp(index, 0, last)), a, a.in + 1, a.out);
    }
    [[nodiscard]] bool repeatable() const override { return false; }
    [[nodiscard]] bool checks() const override { return branches_.checks(); }
    void check(RunErrors& errors) const override { branches_.check(errors); }
    [[nodiscard]] std::unique_ptr<KernelState> make_state() const override { return branches_.make_state(); }
    [[nodiscard]] size_t scratch_bytes() const override { return branches_.arena_bytes(); }
    [[nodiscard]] std::string describe() const override { return concat("switch of ", branches_.size()); }
    [[nodiscard]] std::string details() const override { return branches_.text(); }

  private:
    BodyPlans branches_;
};

// A buffer in scratch memory for each carried value, `first` bytes from its start.
class Carries {
  public:
    Carries(std::vector<size_t> bytes, size_t first) : bytes_(std::move(bytes)), total_(first) {
        for (size_t b : bytes_) offsets_.push_back(total_), total_ += round_up(b);
    }
    [[nodiscard]] size_t end() const { return total_; }
    [[nodiscard]] size_t size() const { return bytes_.size(); }
    [[nodiscard]] size_t bytes(size_t i) const { return bytes_[i]; }
    [[nodiscard]] std::byte* at(std::byte* scratch, size_t i) const { return scratch + offsets_[i]; }

  private:
    std::vector<size_t> bytes_, offsets_;
    size_t total_;
};

class ScanKernel final : public Kernel {
  public:
    ScanKernel(BodyPlans plans, const Node& node)
        : plans_(std::move(plans)),
          body_(&plans_[0]),
          n_carries_(static_cast<size_t>(node.int_attr("carries"))),
          n_xs_(static_cast<size_t>(node.int_attr("xs"))),
          length_(node.int_attr("length")),
          reverse_(node.bool_attr("reverse")),
          carries_(sizes(body_->parameter_types, n_carries_), plans_.arena_bytes()) {}

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
            if (!plans_.run(0, a, in.data(), out.data())) return;
            for (size_t i = 0; i < n_carries_; ++i) in[i] = out[i];
            if (interrupted(t)) return a.errors->interrupt();
        }
        if (length_ == 0)
            for (size_t i = 0; i < n_carries_; ++i) plans_.memory().copy(a.out[i], a.in[i], carries_.bytes(i));
    }
    [[nodiscard]] bool repeatable() const override { return plans_.repeatable(); }
    [[nodiscard]] bool checks() const override { return plans_.checks(); }
    void check(RunErrors& errors) const override { plans_.check(errors); }
    [[nodiscard]] std::unique_ptr<KernelState> make_state() const override { return plans_.make_state(); }
    [[nodiscard]] size_t scratch_bytes() const override { return carries_.end(); }
    [[nodiscard]] std::string describe() const override { return concat("scan ", length_, " x ", body_->steps.size(), " steps"); }
    [[nodiscard]] std::string details() const override { return plans_.text(); }

    static std::vector<size_t> sizes(const std::vector<TensorType>& types, size_t n) {
        std::vector<size_t> bytes;
        for (size_t i = 0; i < n; ++i) bytes.push_back(types[i].bytes());
        return bytes;
    }

  private:
    BodyPlans plans_;
    const Plan* body_;
    size_t n_carries_, n_xs_;
    int64_t length_;
    bool reverse_;
    Carries carries_;
};

class WhileKernel final : public Kernel {
  public:
    WhileKernel(BodyPlans plans, const Node& node)  // the condition, the body
        : plans_(std::move(plans)),
          body_(&plans_[1]),
          limit_(node.int_attr("limit")),
          history_(node.bool_attr("history")),
          odd_(ScanKernel::sizes(body_->parameter_types, static_cast<size_t>(node.int_attr("carries"))), plans_.arena_bytes()),
          even_(ScanKernel::sizes(body_->parameter_types, odd_.size()), odd_.end()),
          answer_(even_.end()) {}

    void run(const KernelArgs& a) const override {
        const size_t n = odd_.size();
        const Bytes memory = plans_.memory();
        std::vector<const void*> in(a.in, a.in + body_->parameter_types.size());
        std::vector<void*> out(n);
        int64_t t = 0;
        for (; limit_ < 0 || t < limit_; ++t) {
            void* answer = a.scratch + answer_;
            if (!plans_.run(0, a, in.data(), &answer)) return;
            if (memory.read<uint8_t>(answer) == 0) break;
            if (history_)
                for (size_t i = 0; i < n; ++i) memory.copy(row(a, i, t), in[i], odd_.bytes(i));
            for (size_t i = 0; i < n; ++i) out[i] = (t % 2 ? odd_ : even_).at(a.scratch, i);
            if (!plans_.run(1, a, in.data(), out.data())) return;
            for (size_t i = 0; i < n; ++i) in[i] = out[i];
            if (interrupted(t)) return a.errors->interrupt();
        }
        for (size_t i = 0; i < n; ++i) memory.copy(a.out[i], in[i], odd_.bytes(i));
        if (!history_) return;
        memory.write(a.out[n], static_cast<int32_t>(t));
        for (size_t i = 0; i < n; ++i) memory.zero(row(a, i, t), static_cast<size_t>(limit_ - t) * odd_.bytes(i));
    }
    [[nodiscard]] bool repeatable() const override { return false; }
    [[nodiscard]] bool checks() const override { return plans_.checks(); }
    void check(RunErrors& errors) const override { plans_.check(errors); }
    [[nodiscard]] std::unique_ptr<KernelState> make_state() const override { return plans_.make_state(); }
    [[nodiscard]] size_t scratch_bytes() const override { return answer_ + kLine; }
    [[nodiscard]] std::string describe() const override { return concat("while ", body_->steps.size(), " steps"); }
    [[nodiscard]] std::string details() const override { return plans_.text(); }

  private:
    [[nodiscard]] std::byte* row(const KernelArgs& a, size_t i, int64_t t) const {
        return bytes_of(a.out[odd_.size() + 1 + i]) + static_cast<size_t>(t) * odd_.bytes(i);
    }
    BodyPlans plans_;
    const Plan* body_;
    int64_t limit_;
    bool history_;
    Carries odd_, even_;
    size_t answer_;  // of the condition, in scratch memory
};

BodyPlans compile_bodies(const Node& node) {
    std::vector<PlanPtr> plans;
    for (const auto& body : node.bodies()) plans.push_back(compile(*body, concat("body of ", node.op->name), current_device()));
    return BodyPlans(std::move(plans));
}

}  // namespace

std::string any_control(const Graph&, const Node&) { return ""; }
std::unique_ptr<Kernel> make_switch(const Graph&, const Node& node) {
    return std::make_unique<SwitchKernel>(compile_bodies(node));
}
std::unique_ptr<Kernel> make_scan(const Graph&, const Node& node) {
    return std::make_unique<ScanKernel>(compile_bodies(node), node);
}
std::unique_ptr<Kernel> make_while(const Graph&, const Node& node) {
    return std::make_unique<WhileKernel>(compile_bodies(node), node);
}

}  // namespace fk
