// A compiled graph: a flat list of kernels with their operands resolved to parameters, outputs and offsets in one arena.
// compile.cpp makes plans, plan.cpp runs them.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "passes/passes.h"
#include "runtime/buffer.h"
#include "runtime/device.h"
#include "runtime/kernel.h"

namespace fk {

enum class Place : uint8_t { parameter, output, arena, kept };
struct Operand {
    Place place = Place::arena;
    size_t at = 0;  // index of the parameter or output, byte offset in the arena or in what the prologue keeps
};

struct Step {
    std::unique_ptr<Kernel> kernel;
    uint32_t first_operand = 0;  // inputs, then outputs, in Plan::operands
    uint32_t inputs = 0, outputs = 0;
    size_t scratch = 0;          // byte offset of its scratch memory in the arena
    uint32_t node = UINT32_MAX;  // what it computes, in Plan::lowered; copies and prepared forms have none
    std::string op, label;
    std::vector<TensorType> types;  // of the operands of a step that has no node
};

class Plan : public std::enable_shared_from_this<Plan> {
  public:
    std::string name;  // of what was compiled: "train_step"
    const Device* device = nullptr;
    std::vector<TensorType> parameter_types, output_types;
    // >= 0: the output may be given the buffer of that parameter (all other readers run before it is written).
    std::vector<int32_t> output_aliases;
    std::vector<Step> steps;
    std::vector<Operand> operands;
    size_t arena_bytes = 0;
    // The first steps read steady parameters only, and what they make of them. They are no part of a run but run ahead of it
    // when a parameter has changed (prologue.h); what runs read of them is kept.
    size_t prologue = 0, kept_bytes = 0;
    std::vector<uint32_t> prologue_parameters;
    // Per step of the prologue: the parameters on which it depends, or a step that it shares intermediate results with.
    std::vector<std::vector<uint32_t>> prologue_reads;
    std::vector<PassTiming> timings;
    std::vector<Refusal> refusals;  // by the passes, then by step
    Graph lowered;                  // the graph that the steps execute
    bool repeatable = true;         // see Kernel::repeatable: all of them are
    size_t checked = 0;             // behind the last step that can fail and tells of it later; 0: there is none
    bool timed = false;             // FASTKERAS_LOG=run when compiled: text() then shows the least time of each step

    // Runs once, on operands in the device's memory. Safe from several threads at the same time. Throws UserError when a kernel
    // reports bad data; then no aliased output has been written. `stamps` gets the times (profiler::now) at which each step
    // began, and the end. `kept`: what the prologue left; without it, the prologue runs first.
    void run(const void* const* parameters, void* const* outputs, std::vector<int64_t>* stamps = nullptr,
             const std::byte* kept = nullptr) const;
    // Runs those steps of the prologue that `stale` marks.
    void prepare(const void* const* parameters, std::byte* kept, std::span<const uint8_t> stale) const;

    // A plan inside another plan's kernel (control flow): what one run needs for itself is the caller's, and so are the
    // `arena_bytes` of its arena.
    struct Instance;
    struct InstanceDelete {
        void operator()(Instance* instance) const;
    };
    using InstancePtr = std::unique_ptr<Instance, InstanceDelete>;
    [[nodiscard]] InstancePtr make_instance() const;
    void run(Instance& instance, std::byte* arena, const void* const* parameters, void* const* outputs,
             std::vector<int64_t>* stamps = nullptr) const;

    // Whether kernels tell of bad data after the run, and what they tell; it waits for them.
    [[nodiscard]] bool checks() const;
    void check(RunErrors& errors) const;

    [[nodiscard]] std::string text() const;        // one line per step; report.h tells more
    [[nodiscard]] std::string memory_map() const;  // who lives where in the arena, and when

  private:
    struct Call;  // what a run reads and writes
    void execute(Instance& instance, const Call& call) const;
    void execute_leased(Call call) const;
    void note_times(const std::vector<int64_t>& stamps, const Call& call) const;

    mutable std::mutex mutex_;
    mutable std::vector<InstancePtr> idle_;
    mutable std::vector<int64_t> nanoseconds_;  // per step, the least of all timed runs

  public:
    Plan();
    ~Plan();
};

// Lowers and plans `g` for a device. g.output_aliases says which outputs are new values of which parameters. The name is for
// those who read reports.
[[nodiscard]] std::shared_ptr<const Plan> compile(const Graph& g, std::string_view name = "",
                                                  const Device& device = current_device());

}  // namespace fk
