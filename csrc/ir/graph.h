// The IR: a flat table of nodes, hash-consed as it is built, so that equal pure nodes are one node.
//
// Start reading at `Graph::add`. A node is an op (ops/op_def.h), its inputs, its attributes in the op's order and the
// types of its outputs; a `Value` names one output of one node. Nodes only refer to earlier ones, so index order is a
// topological order. Passes never edit a graph: they build a new one (see passes/rewrite.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/shape.h"
#include "core/stable_vector.h"

namespace fk {

struct OpDef;
class Graph;
struct Region;  // codegen/region.h: the body of a `fused` node

struct Value {
    uint32_t node = UINT32_MAX;
    uint32_t out = 0;
    [[nodiscard]] bool valid() const { return node != UINT32_MAX; }
    bool operator==(const Value&) const = default;
    auto operator<=>(const Value&) const = default;
};

// The graphs that a control-flow node runs (ops/control.cpp): branches, the body of a loop.
using Bodies = std::vector<std::shared_ptr<const Graph>>;
using Attr = std::variant<int64_t, double, std::string, Dims, Bodies>;  // booleans and dtypes are int64_t
using Attrs = InlineVector<Attr, 2>;
using Values = InlineVector<Value, 4>;
using Types = InlineVector<TensorType, 1>;

struct Node {
    const OpDef* op = nullptr;
    Values inputs;
    Attrs attrs;
    Types types;                           // one per output
    uint32_t label = 0;                    // index into Graph::labels: the layer that recorded it
    std::shared_ptr<const Region> region;  // `fused` nodes only
    bool steady = false;                   // the same at every run while no variable is assigned; kept by the graph

    [[nodiscard]] int64_t int_attr(std::string_view name) const;
    [[nodiscard]] double float_attr(std::string_view name) const;
    [[nodiscard]] bool bool_attr(std::string_view name) const { return int_attr(name) != 0; }
    [[nodiscard]] const Dims& dims_attr(std::string_view name) const;
    [[nodiscard]] const Bodies& bodies() const;  // empty unless this is control flow
    [[nodiscard]] DType dtype_attr(std::string_view name) const { return static_cast<DType>(int_attr(name)); }
    [[nodiscard]] bool is(std::string_view op_name) const;
};

class Graph {
  public:
    Graph();

    // Adds a node after inferring (and so checking) its types; returns an equal existing node when there is one.
    // Attributes left out at the end take the op's defaults.
    uint32_t add(const OpDef& op, Values inputs, Attrs attrs = {});
    // The same for a node taken from another graph, whose attributes are complete and whose types are known.
    uint32_t add_known(const OpDef& op, Values inputs, const Attrs& attrs, const Types& types);
    // A graph input. Parameters are never merged. A steady one is the same tensor at every run, as a rule: a variable that the
    // graph reads and does not assign. Where there is one, what depends on such parameters only, or on none, is steady, too.
    Value add_parameter(TensorType type, bool steady = false);
    // Marks parameters of a graph that is complete; one flag for each.
    void mark_steady(std::span<const uint8_t> parameters);
    // Nodes added from here on are never merged with those before.
    void stop_merging() { table_.clear(), in_table_ = 0; }
    // A node whose types are given (a `fused` region, an impl-specific op): no inference, no merging.
    uint32_t add_raw(Node node);

    [[nodiscard]] const Node& node(uint32_t i) const { return nodes_[i]; }
    [[nodiscard]] const Node& node(Value v) const { return nodes_[v.node]; }
    [[nodiscard]] const TensorType& type(Value v) const { return nodes_[v.node].types[v.out]; }
    [[nodiscard]] bool steady(Value v) const { return nodes_[v.node].steady; }
    [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }
    [[nodiscard]] const std::vector<Value>& parameters() const { return parameters_; }

    std::vector<Value> outputs;
    // aliases[i] >= 0: output i may overwrite the buffer of parameter aliases[i] (a variable's new value).
    std::vector<int32_t> output_aliases;
    // A body of control flow: the values that a variable, which is parameter `first`, took inside. Gradients with respect to the
    // variable count what was computed from them, too. Passes do not keep this: gradients are taken before them.
    std::vector<std::pair<uint32_t, Value>> versions;

    uint32_t intern_label(const std::string& text);
    [[nodiscard]] const std::string& label(uint32_t i) const { return labels_[i]; }
    uint32_t current_label = 0;

  private:
    [[nodiscard]] uint32_t find_equal(uint64_t hash, const OpDef& op, const Values& inputs,
                                      const Attrs& attrs) const;  // UINT32_MAX when there is none

    uint32_t append(Node node);
    [[nodiscard]] bool computes_steady(const Node& node) const;

    StableVector<Node> nodes_;  // references to nodes stay valid while bodies and gradients add more
    std::vector<Value> parameters_;
    bool has_steady_ = false;  // parameters
    std::vector<std::string> labels_;
    void remember(uint64_t hash, uint32_t node);
    // Open addressing: the hash and number of each node that may be found again; UINT32_MAX marks an empty place.
    struct Place {
        uint64_t hash = 0;
        uint32_t node = UINT32_MAX;
    };
    std::vector<Place> table_;
    size_t in_table_ = 0;
};

[[nodiscard]] uint64_t hash_node(const OpDef* op, std::span<const Value> inputs, const Attrs& attrs);

// Copies what `body`'s outputs need into `g`, its parameters replaced by `arguments`; returns the outputs' copies.
std::vector<Value> inline_graph(Graph& g, const Graph& body, std::span<const Value> arguments);
// The same for chosen values of the body.
std::vector<Value> inline_graph(Graph& g, const Graph& body, std::span<const Value> arguments, std::span<const Value> values);

// Which nodes the outputs depend on.
[[nodiscard]] std::vector<uint8_t> live_nodes(const Graph& g);
[[nodiscard]] std::vector<uint8_t> live_nodes(const Graph& g, std::span<const Value> outputs);

}  // namespace fk
