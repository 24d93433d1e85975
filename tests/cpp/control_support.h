// Building control flow: bodies as functions of expressions, random bodies, and the loops they stand for written out.
#pragma once

#include "gradient_support.h"

namespace fk::test {

using BodyPtr = std::shared_ptr<const Graph>;
using Exprs = std::vector<Expr>;

// A body whose parameters get these types.
inline BodyPtr body(const std::vector<TensorType>& types, const std::function<Exprs(const Exprs&)>& build) {
    Graph g;
    Exprs in;
    for (const TensorType& t : types) in.push_back(param(g, t.dtype, t.dims));
    for (const Expr& e : build(in)) g.outputs.push_back(e.v);
    return std::make_shared<const Graph>(std::move(g));
}

inline Exprs control(std::string_view op, const Exprs& in, Attrs attrs) {
    Graph& g = *in.at(0).g;
    std::vector<Value> values;
    for (const Expr& e : in) values.push_back(e.v);
    const uint32_t n = g.add(get_op(op), values, std::move(attrs));
    Exprs out;
    for (uint32_t i = 0; i < g.node(n).types.size(); ++i) out.push_back({&g, {n, i}});
    return out;
}

struct Scan {
    int64_t carries, xs, length;
    bool reverse = false;
    bool history = true;  // the body's last outputs are its carries
    int64_t cells = 0;    // the last carries are variables
};
inline Exprs scan(const BodyPtr& b, const Exprs& in, Scan s) {
    return control(
        "scan", in,
        {Bodies{b}, s.carries, s.xs, s.length, static_cast<int64_t>(s.reverse), static_cast<int64_t>(s.history), s.cells});
}
// With a limit the node has a history.
inline Exprs while_loop(const BodyPtr& condition, const BodyPtr& b, const Exprs& in, int64_t carries, int64_t limit = -1,
                        int64_t cells = 0) {
    return control("while", in, {Bodies{condition, b}, carries, limit, static_cast<int64_t>(limit >= 0), cells});
}
inline Exprs switch_of(const Bodies& branches, const Exprs& index_and_operands) {
    return control("switch", index_and_operands, {branches});
}

inline Exprs inlined(const BodyPtr& b, const Exprs& arguments) {
    Graph& g = *arguments.at(0).g;
    std::vector<Value> values;
    for (const Expr& e : arguments) values.push_back(e.v);
    Exprs out;
    for (Value v : inline_graph(g, *b, values)) out.push_back({&g, v});
    return out;
}

inline Expr row_of(Expr x, int64_t i) {
    Dims start(static_cast<size_t>(x.rank())), stop = x.dims(), step(start.size(), 1), dims = x.dims();
    start[0] = i, stop[0] = i + 1;
    dims.erase(dims.begin());
    return reshape(emit("slice", {x}, {start, stop, step}), dims);
}
inline Expr stack(const Exprs& rows) {
    std::vector<Value> values;
    for (const Expr& e : rows) {
        Dims dims = e.dims();
        dims.insert(dims.begin(), 1);
        values.push_back(reshape(e, dims).v);
    }
    Graph& g = *rows.at(0).g;
    return {&g, {g.add(get_op("concatenate"), values, {int64_t{0}}), 0}};
}

// A random body of a carried value, a slice and a value that is the same in each iteration. Returns the next carry, something
// to stack, and the carry again as its history.
inline BodyPtr random_body(uint32_t seed, int ops) {
    RandomGraph r(seed, ops);
    Graph& g = r.g;
    const Expr carry{&g, g.parameters()[0]};
    Expr next = carry * 0.5;
    for (Value v : g.outputs) {
        const Expr y{&g, v};
        next = next + sin(reduce_sum(reshape(y, {y.type().size()}), {0}));
    }
    g.outputs = {tanh(next).v, g.outputs[1], carry.v};
    return std::make_shared<const Graph>(std::move(g));
}

// What `scan` does with such a body, written out.
inline Exprs unrolled(const BodyPtr& b, Expr carry, Expr xs, Expr same, int64_t length, bool reverse) {
    Exprs stacked(static_cast<size_t>(length)), history = stacked;
    for (int64_t t = 0; t < length; ++t) {
        const int64_t i = reverse ? length - 1 - t : t;
        const Exprs out = inlined(b, {carry, row_of(xs, i), same});
        stacked[static_cast<size_t>(i)] = out[1], history[static_cast<size_t>(i)] = out[2];
        carry = out[0];
    }
    return {carry, stack(stacked), stack(history)};
}

}  // namespace fk::test
