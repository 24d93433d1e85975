// See library.h.
#include "cuda/library.h"

#include <dlfcn.h>

#include <filesystem>
#include <mutex>

#include "core/config.h"

namespace fk::cuda {
namespace {

std::mutex g_mutex;
std::vector<std::string>& host_folders() {
    static auto* folders = new std::vector<std::string>;
    return *folders;
}

std::vector<std::string> folders() {
    std::vector<std::string> all;
    std::string given = config::text(config::Key::cuda_libraries);
    for (size_t begin = 0; begin < given.size();) {
        const size_t end = std::min(given.find(':', begin), given.size());
        if (end > begin) all.push_back(given.substr(begin, end - begin));
        begin = end + 1;
    }
    const std::lock_guard lock(g_mutex);
    all.insert(all.end(), host_folders().begin(), host_folders().end());
    return all;
}

}  // namespace

void set_library_folders(std::vector<std::string> found) {
    const std::lock_guard lock(g_mutex);
    host_folders() = std::move(found);
}

Library::Library(std::string_view what, std::vector<std::string> names, std::vector<std::string> before, std::string_view package)
    : what_(what) {
    std::string reasons;
    const auto open = [&](const std::string& path) {
        handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle_ != nullptr)
            path_ = path;
        else
            reasons += concat(reasons.empty() ? "" : "; ", dlerror());
        return handle_ != nullptr;
    };
    for (const std::string& folder : folders())
        for (const std::string& name : names) {
            std::error_code ignored;
            const std::filesystem::path path = std::filesystem::path(folder) / name;
            if (!std::filesystem::exists(path, ignored)) continue;
            for (const std::string& b : before) (void)dlopen((std::filesystem::path(folder) / b).c_str(), RTLD_NOW | RTLD_LOCAL);
            if (open(path.string())) return;
        }
    for (const std::string& name : names)
        if (open(name)) return;
    fail<UnsupportedError>(what, " was not found (", reasons, "). ", package);
}

void* Library::symbol(const char* name) const {
    void* p = dlsym(handle_, name);
    if (p == nullptr)
        fail<UnsupportedError>(what_, " (", path_, ") has no ", name, ": it is too old for this version of fastkeras");
    return p;
}

}  // namespace fk::cuda
