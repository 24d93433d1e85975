// The node table and its hash-consing builder.
#include "ir/graph.h"

#include <algorithm>
#include <bit>

#include "core/errors.h"
#include "ops/op_def.h"

namespace fk {
namespace {

constexpr uint64_t mix(uint64_t h, uint64_t v) {
    h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
    return h * 0xff51afd7ed558ccdull;
}

uint64_t hash_attr(const Attr& attr) {
    struct Visitor {
        uint64_t operator()(int64_t v) const { return mix(1, static_cast<uint64_t>(v)); }
        uint64_t operator()(double v) const { return mix(2, std::bit_cast<uint64_t>(v)); }
        uint64_t operator()(const std::string& v) const { return mix(3, std::hash<std::string>{}(v)); }
        uint64_t operator()(const Dims& v) const {
            uint64_t h = 4;
            for (int64_t d : v) h = mix(h, static_cast<uint64_t>(d));
            return h;
        }
        uint64_t operator()(const Bodies& v) const {
            uint64_t h = 5;
            for (const auto& body : v) h = mix(h, std::bit_cast<uintptr_t>(body.get()));
            return h;
        }
    };
    return std::visit(Visitor{}, attr);
}

// Bitwise comparison of doubles: -0.0 and 0.0 are different constants, a NaN equals itself.
bool same_attr(const Attr& a, const Attr& b) {
    if (a.index() != b.index()) return false;
    if (const double* x = std::get_if<double>(&a))
        return std::bit_cast<uint64_t>(*x) == std::bit_cast<uint64_t>(std::get<double>(b));
    return a == b;
}

bool same_attrs(const Attrs& a, const Attrs& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
        if (!same_attr(a[i], b[i])) return false;
    return true;
}

template <class T>
const T& attr_as(const Node& node, std::string_view name) {
    const int i = node.op->attr_index(name);
    check_internal(i >= 0 && static_cast<size_t>(i) < node.attrs.size(), "op ", node.op->name, " has no attribute ", name);
    const T* v = std::get_if<T>(&node.attrs[static_cast<size_t>(i)]);
    check_internal(v != nullptr, "attribute ", name, " of ", node.op->name, " is of another type");
    return *v;
}

}  // namespace

int64_t Node::int_attr(std::string_view name) const { return attr_as<int64_t>(*this, name); }
double Node::float_attr(std::string_view name) const { return attr_as<double>(*this, name); }
const Dims& Node::dims_attr(std::string_view name) const { return attr_as<Dims>(*this, name); }
const Bodies& Node::bodies() const {
    static const Bodies none;
    for (const Attr& a : attrs)
        if (const auto* b = std::get_if<Bodies>(&a)) return *b;
    return none;
}
bool Node::is(std::string_view op_name) const { return op->name == op_name; }

uint64_t hash_node(const OpDef* op, std::span<const Value> inputs, const Attrs& attrs) {
    uint64_t h = std::bit_cast<uintptr_t>(op);
    for (Value v : inputs) h = mix(h, (uint64_t{v.node} << 8) | v.out);
    for (const Attr& a : attrs) h = mix(h, hash_attr(a));
    return h;
}

Graph::Graph() { labels_.emplace_back(); }

uint32_t Graph::add(const OpDef& op, Values inputs, Attrs attrs) {
    for (size_t i = attrs.size(); i < op.attrs.size(); ++i) {
        check_internal(op.attrs[i].fallback.has_value(), "op ", op.name, " needs attribute ", op.attrs[i].name);
        attrs.push_back(*op.attrs[i].fallback);
    }
    const uint64_t hash = hash_node(&op, inputs, attrs);
    if (const uint32_t equal = find_equal(hash, op, inputs, attrs); equal != UINT32_MAX) return equal;
    std::vector<TensorType> types;
    types.reserve(inputs.size());
    for (Value v : inputs) {
        check_internal(v.node < nodes_.size() && v.out < nodes_[v.node].types.size(), "input of ", op.name,
                       " is not in the graph");
        types.push_back(type(v));
    }
    Node node{.op = &op,
              .inputs = std::move(inputs),
              .attrs = std::move(attrs),
              .types = {},
              .label = current_label,
              .region = nullptr};
    node.types = op.infer(InferCall{op, types, node.attrs});
    remember(hash, append(std::move(node)));
    return size() - 1;
}

uint32_t Graph::add_known(const OpDef& op, Values inputs, const Attrs& attrs, const Types& types) {
    const uint64_t hash = hash_node(&op, inputs, attrs);
    if (const uint32_t equal = find_equal(hash, op, inputs, attrs); equal != UINT32_MAX) return equal;
    remember(
        hash,
        append(
            {.op = &op, .inputs = std::move(inputs), .attrs = attrs, .types = types, .label = current_label, .region = nullptr}));
    return size() - 1;
}

uint32_t Graph::find_equal(uint64_t hash, const OpDef& op, const Values& inputs, const Attrs& attrs) const {
    if (table_.empty()) return UINT32_MAX;
    for (size_t i = hash & (table_.size() - 1); table_[i].node != UINT32_MAX; i = (i + 1) & (table_.size() - 1)) {
        if (table_[i].hash != hash) continue;
        const Node& n = nodes_[table_[i].node];
        if (n.op == &op && n.inputs == inputs && same_attrs(n.attrs, attrs)) return table_[i].node;
    }
    return UINT32_MAX;
}

void Graph::remember(uint64_t hash, uint32_t node) {
    const auto place = [this](uint64_t h, uint32_t n) {
        size_t i = h & (table_.size() - 1);
        while (table_[i].node != UINT32_MAX) i = (i + 1) & (table_.size() - 1);
        table_[i] = {h, n};
    };
    if (2 * (in_table_ + 1) > table_.size()) {
        const std::vector<Place> old = std::exchange(table_, std::vector<Place>(std::max<size_t>(64, 2 * table_.size())));
        for (const Place& p : old)
            if (p.node != UINT32_MAX) place(p.hash, p.node);
    }
    place(hash, node);
    ++in_table_;
}

Value Graph::add_parameter(TensorType type, bool steady) {
    static const OpDef& op = get_op("parameter");
    Node node{.op = &op,
              .inputs = {},
              .attrs = {static_cast<int64_t>(parameters_.size())},
              .types = {std::move(type)},
              .label = current_label,
              .region = nullptr,
              .steady = steady};
    has_steady_ = has_steady_ || steady;
    nodes_.push_back(std::move(node));
    parameters_.push_back({size() - 1, 0});
    return parameters_.back();
}

uint32_t Graph::add_raw(Node node) { return append(std::move(node)); }

uint32_t Graph::append(Node node) {
    node.steady = computes_steady(node);
    nodes_.push_back(std::move(node));
    return size() - 1;
}

bool Graph::computes_steady(const Node& node) const {
    return has_steady_ && std::ranges::all_of(node.inputs, [this](Value v) { return nodes_[v.node].steady; });
}

void Graph::mark_steady(std::span<const uint8_t> parameters) {
    check_internal(parameters.size() == parameters_.size(), "a graph of ", parameters_.size(), " parameters got ",
                   parameters.size(), " flags");
    has_steady_ = std::ranges::count(parameters, 0) != std::ssize(parameters);
    for (size_t i = 0; i < parameters.size(); ++i) nodes_[parameters_[i].node].steady = parameters[i] != 0;
    static const OpDef& parameter = get_op("parameter");
    for (uint32_t n = 0; n < size(); ++n)
        if (nodes_[n].op != &parameter) nodes_[n].steady = computes_steady(nodes_[n]);
}

uint32_t Graph::intern_label(const std::string& text) {
    for (uint32_t i = 0; i < labels_.size(); ++i)
        if (labels_[i] == text) return i;
    labels_.push_back(text);
    return static_cast<uint32_t>(labels_.size() - 1);
}

std::vector<uint8_t> live_nodes(const Graph& g) { return live_nodes(g, g.outputs); }

std::vector<uint8_t> live_nodes(const Graph& g, std::span<const Value> outputs) {
    std::vector<uint8_t> live(g.size(), 0);
    for (Value v : outputs) live[v.node] = 1;
    for (uint32_t n = g.size(); n-- > 0;)
        if (live[n])
            for (Value v : g.node(n).inputs) live[v.node] = 1;
    return live;
}

std::vector<Value> inline_graph(Graph& g, const Graph& body, std::span<const Value> arguments) {
    return inline_graph(g, body, arguments, body.outputs);
}

std::vector<Value> inline_graph(Graph& g, const Graph& body, std::span<const Value> arguments, std::span<const Value> values) {
    static const OpDef& parameter = get_op("parameter");
    check_internal(arguments.size() == body.parameters().size(), "a graph of ", body.parameters().size(),
                   " parameters is inlined with ", arguments.size(), " arguments");
    for (size_t i = 0; i < arguments.size(); ++i) {
        if (!arguments[i].valid()) continue;  // for a parameter that nothing of this reads
        const TensorType &given = g.type(arguments[i]), &expected = body.type(body.parameters()[i]);
        if (given != expected)
            fail<InternalError>("parameter ", i, " of an inlined graph is ", to_string(expected), ", its argument ",
                                to_string(given));
    }
    const std::vector<uint8_t> live = live_nodes(body, values);
    std::vector<uint32_t> copy(body.size(), UINT32_MAX);  // the copy of a node that is no parameter
    const auto mapped = [&](Value v) {
        const Node& n = body.node(v);
        return n.op == &parameter ? arguments[static_cast<size_t>(std::get<int64_t>(n.attrs[0]))] : Value{copy[v.node], v.out};
    };
    const uint32_t outer = g.current_label;
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < body.size(); ++i) {
        const Node& n = body.node(i);
        if (!live[i] || n.op == &parameter) continue;
        if (n.label != last) {
            last = n.label;
            g.current_label = n.label == 0 ? outer : g.intern_label(body.label(n.label));
        }
        Values inputs;
        for (Value v : n.inputs) inputs.push_back(mapped(v));
        copy[i] = g.add_known(*n.op, std::move(inputs), n.attrs, n.types);
    }
    g.current_label = outer;
    std::vector<Value> out;
    out.reserve(values.size());
    for (Value v : values) out.push_back(mapped(v));
    return out;
}

}  // namespace fk
