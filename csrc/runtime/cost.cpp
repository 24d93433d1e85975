// Counting operations and bytes of nodes.
#include "runtime/cost.h"

#include <algorithm>

#include "codegen/region.h"
#include "cpu/conv_shape.h"
#include "cpu/matmul_shape.h"
#include "ops/expr.h"

namespace fk {
namespace {

struct Work {
    double operations = 0, products = 0;
};
Work work_of(const Graph& graph, const Node& node);

Work product_of(double operations) { return {operations, operations}; }

// The dimensions along which something changes, as bits.
using Varying = uint64_t;

Varying varying(const Dims& strides) {
    Varying out = 0;
    for (size_t d = 0; d < strides.size(); ++d)
        if (strides[d] != 0) out |= Varying{1} << d;
    return out;
}

double points(const Region& region, Varying along) {
    double n = 1;
    for (size_t d = 0; d < region.space.size(); ++d)
        if (along >> d & 1) n *= static_cast<double>(region.space[d]);
    return n;
}

double operations_of_region(const Region& region) {
    std::vector<Varying> along;
    double count = 0;
    for (const RegionInstr& instr : region.code) {
        Varying v = 0;
        if (instr.op == RegionOp::load)
            v = varying(region.inputs[static_cast<size_t>(instr.index)].strides);
        else if (instr.op == RegionOp::index)
            v = varying(region.indices[static_cast<size_t>(instr.index)].strides);
        for (int32_t s : instr.src)
            if (s >= 0) v |= along[static_cast<size_t>(s)];
        along.push_back(v);
        if (instr.op == RegionOp::prim && instr.prim != Prim::cast) count += points(region, v);
    }
    const double all = static_cast<double>(product(region.space));
    for (const RegionOutput& o : region.outputs)
        if (o.reduced) count += all;
    return count;
}

Work work_of_graph(const Graph& g) {
    const std::vector<uint8_t> live = live_nodes(g);
    Work sum;
    for (uint32_t n = 0; n < g.size(); ++n)
        if (live[n]) {
            const Work w = work_of(g, g.node(n));
            sum.operations += w.operations;
            sum.products += w.products;
        }
    return sum;
}

Work work_of_control(const Node& node) {
    Work each, most;
    for (const auto& body : node.bodies()) {
        const Work w = work_of_graph(*body);
        each.operations += w.operations;
        each.products += w.products;
        if (w.operations > most.operations) most = w;
    }
    if (node.is("switch")) return most;
    const double times = node.is("scan") ? static_cast<double>(node.int_attr("length")) : 1;
    return {each.operations * times, each.products * times};
}

// The node alone in a graph, written in other ops.
Work work_of_body(const Graph& graph, const Node& node) {
    Graph g;
    std::vector<Value> inputs;
    for (Value v : node.inputs) inputs.push_back(g.add_parameter(graph.type(v)));
    for (const Expr& e : node.op->body(OpCall{&g, inputs, &node}))
        if (e.valid()) g.outputs.push_back(e.v);
    return work_of_graph(g);
}

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, name) != names.end();
}

bool contains(std::string_view name, std::string_view part) { return name.find(part) != std::string_view::npos; }

Work work_of(const Graph& graph, const Node& node) {
    const std::string_view op = node.op->name;
    if (node.region) return {operations_of_region(*node.region)};
    if (node.op->prim != Prim::none) return {node.op->prim == Prim::cast ? 0 : static_cast<double>(node.types[0].size())};
    if (op.starts_with("matmul")) {
        const cpu::MatmulShape s = cpu::matmul_shape(graph, node);
        return product_of(2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k) *
                          static_cast<double>(product(s.batch)));
    }
    if (op.starts_with("conv")) return product_of(2.0 * static_cast<double>(cpu::conv_shape(graph, node).multiply_adds()));
    if (contains(op, "pointwise_norm_grad"))
        return product_of(4.0 * static_cast<double>(graph.type(node.inputs[0]).dims.back()) *
                          static_cast<double>(graph.type(node.inputs[6]).size()));
    if (op.starts_with("norm_pointwise") || op == "pointwise_moments") {  // x and what else is multiplied come first and last
        const double n =
            static_cast<double>((contains(op, "_grad") ? graph.type(node.inputs.back()) : node.types[0]).dims.back());
        return product_of(2.0 * n * static_cast<double>(graph.type(node.inputs[0]).size()));
    }
    if (contains(op, "_pool")) {
        const cpu::ConvShape s = cpu::pool_shape(graph, node);
        return {static_cast<double>(s.batch * s.out_points() * s.taps() * s.out_channels)};
    }
    if (op.starts_with("reduce_") || op.starts_with("cum") || op.starts_with("arg"))
        return {static_cast<double>(graph.type(node.inputs[0]).size())};
    if (node.op->is_control()) return work_of_control(node);
    return node.op->body != nullptr ? work_of_body(graph, node) : Work{};
}

}  // namespace

StepCost cost_of(const Graph& graph, const Node& node) {
    StepCost cost;
    const Work work = work_of(graph, node);
    cost.operations = work.operations;
    cost.products = work.products;
    for (const TensorType& t : node.types) cost.written += static_cast<double>(t.bytes());
    const bool picks = one_of(node.op->name, {"gather", "take_along_axis", "slice", "class_probability"});
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (std::find(node.inputs.begin(), node.inputs.begin() + static_cast<std::ptrdiff_t>(i), node.inputs[i]) !=
            node.inputs.begin() + static_cast<std::ptrdiff_t>(i))
            continue;
        const TensorType& t = graph.type(node.inputs[i]);
        auto bytes = static_cast<double>(t.bytes());
        if (node.region && !node.region->inputs[i].strides.empty())  // a slice is less than its operand
            bytes = std::min(
                bytes, points(*node.region, varying(node.region->inputs[i].strides)) * static_cast<double>(size_of(t.dtype)));
        if (picks && i == 0) bytes = std::min(bytes, cost.written);
        cost.read += bytes;
    }
    return cost;
}

std::string_view kind_of(const Node& node) {
    const std::string_view op = node.op->name;
    if (node.region) {
        const auto& code = node.region->code;
        if (std::ranges::any_of(node.region->outputs, &RegionOutput::reduced)) return "reduction";
        if (std::ranges::any_of(code, [](const RegionInstr& i) { return i.op == RegionOp::philox; })) return "random";
        const bool computes = std::ranges::any_of(code, [](const RegionInstr& i) { return i.op == RegionOp::prim; });
        return computes ? "elementwise" : "movement";
    }
    if (node.op->is_control()) return "control flow";
    if (op.starts_with("matmul")) return "matmul";
    if (op.starts_with("conv") || contains(op, "pointwise")) return "convolution";
    if (contains(op, "_pool")) return "pooling";
    if (contains(op, "_norm")) return "normalization";
    if (contains(op, "softmax")) return "softmax";
    if (one_of(op, {"gather", "scatter_add", "scatter_set", "take_along_axis", "scatter_add_along_axis", "class_probability",
                    "first_of_equal"}))
        return "indexing";
    if (one_of(op, {"concatenate", "pad", "reverse", "slice", "transpose"})) return "movement";
    if (one_of(op, {"sort", "argsort", "top_k", "argmax", "argmin", "cumsum", "cumprod"})) return "sorting";
    return op;
}

}  // namespace fk
