// See kernel.h.
#include "cuda/kernel.h"

#include <algorithm>
#include <map>

#include "core/errors.h"
#include "cuda/texts.h"

namespace fk::cuda {

void ProgramKernel::run(const KernelArgs& args) const {
    if (!launcher_) fail<UnsupportedError>("this plan was compiled for a device that runs nothing");
    std::vector<void*> pointers;
    void* const error = program_.message ? launcher_->error_slot(slot_) : nullptr;
    for (size_t i = 0; i < program_.launches.size(); ++i) {
        const Launch& l = program_.launches[i];
        pointers.clear();
        for (const Argument& a : l.arguments)
            pointers.push_back(a.kind == Argument::Kind::input    ? const_cast<void*>(args.in[a.at])
                               : a.kind == Argument::Kind::output ? args.out[a.at]
                               : a.kind == Argument::Kind::error  ? error
                               : a.kind == Argument::Kind::number ? reinterpret_cast<void*>(a.at)  // as wide as a pointer
                                                                  : static_cast<void*>(args.scratch + a.at));
        launcher_->launch(functions_[i], l, pointers.data());
    }
}

void ProgramKernel::check(RunErrors& errors) const {
    if (const auto bad = launcher_->take_error(slot_)) errors.report(program_.message(*bad));
}

std::string ProgramKernel::details() const {
    std::string all;
    for (const Launch& l : program_.launches) all += l.source;
    return all;
}

std::vector<ProgramKernel*> programs_of(std::span<Kernel* const> kernels) {
    std::vector<ProgramKernel*> found;
    for (Kernel* k : kernels)
        if (auto* p = dynamic_cast<ProgramKernel*>(k)) found.push_back(p);
    return found;
}

std::string source_of(std::span<ProgramKernel* const> kernels) {
    std::map<std::string_view, std::string_view> seen;
    std::vector<const char*> texts = {text::prelude};
    std::string all;
    for (const ProgramKernel* k : kernels)
        for (const Launch& l : k->program().launches) {
            for (const char* t : l.uses)
                if (std::ranges::find(texts, t) == texts.end()) texts.push_back(t);
            const auto [at, fresh] = seen.try_emplace(l.name, l.source);
            check_internal(fresh || at->second == l.source, "two kernels named ", l.name);
            if (fresh) all += l.source;
        }
    std::string before;
    for (const char* t : texts) before += t;
    return before + all;
}

}  // namespace fk::cuda
