// A softmax cross-entropy is read by its gradient, by an accuracy's argmax, and the gradient by the sum that is the gradient of
// a bias: all of them pass over the same logits. This pass makes one op of them, which visits each row once, where the incoming
// gradient does not depend on the loss (or on whatever else would join): then all can be computed when the loss is.
//
// It runs after cast_mixed, where each of them reads the logits as they are stored.
#include <algorithm>
#include <array>

#include "ops/expr.h"
#include "passes/claims.h"
#include "passes/uses.h"

namespace fk {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

struct Join {
    // By the output of the joined op: gradient, loss, argmax, sum of the gradient.
    std::array<uint32_t, 4> members{kNone, kNone, kNone, kNone};
    Node node;
};

class LossJoiner {
  public:
    LossJoiner(const Graph& g, std::span<const Impl> impls, Refusals* refusals)
        : g_(g), impls_(impls), refusals_(refusals), live_(live_nodes(g)), join_of_(g.size(), kNone), map_(g.size()) {}

    bool find() {
        for (uint32_t n = 0; n < g_.size(); ++n)
            if (live_[n] && step_of(g_.node(n)) != nullptr && join_of_[n] == kNone) try_join(n);
        return !joins_.empty();
    }

    Graph run() {
        for (Value p : g_.parameters()) {
            out_.current_label = out_.intern_label(g_.label(g_.node(p).label));
            map_[p.node] = {out_.add_parameter(g_.type(p), g_.steady(p))};
        }
        for (uint32_t n = 0; n < g_.size(); ++n)
            if (live_[n]) copy(n);
        for (Value v : g_.outputs) out_.outputs.push_back(mapped(v));
        out_.output_aliases = g_.output_aliases;
        return std::move(out_);
    }

  private:
    // The op that computes all, for the gradient of a loss.
    static const OpDef* step_of(const Node& gradient) {
        if (gradient.is("sparse_softmax_cross_entropy_grad")) return &get_op("sparse_softmax_cross_entropy_step");
        if (gradient.is("softmax_cross_entropy_grad")) return &get_op("softmax_cross_entropy_step");
        return nullptr;
    }

    Value root(Value v) const {
        while (g_.node(v).is("reshape")) v = g_.node(v).inputs[0];
        return v;
    }

    void try_join(uint32_t gradient) {
        const Node& grad = g_.node(gradient);
        const Value logits = grad.inputs[0];
        const TensorType& x = g_.type(logits);
        const DType wide = x.dtype == DType::f64 ? DType::f64 : DType::f32;
        const std::string_view loss = grad.op->name.substr(0, grad.op->name.size() - std::string_view("_grad").size());
        Join join;
        join.members[0] = gradient;
        const std::vector<uint8_t> needed = ancestors(grad);
        for (uint32_t n = 0; n < g_.size(); ++n) {
            const Node& node = g_.node(n);
            if (!live_[n] || needed[n] != 0 || join_of_[n] != kNone || node.inputs.empty()) continue;
            if (node.is(loss) && node.inputs[0] == logits && node.inputs[1] == grad.inputs[1])
                take(join.members[1], n);
            else if (node.is("argmax") && node.inputs[0] == logits &&
                     normalize_axis(node.int_attr("axis"), x.rank()) == x.rank() - 1)
                take(join.members[2], n);
            else if (node.is("reduce_sum") && root(node.inputs[0]) == Value{gradient, 0} && node.types[0].dtype == wide &&
                     sums_rows(g_, node, x.dims.back()))
                take(join.members[3], n);
        }
        if (std::ranges::count(join.members, kNone) == 3) return;
        const Dims rows(x.dims.begin(), x.dims.end() - 1);
        const auto type_of = [&](size_t i, TensorType otherwise) {
            return join.members[i] == kNone ? std::move(otherwise) : g_.node(join.members[i]).types[0];
        };
        join.node = {
            .op = step_of(grad),
            .inputs = grad.inputs,
            .attrs = {},
            .types = {grad.types[0], type_of(1, {wide, rows}), TensorType{DType::i32, rows}, TensorType{wide, {x.dims.back()}}},
            .label = grad.label,
            .region = nullptr};
        if (!is_claimed(g_, join.node, impls_, g_.label(grad.label), refusals_)) return;
        for (uint32_t m : join.members)
            if (m != kNone) join_of_[m] = static_cast<uint32_t>(joins_.size());
        joins_.push_back(std::move(join));
    }

    static void take(uint32_t& place, uint32_t n) {
        if (place == kNone) place = n;
    }

    // What must be computed before the gradient can be. What has joined already needs all that any of it needs.
    std::vector<uint8_t> ancestors(const Node& gradient) const {
        std::vector<uint8_t> seen(g_.size(), 0);
        std::vector<uint32_t> open;
        const auto visit = [&](const Values& inputs) {
            for (Value v : inputs)
                if (seen[v.node] == 0) seen[v.node] = 1, open.push_back(v.node);
        };
        visit(gradient.inputs);
        while (!open.empty()) {
            const uint32_t n = open.back();
            open.pop_back();
            visit(g_.node(n).inputs);
            if (join_of_[n] != kNone) visit(joins_[join_of_[n]].node.inputs);
        }
        return seen;
    }

    Value mapped(Value v) const { return map_[v.node][v.out]; }

    Node with_mapped_inputs(const Node& node) {
        for (Value v : node.inputs) copy(v.node);
        Node made = node;
        for (Value& v : made.inputs) v = mapped(v);
        out_.current_label = out_.intern_label(g_.label(node.label));
        made.label = out_.current_label;
        return made;
    }

    // Copies what a node needs before it: a join needs what may come behind its first member.
    void copy(uint32_t n) {
        if (!map_[n].empty()) return;
        if (const uint32_t j = join_of_[n]; j != kNone) return place(joins_[j]);
        const uint32_t added = out_.add_raw(with_mapped_inputs(g_.node(n)));
        for (uint32_t i = 0; i < g_.node(n).types.size(); ++i) map_[n].push_back({added, i});
    }

    void place(const Join& join) {
        const uint32_t added = out_.add_raw(with_mapped_inputs(join.node));
        for (uint32_t i = 0; i < join.members.size(); ++i) {
            if (join.members[i] == kNone) continue;
            const Value v{added, i};
            const TensorType& wanted = g_.node(join.members[i]).types[0];
            map_[join.members[i]] = {out_.type(v) == wanted ? v : reshape(Expr{&out_, v}, wanted.dims).v};
        }
    }

    const Graph& g_;
    std::span<const Impl> impls_;
    Refusals* refusals_;
    std::vector<uint8_t> live_;
    std::vector<Join> joins_;
    std::vector<uint32_t> join_of_;
    std::vector<std::vector<Value>> map_;
    Graph out_;
};

}  // namespace

Graph join_losses(const Graph& g, std::span<const Impl> impls, Refusals* refusals) {
    LossJoiner joiner(g, impls, refusals);
    return joiner.find() ? joiner.run() : g;
}

}  // namespace fk
