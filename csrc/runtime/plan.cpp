// Running a plan: patch the caller's pointers into the operand table, then call the kernels one after the other.
#include "runtime/plan.h"

#include <algorithm>
#include <cstdio>
#include <iomanip>
#include <sstream>

#include "core/errors.h"
#include "cpu/denormals.h"
#include "runtime/profiler.h"

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

void Plan::run(const void* const* parameters, void* const* outputs, std::vector<int64_t>* stamps) const {
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
        run(*instance, instance->arena.get(), parameters, outputs, stamps);
    } catch (...) {
        give_back();
        throw;
    }
    give_back();
}

void Plan::run(Instance& instance, std::byte* arena, const void* const* parameters, void* const* outputs,
               std::vector<int64_t>* stamps) const {
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
    std::vector<int64_t> own_stamps;
    const bool profiled = profiler::enabled();
    if (stamps == nullptr && (timed || profiled)) stamps = &own_stamps;
    if (stamps != nullptr) {
        stamps->clear();
        stamps->reserve(steps.size() + 1);
        stamps->push_back(profiler::now());
    }
    for (size_t i = 0; i < steps.size(); ++i) {
        const Step& step = steps[i];
        void* const* args = instance.pointers.data() + step.first_operand;
        step.kernel->run({args, args + step.inputs, arena + step.scratch, instance.states[i].get(), &instance.errors});
        if (stamps != nullptr) [[unlikely]]
            stamps->push_back(profiler::now());
        if (instance.errors.failed()) [[unlikely]] {
            failed_step = i;
            break;
        }
    }
    if (timed) note_times(*stamps);
    if (profiled) profiler::record_run(*this, *stamps);
    if (!instance.errors.failed()) return;
    const bool interrupted = instance.errors.interrupted();
    std::string message = instance.errors.take();
    if (interrupted) throw Interrupted("interrupted");
    if (!steps[failed_step].label.empty()) message += " [in " + steps[failed_step].label + "]";
    throw UserError(message);
}

void Plan::note_times(const std::vector<int64_t>& stamps) const {
    const std::lock_guard lock(mutex_);
    std::fprintf(stderr, "fastkeras run: %zu steps, %.1f us\n", steps.size(),
                 static_cast<double>(stamps.back() - stamps.front()) / 1e3);
    nanoseconds_.resize(steps.size(), INT64_MAX);
    for (size_t i = 0; i + 1 < stamps.size(); ++i) nanoseconds_[i] = std::min(nanoseconds_[i], stamps[i + 1] - stamps[i]);
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
        if (!nanoseconds_.empty())
            out << std::fixed << std::setprecision(1) << static_cast<double>(nanoseconds_[i]) / 1e3 << " us  ";
        out << s.kernel->describe() << (s.label.empty() ? "" : "  [" + s.label + "]") << '\n';
    }
    return out.str();
}

}  // namespace fk
