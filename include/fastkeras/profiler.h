// Seeing when what ran: between start_profiler and stop_profiler every kernel of every program is noted, with its implementation,
// shapes and rates, for chrome://tracing or Perfetto. While nothing is recorded this costs a run one read of a flag.
//
//   fastkeras::start_profiler();
//   step.run(inputs, outputs);
//   fastkeras::stop_profiler("trace.json");
#pragma once

#include <cstddef>
#include <string>

#include "fastkeras/types.h"

namespace fastkeras {

// Events beyond `max_events` are counted, not kept. InvalidArgument when it is running already.
FASTKERAS_API void start_profiler(size_t max_events = 200'000);
// Writes the trace; an empty path discards it. InvalidArgument when it is not running, or the file cannot be written.
FASTKERAS_API void stop_profiler(const std::string& path);

// Notes the time until the end of the scope under a name of your own.
class FASTKERAS_API ProfilerSpan {
  public:
    explicit ProfilerSpan(std::string name);
    ~ProfilerSpan();
    ProfilerSpan(const ProfilerSpan&) = delete;
    ProfilerSpan& operator=(const ProfilerSpan&) = delete;

  private:
    std::string name_;
    int64_t begin_;
};

}  // namespace fastkeras
