// The vocabulary of the C++ API: element types, shapes, failures, and an array that owns its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#if defined(__GNUC__)
#define FASTKERAS_API __attribute__((visibility("default")))
#else
#define FASTKERAS_API
#endif

namespace fastkeras {

enum class DType : uint8_t {
    boolean,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    float16,
    bfloat16,
    float32,
    float64
};
using Shape = std::vector<int64_t>;

struct FASTKERAS_API TensorType {
    DType dtype = DType::float32;
    Shape shape;
    [[nodiscard]] int64_t size() const;  // number of elements
    [[nodiscard]] size_t bytes() const;
    [[nodiscard]] std::string text() const;  // "float32[2,3]"
    bool operator==(const TensorType&) const = default;
};

// What can go wrong, apart: the caller's mistake, something this build cannot do, a bug of the engine.
struct FASTKERAS_API Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct FASTKERAS_API InvalidArgument : Error {
    using Error::Error;
};
struct FASTKERAS_API Unsupported : Error {
    using Error::Error;
};
struct FASTKERAS_API InternalError : Error {
    using Error::Error;
};

// The element type that a C++ type stores; 16-bit floats have none and go by raw bytes.
template <class T>
[[nodiscard]] constexpr DType dtype_of() {
    if constexpr (std::is_same_v<T, bool>)
        return DType::boolean;
    else if constexpr (std::is_same_v<T, float>)
        return DType::float32;
    else if constexpr (std::is_same_v<T, double>)
        return DType::float64;
    else {
        static_assert(std::is_integral_v<T> && sizeof(T) <= 8, "no tensor has elements of this type");
        constexpr int log_size = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
        return static_cast<DType>(static_cast<int>(std::is_signed_v<T> ? DType::int8 : DType::uint8) + log_size);
    }
}

// A dense row-major tensor in memory that it owns: 64-byte aligned, contents undefined until written.
class FASTKERAS_API Array {
  public:
    explicit Array(TensorType type);
    template <class T>
    Array(Shape shape, const std::vector<T>& values) : Array(TensorType{dtype_of<T>(), std::move(shape)}) {
        check(dtype_of<T>(), values.size());
        for (size_t i = 0; i < values.size(); ++i) static_cast<T*>(data())[i] = values[i];
    }
    [[nodiscard]] const TensorType& type() const { return type_; }
    [[nodiscard]] void* data() { return memory_.get(); }
    [[nodiscard]] const void* data() const { return memory_.get(); }
    // The elements; InvalidArgument when T is not what the array holds.
    template <class T>
    [[nodiscard]] std::span<T> values() {
        check(dtype_of<T>(), static_cast<size_t>(type_.size()));
        return {static_cast<T*>(data()), static_cast<size_t>(type_.size())};
    }
    template <class T>
    [[nodiscard]] std::span<const T> values() const {
        check(dtype_of<T>(), static_cast<size_t>(type_.size()));
        return {static_cast<const T*>(data()), static_cast<size_t>(type_.size())};
    }

  private:
    struct FASTKERAS_API Free {
        void operator()(std::byte* p) const;
    };
    void check(DType dtype, size_t count) const;
    TensorType type_;
    std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace fastkeras
