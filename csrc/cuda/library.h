// NVIDIA's shared libraries, opened at run time: nothing links them, so one build runs with and without CUDA. Looked for in the
// folders of FASTKERAS_CUDA_LIBRARIES, then in those that the host language knows (pip's nvidia-* wheels), then by the system.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/errors.h"

namespace fk::cuda {

// Folders in which the host language's packages keep CUDA's libraries.
void set_library_folders(std::vector<std::string> folders);

class Library {
  public:
    // The first that opens of `names`, in order; `before`: libraries that it looks for by name only, opened ahead when they lie
    // beside it. `package` is what to install where none is found.
    Library(std::string_view what, std::vector<std::string> names, std::vector<std::string> before, std::string_view package);
    [[nodiscard]] const std::string& path() const { return path_; }

    template <class F>
    void bind(F*& function, const char* name) const {
        function = reinterpret_cast<F*>(symbol(name));
    }

  private:
    [[nodiscard]] void* symbol(const char* name) const;  // UnsupportedError when the library is too old to have it

    std::string what_, path_;
    void* handle_ = nullptr;  // never closed: CUDA's libraries do not survive that
};

}  // namespace fk::cuda
