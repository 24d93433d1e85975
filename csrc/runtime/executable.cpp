// Building, running and recording executables.
#include "runtime/executable.h"

#include <algorithm>
#include <cstring>

#include "core/config.h"
#include "core/errors.h"
#include "runtime/host.h"
#include "runtime/profiler.h"

namespace fk {

Executable::Executable(Recorder& trace, const std::vector<TensorPtr>& outputs, std::string name) : name_(std::move(name)) {
    std::vector<Value> results;
    for (const TensorPtr& t : outputs) results.push_back(trace.import(t));  // may bring in tensors from outside
    sources_ = trace.sources();
    graph_ = trace.graph();
    Graph& g = graph_;
    g.outputs = std::move(results);
    g.output_aliases.assign(g.outputs.size(), -1);
    results_ = outputs.size();
    for (const auto& [cell, state] : trace.cells())
        if (state.written) {
            g.outputs.push_back(state.current->value);
            g.output_aliases.push_back(static_cast<int32_t>(std::get<int64_t>(g.node(state.parameter).attrs[0])));
            written_.push_back(cell);
            for (const TensorPtr& version : trace.versions(cell)) {
                const std::pair<CellPtr, Value> read{cell, trace.origin(trace.import(version))};
                if (read.second != state.parameter && is_float(version->type.dtype) &&
                    std::ranges::find(versions_, read) == versions_.end())
                    versions_.push_back(read);
            }
        }
    for (size_t i = 0; i < sources_.size(); ++i) {
        const bool input = sources_[i].kind == Recorder::Source::Kind::input;
        input_of_.push_back(input ? static_cast<int32_t>(input_types_.size()) : -1);
        if (input) input_types_.push_back(g.type(g.parameters()[i]));
    }
    if (config::lists(config::Key::disable_passes, "prologue") || config::lists(config::Key::disable_passes, "all")) return;
    // What it reads and does not write. Numbers are read by loops as they are: nothing would be gained ahead of the run.
    std::vector<uint8_t> steady;
    for (size_t i = 0; i < sources_.size(); ++i)
        steady.push_back(input_of_[i] < 0 && std::ranges::find(written_, sources_[i].cell) == written_.end() &&
                         g.type(g.parameters()[i]).size() > 1);
    g.mark_steady(steady);
}

const Plan& Executable::plan() {
    const Device& device = current_device();
    if (!plan_ || plan_->device != &device) {
        plan_ = compile(graph_, name_, device);
        prologue_.forget();
    }
    return *plan_;
}

void Executable::take_inputs(const std::vector<Input>& inputs, std::vector<const void*>& parameters,
                             std::vector<BufferPtr>& held) {
    check_internal(inputs.size() == input_types_.size(), "an executable got ", inputs.size(), " inputs, it has ",
                   input_types_.size());
    DeviceMemory* const memory = plan_->device->memory();
    for (size_t i = 0; i < sources_.size(); ++i) {
        if (input_of_[i] < 0) continue;
        const Input& in = inputs[static_cast<size_t>(input_of_[i])];
        if (in.tensor) {
            evaluate(in.tensor);
            held[i] = in.tensor->buffer;
            parameters[i] = held[i]->in(memory);
        } else if (memory == nullptr) {
            parameters[i] = in.data;
        } else {
            const size_t bytes = input_types_[static_cast<size_t>(input_of_[i])].bytes();
            held[i] = Buffer::allocate(bytes, memory);
            void* const to = held[i]->writable_in(memory);
            if (bytes > 0) memory->upload(to, in.data, bytes);
            parameters[i] = to;
        }
    }
}

std::vector<uint64_t> Executable::source_ids() const {
    std::vector<uint64_t> ids;
    for (size_t i = 0; i < sources_.size(); ++i) ids.push_back(input_of_[i] < 0 ? source(i)->id : 0);
    return ids;
}

void Executable::await_sources() {
    // While one is waited for, another thread may start to overwrite one that was ready: all must be ready at once.
    for (bool ready = false; !ready;) {
        ready = true;
        for (size_t i = 0; i < sources_.size(); ++i) {
            if (input_of_[i] >= 0) continue;
            const TensorPtr& t = source(i);
            if (!t->pending() && !t->flight) continue;
            evaluate(TensorPtr(t));
            ready = false;
        }
    }
}

std::vector<TensorPtr> Executable::run(const std::vector<Input>& inputs) {
    DeviceMemory* const memory = plan().device->memory();
    const size_t n = sources_.size();
    std::vector<const void*> parameters(n);
    std::vector<BufferPtr> held(n);  // keeps operands alive while the lock is released
    take_inputs(inputs, parameters, held);
    await_sources();
    // After the last point where the lock may be released: decide which buffers may be overwritten.
    for (size_t i = 0; i < n; ++i)
        if (input_of_[i] < 0) parameters[i] = source(i)->buffer->in(memory);
    std::vector<BufferPtr> buffers(plan_->output_types.size());
    std::vector<void*> outputs(buffers.size());
    std::vector<uint8_t> in_place(buffers.size(), 0);
    for (size_t o = 0; o < buffers.size(); ++o) {
        if (o >= results_) {
            const TensorPtr& t = written_[o - results_]->value;
            if (t.use_count() == 1 && t->buffer.use_count() == 1) {
                buffers[o] = t->buffer;
                in_place[o] = 1;
            }
        }
        if (!buffers[o]) buffers[o] = Buffer::allocate(plan_->output_types[o].bytes(), memory);
        outputs[o] = buffers[o]->writable_in(memory);
    }
    for (size_t i = 0; i < n; ++i)
        if (input_of_[i] < 0) held[i] = source(i)->buffer;
    const std::vector<uint64_t> ids = plan_->prologue > 0 ? source_ids() : std::vector<uint64_t>();
    std::shared_ptr<Flight> flight;
    std::vector<TensorPtr> busy;
    for (size_t o = results_; o < buffers.size(); ++o)
        if (in_place[o]) {  // readers on other threads wait until the new value is complete
            if (!flight) flight = std::make_shared<Flight>();
            busy.push_back(written_[o - results_]->value);
            busy.back()->flight = flight;
            busy.back()->renew();
        }
    std::exception_ptr error;
    {
        const Unlocked unlocked;
        try {
            const Prologue::Lease ahead = prologue_.lease(*plan_, parameters.data(), ids);
            plan_->run(parameters.data(), outputs.data(), nullptr, ahead.memory());
        } catch (...) {
            error = std::current_exception();  // the plan has not written to any cell
        }
    }
    if (flight) flight->land(nullptr);
    for (const TensorPtr& t : busy) t->flight = nullptr;
    if (error) std::rethrow_exception(error);
    for (size_t o = results_; o < buffers.size(); ++o)
        if (!in_place[o]) written_[o - results_]->value = from_memory(plan_->output_types[o], buffers[o]);
    std::vector<TensorPtr> results;
    for (size_t o = 0; o < results_; ++o) results.push_back(from_memory(plan_->output_types[o], buffers[o]));
    ++runs;
    return results;
}

Measurement Executable::measure(const std::vector<Input>& inputs, int runs, double seconds) {
    DeviceMemory* const memory = plan().device->memory();
    const size_t n = sources_.size();
    std::vector<const void*> parameters(n);
    std::vector<BufferPtr> held(n), buffers(plan_->output_types.size());
    take_inputs(inputs, parameters, held);
    await_sources();
    for (size_t i = 0; i < n; ++i) {
        if (input_of_[i] >= 0) continue;
        held[i] = source(i)->buffer;
        if (sources_[i].cell) {
            held[i] = Buffer::allocate(held[i]->bytes());
            std::memcpy(held[i]->data(), source(i)->buffer->data(), held[i]->bytes());
        }
        parameters[i] = held[i]->in(memory);
    }
    std::vector<void*> outputs(buffers.size());
    for (size_t o = 0; o < buffers.size(); ++o) {
        const int32_t alias = plan_->output_aliases[o];  // written in place, as when it trains
        buffers[o] = alias >= 0 ? held[static_cast<size_t>(alias)] : Buffer::allocate(plan_->output_types[o].bytes(), memory);
        outputs[o] = buffers[o]->writable_in(memory);
    }
    Measurement result;
    const std::vector<uint64_t> ids = source_ids();
    const Unlocked unlocked;
    Prologue prologue;
    const Prologue::Lease ahead = prologue.lease(*plan_, parameters.data(), ids);
    const int64_t begin = profiler::now();
    std::vector<int64_t> stamps;
    for (int run = 0; run < runs; ++run) {
        const int64_t start = profiler::now();
        if (run > 0 && static_cast<double>(start - begin) > seconds * 1e9) break;
        plan_->run(parameters.data(), outputs.data(), &stamps, ahead.memory());
        result.totals.push_back(profiler::now() - start);
        if (result.totals.back() > *std::ranges::min_element(result.totals)) continue;
        result.steps.clear();
        for (size_t i = 0; i + 1 < stamps.size(); ++i) result.steps.push_back(stamps[i + 1] - stamps[i]);
    }
    return result;
}

void Executable::check_input(size_t i, const TensorType& got) const {
    if (got != input_types_[i])
        fail<UserError>("input ", i, " of the compiled function is ", to_string(got), "; expected ", to_string(input_types_[i]));
}

std::vector<TensorPtr> Executable::record(const std::vector<TensorPtr>& inputs) {
    if (inputs.size() != input_types_.size())
        fail<UserError>("the compiled function got ", inputs.size(), " inputs; expected ", input_types_.size());
    for (size_t i = 0; i < inputs.size(); ++i) check_input(i, inputs[i]->type);
    Recorder& r = current_recorder();
    std::vector<TensorPtr> operands;
    for (size_t i = 0; i < sources_.size(); ++i)
        operands.push_back(input_of_[i] >= 0  ? inputs[static_cast<size_t>(input_of_[i])]
                           : sources_[i].cell ? r.read(sources_[i].cell)
                                              : sources_[i].tensor);
    for (const TensorPtr& t : operands) settle(r, t);
    std::vector<Value> arguments;
    for (const TensorPtr& t : operands) arguments.push_back(r.import(t));
    std::vector<Value> wanted = graph_.outputs;
    for (const auto& [cell, version] : versions_) wanted.push_back(version);
    const std::vector<Value> values = inline_graph(r.graph(), graph_, arguments, wanted);
    if (r.has_entered_tapes())
        for (size_t i = 0; i < versions_.size(); ++i) r.note(versions_[i].first, r.wrap(values[graph_.outputs.size() + i]));
    std::vector<TensorPtr> out;
    for (size_t o = 0; o < results_; ++o) out.push_back(r.wrap(values[o]));
    for (size_t o = results_; o < graph_.outputs.size(); ++o) assign(written_[o - results_], r.wrap(values[o]));
    return out;
}

}  // namespace fk
