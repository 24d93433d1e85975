// Reference-counted memory of tensors. A buffer that only one owner holds may be written in place by a plan.
#pragma once

#include <cstddef>
#include <memory>

#include "core/shape.h"

namespace fk {

class Buffer {
  public:
    // 64-byte aligned, contents undefined.
    [[nodiscard]] static std::shared_ptr<Buffer> allocate(size_t bytes);
    // All bits 0. Large ones take no memory before they are written.
    [[nodiscard]] static std::shared_ptr<Buffer> zeros(size_t bytes);
    ~Buffer();
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    [[nodiscard]] std::byte* data() const { return data_; }
    [[nodiscard]] size_t bytes() const { return bytes_; }

  private:
    Buffer(size_t bytes, bool zero);
    std::byte* data_;
    size_t bytes_;
};
using BufferPtr = std::shared_ptr<Buffer>;

// Bytes held by all buffers and arenas now.
[[nodiscard]] size_t allocated_bytes();

// Aligned memory without the reference count, for the arenas of plans.
struct AlignedDelete {
    size_t bytes = 0;
    void operator()(std::byte* p) const;
};
using AlignedMemory = std::unique_ptr<std::byte, AlignedDelete>;
[[nodiscard]] AlignedMemory allocate_aligned(size_t bytes);

}  // namespace fk
