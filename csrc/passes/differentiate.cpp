// Walks the nodes between sources and targets in reverse order, asking each op's declaration for its gradient; an op
// without a `vjp` is differentiated through its body.
#include "passes/differentiate.h"

#include <algorithm>
#include <map>

#include "ops/expr.h"

namespace fk {
namespace {

class Differentiator {
  public:
    Differentiator(Graph& g, const std::vector<Value>& targets, const std::vector<Value>& sources, bool stop_at_sources,
                   const Recorded* recorded = nullptr)
        : g_(g), sources_(sources), stop_at_sources_(stop_at_sources), relevant_(g.size(), 0) {
        mark(targets, recorded);
    }

    std::vector<Value> run(const std::vector<Value>& targets, const std::vector<Expr>& seeds) {
        uint32_t last = 0;
        for (size_t i = 0; i < targets.size(); ++i) {
            if (!is_float(g_.type(targets[i]).dtype)) continue;
            accumulate(targets[i], seeds[i]);
            last = std::max(last, targets[i].node);
        }
        for (uint32_t n = last + 1; n-- > 0;)
            if (relevant_[n] && passable(n) && !(stop_at_sources_ && is_source_node(n))) step(n);
        std::vector<Value> out;
        for (Value s : sources_) {
            const auto it = grads_.find(s);
            out.push_back(it == grads_.end() ? Value{} : it->second.v);
        }
        return out;
    }

  private:
    [[nodiscard]] bool is_source_node(uint32_t n) const {
        return std::ranges::any_of(sources_, [n](Value s) { return s.node == n; });
    }

    [[nodiscard]] bool passable(uint32_t n) const { return passable_.empty() || passable_[n] != 0; }
    static bool in_span(const Recorded& recorded, uint32_t n) {
        return std::ranges::any_of(recorded.spans, [n](const NodeSpan& s) { return s.begin <= n && n < s.end; });
    }

    // relevant = a target depends on it and it depends on a source through differentiable ops.
    void mark(const std::vector<Value>& targets, const Recorded* recorded) {
        std::vector<uint8_t> needed(g_.size(), 0);
        uint32_t last = 0;
        for (Value t : targets) needed[t.node] = 1, last = std::max(last, t.node);
        for (uint32_t n = last + 1; n-- > 0;)
            if (needed[n])
                for (Value v : g_.node(n).inputs) needed[v.node] = 1;
        for (Value s : sources_) relevant_[s.node] = needed[s.node];
        std::vector<uint8_t> active;  // watched, or computed from what is watched by nodes in the spans
        if (recorded != nullptr) {
            active.assign(g_.size(), 0);
            passable_.assign(g_.size(), 0);
            for (Value v : recorded->watched) active[v.node] = 1;
        }
        for (uint32_t n = 0; n <= last; ++n) {
            if (!needed[n]) continue;
            const Node& node = g_.node(n);
            if (recorded != nullptr) {
                passable_[n] =
                    in_span(*recorded, n) && std::ranges::any_of(node.inputs, [&](Value v) { return active[v.node] != 0; });
                if (passable_[n]) active[n] = 1;
            }
            if (relevant_[n] || !passable(n)) continue;
            relevant_[n] =
                node.op->differentiable && std::ranges::any_of(node.inputs, [&](Value v) { return relevant_[v.node] != 0; });
        }
    }

    void accumulate(Value v, Expr grad) {
        if (!grad.valid() || !is_float(g_.type(v).dtype)) return;
        if (grad.type() != g_.type(v))
            check_internal(false, "gradient of ", g_.node(v).op->name, " has type ", to_string(grad.type()), ", the value ",
                           to_string(g_.type(v)));
        const auto [it, fresh] = grads_.try_emplace(v, grad);
        if (!fresh) it->second = it->second + grad;
    }

    void step(uint32_t n) {
        std::vector<Expr> dys;
        bool any = false;
        for (uint32_t i = 0; i < g_.node(n).types.size(); ++i) {
            const auto it = grads_.find({n, i});
            dys.push_back(it == grads_.end() ? Expr{} : it->second);
            any = any || dys.back().valid();
        }
        const Node& node = g_.node(n);
        if (!any || node.inputs.empty() || !node.op->differentiable) return;
        g_.current_label = node.label;
        std::vector<Expr> dxs;
        if (node.op->vjp != nullptr)
            dxs = node.op->vjp(VjpCall{&g_, n, dys});
        else if (node.op->body != nullptr)
            dxs = differentiate_body(g_, n, dys);
        else
            fail<UnsupportedError>("the gradient of ", node.op->name, " is not available");
        for (size_t i = 0; i < dxs.size(); ++i)
            if (dxs[i].valid() && i < node.inputs.size() && relevant_[node.inputs[i].node]) accumulate(node.inputs[i], dxs[i]);
    }

    Graph& g_;
    std::vector<Value> sources_;
    bool stop_at_sources_;
    std::vector<uint8_t> relevant_;
    std::vector<uint8_t> passable_;  // whether the tape recorded the node; empty: no tape
    std::map<Value, Expr> grads_;
};

}  // namespace

std::vector<Expr> differentiate_body(Graph& g, uint32_t index, const std::vector<Expr>& dys) {
    const Node node = g.node(index);
    const std::vector<Expr> outs = node.op->body(OpCall{&g, node.inputs, &node});
    std::vector<Value> targets;
    std::vector<Expr> seeds;
    for (size_t i = 0; i < outs.size(); ++i)
        if (dys[i].valid()) targets.push_back(outs[i].v), seeds.push_back(dys[i]);
    std::vector<Value> unique;  // an input used twice is one source
    for (Value v : node.inputs)
        if (std::ranges::find(unique, v) == unique.end()) unique.push_back(v);
    const std::vector<Value> grads = Differentiator(g, targets, unique, true).run(targets, seeds);
    std::vector<Expr> dxs(node.inputs.size());
    for (size_t i = 0; i < unique.size(); ++i)
        dxs[static_cast<size_t>(std::ranges::find(node.inputs, unique[i]) - node.inputs.begin())] = {&g, grads[i]};
    return dxs;
}

std::vector<Value> differentiate(Graph& g, const std::vector<Value>& targets, const std::vector<Value>& seeds,
                                 const std::vector<Value>& sources, const Recorded* recorded) {
    const uint32_t label = g.current_label;
    std::vector<Expr> expanded;
    for (size_t i = 0; i < targets.size(); ++i) {
        const TensorType t = g.type(targets[i]);
        if (i < seeds.size() && seeds[i].valid())
            expanded.push_back(broadcast_to(cast(Expr{&g, seeds[i]}, t.dtype), t.dims));
        else
            expanded.push_back(full(g, 1.0, t.dtype, t.dims));
    }
    std::vector<Value> out = Differentiator(g, targets, sources, false, recorded).run(targets, expanded);
    g.current_label = label;
    return out;
}

}  // namespace fk
