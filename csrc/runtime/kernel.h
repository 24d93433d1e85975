// What a device offers to run: a Kernel is one pre-bound instruction of a plan. Implementations of library and named ops
// are found in an ordered preference list (`Impl`): the first whose `match` returns "" wins, the others say why not.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace fk {

// Collects the first run-time user error of a run (an index out of range): kernels never write out of bounds and never
// throw from inside a parallel region; the executor turns the report into an exception after the run.
class RunErrors {
  public:
    void report(std::string message) {
        const std::lock_guard lock(mutex_);
        if (message_.empty()) message_ = std::move(message);
        failed_.store(true, std::memory_order_release);
    }
    void interrupt() {
        interrupted_.store(true, std::memory_order_release);
        failed_.store(true, std::memory_order_release);
    }
    [[nodiscard]] bool interrupted() const { return interrupted_.load(std::memory_order_acquire); }
    [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_acquire); }
    [[nodiscard]] std::string take() {
        const std::lock_guard lock(mutex_);
        failed_ = interrupted_ = false;
        return std::exchange(message_, {});
    }

  private:
    std::atomic<bool> failed_{false}, interrupted_{false};
    std::mutex mutex_;
    std::string message_;
};

struct KernelState {  // what one concurrent run needs for itself (library memory objects)
    virtual ~KernelState() = default;
};

struct KernelArgs {
    const void* const* in;  // dense row-major buffers, in the node's input order
    void* const* out;
    std::byte* scratch;  // scratch_bytes(), 64-byte aligned, contents undefined
    KernelState* state;  // from make_state(), this run's own
    RunErrors* errors;
};

class Kernel;
// A form of an input that a kernel wants: packed, in another layout.
struct Prepared {
    int input = 0;
    size_t bytes = 0;
    std::unique_ptr<Kernel> kernel;  // makes it from the input
};

class Kernel {
  public:
    virtual ~Kernel() = default;
    virtual void run(const KernelArgs& args) const = 0;
    // Devices that run on their own tell of bad data later: a run ends with `check`, which waits, for the kernels that ask for
    // it.
    [[nodiscard]] virtual bool checks() const { return false; }
    virtual void check(RunErrors& /*errors*/) const {}
    // Whether the kernel starts the same work whenever its operands are in the same places.
    [[nodiscard]] virtual bool repeatable() const { return true; }
    [[nodiscard]] virtual std::unique_ptr<KernelState> make_state() const { return nullptr; }
    [[nodiscard]] virtual size_t scratch_bytes() const { return 0; }
    // Whether output `out` may have the buffer of input `in`. The kernel must be right both ways.
    [[nodiscard]] virtual bool may_share(int /*out*/, int /*in*/) const { return false; }
    [[nodiscard]] virtual std::string describe() const = 0;           // "onednn:brgemm:avx512_core", "tile:7 instrs"
    [[nodiscard]] virtual std::string details() const { return ""; }  // what it runs inside, on several lines
    // The inputs that it wants in another form than they are stored in, at every run in their place. Worth it for steady inputs,
    // whose form is made once for many runs. The planner takes them.
    std::vector<Prepared> prepared;
};

struct Impl {
    std::string_view op;                                         // name of the op it implements
    std::string_view name;                                       // "onednn", "own"
    std::string (*match)(const Graph&, const Node&);             // "" or the reason it refuses
    std::unique_ptr<Kernel> (*make)(const Graph&, const Node&);  // may return null: "refused at creation", next one is tried
};

}  // namespace fk
