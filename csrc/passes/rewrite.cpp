// The shared node-copying loop of all passes.
#include "passes/rewrite.h"

#include "ops/expr.h"

namespace fk {

Graph rewrite(const Graph& in, const Rule& rule) {
    std::vector<Value> inputs;
    return rewrite_places(in, [&](Graph& out, uint32_t n, ValueMap& map) {
        const Node& node = in.node(n);
        inputs.clear();
        for (Value v : node.inputs) inputs.push_back(map[v.node][v.out]);
        auto replaced = rule(out, node, inputs);
        if (!replaced) return false;
        map[n] = std::move(*replaced);
        check_internal(map[n].size() == node.types.size(), "a rule replaced ", node.op->name, " by ", map[n].size(), " values");
        for (size_t i = 0; i < node.types.size(); ++i)
            if (map[n][i].valid() && out.type(map[n][i]) != node.types[i])  // invalid: an output that nobody reads
                check_internal(false, "a rule replaced ", node.op->name, " of type ", to_string(node.types[i]), " by ",
                               to_string(out.type(map[n][i])));
        return true;
    });
}

Graph rewrite_places(const Graph& in, const PlaceRule& rule) {
    static const OpDef& parameter = get_op("parameter");
    Graph out;
    const std::vector<uint8_t> live = live_nodes(in);
    ValueMap map(in.size());
    for (Value p : in.parameters()) {
        out.current_label = out.intern_label(in.label(in.node(p).label));
        map[p.node] = {out.add_parameter(in.type(p), in.steady(p))};
    }
    std::vector<Value> inputs;
    uint32_t last_label = UINT32_MAX;
    for (uint32_t n = 0; n < in.size(); ++n) {
        const Node& node = in.node(n);
        if (!live[n] || node.op == &parameter) continue;
        if (node.label != last_label) {
            out.current_label = out.intern_label(in.label(node.label));
            last_label = node.label;
        }
        if (rule(out, n, map)) continue;
        inputs.clear();
        for (Value v : node.inputs) inputs.push_back(map[v.node][v.out]);
        uint32_t copy;
        if (node.region) {
            Node raw = node;
            raw.inputs = inputs;
            raw.label = out.current_label;
            copy = out.add_raw(std::move(raw));
        } else {
            copy = out.add(*node.op, inputs, node.attrs);
        }
        for (uint32_t i = 0; i < node.types.size(); ++i) map[n].push_back({copy, i});
    }
    for (Value v : in.outputs) out.outputs.push_back(map[v.node][v.out]);
    out.output_aliases = in.output_aliases;
    return out;
}

}  // namespace fk
