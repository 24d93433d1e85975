// A device that compiles every plan for a GPU that need not be there, and runs nothing: NVRTC needs no driver, so generated CUDA
// is checked on any machine. Its plans tell of each kernel how many registers it takes and whether it spills.
#pragma once

#include <string>
#include <vector>

#include "cuda/nvrtc.h"
#include "runtime/device.h"

namespace fk::null {

// `architecture`: "sm_90". Each call makes a device of its own.
class NullDevice final : public Device {
  public:
    explicit NullDevice(std::string architecture);
    [[nodiscard]] std::string_view name() const override { return name_; }
    [[nodiscard]] std::span<const Impl> impls() const override;
    [[nodiscard]] std::unique_ptr<Kernel> compile_region(const Region& region) const override;
    [[nodiscard]] std::unique_ptr<Kernel> copy(size_t bytes) const override;
    void finish(std::span<Kernel* const> kernels) const override;

    // Of all plans compiled for it so far.
    [[nodiscard]] const std::vector<cuda::KernelFacts>& facts() const { return facts_; }
    [[nodiscard]] double milliseconds() const { return milliseconds_; }

  private:
    std::string architecture_, name_;
    mutable std::vector<cuda::KernelFacts> facts_;
    mutable double milliseconds_ = 0;
};

}  // namespace fk::null
