// Reference-counted memory of tensors. A buffer that only one owner holds may be written in place by a plan.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "core/shape.h"

namespace fk {

class DeviceMemory;  // device.h

class Buffer {
  public:
    // 64-byte aligned (256 on a device), contents undefined. Null: in the host's memory.
    [[nodiscard]] static std::shared_ptr<Buffer> allocate(size_t bytes, DeviceMemory* memory = nullptr);
    // All bits 0. Large ones take no memory before they are written.
    [[nodiscard]] static std::shared_ptr<Buffer> zeros(size_t bytes);
    ~Buffer();
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    // The contents on the host, which are brought there when they are not.
    [[nodiscard]] std::byte* data() const { return device_ == nullptr ? data_ : on_host(); }
    [[nodiscard]] size_t bytes() const { return bytes_; }
    // The same for any memory: it keeps a copy in each that asked, until the contents change.
    [[nodiscard]] void* in(DeviceMemory* memory) const { return memory == nullptr ? data() : on_device(memory); }
    // Where new contents are to be written; they will be here and nowhere else.
    [[nodiscard]] void* writable_in(DeviceMemory* memory);

  private:
    Buffer(size_t bytes, bool zero);
    Buffer(size_t bytes, DeviceMemory* memory);
    std::byte* on_host() const;
    void* on_device(DeviceMemory* memory) const;
    void leave_device() const;

    // What moves contents does not change them, so it may happen while they are read; a mutex of buffer.cpp guards it.
    mutable std::byte* data_ = nullptr;  // null: none on the host
    mutable std::atomic<DeviceMemory*> device_ = nullptr;
    mutable void* on_device_ = nullptr;
    mutable bool host_is_current_ = true, device_is_current_ = false;
    size_t bytes_;
};
using BufferPtr = std::shared_ptr<Buffer>;

// Bytes of the host's memory held by all buffers and arenas now.
[[nodiscard]] size_t allocated_bytes();

// Aligned memory without the reference count, for the arenas of plans.
struct AlignedDelete {
    size_t bytes = 0;
    DeviceMemory* memory = nullptr;
    void operator()(std::byte* p) const;
};
using AlignedMemory = std::unique_ptr<std::byte, AlignedDelete>;
[[nodiscard]] AlignedMemory allocate_aligned(size_t bytes, DeviceMemory* memory = nullptr);

}  // namespace fk
