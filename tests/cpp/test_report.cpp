// What plans tell about themselves: costs against counts made by hand, refusals, where values come from, memory; and the
// profiler.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "fastkeras/fastkeras.h"
#include "plan_support.h"
#include "runtime/profiler.h"
#include "runtime/report.h"

namespace fk::test {

namespace {

double operations(const Graph& g) {
    double sum = 0;
    for (const StepReport& r : report(*compile(g))) sum += r.cost.operations;
    return sum;
}

std::string read_file(const std::string& path) {
    std::ifstream in(path);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

size_t count_text(const std::string& text, std::string_view part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

// A file that is removed at the end of the scope.
struct TemporaryFile {
    std::string path = concat("/tmp/fk_trace_", getpid(), ".json");
    ~TemporaryFile() { std::remove(path.c_str()); }
};

}  // namespace

TEST_CASE("report: a matrix product counts 2mnk") {
    for (const bool ta : {false, true})
        for (const bool tb : {false, true}) {
            Graph g;
            const Expr a = param(g, ta ? Dims{3, 1, 50, 20} : Dims{3, 1, 20, 50}),
                       b = param(g, tb ? Dims{5, 30, 50} : Dims{5, 50, 30});
            returns(g, {emit("matmul", {a, b}, {int64_t{ta}, int64_t{tb}})});
            const auto plan = compile(g);
            const StepReport r = report(*plan).back();
            CHECK(r.cost.operations == 2.0 * 3 * 5 * 20 * 30 * 50);
            CHECK(r.cost.read == 4.0 * (3 * 20 * 50 + 5 * 50 * 30));
            CHECK(r.cost.written == 4.0 * 3 * 5 * 20 * 30);
            CHECK(r.kind == "matmul");
            CHECK(r.compute == "float32");
        }
    Graph g;  // bias and activation ride along
    returns(g, {emit("relu", {emit("matmul", {param(g, {64, 100}), param(g, {100, 80})}) + param(g, {80})})});
    CHECK(operations(g) == 2.0 * 64 * 100 * 80);
}

TEST_CASE("report: the three convolutions of a layer count the same") {
    const Attrs attrs = {Dims{2, 1}, Dims{1, 0}, Dims{1, 2}, Dims{1, 1}, int64_t{2}};
    Graph g;
    const Expr x = param(g, {2, 9, 8, 4}), w = param(g, {3, 3, 2, 6});
    const Expr y = emit("conv", {x, w}, attrs);
    returns(g, {y});
    // Each output element is a sum of 3 * 3 * 2 products.
    const double expected = 2.0 * static_cast<double>(y.type().size()) * 3 * 3 * 2;
    CHECK(operations(g) == expected);
    for (const bool input : {true, false}) {
        Graph h;
        const Expr a = param(h, input ? y.dims() : x.dims()), b = param(h, input ? w.dims() : y.dims());
        Attrs all = attrs;
        all.insert(all.begin(), input ? x.dims() : w.dims());
        returns(h, {emit(input ? "conv_input_grad" : "conv_filter_grad", {a, b}, all)});
        CHECK(operations(h) == expected);
    }
}

TEST_CASE("report: loops count each value once") {
    Graph g;
    const Expr x = param(g, {10, 40}), row = param(g, {40}), scalar = param(g, {});
    // exp of the row: 40; sqrt of the scalar: 1; the multiplication and the addition: 400 each; the sum: 400.
    const Expr y = x * unary("exp", row) + unary("sqrt", scalar);
    returns(g, {y, reduce_sum(y, {1})});
    const auto plan = compile(g);
    REQUIRE(plan->steps.size() == 1);
    const StepReport r = report(*plan)[0];
    CHECK(r.cost.operations == 40 + 1 + 400 + 400 + 400);
    CHECK(r.cost.read == 4.0 * (400 + 40 + 1));
    CHECK(r.cost.written == 4.0 * (400 + 10));
    CHECK(r.kind == "reduction");
    CHECK(!r.details.empty());
}

TEST_CASE("report: named ops count their bodies, moves nothing, a slice reads what it takes") {
    Graph g;
    returns(g, {emit("softmax", {param(g, {8, 16})}, {int64_t{-1}})});
    CHECK(operations(g) >= 3 * 8 * 16);  // at least a maximum, an exponential and a division for each element
    CHECK(operations(g) <= 8 * 8 * 16);
    Graph t;
    returns(t, {emit("transpose", {param(t, {30, 50})}, {Dims{1, 0}})});
    CHECK(operations(t) == 0);
    CHECK(report(*compile(t))[0].kind == "movement");
    Graph s;
    returns(s, {emit("gather", {param(s, {1000, 8}), param(s, DType::i32, {5})}, {int64_t{0}})});
    const StepReport r = report(*compile(s))[0];
    CHECK(r.cost.read == 4.0 * 5 * 8 + 4.0 * 5);
    CHECK(r.cost.written == 4.0 * 5 * 8);
}

TEST_CASE("report: refusals name the implementation, the reason and the step") {
    Graph g;
    g.current_label = g.intern_label("small");
    const Expr small = emit("matmul", {param(g, {4, 5}), param(g, {5, 6})});
    g.current_label = g.intern_label("first choice");
    returns(g, {small, emit("softmax", {param(g, {16, 16})}, {int64_t{-1}})});
    const auto reports = report(*compile(g));
    REQUIRE(reports.size() == 2);
    for (const StepReport& r : reports) {
        CAPTURE(r.label);
        if (r.label == "small") {
            REQUIRE(r.refusals.size() == 1);
            CHECK(r.refusals[0].first == "onednn");
            CHECK(r.refusals[0].second.find("the own kernel") != std::string::npos);
        } else {
            CHECK(r.refusals.empty());
        }
    }
}

TEST_CASE("report: an op that nobody takes leaves its reasons behind") {
    const Impl picky{"gelu", "picky", [](const Graph&, const Node&) { return std::string("not today"); }, nullptr};
    Graph g;
    g.current_label = g.intern_label("dense");
    returns(g, {emit("gelu", {param(g, {4})})});
    Refusals refusals;
    (void)decompose(g, {&picky, 1}, &refusals);
    REQUIRE(refusals.size() == 1);
    CHECK(refusals[0].op == "gelu");
    CHECK(refusals[0].impl == "picky");
    CHECK(refusals[0].why == "not today");
    CHECK(refusals[0].label == "dense");
    const Impl willing{"gelu", "willing", [](const Graph&, const Node&) { return std::string(); }, nullptr};
    const Impl both[] = {picky, willing};
    refusals.clear();
    CHECK(count_ops(decompose(g, both, &refusals), "gelu") == 1);
    CHECK(refusals.empty());
}

TEST_CASE("report: a loop carries the labels of all its layers") {
    Graph g;
    const Expr x = param(g, {100});
    g.current_label = g.intern_label("first");
    const Expr a = x + 1.0;
    g.current_label = g.intern_label("second");
    returns(g, {a, a * x});
    const auto plan = compile(g);
    REQUIRE(plan->steps.size() == 1);
    CHECK(plan->steps[0].label == "first + second");
}

TEST_CASE("report: sources are the steps that compute the operands") {
    Graph g;
    const Expr x = param(g, {64, 64}), w = param(g, {64, 64});
    const Expr a = emit("matmul", {x, w}), b = emit("softmax", {a}, {int64_t{-1}}), c = emit("matmul", {b, a});
    returns(g, {c});
    const auto reports = report(*compile(g));
    REQUIRE(reports.size() == 3);
    CHECK(reports[0].sources == std::vector<int32_t>{-1, -1});
    CHECK(reports[1].sources == std::vector<int32_t>{0});
    CHECK(reports[2].sources == std::vector<int32_t>{1, 0});
}

TEST_CASE("report: memory spans stay within the arena and never overlap in time") {
    for (uint32_t seed = 0; seed < 20; ++seed) {
        Graph g;
        Expr x = param(g, {32, 32});
        std::vector<Expr> made = {x};
        std::mt19937 rng(seed);
        for (int i = 0; i < 12; ++i) {
            const Expr a = made[rng() % made.size()], b = made[rng() % made.size()];
            made.push_back(rng() % 2 ? emit("matmul", {a, b}) : emit("softmax", {a}, {int64_t{-1}}));
        }
        returns(g, {made.back()});
        const auto plan = compile(g);
        const auto spans = memory_spans(*plan);
        CAPTURE(plan->memory_map());
        for (size_t i = 0; i < spans.size(); ++i) {
            CHECK(spans[i].offset + spans[i].bytes <= plan->arena_bytes);
            CHECK(spans[i].first <= spans[i].last);
            for (size_t j = 0; j < i; ++j) {
                const bool in_place = spans[i].offset == spans[j].offset && spans[i].first == spans[j].last;
                const bool apart =
                    spans[i].offset + spans[i].bytes <= spans[j].offset || spans[j].offset + spans[j].bytes <= spans[i].offset;
                const bool after = spans[i].first > spans[j].last || spans[j].first > spans[i].last;
                CHECK((apart || after || in_place));
            }
        }
        CHECK(peak_bytes(*plan) <= plan->arena_bytes);
    }
}

TEST_CASE("profiler: off it keeps nothing, on it keeps each step of each run") {
    Graph g;
    g.current_label = g.intern_label("a \"quoted\" layer");
    returns(g, {emit("softmax", {emit("matmul", {param(g, {8, 8}), param(g, {8, 8})})}, {int64_t{-1}})});
    const auto plan = compile(g, "trial");
    const std::vector<Array> in = inputs_for(g, 1);
    TemporaryFile file;
    const auto owners = plan.use_count();
    (void)run_plan(*plan, in);
    CHECK(plan.use_count() == owners);
    CHECK(!profiler::enabled());
    CHECK_THROWS_AS(profiler::stop(file.path), UserError);

    profiler::start();
    CHECK(profiler::enabled());
    CHECK_THROWS_AS(profiler::start(), UserError);
    for (int i = 0; i < 3; ++i) (void)run_plan(*plan, in);
    CHECK(plan.use_count() == owners + 1);
    profiler::stop(file.path);
    CHECK(!profiler::enabled());
    CHECK(plan.use_count() == owners);
    const std::string text = read_file(file.path);
    CHECK(count_text(text, "\"name\":\"run trial\"") == 3);
    CHECK(count_text(text, "\"ph\":\"X\"") == 3 * (1 + plan->steps.size()));
    CHECK(count_text(text, "a \\\"quoted\\\" layer") == 3 * plan->steps.size());

    profiler::start();
    profiler::stop(file.path);
    CHECK(count_text(read_file(file.path), "\"ph\":\"X\"") == 0);
}

TEST_CASE("profiler: what is too much is counted") {
    Graph g;
    returns(g, {param(g, {8}) + 1.0});
    const auto plan = compile(g);
    TemporaryFile file;
    profiler::start(5);
    for (int i = 0; i < 10; ++i) (void)run_plan(*plan, inputs_for(g, 1));
    profiler::stop(file.path);
    const std::string text = read_file(file.path);
    CHECK(count_text(text, "\"ph\":\"X\"") == 5);
    CHECK(text.find("\"dropped_events\":15") != std::string::npos);
}

TEST_CASE("profiler: a file that cannot be written is the caller's mistake, and recording has ended") {
    profiler::start();
    CHECK_THROWS_AS(profiler::stop("/no/such/folder/trace.json"), UserError);
    CHECK(!profiler::started());
    profiler::start();
    profiler::stop("");
}

TEST_CASE("profiler: the public API") {
    namespace api = fastkeras;
    api::GraphBuilder b;
    b.output(b.input(api::DType::float32, {4}) * 2.0);
    const api::Program program = b.compile("doubling");
    TemporaryFile file;
    const api::Array x({4}, std::vector<float>{1, 2, 3, 4});
    api::start_profiler();
    CHECK_THROWS_AS(api::start_profiler(), api::InvalidArgument);
    {
        const api::ProfilerSpan span("all of it");
        (void)program.run({&x});
    }
    api::stop_profiler(file.path);
    CHECK_THROWS_AS(api::stop_profiler(file.path), api::InvalidArgument);
    const std::string text = read_file(file.path);
    CHECK(count_text(text, "\"name\":\"run doubling\"") == 1);
    CHECK(text.find("all of it") < text.find("run doubling"));
}

}  // namespace fk::test
