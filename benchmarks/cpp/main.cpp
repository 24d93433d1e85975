// The options of Google Benchmark, and --trace=FILE: what ran, kernel by kernel, as a Chrome trace. Tracing costs time itself, so
// the figures of a traced run are not for comparisons.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string_view>
#include <vector>

#include "fastkeras/profiler.h"

int main(int argc, char** argv) {
    constexpr std::string_view option = "--trace=";
    std::string trace;
    std::vector<char*> rest;
    for (int i = 0; i < argc; ++i)
        if (const std::string_view argument = argv[i]; argument.starts_with(option))
            trace = argument.substr(option.size());
        else
            rest.push_back(argv[i]);
    int count = static_cast<int>(rest.size());
    benchmark::Initialize(&count, rest.data());
    if (benchmark::ReportUnrecognizedArguments(count, rest.data())) return 1;
    if (!trace.empty()) fastkeras::start_profiler();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    if (trace.empty()) return 0;
    try {
        fastkeras::stop_profiler(trace);
    } catch (const fastkeras::Error& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
