// What plans compute ahead of their runs: what is folded, what is kept, and that nothing stale is ever read.
#include <doctest/doctest.h>

#include <cmath>

#include "plan_support.h"
#include "runtime/prologue.h"

namespace fk::test {
namespace {

Expr steady(Graph& g, Dims dims) { return {&g, g.add_parameter({DType::f32, std::move(dims)}, true)}; }

const Attrs kSame = {Dims{1, 1}, Dims{1, 1}, Dims{1, 1}, Dims{1, 1}};

// gamma * (y - mean) / sqrt(variance + epsilon) + beta, as a layer writes it with its moving averages.
Expr normalized(Graph& g, Expr y) {
    const Dims channels{y.dims().back()};
    const Expr gamma = steady(g, channels), beta = steady(g, channels), mean = steady(g, channels),
               variance = steady(g, channels);
    const Expr factor = rsqrt(abs(variance) + 1e-3) * gamma;
    return y * factor + (-(mean * factor) + beta);
}

struct Ahead {
    std::shared_ptr<const Plan> plan;
    Prologue prologue;
    explicit Ahead(const Graph& g) : plan(compile(g)) {}
    std::vector<Array> run(const std::vector<Array>& inputs, const std::vector<uint64_t>& ids) {
        std::vector<const void*> in;
        for (const Array& a : inputs) in.push_back(a.buffer.data);
        std::vector<Array> outputs;
        std::vector<void*> out;
        for (const TensorType& t : plan->output_types) outputs.emplace_back(t);
        for (Array& a : outputs) out.push_back(a.buffer.data);
        const Prologue::Lease lease = prologue.lease(*plan, in.data(), ids);
        plan->run(in.data(), out.data(), nullptr, lease.memory());
        return outputs;
    }
};

double difference(const std::vector<Array>& a, const std::vector<Array>& b) {
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i)
        for (int64_t j = 0; j < a[i].type.size(); ++j) {
            const auto* x = reinterpret_cast<const float*>(a[i].buffer.data);
            const auto* y = reinterpret_cast<const float*>(b[i].buffer.data);
            worst = std::max(worst, static_cast<double>(std::fabs(x[j] - y[j])));
        }
    return worst;
}

// The largest difference that passes make.
double deviation(const Graph& g, uint32_t seed, std::string_view off = "all") {
    const std::vector<Array> with = run_graph(g, inputs_for(g, seed));
    const Setting setting("disable_passes", off);
    return difference(with, run_graph(g, inputs_for(g, seed)));
}

}  // namespace

TEST_CASE("fold_scales: a batch normalisation vanishes into the product in front of it") {
    struct Case {
        const char* what;
        Expr (*product)(Graph&);
    };
    const Case cases[] = {
        {"convolution", [](Graph& g) { return emit("conv", {param(g, {2, 8, 8, 4}), steady(g, {3, 3, 4, 16})}, kSame); }},
        {"with a bias",
         [](Graph& g) {
             const Expr y = emit("conv", {param(g, {2, 8, 8, 4}), steady(g, {3, 3, 4, 16})}, kSame);
             return y + steady(g, {16});
         }},
        {"depthwise",
         [](Graph& g) {
             Attrs attrs = kSame;
             attrs.emplace_back(int64_t{16});
             return emit("conv", {param(g, {2, 8, 8, 16}), steady(g, {3, 3, 1, 16})}, attrs);
         }},
        {"dense", [](Graph& g) { return emit("matmul", {param(g, {8, 12}), steady(g, {12, 20})}); }},
        {"transposed weights",
         [](Graph& g) { return emit("matmul", {param(g, {8, 12}), steady(g, {20, 12})}, {int64_t{0}, int64_t{1}}); }},
        {"dense with a bias",
         [](Graph& g) {
             const Expr y = emit("matmul", {param(g, {8, 12}), steady(g, {12, 20})});
             return steady(g, {20}) + y;
         }},
    };
    for (const Case& c : cases)
        for (const char* act : {"relu", "relu6"}) {
            CAPTURE(c.what);
            Graph g;
            returns(g, {emit(act, {normalized(g, c.product(g))})});
            const auto plan = compile(g);
            CAPTURE(plan->text());
            CHECK(plan->steps.size() - plan->prologue == 1);
            const Node& last = plan->lowered.node(plan->lowered.outputs[0]);
            CHECK(std::get<std::string>(last.attrs.back()) == act);
            CHECK(deviation(g, 1, "fold_scales") < 2e-4);
            CHECK(deviation(g, 1, "all") < 2e-4);
        }
}

TEST_CASE("fold_scales: only what depends on variables, where nobody else reads the product") {
    Graph read_twice;
    const Expr y = emit("conv", {param(read_twice, {2, 8, 8, 4}), steady(read_twice, {3, 3, 4, 16})}, kSame);
    returns(read_twice, {normalized(read_twice, y), y});
    Graph by_input;
    const Expr z = emit("conv", {param(by_input, {2, 8, 8, 4}), steady(by_input, {3, 3, 4, 16})}, kSame);
    returns(by_input, {z * param(by_input, {16})});
    Graph trained;
    const Expr w = emit("conv", {param(trained, {2, 8, 8, 4}), param(trained, {3, 3, 4, 16})}, kSame);
    returns(trained, {w * steady(trained, {16})});
    Graph by_rows;  // a factor for each row is none for the weights
    const Expr rows = emit("matmul", {param(by_rows, {8, 12}), steady(by_rows, {12, 8})}) * steady(by_rows, {8, 1});
    returns(by_rows, {rows});
    for (const Graph* g : {&read_twice, &by_input, &trained, &by_rows}) {
        const Graph folded = fold_scales(*g);
        for (uint32_t n = 0; n < folded.size(); ++n)
            if (folded.node(n).is("conv") || folded.node(n).is("matmul"))
                CHECK(folded.node(folded.node(n).inputs[1]).is("parameter"));
        CHECK(deviation(*g, 2) < 1e-5);
    }
}

TEST_CASE("prologue: without steady parameters there is none") {
    Graph g;
    returns(g, {emit("matmul", {param(g, {8, 12}), exp(param(g, {12, 20}))})});
    const auto plan = compile(g);
    CHECK(plan->prologue == 0);
    CHECK(plan->kept_bytes == 0);
    CHECK(plan->text().find("ahead") == std::string::npos);
}

TEST_CASE("prologue: what would be larger than what it is made of stays in the run") {
    Graph g;
    const Expr u = steady(g, {600, 1}), v = steady(g, {1, 600}), x = param(g, {600, 600});
    returns(g, {x + exp(u) * exp(v)});
    const auto plan = compile(g);
    CAPTURE(plan->text());
    CHECK(plan->kept_bytes <= 2 * 600 * sizeof(float) + 128);
    CHECK(deviation(g, 3) < 1e-5);
}

TEST_CASE("prologue: a table that is only looked up is not copied") {
    Graph g;
    const Expr table = steady(g, {5000, 16});
    const Expr ids{&g, g.add_parameter({DType::i64, {4}})};
    returns(g, {emit("gather", {table, ids}, {int64_t{0}})});
    CHECK(compile(g)->kept_bytes == 0);
}

TEST_CASE("prologue: a steady result is copied to each run's output") {
    Graph g;
    const Expr w = steady(g, {32, 32});
    const Expr x = param(g, {4});
    returns(g, {exp(w), x + 1.0});
    Ahead ahead(g);
    const std::vector<Array> inputs = inputs_for(g, 4);
    const std::vector<Array> first = ahead.run(inputs, {1, 0}), second = ahead.run(inputs, {1, 0});
    CHECK(difference(first, second) == 0);
    CHECK(difference(first, run_graph(g, inputs)) == 0);
}

TEST_CASE("prologue: what depends on constants alone is computed once") {
    Graph g;
    const Expr x = param(g, {300}), w = steady(g, {300});
    const Expr places =
        cast({&g, {g.add(get_op("iota"), {}, {Dims{300}, int64_t{0}, static_cast<int64_t>(DType::i64)}), 0}}, DType::f32);
    returns(g, {x * sin(places), x + w});
    Ahead ahead(g);
    CHECK(ahead.plan->prologue == 1);
    CHECK(ahead.plan->prologue_parameters.empty());
    const std::vector<Array> inputs = inputs_for(g, 9);
    for (uint64_t id : {1, 1, 2}) CHECK(difference(ahead.run(inputs, {0, id}), run_graph(g, inputs)) == 0);
}

TEST_CASE("prologue: what reads a step of the run belongs to the run") {
    Graph g;
    const Expr table = steady(g, {10, 300});
    const Expr ids{&g, g.add_parameter({DType::i64, {4}}, true)}, x = param(g, {300});
    const Expr found = emit("gather", {table, ids}, {int64_t{0}});  // may report a wrong index, at each run
    const Expr big = exp(steady(g, {400, 1})) * exp(steady(g, {1, 400}));
    returns(g, {x + reduce_sum(found, {0}), x * reduce_sum(emit("sort", {big}, {int64_t{-1}}), {0, 1}),
                emit("sort", {big}, {int64_t{0}})});
    Ahead ahead(g);
    CAPTURE(ahead.plan->text());
    for (size_t i = 0; i < ahead.plan->prologue; ++i) CHECK(ahead.plan->steps[i].op != "gather");
    const std::vector<Array> inputs = inputs_for(g, 10);
    for (uint64_t id : {1, 1, 2}) {
        const std::vector<uint64_t> ids_of(g.parameters().size(), id);
        CHECK(difference(ahead.run(inputs, ids_of), run_graph(g, inputs)) == 0);
    }
}

TEST_CASE("prologue: random writes never leave anything stale") {
    Graph g;
    const Expr x = param(g, {2, 8, 8, 4});
    const Expr y = emit("relu", {normalized(g, emit("conv", {x, steady(g, {3, 3, 4, 16})}, kSame))});
    const Expr z = normalized(g, emit("conv", {y, steady(g, {1, 1, 16, 24})}, {Dims{1, 1}, Dims{0, 0}, Dims{0, 0}, Dims{1, 1}}));
    const Expr flat = reshape(z, {2, 8 * 8 * 24});
    returns(g, {emit("matmul", {flat, steady(g, {8 * 8 * 24, 10})}), exp(steady(g, {7}))});
    Ahead ahead(g);
    const size_t n = g.parameters().size();
    std::vector<Array> inputs = inputs_for(g, 0);
    std::vector<uint64_t> ids(n, 1);
    ids[0] = 0;
    uint64_t next = 2;
    uint64_t random = 12345;
    for (int round = 0; round < 60; ++round) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        const std::vector<Array> fresh = inputs_for(g, 100 * (static_cast<uint32_t>(round) + 1));
        for (size_t p = 0; p < n; ++p)
            if ((random >> (20 + p)) % 3 == 0) {
                std::memcpy(inputs[p].buffer.data, fresh[p].buffer.data, inputs[p].buffer.size);
                if (p > 0) ids[p] = next++;
            }
        CHECK(difference(ahead.run(inputs, ids), run_plan(*ahead.plan, inputs)) == 0);
    }
}

TEST_CASE("prologue: only what a changed parameter reaches is computed again") {
    Graph g;
    const Expr x = param(g, {4, 8});
    returns(g, {emit("matmul", {x, exp(steady(g, {8, 8}))}), emit("matmul", {x, exp(steady(g, {8, 16}))})});
    Ahead ahead(g);
    std::vector<Array> inputs = inputs_for(g, 5);
    const std::vector<Array> before = ahead.run(inputs, {0, 1, 1});
    // The second changes without a new id: if its part ran again, the result would show it.
    const std::vector<Array> fresh = inputs_for(g, 6);
    for (size_t p : {1, 2}) std::memcpy(inputs[p].buffer.data, fresh[p].buffer.data, inputs[p].buffer.size);
    const std::vector<Array> after = ahead.run(inputs, {0, 2, 1});
    CHECK(difference({after[0]}, {before[0]}) > 0);
    CHECK(difference({after[1]}, {before[1]}) == 0);
}

TEST_CASE("prologue: a run keeps the results that it began with, and all are given back") {
    Graph g;
    const Expr x = param(g, {16384}), w = steady(g, {16384});
    returns(g, {x + exp(w)});
    const size_t at_first = allocated_bytes();
    {
        Ahead ahead(g);
        const std::vector<Array> old = inputs_for(g, 7), fresh = inputs_for(g, 8);
        const auto pointers = [](const std::vector<Array>& a) {
            return std::vector<const void*>{a[0].buffer.data, a[1].buffer.data};
        };
        const std::vector<uint64_t> first = {0, 1}, second = {0, 2};
        const size_t empty = allocated_bytes();
        {
            const Prologue::Lease held = ahead.prologue.lease(*ahead.plan, pointers(old).data(), first);
            const float before = *reinterpret_cast<const float*>(held.memory());
            const Prologue::Lease newer = ahead.prologue.lease(*ahead.plan, pointers(fresh).data(), second);
            CHECK(*reinterpret_cast<const float*>(held.memory()) == before);
            CHECK(newer.memory() != held.memory());
            CHECK(*reinterpret_cast<const float*>(newer.memory()) != before);
            const Prologue::Lease same = ahead.prologue.lease(*ahead.plan, pointers(fresh).data(), second);
            CHECK(same.memory() == newer.memory());
            CHECK(allocated_bytes() >= empty + 2 * ahead.plan->kept_bytes);
        }
        CHECK(allocated_bytes() < empty + 2 * ahead.plan->kept_bytes);
    }
    CHECK(allocated_bytes() == at_first);
}

TEST_CASE("prologue: what may find bad indices stays in the run, though a step before looks at them, too") {
    Graph g;
    const Expr x = param(g, {2, 3}), table = steady(g, {5, 3}), other = steady(g, {5, 3});
    const Expr indices{&g, g.add_parameter({DType::i32, {2}}, true)};
    const Expr a = emit("gather", {table, indices}, {int64_t{0}}), b = emit("gather", {other, indices}, {int64_t{0}});
    returns(g, {x * a + b});
    const auto plan = compile(g);
    CAPTURE(plan->text());
    for (size_t i = 0; i < plan->prologue; ++i) CHECK(plan->steps[i].op != "gather");
    CHECK(std::ranges::count(plan->steps, "gather", &Step::op) == 2);
}

}  // namespace fk::test
