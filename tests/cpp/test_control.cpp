// Control flow: nodes that run graphs of their own. Text form, types, values of compiled plans, pruning, bad data.
#include <atomic>
#include <thread>

#include "control_support.h"
#include "plan_support.h"

namespace fk::test {

namespace {

const TensorType kInt{DType::i32, {}}, kReal{DType::f64, {}}, kThree{DType::f64, {3}};

Array real(double v) { return {DType::f64, {}, {v}}; }
Array integer(double v) { return {DType::i32, {}, {v}}; }
Array reals(std::vector<double> v) {
    const auto n = static_cast<int64_t>(v.size());
    return {DType::f64, {n}, v};
}

// What an error says, whichever it is.
template <class E>
std::string mistake(const std::function<void(Graph&)>& record) {
    Graph g;
    try {
        record(g);
    } catch (const E& e) {
        return e.what();
    }
    FAIL("no error was raised");
    return {};
}
bool says(const std::string& message, std::initializer_list<std::string_view> parts) {
    for (std::string_view part : parts)
        if (message.find(part) == std::string::npos) {
            MESSAGE("the message is: " << message);
            return false;
        }
    return true;
}

// The same numbers whatever passes are left out.
void check_values(const Graph& g, const std::vector<Array>& in, const std::vector<std::vector<double>>& expected) {
    CAPTURE(to_text(g));
    for (std::string_view disabled : {"", "all", "prune", "simplify", "fuse", "inplace"}) {
        CAPTURE(disabled);
        const Setting setting("disable_passes", disabled);
        const std::vector<Array> out = run_graph(g, in);
        REQUIRE(out.size() == expected.size());
        for (size_t i = 0; i < out.size(); ++i) {
            CAPTURE(i);
            CHECK(worst(out[i].values(), expected[i]) < 1e-14);
        }
    }
}

// sum += factor * slice, a count; stacks the sum.
const BodyPtr kSum = body({kReal, kInt, kReal, kReal}, [](const Exprs& in) -> Exprs {
    const Expr sum = in[0] + in[3] * in[2];
    return {sum, in[1] + 1.0, sum, in[0], in[1]};
});
Graph sum_graph(int64_t length, bool reverse) {
    Graph g;
    const Exprs out = scan(
        kSum, {param(g, kReal.dtype, {}), param(g, DType::i32, {}), param(g, DType::f64, {length}), param(g, DType::f64, {})},
        {.carries = 2, .xs = 1, .length = length, .reverse = reverse});
    for (const Expr& e : out) g.outputs.push_back(e.v);
    return g;
}

// Halves the first carry (an integer) while it is above the limit, and doubles the second.
const BodyPtr kAbove = body({kInt, kReal, kInt}, [](const Exprs& in) -> Exprs { return {in[0] > in[2]}; });
const BodyPtr kHalve = body({kInt, kReal, kInt},
                            [](const Exprs& in) -> Exprs { return {emit("floor_divide", {in[0], lit(in[0], 2)}), in[1] * 2.0}; });
Graph halving_graph(int64_t limit) {
    Graph g;
    const Exprs out =
        while_loop(kAbove, kHalve, {param(g, DType::i32, {}), param(g, DType::f64, {}), param(g, DType::i32, {})}, 2, limit);
    for (const Expr& e : out) g.outputs.push_back(e.v);
    return g;
}

// The only node of an op.
const Node& node_of(const Graph& g, std::string_view op) {
    const Node* found = nullptr;
    for (uint32_t i = 0; i < g.size(); ++i)
        if (g.node(i).is(op)) {
            REQUIRE(found == nullptr);
            found = &g.node(i);
        }
    REQUIRE(found != nullptr);
    return *found;
}

}  // namespace

TEST_CASE("control text: bodies are printed before the node that runs them") {
    const BodyPtr inner = body({kThree, kReal}, [](const Exprs& in) -> Exprs { return {in[0] * in[1]}; });
    const BodyPtr outer = body({kThree, kInt}, [&](const Exprs& in) -> Exprs {
        Expr x = in[0];
        x.g->current_label = x.g->intern_label("a } label");
        const Expr sum = reduce_sum(x, {0});
        x.g->current_label = 0;
        return {switch_of({inner, inner}, {in[1], x, sum})[0]};
    });
    Graph g;
    const Exprs in{param(g, DType::i32, {}), param(g, DType::f64, {3}), param(g, DType::i32, {})};
    returns(g, {switch_of({outer}, in)[0]});
    const std::string text =
        "%0 = parameter() : int32[]\n"
        "%1 = parameter() : float64[3]\n"
        "%2 = parameter() : int32[]\n"
        "body @0 {\n"
        "    %0 = parameter() : float64[3]\n"
        "    %1 = parameter() : int32[]\n"
        "    %2 = reduce_sum(%0) {axes = [0]} : float64[]  # a } label\n"
        "    body @0 {\n"
        "        %0 = parameter() : float64[3]\n"
        "        %1 = parameter() : float64[]\n"
        "        %2 = broadcast_to(%1) {shape = [3]} : float64[3]\n"
        "        %3 = multiply(%0, %2) : float64[3]\n"
        "        return %3\n"
        "    }\n"
        "    body @1 {\n"
        "        %0 = parameter() : float64[3]\n"
        "        %1 = parameter() : float64[]\n"
        "        %2 = broadcast_to(%1) {shape = [3]} : float64[3]\n"
        "        %3 = multiply(%0, %2) : float64[3]\n"
        "        return %3\n"
        "    }\n"
        "    %3 = switch(%1, %0, %2) {branches = [@0, @1]} : float64[3]\n"
        "    return %3\n"
        "}\n"
        "%3 = switch(%0, %1, %2) {branches = [@0]} : float64[3]\n"
        "return %3\n";
    CHECK(to_text(g) == text);
    CHECK(to_text(parse_graph(text)) == text);
}

TEST_CASE("control text: loops and their gradients round trip and compute the same") {
    for (uint32_t seed = 0; seed < fuzz(12); ++seed) {
        const BodyPtr b = random_body(seed, 6);
        Graph g;
        Exprs in;
        for (Value p : b->parameters()) {
            TensorType t = b->type(p);
            if (in.size() == 1) t.dims.insert(t.dims.begin(), 3);
            in.push_back(param(g, t.dtype, t.dims));
        }
        for (const Expr& e : scan(b, in, {.carries = 1, .xs = 1, .length = 3, .reverse = seed % 2 == 1}))
            g.outputs.push_back(e.v);
        const Expr loss = weighted_loss(g, seed);
        for (Value v : differentiate(g, {loss.v}, {}, g.parameters()))
            if (v.valid()) g.outputs.push_back(v);
        const std::string text = to_text(g);
        CAPTURE(text);
        const Graph back = parse_graph(text);
        CHECK(to_text(back) == text);
        const auto inputs = inputs_for(g, seed);
        const auto x = run_graph(g, inputs), y = run_graph(back, inputs);
        for (size_t i = 0; i < x.size(); ++i) CHECK(std::memcmp(x[i].buffer.data, y[i].buffer.data, x[i].buffer.size) == 0);
    }
}

TEST_CASE("control text: mistakes name the line") {
    const std::string identity = "body @0 {\n%0 = parameter() : float32[]\nreturn %0\n}\n",
                      operands = "%0 = parameter() : int32[]\n%1 = parameter() : float32[]\n";
    const std::pair<std::string, std::string> cases[] = {
        {"body @3 {\n%0 = parameter() : float32[]", "body @3 is not closed"},
        {"body @0 {\nbody @1 {\n}\n", "body @0 is not closed"},
        {identity + "body @0 {\n}", "line 5, column 10: body @0 is declared twice"},
        {"body @1 {\n" + identity + "body @0 {\n}\n}", "line 6, column 10: body @0 is declared twice"},
        {identity + operands + "%2 = switch(%0, %1) {branches = [@0, @1]}", "body @1 is not declared on an earlier line"},
        {"body @1 {\n" + identity + "}\n" + operands + "%2 = switch(%0, %1) {branches = [@0]}", "body @0 is not declared"},
        {identity + operands + "%2 = switch(%0, %1) {branches = []}", "expected '@', got ']}'"},
        {identity + operands + "%2 = switch(%0, %1) {branches = @0}", "expected '[', got '@0}'"},
        {identity + operands + "%2 = switch(%0, %1)", "switch needs attribute branches"},
        {operands + "body @0 {\n%3 = exp(%1)\n}", "line 4, column 12: %1 is not declared on an earlier line"},
        {"body @0 {\n    %0 = expo()\n}", "line 2, column 14: there is no op 'expo'"},
        {"body 0 {", "expected '@', got '0 {'"},
        {"body @x {", "expected the number of a body"},
        {"body @0", "expected '{'"},
        {"body @0 { return", "expected the end of the line, got 'return'"},
        {"body @0 {\n} return", "expected the end of the line, got 'return'"},
        {"}", "expected '%', got '}'"},
        {"body @0 {\nreturn\n%0 = parameter() : float32[]\n}", "line 3, column 1: nothing may follow `return`"},
        {operands + "return %0\nbody @0 {\n}", "line 4, column 5: nothing may follow `return`, got a body"},
        {identity + "%0 = parameter() : int32[]\n%1 = parameter() : float32[]\n%2 = switch(%0, %1) {branches = [@0]} : int32[]",
         "output 0 of switch is float32[]; the text says int32[]"},
    };
    for (const auto& [text, expected] : cases) {
        CAPTURE(text);
        const std::string message = mistake<UserError>([&](Graph& g) { g = parse_graph(text); });
        CAPTURE(message);
        CHECK(message.find(expected) != std::string::npos);
    }
}

TEST_CASE("control text: attributes that do not fit their operands are errors, not accidents") {
    const std::string start =
        "body @0 {\n%0 = parameter() : float32[]\nreturn %0\n}\n%0 = parameter() : float32[]\n%1 = parameter() : int32[]\n";
    for (const std::string line : {
             "%2 = scan(%0) {body = [@0], carries = 2, xs = 0, length = 1, reverse = false, history = false, cells = 0}",
             "%2 = scan(%0) {body = [@0], carries = 0, xs = 7, length = 1, reverse = false, history = false, cells = 0}",
             "%2 = scan(%0) {body = [@0], carries = -1, xs = 0, length = 1, reverse = false, history = false, cells = 0}",
             "%2 = scan(%0) {body = [@0], carries = 1, xs = 0, length = -1, reverse = false, history = false, cells = 0}",
             "%2 = scan(%0, %0) {body = [@0], carries = 2, xs = 0, length = 1, reverse = false, history = false, cells = 0}",
             "%2 = while(%0) {condition_body = [@0], carries = 1, limit = 1, history = false, cells = 0}",
             "%2 = while(%0) {condition_body = [@0, @0], carries = 9, limit = 1, history = false, cells = 0}",
             "%2 = while(%0) {condition_body = [@0, @0], carries = 1, limit = -1, history = true, cells = 0}",
             "%2 = scan(%0) {body = [@0], carries = 1, xs = 0, length = 1, reverse = false, history = false, cells = 2}",
             "%2 = scan(%0) {body = [@0], carries = 1, xs = 0, length = 1, reverse = false, history = false, cells = -1}",
             "%2 = while(%0) {condition_body = [@0, @0], carries = 1, limit = 1, history = false, cells = 2}",
             "%2 = switch(%0, %0) {branches = [@0]}",
             "%2 = switch(%1, %0, %0) {branches = [@0]}",
             "%2 = switch(%1, %1) {branches = [@0]}",
             "%2 = custom_gradient(%0) {gradient = [@0], outputs = 1, inputs = 3}",
             "%2 = custom_gradient(%0) {gradient = [@0], outputs = -1, inputs = 1}",
         }) {
        CAPTURE(line);
        CHECK_THROWS_AS((void)parse_graph(start + line), Error);
    }
}

TEST_CASE("control: a loop keeps the types of what it carries") {
    const BodyPtr grows = body({kThree, kReal}, [](const Exprs& in) -> Exprs { return {stack({in[1], in[1]}), in[0]}; });
    CHECK(says(mistake<UserError>([&](Graph& g) {
                   (void)scan(grows, {param(g, DType::f64, {3}), param(g, DType::f64, {4})},
                              {.carries = 1, .xs = 1, .length = 4, .history = false});
               }),
               {"scan", "carried value 0", "float64[3]", "float64[2]"}));
    const BodyPtr narrows = body({kInt, kReal}, [](const Exprs& in) -> Exprs { return {in[0], cast(in[1], DType::f32)}; });
    const BodyPtr always = body({kInt, kReal}, [](const Exprs& in) -> Exprs { return {in[0] > 0.0}; });
    CHECK(says(mistake<UserError>(
                   [&](Graph& g) { (void)while_loop(always, narrows, {param(g, DType::i32, {}), param(g, DType::f64, {})}, 2); }),
               {"while", "carried value 1", "float64[]", "float32[]"}));
}

TEST_CASE("control: slices, conditions and branches of the wrong kind are named") {
    const BodyPtr two = body({kReal}, [](const Exprs& in) -> Exprs { return {in[0], in[0]}; });
    const BodyPtr one = body({kReal}, [](const Exprs& in) -> Exprs { return {exp(in[0])}; });
    const BodyPtr single = body({kReal}, [](const Exprs& in) -> Exprs { return {cast(in[0], DType::f32)}; });
    CHECK(says(
        mistake<UserError>([&](Graph& g) { (void)switch_of({one, two}, {param(g, DType::i32, {}), param(g, DType::f64, {})}); }),
        {"branch 1 returns 2 tensors", "branch 0 1"}));
    CHECK(says(mistake<UserError>(
                   [&](Graph& g) { (void)switch_of({one, one, single}, {param(g, DType::i32, {}), param(g, DType::f64, {})}); }),
               {"branch 2 returns float32[]", "float64[]"}));
    CHECK(says(mistake<UserError>([&](Graph& g) { (void)while_loop(one, one, {param(g, DType::f64, {})}, 1); }),
               {"condition", "boolean"}));
    CHECK(says(mistake<UserError>([&](Graph& g) {
                   (void)scan(one, {param(g, DType::f64, {4})}, {.carries = 0, .xs = 1, .length = 5, .history = false});
               }),
               {"scan", "operand 0", "(4,)", "5 slices"}));
    CHECK(says(mistake<UserError>([&](Graph& g) {
                   (void)scan(one, {param(g, DType::f64, {})}, {.carries = 0, .xs = 1, .length = 1, .history = false});
               }),
               {"scan", "operand 0", "()"}));
}

TEST_CASE("control: a custom gradient gives each input one of its own type") {
    const auto record = [](Graph& g, const BodyPtr& gradient) {
        (void)control("custom_gradient", {param(g, DType::f64, {}), param(g, DType::f64, {3})},
                      {Bodies{gradient}, int64_t{1}, int64_t{1}});
    };
    const BodyPtr scalar = body({kReal}, [](const Exprs& in) -> Exprs { return {in[0]}; });
    const BodyPtr two = body({kReal}, [](const Exprs& in) -> Exprs { return {in[0], in[0]}; });
    CHECK(says(mistake<UserError>([&](Graph& g) { record(g, scalar); }), {"float64[]", "input 0", "float64[3]"}));
    CHECK(says(mistake<UserError>([&](Graph& g) { record(g, two); }), {"2 gradients", "one for each of the 1 inputs"}));
}

TEST_CASE("control: verify looks into bodies") {
    Graph b;
    const Expr x = param(b, DType::f64, {3});
    Node wrong = b.node(exp(x).v);
    wrong.types[0].dims = {4};
    b.outputs = {{b.add_raw(wrong), 0}};
    Graph g;
    returns(g, {switch_of({std::make_shared<const Graph>(b)}, {param(g, DType::i32, {}), param(g, DType::f64, {3})})[0]});
    CHECK_THROWS_AS(verify(g, "test"), InternalError);
}

TEST_CASE("control: scan carries, slices and stacks, forwards and in reverse") {
    for (const bool reverse : {false, true})
        for (int64_t length = 0; length < 6; ++length) {
            std::vector<double> xs, stacked(static_cast<size_t>(length)), sums = stacked, counts = stacked;
            for (int64_t i = 0; i < length; ++i) xs.push_back(1.5 * static_cast<double>(i * i) - 2);
            double sum = 0.25, count = 7;
            for (int64_t t = 0; t < length; ++t) {
                const auto i = static_cast<size_t>(reverse ? length - 1 - t : t);
                sums[i] = sum, counts[i] = count++;
                stacked[i] = sum += 3 * xs[i];
            }
            check_values(sum_graph(length, reverse), {real(0.25), integer(7), reals(xs), real(3)},
                         {{sum}, {count}, stacked, sums, counts});
        }
}

TEST_CASE("control: scan with carried values that exchange their places, and pass through") {
    const BodyPtr b = body({kThree, kThree, kThree}, [](const Exprs& in) -> Exprs { return {in[1], in[0], in[2], in[1]}; });
    Graph g;
    for (const Expr& e : scan(b, {param(g, DType::f64, {3}), param(g, DType::f64, {3}), param(g, DType::f64, {3})},
                              {.carries = 3, .xs = 0, .length = 3, .history = false}))
        g.outputs.push_back(e.v);
    check_values(g, {reals({1, 2, 3}), reals({4, 5, 6}), reals({7, 8, 9})},
                 {{4, 5, 6}, {1, 2, 3}, {7, 8, 9}, {4, 5, 6, 1, 2, 3, 4, 5, 6}});
}

TEST_CASE("control: scan of tensors without elements") {
    const BodyPtr b = body({{DType::f64, {0, 2}}, kReal},
                           [](const Exprs& in) -> Exprs { return {in[0] * 2.0, in[1] + reduce_sum(in[0], {0, 1})}; });
    Graph g;
    for (const Expr& e : scan(b, {param(g, DType::f64, {0, 2}), param(g, DType::f64, {})},
                              {.carries = 2, .xs = 0, .length = 3, .history = false}))
        g.outputs.push_back(e.v);
    check_values(g, {Array(DType::f64, {0, 2}, {}), real(5)}, {{}, {5}});
}

TEST_CASE("control: while runs as long as its condition holds") {
    check_values(halving_graph(-1), {integer(100), real(1), integer(3)}, {{3}, {32}});
    check_values(halving_graph(-1), {integer(3), real(1), integer(3)}, {{3}, {1}});  // not once
}

TEST_CASE("control: while with a limit stops there, and keeps a padded history") {
    check_values(halving_graph(3), {integer(100), real(1), integer(3)}, {{12}, {8}, {3}, {100, 50, 25}, {1, 2, 4}});
    check_values(halving_graph(5), {integer(100), real(1), integer(20)}, {{12}, {8}, {3}, {100, 50, 25, 0, 0}, {1, 2, 4, 0, 0}});
    check_values(halving_graph(2), {integer(3), real(1), integer(3)}, {{3}, {1}, {0}, {0, 0}, {0, 0}});
    check_values(halving_graph(0), {integer(100), real(1), integer(3)}, {{100}, {1}, {0}, {}, {}});
}

TEST_CASE("control: a plan with a while loop gives the same when it runs again, whatever ran before") {
    const auto plan = compile(halving_graph(6));
    const auto run = [&](double start) {
        std::vector<double> all;
        for (const Array& a : run_plan(*plan, {integer(start), real(1), integer(1)}))
            for (double v : a.values()) all.push_back(v);
        return all;
    };
    const auto first = run(4);
    (void)run(60);
    CHECK(run(4) == first);
}

TEST_CASE("control: switch runs the branch of its index, the nearest one for an index outside") {
    Bodies branches;
    for (int i = 0; i < 3; ++i)
        branches.push_back(body({kThree}, [&](const Exprs& in) -> Exprs { return {in[0] * (i + 1.0), in[0]}; }));
    Graph g;
    const Exprs out = switch_of(branches, {param(g, DType::i32, {}), param(g, DType::f64, {3})});
    returns(g, {out[0], out[1]});
    for (const auto& [index, factor] :
         std::vector<std::pair<double, double>>{{0, 1}, {1, 2}, {2, 3}, {3, 3}, {2147483647, 3}, {-1, 1}, {-2147483648.0, 1}})
        check_values(g, {integer(index), reals({1, 2, 4})}, {{factor, 2 * factor, 4 * factor}, {1, 2, 4}});
}

TEST_CASE("control: bodies inside bodies") {
    // for each slice: while (c < 100) c = odd count ? c + x : 2 c
    const BodyPtr add = body({kReal, kReal}, [](const Exprs& in) -> Exprs { return {in[0] + in[1]}; });
    const BodyPtr twice = body({kReal, kReal}, [](const Exprs& in) -> Exprs { return {in[0] * 2.0}; });
    const BodyPtr below = body({kReal, kInt, kReal}, [](const Exprs& in) -> Exprs { return {in[0] < 100.0}; });
    const BodyPtr step = body({kReal, kInt, kReal}, [&](const Exprs& in) -> Exprs {
        return {switch_of({twice, add}, {emit("mod", {in[1], lit(in[1], 2)}), in[0], in[2]})[0], in[1] + 1.0};
    });
    const BodyPtr outer = body({kInt, kReal}, [&](const Exprs& in) -> Exprs {
        const Exprs out = while_loop(below, step, {full(*in[0].g, 1.0, DType::f64), in[0], in[1]}, 2);
        return {out[1], out[0]};
    });
    Graph g;
    const Exprs out = scan(outer, {param(g, DType::i32, {}), param(g, DType::f64, {4})},
                           {.carries = 1, .xs = 1, .length = 4, .history = false});
    returns(g, {out[0], out[1]});
    const std::vector<double> xs{3, 0.5, 40, 7};
    std::vector<double> ends;
    int count = 0;
    for (double x : xs) {
        double c = 1;
        for (; c < 100; ++count) c = count % 2 ? c + x : 2 * c;
        ends.push_back(c);
    }
    check_values(g, {integer(0), reals(xs)}, {{static_cast<double>(count)}, ends});
}

TEST_CASE("control: random loops compute what they do written out") {
    for (uint32_t seed = 0; seed < fuzz(40); ++seed) {
        const BodyPtr b = random_body(seed, 3 + static_cast<int>(seed % 8));
        const int64_t length = 1 + seed % 4;
        Graph g;
        Dims dims = b->type(b->parameters()[1]).dims;
        dims.insert(dims.begin(), length);
        const Exprs in{param(g, DType::f64, b->type(b->parameters()[0]).dims), param(g, DType::f64, dims),
                       param(g, DType::f64, b->type(b->parameters()[2]).dims)};
        const Exprs loop = scan(b, in, {.carries = 1, .xs = 1, .length = length, .reverse = seed % 2 == 1});
        for (const Expr& e : loop) g.outputs.push_back(e.v);
        for (const Expr& e : unrolled(b, in[0], in[1], in[2], length, seed % 2 == 1)) g.outputs.push_back(e.v);
        CAPTURE(seed);
        const std::vector<Array> out = run_graph(g, inputs_for(g, seed));
        for (size_t i = 0; i < 3; ++i) CHECK(worst(out[i].values(), out[i + 3].values()) < 1e-10);
    }
}

TEST_CASE("control: runs from several threads at once do not disturb each other") {
    const auto scans = compile(sum_graph(5, false)), whiles = compile(halving_graph(8));
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            const double start = 16.0 * (1 << t);
            for (int k = 0; k < 50; ++k) {
                const auto a = run_plan(*scans, {real(t), integer(t), reals({1, 2, 3, 4, 5}), real(2)});
                const auto b = run_plan(*whiles, {integer(start), real(1), integer(1)});
                if (a[0].values()[0] != t + 30 || a[1].values()[0] != t + 5 || b[1].values()[0] != start) ++wrong;
            }
        });
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
}

TEST_CASE("prune: the history of a loop goes when nobody reads it") {
    Graph g = sum_graph(4, false);
    g.outputs.resize(3);
    const Graph small = prune(g);
    CHECK(node_of(small, "scan").types.size() == 3);
    CHECK(!node_of(small, "scan").bool_attr("history"));
    check_values(g, {real(1), integer(0), reals({1, 2, 3, 4}), real(1)}, {{11}, {4}, {2, 4, 7, 11}});

    Graph w = halving_graph(3);
    CHECK(prune(w).node(w.outputs[0]).types.size() == 5);
    w.outputs.resize(2);
    CHECK(node_of(prune(w), "while").types.size() == 2);
    w.outputs = {w.outputs[1]};
    check_values(w, {integer(100), real(1), integer(3)}, {{8}});
}

TEST_CASE("prune: a carried value that only itself depends on goes, one that others read stays") {
    const BodyPtr b = body({kReal, kReal, kReal, kInt, kReal}, [](const Exprs& in) -> Exprs {
        return {in[0] + in[1], in[1] * in[4], sin(in[2]) + in[0], in[3] + 1.0, in[0] - in[4], in[3]};
    });
    Graph g;
    Exprs in;
    for (const TensorType& t : {kReal, kReal, kReal, kInt, TensorType{DType::f64, {3}}}) in.push_back(param(g, t.dtype, t.dims));
    const Exprs out = scan(b, in, {.carries = 4, .xs = 1, .length = 3, .history = false});
    returns(g, {out[4]});  // needs carry 0, which needs carry 1
    const Graph small = prune(g);
    const Node& node = node_of(small, "scan");
    CHECK(node.int_attr("carries") == 2);
    CHECK(node.inputs.size() == 3);
    CHECK(node.types.size() == 3);
    CHECK(small.parameters().size() == 5);
    check_values(g, {real(1), real(2), real(0), integer(0), reals({1, 2, 3})}, {{0, 1, 2}});
    Graph h = g;
    h.outputs = {out[3].v};
    CHECK(node_of(prune(h), "scan").types.size() == 1);
    check_values(h, {real(1), real(2), real(0), integer(0), reals({1, 2, 3})}, {{3}});
}

TEST_CASE("prune: outputs of branches that nobody reads go") {
    const auto branch = [](double factor) {
        return body({kReal}, [&](const Exprs& in) -> Exprs { return {in[0] * factor, exp(in[0]), in[0] + factor}; });
    };
    Graph g;
    const Exprs out = switch_of({branch(2), branch(3)}, {param(g, DType::i32, {}), param(g, DType::f64, {})});
    g.outputs = {out[2].v, out[0].v};
    g.output_aliases = {1, -1};
    const Graph small = prune(g);
    CHECK(node_of(small, "switch").types.size() == 2);
    CHECK(small.output_aliases == g.output_aliases);
    check_values(g, {integer(1), real(5)}, {{8}, {15}});
}

TEST_CASE("prune: what is read stays as it is") {
    const Graph g = sum_graph(4, true);
    CHECK(to_text(prune(g)) == to_text(g));
}

TEST_CASE("prune: of a gradient only the history that it reads is kept") {
    Graph g = sum_graph(4, false);
    const auto grads = differentiate(g, {g.outputs[0]}, {}, {g.parameters()[2]});
    g.outputs = {grads[0]};
    size_t before = 0, after = 0;
    const Graph small = prune(g);
    for (uint32_t i = 0; i < g.size(); ++i) before += g.node(i).is("scan") ? g.node(i).types.size() : 0;
    for (uint32_t i = 0; i < small.size(); ++i) after += small.node(i).is("scan") ? small.node(i).types.size() : 0;
    CHECK(before > after);
    check_values(g, {real(1), integer(0), reals({1, 2, 3, 4}), real(2.5)}, {{2.5, 2.5, 2.5, 2.5}});
}

namespace {

// Parameters: a table, indices, a variable. Outputs: what `run` makes of the first two, the variable's new value.
Graph with_variable(TensorType indices, const std::function<Expr(const Expr& table, const Expr& indices)>& run) {
    Graph g;
    const Expr table = param(g, DType::f64, {3}), at = param(g, indices.dtype, indices.dims),
               variable = param(g, DType::f64, {2});
    returns(g, {run(table, at), variable * 2.0});
    g.output_aliases = {-1, 2};
    return g;
}

// Bad data is reported, names the index, and leaves the variable as it was; good data works before and after.
void check_bad(const Graph& g, const Array& good, const Array& bad, std::string_view index) {
    CAPTURE(to_text(g));
    for (std::string_view disabled : {"", "all", "inplace"}) {
        const Setting setting("disable_passes", disabled);
        const auto plan = compile(g);
        for (const bool fails : {false, true, false}) {
            const InPlaceRun run(*plan, {reals({10, 20, 30}), fails ? bad : good, reals({1, 2})});
            CAPTURE(run.error);
            CHECK((run.error.find(index) != std::string::npos) == fails);
            CHECK(run.parameters[2].values() == (fails ? std::vector<double>{1, 2} : std::vector<double>{2, 4}));
        }
    }
}

Expr pick(const Expr& table, const Expr& index) { return emit("gather", {table, index}, {int64_t{0}}); }
Array indices(std::vector<double> v) {
    const auto n = static_cast<int64_t>(v.size());
    return {DType::i32, {n}, v};
}

}  // namespace

TEST_CASE("control: bad data in the body of a scan is an error that changes no variable") {
    const BodyPtr b = body({kReal, kInt, kThree}, [](const Exprs& in) -> Exprs {
        const Expr sum = in[0] + pick(in[2], in[1]);
        return {sum, sum};
    });
    check_bad(with_variable({DType::i32, {4}},
                            [&](const Expr& table, const Expr& at) {
                                return scan(b, {full(*at.g, 0.0, DType::f64), at, table},
                                            {.carries = 1, .xs = 1, .length = 4, .history = false})[1];
                            }),
              indices({0, 2, 1, -1}), indices({0, 2, 77, 1}), "77");
}

TEST_CASE("control: bad data counts in the branch that runs only") {
    const BodyPtr safe = body({kInt, kThree}, [](const Exprs& in) -> Exprs { return {reduce_sum(in[1], {0})}; });
    const BodyPtr picks = body({kInt, kThree}, [](const Exprs& in) -> Exprs { return {pick(in[1], in[0])}; });
    const Graph g = with_variable({DType::i32, {2}}, [&](const Expr& table, const Expr& at) {
        return switch_of({safe, picks}, {row_of(at, 0), row_of(at, 1), table})[0];
    });
    check_bad(g, indices({1, 2}), indices({1, 55}), "55");
    check_bad(g, indices({0, 55}), indices({1, 55}), "55");
}

TEST_CASE("control: bad data in a while loop's body or condition is an error that changes no variable") {
    const std::vector<TensorType> types{kInt, kReal, kThree};
    const BodyPtr positive = body(types, [](const Exprs& in) -> Exprs { return {in[0] >= 0.0}; });
    const BodyPtr picks = body(types, [](const Exprs& in) -> Exprs { return {in[0] - 1.0, in[1] + pick(in[2], in[0])}; });
    const BodyPtr asks = body(types, [](const Exprs& in) -> Exprs { return {pick(in[2], in[0]) > 10.0}; });
    const BodyPtr counts = body(types, [](const Exprs& in) -> Exprs { return {in[0] - 1.0, in[1] + 1.0}; });
    for (const auto& [condition, step] : {std::pair{positive, picks}, std::pair{asks, counts}})
        for (const int64_t limit : {-1, 50})
            check_bad(with_variable(kInt,
                                    [&](const Expr& table, const Expr& at) {
                                        return while_loop(condition, step, {at, full(*at.g, 0.0, DType::f64), table}, 2,
                                                          limit)[1];
                                    }),
                      integer(2), integer(33), "33");
}

}  // namespace fk::test
