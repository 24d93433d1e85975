// See device.h.
#include "null/device.h"

#include "core/errors.h"
#include "cuda/impls.h"

namespace fk::null {

NullDevice::NullDevice(std::string architecture) : architecture_(std::move(architecture)), name_("null:" + architecture_) {
    if (!architecture_.starts_with("sm_"))
        fail<UserError>("the null device got architecture '", architecture_, "'; expected one of NVIDIA's, such as sm_90");
}
std::span<const Impl> NullDevice::impls() const { return cuda::impls(); }
std::unique_ptr<Kernel> NullDevice::compile_region(const Region& region) const { return cuda::compile_region(region); }
std::unique_ptr<Kernel> NullDevice::copy(size_t bytes) const { return cuda::copy_kernel(bytes); }

void NullDevice::finish(std::span<Kernel* const> kernels) const {
    const auto programs = cuda::programs_of(kernels);
    if (programs.empty()) return;
    const cuda::Compiled compiled = cuda::compile_source(cuda::source_of(programs), architecture_);
    milliseconds_ += compiled.milliseconds;
    facts_.insert(facts_.end(), compiled.kernels.begin(), compiled.kernels.end());
}

}  // namespace fk::null
