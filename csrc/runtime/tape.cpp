// Tapes and gradients on recorders.
#include "runtime/tape.h"

#include <algorithm>

#include "core/errors.h"
#include "ops/expr.h"

namespace fk {
namespace {

// The values that a source stands for in the recorder's graph.
std::vector<Value> values_of(Recorder& r, const OperandRef& source) {
    std::vector<Value> out;
    const auto add = [&](const TensorPtr& t) {
        const Value v = r.import(t);
        if (std::ranges::find(out, v) == out.end()) out.push_back(v);
    };
    if (const auto* cell = std::get_if<CellPtr>(&source)) {
        for (const TensorPtr& t : r.versions(*cell)) add(t);
        if (out.empty()) add(r.read(*cell));
    } else {
        add(std::get<TensorPtr>(source));
    }
    return out;
}

std::vector<TensorPtr> gradients_in(Recorder& r, const std::vector<TensorPtr>& targets, const std::vector<OperandRef>& sources,
                                    const std::vector<TensorPtr>& seeds, Recorded* recorded) {
    for (const TensorPtr& t : targets) settle(r, t);
    for (const TensorPtr& t : seeds) settle(r, t);
    for (const OperandRef& s : sources)
        if (const auto* t = std::get_if<TensorPtr>(&s)) settle(r, *t);
    std::vector<Value> target_values, seed_values, flat;
    std::vector<size_t> ends;
    for (const TensorPtr& t : targets) target_values.push_back(r.import(t));
    for (const TensorPtr& t : seeds) seed_values.push_back(t ? r.import(t) : Value{});
    for (const OperandRef& s : sources) {
        for (Value v : values_of(r, s)) flat.push_back(v);
        ends.push_back(flat.size());
    }
    const std::vector<Value> grads = differentiate(r.graph(), target_values, seed_values, flat, recorded);
    std::vector<TensorPtr> out;
    size_t at = 0;
    for (size_t end : ends) {
        Expr sum;
        for (; at < end; ++at) {
            if (!grads[at].valid()) continue;
            const Expr grad{&r.graph(), grads[at]};
            sum = sum.valid() ? sum + grad : grad;
        }
        out.push_back(sum.valid() ? r.wrap(sum.v) : nullptr);
    }
    return out;
}

}  // namespace

std::vector<TensorPtr> gradients(const std::vector<TensorPtr>& targets, const std::vector<OperandRef>& sources,
                                 const std::vector<TensorPtr>& seeds) {
    return gradients_in(current_recorder(), targets, sources, seeds, nullptr);
}

Tape::~Tape() { reset(); }

void Tape::start() {
    if (recording_) return;
    Recorder* r = &current_recorder();
    // A tape that only waits to be asked keeps its graph; what is recorded now shall not grow it.
    if (r == thread_recorder().get() && r != recorder_.get() && r->has_tapes() && r->recording_tapes == 0)
        r = renew_thread_recorder().get();
    if (recorder_ && recorder_.get() != r)
        fail<UserError>("a tape was opened again in another place than before (inside or outside of a traced function, or on "
                        "another thread); make a new tape there");
    if (!recorder_) {
        recorder_ = r->shared_from_this();
        recorder_->open_tape();
    }
    r->graph().stop_merging();
    ++r->recording_tapes;
    spans_.push_back({r->graph().size(), UINT32_MAX});
    recording_ = true;
}

void Tape::stop() {
    if (!recording_) return;
    recording_ = false;
    spans_.back().end = recorder_->graph().size();
    recorder_->graph().stop_merging();
    --recorder_->recording_tapes;
}

void Tape::reset() {
    stop();
    spans_.clear();
    if (!recorder_) return;
    recorder_->close_tape();
    recorder_ = nullptr;
}

std::vector<CellPtr> Tape::cells_read() const { return recorder_ ? recorder_->cells_read() : std::vector<CellPtr>{}; }

std::vector<TensorPtr> Tape::gradient(const Request& request) {
    if (!recorder_) return std::vector<TensorPtr>(request.sources.size());
    Recorder& r = *recorder_;
    for (const OperandRef& s : request.watched)
        if (const auto* t = std::get_if<TensorPtr>(&s)) settle(r, *t);
    Recorded recorded{.spans = spans_, .watched = {}};
    for (const OperandRef& w : request.watched)
        for (Value v : values_of(r, w)) recorded.watched.push_back(v);
    if (request.cells_watched)
        for (const CellPtr& cell : r.cells_read())
            for (Value v : values_of(r, cell)) recorded.watched.push_back(v);
    return gradients_in(r, request.targets, request.sources, request.seeds, &recorded);
}

}  // namespace fk
