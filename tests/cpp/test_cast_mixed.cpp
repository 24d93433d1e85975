// The pass cast_mixed: which values it stores in 16 bits and which in float32, that its kernels compute what the graph says,
// and the products of 16-bit operands at sizes that fill several panels.
#include "cpu/isa.h"
#include "graph_support.h"

namespace fk::test {
namespace {

constexpr DType kHalves[] = {DType::bf16, DType::f16};
using Vec = std::vector<double>;

Expr wide(Expr x) { return cast(x, DType::f32); }

// The only node of this op.
const Node& only(const Graph& g, std::string_view op) {
    REQUIRE(count_ops(g, op) == 1);
    uint32_t i = 0;
    while (!g.node(i).is(op)) ++i;
    return g.node(i);
}

Graph lowered(const Graph& g) {
    const Graph out = cast_mixed(g, cpu::impls());
    verify(out, "cast_mixed");
    return out;
}

// Largest deviation of the pass' results from those without it.
double deviation(const Graph& g, uint32_t seed) {
    const std::vector<Array> in = inputs_for(g, seed), with = run_graph(g, in);
    const Setting off("disable_passes", "cast_mixed");
    const std::vector<Array> without = run_graph(g, in);
    double w = 0;
    for (size_t i = 0; i < with.size(); ++i) w = std::max(w, worst(with[i].values(), without[i].values()));
    return w;
}

Vec naive_product(const Array& a, const Array& b, int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
    const Vec x = a.values(), y = b.values();
    Vec c(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; ++i)
        for (int64_t l = 0; l < k; ++l)
            for (int64_t j = 0; j < n; ++j)
                c[static_cast<size_t>(i * n + j)] +=
                    x[static_cast<size_t>(ta ? l * m + i : i * k + l)] * y[static_cast<size_t>(tb ? j * k + l : l * n + j)];
    return c;
}

}  // namespace

TEST_CASE("cast_mixed: a kernel between casts reads and writes 16 bits") {
    for (const DType t : kHalves) {
        Graph g;
        const Expr x = param(g, t, {64, 32}), gamma = param(g, {32}), beta = param(g, {32});
        returns(g, {cast(emit("layer_norm", {wide(x), gamma, beta}, {1e-3}), t)});
        const Graph out = lowered(g);
        const Node& n = only(out, "layer_norm");
        CHECK(out.type(n.inputs[0]).dtype == t);
        CHECK(out.type(n.inputs[1]).dtype == DType::f32);
        CHECK(n.types[0].dtype == t);
        CHECK(out.node(out.outputs[0]).is("layer_norm"));
        const auto plan = compile(g);
        CAPTURE(plan->text());
        CHECK(plan->steps.size() == 1);
        CHECK(deviation(g, 1) < tolerance(t));
    }
}

TEST_CASE("cast_mixed: statistics and other results that are read as float32 stay so") {
    for (const DType t : kHalves) {
        Graph g;
        const Expr x = param(g, t, {2, 5, 32}), gamma = param(g, {32}), beta = param(g, {32});
        const std::vector<Expr> y = emit_all("batch_norm_train", {wide(x), gamma, beta}, {1e-3});
        returns(g, {cast(y[0], t), y[1], y[2]});
        const Graph out = lowered(g);
        const Node& n = only(out, "batch_norm_train");
        CHECK(n.types[0].dtype == t);
        CHECK(n.types[1].dtype == DType::f32);
        CHECK(n.types[2].dtype == DType::f32);
        CHECK(deviation(g, 2) < tolerance(t));

        Graph both;  // one reader takes the float32 value: nothing may be lost
        const Expr s = emit("softmax", {wide(param(both, t, {8, 40}))});
        returns(both, {cast(s, t), s * 2.0});
        const Graph kept = lowered(both);
        CHECK(only(kept, "softmax").types[0].dtype == DType::f32);
        CHECK(kept.type(only(kept, "softmax").inputs[0]).dtype == t);
        CHECK(deviation(both, 3) < tolerance(t));
    }
}

TEST_CASE("cast_mixed: losses read 16-bit logits, compute in float32 and write 16-bit gradients") {
    for (const DType t : kHalves) {
        Graph g;
        const Expr x = param(g, t, {24, 70}), labels = param(g, DType::i32, {24}), dy = param(g, {24});
        returns(g, {emit("sparse_softmax_cross_entropy", {wide(x), labels}),
                    cast(emit("sparse_softmax_cross_entropy_grad", {wide(x), labels, dy}), t),
                    emit("argmax", {wide(x)}, {int64_t{1}})});
        const Graph out = lowered(g);
        CHECK(only(out, "sparse_softmax_cross_entropy").types[0].dtype == DType::f32);
        CHECK(out.type(only(out, "sparse_softmax_cross_entropy").inputs[0]).dtype == t);
        CHECK(only(out, "sparse_softmax_cross_entropy_grad").types[0].dtype == t);
        CHECK(out.type(only(out, "argmax").inputs[0]).dtype == t);
        CHECK(compile(g)->steps.size() == 1);  // join_losses
        CHECK(deviation(g, 4) < tolerance(t));
    }
}

TEST_CASE("cast_mixed: sums and gradients of weights leave in the float32 they are computed in") {
    for (const DType t : kHalves) {
        Graph g;
        const Expr x = param(g, t, {700, 40}), dy = param(g, t, {700, 24});
        returns(g, {wide(emit("matmul", {x, dy}, {int64_t{1}, int64_t{0}})), wide(reduce_sum(dy, {0}))});
        const Graph out = lowered(g);
        CHECK(count_ops(out, "cast") == 0);
        CHECK(only(out, "matmul").types[0].dtype == DType::f32);
        CHECK(only(out, "reduce_sum").types[0].dtype == DType::f32);
        const std::vector<Array> in = inputs_for(g, 5), got = run_graph(g, in);
        constexpr double kRounding = 700 * 0x1p-24;  // of as many terms of at most 1; 16 bits would round by 2^-9 or 2^-12
        CHECK(worst(got[0].values(), naive_product(in[0], in[1], 40, 24, 700, true, false)) < kRounding);
        const Array ones(DType::f32, {1, 700}, Vec(700, 1.0));
        CHECK(worst(got[1].values(), naive_product(ones, in[1], 1, 24, 700, false, false)) < kRounding);

        Graph conv;
        const Expr image = param(conv, t, {2, 9, 9, 5}), grad = param(conv, t, {2, 9, 9, 6});
        const Dims one{1, 1};
        returns(conv, {wide(emit("conv_filter_grad", {image, grad}, {Dims{3, 3, 5, 6}, one, one, one, one}))});
        CHECK(only(lowered(conv), "conv_filter_grad").types[0].dtype == DType::f32);
        CHECK(deviation(conv, 6) < tolerance(t));
    }
}

TEST_CASE("cast_mixed: products that compute in float32 read variables as they are, unless these never change") {
    const Setting products("bfloat_products", "float32");
    const Dims one{1, 1}, none{0, 0};
    for (const DType t : kHalves)
        for (const bool steady : {false, true}) {
            Graph g;
            const Expr x = param(g, t, {2, 9, 9, 16}), dy = param(g, t, {2, 9, 9, 24}), rows = param(g, t, {50, 16});
            const auto variable = [&](Dims dims) { return cast(Expr{&g, g.add_parameter({DType::f32, dims}, steady)}, t); };
            const Expr w = variable({1, 1, 16, 24}), deep = variable({3, 3, 16, 24}), dense = variable({16, 24});
            returns(g,
                    {emit("conv", {x, w}, {one, none, none, one}), emit("conv", {x, deep}, {one, one, one, one}),
                     emit("conv_input_grad", {dy, w}, {Dims{2, 9, 9, 16}, one, none, none, one}), emit("matmul", {rows, dense})});
            CHECK(compile(g)->steps.size() >= 4);  // which tells the device how to multiply
            const Graph out = lowered(g);
            int products_seen = 0;
            for (uint32_t n = 0; n < out.size(); ++n) {
                if (!out.node(n).is("matmul") && !out.node(n).op->name.starts_with("conv")) continue;
                ++products_seen;
                CHECK(out.type(out.node(n).inputs[1]).dtype == (steady ? t : DType::f32));
                CHECK(out.node(n).types[0].dtype == t);
            }
            CHECK(products_seen == 4);
            // Filters are rounded on one side only: half a unit each of 16 * 9 terms of at most 1, most of which cancel.
            CHECK(deviation(g, 8) < 12 * tolerance(t));
        }
}

TEST_CASE("cast_mixed: activations stay in 16 bits, and so does what is read in 16 bits") {
    Graph g;
    const Expr x = param(g, DType::bf16, {64, 40}), w = param(g, DType::bf16, {40, 24});
    const Expr sum = reduce_sum(x, {0});
    returns(g, {wide(emit("matmul", {x, w})), wide(sum), exp(sum)});
    const Graph out = lowered(g);
    CHECK(only(out, "matmul").types[0].dtype == DType::bf16);
    CHECK(only(out, "reduce_sum").types[0].dtype == DType::bf16);
}

TEST_CASE("cast_mixed: a graph without 16-bit floats is left alone, and the pass can be switched off") {
    Graph g;
    const Expr x = param(g, {16, 8});
    returns(g, {emit("softmax", {cast(cast(x, DType::f64), DType::f32)})});
    CHECK(to_text(cast_mixed(g, cpu::impls())) == to_text(g));
    Graph half;
    returns(half, {emit("softmax", {wide(param(half, DType::bf16, {16, 8}))})});
    CHECK(compile(half)->steps.size() == 1);
    const Setting off("disable_passes", "cast_mixed");
    CHECK(compile(half)->steps.size() == 2);
}

TEST_CASE("products of 16-bit operands over several panels, in both ways to compute them") {
    struct Size {
        int64_t m, n, k;
    };
    for (const std::string_view products : {"float32", "bfloat16"}) {
        const Setting setting("bfloat_products", products);
        for (const DType t : kHalves)
            for (const Size s : {Size{70, 600, 300}, {300, 33, 530}, {9, 17, 1030}, {130, 64, 64}})
                for (int flags = 0; flags < 4; ++flags) {
                    const bool ta = (flags & 1) != 0, tb = (flags & 2) != 0;
                    Graph g;
                    const Expr a = param(g, t, ta ? Dims{s.k, s.m} : Dims{s.m, s.k}),
                               b = param(g, t, tb ? Dims{s.n, s.k} : Dims{s.k, s.n}), bias = param(g, t, {s.n});
                    returns(g, {emit("relu", {emit("matmul", {a, b}, {int64_t{ta}, int64_t{tb}}) + bias})});
                    const std::vector<Array> in = inputs_for(g, 7);
                    Vec expected = naive_product(in[0], in[1], s.m, s.n, s.k, ta, tb);
                    const Vec add = in[2].values();
                    for (size_t i = 0; i < expected.size(); ++i)
                        expected[i] = std::max(0.0, expected[i] + add[i % static_cast<size_t>(s.n)]);
                    const auto plan = compile(g);
                    CAPTURE(plan->text());
                    CHECK(plan->text().find("ref") == std::string::npos);
                    const bool native = cpu::native_products(t);
                    CHECK((plan->text().find("mixed_gemm") == std::string::npos) == native);
                    CHECK(worst(run_plan(*plan, in)[0].values(), expected) < tolerance(t));
                }
    }
    CHECK_FALSE(cpu::set_bf16_products("int8"));
}

TEST_CASE("16-bit products and convolutions on every instruction set") {
    for (const std::string_view isa : {"portable", "avx2", "avx512", "avx512_bf16"}) {
        REQUIRE(cpu::set_max_isa(isa));
        CAPTURE(isa);
        for (const DType t : kHalves) {
            for (int flags = 0; flags < 4; ++flags) {
                const bool ta = (flags & 1) != 0, tb = (flags & 2) != 0;
                const Array a = random_array(t, ta ? Dims{290, 37} : Dims{37, 290}, 1),
                            b = random_array(t, tb ? Dims{61, 290} : Dims{290, 61}, 2);
                check_all("matmul", {a, b}, {int64_t{ta}, int64_t{tb}}, {naive_product(a, b, 37, 61, 290, ta, tb)}, 2);
            }
            // A filter of one tap is a product of the pixels, and so are its gradients.
            const Dims one{1, 1}, none{0, 0};
            const Array x = random_array(t, {2, 5, 7, 36}, 3), w = random_array(t, {1, 1, 36, 20}, 4),
                        dy = random_array(t, {2, 5, 7, 20}, 5);
            check_all("conv", {x, w}, {one, none, none, one}, {naive_product(x, w, 70, 20, 36, false, false)}, 2);
            check_all("conv_input_grad", {dy, w}, {Dims{2, 5, 7, 36}, one, none, none, one},
                      {naive_product(dy, w, 70, 36, 20, false, true)}, 2);
            check_all("conv_filter_grad", {x, dy}, {Dims{1, 1, 36, 20}, one, none, none, one},
                      {naive_product(x, dy, 36, 20, 70, true, false)}, 2);
            // Fewer positions than channels of the result: its columns are divided, here in uneven parts.
            const Array few = random_array(t, {2, 3, 4, 80}, 6), wide = random_array(t, {1, 1, 80, 210}, 7),
                        back = random_array(t, {2, 3, 4, 70}, 8), turned = random_array(t, {1, 1, 210, 70}, 9);
            check_all("conv", {few, wide}, {one, none, none, one}, {naive_product(few, wide, 24, 210, 80, false, false)}, 2);
            check_all("conv_input_grad", {back, turned}, {Dims{2, 3, 4, 210}, one, none, none, one},
                      {naive_product(back, turned, 24, 210, 70, false, true)}, 2);
            const Array image = random_array(t, {1, 7, 9, 80}, 10);  // every other pixel
            const Vec pixels = image.values();
            Vec seen;
            for (size_t i = 0; i < 7; i += 2)
                for (size_t j = 0; j < 9; j += 2)
                    for (size_t c = 0; c < 80; ++c) seen.push_back(pixels[(i * 9 + j) * 80 + c]);
            check_all("conv", {image, wide}, {Dims{2, 2}, none, none, one},
                      {naive_product(Array(DType::f32, {20, 80}, seen), wide, 20, 210, 80, false, false)}, 2);
        }
    }
}

TEST_CASE("gradients of small 16-bit filters are sums over parts of the positions") {
    const Dims one{1, 1}, none{0, 0};
    for (const DType t : kHalves)
        for (const auto& [in, out] : {std::pair<int64_t, int64_t>{70, 24}, {24, 70}, {9, 9}}) {
            const int64_t positions = int64_t{4} * 31 * 33;
            const Array x = random_array(t, {4, 31, 33, in}, 3), dy = random_array(t, {4, 31, 33, out}, 5);
            check_all("conv_filter_grad", {x, dy}, {Dims{1, 1, in, out}, one, none, none, one},
                      {naive_product(x, dy, in, out, positions, true, false)}, 2);
        }
}

TEST_CASE("training graphs of 16-bit tensors agree with float32's whichever passes run") {
    for (const DType t : kHalves) {
        const auto build = [](Graph& g, DType compute) {
            const Expr x = param(g, {2, 8, 8, 3}), w = param(g, {3, 3, 3, 40}), v = param(g, {40, 10}), gamma = param(g, {40}),
                       beta = param(g, {40}), labels = param(g, DType::i32, {128});
            const Dims one{1, 1};
            const auto low = [&](Expr e) { return cast(e, compute); };
            const Expr y = emit("conv", {low(x), low(w)}, {one, one, one, one});
            const Expr z = low(emit_all("batch_norm_train", {wide(y), gamma, beta}, {1e-3})[0]);
            const Expr logits = emit("matmul", {reshape(emit("relu", {z}), {128, 40}), low(v)});
            const Expr loss = reduce_sum(emit("sparse_softmax_cross_entropy", {wide(logits), labels}), {0}) * (1.0 / 128);
            const std::vector<Value> grads = differentiate(g, {loss.v}, {Value{}}, {x.v, w.v, v.v, gamma.v, beta.v});
            g.outputs = {loss.v};
            g.outputs.insert(g.outputs.end(), grads.begin(), grads.end());
        };
        Graph exact, mixed;
        build(exact, DType::f32);
        build(mixed, t);
        const std::vector<Array> in = inputs_for(mixed, 11), want = run_graph(exact, in);
        for (const std::string_view off : {std::string_view(""), std::string_view("cast_mixed"), std::string_view("all")}) {
            const Setting setting("disable_passes", off);
            const auto plan = compile(mixed);
            CHECK(plan->text().find("ref") == std::string::npos);
            const std::vector<Array> got = run_plan(*plan, in);
            for (size_t i = 0; i < want.size(); ++i) {
                CAPTURE(i);
                CHECK(worst(got[i].values(), want[i].values()) < (t == DType::bf16 ? 0.02 : 0.003));
            }
        }
    }
}

}  // namespace fk::test
