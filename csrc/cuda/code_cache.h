// Compiled kernels on disk, so that the next process need not compile them: one file per source, compiler and architecture, in a
// folder that only the user may enter. A file is used only if it says the very source it was made from, and is whole.
#pragma once

#include <optional>
#include <string>

namespace fk::cuda {

// `key`: everything that the machine code depends on, source included.
[[nodiscard]] std::optional<std::string> cached_code(const std::string& key);
// Failing to write is no error: the code is compiled again another time.
void keep_code(const std::string& key, const std::string& code);

}  // namespace fk::cuda
