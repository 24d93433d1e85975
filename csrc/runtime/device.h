// What a device offers to the compiler: its implementations of library and named ops, kernels for fused regions, and a chance to
// make all kernels of a plan ready together. compile.cpp asks for nothing else, so plans look alike on all devices.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "codegen/region.h"
#include "runtime/kernel.h"

namespace fk {

class Device {
  public:
    virtual ~Device() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;  // "cpu:0", "null:sm_90"
    // Hands the settings that shape kernels to the device, before it makes any. UserError for one that means nothing.
    virtual void configure() const {}
    // Ordered preferences, fastest first, for every library op and for the named ops that deserve a kernel of their own.
    [[nodiscard]] virtual std::span<const Impl> impls() const = 0;
    // A region without points leaves in its reduced outputs what their reductions begin with.
    [[nodiscard]] virtual std::unique_ptr<Kernel> compile_region(const Region& region) const = 0;
    [[nodiscard]] virtual std::unique_ptr<Kernel> copy(size_t bytes) const = 0;
    // Called once with all kernels of a plan: compiles and loads the code of those that are only source by now.
    virtual void finish(std::span<Kernel* const> /*kernels*/) const {}
};

[[nodiscard]] const Device& cpu_device();  // cpu/device.cpp

}  // namespace fk
