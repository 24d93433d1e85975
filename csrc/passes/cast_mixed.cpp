// What is stored in 16 bits and what in float32, in a graph that names 16-bit floats. Kernels compute in float32 whatever
// their operands are stored in, so a cast beside one only costs memory: it becomes part of the kernel, which then reads the
// 16-bit value or writes it. Sums and the gradients of weights, in turn, leave in the float32 they are computed in when all
// that reads them would widen them again; and what rounds a variable for a product that widens it again is left out.
//
// A node that this pass retypes has types of its own choice, not those its op infers: what comes after it keeps to these.
#include <algorithm>
#include <array>

#include "core/errors.h"
#include "ops/op_def.h"
#include "passes/passes.h"
#include "passes/uses.h"

namespace fk {
namespace {

bool is_16bit(DType t) { return t == DType::f16 || t == DType::bf16; }

// Ops whose kernels take each operand in its own precision; `results` of them may be narrower than computed, the first ones.
struct Mixing {
    std::string_view op;
    size_t results;
};
constexpr std::array kMixing = {
    Mixing{"softmax", 1},
    Mixing{"log_softmax", 1},
    Mixing{"layer_norm", 1},
    Mixing{"layer_norm_grad", 1},
    Mixing{"batch_norm_train", 1},
    Mixing{"batch_norm_train_grad", 1},
    Mixing{"batch_norm_join_grad", 2},
    Mixing{"batch_norm_moments", 0},
    Mixing{"batch_norm_act", 1},
    Mixing{"batch_norm_act_grad", 1},
    Mixing{"batch_norm_apply", 1},
    Mixing{"batch_norm_add", 1},
    Mixing{"pointwise_moments", 1},
    Mixing{"norm_pointwise", 1},
    Mixing{"norm_pointwise_moments", 1},
    Mixing{"norm_pointwise_grad", 0},
    Mixing{"pointwise_norm_grad", 1},
    Mixing{"pointwise_norm_grad_join", 1},
    Mixing{"norm_pointwise_norm_grad", 1},
    Mixing{"sparse_softmax_cross_entropy", 0},
    Mixing{"sparse_softmax_cross_entropy_grad", 1},
    Mixing{"softmax_cross_entropy", 0},
    Mixing{"softmax_cross_entropy_grad", 1},
    Mixing{"sparse_softmax_cross_entropy_step", 1},
    Mixing{"softmax_cross_entropy_step", 1},
    Mixing{"argmax", 0},
    Mixing{"argmin", 0},
};

const Mixing* mixing(const Node& n) {
    const auto* const it = std::ranges::find(kMixing, n.op->name, &Mixing::op);
    return it == kMixing.end() ? nullptr : it;
}

bool is_reduction(const Node& n) { return n.op->name.starts_with("reduce_"); }

// Products whose second operand may be a weight.
bool has_weight(const Node& n) {
    return n.is("conv") || n.is("conv_bias_act") || n.is("conv_input_grad") || n.is("matmul") || n.is("matmul_bias_act");
}

// Products that sum over rows of activations give gradients of weights, which are small beside what they are computed from.
bool is_weight_gradient(const Node& n) {
    return n.is("conv_filter_grad") || (n.is("matmul") && n.bool_attr("transpose_a") && n.types[0].rank() == 2);
}

class CastMixed {
  public:
    CastMixed(const Graph& g, std::span<const Impl> impls)
        : g_(g), impls_(impls), live_(live_nodes(g)), all_cast_to_(g.size()), map_(g.size()) {}

    Graph run() {
        find_readers();
        for (Value p : g_.parameters()) {
            out_.current_label = out_.intern_label(g_.label(g_.node(p).label));
            map_[p.node] = {out_.add_parameter(g_.type(p), g_.steady(p))};
        }
        for (uint32_t n = 0; n < g_.size(); ++n)
            if (live_[n] && !g_.node(n).is("parameter")) copy(n);
        for (Value v : g_.outputs) out_.outputs.push_back(mapped(v));
        out_.output_aliases = g_.output_aliases;
        return std::move(out_);
    }

  private:
    Value mapped(Value v) const { return map_[v.node][v.out]; }

    // For each result, the type that everything reading it casts it to; none: something reads it as it is.
    void find_readers() {
        constexpr int kUnread = -1, kAsItIs = -2;
        for (uint32_t n = 0; n < g_.size(); ++n) all_cast_to_[n].assign(g_.node(n).types.size(), kUnread);
        const auto read = [&](Value v, int as) {
            int& known = all_cast_to_[v.node][v.out];
            known = known == kUnread || known == as ? as : kAsItIs;
        };
        for (uint32_t n = 0; n < g_.size(); ++n) {
            if (!live_[n]) continue;
            const Node& node = g_.node(n);
            for (Value v : node.inputs) read(v, is_cast(node) ? static_cast<int>(node.types[0].dtype) : kAsItIs);
        }
        for (Value v : g_.outputs) read(v, kAsItIs);
    }

    // The type that result `i` of `n` should be stored in.
    DType stored(uint32_t n, size_t i) const {
        const Node& node = g_.node(n);
        const DType own = node.types[i].dtype;
        if (all_cast_to_[n][i] < 0) return own;
        const auto wanted = static_cast<DType>(all_cast_to_[n][i]);
        const Mixing* m = mixing(node);
        if (own == DType::f32 && is_16bit(wanted) && m != nullptr && i < m->results) return wanted;
        if (is_16bit(own) && wanted == DType::f32 && (is_reduction(node) || is_weight_gradient(node))) return wanted;
        return own;
    }

    bool accepted(const Node& n) const {
        return is_reduction(n) || std::ranges::any_of(impls_, [&](const Impl& impl) {
                   return impl.op == n.op->name && impl.match(out_, n).empty();
               });
    }

    std::string_view first_to_accept(const Node& n) const {
        const auto it =
            std::ranges::find_if(impls_, [&](const Impl& impl) { return impl.op == n.op->name && impl.match(out_, n).empty(); });
        return it == impls_.end() ? "" : it->name;
    }

    // A variable that is rounded to 16 bits for a product which computes in float32 all the same: it reads the variable, and no
    // copy is written first. What no run changes is rounded once, ahead of the runs, and then takes less reading.
    bool reads_weight(Node& node) const {
        if (!has_weight(node)) return false;
        const Node& rounded = out_.node(node.inputs[1]);
        if (!is_cast(rounded) || !is_16bit(rounded.types[0].dtype)) return false;
        const Value variable = rounded.inputs[0];
        if (!out_.node(variable).is("parameter") || out_.type(variable).dtype != DType::f32 || out_.steady(variable))
            return false;
        Node wide = node;
        wide.inputs[1] = variable;
        const std::string_view impl = first_to_accept(wide);
        if (impl.empty() || impl != first_to_accept(node)) return false;
        node = std::move(wide);
        return true;
    }

    void copy(uint32_t n) {
        const Node& old = g_.node(n);
        out_.current_label = out_.intern_label(g_.label(old.label));
        if (is_cast(old) && out_.type(mapped(old.inputs[0])).dtype == old.types[0].dtype &&
            g_.type(old.inputs[0]).dtype != old.types[0].dtype) {  // its operand is stored in that type already
            map_[n] = {mapped(old.inputs[0])};
            return;
        }
        Node node = old;
        node.label = out_.current_label;
        for (Value& v : node.inputs) v = mapped(v);
        Node retyped = node;
        bool changed = reads_weight(retyped);
        if (mixing(old) != nullptr)
            for (Value& v : retyped.inputs) {
                const Node& producer = out_.node(v);
                if (!is_cast(producer) || producer.types[0].dtype != DType::f32) continue;
                if (!is_16bit(out_.type(producer.inputs[0]).dtype)) continue;
                v = producer.inputs[0];
                changed = true;
            }
        for (size_t i = 0; i < old.types.size(); ++i) {
            const DType t = stored(n, i);
            changed = changed || t != retyped.types[i].dtype;
            retyped.types[i].dtype = t;
        }
        uint32_t added;
        if (changed && accepted(retyped))
            added = out_.add_raw(std::move(retyped));
        else if (node.region)
            added = out_.add_raw(std::move(node));
        else
            added = out_.add_known(*node.op, node.inputs, node.attrs, node.types);
        for (uint32_t i = 0; i < old.types.size(); ++i) map_[n].push_back({added, i});
    }

    const Graph& g_;
    std::span<const Impl> impls_;
    std::vector<uint8_t> live_;
    std::vector<std::vector<int>> all_cast_to_;
    std::vector<std::vector<Value>> map_;
    Graph out_;
};

}  // namespace

bool takes_mixed_precision(const Node& n) {
    return mixing(n) != nullptr || is_reduction(n) || is_weight_gradient(n) || has_weight(n);
}

Graph cast_mixed(const Graph& g, std::span<const Impl> impls) {
    const auto& nodes = g;
    bool any = false;
    for (uint32_t n = 0; n < nodes.size() && !any; ++n)
        any = std::ranges::any_of(nodes.node(n).types, [](const TensorType& t) { return is_16bit(t.dtype); });
    return any ? CastMixed(g, impls).run() : g;
}

}  // namespace fk
