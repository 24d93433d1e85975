// The structural cache. The key spells out the live part of a graph (ops, operands, attributes, parameter types,
// outputs), so equal keys mean equal programs and no collision can return a wrong plan.
//
// Scalar constants are left out of the key: Python numbers come as such, and a loop's learning rate or step number is another
// one each time. Graphs that differ in them only are a family. Its first members get plans of their own, with the constants
// folded; when there are more, one plan takes those that differ as parameters.
#include "runtime/plan_cache.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

#include "core/config.h"
#include "core/errors.h"
#include "ops/op_def.h"
#include "passes/rewrite.h"
#include "runtime/lazy.h"

namespace fk {
namespace {

class KeyWriter {
  public:
    void number(uint64_t v) {
        const size_t at = key.size();
        key.resize(at + sizeof v);  // within what was reserved, mostly: no allocation
        std::memcpy(key.data() + at, &v, sizeof v);
    }
    void half(uint32_t v) {
        const size_t at = key.size();
        key.resize(at + sizeof v);
        std::memcpy(key.data() + at, &v, sizeof v);
    }
    void attr(const Attr& a) {
        number(a.index());
        if (const auto* i = std::get_if<int64_t>(&a)) number(static_cast<uint64_t>(*i));
        if (const auto* d = std::get_if<double>(&a)) number(std::bit_cast<uint64_t>(*d));
        if (const auto* s = std::get_if<std::string>(&a)) number(s->size()), key += *s;
        if (const auto* v = std::get_if<Dims>(&a)) dims(*v);
        if (const auto* v = std::get_if<Bodies>(&a))
            for (const auto& body : *v) graph(*body);
    }
    void graph(const Graph& g, std::vector<uint32_t>* scalars = nullptr);
    void dims(const Dims& d) {
        number(d.size());
        for (int64_t x : d) number(static_cast<uint64_t>(x));
    }
    std::string key;
};

// Which nodes are constants that a plan may take as parameters with the very same results: numbers of a type that memory holds
// exactly as a loop does, which only meet other values in plain arithmetic. A power, say, is simplified by its exponent.
std::vector<uint8_t> liftable(const Graph& g, const std::vector<uint8_t>& live) {
    static const OpDef &full = get_op("full"), &broadcast = get_op("broadcast_to");
    const auto constant = [&](Value v) {
        while (g.node(v).op == &broadcast) v = g.node(v).inputs[0];
        return g.node(v).op == &full ? v.node : UINT32_MAX;
    };
    std::vector<uint8_t> out(g.size(), 0);
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& node = g.node(n);
        if (!live[n]) continue;
        if (node.op == &full) {
            const DType t = node.types[0].dtype;
            out[n] = node.types[0].dims.empty() && t != DType::f16 && t != DType::bf16;
            continue;
        }
        if (node.op == &broadcast) continue;
        const Prim p = node.op->prim;
        const bool plain = p == Prim::add || p == Prim::subtract || p == Prim::multiply || p == Prim::divide;
        const bool alone = std::ranges::any_of(node.inputs, [&](Value v) { return constant(v) == UINT32_MAX; });
        if (plain && alone) continue;
        for (Value v : node.inputs)
            if (const uint32_t c = constant(v); c != UINT32_MAX) out[c] = 0;
    }
    for (Value v : g.outputs)
        if (const uint32_t c = constant(v); c != UINT32_MAX) out[c] = 0;
    return out;
}

// `scalars`: gets the nodes whose value the key leaves out.
void KeyWriter::graph(const Graph& g, std::vector<uint32_t>* scalars) {
    KeyWriter& w = *this;
    const auto live = live_nodes(g);
    const std::vector<uint8_t> lift = scalars != nullptr ? liftable(g, live) : std::vector<uint8_t>();
    std::vector<uint32_t> number(g.size(), 0);
    uint32_t next = 0;
    for (Value p : g.parameters()) {
        number[p.node] = next++;
        w.number(static_cast<uint64_t>(g.type(p).dtype));
        w.dims(g.type(p).dims);
    }
    w.number(UINT64_MAX);
    static const OpDef& parameter = get_op("parameter");
    for (uint32_t n = 0; n < g.size(); ++n) {
        const Node& node = g.node(n);
        if (!live[n] || node.op == &parameter) continue;
        number[n] = next++;
        w.number(std::bit_cast<uintptr_t>(node.op));
        w.half(static_cast<uint32_t>(node.inputs.size()));
        for (Value v : node.inputs) w.half(number[v.node]), v.out != 0 ? w.half(~v.out) : void();
        if (scalars != nullptr && lift[n]) {
            scalars->push_back(n);
            w.number(static_cast<uint64_t>(node.types[0].dtype));
            continue;
        }
        for (const Attr& a : node.attrs) w.attr(a);
    }
    w.number(UINT64_MAX);
    for (Value v : g.outputs) w.half(number[v.node]), w.half(v.out);
    w.number(UINT64_MAX);
}

using PlanPtr = std::shared_ptr<const Plan>;

struct Family {
    static constexpr size_t kMembers = 3;  // with plans of their own
    struct Member {
        std::vector<uint64_t> scalars;  // bits of the constants, in the order of the key
        PlanPtr plan;
    };
    std::vector<Member> members;
    Member general;               // takes the lifted constants as parameters; has its own values for the others
    std::vector<uint8_t> lifted;  // per constant

    [[nodiscard]] const Member* find(const std::vector<uint64_t>& scalars) const {
        for (const Member& m : members)
            if (m.scalars == scalars) return &m;
        if (!general.plan) return nullptr;
        for (size_t i = 0; i < scalars.size(); ++i)
            if (!lifted[i] && general.scalars[i] != scalars[i]) return nullptr;
        return &general;
    }
    // Which constants differ among the members, the general plan's and these.
    [[nodiscard]] std::vector<uint8_t> varying(const std::vector<uint64_t>& scalars) const {
        std::vector<uint8_t> out = lifted.empty() ? std::vector<uint8_t>(scalars.size(), 0) : lifted;
        const auto compare = [&](const std::vector<uint64_t>& other) {
            for (size_t i = 0; i < other.size(); ++i) out[i] |= static_cast<uint8_t>(other[i] != scalars[i]);
        };
        for (const Member& m : members) compare(m.scalars);
        compare(general.scalars);
        return out;
    }
};

struct Cache {
    using Entry = std::pair<std::string, Family>;
    std::mutex mutex;
    std::list<Entry> entries;  // most recent first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key;
    CacheStats stats;
};

Cache& cache() {
    static Cache c;
    return c;
}

// `g` with the chosen constants as further parameters.
Graph lift(const Graph& g, const std::vector<uint32_t>& scalars, const std::vector<uint8_t>& lifted) {
    std::unordered_map<const Node*, Value> parameters;
    for (size_t i = 0; i < scalars.size(); ++i)
        if (lifted[i]) parameters.emplace(&g.node(scalars[i]), Value{});
    return rewrite(g, [&](Graph& out, const Node& n, std::span<const Value>) -> std::optional<std::vector<Value>> {
        if (!parameters.contains(&n)) return std::nullopt;
        return std::vector<Value>{out.add_parameter(n.types[0])};
    });
}

// A constant in the memory of its type.
CachedPlan::Scalar stored(double v, DType t) {
    CachedPlan::Scalar out{};
    const auto put = [&](auto x) { std::memcpy(out.data(), &x, sizeof x); };
    switch (t) {
        case DType::boolean:
            put(static_cast<uint8_t>(v != 0));
            break;
        case DType::i8:
        case DType::i16:
        case DType::i32:
        case DType::i64:
            put(static_cast<int64_t>(v));  // little-endian: the low bytes are the narrower integer
            break;
        case DType::u8:
        case DType::u16:
        case DType::u32:
        case DType::u64:
            put(v < 0 ? static_cast<uint64_t>(static_cast<int64_t>(v)) : static_cast<uint64_t>(v));
            break;
        case DType::f16:
        case DType::bf16:
            fail<InternalError>("a constant of a 16-bit float was lifted");
        case DType::f32:
            put(static_cast<float>(v));
            break;
        case DType::f64:
            put(v);
            break;
    }
    return out;
}

}  // namespace

CachedPlan cached_plan(const Graph& g, const Device& device) {
    KeyWriter w;
    w.key.reserve(g.size() * 48);
    w.number(reinterpret_cast<uintptr_t>(&device));
    std::vector<uint32_t> nodes;
    w.graph(g, &nodes);
    for (int32_t a : g.output_aliases) w.number(static_cast<uint64_t>(a));
    std::vector<uint64_t> scalars;
    for (uint32_t n : nodes) scalars.push_back(std::bit_cast<uint64_t>(std::get<double>(g.node(n).attrs[0])));

    const auto result = [&](const Family::Member& m, const std::vector<uint8_t>& lifted, bool general) {
        CachedPlan out{m.plan, {}};
        if (general)
            for (size_t i = 0; i < nodes.size(); ++i)
                if (lifted[i]) out.scalars.push_back(stored(std::bit_cast<double>(scalars[i]), g.node(nodes[i]).types[0].dtype));
        return out;
    };
    Cache& c = cache();
    const bool log = config::lists(config::Key::log, "cache");
    const int64_t limit = std::max<int64_t>(1, config::integer(config::Key::cache_size));
    std::vector<uint8_t> lifted;
    bool general = false;
    {
        const std::lock_guard lock(c.mutex);
        if (const auto it = c.by_key.find(w.key); it != c.by_key.end()) {
            c.entries.splice(c.entries.begin(), c.entries, it->second);
            const Family& family = it->second->second;
            if (const Family::Member* m = family.find(scalars)) {
                ++c.stats.hits;
                if (log) std::fprintf(stderr, "fastkeras cache hit, %zu steps\n", m->plan->steps.size());
                return result(*m, family.lifted, m == &family.general);
            }
            general = family.members.size() >= Family::kMembers;
            if (general) lifted = family.varying(scalars);
        }
        ++c.stats.misses;
        if (log)
            std::fprintf(stderr, "fastkeras cache miss, %zu of %lld plans kept%s\n", c.entries.size(),
                         static_cast<long long>(limit), general ? "; constants that vary become parameters" : "");
    }
    const Family::Member made{scalars, compile(general ? lift(g, nodes, lifted) : g, "recorded ops", device)};
    const std::lock_guard lock(c.mutex);
    auto it = c.by_key.find(w.key);
    if (it == c.by_key.end()) {
        c.entries.emplace_front(std::move(w.key), Family{});
        it = c.by_key.emplace(c.entries.front().first, c.entries.begin()).first;
        while (c.entries.size() > static_cast<size_t>(limit)) {
            c.by_key.erase(c.entries.back().first);
            c.entries.pop_back();
        }
    }
    Family& family = it->second->second;
    if (general) {
        family.general = made;
        family.lifted = lifted;
    } else if (family.find(scalars) == nullptr) {
        family.members.push_back(made);
    }
    return result(made, lifted, general);
}

CacheStats cache_stats() {
    const std::lock_guard lock(cache().mutex);
    CacheStats s = cache().stats;
    s.size = cache().entries.size();
    return s;
}

}  // namespace fk
