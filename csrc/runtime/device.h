// What a device offers to the compiler and to runs: its implementations of library and named ops, kernels for fused regions, its
// memory, and ways to start all kernels of a run. Everything else of a plan is the same on all devices.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "codegen/region.h"
#include "runtime/kernel.h"

namespace fk {

// Memory that the host does not reach. Work on it is done in the order in which it was asked for, some time later.
class DeviceMemory {
  public:
    virtual ~DeviceMemory() = default;
    [[nodiscard]] virtual void* allocate(size_t bytes) = 0;                 // 256-byte aligned; OutOfMemoryError
    virtual void free(void* p, size_t bytes) = 0;                           // behind all work asked for so far
    virtual void upload(void* to, const void* host, size_t bytes) = 0;      // `host` may change afterwards
    virtual void download(void* host, const void* from, size_t bytes) = 0;  // waits
    virtual void copy(void* to, const void* from, size_t bytes) = 0;        // within this memory
    virtual void zero(void* p, size_t bytes) = 0;
};

// What a device remembers of the runs of one instance of a plan.
struct RunMemory {
    virtual ~RunMemory() = default;
};

class Device {
  public:
    virtual ~Device() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;  // "cpu:0", "gpu:0", "null:sm_90"
    // Hands the settings that shape kernels to the device, before it makes any. UserError for one that means nothing.
    virtual void configure() const {}
    // Ordered preferences, fastest first, for every library op and for the named ops that deserve a kernel of their own.
    [[nodiscard]] virtual std::span<const Impl> impls() const = 0;
    // A region without points leaves in its reduced outputs what their reductions begin with.
    [[nodiscard]] virtual std::unique_ptr<Kernel> compile_region(const Region& region) const = 0;
    [[nodiscard]] virtual std::unique_ptr<Kernel> copy(size_t bytes) const = 0;
    // Called once with all kernels of a plan: compiles and loads the code of those that are only source by now.
    virtual void finish(std::span<Kernel* const> /*kernels*/) const {}

    // Null: the host's memory.
    [[nodiscard]] virtual DeviceMemory* memory() const { return nullptr; }
    [[nodiscard]] virtual std::unique_ptr<RunMemory> make_run_memory() const { return nullptr; }
    // Starts what `enqueue` starts, on these operands: a device may keep the sequence and start it at once the next time.
    // `repeatable`: the sequence depends on nothing but the operands' places.
    virtual void run(RunMemory* /*memory*/, std::span<void* const> /*operands*/, bool /*repeatable*/,
                     const std::function<void()>& enqueue) const {
        enqueue();
    }
    virtual void wait() const {}  // until all that was started is done
};

[[nodiscard]] const Device& cpu_device();  // cpu/device.cpp

// "gpu:0" and such. UserError for a name that means nothing, UnsupportedError for a device that cannot be had.
[[nodiscard]] const Device& device_named(std::string_view name);
// What is compiled from now on, on this thread: what `use_device` said, else the setting `device`, else the CPU.
[[nodiscard]] const Device& current_device();
// Null: no wish of this thread's own. Returns what was said before.
const Device* use_device(const Device* device);

class DeviceScope {  // a device for a scope
  public:
    explicit DeviceScope(const Device& device) : before_(use_device(&device)) {}
    ~DeviceScope() { use_device(before_); }
    DeviceScope(const DeviceScope&) = delete;
    DeviceScope& operator=(const DeviceScope&) = delete;

  private:
    const Device* before_;
};

}  // namespace fk
