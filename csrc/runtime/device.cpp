// Which device is meant: by name, and now.
#include "runtime/device.h"

#include <charconv>
#include <string>

#include "core/config.h"
#include "core/errors.h"
#include "cuda/device.h"

namespace fk {
namespace {

thread_local const Device* g_device = nullptr;

}  // namespace

const Device& device_named(std::string_view name) {
    std::string lower;
    for (const char c : name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    // "/device:GPU:0", "/GPU:0", "gpu:0", "gpu", "cuda:0"
    for (const std::string_view prefix : {"/job:localhost/replica:0/task:0", "/physical_device:", "/device:", "/"})
        if (lower.starts_with(prefix)) lower.erase(0, prefix.size());
    const size_t colon = lower.find(':');
    const std::string kind = lower.substr(0, colon);
    int number = 0;
    bool ok = true;
    if (colon != std::string::npos) {
        const char *begin = lower.data() + colon + 1, *end = lower.data() + lower.size();
        const auto [at, error] = std::from_chars(begin, end, number);
        ok = error == std::errc() && at == end && number >= 0;
    }
    if (ok && kind == "cpu" && number == 0) return cpu_device();
    if (ok && (kind == "gpu" || kind == "cuda")) return cuda::device(number);
    fail<UserError>("there is no device '", name, "'; expected 'cpu:0' or 'gpu:' and a number");
}

const Device& current_device() {
    if (g_device != nullptr) return *g_device;
    return config::flag(config::Key::device) ? device_named(config::text(config::Key::device)) : cpu_device();
}

const Device* use_device(const Device* device) { return std::exchange(g_device, device); }

}  // namespace fk
