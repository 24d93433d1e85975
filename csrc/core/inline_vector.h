// A vector whose first N elements lie inside it: shapes, operands and attributes are short, and a graph of a few hundred nodes
// recorded at every step must not cost thousands of allocations.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

namespace fk {

template <class T, size_t N>
class InlineVector {
  public:
    using value_type = T;
    using iterator = T*;
    using const_iterator = const T*;

    InlineVector() = default;
    explicit InlineVector(size_t n) { resize(n); }
    InlineVector(size_t n, const T& v) { resize(n, v); }
    InlineVector(std::initializer_list<T> items) { append(items.begin(), items.end()); }
    template <std::input_iterator It>
    InlineVector(It first, It last) {
        append(first, last);
    }
    InlineVector(const std::vector<T>& other) { append(other.begin(), other.end()); }  // NOLINT: as good as one of its own
    InlineVector(std::vector<T>&& other) {                                             // NOLINT
        append(std::make_move_iterator(other.begin()), std::make_move_iterator(other.end()));
    }
    InlineVector(const InlineVector& other) { append(other.begin(), other.end()); }
    InlineVector(InlineVector&& other) noexcept { take(std::move(other)); }
    ~InlineVector() {
        clear();
        release();
    }
    InlineVector& operator=(const InlineVector& other) {
        if (this != &other) assign(other.begin(), other.end());
        return *this;
    }
    InlineVector& operator=(InlineVector&& other) noexcept {
        if (this != &other) {
            clear();
            release();
            take(std::move(other));
        }
        return *this;
    }

    [[nodiscard]] T* data() { return data_; }
    [[nodiscard]] const T* data() const { return data_; }
    [[nodiscard]] size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] T* begin() { return data_; }
    [[nodiscard]] T* end() { return data_ + size_; }
    [[nodiscard]] const T* begin() const { return data_; }
    [[nodiscard]] const T* end() const { return data_ + size_; }
    [[nodiscard]] auto rbegin() const { return std::make_reverse_iterator(end()); }
    [[nodiscard]] auto rend() const { return std::make_reverse_iterator(begin()); }
    [[nodiscard]] T& operator[](size_t i) { return data_[i]; }
    [[nodiscard]] const T& operator[](size_t i) const { return data_[i]; }
    [[nodiscard]] T& at(size_t i) { return data_[check(i)]; }
    [[nodiscard]] const T& at(size_t i) const { return data_[check(i)]; }
    [[nodiscard]] T& front() { return data_[0]; }
    [[nodiscard]] const T& front() const { return data_[0]; }
    [[nodiscard]] T& back() { return data_[size_ - 1]; }
    [[nodiscard]] const T& back() const { return data_[size_ - 1]; }

    void reserve(size_t n) {
        if (n > capacity_) grow(n);
    }
    template <class... Args>
    T& emplace_back(Args&&... args) {
        if (size_ == capacity_) {
            T made(std::forward<Args>(args)...);  // before growing: an argument may lie in here
            grow(2 * capacity_);
            return *std::construct_at(data_ + size_++, std::move(made));
        }
        return *std::construct_at(data_ + size_++, std::forward<Args>(args)...);
    }
    void push_back(const T& v) { emplace_back(v); }
    void push_back(T&& v) { emplace_back(std::move(v)); }
    void pop_back() { std::destroy_at(data_ + --size_); }
    void clear() {
        std::destroy_n(data_, size_);
        size_ = 0;
    }
    void resize(size_t n) { resize(n, T{}); }
    void resize(size_t n, T v) {  // by value, here and below: it may lie in here
        while (size_ > n) pop_back();
        reserve(n);
        while (size_ < n) emplace_back(v);
    }
    void assign(size_t n, T v) {
        clear();
        resize(n, std::move(v));
    }
    template <std::input_iterator It>
    void assign(It first, It last) {
        clear();
        append(first, last);
    }
    T* insert(const T* at, T v) {
        const auto i = at - begin();
        emplace_back(std::move(v));
        std::rotate(begin() + i, end() - 1, end());
        return begin() + i;
    }
    T* insert(const T* at, size_t n, T v) {
        const auto i = at - begin();
        resize(size_ + n, std::move(v));
        std::rotate(begin() + i, end() - static_cast<std::ptrdiff_t>(n), end());
        return begin() + i;
    }
    template <std::input_iterator It>
    T* insert(const T* at, It first, It last) {
        const auto i = at - begin();
        const auto old = static_cast<std::ptrdiff_t>(size_);
        append(first, last);
        std::rotate(begin() + i, begin() + old, end());
        return begin() + i;
    }
    T* erase(const T* at) { return erase(at, at + 1); }
    T* erase(const T* first, const T* last) {
        T* to = begin() + (first - begin());
        if (first == last) return to;  // elements moved onto themselves would be lost
        T* rest = std::move(begin() + (last - begin()), end(), to);
        while (end() != rest) pop_back();
        return to;
    }

    friend bool operator==(const InlineVector& a, const InlineVector& b) { return std::ranges::equal(a, b); }
    friend auto operator<=>(const InlineVector& a, const InlineVector& b)
        requires std::three_way_comparable<T>
    {
        return std::lexicographical_compare_three_way(a.begin(), a.end(), b.begin(), b.end());
    }
    operator std::span<const T>() const { return {data_, size_}; }  // NOLINT: a view, as of any vector
    operator std::vector<T>() const { return {begin(), end()}; }    // NOLINT: what libraries ask for

  private:
    [[nodiscard]] T* inside() { return reinterpret_cast<T*>(storage_); }
    [[nodiscard]] size_t check(size_t i) const { return i < size_ ? i : throw std::out_of_range("InlineVector::at"); }
    template <std::input_iterator It>
    void append(It first, It last) {
        if constexpr (std::forward_iterator<It>) reserve(size_ + static_cast<size_t>(std::distance(first, last)));
        for (; first != last; ++first) emplace_back(*first);
    }
    void grow(size_t n) {
        T* fresh = std::allocator<T>().allocate(n);
        std::uninitialized_move_n(data_, size_, fresh);
        std::destroy_n(data_, size_);
        release();
        data_ = fresh;
        capacity_ = n;
    }
    void release() {
        if (data_ != inside()) std::allocator<T>().deallocate(data_, capacity_);
        data_ = inside();
        capacity_ = N;
    }
    void take(InlineVector&& other) {
        if (other.data_ != other.inside()) {
            data_ = std::exchange(other.data_, other.inside());
            capacity_ = std::exchange(other.capacity_, N);
            size_ = std::exchange(other.size_, 0);
            return;
        }
        std::uninitialized_move_n(other.data_, other.size_, data_);
        size_ = other.size_;
        other.clear();
    }

    alignas(T) std::byte storage_[N * sizeof(T)];
    T* data_ = inside();
    size_t size_ = 0, capacity_ = N;
};

}  // namespace fk
