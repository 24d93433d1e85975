// See code_cache.h.
#include "cuda/code_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/config.h"
#include "core/errors.h"

namespace fk::cuda {
namespace {

constexpr std::string_view kMagic = "fastkeras kernels 1\n";

uint64_t checksum(std::string_view bytes) {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    return hash;
}

// Empty: there is no such folder, or others could write there.
std::string folder() {
    std::string path = config::text(config::Key::cuda_cache);
    if (path == "none") return "";
    if (path.empty()) {
        const char* cache = std::getenv("XDG_CACHE_HOME");
        const char* home = std::getenv("HOME");
        if (cache != nullptr && *cache == '/')
            path = concat(cache, "/fastkeras/kernels");
        else if (home != nullptr && *home == '/')
            path = concat(home, "/.cache/fastkeras/kernels");
        else
            return "";
    }
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    (void)::mkdir(path.c_str(), 0700);
    struct stat s {};
    if (::lstat(path.c_str(), &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != ::geteuid() || (s.st_mode & 0077) != 0) return "";
    return path;
}

std::string file_of(const std::string& key) {
    const std::string in = folder();
    if (in.empty()) return "";
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(checksum(key)));
    return concat(in, "/", digits, ".bin");
}

}  // namespace

std::optional<std::string> cached_code(const std::string& key) {
    const std::string path = file_of(key);
    if (path.empty()) return std::nullopt;
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::ostringstream text;
    text << file.rdbuf();
    const std::string all = std::move(text).str();
    uint64_t sizes[3];  // of the key, of the code; checksum of the code
    const size_t head = kMagic.size() + sizeof sizes;
    if (all.size() < head || !all.starts_with(kMagic)) return std::nullopt;
    std::memcpy(sizes, all.data() + kMagic.size(), sizeof sizes);
    if (sizes[0] != key.size() || sizes[1] > all.size() || head + sizes[0] + sizes[1] != all.size()) return std::nullopt;
    if (all.compare(head, key.size(), key) != 0) return std::nullopt;
    std::string code = all.substr(head + key.size());
    if (checksum(code) != sizes[2]) return std::nullopt;
    return code;
}

void keep_code(const std::string& key, const std::string& code) {
    const std::string path = file_of(key);
    if (path.empty()) return;
    const std::string unfinished = concat(path, ".", ::getpid(), ".tmp");
    {
        std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
        const uint64_t sizes[3] = {key.size(), code.size(), checksum(code)};
        file.write(kMagic.data(), static_cast<std::streamsize>(kMagic.size()));
        file.write(reinterpret_cast<const char*>(sizes), sizeof sizes);
        file.write(key.data(), static_cast<std::streamsize>(key.size()));
        file.write(code.data(), static_cast<std::streamsize>(code.size()));
        if (!file) {
            file.close();
            (void)::unlink(unfinished.c_str());
            return;
        }
    }
    if (::rename(unfinished.c_str(), path.c_str()) != 0) (void)::unlink(unfinished.c_str());
}

}  // namespace fk::cuda
