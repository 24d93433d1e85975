// Fusion: decides which values live in memory and which loops compute them together.
//
// 1. `classify`: a value is stored when a kernel, a reduction's consumer or the caller needs it in memory, or when it has
//    several users and is not cheap to compute again.
// 2. `group`: stored values over the same iteration space share a region when one feeds the other or they read the same
//    memory, and no path leaves the region and comes back. Steady values, which the plan computes ahead of its runs, are
//    stored where others read them and share regions among themselves only.
// 3. `emit`: groups and kernels become nodes of the new graph in dependency order; stores that nobody outside the group
//    reads are dropped.
#include <algorithm>
#include <queue>
#include <set>
#include <unordered_map>

#include "core/errors.h"
#include "ops/op_def.h"
#include "passes/fuse_region.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/unit_order.h"

namespace fk {
namespace {

constexpr size_t kMaxRoots = 24, kMaxCode = 192, kMaxOperands = 28;
constexpr int kRecomputeCost = 2;  // a value cheaper than this is computed again rather than stored

bool is_move(const Node& n) {
    return n.is("broadcast_to") || n.is("transpose") || n.is("slice") || n.is("reverse") || n.is("full") || n.is("iota") ||
           n.is("random_bits");
}
bool is_loop(const Node& n) { return n.op->kind == OpKind::prim || is_move(n) || is_reduction(n); }

int cost_of(const Node& n) {
    if (n.is("random_bits")) return 12;
    if (n.op->kind != OpKind::prim) return 0;
    switch (n.op->prim) {
        case Prim::exp:
        case Prim::log:
        case Prim::sigmoid:
        case Prim::tanh:
        case Prim::erf:
        case Prim::sqrt:
        case Prim::rsqrt:
        case Prim::divide:
        case Prim::reciprocal:
        case Prim::log1p:
        case Prim::expm1:
        case Prim::sin:
        case Prim::cos:
            return 4;
        case Prim::power:
        case Prim::lgamma:
        case Prim::digamma:
        case Prim::erfinv:
        case Prim::atan2:
            return 10;
        default:
            return 1;
    }
}

class Fuser {
  public:
    Fuser(const Graph& g, bool merge) : g_(g), merge_(merge), live_(live_nodes(g)) {
        s_.g = &g;
        s_.origin.assign(g.size(), Origin::external);
        s_.group.assign(g.size(), -1);
        kernel_order_.assign(g.size(), -1);
    }

    Graph run() {
        classify();
        group();
        return emit();
    }

  private:
    void make_root(uint32_t n) {
        if (g_.node(n).is("reshape") && s_.origin[n] == Origin::inlined) {
            s_.origin[n] = Origin::external;  // a reshape of something in memory is the same memory
            make_root(g_.node(n).inputs[0].node);
            return;
        }
        if (s_.origin[n] == Origin::inlined) s_.origin[n] = Origin::root;
    }

    void classify() {
        std::vector<uint32_t> uses(g_.size(), 0);
        for (uint32_t n = 0; n < g_.size(); ++n) {
            if (!live_[n]) continue;
            const Node& node = g_.node(n);
            for (Value v : node.inputs) ++uses[v.node];
            if (is_reduction(node))
                s_.origin[n] = Origin::root;
            else if (is_loop(node))
                s_.origin[n] = Origin::inlined;
            else if (node.is("reshape"))
                s_.origin[n] = s_.origin[node.inputs[0].node] == Origin::inlined &&
                                       reshape_is_linear(g_.type(node.inputs[0]).dims, node.types[0].dims)
                                   ? Origin::inlined
                                   : Origin::external;
        }
        for (Value v : g_.outputs) make_root(v.node);
        std::vector<int> cost(g_.size(), 0);
        for (uint32_t n = 0; n < g_.size(); ++n) {
            if (!live_[n]) continue;
            const Node& node = g_.node(n);
            const bool inlined = s_.origin[n] != Origin::external && !node.is("reshape");
            if (!inlined && s_.origin[n] == Origin::external)  // kernels and reshapes read memory
                for (Value v : node.inputs) make_root(v.node);
            if (node.is("random_bits")) make_root(node.inputs[0].node), draws_ = true;
            if (!node.steady)
                for (Value v : node.inputs)
                    if (g_.steady(v)) keep(v, cost);
            if (node.is("broadcast_to") && spreads(n, cost[node.inputs[0].node])) make_root(node.inputs[0].node);
            if (!merge_ && node.op->kind == OpKind::prim) make_root(n);
            cost[n] = cost_of(node);
            for (Value v : node.inputs)
                if (s_.origin[v.node] == Origin::inlined) cost[n] += cost[v.node];
            if (s_.origin[n] != Origin::inlined) cost[n] = 0;
            if (s_.origin[n] == Origin::inlined && uses[n] > 1 && cost[n] > kRecomputeCost && node.op->kind == OpKind::prim) {
                s_.origin[n] = Origin::root;
                soft_.insert(n);
                cost[n] = 0;
            }
            if (cost[n] > 48 && node.op->kind == OpKind::prim) make_root(n), cost[n] = 0;  // bounds the size of one region
        }
    }

    // Whether a broadcast repeats something so often that it pays to compute it ahead, in a loop of its own.
    [[nodiscard]] bool spreads(uint32_t n, int cost) const {
        constexpr int64_t kLeastElements = 16384, kLeastCopies = 64;
        const int64_t size = g_.node(n).types[0].size(), from = g_.type(g_.node(n).inputs[0]).size();
        return cost > kRecomputeCost && size >= kLeastElements && size >= from * kLeastCopies;
    }

    // A steady value that the loop of an unsteady one reads: what computes it becomes a loop of its own, to run ahead, unless the
    // result is much larger than what it is made of.
    void keep(Value v, std::vector<int>& cost) {
        const Node& n = g_.node(v);
        if (s_.origin[v.node] != Origin::inlined) return;
        if (n.op->kind != OpKind::prim) {
            if (!n.is("random_bits"))
                for (Value x : n.inputs) keep(x, cost);
            return;
        }
        constexpr size_t kSmall = 64 << 10;
        size_t read = 0;
        for (Value x : loads_of_root(v.node)) read += g_.type(x).bytes();
        if (g_.type(v).bytes() <= std::max(kSmall, 2 * read)) make_root(v.node), cost[v.node] = 0;
    }

    // Values in memory that computing `root` reads, through its inlined operands.
    void loads_of(Value v, std::set<Value>& loads, std::set<uint32_t>& seen) const {
        if (s_.origin[v.node] != Origin::inlined) {
            loads.insert(v);
            return;
        }
        if (!seen.insert(v.node).second) return;
        for (Value x : g_.node(v).inputs) loads_of(x, loads, seen);
    }

    // Whether computing `v` (through inlined operands) draws random numbers with a key that `unit` computes: keys are read from
    // memory, so they must be there before the loop begins.
    [[nodiscard]] bool draws_with(Value v, int64_t unit) const {
        const Node& n = g_.node(v);
        if (n.is("random_bits") && unit_of(n.inputs[0].node) == unit) return true;
        return std::ranges::any_of(n.inputs,
                                   [&](Value x) { return s_.origin[x.node] == Origin::inlined && draws_with(x, unit); });
    }

    std::set<Value> loads_of_root(uint32_t root) const {
        std::set<Value> loads;
        std::set<uint32_t> seen;
        for (Value x : g_.node(root).inputs) loads_of(x, loads, seen);
        return loads;
    }

    // The unit (group or kernel node) that produces a value: groups are numbered from 0, other nodes are -(n + 1).
    [[nodiscard]] int64_t unit_of(uint32_t n) const {
        while (s_.origin[n] == Origin::external && g_.node(n).is("reshape")) n = g_.node(n).inputs[0].node;
        return s_.group[n] >= 0 ? s_.group[n] : -static_cast<int64_t>(n) - 1;
    }

    [[nodiscard]] std::vector<int64_t> dependencies(int64_t unit) const {
        std::vector<int64_t> deps;
        if (unit >= 0) {
            for (Value v : group_loads_[static_cast<size_t>(unit)]) deps.push_back(unit_of(v.node));
        } else {
            for (Value v : g_.node(static_cast<uint32_t>(-unit - 1)).inputs) deps.push_back(unit_of(v.node));
        }
        return deps;
    }

    [[nodiscard]] uint32_t last_node(int64_t unit) const {
        return unit >= 0 ? groups_[static_cast<size_t>(unit)].back() : static_cast<uint32_t>(-unit - 1);
    }

    // The units in `order_` that produce these values.
    template <class Values>
    std::vector<int> ordered_units(const Values& values) const {
        std::vector<int> units;
        for (Value v : values) {
            const int64_t u = unit_of(v.node);
            const int at = u >= 0 ? group_order_[static_cast<size_t>(u)] : kernel_order_[static_cast<size_t>(-u - 1)];
            if (at >= 0 && std::ranges::find(units, at) == units.end()) units.push_back(at);
        }
        return units;
    }

    bool try_join(uint32_t root, const std::set<Value>& loads, int32_t target) {
        auto& roots = groups_[static_cast<size_t>(target)];
        if (roots.size() >= kMaxRoots || space_of(g_, roots[0]) != space_of(g_, root)) return false;
        if (g_.node(roots[0]).steady != g_.node(root).steady) return false;
        if (draws_ && draws_with({root, 0}, target)) return false;
        for (Value v : loads)  // a reshape of the group's own result
            if (s_.origin[v.node] == Origin::external && unit_of(v.node) == target) return false;
        const std::vector<int> needs = ordered_units(loads);
        const int unit = group_order_[static_cast<size_t>(target)];
        if (order_.any_depends_on(needs, unit)) return false;
        std::vector<uint32_t> joined = roots;
        joined.push_back(root);
        s_.group[root] = target;
        const auto built = build_region(s_, joined, std::vector<uint8_t>(joined.size(), 1));
        if (!built || built->region.code.size() > kMaxCode || built->inputs.size() + built->stored.size() > kMaxOperands) {
            s_.group[root] = -1;
            return false;
        }
        roots = std::move(joined);
        group_loads_[static_cast<size_t>(target)].insert(loads.begin(), loads.end());
        for (int u : needs) order_.depend(unit, u);
        return true;
    }

    void group() {
        std::unordered_map<uint64_t, std::vector<int32_t>> readers;  // value -> groups that read it
        auto key = [](Value v) { return (uint64_t{v.node} << 8) | v.out; };
        for (uint32_t n = 0; n < g_.size(); ++n) {
            if (live_[n] && s_.origin[n] == Origin::external && !g_.node(n).is("parameter") && !g_.node(n).is("reshape"))
                kernel_order_[n] = order_.add(ordered_units(g_.node(n).inputs));
            if (!live_[n] || s_.origin[n] != Origin::root) continue;
            const std::set<Value> loads = loads_of_root(n);
            std::vector<int32_t> candidates;
            for (Value v : loads) {
                if (s_.origin[v.node] == Origin::root && s_.group[v.node] >= 0) candidates.push_back(s_.group[v.node]);
                if (g_.type(v).size() > 1 || g_.node(n).types[0].size() == 1)  // sharing one scalar is no reason to share a loop
                    if (const auto it = readers.find(key(v)); it != readers.end())
                        candidates.insert(candidates.end(), it->second.begin(), it->second.end());
            }
            std::ranges::sort(candidates, std::greater{});
            candidates.erase(std::ranges::unique(candidates).begin(), candidates.end());
            if (candidates.size() > 8) candidates.resize(8);
            bool joined = false;
            for (int32_t c : candidates)
                if (merge_ && (joined = try_join(n, loads, c))) break;
            if (!joined) {
                s_.group[n] = static_cast<int32_t>(groups_.size());
                groups_.push_back({n});
                group_loads_.push_back(loads);
                group_order_.push_back(order_.add(ordered_units(loads)));
            }
            for (Value v : loads) {
                auto& list = readers[key(v)];
                if (list.empty() || list.back() != s_.group[n]) list.push_back(s_.group[n]);
            }
        }
    }

    // A soft root is stored only when a unit other than its own reads it.
    std::vector<uint8_t> stores_of(const std::vector<uint32_t>& roots, const std::set<uint32_t>& read_outside) const {
        std::vector<uint8_t> store;
        for (uint32_t r : roots) store.push_back(!soft_.contains(r) || read_outside.contains(r));
        return store;
    }

    Graph emit() {
        std::set<uint32_t> read_outside;
        for (uint32_t n = 0; n < g_.size(); ++n)
            if (live_[n] && s_.origin[n] == Origin::external)
                for (Value v : g_.node(n).inputs) read_outside.insert(v.node);
        for (Value v : g_.outputs) read_outside.insert(v.node);
        for (size_t i = 0; i < groups_.size(); ++i)
            for (Value v : group_loads_[i])
                if (s_.group[v.node] != static_cast<int32_t>(i)) read_outside.insert(v.node);

        Graph out;
        for (Value p : g_.parameters()) {
            out.current_label = out.intern_label(g_.label(g_.node(p).label));
            map_[p] = out.add_parameter(g_.type(p), g_.steady(p));
        }
        // Units in dependency order, the earliest recorded first: a depth-first walk would lengthen lifetimes.
        std::set<int64_t> units;
        for (size_t i = 0; i < groups_.size(); ++i) units.insert(static_cast<int64_t>(i));
        for (uint32_t n = 0; n < g_.size(); ++n)
            if (live_[n] && s_.origin[n] == Origin::external && !g_.node(n).is("parameter") && !g_.node(n).is("reshape"))
                units.insert(-static_cast<int64_t>(n) - 1);
        std::unordered_map<int64_t, int> waiting;
        std::unordered_map<int64_t, std::vector<int64_t>> users;
        using Ready = std::pair<uint32_t, int64_t>;
        std::priority_queue<Ready, std::vector<Ready>, std::greater<>> ready;
        for (int64_t u : units) {
            std::set<int64_t> deps;
            for (int64_t d : dependencies(u))
                if (d != u && units.contains(d)) deps.insert(d);
            waiting[u] = static_cast<int>(deps.size());
            for (int64_t d : deps) users[d].push_back(u);
            if (deps.empty()) ready.emplace(last_node(u), u);
        }
        size_t done = 0;
        for (; !ready.empty(); ++done) {
            const int64_t u = ready.top().second;
            ready.pop();
            u >= 0 ? emit_group(out, groups_[static_cast<size_t>(u)], read_outside)
                   : emit_kernel(out, static_cast<uint32_t>(-u - 1));
            for (int64_t user : users[u])
                if (--waiting[user] == 0) ready.emplace(last_node(user), user);
        }
        check_internal(done == units.size(), "fusion made a cycle");
        for (Value v : g_.outputs) out.outputs.push_back(mapped(out, v));
        out.output_aliases = g_.output_aliases;
        return out;
    }

    Value mapped(Graph& out, Value v) {
        if (const auto it = map_.find(v); it != map_.end()) return it->second;
        const Node& n = g_.node(v);
        check_internal(n.is("reshape"), "value of ", n.op->name, " is read before it is computed");
        const Value m{out.add(*n.op, {mapped(out, n.inputs[0])}, n.attrs), 0};
        map_[v] = m;
        return m;
    }

    void emit_group(Graph& out, const std::vector<uint32_t>& roots, const std::set<uint32_t>& read_outside) {
        auto built = build_region(s_, roots, stores_of(roots, read_outside));
        check_internal(built.has_value(), "a region cannot be built");
        Node node;
        node.op = &get_op("fused");
        for (Value v : built->inputs) node.inputs.push_back(mapped(out, v));
        for (uint32_t r : built->stored) node.types.push_back(g_.node(r).types[0]);
        node.label = out.intern_label(label_of(roots));
        node.region = std::make_shared<const Region>(collapse(std::move(built->region)));
        const uint32_t added = out.add_raw(std::move(node));
        for (uint32_t i = 0; i < built->stored.size(); ++i) map_[{built->stored[i], 0}] = {added, i};
    }

    // A loop works for the layers of all its roots.
    std::string label_of(const std::vector<uint32_t>& roots) const {
        std::string all;
        std::set<uint32_t> seen;
        for (uint32_t r : roots)
            if (const uint32_t label = g_.node(r).label; label != 0 && seen.insert(label).second)
                all += (all.empty() ? "" : " + ") + g_.label(label);
        return all;
    }

    void emit_kernel(Graph& out, uint32_t n) {
        Node node = g_.node(n);
        for (Value& v : node.inputs) v = mapped(out, v);
        node.label = out.intern_label(g_.label(node.label));
        const auto count = static_cast<uint32_t>(node.types.size());
        const uint32_t added = out.add_raw(std::move(node));
        for (uint32_t i = 0; i < count; ++i) map_[{n, i}] = {added, i};
    }

    const Graph& g_;
    bool merge_, draws_ = false;  // draws_: there are random numbers
    std::vector<uint8_t> live_;
    FusionState s_;
    std::set<uint32_t> soft_;
    std::vector<std::vector<uint32_t>> groups_;  // roots, ascending
    std::vector<std::set<Value>> group_loads_;
    UnitOrder order_;
    std::vector<int> group_order_, kernel_order_;  // unit in `order_` of a group, of a kernel's node; -1 where there is none
    std::map<Value, Value> map_;
};

}  // namespace

Graph fuse(const Graph& g, std::span<const Impl>) { return Fuser(g, true).run(); }
Graph lower_unfused(const Graph& g, std::span<const Impl>) { return Fuser(g, false).run(); }

}  // namespace fk
