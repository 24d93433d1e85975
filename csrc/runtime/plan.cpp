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
    std::unique_ptr<RunMemory> run_memory[2];  // of the steps up to Plan::checked, and of the others
    const std::byte* arena_of_pointers = nullptr;
};

// Steps [first, last), without those that `stale` does not mark.
struct Plan::Call {
    const void* const* parameters = nullptr;
    void* const* outputs = nullptr;
    std::byte* kept = nullptr;
    size_t first = 0, last = 0;
    std::span<const uint8_t> stale = {};  // empty: all of them
    std::vector<int64_t>* stamps = nullptr;
    std::byte* arena = nullptr;
    bool inside = false;  // another plan's run
};

Plan::Plan() = default;
Plan::~Plan() = default;

void Plan::InstanceDelete::operator()(Instance* instance) const { delete instance; }

Plan::InstancePtr Plan::make_instance() const {
    InstancePtr instance(new Instance);
    instance->pointers.resize(operands.size());
    for (const Step& step : steps) instance->states.push_back(step.kernel->make_state());
    for (auto& memory : instance->run_memory) memory = device->make_run_memory();
    return instance;
}

void Plan::execute_leased(Call call) const {
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
        instance->arena = allocate_aligned(arena_bytes, device->memory());
    }
    call.arena = instance->arena.get();
    const auto give_back = [&] {
        const std::lock_guard lock(mutex_);
        if (idle_.size() < 4) idle_.push_back(std::move(instance));
    };
    try {
        execute(*instance, call);
    } catch (...) {
        give_back();
        throw;
    }
    give_back();
}

void Plan::run(const void* const* parameters, void* const* outputs, std::vector<int64_t>* stamps, const std::byte* kept) const {
    AlignedMemory own;
    if (prologue > 0 && kept == nullptr) {
        own = allocate_aligned(kept_bytes, device->memory());
        prepare(parameters, own.get(), {});
        kept = own.get();
    }
    // A run only reads what was kept.
    execute_leased({.parameters = parameters,
                    .outputs = outputs,
                    .kept = const_cast<std::byte*>(kept),
                    .first = prologue,
                    .last = steps.size(),
                    .stamps = stamps});
}

void Plan::prepare(const void* const* parameters, std::byte* kept, std::span<const uint8_t> stale) const {
    execute_leased({.parameters = parameters, .kept = kept, .last = prologue, .stale = stale});
}

void Plan::run(Instance& instance, std::byte* arena, const void* const* parameters, void* const* outputs,
               std::vector<int64_t>* stamps) const {
    check_internal(prologue == 0, "a plan inside another one has no prologue");
    execute(
        instance,
        {.parameters = parameters, .outputs = outputs, .last = steps.size(), .stamps = stamps, .arena = arena, .inside = true});
}

void Plan::execute(Instance& instance, const Call& call) const {
    const cpu::FlushDenormals flush;
    const bool moved = instance.arena_of_pointers != call.arena;
    const auto first_operand = [&](size_t step) { return step < steps.size() ? steps[step].first_operand : operands.size(); };
    const size_t end = moved ? operands.size() : first_operand(call.last);
    for (size_t i = moved ? 0 : first_operand(call.first); i < end; ++i) {
        const Operand& operand = operands[i];
        if (operand.place == Place::parameter)
            instance.pointers[i] = const_cast<void*>(call.parameters[operand.at]);
        else if (operand.place == Place::output)
            instance.pointers[i] = call.outputs != nullptr ? call.outputs[operand.at] : nullptr;
        else if (operand.place == Place::kept)
            instance.pointers[i] = call.kept + operand.at;
        else if (moved)
            instance.pointers[i] = call.arena + operand.at;
    }
    instance.arena_of_pointers = call.arena;
    size_t failed_step = 0;
    std::vector<int64_t> own_stamps;
    const bool profiled = profiler::enabled();
    std::vector<int64_t>* const stamps = call.stamps == nullptr && (timed || profiled) ? &own_stamps : call.stamps;
    if (stamps != nullptr) {
        stamps->reserve(steps.size() + 1);
        stamps->assign(call.first + 1, profiler::now());  // steps before the first take no time
    }
    const auto run_steps = [&](size_t begin, size_t end_of_part) {
        for (size_t i = begin; i < end_of_part; ++i) {
            const Step& step = steps[i];
            if (call.stale.empty() || call.stale[i] != 0) {
                void* const* args = instance.pointers.data() + step.first_operand;
                step.kernel->run(
                    {args, args + step.inputs, call.arena + step.scratch, instance.states[i].get(), &instance.errors});
            }
            if (stamps != nullptr) [[unlikely]]
                stamps->push_back(profiler::now());
            if (instance.errors.failed()) [[unlikely]] {
                failed_step = i;
                break;
            }
        }
    };
    const bool repeats = repeatable && call.stale.empty() && stamps == nullptr && !call.inside;
    const auto run_part = [&](size_t begin, size_t end_of_part, size_t number) {
        if (device->memory() == nullptr || call.inside)
            run_steps(begin, end_of_part);
        else if (begin < end_of_part)
            device->run(instance.run_memory[number].get(), instance.pointers, repeats, [&] { run_steps(begin, end_of_part); });
    };
    if (checked == 0 || call.inside) {
        run_part(call.first, call.last, 0);
    } else {  // what is told later has to be known before a variable is written, which happens behind these steps
        run_part(call.first, std::min(checked, call.last), 0);
        for (size_t i = call.first; i < std::min(checked, call.last); ++i)
            if (steps[i].kernel->checks()) {
                const bool before = instance.errors.failed();
                steps[i].kernel->check(instance.errors);
                if (!before && instance.errors.failed()) failed_step = i;
            }
        if (!instance.errors.failed()) run_part(std::max(checked, call.first), call.last, 1);
    }
    if (timed) note_times(*stamps, call);
    if (profiled) profiler::record_run(*this, *stamps, call.last < steps.size());
    if (!instance.errors.failed()) return;
    const bool interrupted = instance.errors.interrupted();
    std::string message = instance.errors.take();
    if (interrupted) throw Interrupted("interrupted");
    if (!steps[failed_step].label.empty()) message += " [in " + steps[failed_step].label + "]";
    throw UserError(message);
}

void Plan::note_times(const std::vector<int64_t>& stamps, const Call& call) const {
    const std::lock_guard lock(mutex_);
    std::fprintf(stderr, "fastkeras %s: %zu steps, %.1f us\n", call.last == steps.size() ? "run" : "prologue",
                 call.last - call.first, static_cast<double>(stamps.back() - stamps.front()) / 1e3);
    nanoseconds_.resize(steps.size(), INT64_MAX);
    for (size_t i = call.first; i + 1 < stamps.size(); ++i)
        if (call.stale.empty() || call.stale[i] != 0) nanoseconds_[i] = std::min(nanoseconds_[i], stamps[i + 1] - stamps[i]);
}

bool Plan::checks() const {
    return std::ranges::any_of(steps, [](const Step& s) { return s.kernel->checks(); });
}

void Plan::check(RunErrors& errors) const {
    for (const Step& s : steps)
        if (!errors.failed() && s.kernel->checks()) s.kernel->check(errors);
}

std::string Plan::text() const {
    std::ostringstream out;
    out << steps.size() << " steps, arena " << arena_bytes << " bytes";
    if (prologue > 0) out << "; " << prologue << " of them ahead of the runs, " << kept_bytes << " bytes kept";
    out << '\n';
    auto where = [&](const Operand& o) {
        return o.place == Place::parameter ? "p" + std::to_string(o.at)
               : o.place == Place::output  ? "o" + std::to_string(o.at)
               : o.place == Place::kept    ? "k" + std::to_string(o.at)
                                           : "@" + std::to_string(o.at);
    };
    for (size_t i = 0; i < steps.size(); ++i) {
        const Step& s = steps[i];
        out << std::setw(4) << i << "  " << std::left << std::setw(28) << s.op << std::right << " (";
        for (uint32_t k = 0; k < s.inputs; ++k) out << (k ? ", " : "") << where(operands[s.first_operand + k]);
        out << ") -> (";
        for (uint32_t k = 0; k < s.outputs; ++k) out << (k ? ", " : "") << where(operands[s.first_operand + s.inputs + k]);
        out << ")  ";
        if (!nanoseconds_.empty() && nanoseconds_[i] != INT64_MAX)
            out << std::fixed << std::setprecision(1) << static_cast<double>(nanoseconds_[i]) / 1e3 << " us  ";
        out << s.kernel->describe() << (s.label.empty() ? "" : "  [" + s.label + "]") << '\n';
    }
    return out.str();
}

}  // namespace fk
