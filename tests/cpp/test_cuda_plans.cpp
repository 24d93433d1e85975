// Whole training steps as plans for a GPU, whose kernels the host runs, against the CPU's plans of the same graphs.
#include "plan_support.h"

namespace fk::test {

namespace {

// All outputs of both devices within `slack` tolerances of their types.
void check_devices(const Graph& g, const std::vector<Array>& in, double slack = 1) {
    CAPTURE(to_text(g));
    static const fake_cuda::HostDevice gpu;
    const auto plan = compile(g, "", gpu);
    CAPTURE(plan->text());
    const InPlaceRun expected(*compile(g), in), got(*plan, in);
    REQUIRE(expected.error == "");
    CHECK(got.error == "");
    for (size_t i = 0; i < g.outputs.size(); ++i) {
        CAPTURE(i);
        CHECK(worst(got.outputs[i].values(), expected.outputs[i].values()) <= slack * tolerance(got.outputs[i].type.dtype));
    }
}

Array key(double a, double b) { return {DType::u32, {2}, {a, b}}; }
Expr mean_of(Expr x) {
    Dims axes;
    for (int d = 0; d < x.rank(); ++d) axes.push_back(d);
    return reduce_sum(x, axes) / static_cast<double>(x.type().size());
}
Array labels_for(int64_t n, int64_t classes, uint32_t seed, DType t = DType::i32) {
    return {t, {n}, random_indices(n, 0, classes, seed)};
}
// The updates by gradient descent of the parameters named, and the loss.
void train(Graph& g, Expr loss, const std::vector<Expr>& weights) {
    std::vector<Value> values;
    for (const Expr& w : weights) values.push_back(w.v);
    const auto grads = differentiate(g, {loss.v}, {}, values);
    returns(g, {loss});
    g.output_aliases = {-1};
    for (size_t i = 0; i < weights.size(); ++i) {
        returns(g, {weights[i] - 0.1 * Expr{&g, grads[i]}});
        for (size_t p = 0; p < g.parameters().size(); ++p)
            if (g.parameters()[p] == values[i]) g.output_aliases.push_back(static_cast<int32_t>(p));
    }
}

}  // namespace

TEST_CASE("cuda plans: random numbers are the CPU's") {
    Graph g;
    const Expr seed = param(g, DType::u32, {2}), x = param(g, {37, 50});
    const Dims dims = {37, 50};
    const auto f32 = static_cast<int64_t>(DType::f32), f16 = static_cast<int64_t>(DType::f16);
    returns(g, {emit("random_bits", {seed}, {dims}), emit("random_uniform", {seed}, {dims, -1.0, 3.0, f32}),
                emit("random_normal", {seed}, {dims, 0.0, 1.0, f32}), emit("random_normal", {seed}, {Dims{5, 7}, 2.0, 3.0, f16}),
                emit("dropout", {x, seed}, {0.3})});
    const std::vector<Array> in = {key(3000000000.0, 17), random_array(DType::f32, dims, 1)};
    check_devices(g, in);
    static const fake_cuda::HostDevice gpu;
    const std::vector<Array> cpu = run_graph(g, in), host = run_plan(*compile(g, "", gpu), in);
    CHECK(std::memcmp(cpu[0].buffer.data, host[0].buffer.data, cpu[0].buffer.size) == 0);
    const std::vector<double> kept = cpu[4].values(), got = host[4].values();
    for (size_t i = 0; i < kept.size(); ++i) CHECK((kept[i] == 0) == (got[i] == 0));
}

TEST_CASE("cuda plans: a step of dense layers with dropout and cross-entropy") {
    for (const bool sparse : {true, false}) {
        Graph g;
        const Expr x = param(g, {32, 20}), w = param(g, {20, 48}), b = param(g, {48}), v = param(g, {48, 10}), c = param(g, {10}),
                   seed = param(g, DType::u32, {2});
        const Expr target = sparse ? param(g, DType::i32, {32}) : param(g, {32, 10});
        const Expr h = emit("dropout", {emit("relu", {emit("matmul", {x, w}) + b}), seed}, {0.25});
        const Expr logits = emit("matmul", {h, v}) + c;
        const Expr loss = emit(sparse ? "sparse_softmax_cross_entropy" : "softmax_cross_entropy", {logits, target});
        train(g, mean_of(loss), {w, b, v, c});
        returns(g, {emit("argmax", {logits}, {int64_t{1}})});
        g.output_aliases.push_back(-1);
        check_devices(
            g, {random_array(DType::f32, {32, 20}, 1), random_array(DType::f32, {20, 48}, 2, 0.3),
                random_array(DType::f32, {48}, 3), random_array(DType::f32, {48, 10}, 4, 0.3), random_array(DType::f32, {10}, 5),
                key(1, 2), sparse ? labels_for(32, 10, 6) : random_array(DType::f32, {32, 10}, 6)});
    }
}

TEST_CASE("cuda plans: softmax and the probability of a class") {
    Graph g;
    const Expr x = param(g, {40, 12}), w = param(g, {12, 7}), labels = param(g, DType::i32, {40});
    const Expr p = emit("softmax", {emit("matmul", {x, w})}, {int64_t{-1}});
    train(g, -mean_of(log(emit("class_probability", {p, labels}))), {w});
    check_devices(g, {random_array(DType::f32, {40, 12}, 1), random_array(DType::f32, {12, 7}, 2), labels_for(40, 7, 3)});
}

TEST_CASE("cuda plans: layer normalization") {
    for (const int64_t width : {24, 700}) {
        Graph g;
        const Expr x = param(g, {30, width}), scale = param(g, {width}), shift = param(g, {width}), w = param(g, {width, 5});
        const Expr y = emit("layer_norm", {x, scale, shift}, {1e-3});
        train(g, mean_of(square(emit("matmul", {emit("gelu", {y}), w}))), {scale, shift, w, x});
        check_devices(g,
                      {random_array(DType::f32, {30, width}, 1), random_array(DType::f32, {width}, 2),
                       random_array(DType::f32, {width}, 3), random_array(DType::f32, {width, 5}, 4, 0.2)},
                      5);
    }
}

TEST_CASE("cuda plans: embeddings and their gradient, of all rows and of those looked up") {
    for (const auto& [rows, width, count] : std::vector<std::array<int64_t, 3>>{{50, 12, 3000}, {9000, 8, 60}}) {
        Graph g;
        const Expr table = param(g, {rows, width}), w = param(g, {width, 3}), i = param(g, DType::i32, {count});
        const Expr found = emit("gather", {table, i}, {int64_t{0}});
        train(g, mean_of(square(emit("matmul", {tanh(found), w}))), {table, w});
        std::vector<double> indices = random_indices(count, -rows, rows, 3);
        for (size_t j = 0; j < indices.size(); j += 3) indices[j] = 7;
        check_devices(g, {random_array(DType::f32, {rows, width}, 1), random_array(DType::f32, {width, 3}, 2),
                          Array(DType::i32, {count}, indices)});
        indices[5] = static_cast<double>(rows);
        static const fake_cuda::HostDevice gpu;
        const auto plan = compile(g, "", gpu);
        CHECK((std::ranges::count(plan->steps, "scatter_set", &Step::op) == 1) == (rows > count));
        const std::vector<Array> in = {random_array(DType::f32, {rows, width}, 1), random_array(DType::f32, {width, 3}, 2),
                                       Array(DType::i32, {count}, indices)};
        const InPlaceRun bad(*plan, in);
        CHECK(bad.error.find("index " + std::to_string(rows) + " is outside") != std::string::npos);
        for (size_t p = 0; p < 2; ++p) CHECK(bad.parameters[p].values() == in[p].values());
    }
}

TEST_CASE("cuda plans: sorted, padded, summed and their gradients") {
    Graph g;
    const Expr x = param(g, {6, 40});
    const Expr padded = emit("pad", {x}, {Dims{0, 4}, Dims{1, 0}, Dims{}, 0.5});
    const Expr sums = emit("cumsum", {emit("sort", {padded}, {int64_t{1}})}, {int64_t{1}, int64_t{0}});
    const Expr top = emit_all("top_k", {tanh(sums)}, {int64_t{9}})[0];
    train(g, mean_of(square(top)), {x});
    check_devices(g, inputs_for(g, 4));
}

}  // namespace fk::test
