// Gradients against central differences in float64, run through compiled plans.
#include "gradient_support.h"

namespace fk::test {

TEST_CASE("differentiate: random graphs") {
    for (uint32_t seed = 0; seed < fuzz(120); ++seed) {
        RandomGraph r(seed, 3 + static_cast<int>(seed % 12));
        CAPTURE(seed);
        CAPTURE(to_text(r.g));
        const double w = gradient_error(r.g, inputs_for(r.g, seed), seed);
        CHECK(w < 2e-6);
        if (!(w < 2e-6)) break;
    }
}

TEST_CASE("differentiate: every elementwise op that has a gradient") {
    for (const OpDef* op : all_ops()) {
        if (!op->differentiable || op->promotion == Promotion::none || op->prim == Prim::cast || op->prim == Prim::digamma)
            continue;
        if (op->promotion == Promotion::logical || op->promotion == Promotion::comparison || op->promotion == Promotion::integral)
            continue;
        Graph g;
        std::vector<Value> inputs;
        std::vector<Array> at;
        uint32_t seed = 3;
        for (size_t i = 0; i < op->inputs.size(); ++i) {
            const bool condition = op->promotion == Promotion::select && i == 0;
            const TensorType t{condition ? DType::boolean : DType::f64, {5, 7}};
            inputs.push_back(param(g, t.dtype, t.dims).v);
            Array a = continuous_array(t, seed++);
            std::vector<double> v = a.values();  // inside every domain: (0.1, 0.9), above 1 for acosh
            if (!condition)
                for (double& x : v) x = 0.5 + 0.4 * x + (op->name == "acosh" ? 1.0 : 0.0);
            at.emplace_back(t.dtype, t.dims, v);
        }
        g.outputs = {{emit_node(g, *op, inputs), 0}};
        CAPTURE(op->name);
        CHECK(gradient_error(g, at, 5) < 1e-7);
    }
}

TEST_CASE("differentiate: convolutions, pooling, normalisation and losses") {
    auto check = [](std::string_view what, const std::vector<TensorType>& types,
                    const std::function<Expr(const std::vector<Expr>&)>& build, double tolerance = 1e-6) {
        Graph g;
        std::vector<Expr> in;
        for (const TensorType& t : types) in.push_back(param(g, t.dtype, t.dims));
        g.outputs = {build(in).v};
        CAPTURE(what);
        CHECK(gradient_error(g, inputs_for(g, 11), 2) < tolerance);
    };
    const DType d = DType::f64;
    check("conv", {{d, {2, 6, 5, 4}}, {d, {3, 2, 2, 6}}}, [](const auto& in) {
        return emit("conv", {in[0], in[1]}, {Dims{2, 1}, Dims{1, 0}, Dims{1, 1}, Dims{1, 2}, int64_t{2}});
    });
    check("conv of one dimension", {{d, {2, 9, 3}}, {d, {3, 3, 4}}},
          [](const auto& in) { return emit("conv", {in[0], in[1]}, {Dims{1}, Dims{1}, Dims{1}, Dims{1}}); });
    check("max_pool", {{d, {2, 6, 6, 3}}},
          [](const auto& in) { return emit("max_pool", {in[0]}, {Dims{3, 2}, Dims{2, 2}, Dims{1, 0}, Dims{1, 0}}); });
    check("avg_pool", {{d, {2, 6, 6, 3}}},
          [](const auto& in) { return emit("avg_pool", {in[0]}, {Dims{3, 2}, Dims{2, 2}, Dims{1, 0}, Dims{1, 0}}); });
    check("layer_norm", {{d, {4, 8}}, {d, {8}}, {d, {8}}},
          [](const auto& in) { return emit("layer_norm", {in[0], in[1], in[2]}, {1e-3}); });
    check("batch_norm", {{d, {6, 3, 4}}, {d, {4}}, {d, {4}}}, [](const auto& in) {
        const auto out = emit_all("batch_norm_train", {in[0], in[1], in[2]}, {1e-3});
        return out[0] + out[1] * out[2];
    });
    check("matmul", {{d, {2, 1, 3, 4}}, {d, {5, 6, 4}}},
          [](const auto& in) { return emit("matmul", {in[0], in[1]}, {int64_t{0}, int64_t{1}}); });
    check("softmax_cross_entropy", {{d, {4, 5}}, {d, {4, 5}}},
          [](const auto& in) { return emit("softmax_cross_entropy", {in[0], emit("softmax", {in[1]})}); });
    check("sparse_softmax_cross_entropy", {{d, {4, 5}}, {DType::i32, {4}}},
          [](const auto& in) { return emit("sparse_softmax_cross_entropy", {in[0], in[1]}); });
    check("sigmoid_cross_entropy", {{d, {4, 5}}, {d, {4, 5}}},
          [](const auto& in) { return emit("sigmoid_cross_entropy", {in[0], sigmoid(in[1])}); });
    check("dropout", {{d, {40, 5}}, {DType::u32, {2}}},
          [](const auto& in) { return emit("dropout", {in[0] * in[0], in[1]}, {0.4}); });
    check("sort", {{d, {4, 9}}}, [](const auto& in) { return emit("sort", {in[0] * 3.0}, {int64_t{1}}); });
    check("top_k", {{d, {4, 9}}}, [](const auto& in) { return emit_all("top_k", {tanh(in[0])}, {int64_t{3}})[0]; });
    check("take_along_axis", {{d, {4, 3}}, {DType::i32, {2, 3}}},
          [](const auto& in) { return emit("take_along_axis", {in[0], in[1]}, {int64_t{0}}); });
    check("scatter_add", {{d, {4, 3}}, {DType::i32, {5}}, {d, {5, 3}}},
          [](const auto& in) { return emit("scatter_add", {in[0], in[1], in[2]}, {int64_t{0}}); });
    check("scatter_set", {{d, {4, 3}}, {DType::i32, {1}}, {d, {1, 3}}},
          [](const auto& in) { return emit("scatter_set", {in[0], in[1], in[2]}); });
    check(
        "cumprod", {{d, {3, 4}}}, [](const auto& in) { return emit("cumprod", {in[0] + 2.0}, {int64_t{1}, int64_t{0}}); }, 1e-5);
}

TEST_CASE("differentiate: second derivatives") {
    Graph g;
    const Expr x = param(g, DType::f64, {6});
    const Expr y = reduce_sum(tanh(x) * x * x + emit("silu", {x}), {0});
    const Expr dx{&g, differentiate(g, {y.v}, {}, {x.v})[0]};
    g.outputs = {(dx * sin(x)).v};
    CHECK(gradient_error(g, inputs_for(g, 5), 1) < 1e-6);
}

TEST_CASE("differentiate: a seed weights the outputs, an unconnected source has no gradient") {
    Graph g;
    const Expr x = param(g, DType::f64, {3}), y = param(g, DType::f64, {3}), seed = param(g, DType::f64, {3});
    const Expr z = x * x + emit("stop_gradient", {y * x});
    const auto grads = differentiate(g, {z.v}, {seed.v}, {x.v, y.v, z.v, seed.v});
    CHECK(!grads[1].valid());
    CHECK(!grads[3].valid());
    g.outputs = {grads[0], grads[2]};
    const auto out =
        run_graph(g, {Array(DType::f64, {3}, {1, 2, 3}), Array(DType::f64, {3}, {4, 5, 6}), Array(DType::f64, {3}, {10, 1, -1})});
    CHECK(out[0].values() == std::vector<double>{20, 4, -6});
    CHECK(out[1].values() == std::vector<double>{10, 1, -1});
}

TEST_CASE("differentiate: comparisons, rounding and integers stop the gradient") {
    Graph g;
    const Expr x = param(g, {3}), i = param(g, DType::i32, {3});
    for (const Expr& y :
         {cast(x > 0.0, DType::f32), floor(x), cast(cast(x, DType::i32), DType::f32), emit("round", {x}), cast(i, DType::f32)}) {
        const auto grads = differentiate(g, {y.v}, {}, {x.v, i.v});
        CHECK(!grads[1].valid());
    }
    CHECK(!differentiate(g, {cast(cast(x, DType::i32), DType::f32).v}, {}, {x.v})[0].valid());
}

TEST_CASE("differentiate: a missing gradient is an error that names the op") {
    Graph g;
    const Expr x = param(g, {3});
    const Expr y = unary("digamma", x);
    try {
        (void)differentiate(g, {y.v}, {}, {x.v});
        FAIL("no error was raised");
    } catch (const UnsupportedError& e) {
        CHECK(std::string(e.what()).find("digamma") != std::string::npos);
    }
}

TEST_CASE("differentiate: labels of gradients are those of the layers they belong to") {
    Graph g;
    const Expr x = param(g, {3});
    g.current_label = g.intern_label("layer");
    const Expr y = tanh(x);
    g.current_label = g.intern_label("outside");
    const Value dx = differentiate(g, {y.v}, {}, {x.v})[0];
    CHECK(g.label(g.node(dx).label) == "layer");
    CHECK(g.label(g.current_label) == "outside");
}

}  // namespace fk::test
