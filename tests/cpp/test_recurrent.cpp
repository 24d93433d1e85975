// Recurrent sequences: the kernels of every instruction set against the bodies, values and gradients; what `prune` and
// `simplify` do for them.
#include "cpu/isa.h"
#include "graph_support.h"
#include "ops/recurrent.h"

namespace fk::test {

namespace {

struct Sizes {
    int64_t batch, time, units;
};

struct Kind {
    std::string_view op;
    int64_t gates;
    std::optional<Attr> last;  // its last attribute
};
const Kind kKinds[] = {{"lstm_sequence", 4, std::nullopt},
                       {"gru_sequence", 3, Attr{int64_t{1}}},
                       {"gru_sequence", 3, Attr{int64_t{0}}},
                       {"simple_rnn_sequence", 1, Attr{std::string("tanh")}},
                       {"simple_rnn_sequence", 1, Attr{std::string("relu")}}};

// The node's states; its parameters come first in the graph.
std::vector<Expr> sequence(Graph& g, const Kind& kind, const Sizes& s, DType t, int options) {
    const bool reverse = options & 1, mask = options & 2, dropout = options & 4;
    const int64_t wide = kind.gates * s.units;
    std::vector<Expr> in{param(g, t, {s.batch, s.time, wide}), param(g, t, {s.units, wide}), param(g, t, {wide}),
                         param(g, t, {s.batch, s.units})};
    if (kind.gates == 4) in.push_back(param(g, t, {s.batch, s.units}));
    if (mask) in.push_back(param(g, DType::boolean, {s.batch, s.time}));
    if (dropout) in.push_back(param(g, t, {kind.gates, s.batch, s.units}));
    std::vector<Value> operands;
    for (const Expr& e : in) operands.push_back(e.v);
    Attrs attrs{static_cast<int64_t>(reverse), static_cast<int64_t>(mask), static_cast<int64_t>(dropout), int64_t{1}};
    if (kind.last) attrs.push_back(*kind.last);
    const uint32_t n = emit_node(g, get_op(kind.op), operands, attrs);
    std::vector<Expr> out;
    for (uint32_t i = 0; i < recurrent_states(g.node(n)); ++i) out.push_back({&g, {n, i}});
    return out;
}

// The states, and the gradients of a function of all of them.
Graph with_gradients(const Kind& kind, const Sizes& s, DType t, int options) {
    Graph g;
    Expr loss = full(g, 0.0, t);
    const auto states = sequence(g, kind, s, t, options);
    for (const Expr& y : states) {
        Dims axes;
        for (int i = 0; i < y.rank(); ++i) axes.push_back(i);
        loss = loss + reduce_sum(y * y, axes);
        g.outputs.push_back(y.v);
    }
    std::vector<Value> sources;
    for (Value p : g.parameters())
        if (is_float(g.type(p).dtype)) sources.push_back(p);
    for (Value v : differentiate(g, {loss.v}, {}, sources)) g.outputs.push_back(v);
    return g;
}

}  // namespace

TEST_CASE("recurrent: the kernels compute what the bodies say, with every instruction set") {
    const Sizes sizes[] = {{1, 1, 1}, {5, 4, 16}, {3, 6, 21}, {27, 3, 37}};
    for (const Kind& kind : kKinds)
        for (int options = 0; options < 8; ++options) {
            const Sizes& s = sizes[static_cast<size_t>(options) % 4];
            const Graph exact = with_gradients(kind, s, DType::f64, options);
            const auto expected = run_graph(exact, inputs_for(exact, 3));
            const Graph g = with_gradients(kind, s, DType::f32, options);
            const auto in = inputs_for(g, 3);
            CAPTURE(kind.op);
            CAPTURE(options);
            for (std::string_view isa : {"portable", "avx2", "avx512", "avx512_bf16"}) {
                CAPTURE(isa);
                REQUIRE(cpu::set_max_isa(isa));
                const auto plan = compile(g);
                CHECK(plan->text().find(concat("own:", kind.op, "_grad")) != std::string::npos);
                const auto got = run_plan(*plan, in);
                for (size_t i = 0; i < got.size(); ++i) {
                    CAPTURE(i);
                    double largest = 1;
                    for (double v : expected[i].values()) largest = std::max(largest, std::abs(v));
                    CHECK(worst(got[i].values(), expected[i].values()) < 2e-5 * largest);
                }
            }
        }
}

TEST_CASE("recurrent: gradients of the bodies") {
    for (const Kind& kind : kKinds) {
        if (kind.last == Attr{std::string("relu")}) continue;  // differences would step over its kinks
        for (int options : {0, 7}) {
            Graph g = with_gradients(kind, {2, 3, 3}, DType::f64, options);
            const size_t states = kind.gates == 4 ? 3 : 2;
            const auto in = inputs_for(g, 5);
            const auto loss = [&](const std::vector<Array>& at) {
                const auto out = run_graph(g, at);
                double sum = 0;
                for (size_t i = 0; i < states; ++i)
                    for (double v : out[i].values()) sum += v * v;
                return sum;
            };
            const auto out = run_graph(g, in);
            size_t grad = states;
            for (size_t p = 0; p < in.size(); ++p) {
                if (!is_float(in[p].type.dtype)) continue;
                CAPTURE(kind.op);
                CAPTURE(options);
                CAPTURE(p);
                const auto slope = out[grad++].values();
                for (size_t i = 0; i < slope.size(); i += 7) {
                    const auto moved = [&](double step) {
                        auto at = in;
                        auto values = in[p].values();
                        values[i] += step;
                        at[p] = Array(in[p].type.dtype, in[p].type.dims, values);
                        return loss(at);
                    };
                    CHECK(std::abs((moved(1e-5) - moved(-1e-5)) / 2e-5 - slope[i]) < 1e-7 * std::max(1.0, std::abs(slope[i])));
                }
            }
        }
    }
}

TEST_CASE("prune: a sequence keeps no history that nobody reads") {
    for (const Kind& kind : kKinds) {
        Graph g;
        const auto states = sequence(g, kind, {2, 3, 4}, DType::f32, 2);
        g.outputs = {states[1].v};
        const Graph small = prune(g);
        const Node& node = small.node(small.outputs[0]);
        CHECK(node.types.size() == states.size());
        CHECK(!node.bool_attr("history"));
        CHECK(small.outputs[0].out == 1);
        const auto in = inputs_for(g, 1);
        CHECK(worst(run_graph(small, in)[0].values(), run_graph(g, in)[0].values()) == 0);
        const Graph all = with_gradients(kind, {2, 3, 4}, DType::f32, 2);
        CHECK(count_ops(prune(all), kind.op) == 1);
        CHECK(worst(run_graph(all, in)[1].values(), run_graph(g, in)[0].values()) < 1e-6);
    }
}

TEST_CASE("simplify: two reversals cancel, others stay") {
    Graph g;
    const Expr x = param(g, {2, 3});
    const auto reversed = [](Expr e, Dims axes) { return emit("reverse", {e}, {std::move(axes)}); };
    returns(g, {reversed(reversed(x, {1}), {1}), reversed(reversed(x, {0}), {1})});
    const Graph small = simplify(g);
    CHECK(small.outputs[0] == small.parameters()[0]);
    const Node& last = small.node(small.outputs[1]);
    CHECK((last.is("reverse") && small.node(last.inputs[0]).is("reverse")));
}

}  // namespace fk::test
