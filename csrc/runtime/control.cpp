// From bodies with captures to nodes whose bodies see only their parameters. Start reading at `Frame`.
#include "runtime/control.h"

#include <algorithm>
#include <map>

#include "core/errors.h"
#include "ops/op_def.h"

namespace fk {
namespace {

using Source = Recorder::Source;

// The operands that several bodies share: their captures in the enclosing recorder, each once.
class Frame {
  public:
    explicit Frame(Recorder& outer) : outer_(outer) {}

    // Brings in what the bodies return and what they captured. Settling may release the host lock, so it comes before any of it
    // gets a value in the graph.
    void capture(const std::vector<const Body*>& bodies) {
        for (const Body* b : bodies) {
            for (const TensorPtr& t : b->outputs) (void)b->recorder->import(t);
            for (const CellPtr& cell : written_) (void)b->recorder->read(cell);
        }
        for (const Body* b : bodies)
            for (const Source& s : b->recorder->sources())
                if (s.kind != Source::Kind::input) settle(outer_, tensor_of(s));
        for (const Body* b : bodies)
            for (const Source& s : b->recorder->sources())
                if (s.kind == Source::Kind::tensor || (s.kind == Source::Kind::cell && !assigned(s.cell))) (void)index_of(s);
    }
    // Cells that a body assigns, in the order in which they are met.
    void collect_writes(const Recorder& body) {
        for (const auto& [cell, state] : body.cells())
            if (state.written && !assigned(cell)) written_.push_back(cell);
    }
    [[nodiscard]] bool assigned(const CellPtr& cell) const { return std::ranges::find(written_, cell) != written_.end(); }
    [[nodiscard]] const std::vector<CellPtr>& written() const { return written_; }
    [[nodiscard]] const std::vector<Value>& captures() const { return values_; }
    [[nodiscard]] Value written_value(size_t i) { return outer_.import(outer_.read(written_[i])); }

    // The body as a graph of `inputs` (in order of the recorder's inputs), the written cells and the captures.
    struct Layout {
        std::vector<size_t> inputs;        // place of the body's k-th input
        size_t written = 0, captures = 0;  // place of the first of each
    };
    std::shared_ptr<const Graph> close(const Body& body, const Layout& layout, const std::vector<TensorType>& types) {
        Recorder& r = *body.recorder;
        Graph& recorded = r.graph();
        recorded.outputs.clear();
        for (const TensorPtr& t : body.outputs) recorded.outputs.push_back(r.import(t));
        for (const CellPtr& cell : written_) recorded.outputs.push_back(r.import(r.current(cell)));
        Graph g;
        std::vector<Value> parameters;
        for (const TensorType& t : types) parameters.push_back(g.add_parameter(t));
        std::vector<Value> arguments;
        size_t input = 0;
        for (const Source& s : r.sources()) {
            size_t place = 0;
            if (s.kind == Source::Kind::input)
                place = layout.inputs.at(input++);
            else if (s.kind == Source::Kind::cell && assigned(s.cell))
                place = layout.written + static_cast<size_t>(std::ranges::find(written_, s.cell) - written_.begin());
            else
                place = layout.captures + index_of(s);
            arguments.push_back(parameters.at(place));
        }
        std::vector<Value> wanted = recorded.outputs;
        std::vector<uint32_t> cell_of;
        for (size_t i = 0; i < written_.size(); ++i)
            for (const TensorPtr& version : r.versions(written_[i])) {
                const Value v = r.origin(r.import(version));
                const auto begin = wanted.begin() + static_cast<std::ptrdiff_t>(recorded.outputs.size());
                if (recorded.node(v).is("parameter") || !is_float(version->type.dtype) ||
                    std::find(begin, wanted.end(), v) != wanted.end())
                    continue;
                wanted.push_back(v);
                cell_of.push_back(static_cast<uint32_t>(layout.written + i));
            }
        const std::vector<Value> copies = inline_graph(g, recorded, arguments, wanted);
        const auto n = static_cast<std::ptrdiff_t>(recorded.outputs.size());
        g.outputs.assign(copies.begin(), copies.begin() + n);
        for (size_t i = 0; i < cell_of.size(); ++i) g.versions.emplace_back(cell_of[i], copies[static_cast<size_t>(n) + i]);
        return std::make_shared<const Graph>(std::move(g));
    }

  private:
    [[nodiscard]] TensorPtr tensor_of(const Source& s) { return s.cell ? outer_.read(s.cell) : s.tensor; }
    size_t index_of(const Source& s) {
        const Value v = outer_.import(tensor_of(s));
        const auto [it, fresh] = places_.try_emplace(v, values_.size());
        if (fresh) values_.push_back(v);
        return it->second;
    }

    Recorder& outer_;
    std::vector<CellPtr> written_;
    std::vector<Value> values_;
    std::map<Value, size_t> places_;
};

std::vector<TensorType> types_of(Recorder& r, const std::vector<Value>& values) {
    std::vector<TensorType> out;
    for (Value v : values) out.push_back(r.graph().type(v));
    return out;
}

// Wraps the node's first outputs and gives the written cells theirs.
std::vector<TensorPtr> deliver(Recorder& r, uint32_t node, const std::vector<uint32_t>& results, uint32_t first_written,
                               const std::vector<CellPtr>& written) {
    std::vector<TensorPtr> out;
    for (uint32_t i : results) out.push_back(r.wrap({node, i}));
    for (size_t i = 0; i < written.size(); ++i) assign(written[i], r.wrap({node, first_written + static_cast<uint32_t>(i)}));
    return out;
}

std::vector<uint32_t> range(size_t begin, size_t end) {
    std::vector<uint32_t> out;
    for (size_t i = begin; i < end; ++i) out.push_back(static_cast<uint32_t>(i));
    return out;
}

void settle_all(Recorder& r, const std::vector<TensorPtr>& tensors) {
    for (const TensorPtr& t : tensors) settle(r, t);
}

std::vector<Value> import_all(Recorder& r, const std::vector<TensorPtr>& tensors) {
    std::vector<Value> out;
    for (const TensorPtr& t : tensors) out.push_back(r.import(t));
    return out;
}

void append(std::vector<Value>& to, const std::vector<Value>& values) { to.insert(to.end(), values.begin(), values.end()); }

}  // namespace

std::vector<TensorPtr> record_switch(const TensorPtr& index, const std::vector<Body>& branches,
                                     const std::vector<TensorPtr>& operands) {
    Recorder& r = current_recorder();
    settle_all(r, operands);
    settle(r, index);
    Frame frame(r);
    // Every branch names every variable that one of them assigns, so that all return the same.
    for (const Body& b : branches) frame.collect_writes(*b.recorder);
    std::vector<const Body*> all;
    for (const Body& b : branches) all.push_back(&b);
    frame.capture(all);
    std::vector<Value> given = import_all(r, operands), inner = given;
    Frame::Layout layout{.inputs = {}, .written = given.size(), .captures = 0};
    for (size_t i = 0; i < given.size(); ++i) layout.inputs.push_back(i);
    for (size_t i = 0; i < frame.written().size(); ++i) inner.push_back(frame.written_value(i));
    layout.captures = inner.size();
    append(inner, frame.captures());
    Bodies bodies;
    for (const Body& b : branches) bodies.push_back(frame.close(b, layout, types_of(r, inner)));
    std::vector<Value> inputs{r.import(index)};
    append(inputs, inner);
    const uint32_t n = r.graph().add(get_op("switch"), std::move(inputs), {bodies});
    const size_t results = branches[0].outputs.size();
    return deliver(r, n, range(0, results), static_cast<uint32_t>(results), frame.written());
}

std::vector<TensorPtr> record_scan(const Body& body, const std::vector<TensorPtr>& carries, const std::vector<TensorPtr>& xs,
                                   int64_t length, bool reverse) {
    Recorder& r = current_recorder();
    settle_all(r, carries);
    settle_all(r, xs);
    Frame frame(r);
    frame.collect_writes(*body.recorder);
    frame.capture({&body});
    const size_t n_carries = carries.size(), n_written = frame.written().size(), n_xs = xs.size();
    check_internal(body.outputs.size() >= n_carries, "a body returns fewer values than it carries");
    std::vector<Value> inputs = import_all(r, carries);
    const std::vector<Value> sliced = import_all(r, xs);
    for (size_t i = 0; i < n_written; ++i) inputs.push_back(frame.written_value(i));
    append(inputs, sliced);
    append(inputs, frame.captures());

    Frame::Layout layout{.inputs = {}, .written = n_carries, .captures = n_carries + n_written + n_xs};
    for (size_t i = 0; i < n_carries; ++i) layout.inputs.push_back(i);
    for (size_t i = 0; i < n_xs; ++i) layout.inputs.push_back(n_carries + n_written + i);
    std::vector<TensorType> types = types_of(r, inputs);
    for (size_t i = n_carries + n_written; i < layout.captures; ++i)
        if (!types[i].dims.empty()) types[i].dims.erase(types[i].dims.begin());
    const std::shared_ptr<const Graph> closed = frame.close(body, layout, types);
    // Outputs in the op's order: carries and written cells, then what is stacked, the history of the carries last.
    Graph g = *closed;
    const std::vector<Value> out = std::exchange(g.outputs, {});
    const size_t n_out = body.outputs.size();
    for (size_t i = 0; i < n_carries; ++i) g.outputs.push_back(out[i]);
    for (size_t i = 0; i < n_written; ++i) g.outputs.push_back(out[n_out + i]);
    for (size_t i = n_carries; i < n_out; ++i) g.outputs.push_back(out[i]);
    for (size_t i = 0; i < n_carries + n_written; ++i) g.outputs.push_back(g.parameters()[i]);
    const uint32_t n = r.graph().add(
        get_op("scan"), std::move(inputs),
        {Bodies{std::make_shared<const Graph>(std::move(g))}, static_cast<int64_t>(n_carries + n_written),
         static_cast<int64_t>(n_xs), length, static_cast<int64_t>(reverse), int64_t{1}, static_cast<int64_t>(n_written)});
    std::vector<uint32_t> results = range(0, n_carries);
    for (uint32_t i : range(n_carries + n_written, n_out + n_written)) results.push_back(i);
    return deliver(r, n, results, static_cast<uint32_t>(n_carries), frame.written());
}

std::vector<TensorPtr> record_while(const Body& condition, const Body& body, const std::vector<TensorPtr>& carries,
                                    int64_t limit) {
    Recorder& r = current_recorder();
    settle_all(r, carries);
    Frame frame(r);
    frame.collect_writes(*condition.recorder);
    if (!frame.written().empty())
        fail<UnsupportedError>("the condition of while_loop assigns the variable '", frame.written()[0]->name,
                               "' (random ops assign their seed); do that in the body and carry the result");
    frame.collect_writes(*body.recorder);
    frame.capture({&condition, &body});
    const size_t n_carries = carries.size(), n_written = frame.written().size();
    std::vector<Value> inputs = import_all(r, carries);
    for (size_t i = 0; i < n_written; ++i) inputs.push_back(frame.written_value(i));
    append(inputs, frame.captures());
    Frame::Layout layout{.inputs = {}, .written = n_carries, .captures = n_carries + n_written};
    for (size_t i = 0; i < n_carries; ++i) layout.inputs.push_back(i);
    const std::vector<TensorType> types = types_of(r, inputs);
    Graph test = *frame.close(condition, layout, types);
    test.outputs.resize(condition.outputs.size());
    const uint32_t n = r.graph().add(
        get_op("while"), std::move(inputs),
        {Bodies{std::make_shared<const Graph>(std::move(test)), frame.close(body, layout, types)},
         static_cast<int64_t>(n_carries + n_written), limit, static_cast<int64_t>(limit >= 0), static_cast<int64_t>(n_written)});
    return deliver(r, n, range(0, n_carries), static_cast<uint32_t>(n_carries), frame.written());
}

std::vector<TensorPtr> record_custom_gradient(const std::vector<TensorPtr>& outputs, const std::vector<TensorPtr>& inputs,
                                              const Body& gradient) {
    Recorder& r = current_recorder();
    settle_all(r, outputs);
    settle_all(r, inputs);
    Frame frame(r);
    frame.collect_writes(*gradient.recorder);
    if (!frame.written().empty())
        fail<UnsupportedError>("the gradient function of custom_gradient assigns the variable '", frame.written()[0]->name,
                               "'; a gradient must not change variables");
    frame.capture({&gradient});
    const std::vector<Value> values = import_all(r, outputs);
    std::vector<Value> operands = values, seeds = values;
    append(operands, import_all(r, inputs));
    Frame::Layout layout{.inputs = {}, .written = 0, .captures = values.size()};
    for (size_t i = 0; i < values.size(); ++i) layout.inputs.push_back(i);
    append(seeds, frame.captures());
    const auto closed = frame.close(gradient, layout, types_of(r, seeds));
    append(operands, frame.captures());
    const uint32_t n = r.graph().add(get_op("custom_gradient"), std::move(operands),
                                     {Bodies{closed}, static_cast<int64_t>(outputs.size()), static_cast<int64_t>(inputs.size())});
    std::vector<TensorPtr> out;
    for (uint32_t i : range(0, outputs.size())) out.push_back(r.wrap({n, i}));
    return out;
}

}  // namespace fk
