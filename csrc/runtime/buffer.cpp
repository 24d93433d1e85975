// Allocation behind buffer.h.
#include "runtime/buffer.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "runtime/device.h"
#include "runtime/pages.h"

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace fk {
namespace {

constexpr size_t kAlignment = 64;
std::atomic<size_t> g_allocated{0};

// Blocks given back and kept for the next request of their size. A loop that makes new values of its variables at each step, or
// predicts batch after batch, would otherwise map and clear fresh pages each time, which costs more than computing them.
class Reserve {
  public:
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool kDisabled = true;  // it would hide uses after the end of a life
#else
    static constexpr bool kDisabled = false;
#endif

    std::byte* take(size_t rounded) {
        const std::lock_guard lock(mutex_);
        const auto it = blocks_.find(rounded);
        if (it == blocks_.end() || it->second.empty()) return nullptr;
        std::byte* p = it->second.back();
        it->second.pop_back();
        held_ -= rounded;
        return p;
    }
    bool keep(std::byte* p, size_t rounded) {
        const std::lock_guard lock(mutex_);
        if (kDisabled || held_ + rounded > limit_) return false;
        blocks_[rounded].push_back(p);
        held_ += rounded;
        return true;
    }

  private:
    // One part in 64 of the machine's memory, within bounds.
    static size_t limit() {
        constexpr size_t least = 64 << 20, most = 512 << 20;
#if defined(_SC_PHYS_PAGES)
        const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        if (pages > 0 && page > 0) return std::clamp(static_cast<size_t>(pages) / 64 * static_cast<size_t>(page), least, most);
#endif
        return least;
    }

    const size_t limit_ = limit();
    std::mutex mutex_;
    std::unordered_map<size_t, std::vector<std::byte*>> blocks_;
    size_t held_ = 0;
};

Reserve& reserve() {
    static Reserve* r = new Reserve;  // outlives the last tensor of the process
    return *r;
}

size_t rounded_size(size_t bytes) {
    const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : bytes >= kSmallestPages ? 4096 : kAlignment;
    return std::max((bytes + alignment - 1) / alignment * alignment, alignment);
}

std::byte* allocate_bytes(size_t bytes, bool zero) {
    const size_t rounded = rounded_size(bytes);
    Pages memory;
    if (rounded >= kSmallestPages) {
        memory.data = reserve().take(rounded);
        if (memory.data == nullptr) memory = take_pages(rounded);
    } else {
        memory.data = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded));
        if (memory.data == nullptr) throw std::bad_alloc();
    }
    if (zero && !memory.zero) std::memset(memory.data, 0, bytes);
    g_allocated += bytes;
    return memory.data;
}

void free_bytes(std::byte* p, size_t bytes) {
    const size_t rounded = rounded_size(bytes);
    if (rounded < kSmallestPages)
        std::free(p);
    else if (!reserve().keep(p, rounded))
        give_pages(p, rounded);
    g_allocated -= bytes;
}

}  // namespace

Buffer::Buffer(size_t bytes, bool zero) : data_(allocate_bytes(bytes, zero)), bytes_(bytes) {}
Buffer::Buffer(size_t bytes, DeviceMemory* memory)
    : device_(memory), on_device_(memory->allocate(bytes)), host_is_current_(false), device_is_current_(true), bytes_(bytes) {}
Buffer::~Buffer() {
    if (data_ != nullptr) free_bytes(data_, bytes_);
    leave_device();
}
std::shared_ptr<Buffer> Buffer::allocate(size_t bytes, DeviceMemory* memory) {
    return std::shared_ptr<Buffer>(memory != nullptr ? new Buffer(bytes, memory) : new Buffer(bytes, false));
}
std::shared_ptr<Buffer> Buffer::zeros(size_t bytes) { return std::shared_ptr<Buffer>(new Buffer(bytes, true)); }

namespace {

std::recursive_mutex& moves() {  // moves between memories are rare and wait for the device anyway
    static auto* mutex = new std::recursive_mutex;
    return *mutex;
}

}  // namespace

std::byte* Buffer::on_host() const {
    const std::lock_guard lock(moves());
    if (data_ == nullptr) data_ = allocate_bytes(bytes_, false);
    if (!host_is_current_) device_.load()->download(data_, on_device_, bytes_);
    host_is_current_ = true;
    return data_;
}

void* Buffer::on_device(DeviceMemory* memory) const {
    if (device_ == memory && device_is_current_) return on_device_;
    const std::lock_guard lock(moves());
    if (device_ != memory) {
        if (device_ != nullptr) (void)on_host();
        leave_device();
        on_device_ = memory->allocate(bytes_);
        device_ = memory;
    }
    if (!device_is_current_) memory->upload(on_device_, data_, bytes_);
    device_is_current_ = true;
    return on_device_;
}

void Buffer::leave_device() const {
    if (device_ != nullptr) device_.load()->free(on_device_, bytes_);
    device_ = nullptr;
    on_device_ = nullptr;
    device_is_current_ = false;
}

void* Buffer::writable_in(DeviceMemory* memory) {
    if (memory == nullptr && device_ == nullptr) return data_;
    const std::lock_guard lock(moves());
    if (memory == nullptr) {
        if (data_ == nullptr) data_ = allocate_bytes(bytes_, false);
        host_is_current_ = true;
        leave_device();
        return data_;
    }
    if (device_ != memory) {
        leave_device();
        on_device_ = memory->allocate(bytes_);
        device_ = memory;
    }
    device_is_current_ = true;
    host_is_current_ = false;
    return on_device_;
}

size_t allocated_bytes() { return g_allocated; }

void AlignedDelete::operator()(std::byte* p) const {
    if (memory != nullptr)
        memory->free(p, bytes);
    else
        free_bytes(p, bytes);
}
AlignedMemory allocate_aligned(size_t bytes, DeviceMemory* memory) {
    auto* const p = memory != nullptr ? static_cast<std::byte*>(memory->allocate(bytes)) : allocate_bytes(bytes, false);
    return AlignedMemory(p, AlignedDelete{bytes, memory});
}

}  // namespace fk
