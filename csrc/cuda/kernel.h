// An instruction of a plan on a GPU: source and launches (codegen/cuda_program.h), and, once a device has loaded it, functions.
#pragma once

#include "codegen/cuda_program.h"
#include "runtime/kernel.h"

namespace fk::cuda {

// Starts kernels: a GPU's stream, or the host in place of one.
class Launcher {
  public:
    virtual ~Launcher() = default;
    // `pointers`: one per argument of the launch.
    virtual void launch(void* function, const Launch& launch, void* const* pointers) const = 0;
    // An `Error` of prelude.cuh with nothing in it, for the next instruction; and what to do with it behind that.
    [[nodiscard]] virtual void* error_slot() const = 0;
    virtual void await_error(void* slot, const std::function<std::string(int64_t bad)>& message,
                             const KernelArgs& args) const = 0;
};

class ProgramKernel final : public Kernel {
  public:
    explicit ProgramKernel(Program program) : program_(std::move(program)) {}
    [[nodiscard]] const Program& program() const { return program_; }
    // `functions`: one per launch of the program.
    void load(std::shared_ptr<const Launcher> launcher, std::vector<void*> functions) {
        launcher_ = std::move(launcher);
        functions_ = std::move(functions);
    }
    void run(const KernelArgs& args) const override;
    [[nodiscard]] size_t scratch_bytes() const override { return program_.scratch; }
    [[nodiscard]] bool may_share(int out, int in) const override {
        const size_t at = static_cast<size_t>(out) * program_.inputs + static_cast<size_t>(in);
        return at < program_.shares.size() && program_.shares[at];
    }
    [[nodiscard]] std::string describe() const override { return program_.text; }
    [[nodiscard]] std::string details() const override;

  private:
    Program program_;
    std::shared_ptr<const Launcher> launcher_;  // null: nobody has loaded it
    std::vector<void*> functions_;
};

// Those of a plan's kernels that are programs.
[[nodiscard]] std::vector<ProgramKernel*> programs_of(std::span<Kernel* const> kernels);
// All source of some kernels, each of their functions once, behind the prelude.
[[nodiscard]] std::string source_of(std::span<ProgramKernel* const> kernels);

}  // namespace fk::cuda
