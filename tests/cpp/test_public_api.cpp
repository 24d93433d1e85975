// The public headers alone: record, differentiate, compile, run; the C functions; the exceptions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "fastkeras/c_api.h"
#include "fastkeras/fastkeras.h"

using namespace fastkeras;

namespace {

std::vector<float> ramp(size_t n, float scale) {
    std::vector<float> v(n);
    for (size_t i = 0; i < n; ++i) v[i] = scale * std::sin(static_cast<float>(i * i) * 1.3f);
    return v;
}

}  // namespace

TEST_CASE("public API: a training step converges") {
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {16, 4}), y = g.input(DType::float32, {16, 1}), w = g.input(DType::float32, {4, 1}),
                 b = g.input(DType::float32, {1});
    g.label("dense");
    const Tensor error = g.op("matmul", {x, w}) + b - y;
    const Tensor loss = g.op("reduce_sum", {error * error}, {{"axes", Shape{0, 1}}}) / 16.0;
    const auto grads = g.gradients({loss}, {w, b});
    REQUIRE(grads[0].has_value());
    g.output(loss);
    CHECK(g.update(w, w - 0.3 * *grads[0]) == 1);
    CHECK(g.update(b, b - 0.3 * *grads[1]) == 2);
    const Program step = g.compile();
    CHECK(step.inputs().size() == 4);
    CHECK(step.outputs()[0] == TensorType{DType::float32, {}});
    CHECK(!step.updates(0).has_value());
    CHECK(step.updates(1) == 2);
    CHECK(step.kernels() > 0);
    CHECK(step.text().find("[dense]") != std::string::npos);

    const Array xs({16, 4}, ramp(64, 1.0f));
    std::vector<float> targets(16);
    for (size_t i = 0; i < 16; ++i) targets[i] = 2 * xs.values<float>()[4 * i] - xs.values<float>()[4 * i + 2] + 0.5f;
    const Array ys({16, 1}, targets);
    Array weights({4, 1}, std::vector<float>(4, 0.0f)), bias({1}, std::vector<float>{0.0f}),
        result(TensorType{DType::float32, {}});
    for (int i = 0; i < 400; ++i) {
        const void* in[] = {xs.data(), ys.data(), weights.data(), bias.data()};
        void* out[] = {result.data(), weights.data(), bias.data()};
        step.run(in, out);
    }
    CHECK(result.values<float>()[0] < 1e-6f);
    CHECK(std::fabs(weights.values<float>()[0] - 2) < 1e-2f);
    CHECK(std::fabs(bias.values<float>()[0] - 0.5) < 1e-2f);
}

TEST_CASE("public API: operators, constants and several outputs") {
    GraphBuilder g;
    const Tensor x = g.input(DType::float64, {5});
    g.output(2.0 / (1.0 + x * x) - (3.0 - x) * 0.5 + -x / 4.0);
    const auto top = g.op_all("top_k", {x}, {{"k", 2}});
    g.output(top[0]);
    g.output(top[1]);
    g.output(g.constant(7, DType::int32, {2}));
    CHECK(top[1].type().text() == "int32[2]");
    const Array in({5}, std::vector<double>{3, -1, 0.5, 9, 2});
    const std::vector<Array> out = g.compile().run({&in});
    for (size_t i = 0; i < 5; ++i) {
        const double v = in.values<double>()[i];
        CHECK(out[0].values<double>()[i] == doctest::Approx(2 / (1 + v * v) - (3 - v) * 0.5 - v / 4));
    }
    CHECK(out[1].values<double>()[0] == 9);
    CHECK(out[2].values<int32_t>()[1] == 0);
    CHECK(out[3].values<int32_t>()[1] == 7);
}

TEST_CASE("public API: text form") {
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {2, 3});
    g.update(x, x * 2.0);
    const std::string text = g.text();
    GraphBuilder back = GraphBuilder::parse(text);
    CHECK(back.text() == text);
    CHECK(back.compile().updates(0) == 0);
    CHECK_THROWS_WITH_AS((void)GraphBuilder::parse("%0 = nothing()"), doctest::Contains("line 1"), InvalidArgument);
}

TEST_CASE("public API: mistakes are InvalidArgument and say what was expected") {
    GraphBuilder g, other;
    const Tensor x = g.input(DType::float32, {2, 3}), foreign = other.input(DType::float32, {2, 3});
    CHECK_THROWS_WITH_AS((void)g.op("expo", {x}), doctest::Contains("expo"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.op("parameter", {}), doctest::Contains("parameter"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.op("add", {x}), doctest::Contains("takes 2 inputs, got 1"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.op("top_k", {x}), doctest::Contains("needs the attribute 'k'"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.op("top_k", {x}, {{"k", 1.5}}), doctest::Contains("another kind"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.op("exp", {x}, {{"k", 1}}), doctest::Contains("no attribute 'k'"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)(x + foreign), doctest::Contains("another graph"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.op("matmul", {x, x}), doctest::Contains("matmul"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.input(DType::float32, {-1}), doctest::Contains(">= 0"), InvalidArgument);
    CHECK_THROWS_WITH_AS(g.update(x, g.op("reduce_sum", {x}, {{"axes", Shape{0}}})), doctest::Contains("must be equal"),
                         InvalidArgument);
    CHECK_THROWS_WITH_AS(g.update(x + x, x), doctest::Contains("not an input"), InvalidArgument);
    g.update(x, -x);
    CHECK_THROWS_WITH_AS(g.update(x, x), doctest::Contains("already"), InvalidArgument);
    const Program p = g.compile();
    CHECK_THROWS_WITH_AS(p.run(std::span<const void* const>{}, std::span<void* const>{}), doctest::Contains("expected 1 and 1"),
                         InvalidArgument);
    const Array wrong({3}, std::vector<float>{1, 2, 3});
    CHECK_THROWS_WITH_AS((void)p.run({&wrong}), doctest::Contains("expected float32[2,3]"), InvalidArgument);
    CHECK_THROWS_AS((void)wrong.values<double>(), InvalidArgument);
    CHECK_THROWS_AS((void)Array({2}, std::vector<float>{1, 2, 3}), InvalidArgument);
    CHECK_THROWS_AS(set_option("no_such_option", "1"), InvalidArgument);
    CHECK_THROWS_WITH_AS((void)g.gradients({g.op("digamma", {x})}, {x}), doctest::Contains("digamma"), Unsupported);
}

TEST_CASE("public API: builders move, op names are listed, the version is known") {
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {3});
    GraphBuilder moved = std::move(g);
    moved.output(x + 1.0);  // tensors follow their builder
    CHECK(moved.compile().outputs().size() == 1);
    const auto names = op_names();
    CHECK(names.size() > 100);
    CHECK(std::count(names.begin(), names.end(), "matmul") == 1);
    CHECK(std::count(names.begin(), names.end(), "fused") == 0);
    CHECK(version().size() >= 5);
    CHECK(dtype_of<float>() == DType::float32);
    CHECK(dtype_of<int64_t>() == DType::int64);
    CHECK(dtype_of<uint16_t>() == DType::uint16);
    CHECK(dtype_of<bool>() == DType::boolean);
}

TEST_CASE("C API: compile, run, fail") {
    fastkeras_program* program = nullptr;
    REQUIRE(fastkeras_compile("%0 = parameter() : float32[3]\n"
                              "%1 = parameter() : int32[2]\n"
                              "%2 = gather(%0, %1) {axis = 0}\n"
                              "return %2\n",
                              &program) == FASTKERAS_OK);
    CHECK(fastkeras_input_count(program) == 2);
    CHECK(fastkeras_output_count(program) == 1);
    CHECK(fastkeras_input_bytes(program, 0) == 12);
    CHECK(fastkeras_output_bytes(program, 0) == 8);
    const float x[] = {1, 2, 3};
    int32_t i[] = {2, 0};
    float y[2] = {};
    const void* in[] = {x, i};
    void* out[] = {y};
    CHECK(fastkeras_run(program, in, out) == FASTKERAS_OK);
    CHECK(y[0] == 3);
    i[0] = 5;
    CHECK(fastkeras_run(program, in, out) == FASTKERAS_INVALID_ARGUMENT);
    CHECK(std::string(fastkeras_last_error()).find("5") != std::string::npos);
    fastkeras_program_free(program);
    fastkeras_program_free(nullptr);
    CHECK(fastkeras_compile("%0 = junk()", &program) == FASTKERAS_INVALID_ARGUMENT);
    CHECK(std::string(fastkeras_last_error()).find("junk") != std::string::npos);
}
