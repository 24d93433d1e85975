// The ordered list of passes: the compiler's table of contents.
#include <array>
#include <chrono>
#include <cstdio>

#include "core/config.h"
#include "core/errors.h"
#include "passes/passes.h"

namespace fk {
namespace {

using Pass = Graph (*)(const Graph&, std::span<const Impl>);

struct PassEntry {
    std::string_view name;
    Pass run;
    Pass disabled = nullptr;  // what runs instead when the pass is switched off; null: nothing
};

Graph prune_pass(const Graph& g, std::span<const Impl>) { return prune(g); }
Graph simplify_pass(const Graph& g, std::span<const Impl>) { return simplify(g); }

constexpr std::array kPasses = {
    PassEntry{"simplify", simplify_pass},
    PassEntry{"prune", prune_pass},
    PassEntry{"decompose", decompose, decompose},  // needed: devices run only what is claimed or primitive
    PassEntry{"simplify", simplify_pass},          // bodies bring constants and moves of their own
    PassEntry{"absorb_epilogues", absorb_epilogues},
    PassEntry{"cast_mixed", cast_mixed},
    PassEntry{"fuse", fuse, lower_unfused},
};

}  // namespace

Graph run_pipeline(const Graph& g, std::span<const Impl> impls, std::vector<PassTiming>* timings) {
    using Clock = std::chrono::steady_clock;
    const bool all_off = config::lists(config::Key::disable_passes, "all"), log = config::lists(config::Key::log, "pass");
    Graph current = g;
    for (const PassEntry& entry : kPasses) {
        const bool off = all_off || config::lists(config::Key::disable_passes, entry.name);
        const Pass pass = off ? entry.disabled : entry.run;
        if (pass == nullptr) continue;
        const auto start = Clock::now();
        current = pass(current, impls);
        const double us = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
        if (timings != nullptr) timings->push_back({std::string(entry.name), us, current.size()});
        if (log)
            std::fprintf(stderr, "fastkeras pass %-18s %7.0f us, %u nodes\n", std::string(entry.name).c_str(), us,
                         current.size());
        if (config::flag(config::Key::verify)) verify(current, entry.name);
    }
    return current;
}

}  // namespace fk
