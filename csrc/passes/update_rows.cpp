// The gradient of a table of embeddings is zero but for the rows that a batch looks up. An update that leaves a row alone where
// its gradient is zero (gradient descent, Adagrad) then need not visit the others: this pass computes it for the rows of the
// batch and writes those into the variable. An update that moves every row (momentum, Adam) stays as it was recorded.
//
// What each value derived from the gradient is in rows of zero gradient is followed through the arithmetic: zero, or what a
// variable was. (A factor that is not finite would make NaNs of the rows that are left alone here.) Rows that a batch looks up
// several times have their gradients summed first, in the order of the lookups, as in the whole gradient.
#include <algorithm>

#include "ops/expr.h"
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/uses.h"

namespace fk {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr int64_t kLeastElements = 1 << 16;  // of a table: below, the steps added cost more than the rows left out
constexpr int64_t kLeastRatio = 8;           // rows of the table for each row of the batch

// The sum of updates to rows of zeros, few of many.
bool is_sparse(const Graph& g, const Node& n) {
    if (!n.is("scatter_add") || !is_constant(g, n.inputs[0], 0.0)) return false;
    const TensorType &table = n.types[0], &indices = g.type(n.inputs[1]);
    return is_float(table.dtype) && normalize_axis(n.int_attr("axis"), table.rank()) == 0 && table.size() >= kLeastElements &&
           indices.size() > 0 && table.dims[0] >= kLeastRatio * indices.size();
}

// What a value is in rows of zero gradient.
struct Outside {
    uint32_t gradient = kNone;  // the scatter it derives from; none: it derives from no or several gradients
    bool zero = false;
    Value same{};  // or this value; or, if that is invalid, something else
};

class RowUpdates {
  public:
    explicit RowUpdates(const Graph& g)
        : g_(g), live_(live_nodes(g)), outside_(g.size()), updates_(g.size(), 0), by_rows_(g.size(), 0) {}

    bool find() {
        for (uint32_t n = 0; n < g_.size(); ++n)
            if (live_[n]) outside_[n] = derive(n);
        for (Value v : g_.outputs)
            if (is_update(v)) updates_[v.node] = 1;
        // A gradient that something else needs, too, is there anyway; what it is there for may need others.
        while (std::ranges::count(updates_, 1) > 0) {
            const std::vector<uint8_t> needed = needed_whole();
            bool all = true;
            for (uint32_t n = 0; n < g_.size(); ++n)
                if (updates_[n] != 0 && needed[outside_[n].gradient] != 0) updates_[n] = 0, all = false;
            if (all) break;
        }
        for (uint32_t n = 0; n < g_.size(); ++n)
            if (updates_[n] != 0) by_rows_[outside_[n].gradient] = 1;
        return std::ranges::count(by_rows_, 1) > 0;
    }

    Graph run() {
        rows_.resize(g_.size());
        return rewrite_places(g_, [&](Graph& out, uint32_t n, ValueMap& map) {
            const uint32_t gradient = outside_[n].gradient;
            if (gradient == kNone || by_rows_[gradient] == 0) return false;
            const auto mapped = [&](Value v) { return map[v.node][v.out]; };
            const Node& node = g_.node(n);
            std::vector<Value> inputs;
            for (Value v : node.inputs) inputs.push_back(mapped(v));
            rows_[n] = n == gradient ? summed_rows(out, node, inputs) : on_rows(out, node, inputs, rows_[gradient]);
            if (updates_[n] == 0) return false;
            const Expr variable{&out, mapped(outside_[n].same)};
            map[n] = {emit("scatter_set", {variable, rows_[gradient].indices, rows_[n].values}).v};
            return true;
        });
    }

  private:
    struct Rows {
        Expr indices{}, values{};
    };

    Outside derive(uint32_t n) const {
        const Node& node = g_.node(n);
        if (is_sparse(g_, node)) return {n, true, {}};
        if (node.op->kind != OpKind::prim || node.types.size() != 1) return {};
        Outside out;
        for (Value v : node.inputs) {
            const uint32_t from = outside_[v.node].gradient;
            if (from == kNone) continue;
            if (out.gradient != kNone && out.gradient != from) return {};
            out.gradient = from;
        }
        if (out.gradient == kNone || node.types[0].dims != g_.node(out.gradient).types[0].dims) return {};
        const auto zero = [&](size_t i) { return outside_[node.inputs[i].node].zero; };
        const auto same = [&](size_t i) {
            const Outside& o = outside_[node.inputs[i].node];
            return o.gradient == kNone ? node.inputs[i] : o.same;
        };
        switch (node.op->prim) {
            case Prim::neg:
            case Prim::abs:
            case Prim::sqrt:
            case Prim::cast:
            case Prim::divide:
                out.zero = zero(0);
                break;
            case Prim::multiply:
                out.zero = zero(0) || zero(1);
                break;
            case Prim::add:
            case Prim::subtract:
                out.zero = zero(0) && zero(1);
                if (out.zero) break;
                if (zero(1)) out.same = same(0);
                if (zero(0) && node.op->prim == Prim::add) out.same = same(1);
                break;
            default:
                break;
        }
        return out;
    }

    // A variable's new value that keeps the old one where the gradient is zero.
    bool is_update(Value v) const {
        const Outside& o = outside_[v.node];
        return o.gradient != kNone && o.gradient != v.node && o.same.valid() && g_.node(o.same).is("parameter") &&
               g_.type(o.same) == g_.type(v);
    }

    // Which values the outputs need in all rows.
    std::vector<uint8_t> needed_whole() const {
        std::vector<uint8_t> whole(g_.size(), 0), rows(g_.size(), 0);
        for (Value v : g_.outputs) whole[v.node] = 1;
        for (uint32_t n = g_.size(); n-- > 0;) {
            if (whole[n] != 0 && updates_[n] != 0) rows[n] = 1, whole[n] = 0;
            const bool sums = outside_[n].gradient == n;
            for (Value v : g_.node(n).inputs) {
                const bool derived = outside_[v.node].gradient != kNone;
                if (whole[n] != 0 || (rows[n] != 0 && (sums || !derived))) whole[v.node] = 1;
                if (rows[n] != 0 && !sums && derived) rows[v.node] = 1;
            }
        }
        return whole;
    }

    // The gradient of each row looked up: all of it, wherever a row is looked up again.
    static Rows summed_rows(Graph& out, const Node& node, std::span<const Value> in) {
        const TensorType& table = node.types[0];
        const int64_t count = out.type(in[1]).size();
        Dims dims = table.dims;
        dims[0] = count;
        const Expr indices = reshape({&out, in[1]}, {count});
        const Expr updates = reshape({&out, in[2]}, dims);
        const Expr first = emit("first_of_equal", {indices}, {table.dims[0]});
        const Expr zeros = broadcast_to(full(out, 0.0, table.dtype), dims);
        const Expr sums = emit("scatter_add", {zeros, first, updates}, {int64_t{0}});
        return {indices, emit("gather", {sums, first}, {int64_t{0}})};
    }

    // The node, for the rows looked up.
    Rows on_rows(Graph& out, const Node& node, std::span<const Value> in, const Rows& gradient) const {
        std::vector<Value> inputs;
        for (size_t i = 0; i < in.size(); ++i) {
            const Rows& derived = rows_[node.inputs[i].node];
            inputs.push_back(derived.values.valid() ? derived.values.v : taken_rows(out, in[i], gradient));
        }
        return {gradient.indices, Expr{&out, {out.add(*node.op, inputs, node.attrs), 0}}};
    }

    // Rows of a value that does not derive from the gradient. What is the same in all rows is not read again.
    static Value taken_rows(Graph& out, Value v, const Rows& gradient) {
        const Node& node = out.node(v);
        const Dims& dims = gradient.values.dims();
        if (node.is("full")) return full(out, node.float_attr("value"), node.types[0].dtype, dims).v;
        if (node.is("broadcast_to")) {
            const Expr source{&out, node.inputs[0]};
            if (source.rank() < static_cast<int>(dims.size()) || source.dims()[0] == 1) return broadcast_to(source, dims).v;
        }
        return emit("gather", {Expr{&out, v}, gradient.indices}, {int64_t{0}}).v;
    }

    const Graph& g_;
    std::vector<uint8_t> live_;
    std::vector<Outside> outside_;
    std::vector<uint8_t> updates_, by_rows_;  // variables' new values, and the gradients that only these need
    std::vector<Rows> rows_;
};

}  // namespace

Graph update_rows(const Graph& g) {
    RowUpdates updates(g);
    return updates.find() ? updates.run() : g;
}

}  // namespace fk
