// The host's functions, and when a loop last asked for interrupts, per thread.
#include "runtime/host.h"

#include <chrono>

namespace fk {
namespace {
Host g_host;
}

void set_host(Host host) { g_host = host; }

Unlocked::Unlocked() : token_(g_host.release != nullptr ? g_host.release() : nullptr) {}
Unlocked::~Unlocked() {
    if (g_host.acquire != nullptr) g_host.acquire(token_);
}

bool interrupted(int64_t iteration) {
    using Clock = std::chrono::steady_clock;
    constexpr int64_t kStride = 16;  // reading the clock costs as much as a small kernel
    if (g_host.interrupted == nullptr || iteration % kStride != kStride - 1) return false;
    thread_local Clock::time_point last = Clock::now();
    const Clock::time_point now = Clock::now();
    if (now - last < std::chrono::milliseconds(200)) return false;
    last = now;
    return g_host.interrupted();
}

}  // namespace fk
