// An instruction of a plan on a GPU: source and launches (codegen/cuda_program.h), and, once a device has loaded it, functions.
#pragma once

#include <optional>

#include "codegen/cuda_program.h"
#include "runtime/kernel.h"

namespace fk::cuda {

// Starts kernels: a GPU's stream, or the host in place of one.
class Launcher {
  public:
    virtual ~Launcher() = default;
    // `pointers`: one per argument of the launch.
    virtual void launch(void* function, const Launch& launch, void* const* pointers) const = 0;
    // An `Error` of prelude.cuh in which nothing is reported, and what was: waits for the kernels, and empties it again.
    [[nodiscard]] virtual void* error_slot(size_t number) const = 0;
    [[nodiscard]] virtual std::optional<int64_t> take_error(size_t number) const = 0;
};

class ProgramKernel final : public Kernel {
  public:
    explicit ProgramKernel(Program program) : program_(std::move(program)) {}
    [[nodiscard]] const Program& program() const { return program_; }
    // `functions`: one per launch of the program. `slot`: where it reports bad data, if it looks at any.
    void load(std::shared_ptr<const Launcher> launcher, std::vector<void*> functions, size_t slot) {
        launcher_ = std::move(launcher);
        functions_ = std::move(functions);
        slot_ = slot;
    }
    void run(const KernelArgs& args) const override;
    [[nodiscard]] bool checks() const override { return static_cast<bool>(program_.message); }
    void check(RunErrors& errors) const override;
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
    size_t slot_ = 0;
};

// Those of a plan's kernels that are programs.
[[nodiscard]] std::vector<ProgramKernel*> programs_of(std::span<Kernel* const> kernels);
// All source of some kernels, each of their functions once, behind the prelude.
[[nodiscard]] std::string source_of(std::span<ProgramKernel* const> kernels);

}  // namespace fk::cuda
