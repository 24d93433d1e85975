// The GPU's kernels as a Device on the host: whole plans, and single ops, run from the source that a GPU gets.
#pragma once

#include <cstring>
#include <map>

#include "cuda/impls.h"
#include "host_kernels.h"
#include "runtime/device.h"

namespace fk::fake_cuda {

class HostLauncher final : public cuda::Launcher {
  public:
    explicit HostLauncher(const std::string& source) : module_(source) {}
    [[nodiscard]] void* find(const std::string& name) const { return reinterpret_cast<void*>(module_.find(name)); }
    void launch(void* function, const cuda::Launch& l, void* const* pointers) const override {
        std::vector<void*> places, arguments;
        for (size_t i = 0; i < l.arguments.size(); ++i) places.push_back(pointers[i]);
        for (void*& p : places) arguments.push_back(&p);
        module_.run(
            reinterpret_cast<HostModule::Entry>(function),
            {static_cast<unsigned>(l.blocks), static_cast<unsigned>(l.slices), static_cast<unsigned>(l.threads), l.synchronizes},
            arguments.data());
    }
    [[nodiscard]] void* error_slot(size_t number) const override { return &errors_[number]; }
    [[nodiscard]] std::optional<int64_t> take_error(size_t number) const override {
        const Error found = std::exchange(errors_[number], {});
        return found.raised != 0 ? std::optional(found.value) : std::nullopt;
    }

  private:
    struct Error {
        uint32_t raised = 0, unused = 0;
        int64_t value = 0;
    };
    HostModule module_;
    mutable std::map<size_t, Error> errors_;
};

class HostDevice final : public Device {
  public:
    [[nodiscard]] std::string_view name() const override { return "host:cuda"; }
    [[nodiscard]] std::span<const Impl> impls() const override { return cuda::impls(); }
    [[nodiscard]] std::unique_ptr<Kernel> compile_region(const Region& region) const override {
        return cuda::compile_region(region);
    }
    [[nodiscard]] std::unique_ptr<Kernel> copy(size_t bytes) const override { return cuda::copy_kernel(bytes); }
    void finish(std::span<Kernel* const> kernels) const override {
        const auto programs = cuda::programs_of(kernels);
        if (programs.empty()) return;
        const auto launcher = std::make_shared<HostLauncher>(cuda::source_of(programs));
        size_t slot = 0;
        for (cuda::ProgramKernel* p : programs) {
            std::vector<void*> functions;
            for (const cuda::Launch& l : p->program().launches) functions.push_back(launcher->find(l.name));
            p->load(launcher, std::move(functions), slot++);
        }
    }
};

}  // namespace fk::fake_cuda
