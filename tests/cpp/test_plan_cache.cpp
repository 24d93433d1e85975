// The cache of plans: right for every graph it is asked for, with constants that vary as parameters, and bounded.
#include <atomic>
#include <thread>

#include "control_support.h"
#include "plan_support.h"
#include "runtime/lazy.h"

namespace fk::test {

namespace {

// Results that a graph's own plan gives, to the bit.
void check_cached(const Graph& g, const CachedPlan& cached, const std::vector<Array>& in) {
    CAPTURE(to_text(g));
    const std::vector<Array> expected = run_graph(g, in), got = run_cached(cached, in);
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
        REQUIRE(got[i].type == expected[i].type);
        CAPTURE(got[i].values());
        CAPTURE(expected[i].values());
        CHECK(std::memcmp(got[i].buffer.data, expected[i].buffer.data, got[i].buffer.size) == 0);
    }
}

bool hit(const Graph& g) {
    const uint64_t before = cache_stats().hits;
    (void)cached_plan(g, cpu_device());
    return cache_stats().hits > before;
}

// A graph that no other test asks for: its parameter has a size of its own.
int64_t fresh_size() {
    static int64_t next = 1000;
    return ++next;
}

Graph times(double factor, TensorType t) {
    Graph g;
    const Expr x = param(g, t.dtype, t.dims);
    returns(g, {emit("multiply", {x, full(g, factor, t.dtype)})});
    return g;
}

// x * a + b, with both constants used.
Graph affine(double a, double b, int64_t n) {
    Graph g;
    const Expr x = param(g, DType::f64, {n});
    returns(g, {x * a + b, x - a});
    return g;
}

}  // namespace

TEST_CASE("plan cache: a graph is found again, whatever it was made of") {
    const int64_t n = fresh_size();
    CHECK(!hit(affine(2, 3, n)));
    CHECK(hit(affine(2, 3, n)));
    Graph g;  // with a label, and a node that nobody reads
    const Expr x = param(g, DType::f64, {n});
    g.current_label = g.intern_label("layer");
    (void)exp(x);
    returns(g, {x * 2.0 + 3.0, x - 2.0});
    CHECK(hit(g));
    CHECK(cached_plan(g, cpu_device()).plan == cached_plan(affine(2, 3, n), cpu_device()).plan);
}

TEST_CASE("plan cache: constants that vary become parameters of one plan") {
    const int64_t n = fresh_size();
    const std::vector<Array> in{continuous_array({DType::f64, {n}}, 1)};
    std::shared_ptr<const Plan> general;
    for (int i = 0; i < 12; ++i) {
        const Graph g = affine(0.1 * i, 7, n);
        const CachedPlan cached = cached_plan(g, cpu_device());
        check_cached(g, cached, in);
        CHECK(cached.scalars.size() == (i < 3 ? 0 : 1));  // the other constant is always the same
        if (i == 3) general = cached.plan;
        if (i > 3) CHECK(cached.plan == general);
    }
    CHECK(hit(affine(1, 7, n)));  // the first ones keep their plans
    CHECK(cached_plan(affine(0, 7, n), cpu_device()).scalars.empty());
    for (int i = 0; i < 4; ++i) {  // now the other one varies, too
        const Graph g = affine(0.3, 100.0 + i, n);
        const CachedPlan cached = cached_plan(g, cpu_device());
        CHECK(cached.scalars.size() == 2);
        check_cached(g, cached, in);
    }
    CHECK(hit(affine(-5, -6, n)));
}

TEST_CASE("plan cache: a constant as a parameter has the value that it has in a plan of its own") {
    const double kValues[] = {1,     2,    3,     0,      -0.0,     -1,        7,  100, 127, 0.1, -2.5, 1e-3, 3.14159265358979,
                              65504, 1e30, -1e30, 1e-310, INFINITY, -INFINITY, NAN};
    for (int d = 1; d < kDTypeCount; ++d) {
        const auto t = static_cast<DType>(d);
        const int64_t n = fresh_size();
        const Array x = random_array(t, {n}, 3, is_float(t) ? 4 : 64);
        size_t lifted = 0;
        for (double v : kValues) {
            const bool fits = is_float(t) || (v == std::floor(v) && std::fabs(v) <= 127 && (v >= 0 || is_signed_int(t)));
            if (!fits) continue;
            CAPTURE(name(t));
            CAPTURE(v);
            Graph g;
            const Expr p = param(g, t, {n}), c = full(g, v, t);
            returns(g, {emit("add", {p, c}), emit("multiply", {p, c}), emit("subtract", {c, p})});
            const CachedPlan cached = cached_plan(g, cpu_device());
            check_cached(g, cached, {x});
            lifted += cached.scalars.size();
        }
        CHECK((lifted > 0) == (t != DType::f16 && t != DType::bf16));  // memory would round where a loop does not
    }
}

TEST_CASE("plan cache: integers wrap alike as constants and as parameters") {
    for (const DType t : {DType::i8, DType::i16, DType::i32, DType::i64, DType::u8, DType::u16, DType::u32, DType::u64}) {
        const int64_t n = fresh_size();
        const Array x = random_array(t, {n}, 3, 64);
        for (double v : {1.0, 2.0, 3.0, -1.0, 255.0, 256.0, -129.0, 65537.0, 2147483648.0, -2147483649.0, 4294967297.0, 0x1p52}) {
            CAPTURE(name(t));
            CAPTURE(v);
            Graph g;
            const Expr p = param(g, t, {n}), c = full(g, v, t);
            returns(g, {emit("multiply", {p, c}), emit("add", {p, c})});
            check_cached(g, cached_plan(g, cpu_device()), {x});
        }
        CHECK(cached_plan(times(3, {t, {n}}), cpu_device()).scalars.empty());
    }
}

TEST_CASE("plan cache: constants whose value shapes the plan stay in it") {
    const int64_t n = fresh_size();
    const auto powers = [&](double exponent, double bound) {
        Graph g;
        const Expr x = param(g, DType::f64, {n}), y = x * x + 1.0;
        returns(g, {power(y, exponent), minimum(y, bound), full(g, bound, DType::f64)});
        return g;
    };
    for (double v : {1.0, 2.0, 3.0, 0.5, -1.0, 2.5, 7.0}) {
        const Graph g = powers(v, v + 1);
        const CachedPlan cached = cached_plan(g, cpu_device());
        CHECK(cached.scalars.empty());
        check_cached(g, cached, inputs_for(g, 3));
    }
}

TEST_CASE("plan cache: lifted constants keep the order of parameters and outputs") {
    const int64_t n = fresh_size();
    for (int i = 0; i < 8; ++i) {
        Graph g;  // constants before, between and after the parameters, of several types
        const Expr base = full(g, 1.5 * i, DType::f64), x = param(g, DType::f64, {n}), count = full(g, 3.0 + i, DType::i32),
                   y = param(g, DType::i32, {n}), rate = full(g, 0.5 / (1 + i), DType::f32), z = param(g, DType::f32, {n});
        returns(g, {x * 0.25 + base, y * count, z * rate, x, y - count});
        g.output_aliases = {0, 1, -1, -1, -1};
        const CachedPlan cached = cached_plan(g, cpu_device());
        CHECK(cached.scalars.size() == (i < 3 ? 0 : 3));
        CHECK(cached.plan->output_aliases == g.output_aliases);
        check_cached(g, cached, inputs_for(g, 5));
    }
}

TEST_CASE("plan cache: constants with a shape, and other attributes, are part of the key") {
    const int64_t n = fresh_size();
    const auto shaped = [&](double v) {
        Graph g;
        returns(g, {param(g, DType::f64, {n}) + full(g, v, DType::f64, {n})});
        return g;
    };
    for (int i = 0; i < 6; ++i) {
        const Graph g = shaped(i);
        const CachedPlan cached = cached_plan(g, cpu_device());
        CHECK(cached.scalars.empty());
        check_cached(g, cached, inputs_for(g, 1));
    }
}

TEST_CASE("plan cache: graphs that differ have plans of their own") {
    const int64_t n = fresh_size();
    const DType f = DType::f64;
    const auto graph = [&](std::initializer_list<TensorType> types, const std::function<Exprs(const Exprs&)>& build,
                           std::vector<int32_t> aliases = {}) {
        Graph g;
        Exprs in;
        for (const TensorType& t : types) in.push_back(param(g, t.dtype, t.dims));
        for (const Expr& e : build(in)) g.outputs.push_back(e.v);
        g.output_aliases = std::move(aliases);
        return g;
    };
    const TensorType x{f, {n}}, y{f, {n}}, wide{f, {n, 1}}, single{DType::f32, {n}}, square_of{f, {3, 3}};
    std::vector<Graph> graphs;
    graphs.push_back(graph({x, y}, [](const Exprs& in) -> Exprs { return {in[0] - in[1]}; }));
    graphs.push_back(graph({x, y}, [](const Exprs& in) -> Exprs { return {in[1] - in[0]}; }));
    graphs.push_back(graph({x, y}, [](const Exprs& in) -> Exprs { return {in[0] + in[1]}; }));
    graphs.push_back(graph({x, y}, [](const Exprs& in) -> Exprs { return {in[0] - in[1], in[0]}; }));
    graphs.push_back(graph({x, y}, [](const Exprs& in) -> Exprs { return {in[0], in[0] - in[1]}; }));
    graphs.push_back(graph({x, y, y}, [](const Exprs& in) -> Exprs { return {in[0] - in[1]}; }));
    graphs.push_back(graph({x, y, y}, [](const Exprs& in) -> Exprs { return {in[0] - in[2]}; }));
    graphs.push_back(graph({wide, wide}, [](const Exprs& in) -> Exprs { return {in[0] - in[1]}; }));
    graphs.push_back(graph({single, single}, [](const Exprs& in) -> Exprs { return {in[0] - in[1]}; }));
    graphs.push_back(graph({x, y}, [](const Exprs& in) -> Exprs { return {in[0] - in[1]}; }, {0}));
    graphs.push_back(graph({x, y}, [](const Exprs& in) -> Exprs { return {in[0] - in[1]}; }, {1}));
    for (int64_t k : {1, 2})
        for (uint32_t which : {0, 1})
            graphs.push_back(graph({x}, [&](const Exprs& in) -> Exprs { return {emit_all("top_k", {in[0]}, {k})[which]}; }));
    for (const Dims& perm : {Dims{0, 1}, Dims{1, 0}})
        graphs.push_back(graph({square_of}, [&](const Exprs& in) -> Exprs { return {emit("transpose", {in[0]}, {perm})}; }));
    for (const int64_t axis : {0, 1})
        graphs.push_back(graph({square_of}, [&](const Exprs& in) -> Exprs { return {emit("softmax", {in[0]}, {axis})}; }));
    for (const DType t : {DType::i32, DType::i64, DType::bf16})
        graphs.push_back(graph({x}, [&](const Exprs& in) -> Exprs { return {cast(in[0], t)}; }));
    std::vector<std::shared_ptr<const Plan>> plans;
    for (const Graph& g : graphs) {
        const CachedPlan cached = cached_plan(g, cpu_device());
        check_cached(g, cached, inputs_for(g, 2));
        CHECK(std::ranges::find(plans, cached.plan) == plans.end());
        plans.push_back(cached.plan);
    }
    for (size_t i = 0; i < graphs.size(); ++i) CHECK(cached_plan(graphs[i], cpu_device()).plan == plans[i]);
}

TEST_CASE("plan cache: graphs that differ only in a body have plans of their own") {
    const int64_t n = fresh_size();
    const std::vector<TensorType> types{{DType::f64, {n}}};
    const auto with = [&](const Bodies& branches) {
        Graph g;
        const Expr index = param(g, DType::i32, {});
        returns(g, {switch_of(branches, {index, param(g, DType::f64, {n})})[0]});
        return g;
    };
    const auto scaled = [&](double factor) { return body(types, [&](const Exprs& in) -> Exprs { return {in[0] * factor}; }); };
    const BodyPtr sine = body(types, [](const Exprs& in) -> Exprs { return {sin(in[0])}; });
    const BodyPtr nested = body(
        types, [&](const Exprs& in) -> Exprs { return {switch_of({sine, sine}, {full(*in[0].g, 0.0, DType::i32), in[0]})[0]}; });
    const BodyPtr nested_other = body(types, [&](const Exprs& in) -> Exprs {
        return {switch_of({scaled(2), sine}, {full(*in[0].g, 0.0, DType::i32), in[0]})[0]};
    });
    std::vector<Graph> graphs;
    for (const Bodies& b : {Bodies{sine, scaled(2)}, Bodies{scaled(2), sine}, Bodies{scaled(2), scaled(3)}, Bodies{scaled(2)},
                            Bodies{scaled(2), sine, sine}, Bodies{nested}, Bodies{nested_other}})
        graphs.push_back(with(b));
    for (int k = 4; k < 10; ++k) graphs.push_back(with({scaled(k)}));  // constants of bodies are no parameters
    std::vector<std::shared_ptr<const Plan>> plans;
    for (const Graph& g : graphs) {
        const CachedPlan cached = cached_plan(g, cpu_device());
        CHECK(cached.scalars.empty());
        for (double index : {0, 1}) {
            std::vector<Array> in = inputs_for(g, 2);
            in[0] = Array(DType::i32, {}, {index});
            check_cached(g, cached, in);
        }
        CHECK(std::ranges::find(plans, cached.plan) == plans.end());
        plans.push_back(cached.plan);
    }
    CHECK(hit(with({scaled(2), sine})));  // an equal body of its own is the same program
}

TEST_CASE("plan cache: outputs with high numbers are told apart") {
    constexpr int kOutputs = 300;
    const BodyPtr many = body({{DType::f64, {}}}, [](const Exprs& in) -> Exprs {
        Exprs out;
        for (int i = 0; i < kOutputs; ++i) out.push_back(in[0] + static_cast<double>(i));
        return out;
    });
    for (const int unused : {0, 1, 2, 3})  // so that the node has other numbers
        for (const size_t which : {0, 1, 255, 256, 257, 299}) {
            Graph g, used;
            std::vector<Array> in{Array(DType::i32, {}, {0}), Array(DType::f64, {}, {0.5})};
            for (Graph* to : {&g, &used}) {
                const Expr index = param(*to, DType::i32, {}), x = param(*to, DType::f64, {});
                for (int i = 0; i < unused; ++i) (void)param(*to, DType::f64, {});
                const Expr out = switch_of({many}, {index, x})[which];
                returns(*to, {to == &g ? out : out * 2.0});
            }
            for (int i = 0; i < unused; ++i) in.emplace_back(TensorType{DType::f64, {}});
            CAPTURE(which);
            CHECK(run_cached(cached_plan(g, cpu_device()), in)[0].values()[0] == 0.5 + static_cast<double>(which));
            CHECK(run_cached(cached_plan(used, cpu_device()), in)[0].values()[0] == 1 + 2 * static_cast<double>(which));
        }
}

TEST_CASE("plan cache: random graphs and their variations give what their own plans give") {
    for (uint32_t seed = 0; seed < fuzz(40); ++seed) {
        RandomGraph r(seed, 8);
        for (int k = 0; k < 5; ++k) {
            Graph g = r.g;
            for (Value& v : g.outputs) v = (Expr{&g, v} * (0.5 + k) + 0.25 * (k % 3)).v;
            CAPTURE(seed);
            CAPTURE(k);
            // Folded into the plan or not, a constant may be rounded with its neighbours in another order.
            const auto in = inputs_for(g, seed);
            const auto expected = run_graph(g, in), got = run_cached(cached_plan(g, cpu_device()), in);
            for (size_t i = 0; i < got.size(); ++i) CHECK(worst(got[i].values(), expected[i].values()) < 1e-12);
        }
    }
}

TEST_CASE("plan cache: it is bounded, and the least recently used go first") {
    const Setting setting("cache_size", "4");
    std::vector<Graph> graphs;
    for (int i = 0; i < 8; ++i) graphs.push_back(affine(2, 3, fresh_size()));
    for (int i = 0; i < 4; ++i) (void)cached_plan(graphs[static_cast<size_t>(i)], cpu_device());
    CHECK(cache_stats().size == 4);
    CHECK(hit(graphs[0]));  // now 1 is the oldest
    CHECK(!hit(graphs[4]));
    CHECK(cache_stats().size == 4);
    CHECK(hit(graphs[0]));
    CHECK(hit(graphs[2]));
    CHECK(!hit(graphs[1]));
    config::set("cache_size", "1");
    CHECK(!hit(graphs[5]));
    CHECK(cache_stats().size == 1);
    config::set("cache_size", "0");  // holds one all the same
    CHECK(!hit(graphs[6]));
    CHECK(hit(graphs[6]));
    CHECK(cache_stats().size == 1);
}

TEST_CASE("plan cache: a plan that was dropped still runs") {
    const Setting setting("cache_size", "1");
    const Graph g = affine(2, 3, fresh_size());
    const CachedPlan cached = cached_plan(g, cpu_device());
    (void)cached_plan(affine(2, 3, fresh_size()), cpu_device());
    check_cached(g, cached, inputs_for(g, 1));
}

TEST_CASE("plan cache: several threads may ask at once") {
    const Setting setting("cache_size", "6");
    const int64_t n = fresh_size();
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            for (int k = 0; k < 60; ++k) {
                const double a = (k * (t + 1)) % 11, b = k % 3;
                const Graph g = affine(a, b, n + k % 8);
                const CachedPlan cached = cached_plan(g, cpu_device());
                Array x(DType::f64, {n + k % 8}, std::vector<double>(static_cast<size_t>(n + k % 8), 2.0));
                Array y(x.type), z(x.type);
                std::vector<const void*> in{x.buffer.data};
                for (const CachedPlan::Scalar& s : cached.scalars) in.push_back(s.data());
                void* out[] = {y.buffer.data, z.buffer.data};
                cached.plan->run(in.data(), out);
                if (y.values().back() != 2 * a + b || z.values().front() != 2 - a) ++wrong;
            }
        });
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
}

}  // namespace fk::test
