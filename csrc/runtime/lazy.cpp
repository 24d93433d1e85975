// Recording, flushing and the values of tensors.
#include "runtime/lazy.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>

#include "core/config.h"
#include "core/errors.h"
#include "ops/expr.h"
#include "runtime/host.h"
#include "runtime/plan_cache.h"

namespace fk {
namespace {

struct ThreadState {
    RecorderPtr lazy = std::make_shared<Recorder>(false);
    std::vector<RecorderPtr> stack;
    std::vector<std::string> labels;          // full paths
    std::vector<std::string> labels_outside;  // those of the code around the outermost trace
    std::unordered_map<const CellImpl*, TensorPtr> bindings;
};

ThreadState& thread_state() {
    thread_local ThreadState state;
    return state;
}

// What stands for the cell's value on this thread, or null.
TensorPtr binding_of(const CellImpl* cell) {
    if (cell->bindings.load(std::memory_order_relaxed) == 0) return nullptr;
    const auto& bindings = thread_state().bindings;
    const auto it = bindings.find(cell);
    return it == bindings.end() ? nullptr : it->second;
}

}  // namespace

void Flight::land(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    done_ = true;
    error_ = std::move(error);
    landed_.notify_all();
}

bool Flight::succeeded() {
    const std::lock_guard lock(mutex_);
    return done_ && !error_;
}

void Flight::wait() {
    std::exception_ptr error;
    {
        std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock.owns_lock() || !done_) {
            if (lock.owns_lock()) lock.unlock();
            const Unlocked unlocked;
            std::unique_lock again(mutex_);
            landed_.wait(again, [this] { return done_; });
            error = error_;
        } else {
            error = error_;
        }
    }
    if (error) std::rethrow_exception(error);
}

uint64_t TensorImpl::next_id() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

TensorImpl::~TensorImpl() {
    if (recorder) recorder->forget(this);
}

bool Recorder::inside(const Recorder& other) const {
    for (const Recorder* r = parent_.get(); r != nullptr; r = r->parent_.get())
        if (r == &other) return true;
    return false;
}

Value Recorder::import(const TensorPtr& tensor) {
    if (tensor->pending()) {
        if (tensor->recorder.get() == this) return tensor->value;
        if (!inside(*tensor->recorder)) {
            if (tensor->recorder->tracing())
                fail<UserError>(
                    "a tensor of shape ", to_string(tensor->type.dims),
                    " was made while tracing and is used outside of that trace; return it from the traced function instead");
            const RecorderPtr other = tensor->recorder;
            other->run_pending();
        }
    }
    if (const auto it = leaves_.find(tensor->id); it != leaves_.end()) return it->second;
    const Value v = graph_.add_parameter(tensor->type);
    leaves_[tensor->id] = v;
    if (tensor->buffer) read_bytes_ += tensor->buffer->bytes();
    sources_.push_back({Source::Kind::tensor, nullptr, tensor});
    return v;
}

Value Recorder::import(const CellPtr& cell) { return import(read(cell)); }

TensorPtr Recorder::wrap(Value v) {
    auto t = std::make_shared<TensorImpl>(graph_.type(v));
    t->recorder = shared_from_this();
    t->value = v;
    t->live_slot = live_.size();
    live_.push_back(t.get());
    return t;
}

void Recorder::forget(TensorImpl* tensor) {
    live_.back()->live_slot = tensor->live_slot;
    live_[tensor->live_slot] = live_.back();
    live_.pop_back();
}

Recorder::CellState& Recorder::state_of(const CellPtr& cell) {
    const auto [it, fresh] = cell_index_.try_emplace(cell.get(), cells_.size());
    if (fresh) {
        const Value v = graph_.add_parameter(cell->type);
        sources_.push_back({Source::Kind::cell, cell, nullptr});
        cells_.push_back({cell, {v, wrap(v), false}});
    }
    return cells_[it->second].second;
}

TensorPtr Recorder::current(const CellPtr& cell) {
    // A body's variables are carried; what they begin with is the business of the recorder around it.
    if (!parent_)
        if (TensorPtr bound = binding_of(cell.get())) return bound;
    TensorPtr tensor = tracing_ ? state_of(cell).current : cell->value;
    check_internal(tensor != nullptr, "variable '", cell->name, "' is read before it has a value");
    return tensor;
}

TensorPtr Recorder::read(const CellPtr& cell) {
    TensorPtr tensor = current(cell);
    if (!parent_ && binding_of(cell.get()) != nullptr) return tensor;
    if (!tracing_ && tapes_ == 0) {  // as a tape read it that is closed by now: two operands in one memory hinder `donate`
        const auto it = versions_.find(cell.get());
        return it != versions_.end() && it->second.list.back().of == tensor->id ? it->second.list.back().tensor : tensor;
    }
    Versions& v = versions_[cell.get()];
    v.cell = cell;
    if (v.list.empty() || v.list.back().of != tensor->id || v.list.back().reading != reading_)
        v.list.push_back({entered_tapes_ > 0 ? alias(tensor) : tensor, tensor->id, reading_});
    return v.list.back().tensor;
}

void Recorder::note(const CellPtr& cell, TensorPtr version) {
    Versions& v = versions_[cell.get()];
    v.cell = cell;
    v.list.push_back({std::move(version), 0, reading_});
}

std::vector<TensorPtr> Recorder::versions(const CellPtr& cell, uint64_t since) const {
    std::vector<TensorPtr> out;
    if (const auto it = versions_.find(cell.get()); it != versions_.end())
        for (const Versions::Version& v : it->second.list)
            if (v.reading >= since) out.push_back(v.tensor);
    return out;
}

TensorPtr Recorder::alias(const TensorPtr& value) {
    if (!tracing_ && !value->pending()) {
        TensorPtr t = from_memory(value->type, value->buffer);
        t->flight = value->flight;
        return t;
    }
    static const OpDef& op = get_op("reshape");
    const Value v = import(value);
    return wrap({graph_.add_raw({.op = &op,
                                 .inputs = {v},
                                 .attrs = {value->type.dims},
                                 .types = {value->type},
                                 .label = graph_.current_label,
                                 .region = nullptr}),
                 0});
}

Value Recorder::origin(Value version) const {
    const auto is_alias = [&](const Node& n) { return n.is("reshape") && graph_.type(n.inputs[0]) == n.types[0]; };
    while (is_alias(graph_.node(version))) version = graph_.node(version).inputs[0];
    return version;
}

std::vector<CellPtr> Recorder::cells_read() const {
    std::vector<CellPtr> out;
    for (const auto& [key, versions] : versions_) out.push_back(versions.cell);
    return out;
}

TensorPtr Recorder::own(const TensorPtr& value) {
    if (!tracing_ && !value->pending()) return alias(value);
    // A node of its own, never merged: two variables with equal values stay two sources of gradients.
    static const OpDef& op = get_op("stop_gradient");
    const Value v = import(value);
    return wrap(
        {graph_.add_raw(
             {.op = &op, .inputs = {v}, .attrs = {}, .types = {value->type}, .label = graph_.current_label, .region = nullptr}),
         0});
}

void Recorder::assign(const CellPtr& cell, const TensorPtr& value) {
    TensorPtr own_value = own(value);
    if (!tracing_) {
        if (own_value->pending()) assigned_.try_emplace(cell.get(), Assigned{cell, cell->value});
        cell->type = own_value->type;
        cell->value = std::move(own_value);
        return;
    }
    CellState& state = state_of(cell);
    state.current = std::move(own_value);
    state.written = true;
}

TensorPtr Recorder::add_input(TensorType type) {
    const Value v = graph_.add_parameter(std::move(type));
    sources_.push_back({Source::Kind::input, nullptr, nullptr});
    return wrap(v);
}

bool Recorder::full() const {
    constexpr size_t kMaxBytes = size_t{256} << 20;
    return graph_.size() - flushed_ >= static_cast<uint32_t>(config::integer(config::Key::lazy_limit)) || read_bytes_ > kMaxBytes;
}

void Recorder::reset() {
    graph_ = Graph();
    known_.clear();
    leaves_.clear();
    sources_.clear();
    versions_.clear();
    flushed_ = 0;
    read_bytes_ = 0;
}

void Recorder::close_tape() {
    if (--tapes_ > 0 || tracing_) return;
    // Nothing more will be recorded here, and versions that are pending hold this recorder.
    if (thread_recorder().get() != this) versions_.clear();
    if (live_.empty()) reset();
}

Graph Recorder::program(const std::vector<Value>& outputs, std::vector<TensorPtr>& operands) const {
    std::vector<uint8_t> needed(graph_.size(), 0);
    uint32_t last = 0;
    for (Value v : outputs) needed[v.node] = 1, last = std::max(last, v.node);
    for (uint32_t n = last + 1; n-- > 0;)
        if (needed[n])
            for (Value v : graph_.node(n).inputs)
                if (!known_.contains(v)) needed[v.node] = 1;
    Graph out;
    std::map<Value, Value> map;
    auto parameter = [&](Value v, const TensorPtr& tensor) {
        operands.push_back(tensor);
        return map[v] = out.add_parameter(graph_.type(v));
    };
    for (uint32_t n = 0; n <= last; ++n) {
        if (!needed[n]) continue;
        const Node& node = graph_.node(n);
        if (node.is("parameter")) {
            parameter({n, 0}, sources_[static_cast<size_t>(std::get<int64_t>(node.attrs[0]))].tensor);
            continue;
        }
        std::vector<Value> inputs;
        for (Value v : node.inputs) {
            const auto it = map.find(v);
            inputs.push_back(it != map.end() ? it->second : parameter(v, known_.at(v)));
        }
        out.current_label = out.intern_label(graph_.label(node.label));
        const uint32_t copy = out.add(*node.op, std::move(inputs), node.attrs);
        for (uint32_t i = 0; i < node.types.size(); ++i) map.try_emplace(Value{n, i}, Value{copy, i});
    }
    for (Value v : outputs) out.outputs.push_back(map.at(v));
    return out;
}

namespace {

// Which outputs depend on a kernel that may report bad data, or on an operand whose own run may have failed.
std::vector<uint8_t> risky_outputs(const Graph& g, const std::vector<TensorPtr>& operands) {
    std::vector<uint8_t> risky(g.size(), 0);
    for (size_t i = 0; i < operands.size(); ++i) risky[g.parameters()[i].node] = operands[i]->flight != nullptr;
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& node = g.node(n);
        if (may_report(node) || std::ranges::any_of(node.inputs, [&](Value v) { return risky[v.node] != 0; })) risky[n] = 1;
    }
    std::vector<uint8_t> out;
    for (Value v : g.outputs) out.push_back(risky[v.node]);
    return out;
}

// Waits for the operands (throwing what their runs threw), then runs the graph.
void run_graph(const Graph& graph, const Device& device, const std::vector<TensorPtr>& operands,
               const std::vector<BufferPtr>& buffers) {
    const bool waits = std::ranges::any_of(operands, [](const TensorPtr& t) { return t->flight != nullptr; });
    const std::vector<uint8_t> live = waits ? live_nodes(graph) : std::vector<uint8_t>();
    for (size_t i = 0; waits && i < operands.size(); ++i)
        if (const auto flight = operands[i]->flight; flight && live[graph.parameters()[i].node]) {
            flight->wait();
            if (operands[i]->flight == flight) operands[i]->flight = nullptr;
        }
    const CachedPlan cached = cached_plan(graph, device);
    DeviceMemory* const memory = device.memory();
    std::vector<const void*> parameters;
    std::vector<AlignedMemory> scalars;
    for (const TensorPtr& t : operands) parameters.push_back(t->buffer->in(memory));
    for (const CachedPlan::Scalar& s : cached.scalars) {
        parameters.push_back(s.data());
        if (memory == nullptr) continue;
        scalars.push_back(allocate_aligned(s.size(), memory));
        memory->upload(scalars.back().get(), s.data(), s.size());
        parameters.back() = scalars.back().get();
    }
    std::vector<void*> outputs;
    for (const BufferPtr& b : buffers) outputs.push_back(b->writable_in(memory));
    const Unlocked unlocked;
    cached.plan->run(parameters.data(), outputs.data());
}

}  // namespace

void Recorder::donate(Graph& graph, const Assignments& assigned, const std::vector<TensorPtr>& operands,
                      const std::map<Value, size_t>& output_of, std::vector<BufferPtr>& buffers) {
    struct Reader {
        int32_t parameter = -1;
        int count = 0;  // operands in this memory
    };
    std::unordered_map<const Buffer*, Reader> readers;
    for (size_t i = 0; i < operands.size(); ++i) {
        Reader& r = readers[operands[i]->buffer.get()];
        r.parameter = static_cast<int32_t>(i);
        ++r.count;
    }
    graph.output_aliases.assign(graph.outputs.size(), -1);
    for (const auto& [key, a] : assigned) {
        const TensorPtr& now = a.cell->value;
        if (!a.old || !a.old->buffer || (a.old->flight && !a.old->flight->succeeded()) || !now->pending()) continue;
        const auto output = output_of.find(now->value);
        const auto reader = readers.find(a.old->buffer.get());
        if (output == output_of.end() || reader == readers.end() || reader->second.count != 1 ||
            graph.output_aliases[output->second] >= 0)
            continue;
        // The memory belongs to the old value and to the operand, which may be another tensor (see `read`), and both to nobody
        // but `assigned` and `operands`.
        const TensorPtr& operand = operands[static_cast<size_t>(reader->second.parameter)];
        const bool same = operand == a.old;
        if (operand.use_count() != (same ? 2 : 1) || a.old.use_count() != (same ? 2 : 1) ||
            a.old->buffer.use_count() != (same ? 1 : 2))
            continue;
        graph.output_aliases[output->second] = reader->second.parameter;
        buffers[output->second] = a.old->buffer;
    }
}

std::exception_ptr Recorder::run_pending(bool together) {
    check_internal(!tracing_, "flush of a trace");
    const Assignments assigned = std::exchange(assigned_, {});
    if (live_.empty()) {
        if (tapes_ == 0 && graph_.size() > 0) reset();  // everything recorded since was dropped unseen
        return nullptr;
    }
    std::vector<Value> wanted;
    std::map<Value, size_t> output_of;
    std::vector<BufferPtr> buffers;
    const Device& device = current_device();
    for (TensorImpl* t : live_)
        if (!known_.contains(t->value) && output_of.try_emplace(t->value, wanted.size()).second) {
            wanted.push_back(t->value);
        }
    buffers.resize(wanted.size());
    std::vector<TensorPtr> operands;
    Graph graph;
    if (tapes_ > 0 || !known_.empty()) {
        graph = program(wanted, operands);
    } else {
        graph = std::move(graph_);
        graph.outputs = wanted;
        for (Source& s : sources_) operands.push_back(std::move(s.tensor));
        versions_.clear();  // no tape asks for them any more
        donate(graph, assigned, operands, output_of, buffers);
    }
    std::exception_ptr no_memory;  // fails like the run that would have filled it
    try {
        for (size_t i = 0; i < wanted.size(); ++i)
            if (!buffers[i]) buffers[i] = Buffer::allocate(graph.type(graph.outputs[i]).bytes(), device.memory());
    } catch (...) {
        no_memory = std::current_exception();
    }
    const std::vector<TensorImpl*> live = std::move(live_);
    live_.clear();
    if (config::lists(config::Key::log, "lazy"))
        std::fprintf(stderr, "fastkeras lazy: %u nodes run for %zu tensors that are still referenced\n", graph.size(),
                     live.size());
    const std::vector<uint8_t> risky = risky_outputs(graph, operands);
    // An index out of range is the fault of what was computed from it; the other values can be had.
    const auto flight = std::make_shared<Flight>();
    const bool mixed = std::ranges::count(risky, 0) != 0 && std::ranges::count(risky, 1) != 0;
    const auto risky_flight = mixed ? std::make_shared<Flight>() : flight;
    // The tensors leave the recorder first, so that a failure cannot leave them half pending: they are poisoned instead.
    std::vector<RecorderPtr> owners;
    for (TensorImpl* t : live) {
        if (const auto known = known_.find(t->value); known != known_.end()) {  // recorded and computed before
            t->buffer = known->second->buffer;
            t->flight = known->second->flight;
        } else {
            const size_t i = output_of.at(t->value);
            t->buffer = buffers[i];
            t->flight = risky[i] ? risky_flight : flight;
        }
        owners.push_back(std::move(t->recorder));
        t->recorder = nullptr;
    }
    if (tapes_ > 0) {
        for (TensorImpl* t : live) leaves_[t->id] = t->value;
        for (size_t i = 0; i < wanted.size(); ++i) {
            const TensorPtr& t = known_[wanted[i]] = from_memory(graph_.type(wanted[i]), buffers[i]);
            t->flight = risky[i] ? risky_flight : flight;
        }
        flushed_ = graph_.size();
        read_bytes_ = 0;
    } else {
        reset();
    }
    if (wanted.empty()) return nullptr;
    std::exception_ptr error, safe_error;
    try {
        if (no_memory) std::rethrow_exception(no_memory);
        run_graph(graph, device, operands, buffers);
    } catch (...) {
        error = safe_error = std::current_exception();
    }
    if (error && mixed && !no_memory) {
        std::vector<BufferPtr> safe;
        std::vector<Value> values;
        std::vector<int32_t> aliases;
        for (size_t i = 0; i < risky.size(); ++i)
            if (!risky[i]) {
                values.push_back(graph.outputs[i]), safe.push_back(buffers[i]);
                if (!graph.output_aliases.empty()) aliases.push_back(graph.output_aliases[i]);
            }
        graph.outputs = std::move(values);
        graph.output_aliases = std::move(aliases);
        try {
            run_graph(graph, device, operands, safe);
            safe_error = nullptr;
        } catch (...) {
            safe_error = std::current_exception();
        }
    }
    flight->land(mixed ? safe_error : error);
    if (mixed) risky_flight->land(error);
    if (error)  // a variable whose new value could not be computed keeps the old one
        for (const auto& [key, a] : assigned)
            if (a.old && (together || (a.cell->value->flight == flight && (!mixed || safe_error)) ||
                          (mixed && a.cell->value->flight == risky_flight))) {
                a.old->renew();  // its memory may have been on loan
                a.cell->value = a.old;
            }
    return error;
}

Recorder& current_recorder() {
    ThreadState& s = thread_state();
    return s.stack.empty() ? *s.lazy : *s.stack.back();
}

RecorderPtr thread_recorder() { return thread_state().lazy; }
RecorderPtr renew_thread_recorder(RecorderPtr with) {
    return thread_state().lazy = with ? std::move(with) : std::make_shared<Recorder>(false);
}
void push_recorder(RecorderPtr recorder) {
    ThreadState& s = thread_state();
    // An outermost trace starts without labels: what it records is called from many places, and an interrupt (Ctrl-C) may have
    // left behind the label of a layer or step that it ended.
    if (s.stack.empty()) s.labels_outside = std::exchange(s.labels, {});
    s.stack.push_back(std::move(recorder));
}

void pop_recorder() {
    ThreadState& s = thread_state();
    check_internal(!s.stack.empty(), "a trace is left that was not entered");
    s.stack.pop_back();
    if (s.stack.empty()) s.labels = std::move(s.labels_outside);
}

void push_label(std::string label) {
    auto& labels = thread_state().labels;
    labels.push_back(labels.empty() ? std::move(label) : labels.back() + "/" + label);
    Recorder& r = current_recorder();
    if (r.tracing()) r.graph().current_label = r.graph().intern_label(labels.back());
}

void pop_label() {
    auto& labels = thread_state().labels;
    if (!labels.empty()) labels.pop_back();
    Recorder& r = current_recorder();
    if (r.tracing()) r.graph().current_label = labels.empty() ? 0 : r.graph().intern_label(labels.back());
}

// Settling may release the host lock, and then another thread may flush this recorder: so it is done for all operands before
// any of them gets a value in the graph.
void settle(Recorder& r, const TensorPtr& tensor) {
    if (!tensor || !tensor->pending() || tensor->recorder.get() == &r || tensor->recorder->tracing() ||
        r.inside(*tensor->recorder))
        return;
    const RecorderPtr other = tensor->recorder;
    other->run_pending();
}

std::vector<TensorPtr> record(const OpDef& op, std::vector<OperandRef> operands, Attrs attrs) {
    Recorder& r = current_recorder();
    for (OperandRef& operand : operands) {
        if (auto* cell = std::get_if<CellPtr>(&operand)) operand = r.read(*cell);
        if (const auto* tensor = std::get_if<TensorPtr>(&operand)) settle(r, *tensor);
    }
    if (!r.tracing() && r.full()) r.run_pending();
    // Python scalars adapt to the tensors beside them.
    std::optional<DType> strong;
    WeakKind weak = WeakKind::none;
    const size_t first = op.promotion == Promotion::select ? 1 : 0;
    std::vector<Value> values(operands.size());
    for (size_t i = 0; i < operands.size(); ++i) {
        if (const auto* s = std::get_if<Scalar>(&operands[i])) {
            if (i >= first) weak = std::max(weak, s->kind);
            continue;
        }
        values[i] = r.import(std::get<TensorPtr>(operands[i]));
        if (i >= first) {
            const DType t = r.graph().type(values[i]).dtype;
            strong = strong ? promote(*strong, t) : t;
        }
    }
    const DType scalar_type = strong ? promote_weak(*strong, weak) : default_type(weak);
    for (size_t i = 0; i < operands.size(); ++i)
        if (const auto* s = std::get_if<Scalar>(&operands[i])) {
            const DType t = i < first ? DType::boolean : scalar_type;
            values[i] = full(r.graph(), s->kind == WeakKind::floating ? s->real : static_cast<double>(s->integer), t).v;
        }
    const uint32_t n = emit_node(r.graph(), op, std::move(values), std::move(attrs));
    std::vector<TensorPtr> out;
    for (uint32_t i = 0; i < r.graph().node(n).types.size(); ++i) out.push_back(r.wrap({n, i}));
    if (!r.tracing() && config::flag(config::Key::flush_each_op)) r.flush();
    return out;
}

TensorPtr from_memory(TensorType type, BufferPtr buffer) {
    auto t = std::make_shared<TensorImpl>(std::move(type));
    t->buffer = std::move(buffer);
    return t;
}

void substitute(const CellPtr& cell, TensorPtr value) {
    auto& bindings = thread_state().bindings;
    const auto it = bindings.find(cell.get());
    if (value == nullptr) {
        if (it == bindings.end()) return;
        bindings.erase(it);
        --cell->bindings;
    } else if (it != bindings.end()) {
        it->second = std::move(value);
    } else {
        bindings.emplace(cell.get(), std::move(value));
        ++cell->bindings;
    }
}

void assign(const CellPtr& cell, const TensorPtr& value) {
    if (cell->value && value->type != cell->type)
        fail<UserError>("variable '", cell->name, "' is ", to_string(cell->type), " and cannot hold ", to_string(value->type),
                        "; assign a value of the same shape and dtype");
    Recorder& r = current_recorder();
    settle(r, value);
    if (!r.parent() && binding_of(cell.get()) != nullptr) return substitute(cell, value);
    r.assign(cell, value);
}

void evaluate(const TensorPtr& tensor) {
    if (tensor->pending()) {
        if (tensor->recorder->tracing())
            fail<TracedValueError>(
                "the value of a traced tensor (", to_string(tensor->type),
                ") was asked for. While tracing, tensors have shapes and dtypes but no values yet: use ops.cond, ops.where or "
                "ops.while_loop instead of a Python condition, or run the model with run_eagerly=True");
        const RecorderPtr recorder = tensor->recorder;
        recorder->run_pending();
    }
    if (tensor->flight) {
        const std::shared_ptr<Flight> flight = tensor->flight;
        flight->wait();
        if (tensor->flight == flight) tensor->flight = nullptr;
    }
}

}  // namespace fk
