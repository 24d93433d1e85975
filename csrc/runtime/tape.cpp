// Tapes and gradients on recorders.
#include "runtime/tape.h"

#include <algorithm>

#include "core/errors.h"
#include "ops/expr.h"

namespace fk {
namespace {

// The values that a source stands for in the recorder's graph, for a tape that was the given one to be entered.
std::vector<Value> values_of(Recorder& r, const OperandRef& source, uint64_t since) {
    std::vector<Value> out;
    const auto add = [&](const TensorPtr& t) {
        const Value v = r.import(t);
        if (std::ranges::find(out, v) == out.end()) out.push_back(v);
    };
    if (const auto* cell = std::get_if<CellPtr>(&source)) {
        for (const TensorPtr& t : r.versions(*cell, since)) add(t);
        // What was read from another one of them hands its gradient on to it.
        const std::vector<Value> all = out;
        std::erase_if(out, [&](Value v) { return r.origin(v) != v && std::ranges::find(all, r.origin(v)) != all.end(); });
        if (out.empty() && since == 0) add(r.read(*cell));
    } else {
        add(std::get<TensorPtr>(source));
    }
    return out;
}

std::vector<TensorPtr> gradients_in(Recorder& r, const std::vector<TensorPtr>& targets, const std::vector<OperandRef>& sources,
                                    const std::vector<TensorPtr>& seeds, uint64_t since, Recorded* recorded) {
    for (const TensorPtr& t : targets) settle(r, t);
    for (const TensorPtr& t : seeds) settle(r, t);
    for (const OperandRef& s : sources)
        if (const auto* t = std::get_if<TensorPtr>(&s)) settle(r, *t);
    std::vector<Value> target_values, seed_values, flat;
    std::vector<size_t> ends;
    for (const TensorPtr& t : targets) target_values.push_back(r.import(t));
    for (const TensorPtr& t : seeds) seed_values.push_back(t ? r.import(t) : Value{});
    for (const OperandRef& s : sources) {
        for (Value v : values_of(r, s, since)) flat.push_back(v);
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
    return gradients_in(current_recorder(), targets, sources, seeds, 0, nullptr);
}

Tape::~Tape() { reset(); }

void Tape::enter() {
    if (entered_) return;
    RecorderPtr r = current_recorder().shared_from_this();
    const bool lazy = r == thread_recorder();
    if (recorder_ && lazy && !recorder_->tracing() && recorder_->thread == std::this_thread::get_id()) {
        if (recorder_ != r) r = renew_thread_recorder(recorder_);  // it goes on where it was
    } else if (recorder_ && recorder_ != r) {
        fail<UserError>(
            "a tape was opened again in another place than before (inside or outside of a traced function, or on "
            "another thread); make a new tape there");
    } else if (!recorder_ && lazy) {
        // A tape that only waits to be asked keeps its graph; what is recorded now shall not grow it.
        if (r->has_tapes() && !r->has_entered_tapes())
            r = renew_thread_recorder();
        else if (!r->has_tapes() && r->has_flushed_nodes())
            (void)r->run_pending();  // what an earlier tape kept is not needed any more
    }
    if (!recorder_) {
        recorder_ = r;
        recorder_->open_tape();
    }
    entered_ = true;
    const uint64_t before = recorder_->enter_tape();
    if (spans_.empty()) since_ = before + 1;
    begin_span();
}

void Tape::leave() {
    if (!entered_) return;
    end_span();
    entered_ = false;
    recorder_->leave_tape();
}

void Tape::pause() { end_span(); }
void Tape::resume() {
    if (entered_) begin_span();
}

void Tape::begin_span() {
    if (recording_) return;
    recorder_->graph().stop_merging();
    spans_.push_back({recorder_->graph().size(), UINT32_MAX});
    recording_ = true;
}

void Tape::end_span() {
    if (!recording_) return;
    recording_ = false;
    spans_.back().end = recorder_->graph().size();
    recorder_->graph().stop_merging();
}

void Tape::reset() {
    leave();
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
        for (Value v : values_of(r, w, since_)) recorded.watched.push_back(v);
    if (request.cells_watched)
        for (const CellPtr& cell : r.cells_read())
            for (Value v : values_of(r, cell, since_)) recorded.watched.push_back(v);
    return gradients_in(r, request.targets, request.sources, request.seeds, since_, &recorded);
}

}  // namespace fk
