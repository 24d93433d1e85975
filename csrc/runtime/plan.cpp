// Running a plan: patch the caller's pointers into the operand table, then call the kernels one after the other.
#include "runtime/plan.h"

#include <chrono>
#include <cstdio>
#include <iomanip>
#include <numeric>
#include <sstream>

#include "core/errors.h"
#include "cpu/denormals.h"

namespace fk {

struct Plan::Instance {
    AlignedMemory arena;          // of a plan that is nobody's part
    std::vector<void*> pointers;  // parallel to Plan::operands
    std::vector<std::unique_ptr<KernelState>> states;
    RunErrors errors;
    const std::byte* arena_of_pointers = nullptr;
};

Plan::Plan() = default;
Plan::~Plan() = default;

void Plan::InstanceDelete::operator()(Instance* instance) const { delete instance; }

Plan::InstancePtr Plan::make_instance() const {
    InstancePtr instance(new Instance);
    instance->pointers.resize(operands.size());
    for (const Step& step : steps) instance->states.push_back(step.kernel->make_state());
    return instance;
}

void Plan::run(const void* const* parameters, void* const* outputs) const {
    InstancePtr instance;
    {
        const std::lock_guard lock(mutex_);
        if (!idle_.empty()) {
            instance = std::move(idle_.back());
            idle_.pop_back();
        }
    }
    if (!instance) {
        instance = make_instance();
        instance->arena = allocate_aligned(arena_bytes);
    }
    const auto give_back = [&] {
        const std::lock_guard lock(mutex_);
        if (idle_.size() < 4) idle_.push_back(std::move(instance));
    };
    try {
        run(*instance, instance->arena.get(), parameters, outputs);
    } catch (...) {
        give_back();
        throw;
    }
    give_back();
}

void Plan::run(Instance& instance, std::byte* arena, const void* const* parameters, void* const* outputs) const {
    const cpu::FlushDenormals flush;
    const bool moved = instance.arena_of_pointers != arena;
    for (size_t i = 0; i < operands.size(); ++i) {
        if (operands[i].place == Place::parameter)
            instance.pointers[i] = const_cast<void*>(parameters[operands[i].at]);
        else if (operands[i].place == Place::output)
            instance.pointers[i] = outputs[operands[i].at];
        else if (moved)
            instance.pointers[i] = arena + operands[i].at;
    }
    instance.arena_of_pointers = arena;
    size_t failed_step = 0;
    std::vector<double> times(timed ? steps.size() : 0);
    using Clock = std::chrono::steady_clock;
    auto start = timed ? Clock::now() : Clock::time_point{};
    for (size_t i = 0; i < steps.size(); ++i) {
        const Step& step = steps[i];
        void* const* args = instance.pointers.data() + step.first_operand;
        step.kernel->run({args, args + step.inputs, arena + step.scratch, instance.states[i].get(), &instance.errors});
        if (timed) [[unlikely]] {
            const auto now = Clock::now();
            times[i] = std::chrono::duration<double, std::nano>(now - start).count();
            start = now;
        }
        if (instance.errors.failed()) [[unlikely]] {
            failed_step = i;
            break;
        }
    }
    if (timed) {
        const std::lock_guard lock(mutex_);
        const double total = std::accumulate(times.begin(), times.end(), 0.0);
        std::fprintf(stderr, "fastkeras run: %zu steps, %.1f us\n", steps.size(), total / 1e3);
        nanoseconds_.resize(steps.size());
        for (size_t i = 0; i < times.size(); ++i) nanoseconds_[i] += times[i];
        ++timed_runs_;
    }
    if (!instance.errors.failed()) return;
    const bool interrupted = instance.errors.interrupted();
    std::string message = instance.errors.take();
    if (interrupted) throw Interrupted("interrupted");
    if (!steps[failed_step].label.empty()) message += " [in " + steps[failed_step].label + "]";
    throw UserError(message);
}

std::string Plan::text() const {
    std::ostringstream out;
    out << steps.size() << " steps, arena " << arena_bytes << " bytes\n";
    auto where = [&](const Operand& o) {
        return o.place == Place::parameter ? "p" + std::to_string(o.at)
               : o.place == Place::output  ? "o" + std::to_string(o.at)
                                           : "@" + std::to_string(o.at);
    };
    for (size_t i = 0; i < steps.size(); ++i) {
        const Step& s = steps[i];
        out << std::setw(4) << i << "  " << std::left << std::setw(28) << s.op << std::right << " (";
        for (uint32_t k = 0; k < s.inputs; ++k) out << (k ? ", " : "") << where(operands[s.first_operand + k]);
        out << ") -> (";
        for (uint32_t k = 0; k < s.outputs; ++k) out << (k ? ", " : "") << where(operands[s.first_operand + s.inputs + k]);
        out << ")  ";
        if (timed_runs_ > 0)
            out << std::fixed << std::setprecision(1) << nanoseconds_[i] / 1e3 / static_cast<double>(timed_runs_) << " us  ";
        out << s.kernel->describe() << (s.label.empty() ? "" : "  [" + s.label + "]") << '\n';
    }
    return out.str();
}

std::string Plan::memory_map() const {
    std::ostringstream out;
    out << "arena " << arena_bytes << " bytes\n";
    struct Span {
        size_t first, last;
    };
    std::vector<std::pair<size_t, Span>> spans;  // offset -> steps that touch it
    for (size_t i = 0; i < steps.size(); ++i)
        for (uint32_t k = 0; k < steps[i].inputs + steps[i].outputs; ++k) {
            const Operand& o = operands[steps[i].first_operand + k];
            if (o.place != Place::arena) continue;
            if (k >= steps[i].inputs)
                spans.push_back({o.at, {i, i}});
            else
                for (size_t s = spans.size(); s-- > 0;)
                    if (spans[s].first == o.at) {
                        spans[s].second.last = i;
                        break;
                    }
        }
    for (const auto& [offset, span] : spans) out << "  @" << offset << "  steps " << span.first << " to " << span.last << '\n';
    return out.str();
}

}  // namespace fk
