// A growing sequence whose elements never move: references stay valid while more are added.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace fk {

template <class T, size_t Chunk = 64>
class StableVector {
  public:
    StableVector() = default;
    ~StableVector() { clear(); }
    StableVector(const StableVector& other) {
        for (size_t i = 0; i < other.size_; ++i) push_back(other[i]);
    }
    StableVector(StableVector&& other) noexcept
        : chunks_(std::exchange(other.chunks_, {})), size_(std::exchange(other.size_, 0)) {}
    StableVector& operator=(StableVector other) noexcept {
        std::swap(chunks_, other.chunks_);
        std::swap(size_, other.size_);
        return *this;
    }

    [[nodiscard]] size_t size() const { return size_; }
    [[nodiscard]] T& operator[](size_t i) { return chunks_[i / Chunk][i % Chunk]; }
    [[nodiscard]] const T& operator[](size_t i) const { return chunks_[i / Chunk][i % Chunk]; }
    T& push_back(T v) {
        if (size_ == chunks_.size() * Chunk) chunks_.push_back(std::allocator<T>().allocate(Chunk));
        return *std::construct_at(&(*this)[size_++], std::move(v));
    }
    void clear() {
        for (size_t i = 0; i < size_; ++i) std::destroy_at(&(*this)[i]);
        for (T* chunk : chunks_) std::allocator<T>().deallocate(chunk, Chunk);
        chunks_.clear();
        size_ = 0;
    }

  private:
    std::vector<T*> chunks_;
    size_t size_ = 0;
};

}  // namespace fk
