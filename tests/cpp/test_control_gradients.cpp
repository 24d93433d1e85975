// Gradients through control flow: against central differences, and against the same loops written out.
#include "control_support.h"

namespace fk::test {

namespace {

const TensorType kInt{DType::i32, {}}, kReal{DType::f64, {}}, kTwo{DType::f64, {2}};

// The gradients of a weighted sum of the outputs with respect to all parameters, in place of the outputs.
void differentiate_outputs(Graph& g, uint32_t seed) {
    const Expr loss = weighted_loss(g, seed);
    g.outputs.clear();
    for (Value v : differentiate(g, {loss.v}, {}, g.parameters()))
        if (v.valid()) g.outputs.push_back(v);
}

// First and second derivatives against central differences.
void check_gradients(Graph g, const std::vector<Array>& at) {
    CAPTURE(to_text(g));
    CHECK(gradient_error(g, at, 3) < 1e-6);
    differentiate_outputs(g, 3);
    REQUIRE(!g.outputs.empty());
    CHECK(gradient_error(g, at, 4) < 1e-6);
}

// Two ways of computing the same from the same parameters have the same first and second derivatives.
void check_same_gradients(Graph one, Graph other, const std::vector<Array>& at, uint32_t seed) {
    REQUIRE(one.parameters().size() == other.parameters().size());
    for (int order = 0; order < 3; ++order) {
        const auto a = run_graph(one, at), b = run_graph(other, at);
        REQUIRE(a.size() == b.size());
        CAPTURE(order);
        CAPTURE(seed);
        for (size_t i = 0; i < a.size(); ++i) CHECK(worst(a[i].values(), b[i].values()) < 1e-8);
        if (order == 2) return;
        for (Graph* g : {&one, &other}) {
            const Expr loss = weighted_loss(*g, seed);
            g->outputs.clear();
            for (Value p : std::vector<Value>(g->parameters())) {
                if (!is_float(g->type(p).dtype)) continue;
                const Value grad = differentiate(*g, {loss.v}, {}, {p})[0];
                g->outputs.push_back(grad.valid() ? grad : zeros_like({g, p}).v);
            }
        }
    }
}

// Parameters for a random body's carry, `length` slices and constant.
Exprs loop_parameters(Graph& g, const BodyPtr& b, int64_t length) {
    Exprs in;
    for (Value p : b->parameters()) {
        Dims dims = b->type(p).dims;
        if (in.size() == 1) dims.insert(dims.begin(), length);
        in.push_back(param(g, DType::f64, dims));
    }
    return in;
}
void set_outputs(Graph& g, const Exprs& out) {
    for (const Expr& e : out) g.outputs.push_back(e.v);
}

// c' = tanh(c k + x), n' = n + 1; stacks c' x n.
const BodyPtr kStep = body({kTwo, kInt, kTwo, kReal}, [](const Exprs& in) -> Exprs {
    const Expr next = tanh(in[0] * in[3] + in[2]);
    return {next, in[1] + 1.0, next * in[2] * cast(in[1], DType::f64), in[0], in[1]};
});
Graph step_graph(int64_t length, bool reverse) {
    Graph g;
    set_outputs(g, scan(kStep,
                        {param(g, DType::f64, {2}), param(g, DType::i32, {}), param(g, DType::f64, {length, 2}),
                         param(g, DType::f64, {})},
                        {.carries = 2, .xs = 1, .length = length, .reverse = reverse}));
    return g;
}

const BodyPtr kBelow =
    body({kInt, kTwo, kInt, kReal}, [](const Exprs& in) -> Exprs { return {in[0] < in[2]}; });  // counts to an operand
const BodyPtr kAdvance =
    body({kInt, kTwo, kInt, kReal}, [](const Exprs& in) -> Exprs { return {in[0] + 1.0, sin(in[1] * in[3]) + in[1]}; });
Graph advance_graph(int64_t limit) {
    Graph g;
    set_outputs(
        g, while_loop(kBelow, kAdvance,
                      {param(g, DType::i32, {}), param(g, DType::f64, {2}), param(g, DType::i32, {}), param(g, DType::f64, {})},
                      2, limit));
    return g;
}
std::vector<Array> advance_inputs(double n) {
    return {Array(DType::i32, {}, {0}), Array(DType::f64, {2}, {0.3, -0.7}), Array(DType::i32, {}, {n}),
            Array(DType::f64, {}, {0.9})};
}

}  // namespace

TEST_CASE("control gradients: scan, forwards and in reverse, of any length") {
    for (const bool reverse : {false, true})
        for (const int64_t length : {1, 2, 5}) {
            const Graph g = step_graph(length, reverse);
            check_gradients(g, inputs_for(g, 7));
        }
}

TEST_CASE("control gradients: a scan without iterations passes the gradient on") {
    Graph g = step_graph(0, false);
    const auto grads = differentiate(g, {g.outputs[0]}, {}, g.parameters());
    CHECK(!grads[1].valid());
    g.outputs = {grads[0], grads[2], grads[3]};
    const auto out = run_graph(g, inputs_for(g, 1));
    CHECK(out[0].values() == std::vector<double>{1, 1});
    CHECK(out[1].type == TensorType{DType::f64, {0, 2}});
    CHECK(out[2].values() == std::vector<double>{0});
}

TEST_CASE("control gradients: while, with fewer iterations than its limit and with as many") {
    for (const double n : {0.0, 1.0, 3.0, 4.0, 9.0}) check_gradients(advance_graph(4), advance_inputs(n));
}

TEST_CASE("control gradients: a while loop whose limit is 0 passes the gradient on") {
    Graph g = advance_graph(0);
    const auto grads = differentiate(g, {g.outputs[1]}, {}, g.parameters());
    g.outputs = {grads[1], grads[3]};
    const auto out = run_graph(g, advance_inputs(3));
    CHECK(out[0].values() == std::vector<double>{1, 1});
    CHECK(out[1].values() == std::vector<double>{0});
}

TEST_CASE("control gradients: while without a limit has none, and says what to do") {
    Graph g = advance_graph(-1);
    try {
        (void)differentiate(g, {g.outputs[1]}, {}, g.parameters());
        FAIL("no error was raised");
    } catch (const UnsupportedError& e) {
        CHECK(std::string(e.what()).find("maximum_iterations") != std::string::npos);
    }
}

TEST_CASE("control gradients: switch, of the branch that runs") {
    const std::vector<TensorType> types{kTwo, kReal, kInt};
    const Bodies branches{body(types, [](const Exprs& in) -> Exprs { return {in[0] * in[1] * in[0], in[2]}; }),
                          body(types, [](const Exprs& in) -> Exprs { return {sin(in[0]), in[2] + 1.0}; }),
                          body(types, [](const Exprs& in) -> Exprs { return {broadcast_to(exp(in[1]), {2}), in[2]}; })};
    Graph g;
    set_outputs(g, switch_of(branches, {param(g, DType::i32, {}), param(g, DType::f64, {2}), param(g, DType::f64, {}),
                                        param(g, DType::i32, {})}));
    for (const double index : {-1.0, 0.0, 1.0, 2.0, 7.0})
        check_gradients(g, {Array(DType::i32, {}, {index}), Array(DType::f64, {2}, {0.4, -1.1}), Array(DType::f64, {}, {0.8}),
                            Array(DType::i32, {}, {3})});
}

TEST_CASE("control gradients: random scans have the gradients of the loop written out") {
    for (uint32_t seed = 0; seed < fuzz(25); ++seed) {
        const BodyPtr b = random_body(seed, 2 + static_cast<int>(seed % 6));
        const int64_t length = 1 + seed % 3;
        const bool reverse = seed % 2 == 1;
        Graph loop, flat;
        const Exprs in = loop_parameters(loop, b, length), same = loop_parameters(flat, b, length);
        set_outputs(loop, scan(b, in, {.carries = 1, .xs = 1, .length = length, .reverse = reverse}));
        set_outputs(flat, unrolled(b, same[0], same[1], same[2], length, reverse));
        check_same_gradients(loop, flat, inputs_for(loop, seed), seed);
    }
}

TEST_CASE("control gradients: random while loops have the gradients of the loop written out") {
    for (uint32_t seed = 0; seed < fuzz(15); ++seed) {
        const BodyPtr b = random_body(seed, 2 + static_cast<int>(seed % 6));
        const int64_t count = 1 + seed % 3;
        std::vector<TensorType> types{kInt};
        for (Value p : b->parameters()) types.push_back(b->type(p));
        const BodyPtr below = body(types, [&](const Exprs& in) -> Exprs { return {in[0] < static_cast<double>(count)}; });
        const BodyPtr step =
            body(types, [&](const Exprs& in) -> Exprs { return {in[0] + 1.0, inlined(b, {in[1], in[2], in[3]})[0]}; });
        Graph loop, flat;
        Exprs in, same;
        for (const TensorType& t : types)
            in.push_back(param(loop, t.dtype, t.dims)), same.push_back(param(flat, t.dtype, t.dims));
        returns(loop, {while_loop(below, step, in, 2, 4)[1]});
        Expr carry = same[1];
        for (int64_t k = 0; k < count; ++k) carry = inlined(b, {carry, same[2], same[3]})[0];
        returns(flat, {carry});
        std::vector<Array> at = inputs_for(loop, seed);
        at[0] = Array(DType::i32, {}, {0});
        check_same_gradients(loop, flat, at, seed);
    }
}

TEST_CASE("control gradients: loops inside loops, branches inside loops") {
    const BodyPtr square_of = body({kTwo, kReal}, [](const Exprs& in) -> Exprs { return {in[0] * in[0] * in[1]}; });
    const BodyPtr sine_of = body({kTwo, kReal}, [](const Exprs& in) -> Exprs { return {sin(in[0] * in[1])}; });
    // A scan of scans, whose inner body branches on a count; a while loop of such a scan.
    const BodyPtr inner = body({kTwo, kInt, kReal, kReal}, [&](const Exprs& in) -> Exprs {
        const Expr y = switch_of({square_of, sine_of}, {emit("mod", {in[1], lit(in[1], 2)}), in[0], in[3]})[0];
        return {y + in[2], in[1] + 1.0, y, in[0], in[1]};
    });
    const BodyPtr outer = body({kTwo, kInt, {DType::f64, {3}}, kReal}, [&](const Exprs& in) -> Exprs {
        const Exprs out = scan(inner, in, {.carries = 2, .xs = 1, .length = 3, .reverse = true});
        return {out[0], out[1], out[2], in[0], in[1]};
    });
    Graph g;
    set_outputs(
        g,
        scan(outer, {param(g, DType::f64, {2}), param(g, DType::i32, {}), param(g, DType::f64, {2, 3}), param(g, DType::f64, {})},
             {.carries = 2, .xs = 1, .length = 2}));
    check_gradients(g, inputs_for(g, 5));

    const std::vector<TensorType> types{kInt, kTwo, {DType::f64, {3}}, kReal};
    const BodyPtr below = body(types, [](const Exprs& in) -> Exprs { return {in[0] < 5.0}; });
    const BodyPtr step = body(types, [&](const Exprs& in) -> Exprs {
        const Exprs out = scan(inner, {in[1], in[0], in[2], in[3]}, {.carries = 2, .xs = 1, .length = 3});
        return {out[1], out[0]};
    });
    Graph w;
    set_outputs(
        w, while_loop(below, step,
                      {param(w, DType::i32, {}), param(w, DType::f64, {2}), param(w, DType::f64, {3}), param(w, DType::f64, {})},
                      2, 3));
    check_gradients(w, {Array(DType::i32, {}, {0}), Array(DType::f64, {2}, {0.3, -0.4}), Array(DType::f64, {3}, {0.1, 0.2, -0.3}),
                        Array(DType::f64, {}, {0.7})});

    const BodyPtr counted = body({kTwo, kReal}, [&](const Exprs& in) -> Exprs {
        Graph& b = *in[0].g;
        const Expr zero = full(b, 0.0, DType::i32), three = full(b, 3.0, DType::i32);
        return {while_loop(kBelow, kAdvance, {zero, in[0], three, in[1]}, 2, 6)[1], in[0]};
    });
    Graph s;
    set_outputs(s, scan(counted, {param(s, DType::f64, {2}), param(s, DType::f64, {2})}, {.carries = 1, .xs = 1, .length = 2}));
    check_gradients(s, inputs_for(s, 9));
}

TEST_CASE("control gradients: what does not depend on a source has none") {
    Graph g = step_graph(3, false);
    const Expr other = param(g, DType::f64, {2});
    const auto grads = differentiate(g, {g.outputs[0]}, {}, {other.v, g.parameters()[1], g.parameters()[0]});
    CHECK(!grads[0].valid());
    CHECK(!grads[1].valid());
    CHECK(grads[2].valid());
}

TEST_CASE("control gradients: a custom gradient is taken as it is given") {
    // The value of x y, with the gradients 10 dy k and dy + y.
    const BodyPtr gradient =
        body({kTwo, kTwo, kReal}, [](const Exprs& in) -> Exprs { return {in[0] * 10.0 * in[2], in[0] + in[1]}; });
    Graph g;
    const Expr x = param(g, DType::f64, {2}), y = param(g, DType::f64, {2}), k = param(g, DType::f64, {}),
               seed = param(g, DType::f64, {2});
    const Expr z = control("custom_gradient", {x * y, x, y, y, k}, {Bodies{gradient}, int64_t{1}, int64_t{2}})[0];
    const auto grads = differentiate(g, {z.v}, {seed.v}, {x.v, y.v, k.v});
    CHECK(!grads[2].valid());
    g.outputs = {z.v, grads[0], grads[1]};
    const auto out = run_graph(g, {Array(DType::f64, {2}, {2, 3}), Array(DType::f64, {2}, {4, 5}), Array(DType::f64, {}, {0.5}),
                                   Array(DType::f64, {2}, {1, 2})});
    CHECK(out[0].values() == std::vector<double>{8, 15});
    CHECK(out[1].values() == std::vector<double>{5, 10});
    CHECK(out[2].values() == std::vector<double>{5, 7});
}

TEST_CASE("control gradients: a custom gradient is differentiated again through its gradient") {
    const BodyPtr gradient = body({kTwo, kTwo}, [](const Exprs& in) -> Exprs { return {in[0] * sin(in[1])}; });
    Graph g;
    const Expr x = param(g, DType::f64, {2});
    const Expr z = control("custom_gradient", {x * 3.0, x, x}, {Bodies{gradient}, int64_t{1}, int64_t{1}})[0];
    const Value dx = differentiate(g, {z.v}, {}, {x.v})[0];
    g.outputs = {dx, differentiate(g, {dx}, {}, {x.v})[0]};
    const auto out = run_graph(g, {Array(DType::f64, {2}, {0.5, 2})});
    CHECK(worst(out[0].values(), {std::sin(0.5), std::sin(2)}) < 1e-14);
    CHECK(worst(out[1].values(), {std::cos(0.5), std::cos(2)}) < 1e-14);
}

TEST_CASE("control gradients: a custom gradient inside a loop's body") {
    const BodyPtr gradient = body({kReal, kReal}, [](const Exprs& in) -> Exprs { return {in[0] * in[1]}; });
    const BodyPtr b = body({kReal, kReal}, [&](const Exprs& in) -> Exprs {
        const Expr y = control("custom_gradient", {in[0], in[0], in[1]}, {Bodies{gradient}, int64_t{1}, int64_t{1}})[0];
        return {y, in[0]};
    });
    Graph g;
    const Expr c = param(g, DType::f64, {}), xs = param(g, DType::f64, {3});
    const Expr out = scan(b, {c, xs}, {.carries = 1, .xs = 1, .length = 3})[0];
    g.outputs = {out.v, differentiate(g, {out.v}, {}, {c.v})[0]};
    const auto values = run_graph(g, {Array(DType::f64, {}, {7}), Array(DType::f64, {3}, {2, 3, 5})});
    CHECK(values[0].values()[0] == 7);
    CHECK(values[1].values()[0] == 30);  // each iteration multiplies by its slice
}

namespace {

// A variable v that is read (y = v x), assigned v + 1, and read again (z = v x).
BodyPtr assigning_body(const std::vector<TensorType>& types, size_t v,
                       const std::function<Exprs(const Exprs&, Expr, Expr, Expr)>& outputs) {
    Graph g;
    Exprs in;
    for (const TensorType& t : types) in.push_back(param(g, t.dtype, t.dims));
    const Expr x = in.back(), next = emit("stop_gradient", {in[v] + 1.0});
    for (const Expr& e : outputs(in, in[v] * x, next, next * x)) g.outputs.push_back(e.v);
    g.versions = {{static_cast<uint32_t>(v), next.v}};
    return std::make_shared<const Graph>(std::move(g));
}

}  // namespace

TEST_CASE("control gradients: a variable that a scan assigns stands for all the values it takes") {
    const BodyPtr b = assigning_body(
        {kReal, kReal}, 0, [](const Exprs& in, Expr y, Expr next, Expr z) -> Exprs { return {next, y * y + z, in[0]}; });
    Graph g;
    const Expr v = param(g, DType::f64, {}), xs = param(g, DType::f64, {3});
    const Exprs out = scan(b, {v, xs}, {.carries = 1, .xs = 1, .length = 3, .cells = 1});
    const Expr loss = reduce_sum(out[1], {0});
    const auto grads = differentiate(g, {loss.v}, {}, {v.v});
    g.outputs = {loss.v, grads[0]};
    const auto values = run_graph(g, {Array(DType::f64, {}, {2}), Array(DType::f64, {3}, {1, 10, 100})});
    double expected = 0, at = 2;
    for (double x : {1.0, 10.0, 100.0}) expected += 2 * at++ * x * x + x;
    CHECK(values[1].values()[0] == expected);
}

TEST_CASE("control gradients: a variable that a while loop assigns stands for all the values it takes") {
    const std::vector<TensorType> types{kInt, kReal, kReal, kReal};  // count, sum, variable, x
    const BodyPtr below = body(types, [](const Exprs& in) -> Exprs { return {in[0] < 3.0}; });
    const BodyPtr b = assigning_body(
        types, 2, [](const Exprs& in, Expr y, Expr next, Expr z) -> Exprs { return {in[0] + 1.0, in[1] + y * y + z, next}; });
    Graph g;
    const Expr v = param(g, DType::f64, {}), x = param(g, DType::f64, {});
    const Expr sum = while_loop(below, b, {full(g, 0.0, DType::i32), full(g, 0.0, DType::f64), v, x}, 3, 5, 1)[1];
    g.outputs = {differentiate(g, {sum.v}, {}, {v.v})[0]};
    const auto values = run_graph(g, {Array(DType::f64, {}, {2}), Array(DType::f64, {}, {10})});
    CHECK(values[0].values()[0] == 3 * 10 + 2 * 100 * (2 + 3 + 4));
}

}  // namespace fk::test
