// Comparing gradients with central differences.
#pragma once

#include "graph_support.h"

namespace fk::test {

// A scalar that depends on every element of every output with a weight of its own.
inline Expr weighted_loss(Graph& g, uint32_t seed) {
    Expr loss = full(g, 0.0, DType::f64);
    for (Value v : std::vector<Value>(g.outputs)) {
        const Expr y{&g, v};
        if (!is_float(y.dtype())) continue;
        const Expr i{&g,
                     {g.add(get_op("iota"), {},
                            {Dims{std::max<int64_t>(y.type().size(), 1)}, int64_t{0}, static_cast<int64_t>(DType::f64)}),
                      0}};
        const Expr weight = sin(i * 1.7 + static_cast<double>(seed++));
        loss = loss + reduce_sum(reshape(y, {y.type().size()}) * weight, {0});
    }
    return loss;
}

// Largest error of <gradient, direction> against the central difference of the loss along it, relative to their size.
inline double gradient_error(Graph g, const std::vector<Array>& at, uint32_t seed) {
    const Expr loss = weighted_loss(g, seed);
    Graph forward = g;
    forward.outputs = {loss.v};
    const auto plan = compile(forward);
    const std::vector<Value> params = g.parameters();
    const std::vector<Value> grads = differentiate(g, {loss.v}, {}, params);
    g.outputs.clear();
    std::vector<size_t> sources;
    for (size_t i = 0; i < params.size(); ++i)
        if (grads[i].valid()) g.outputs.push_back(grads[i]), sources.push_back(i);
    const std::vector<Array> analytic = run_graph(g, at);
    double w = 0;
    for (size_t k = 0; k < sources.size(); ++k) {
        const size_t p = sources[k];
        const Array direction = continuous_array(at[p].type, 77 + seed);
        const std::vector<double> x = at[p].values(), d = direction.values(), dx = analytic[k].values();
        double expected[2], product = 0, scale = 0;
        const double h = 1e-6;
        for (int side = 0; side < 2; ++side) {
            std::vector<double> moved = x;
            for (size_t i = 0; i < moved.size(); ++i) moved[i] += (side ? h : -h) * d[i];
            std::vector<Array> in = at;
            in[p] = Array(DType::f64, at[p].type.dims, moved);
            expected[side] = run_plan(*plan, in)[0].values()[0];
        }
        for (size_t i = 0; i < d.size(); ++i) product += dx[i] * d[i], scale += std::fabs(dx[i] * d[i]);
        w = std::max(w, std::fabs(product - (expected[1] - expected[0]) / (2 * h)) / (1 + scale));
    }
    return w;
}

}  // namespace fk::test
