// Removes what loops and branches compute and nobody reads: outputs of branches, slices that a loop stacks (its history above
// all, which only a gradient reads; also that of recurrent sequences), and carried values that no output depends on. The bodies
// themselves are compiled, and so pruned inside, when their node gets its kernel.
#include <algorithm>
#include <unordered_map>

#include "ops/recurrent.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace fk {
namespace {

using Used = std::vector<uint8_t>;
using Result = std::optional<std::vector<Value>>;

std::unordered_map<const Node*, Used> used_outputs(const Graph& g) {
    std::unordered_map<const Node*, Used> used;
    const std::vector<uint8_t> live = live_nodes(g);
    for (uint32_t n = 0; n < g.size(); ++n)
        if (const OpDef& op = *g.node(n).op; live[n] && (op.is_control() || op.attr_index("history") >= 0))
            used[&g.node(n)].assign(g.node(n).types.size(), 0);
    const auto mark = [&](Value v) {
        if (const auto it = used.find(&g.node(v)); it != used.end()) it->second[v.out] = 1;
    };
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n])
            for (Value v : g.node(n).inputs) mark(v);
    for (Value v : g.outputs) mark(v);
    return used;
}

std::shared_ptr<const Graph> with_outputs(const Graph& body, const Used& keep) {
    Graph g = body;
    g.outputs.clear();
    for (size_t i = 0; i < body.outputs.size(); ++i)
        if (keep[i]) g.outputs.push_back(body.outputs[i]);
    return std::make_shared<const Graph>(std::move(g));
}

// The values that replace the outputs of the old node: those kept are, in order, outputs of the new one.
std::vector<Value> renumbered(uint32_t node, const Used& keep) {
    std::vector<Value> out;
    uint32_t next = 0;
    for (uint8_t k : keep) out.push_back(k ? Value{node, next++} : Value{});
    return out;
}

Result prune_switch(Graph& out, const Node& n, std::span<const Value> in, const Used& used) {
    if (std::ranges::count(used, 0) == 0) return std::nullopt;
    Bodies branches;
    for (const auto& branch : n.bodies()) branches.push_back(with_outputs(*branch, used));
    return renumbered(out.add(*n.op, {in.begin(), in.end()}, {branches}), used);
}

// Which carries something that is used depends on.
Used needed_carries(const Graph& body, size_t carries, const Used& used) {
    Used keep = used;
    for (bool changed = true; changed;) {
        changed = false;
        Graph probe = body;
        probe.outputs.clear();
        for (size_t i = 0; i < body.outputs.size(); ++i)
            if (keep[i]) probe.outputs.push_back(body.outputs[i]);
        const std::vector<uint8_t> live = live_nodes(probe);
        for (size_t i = 0; i < carries; ++i)
            if (!keep[i] && live[body.parameters()[i].node]) keep[i] = 1, changed = true;
    }
    return keep;
}

Result prune_scan(Graph& out, const Node& n, std::span<const Value> in, const Used& used) {
    if (std::ranges::count(used, 0) == 0) return std::nullopt;
    const auto carries = static_cast<size_t>(n.int_attr("carries"));
    const Graph& body = *n.bodies()[0];
    const Used keep = needed_carries(body, carries, used);
    if (std::ranges::count(keep, 0) == 0) return std::nullopt;
    Graph g;
    std::vector<Value> arguments(in.size()), operands;
    size_t kept = 0;
    for (size_t i = 0; i < in.size(); ++i) {
        const TensorType& type = body.type(body.parameters()[i]);
        if (i < carries && !keep[i]) continue;
        kept += i < carries;
        operands.push_back(in[i]);
        arguments[i] = g.add_parameter(type);
    }
    Graph rest = body;
    rest.outputs.clear();
    for (size_t i = 0; i < keep.size(); ++i)
        if (keep[i]) rest.outputs.push_back(body.outputs[i]);
    g.outputs = inline_graph(g, rest, arguments);
    Attrs attrs = n.attrs;
    attrs[0] = Bodies{std::make_shared<const Graph>(std::move(g))};
    attrs[1] = static_cast<int64_t>(kept);
    attrs[5] = attrs[6] = int64_t{0};
    return renumbered(out.add(*n.op, operands, std::move(attrs)), keep);
}

Result prune_while(Graph& out, const Node& n, std::span<const Value> in, const Used& used) {
    const auto carries = static_cast<size_t>(n.int_attr("carries"));
    if (!n.bool_attr("history") ||
        std::any_of(used.begin() + static_cast<std::ptrdiff_t>(carries), used.end(), [](uint8_t u) { return u != 0; }))
        return std::nullopt;
    Attrs attrs = n.attrs;
    attrs[3] = int64_t{0};
    Used keep(used.size(), 0);
    std::fill_n(keep.begin(), carries, uint8_t{1});
    return renumbered(out.add(*n.op, {in.begin(), in.end()}, std::move(attrs)), keep);
}

Result prune_sequence(Graph& out, const Node& n, std::span<const Value> in, const Used& used) {
    const auto history = used.begin() + static_cast<std::ptrdiff_t>(recurrent_states(n));
    if (!n.bool_attr("history") || std::count(history, used.end(), 0) != used.end() - history) return std::nullopt;
    Attrs attrs = n.attrs;
    attrs[static_cast<size_t>(n.op->attr_index("history"))] = int64_t{0};
    Used keep(used.size(), 0);
    std::fill_n(keep.begin(), recurrent_states(n), uint8_t{1});
    return renumbered(out.add(*n.op, {in.begin(), in.end()}, std::move(attrs)), keep);
}

}  // namespace

Graph prune(const Graph& g) {
    const auto used = used_outputs(g);
    if (used.empty()) return g;
    return rewrite(g, [&](Graph& out, const Node& n, std::span<const Value> in) -> Result {
        const auto it = used.find(&n);
        if (it == used.end()) return std::nullopt;
        if (n.is("switch")) return prune_switch(out, n, in, it->second);
        if (n.is("scan")) return prune_scan(out, n, in, it->second);
        if (n.is("while")) return prune_while(out, n, in, it->second);
        if (!n.op->is_control()) return prune_sequence(out, n, in, it->second);
        return std::nullopt;
    });
}

}  // namespace fk
