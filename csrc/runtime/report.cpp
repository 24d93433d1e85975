// Reading a plan back. Where a value was computed follows from the operands: the last step that wrote their place.
#include "runtime/report.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "codegen/region.h"
#include "core/errors.h"

namespace fk {
namespace {

// The types of a step's operands, inputs then outputs.
std::vector<TensorType> operand_types(const Plan& plan, const Step& step) {
    std::vector<TensorType> types;
    if (step.node != UINT32_MAX) {
        const Node& node = plan.lowered.node(step.node);
        for (Value v : node.inputs) types.push_back(plan.lowered.type(v));
        types.insert(types.end(), node.types.begin(), node.types.end());
        return types;
    }
    return step.types;
}

using PlaceKey = std::pair<Place, size_t>;

// Steps whose labels share a layer with the refusal's.
bool same_layer(const std::string& label, const std::string& layer) {
    if (layer.empty()) return false;
    for (size_t at = 0; at <= label.size();) {
        const size_t end = std::min(label.find(" + ", at), label.size());
        if (label.compare(at, end - at, layer) == 0) return true;
        at = end + 3;
    }
    return false;
}

std::vector<std::pair<std::string, std::string>> refusals_of(const Plan& plan, const Step& step) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const Refusal& r : plan.refusals) {
        const bool own = r.node != UINT32_MAX && r.node == step.node;
        // An op that nobody took was written into loops and products of its layer.
        const bool of_layer =
            r.node == UINT32_MAX && same_layer(step.label, r.label) && (step.op == "fused" || r.op.starts_with(step.op));
        if (!own && !of_layer) continue;
        std::pair<std::string, std::string> entry{own ? r.impl : concat(r.impl, " (", r.op, ")"), r.why};
        if (std::ranges::find(out, entry) == out.end()) out.push_back(std::move(entry));
    }
    return out;
}

}  // namespace

std::vector<StepReport> report(const Plan& plan) {
    std::vector<StepReport> out;
    std::map<PlaceKey, int32_t> writer;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
        const Step& step = plan.steps[i];
        StepReport r;
        r.op = step.op;
        r.label = step.label;
        r.implementation = step.kernel->describe();
        const std::vector<TensorType> types = operand_types(plan, step);
        for (uint32_t k = 0; k < types.size(); ++k) {
            const Operand& o = plan.operands[step.first_operand + k];
            if (r.compute.empty() && is_float(types[k].dtype)) r.compute = name(types[k].dtype);
            if (k >= step.inputs) {
                r.outputs.push_back(to_string(types[k]));
                continue;
            }
            r.inputs.push_back(to_string(types[k]));
            const auto it = writer.find({o.place, o.at});
            r.sources.push_back(it == writer.end() || types[k].size() == 0 ? -1 : it->second);
        }
        for (uint32_t k = step.inputs; k < step.inputs + step.outputs; ++k) {
            const Operand& o = plan.operands[step.first_operand + k];
            writer[{o.place, o.at}] = static_cast<int32_t>(i);
        }
        if (step.node == UINT32_MAX) {
            r.kind = "movement";
            r.cost.read = r.cost.written = static_cast<double>(types[0].bytes());
        } else {
            const Node& node = plan.lowered.node(step.node);
            r.kind = kind_of(node);
            r.cost = cost_of(plan.lowered, node);
            r.details = node.region ? to_string(*node.region) : step.kernel->details();
        }
        if (i < plan.prologue) {  // no part of a run
            r.kind = "prologue";
            r.cost = {};
        }
        r.refusals = refusals_of(plan, step);
        out.push_back(std::move(r));
    }
    return out;
}

std::vector<MemorySpan> memory_spans(const Plan& plan) {
    std::vector<MemorySpan> spans;
    std::map<size_t, size_t> latest;  // offset -> the stay that began there last
    for (size_t i = 0; i < plan.steps.size(); ++i) {
        const Step& step = plan.steps[i];
        const std::vector<TensorType> types = operand_types(plan, step);
        for (uint32_t k = 0; k < types.size(); ++k) {
            const Operand& o = plan.operands[step.first_operand + k];
            if (o.place != Place::arena || types[k].size() == 0) continue;
            if (k < step.inputs) {
                if (const auto it = latest.find(o.at); it != latest.end()) spans[it->second].last = i;
            } else {
                latest[o.at] = spans.size();
                spans.push_back({o.at, types[k].bytes(), i, i, to_string(types[k])});
            }
        }
        if (const size_t bytes = step.kernel->scratch_bytes(); bytes > 0) spans.push_back({step.scratch, bytes, i, i, "scratch"});
    }
    return spans;
}

std::string Plan::memory_map() const {
    std::ostringstream out;
    out << "arena " << arena_bytes << " bytes, " << peak_bytes(*this) << " in use at most\n";
    for (const MemorySpan& s : memory_spans(*this))
        out << "  @" << s.offset << "  " << s.bytes << " bytes  steps " << s.first << " to " << s.last << "  " << s.what << '\n';
    return out.str();
}

size_t peak_bytes(const Plan& plan) {
    // One place taken over by an output of the step that reads it last counts once.
    std::vector<std::pair<size_t, size_t>> here;
    const std::vector<MemorySpan> spans = memory_spans(plan);
    size_t peak = 0;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
        here.clear();
        for (const MemorySpan& s : spans)
            if (s.first <= i && i <= s.last) here.emplace_back(s.offset, s.bytes);
        std::ranges::sort(here);
        size_t total = 0, end = 0;
        for (const auto& [offset, bytes] : here) {
            const size_t from = std::max(offset, end), to = offset + bytes;
            if (to > from) total += to - from;
            end = std::max(end, to);
        }
        peak = std::max(peak, total);
    }
    return peak;
}

}  // namespace fk
