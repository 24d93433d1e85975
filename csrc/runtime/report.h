// What a plan is made of, in full, for people and tools: each step with its work, its implementation and why better ones refused;
// who lives where in the arena. Made when asked; plans store none of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/cost.h"
#include "runtime/plan.h"

namespace fk {

struct StepReport {
    std::string op, label, implementation, kind;
    std::string compute;                       // type of the first floating-point operand: what rates are compared with
    std::vector<std::string> inputs, outputs;  // types as text
    StepCost cost;
    // Implementations that would have been preferred, with the reason; for a loop also those of the named ops written into it.
    std::vector<std::pair<std::string, std::string>> refusals;
    std::vector<int32_t> sources;  // per input: the step that computes it, or -1 for a parameter
    std::string details;           // the loop of a fused region, the plans of control flow
};
[[nodiscard]] std::vector<StepReport> report(const Plan& plan);

// A stay in the arena: from the step that writes it to the last that reads it.
struct MemorySpan {
    size_t offset = 0, bytes = 0;
    size_t first = 0, last = 0;
    std::string what;  // type as text, or "scratch"
};
[[nodiscard]] std::vector<MemorySpan> memory_spans(const Plan& plan);
// The most that is in use at one step, without gaps.
[[nodiscard]] size_t peak_bytes(const Plan& plan);

}  // namespace fk
