// Pieces of CUDA C++ that emit_cuda.cpp puts together: lines, and numbers with exactly their bits.
#pragma once

#include <cstdint>
#include <string>

#include "codegen/region.h"
#include "codegen/value_class.h"
#include "core/errors.h"

namespace fk::cuda {

// A literal of that class with exactly these bits.
[[nodiscard]] std::string literal(Class cls, uint64_t bits);
// What a reduction starts from.
[[nodiscard]] std::string identity(ReduceKind kind, Class cls);

// Lines of C++ with their indentation.
class Text {
  public:
    template <class... Parts>
    void line(const Parts&... parts) {
        text_ += std::string(static_cast<size_t>(depth_) * 4, ' ') + concat(parts...) + "\n";
    }
    template <class... Parts>
    void open(const Parts&... parts) {
        line(parts..., " {");
        ++depth_;
    }
    void close() {
        --depth_;
        line("}");
    }
    [[nodiscard]] const std::string& str() const { return text_; }

  private:
    std::string text_;
    int depth_ = 0;
};

}  // namespace fk::cuda
