// The structural cache. The key spells out the live part of a graph (ops, operands, attributes, parameter types,
// outputs), so equal keys mean equal programs and no collision can return a wrong plan.
#include "runtime/plan_cache.h"

#include <bit>
#include <cstdio>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

#include "core/config.h"
#include "ops/op_def.h"
#include "passes/rewrite.h"
#include "runtime/lazy.h"

namespace fk {
namespace {

class KeyWriter {
  public:
    void number(uint64_t v) { key.append(reinterpret_cast<const char*>(&v), sizeof v); }
    void attr(const Attr& a) {
        number(a.index());
        if (const auto* i = std::get_if<int64_t>(&a)) number(static_cast<uint64_t>(*i));
        if (const auto* d = std::get_if<double>(&a)) number(std::bit_cast<uint64_t>(*d));
        if (const auto* s = std::get_if<std::string>(&a)) number(s->size()), key += *s;
        if (const auto* v = std::get_if<Dims>(&a)) dims(*v);
        if (const auto* v = std::get_if<Bodies>(&a))
            for (const auto& body : *v) graph(*body);
    }
    void graph(const Graph& g);
    void dims(const Dims& d) {
        number(d.size());
        for (int64_t x : d) number(static_cast<uint64_t>(x));
    }
    std::string key;
};

void KeyWriter::graph(const Graph& g) {
    KeyWriter& w = *this;
    const auto live = live_nodes(g);
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
        w.number(node.inputs.size());
        for (Value v : node.inputs) w.number((uint64_t{number[v.node]} << 8) | v.out);
        for (const Attr& a : node.attrs) w.attr(a);
    }
    w.number(UINT64_MAX);
    for (Value v : g.outputs) w.number((uint64_t{number[v.node]} << 8) | v.out);
    w.number(UINT64_MAX);
}

std::string structural_key(const Graph& g) {
    KeyWriter w;
    w.key.reserve(g.size() * 48);
    w.graph(g);
    for (int32_t a : g.output_aliases) w.number(static_cast<uint64_t>(a));
    return std::move(w.key);
}

struct Cache {
    using Entry = std::pair<std::string, std::shared_ptr<const Plan>>;
    std::mutex mutex;
    std::list<Entry> entries;  // most recent first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key;
    CacheStats stats;
};

Cache& cache() {
    static Cache c;
    return c;
}

}  // namespace

std::shared_ptr<const Plan> cached_plan(const Graph& g) {
    std::string key = structural_key(g);
    Cache& c = cache();
    const bool log = config::lists(config::Key::log, "cache");
    const int64_t limit = std::max<int64_t>(1, config::integer(config::Key::cache_size));
    {
        const std::lock_guard lock(c.mutex);
        if (const auto it = c.by_key.find(key); it != c.by_key.end()) {
            c.entries.splice(c.entries.begin(), c.entries, it->second);
            ++c.stats.hits;
            if (log) std::fprintf(stderr, "fastkeras cache hit, %zu steps\n", it->second->second->steps.size());
            return it->second->second;
        }
        ++c.stats.misses;
        if (log)
            std::fprintf(stderr, "fastkeras cache miss, %zu of %lld plans kept\n", c.entries.size(),
                         static_cast<long long>(limit));
    }
    std::shared_ptr<const Plan> plan = compile(g);
    const std::lock_guard lock(c.mutex);
    if (!c.by_key.contains(key)) {
        c.entries.emplace_front(std::move(key), plan);
        c.by_key.emplace(c.entries.front().first, c.entries.begin());
        while (c.entries.size() > static_cast<size_t>(limit)) {
            c.by_key.erase(c.entries.back().first);
            c.entries.pop_back();
        }
    }
    return plan;
}

CacheStats cache_stats() {
    const std::lock_guard lock(cache().mutex);
    CacheStats s = cache().stats;
    s.size = cache().entries.size();
    return s;
}

}  // namespace fk
