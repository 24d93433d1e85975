// Plans: memory sharing, variables updated in place, failing runs that change nothing, concurrent runs.
#include <algorithm>
#include <atomic>
#include <map>
#include <span>
#include <thread>

#include "plan_support.h"

namespace fk::test {

namespace {

// Updating in place gives what separate memory gives, whatever the planner decides.
void check_in_place(const Graph& g, const std::vector<Array>& in) {
    CAPTURE(to_text(g));
    const auto plan = compile(g);
    CAPTURE(plan->text());
    const std::vector<Array> expected = run_plan(*plan, in);
    const InPlaceRun shared(*plan, in);
    CHECK(shared.error == "");
    for (size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i);
        CHECK(std::memcmp(shared.outputs[i].buffer.data, expected[i].buffer.data, expected[i].buffer.size) == 0);
    }
}

size_t count_copies(const Plan& plan) { return static_cast<size_t>(std::ranges::count(plan.steps, "copy", &Step::op)); }

Array numbers(std::vector<double> v) {
    const auto n = static_cast<int64_t>(v.size());
    return {DType::f32, {n}, v};
}

}  // namespace

TEST_CASE("plan: an update is written over the variable without a copy") {
    Graph g;
    const Expr w = param(g, {1000}), grad = param(g, {1000});
    returns(g, {w - 0.1 * grad});
    g.output_aliases = {0};
    const auto plan = compile(g);
    CHECK(plan->steps.size() == 1);
    CHECK(count_copies(*plan) == 0);
    check_in_place(g, inputs_for(g, 1));
}

TEST_CASE("plan: an old value that is still read is not overwritten early") {
    Graph g;
    const Expr w = param(g, {64, 64}), x = param(g, {64, 64});
    const Expr next = w + 1.0;
    returns(g, {next, emit("matmul", {x, w}), w, emit("transpose", {w}, {Dims{1, 0}})});
    g.output_aliases = {0, -1, -1, -1};
    check_in_place(g, inputs_for(g, 1));
    Graph t;  // reads its variable at other places than it writes
    const Expr v = param(t, {64, 64});
    returns(t, {emit("transpose", {v}, {Dims{1, 0}}) + v});
    t.output_aliases = {0};
    check_in_place(t, inputs_for(t, 2));
    Graph m;
    const Expr a = param(m, {64, 64});
    returns(m, {emit("matmul", {a, a})});
    m.output_aliases = {0};
    check_in_place(m, inputs_for(m, 3));
}

TEST_CASE("plan: variables that exchange their values") {
    for (const std::vector<int>& order :
         std::vector<std::vector<int>>{{1, 0}, {1, 2, 0}, {2, 0, 1}, {1, 0, 3, 2}, {0, 2, 1}, {1, 1, 0}}) {
        Graph g;
        std::vector<Expr> v;
        std::vector<Array> in;
        for (size_t i = 0; i < order.size(); ++i)
            v.push_back(param(g, {3})), in.push_back(numbers({1.0 * static_cast<double>(i), 10, 20}));
        for (size_t i = 0; i < order.size(); ++i) {
            g.outputs.push_back(v[static_cast<size_t>(order[i])].v);
            g.output_aliases.push_back(static_cast<int32_t>(i));
        }
        check_in_place(g, in);
        // The same with some of them computed, and read by others.
        for (size_t computed = 0; computed < order.size(); ++computed) {
            Graph h = g;
            Expr x{&h, h.outputs[computed]};
            h.outputs[computed] = (x * 2.0 + Expr{&h, h.parameters()[0]}).v;
            h.outputs.push_back((x + 1.0).v);
            h.output_aliases.push_back(-1);
            check_in_place(h, in);
        }
    }
}

TEST_CASE("plan: one value for two variables, a variable assigned to itself") {
    Graph g;
    const Expr a = param(g, {4}), b = param(g, {4});
    const Expr s = a + b;
    returns(g, {s, s, s});
    g.output_aliases = {0, 1, -1};
    check_in_place(g, inputs_for(g, 1));
    Graph h;
    const Expr x = param(h, {4});
    returns(h, {x, x});
    h.output_aliases = {0, -1};
    check_in_place(h, inputs_for(h, 1));
}

TEST_CASE("plan: random updates in place") {
    for (uint32_t seed = 0; seed < fuzz(150); ++seed) {
        RandomGraph r(seed, 10);
        std::mt19937 rng(seed);
        // Values of a parameter's type become its new value.
        std::map<int32_t, Value> updates;
        for (uint32_t n = 0; n < r.g.size(); ++n)
            for (size_t p = 0; p < r.g.parameters().size(); ++p)
                if (r.g.type({n, 0}) == r.g.type(r.g.parameters()[p]) && rng() % 3 == 0)
                    updates[static_cast<int32_t>(p)] = {n, 0};
        r.g.output_aliases.assign(r.g.outputs.size(), -1);
        for (const auto& [p, v] : updates) {
            const size_t at = rng() % (r.g.outputs.size() + 1);
            r.g.outputs.insert(r.g.outputs.begin() + static_cast<std::ptrdiff_t>(at), v);
            r.g.output_aliases.insert(r.g.output_aliases.begin() + static_cast<std::ptrdiff_t>(at), p);
        }
        CAPTURE(seed);
        check_in_place(r.g, inputs_for(r.g, seed));
        const Setting off("disable_passes", seed % 2 ? "fuse" : "inplace");
        check_in_place(r.g, inputs_for(r.g, seed));
    }
}

TEST_CASE("plan: an index out of range is reported and leaves variables as they were") {
    Graph g;
    const Expr w = param(g, {5, 3}), i = param(g, DType::i32, {2}), u = param(g, {7}), labels = param(g, DType::i32, {2});
    const Expr rows = emit("gather", {w, i}, {int64_t{0}});
    const Expr loss = reduce_sum(emit("sparse_softmax_cross_entropy", {rows, labels}), {0});
    const auto grads = differentiate(g, {loss.v}, {}, {w.v});
    returns(g, {loss, w - 0.5 * Expr{&g, grads[0]}, u * 2.0, cast(u, DType::f64)});
    g.output_aliases = {-1, 0, 2, -1};
    const auto plan = compile(g);
    CAPTURE(plan->text());
    const Array w0 = continuous_array({DType::f32, {5, 3}}, 1), u0 = continuous_array({DType::f32, {7}}, 2);
    auto ints = [](double a, double b) { return Array(DType::i32, {2}, {a, b}); };
    for (const auto& [index, label] : std::vector<std::pair<Array, Array>>{
             {ints(1, 5), ints(0, 2)}, {ints(-6, 0), ints(0, 2)}, {ints(0, 1), ints(3, 0)}, {ints(0, 1), ints(0, -1)}}) {
        const InPlaceRun bad(*plan, {w0, index, u0, label});
        CAPTURE(bad.error);
        CHECK(!bad.error.empty());
        CHECK(std::memcmp(bad.parameters[0].buffer.data, w0.buffer.data, w0.buffer.size) == 0);
        CHECK(std::memcmp(bad.parameters[2].buffer.data, u0.buffer.data, u0.buffer.size) == 0);
    }
    const InPlaceRun good(*plan, {w0, ints(1, -1), u0, ints(0, 2)});  // the plan works again after a failure
    CHECK(good.error == "");
    CHECK(std::memcmp(good.parameters[0].buffer.data, w0.buffer.data, w0.buffer.size) != 0);
    check_in_place(g, {w0, ints(1, -1), u0, ints(0, 2)});
}

TEST_CASE("plan: no fallible kernel runs after a variable was written") {
    for (uint32_t seed = 0; seed < fuzz(60); ++seed) {
        RandomGraph r(seed, 10);
        r.g.output_aliases.assign(r.g.outputs.size(), -1);
        const Expr x{&r.g, r.g.parameters()[0]}, index = param(r.g, DType::i32, {3});
        if (x.rank() == 0) continue;
        const Expr picked = emit("gather", {tanh(x), index}, {int64_t{0}});
        r.g.outputs.push_back(picked.v);
        r.g.output_aliases.push_back(-1);
        for (size_t p = 0; p < 3; ++p) {
            r.g.outputs.push_back((Expr{&r.g, r.g.parameters()[p]} * 0.5 + 1.0).v);
            r.g.output_aliases.push_back(static_cast<int32_t>(p));
        }
        std::vector<Array> in = inputs_for(r.g, seed);
        in.back() = Array(DType::i32, {3}, {0, 0, 99});
        const InPlaceRun bad(*compile(r.g), in);
        CAPTURE(to_text(r.g));
        CHECK(bad.error.find("99") != std::string::npos);
        for (size_t p = 0; p < 3; ++p)
            CHECK(std::memcmp(bad.parameters[p].buffer.data, in[p].buffer.data, in[p].buffer.size) == 0);
    }
}

TEST_CASE("plan: an update comes as soon as its gradient is there and nobody reads the old value") {
    constexpr int kLayers = 6;
    constexpr int64_t kWidth = 96;
    Graph g;
    Expr x = param(g, {8, kWidth});
    const Expr rate = param(g, {}), count = param(g, {});
    std::vector<Value> weights;
    for (int i = 0; i < kLayers; ++i) {
        const Expr w = param(g, {kWidth, kWidth});
        weights.push_back(w.v);
        x = tanh(emit("matmul", {x, w}));
    }
    const auto grads = differentiate(g, {reduce_sum(x * x, {0, 1}).v}, {}, weights);
    const Expr step = rate / (count + 1.0);  // recorded behind the gradients, as optimizers do
    returns(g, {count + 1.0});
    g.output_aliases = {2};
    for (int i = 0; i < kLayers; ++i) {
        returns(g, {Expr{&g, weights[static_cast<size_t>(i)]} - step * Expr{&g, grads[static_cast<size_t>(i)]}});
        g.output_aliases.push_back(3 + i);
    }
    const auto plan = compile(g);
    CAPTURE(plan->text());
    CHECK(count_copies(*plan) == 0);
    CHECK(plan->arena_bytes < 4 * kWidth * kWidth * sizeof(float));  // a gradient or two at a time, not all
    std::vector<Array> in = inputs_for(g, 3);
    check_in_place(g, in);
    const Setting off("disable_passes", "inplace");
    const std::vector<Array> expected = run_graph(g, in), got = InPlaceRun(*plan, in).outputs;
    for (size_t i = 0; i < expected.size(); ++i) CHECK(worst(got[i].values(), expected[i].values()) == 0);
}

TEST_CASE("plan: indices that were looked at before cannot fail again") {
    for (const bool same : {true, false}) {
        CAPTURE(same);
        Graph g;
        const Expr table = param(g, {5, 30}), w = param(g, {30, 30}), i = param(g, DType::i32, {2}),
                   other = param(g, DType::i32, {2});
        const Expr y = emit("matmul", {emit("gather", {table, i}, {int64_t{0}}), w});
        const auto grads = differentiate(g, {reduce_sum(y * y, {0, 1}).v}, {}, {w.v});
        const Expr dx = emit("matmul", {y, w}, {int64_t{0}, int64_t{1}});
        const Expr dtable = emit("scatter_add", {zeros_like(table), same ? i : other, dx}, {int64_t{0}});
        returns(g, {w - Expr{&g, grads[0]}, table - dtable});
        g.output_aliases = {1, 0};
        const auto plan = compile(g);
        CAPTURE(plan->text());
        const auto at = [&](std::string_view op) { return std::ranges::find(plan->steps, op, &Step::op) - plan->steps.begin(); };
        std::ptrdiff_t update = 0;  // of w, which writes output 0
        for (const Step& step : plan->steps) {
            const auto operands = std::span(plan->operands).subspan(step.first_operand + step.inputs, step.outputs);
            if (std::ranges::any_of(operands, [](const Operand& o) { return o.place == Place::output && o.at == 0; }))
                update = &step - plan->steps.data();
        }
        CHECK((update < at("scatter_add")) == same);
        const Array t0 = continuous_array({DType::f32, {5, 30}}, 1), w0 = continuous_array({DType::f32, {30, 30}}, 2);
        auto ints = [](double a, double b) { return Array(DType::i32, {2}, {a, b}); };
        for (const auto& [first, second] :
             std::vector<std::pair<Array, Array>>{{ints(0, 5), ints(1, 1)}, {ints(0, 1), ints(-6, 1)}}) {
            const InPlaceRun run(*plan, {t0, w0, first, second});
            const bool bad = !same || first.values()[1] == 5;
            CHECK(run.error.empty() != bad);
            if (!bad) continue;
            CHECK(std::memcmp(run.parameters[0].buffer.data, t0.buffer.data, t0.buffer.size) == 0);
            CHECK(std::memcmp(run.parameters[1].buffer.data, w0.buffer.data, w0.buffer.size) == 0);
        }
        check_in_place(g, {t0, w0, ints(4, -5), ints(2, 2)});
    }
}

TEST_CASE("plan: memory is shared by lifetime") {
    Graph g;
    Expr x = param(g, {512, 512});
    const Expr w = param(g, {512, 512});
    for (int i = 0; i < 8; ++i) x = emit("matmul", {x, w});
    returns(g, {x});
    const auto plan = compile(g);
    CAPTURE(plan->memory_map());
    const size_t one = 512 * 512 * 4;
    CHECK(plan->arena_bytes >= 2 * one);
    CHECK(plan->arena_bytes < 4 * one);  // two live at a time, and scratch
}

TEST_CASE("plan: outputs go to the caller's memory, unused parameters are allowed") {
    Graph g;
    const Expr x = param(g, {8});
    (void)param(g, {3, 3});
    returns(g, {exp(x), x, exp(x), full(g, 2.0, DType::f32, {2})});
    const auto plan = compile(g);
    CHECK(plan->parameter_types.size() == 2);
    const auto in = inputs_for(g, 1);
    const auto out = run_plan(*plan, in);
    CHECK(out[1].values() == in[0].values());
    CHECK(out[2].values() == out[0].values());
    CHECK(out[3].values() == std::vector<double>{2, 2});
    Graph empty;
    CHECK(run_graph(empty, {}).empty());
}

TEST_CASE("plan: runs from several threads at once do not disturb each other") {
    Graph g;
    const Expr x = param(g, {48, 64}), w = param(g, {64, 32}), i = param(g, DType::i32, {5});
    const Expr h = emit("relu", {emit("matmul", {x, w})});
    returns(g, {emit("softmax", {h}), reduce_sum(h * h, {0}), emit("gather", {h, i}, {int64_t{0}})});
    const auto plan = compile(g);
    constexpr int kThreads = 4, kRuns = 200;
    std::vector<std::vector<Array>> inputs, expected;
    for (int t = 0; t < kThreads; ++t) {
        inputs.push_back(inputs_for(g, 10 * static_cast<uint32_t>(t)));
        expected.push_back(run_plan(*plan, inputs.back()));
    }
    std::atomic<int> wrong = 0, reported = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            std::vector<Array> in = inputs[static_cast<size_t>(t)], out;
            std::vector<const void*> from;
            std::vector<void*> to;
            for (const TensorType& type : plan->output_types) out.emplace_back(type);
            for (const Array& a : in) from.push_back(a.buffer.data);
            for (Array& a : out) to.push_back(a.buffer.data);
            auto* index = reinterpret_cast<int32_t*>(in[2].buffer.data);
            for (int k = 0; k < kRuns; ++k) {
                const bool bad = k % 10 == t;  // some runs fail, and only they
                const int32_t before = index[1];
                if (bad) index[1] = 1000;
                try {
                    plan->run(from.data(), to.data());
                    if (bad) ++wrong;
                    for (size_t o = 0; o < out.size(); ++o)
                        if (std::memcmp(out[o].buffer.data, expected[static_cast<size_t>(t)][o].buffer.data,
                                        out[o].buffer.size) != 0)
                            ++wrong;
                } catch (const UserError&) {
                    bad ? ++reported : ++wrong;
                }
                index[1] = before;
            }
        });
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
    CHECK(reported == kThreads * kRuns / 10);
}

TEST_CASE("plan: an op without an implementation says who refused and why") {
    Graph g;
    const Expr x = param(g, DType::i32, {3, 4});
    try {
        returns(g, {emit("conv", {reshape(x, {1, 3, 4, 1}), param(g, DType::i32, {2, 2, 1, 1})},
                         {Dims{1, 1}, Dims{0, 0}, Dims{0, 0}, Dims{1, 1}})});
        (void)compile(g);
        FAIL("no error was raised");
    } catch (const UnsupportedError& e) {
        const std::string message = e.what();
        CAPTURE(message);
        CHECK(message.find("conv(int32[1,3,4,1], int32[2,2,1,1])") != std::string::npos);
        CHECK(message.find("own: ") != std::string::npos);
    } catch (const UserError&) {  // refused at recording already
    }
}

TEST_CASE("plan: listings name every step") {
    Graph g;
    g.current_label = g.intern_label("block/dense");
    returns(g, {emit("relu", {emit("matmul", {param(g, {4, 5}), param(g, {5, 6})}) + param(g, {6})})});
    const auto plan = compile(g);
    CHECK(plan->text().find("matmul_bias_act") != std::string::npos);
    CHECK(plan->text().find("[block/dense]") != std::string::npos);
    CHECK(plan->memory_map().find("arena") == 0);
    CHECK(!plan->timings.empty());
}

}  // namespace fk::test
