// See prologue.h.
#include "runtime/prologue.h"

#include <algorithm>
#include <utility>

namespace fk {

Prologue::Lease::~Lease() {
    if (!kept_) return;
    const std::lock_guard lock(owner_->mutex_);
    --kept_->readers;
}

Prologue::Lease Prologue::lease(const Plan& plan, const void* const* parameters, std::span<const uint64_t> ids) {
    if (plan.prologue == 0) return {};
    const std::lock_guard lock(mutex_);  // whoever comes while the results are computed needs them as well
    const auto changed = [&](const std::vector<uint32_t>& reads) {
        return std::ranges::any_of(reads, [&](uint32_t p) { return latest_->ids[p] != ids[p]; });
    };
    bool fresh = !latest_;
    if (fresh || changed(plan.prologue_parameters)) {
        fresh = fresh || latest_->readers > 0;  // a run that still reads them keeps the old results
        if (fresh) {
            latest_ = std::make_shared<Kept>();
            latest_->memory = allocate_aligned(plan.kept_bytes, plan.device->memory());
            latest_->ids.assign(plan.parameter_types.size(), 0);
        }
        std::vector<uint8_t> stale;
        for (const std::vector<uint32_t>& reads : plan.prologue_reads) stale.push_back(fresh || changed(reads));
        // Until it has succeeded there is nothing.
        const std::shared_ptr<Kept> kept = std::exchange(latest_, nullptr);
        plan.prepare(parameters, kept->memory.get(), stale);
        latest_ = kept;
        for (uint32_t p : plan.prologue_parameters) latest_->ids[p] = ids[p];
    }
    ++latest_->readers;
    return {this, latest_};
}

}  // namespace fk
