// Activations whose gradient needs what they were computed from, behind a matrix product: the product leaves the activation and
// its slope, one after the other while a tile is in the cache, and nobody needs what was in between. On the way back, the product
// whose result is multiplied by that slope multiplies it itself, and sums up the rows: the gradient of a bias. Without a
// gradient, such an activation is part of the product like others (see absorb_epilogues.cpp).
#include <unordered_map>
#include <unordered_set>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

bool exact(const Node& n) { return n.op->attr_index("approximate") < 0 || !n.bool_attr("approximate"); }

// A sum of product and bias, and who reads it.
struct Pair {
    uint32_t product = kNone, act = kNone, slope = kNone;
    Value bias;
};

class Pairs {
  public:
    Pairs(const Graph& g, std::span<const Impl> impls, Refusals* refusals)
        : g_(g), impls_(impls), refusals_(refusals), live_(live_nodes(g)), uses_(g) {
        std::unordered_map<uint32_t, std::vector<uint32_t>> readers;
        for (uint32_t n = 0; n < g.size(); ++n)
            if (live_[n])
                for (Value v : g.node(n).inputs) readers[v.node].push_back(n);
        for (uint32_t n = 0; n < g.size(); ++n)
            if (live_[n] && g.node(n).op->prim == Prim::add && readers[n].size() == uses_.count[n]) find(n, readers[n]);
        for (uint32_t n = 0; n < g.size(); ++n)
            if (live_[n] && g.node(n).op->prim == Prim::multiply) find_times(n);
    }

    [[nodiscard]] bool empty() const { return pairs_.empty(); }

    Graph run() {
        return rewrite_places(g_, [&](Graph& out, uint32_t n, ValueMap& map) {
            if (absorbed_.contains(n)) return true;
            const auto mapped = [&](Value v) { return map[v.node][v.out]; };
            if (const auto it = pairs_.find(n); it != pairs_.end()) {
                const Pair& p = it->second;
                const Node& product = g_.node(p.product);
                Attrs attrs = product.attrs;
                attrs.emplace_back(std::string(g_.node(p.act).op->name));
                const uint32_t made =
                    out.add(op_of(p), {mapped(product.inputs[0]), mapped(product.inputs[1]), mapped(p.bias)}, attrs);
                map[p.act] = {{made, 0}};
                if (p.slope != kNone) map[p.slope] = {{made, 1}};
                return true;
            }
            if (const auto it = times_.find(n); it != times_.end()) {
                const Node &node = g_.node(n), &product = g_.node(node.inputs[0]);
                const uint32_t made =
                    out.add(get_op("matmul_times"),
                            {mapped(product.inputs[0]), mapped(product.inputs[1]), mapped(node.inputs[1])}, product.attrs);
                map[n] = {{made, 0}};
                for (uint32_t sum : it->second) {
                    const Dims& dims = g_.node(sum).types[0].dims;
                    map[sum] = {out.type({made, 1}).dims == dims ? Value{made, 1} : reshape(Expr{&out, {made, 1}}, dims).v};
                }
                return true;
            }
            return false;
        });
    }

  private:
    // Whether the device takes `op` of these operands.
    [[nodiscard]] bool claims(const OpDef& op, const Node& product, Value third, const Attr* last, size_t outputs) {
        Node probe{.op = &op,
                   .inputs = {product.inputs[0], product.inputs[1], third},
                   .attrs = product.attrs,
                   .types = {},
                   .label = product.label,
                   .region = nullptr};
        if (last != nullptr) probe.attrs.push_back(*last);
        probe.types.assign(outputs, product.types[0]);
        return is_claimed(g_, probe, impls_, g_.label(product.label), refusals_);
    }

    void find(uint32_t sum, const std::vector<uint32_t>& readers) {
        const Node& add = g_.node(sum);
        Pair p;
        for (uint32_t r : readers) {
            const Node& n = g_.node(r);
            if (!exact(n)) return;
            if ((n.is("gelu") || n.is("silu")) && p.act == kNone)
                p.act = r;
            else if ((n.is("gelu_slope") || n.is("silu_slope")) && p.slope == kNone)
                p.slope = r;
            else
                return;
        }
        if (p.act == kNone) return;
        const std::string act(g_.node(p.act).op->name);
        if (p.slope != kNone && !g_.node(p.slope).is(act + "_slope")) return;
        for (size_t i = 0; i < 2 && p.product == kNone; ++i) {
            const Value v = add.inputs[i];
            if (!g_.node(v).is("matmul") || uses_.only(v.node) != sum) continue;
            p.bias = broadcast_vector(g_, add.inputs[1 - i]);
            if (p.bias.valid() && g_.type(v) == add.types[0]) p.product = v.node;
        }
        if (p.product == kNone) return;
        const Node& product = g_.node(p.product);
        const DType t = product.types[0].dtype;
        if (t != DType::f32 && t != DType::f64) return;  // 16-bit products have no such end
        const Attr name{act};
        if (!claims(op_of(p), product, p.bias, &name, p.slope == kNone ? 1 : 2)) return;
        pairs_[sum] = p;
        absorbed_.insert({p.product, p.act});
        if (p.slope != kNone) absorbed_.insert(p.slope), slopes_.insert(p.slope);
    }

    static const OpDef& op_of(const Pair& p) { return get_op(p.slope == kNone ? "matmul_bias_act" : "matmul_bias_act_slope"); }

    // A product multiplied by a slope that another product leaves.
    void find_times(uint32_t n) {
        const Node& node = g_.node(n);
        const uint32_t base = node.inputs[0].node;
        const Node& product = g_.node(base);
        if (!product.is("matmul") || uses_.only(base) != n || !slopes_.contains(node.inputs[1].node)) return;
        if (product.types[0] != node.types[0] || !claims(get_op("matmul_times"), product, node.inputs[1], nullptr, 2)) return;
        absorbed_.insert(base);
        std::vector<uint32_t>& sums = times_[n];
        for (uint32_t m = n + 1; m < g_.size(); ++m) {
            const Node& sum = g_.node(m);
            if (!live_[m] || !sum.is("reduce_sum") || sum.types[0].dtype != node.types[0].dtype) continue;
            Value v = sum.inputs[0];
            while (g_.node(v).is("reshape")) v = g_.node(v).inputs[0];
            if (v != Value{n, 0} || !sums_rows(g_, sum, node.types[0].dims.back())) continue;
            sums.push_back(m);
            absorbed_.insert(m);
        }
    }

    const Graph& g_;
    std::span<const Impl> impls_;
    Refusals* refusals_;
    std::vector<uint8_t> live_;
    Uses uses_;
    std::unordered_map<uint32_t, Pair> pairs_;                   // by the sum of product and bias
    std::unordered_map<uint32_t, std::vector<uint32_t>> times_;  // by the multiplication; its sums over rows
    std::unordered_set<uint32_t> slopes_;                        // that products leave
    std::unordered_set<uint32_t> absorbed_;                      // what is no node of its own any more
};

}  // namespace

Graph pair_slopes(const Graph& g, std::span<const Impl> impls, Refusals* refusals) {
    Pairs pairs(g, impls, refusals);
    return pairs.empty() ? g : pairs.run();
}

}  // namespace fk
