// The ordered list of passes: the compiler's table of contents.
#include <array>
#include <cstdio>

#include "core/config.h"
#include "core/errors.h"
#include "passes/passes.h"
#include "runtime/profiler.h"

namespace fk {
namespace {

using Pass = Graph (*)(const Graph&, std::span<const Impl>, Refusals*);

struct PassEntry {
    std::string_view name;
    Pass run;
    Pass disabled = nullptr;  // what runs instead when the pass is switched off; null: nothing
};

Graph prune_pass(const Graph& g, std::span<const Impl>, Refusals*) { return prune(g); }
Graph cancel_shifts_pass(const Graph& g, std::span<const Impl>, Refusals*) { return cancel_shifts(g); }
Graph update_rows_pass(const Graph& g, std::span<const Impl>, Refusals*) { return update_rows(g); }
Graph fold_scales_pass(const Graph& g, std::span<const Impl>, Refusals*) { return fold_scales(g); }
Graph simplify_pass(const Graph& g, std::span<const Impl>, Refusals*) { return simplify(g); }
template <auto F>  // a pass that refuses nothing
Graph quiet(const Graph& g, std::span<const Impl> impls, Refusals*) {
    return F(g, impls);
}

constexpr std::array kPasses = {
    PassEntry{"simplify", simplify_pass},
    PassEntry{"prune", prune_pass},
    PassEntry{"cancel_shifts", cancel_shifts_pass},
    PassEntry{"absorb_activations", absorb_activations},
    PassEntry{"pair_slopes", pair_slopes},
    PassEntry{"decompose", decompose, decompose},  // needed: devices run only what is claimed or primitive
    PassEntry{"simplify", simplify_pass},          // bodies bring constants and moves of their own
    PassEntry{"prune", prune_pass},                // and loops
    PassEntry{"update_rows", update_rows_pass},
    PassEntry{"fold_scales", fold_scales_pass},
    PassEntry{"absorb_epilogues", absorb_epilogues},
    PassEntry{"absorb_prologues", absorb_prologues},
    PassEntry{"absorb_joins", absorb_joins},
    PassEntry{"absorb_shortcuts", absorb_shortcuts},
    PassEntry{"split_norms", split_norms},
    PassEntry{"recompute_far", recompute_far},
    PassEntry{"absorb_moments", absorb_moments},
    PassEntry{"cast_mixed", quiet<cast_mixed>},
    PassEntry{"join_losses", join_losses},
    PassEntry{"fuse", quiet<fuse>, quiet<lower_unfused>},
};

}  // namespace

Graph run_pipeline(const Graph& g, std::span<const Impl> impls, std::vector<PassTiming>* timings, Refusals* refusals) {
    const bool all_off = config::lists(config::Key::disable_passes, "all"), log = config::lists(config::Key::log, "pass");
    Graph current = g;
    for (const PassEntry& entry : kPasses) {
        const bool off = all_off || config::lists(config::Key::disable_passes, entry.name);
        const Pass pass = off ? entry.disabled : entry.run;
        if (pass == nullptr) continue;
        const int64_t start = profiler::now();
        current = pass(current, impls, refusals);
        const double us = static_cast<double>(profiler::now() - start) / 1e3;
        if (timings != nullptr) timings->push_back({std::string(entry.name), us, current.size(), start});
        if (log)
            std::fprintf(stderr, "fastkeras pass %-18s %7.0f us, %u nodes\n", std::string(entry.name).c_str(), us,
                         current.size());
        if (config::flag(config::Key::verify)) verify(current, entry.name);
    }
    return current;
}

}  // namespace fk
