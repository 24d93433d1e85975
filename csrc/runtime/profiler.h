// The profiler: which step of which plan ran when, on which thread, kept in memory until it is written as a Chrome trace
// (chrome://tracing, Perfetto). Off, a run of a plan costs one relaxed read of a flag.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace fk {

class Plan;

namespace profiler {

inline constexpr size_t kMaxEvents = 200'000;

namespace detail {
inline std::atomic<bool> recording{false};
}
[[nodiscard]] inline bool enabled() { return detail::recording.load(std::memory_order_relaxed); }
[[nodiscard]] int64_t now();  // nanoseconds of the steady clock

// Begins to record; further events are counted but not kept once there are `max_events`. UserError when it has begun already.
void start(size_t max_events = kMaxEvents);
// Ends recording and writes what was recorded since `start` to `path`; "" discards it. UserError when nothing was started or the
// file cannot be written.
void stop(const std::string& path);
[[nodiscard]] bool started();

// FASTKERAS_PROFILE: records from the first compilation on, beside what `start` and `stop` do, and writes when the process ends.
void start_for_process();

// One run: when each step began, and the end of the last. A run that failed has fewer stamps.
void record_run(const Plan& plan, std::span<const int64_t> stamps, bool prologue = false);
// Anything else that took time; `category` groups by colour.
void record_span(std::string name, std::string category, int64_t begin, int64_t end);

}  // namespace profiler
}  // namespace fk
