// What a plan computes ahead of its runs, kept until a variable it was computed from is assigned. Equal ids of tensors mean
// equal contents (see TensorImpl), so comparing ids says what has changed.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/plan.h"

namespace fk {

class Prologue {
    struct Kept {
        AlignedMemory memory;
        std::vector<uint64_t> ids;  // per parameter of the plan, what it was computed from; 0: not computed
        int readers = 0;            // runs in progress; guarded by the mutex
    };

  public:
    // The results as one run reads them: while it lasts they stay as they are.
    class Lease {
      public:
        Lease() = default;
        Lease(Prologue* owner, std::shared_ptr<Kept> kept) : owner_(owner), kept_(std::move(kept)) {}
        Lease(Lease&& other) noexcept : owner_(other.owner_), kept_(std::move(other.kept_)) {}
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Lease& operator=(Lease&&) = delete;
        ~Lease();
        [[nodiscard]] const std::byte* memory() const { return kept_ ? kept_->memory.get() : nullptr; }

      private:
        Prologue* owner_ = nullptr;
        std::shared_ptr<Kept> kept_;
    };

    // The results for these parameters of the plan, computed where they are not there yet; `ids` name what the steady ones
    // hold. Several threads may ask at the same time, for different values too. It must be the same plan each time
    // until all is forgotten.
    [[nodiscard]] Lease lease(const Plan& plan, const void* const* parameters, std::span<const uint64_t> ids);
    void forget() {
        const std::lock_guard lock(mutex_);
        latest_ = nullptr;
    }

  private:
    std::mutex mutex_;
    std::shared_ptr<Kept> latest_;
};

}  // namespace fk
