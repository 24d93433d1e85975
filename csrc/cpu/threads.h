// The one thread team of the process. Nothing starts a thread before the first parallel call; when several threads run
// plans at once, one has the team and the others compute alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cpu/cpu.h"

namespace fk::cpu {

// 0 restores the default: the cores this process may use. Kernels compiled earlier keep their own count.
void set_max_threads(int threads);

inline constexpr int kMaxThreads = 256;

// Bytes of 64-byte aligned memory that belong to the calling thread, kept (and so warm in its cache) between calls.
[[nodiscard]] std::byte* thread_workspace(size_t bytes);

namespace detail {
void run_team(int threads, void (*body)(void* context, int thread, int threads), void* context);
}

// Calls body(part, threads) once for each part, on whichever thread comes first, all right here when the team is taken. There
// are at most kMaxThreads parts; the body is told how many. It must not throw, and a part must not wait for another one: the
// same thread may do them one after the other. How the work is split never depends on who is there to do it, so results do not.
template <class Body>
void parallel(int threads, Body&& body) {
    if (threads <= 1) {
        body(0, 1);
        return;
    }
    using Fn = std::remove_reference_t<Body>;
    detail::run_team(threads, [](void* context, int t, int n) { (*static_cast<Fn*>(context))(t, n); }, &body);
}

// A static split of [0, n): part `thread` of `threads`.
struct Slice {
    int64_t begin = 0, end = 0;
};
[[nodiscard]] constexpr Slice slice_of(int64_t n, int thread, int threads) {
    return {n * thread / threads, n * (thread + 1) / threads};
}

// body(begin, end) over [0, n), split evenly when every thread gets at least `grain` items.
template <class Body>
void parallel_for(int64_t n, int64_t grain, Body&& body) {
    if (n <= 0) return;
    const int threads = max_threads();
    if (threads <= 1 || n / threads < std::max<int64_t>(grain, 1)) {
        body(int64_t{0}, n);
        return;
    }
    parallel(threads, [&](int t, int count) {
        const Slice part = slice_of(n, t, count);
        if (part.begin < part.end) body(part.begin, part.end);
    });
}

}  // namespace fk::cpu
