// Each pass: the rewrites it makes, the kernels that remain, and that switching any of them off changes no result.
#include <algorithm>

#include "cpu/isa.h"
#include "gradient_support.h"

namespace fk::test {

namespace {

size_t steps_of(const Graph& g) { return compile(g)->steps.size(); }

// Largest deviation of each configuration's results from the full pipeline's.
double worst_deviation(const Graph& g, const std::vector<Array>& in) {
    const std::vector<Array> full = run_graph(g, in);
    double w = 0;
    for (std::string_view off : kDisabled) {
        const Setting setting("disable_passes", off);
        const std::vector<Array> got = run_graph(g, in);
        for (size_t i = 0; i < full.size(); ++i) w = std::max(w, worst(got[i].values(), full[i].values()));
    }
    return w;
}

Graph simplified(const std::function<std::vector<Expr>(Graph&)>& build) {
    Graph g;
    for (const Expr& e : build(g)) g.outputs.push_back(e.v);
    Graph out = simplify(g);
    verify(out, "simplify");
    return out;
}
const Node& result(const Graph& g, size_t i = 0) { return g.node(g.outputs[i]); }

}  // namespace

TEST_CASE("simplify: identities vanish") {
    const Graph g = simplified([](Graph& g) -> std::vector<Expr> {
        const Expr x = param(g, {4, 3});
        return {x + 0.0,
                0.0 + x,
                x - 0.0,
                x * 1.0,
                1.0 * x,
                x / 1.0,
                power(x, 1.0),
                -(-x),
                emit("stop_gradient", {x}),
                cast(x, DType::f32),
                reshape(reshape(x, {12}), {4, 3}),
                emit("transpose", {emit("transpose", {x}, {Dims{1, 0}})}, {Dims{1, 0}}),
                emit("slice", {x}, {Dims{0, 0}, Dims{4, 3}, Dims{1, 1}}),
                emit("pad", {x}, {Dims{0, 0}, Dims{0, 0}}),
                emit("concatenate", {x}, {int64_t{1}}),
                emit("reverse", {x}, {Dims{}}),
                broadcast_to(x, {4, 3}),
                emit("reduce_sum", {x}, {Dims{}, int64_t{0}}),
                where(x > 0.0, x, x)};
    });
    for (Value v : g.outputs) {
        CAPTURE(g.node(v).op->name);
        CHECK(v == g.parameters()[0]);
    }
}

TEST_CASE("simplify: what is not an identity stays") {
    const Graph g = simplified([](Graph& g) -> std::vector<Expr> {
        const Expr x = param(g, {4, 3});
        return {x + -0.0, x * 0.0,       x * -1.0, 0.0 - x, 1.0 / x,
                x / 3.0,  power(x, 0.0), x - x,    x / x,   emit("reverse", {x}, {Dims{0}})};
    });
    for (Value v : g.outputs) CHECK(v != g.parameters()[0]);
}

TEST_CASE("simplify: constants fold") {
    const Graph g = simplified([](Graph& g) -> std::vector<Expr> {
        const Expr c = full(g, 3.0, DType::f32, {2, 5}), i = full(g, 7, DType::i32);
        return {c * 2.0 + 1.0,
                exp(full(g, 0.0, DType::f64)),
                reduce_sum(c, {0}),
                reduce_sum(c, {0, 1}),
                emit("reduce_prod", {c}, {Dims{0}, int64_t{0}}),
                emit("floor_divide", {i, lit(i, 2)}),
                i / 2.0,
                cast(c, DType::i8),
                where(full(g, 1, DType::boolean), c, -c),
                c > 1.0,
                emit("transpose", {c}, {Dims{1, 0}}),
                broadcast_to(c, {3, 2, 5}),
                reduce_sum(full(g, 1.0, DType::f32, {0, 3}), {0})};
    });
    const double expected[] = {7, 1, 6, 30, 9, 3, 3.5, 3, 3, 1, 3, 3, 0};
    for (size_t i = 0; i < g.outputs.size(); ++i) {
        CAPTURE(i);
        REQUIRE(result(g, i).is("full"));
        CHECK(result(g, i).float_attr("value") == expected[i]);
    }
}

TEST_CASE("simplify: cheaper forms") {
    const Graph g = simplified([](Graph& g) -> std::vector<Expr> {
        const Expr x = param(g, {4, 3}), one = param(g, {4, 1, 3});
        return {power(x, 2.0),
                x / 4.0,
                emit("transpose", {one}, {Dims{1, 0, 2}}),
                broadcast_to(x, {1, 4, 3}),
                emit("reduce_sum", {one}, {Dims{1}, int64_t{0}}),
                broadcast_to(broadcast_to(x, {2, 4, 3}), {5, 2, 4, 3})};
    });
    CHECK(result(g, 0).is("multiply"));
    CHECK(result(g, 1).is("multiply"));
    for (size_t i : {2, 3, 4}) CHECK(result(g, i).is("reshape"));
    CHECK(result(g, 5).is("broadcast_to"));
    CHECK(g.node(result(g, 5).inputs[0]).is("parameter"));
}

TEST_CASE("simplify: matmul reads transposed operands by its flags") {
    const Graph g = simplified([](Graph& g) -> std::vector<Expr> {
        const Expr a = param(g, {4, 3}), b = param(g, {5, 4}), batch = param(g, {2, 3, 4});
        auto t = [](Expr x) { return emit("transpose", {x}, {x.rank() == 2 ? Dims{1, 0} : Dims{0, 2, 1}}); };
        return {emit("matmul", {t(a), t(b)}), emit("matmul", {t(a), param(g, {5, 3})}, {int64_t{1}, int64_t{1}}),
                emit("matmul", {batch, t(batch)})};
    });
    for (size_t i = 0; i < 3; ++i) {
        REQUIRE(result(g, i).is("matmul"));
        for (Value v : result(g, i).inputs) CHECK(g.node(v).is("parameter"));
    }
    CHECK((result(g, 0).bool_attr("transpose_a") && result(g, 0).bool_attr("transpose_b")));
    CHECK((!result(g, 1).bool_attr("transpose_a") && result(g, 1).bool_attr("transpose_b")));
    CHECK((!result(g, 2).bool_attr("transpose_a") && result(g, 2).bool_attr("transpose_b")));
}

TEST_CASE("simplify: max pooling pads by itself behind a ReLU, and so does its gradient") {
    struct Case {
        Dims low, high, pool_low, pool_high;
        bool relu, absorbed;
    };
    const Case cases[] = {
        {{0, 1, 1, 0}, {0, 1, 1, 0}, {0, 0}, {0, 0}, true, true},   {{0, 2, 0, 0}, {0, 0, 1, 0}, {0, 1}, {1, 0}, true, true},
        {{0, 1, 1, 0}, {0, 1, 1, 0}, {0, 0}, {0, 0}, false, false}, {{0, 2, 0, 0}, {0, 0, 0, 0}, {1, 0}, {0, 0}, true, false},
        {{0, 1, 1, 0}, {0, 1, 1, 1}, {0, 0}, {0, 0}, true, false},
    };
    for (const Case& c : cases) {
        Graph g;
        const Expr u = param(g, DType::f64, {2, 7, 9, 3}), x = c.relu ? emit("relu", {u}) : u;
        const Expr padded = emit("pad", {x}, {c.low, c.high, Dims{}, 0.0});
        const Expr y = emit("max_pool", {padded}, {Dims{3, 3}, Dims{2, 2}, c.pool_low, c.pool_high});
        returns(g, {y});
        const Expr loss = weighted_loss(g, 3);
        g.outputs.push_back(differentiate(g, {loss.v}, {}, g.parameters())[0]);
        const auto plan = compile(g);
        CAPTURE(plan->text());
        CHECK((count_ops(plan->lowered, "pad") == 0) == c.absorbed);
        CHECK((plan->lowered.type(plan->lowered.node(plan->lowered.outputs[0]).inputs[0]).dims == u.dims()) == c.absorbed);
        // Many windows hold nothing above zero.
        std::vector<Array> in = inputs_for(g, 4);
        std::vector<double> v = in[0].values();
        for (double& value : v) value -= 0.7;
        in[0] = Array(DType::f64, in[0].type.dims, v);
        CHECK(worst_deviation(g, in) == 0);
    }
}

TEST_CASE("simplify: folding a constant gives what its kernel gives") {
    // Every primitive on constants of every type, folded, against the same values as parameters.
    const double values[] = {0, 1, 2, 3, 5, -1, -2, 0.5, -0.75, 2.5, 1e10};
    size_t folded = 0;
    for (const OpDef* op : all_ops()) {
        if (op->kind != OpKind::prim || op->prim == Prim::cast) continue;
        for (DType t : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::i8, DType::boolean})
            for (double a : values)
                for (double b : {values[1], values[3], values[6], values[8]}) {
                    const bool integral = a == std::floor(a) && b == std::floor(b) && std::fabs(a) < 100;
                    if (!is_float(t) && (!integral || (!is_signed_int(t) && (a < 0 || b < 0)))) continue;
                    if (t == DType::boolean && (a > 1 || b > 1)) continue;
                    if (op->promotion == Promotion::integral && is_float(t)) continue;
                    if (op->inputs.size() == 1 && b != 1) continue;
                    const double c[3] = {a, b, a};
                    Graph constant, variable;
                    std::vector<Value> cs, vs;
                    std::vector<Array> in;
                    for (size_t i = 0; i < op->inputs.size(); ++i) {
                        cs.push_back(full(constant, c[i], t, {1}).v);
                        vs.push_back(param(variable, t, {1}).v);
                        in.emplace_back(t, Dims{1}, std::vector<double>{c[i]});
                    }
                    if (t == DType::boolean && op->promotion == Promotion::floating && a == 0) continue;
                    constant.outputs = {{emit_node(constant, *op, cs), 0}};
                    variable.outputs = {{emit_node(variable, *op, vs), 0}};
                    const Graph small = simplify(constant);
                    if (!result(small).is("full")) continue;
                    ++folded;
                    const double got = run_graph(constant, {})[0].values()[0], expected = run_graph(variable, in)[0].values()[0];
                    CAPTURE(op->name);
                    CAPTURE(name(t));
                    CAPTURE(a);
                    CAPTURE(b);
                    CHECK(worst({got}, {expected}) < (variable.type(variable.outputs[0]).dtype == DType::f64 ? 1e-12 : 3e-6));
                }
    }
    CHECK(folded > 2000);
}

TEST_CASE("decompose: ops without an implementation become primitives, claimed ones stay") {
    Graph g;
    const Expr x = param(g, {4, 8});
    returns(g, {emit("gelu", {x}), emit("softmax", {x}), emit("relu", {x})});
    const Graph none = decompose(g, {});
    for (uint32_t i = 0; i < none.size(); ++i) CHECK((none.node(i).op->body == nullptr));
    const Graph cpu = decompose(g, cpu::impls());
    CHECK(count_ops(cpu, "softmax") == 1);
    CHECK(count_ops(cpu, "gelu") == 0);
    verify(none, "decompose");
    verify(cpu, "decompose");
}

TEST_CASE("decompose: every body gives the types that its op declares") {
    const DType f = DType::f32;
    const auto in = [f](Graph& g, Dims d) { return param(g, f, std::move(d)); };
    Graph g;
    for (const OpDef* op : all_ops()) {
        if (op->body == nullptr || op->promotion == Promotion::none) continue;
        std::vector<Value> inputs;
        for (size_t i = 0; i < op->inputs.size(); ++i) inputs.push_back(in(g, {3, 4}).v);
        const uint32_t n = emit_node(g, *op, inputs);
        for (uint32_t i = 0; i < g.node(n).types.size(); ++i) g.outputs.push_back({n, i});
    }
    const Graph lowered = decompose(g, {});
    REQUIRE(lowered.outputs.size() == g.outputs.size());
    for (size_t i = 0; i < g.outputs.size(); ++i) CHECK(lowered.type(lowered.outputs[i]) == g.type(g.outputs[i]));
}

TEST_CASE("absorb_epilogues: bias and activation join the matmul") {
    const std::function<Expr(Expr)> activations[] = {[](Expr x) { return x; }, [](Expr x) { return emit("relu", {x}); },
                                                     [](Expr x) { return sigmoid(x); }, [](Expr x) { return tanh(x); }};
    const std::string_view names[] = {"none", "relu", "sigmoid", "tanh"};
    for (size_t k = 0; k < std::size(activations); ++k) {
        Graph g;
        const Expr x = param(g, {16, 32}), w = param(g, {32, 24}), b = param(g, {24});
        returns(g, {activations[k](emit("matmul", {x, w}) + b)});
        const auto plan = compile(g);
        CAPTURE(plan->text());
        CHECK(plan->steps.size() == 1);
        CHECK(count_ops(plan->lowered, "matmul_bias_act") == 1);
        CHECK(std::get<std::string>(plan->lowered.node(plan->lowered.outputs[0]).attrs.back()) == names[k]);
        CHECK(worst_deviation(g, inputs_for(g, 1)) < 1e-5);
    }
    Graph g;
    const Expr x = param(g, {2, 8, 8, 4}), w = param(g, {3, 3, 4, 8}), b = param(g, {8});
    const Expr y = emit("conv", {x, w}, {Dims{1, 1}, Dims{1, 1}, Dims{1, 1}, Dims{1, 1}});
    returns(g, {emit("relu", {b + y})});
    CHECK(steps_of(g) == 1);
    CHECK(worst_deviation(g, inputs_for(g, 1)) < 1e-5);
}

TEST_CASE("absorb_epilogues: a bias for heads that are told apart first") {
    Graph g;
    const Expr x = param(g, {6, 32}), w = param(g, {32, 24}), b = param(g, {4, 6});
    const Expr heads = reshape(emit("matmul", {x, w}), {2, 3, 4, 6});
    returns(g, {sigmoid(heads + emit("broadcast_to", {b}, {Dims{2, 3, 4, 6}}))});
    const auto plan = compile(g);
    CHECK(plan->steps.size() == 1);
    CHECK(count_ops(plan->lowered, "matmul_bias_act") == 1);
    CHECK(worst_deviation(g, inputs_for(g, 1)) < 1e-5);
    // one value for each head, or a repetition of another length, is no bias
    for (const Dims& dims : {Dims{4, 1}, Dims{3, 4, 6}, Dims{3, 1, 6}}) {
        Graph other;
        const Expr y = reshape(emit("matmul", {param(other, {6, 32}), param(other, {32, 24})}), {2, 3, 4, 6});
        returns(other, {y + emit("broadcast_to", {param(other, dims)}, {Dims{2, 3, 4, 6}})});
        CHECK(count_ops(compile(other)->lowered, "matmul_bias_act") == 0);
        CHECK(worst_deviation(other, inputs_for(other, 2)) < 1e-5);
    }
}

TEST_CASE("absorb_epilogues: not when the product is needed itself") {
    Graph g;
    const Expr x = param(g, {16, 32}), w = param(g, {32, 24}), b = param(g, {24});
    const Expr y = emit("matmul", {x, w});
    returns(g, {emit("relu", {y + b}), y});
    CHECK(count_ops(compile(g)->lowered, "matmul_bias_act") == 0);
    Graph column;  // a bias along the rows is no bias
    const Expr c = emit("matmul", {param(column, {16, 32}), param(column, {32, 16})}) + param(column, {16, 1});
    returns(column, {c});
    CHECK(count_ops(compile(column)->lowered, "matmul_bias_act") == 0);
    CHECK(worst_deviation(column, inputs_for(column, 3)) < 1e-5);
    Graph shared;  // the sum is read twice: the activation stays outside
    const Expr s = emit("matmul", {param(shared, {16, 32}), param(shared, {32, 24})}) + param(shared, {24});
    returns(shared, {emit("relu", {s}), s * 2.0});
    CHECK(worst_deviation(shared, inputs_for(shared, 3)) < 1e-5);
}

TEST_CASE("absorb_epilogues: what a shortcut adds joins a product") {
    const bool vectors = cpu::current_isa() >= cpu::Isa::avx512;  // else implementations refuse it
    const auto pointwise = [](const Expr& x, const Expr& w) {
        return emit("conv", {x, w}, {Dims{1, 1}, Dims{0, 0}, Dims{0, 0}, Dims{1, 1}});
    };
    const auto check = [&](const Graph& g, size_t added, size_t plain, size_t steps) {
        const auto plan = compile(g);
        CAPTURE(plan->text());
        CHECK(worst_deviation(g, inputs_for(g, 1)) < 1e-5);
        if (!vectors) return;
        CHECK(count_ops(plan->lowered, "conv_bias_add_act") == added);
        CHECK(count_ops(plan->lowered, "conv_bias_act") == plain);
        CHECK(plan->steps.size() == steps);
    };
    for (const bool swapped : {false, true}) {
        Graph g;
        const Expr x = param(g, {2, 6, 5, 24}), w = param(g, {1, 1, 24, 32}), b = param(g, {32}), s = param(g, {2, 6, 5, 32});
        const Expr y = pointwise(x, w) + b;
        returns(g, {emit("relu", {swapped ? s + y : y + s})});
        check(g, 1, 0, 1);
    }
    Graph both;  // of two products that meet one takes the sum, and writes over what the other left
    {
        const Expr x = param(both, {2, 6, 5, 24});
        const auto y = [&] { return pointwise(x, param(both, {1, 1, 24, 32})) + param(both, {32}); };
        const Expr first = y(), second = y();
        returns(both, {emit("relu", {first + second}) * 2.0});
        check(both, 1, 1, 3);
    }
    Graph own;  // a product is added to its own operand, which it reads to the end
    {
        const Expr x = emit("relu", {param(own, {2, 6, 5, 32})});
        returns(own, {pointwise(x, param(own, {1, 1, 32, 32})) + param(own, {32}) + x});
        check(own, 1, 0, 2);
    }
    Graph again;  // the sum before is read elsewhere, or one row is repeated: no part of the product
    {
        const Expr x = param(again, {2, 6, 5, 24}), s = param(again, {2, 6, 5, 32});
        const Expr y = pointwise(x, param(again, {1, 1, 24, 32})) + param(again, {32});
        const Expr z = pointwise(x, param(again, {1, 1, 24, 32})) + param(again, {32});
        returns(again, {y + s, y * 2.0, z + emit("broadcast_to", {param(again, {5, 32})}, {Dims{2, 6, 5, 32}})});
        check(again, 0, 2, 4);
    }
    Graph dense;
    returns(dense,
            {emit("matmul", {param(dense, {16, 32}), param(dense, {32, 24})}) + param(dense, {24}) + param(dense, {16, 24})});
    CHECK(worst_deviation(dense, inputs_for(dense, 1)) < 1e-5);
    if (vectors) CHECK(count_ops(compile(dense)->lowered, "matmul_bias_add_act") == 1);
}

TEST_CASE("fuse: an elementwise chain is one kernel") {
    Graph g;
    const Expr x = param(g, {64, 33}), y = param(g, {33}), z = param(g, {64, 1});
    returns(g, {tanh(x * y + z) - 0.5 * exp(-x)});
    CHECK(steps_of(g) == 1);
    const Setting off("disable_passes", "fuse");
    CHECK(steps_of(g) > 4);
}

TEST_CASE("fuse: moves cost no kernel") {
    Graph g;
    const Expr x = param(g, {6, 4});
    const Expr t = emit("transpose", {x}, {Dims{1, 0}}), r = emit("reverse", {t}, {Dims{1}});
    const Expr s = emit("slice", {r}, {Dims{0, 1}, Dims{4, 6}, Dims{1, 2}});
    returns(g, {exp(s) + 1.0});
    CHECK(steps_of(g) == 1);
    CHECK(worst_deviation(g, inputs_for(g, 2)) < 1e-6);
}

TEST_CASE("fuse: a reduction takes its producers and shares the loop with a store") {
    Graph g;
    const Expr x = param(g, {32, 40});
    const Expr e = exp(x);
    returns(g, {reduce_sum(e * x, {1}), e});
    CHECK(steps_of(g) == 1);
    Graph two;  // a value that needs the whole sum comes after it
    const Expr v = param(two, {32, 40});
    const Expr s = exp(v);
    returns(two, {s / reduce_sum(s, {1}, true)});
    CHECK(steps_of(two) == 2);
}

TEST_CASE("fuse: an Adam-like update of one variable is one kernel") {
    Graph g;
    const Expr w = param(g, {100, 10}), m = param(g, {100, 10}), v = param(g, {100, 10}), grad = param(g, {100, 10}),
               rate = param(g, Dims{});
    const Expr m2 = m + 0.1 * (grad - m), v2 = v + 0.001 * (grad * grad - v), w2 = w - rate * m2 / (sqrt(v2) + 1e-7);
    returns(g, {w2, m2, v2});
    g.output_aliases = {0, 1, 2};
    const auto plan = compile(g);
    CAPTURE(plan->text());
    CHECK(plan->steps.size() == 1);
    CHECK(plan->arena_bytes <= 4096);
}

TEST_CASE("fuse: batch statistics of one tensor share a loop") {
    Graph g;
    const Expr x = param(g, {128, 16});
    returns(g, {reduce_sum(x, {0}), reduce_sum(x * x, {0})});
    CHECK(steps_of(g) == 1);
}

TEST_CASE("fuse: a group that grew late does not come to depend on itself") {
    // exp(%1) and the last product may not share a loop: the loop of tanh(%0) and the sum stands between them.
    const Graph g = parse_graph(R"(
        %0 = parameter() : float32[1,4]
        %1 = parameter() : float32[]
        %2 = tanh(%0)
        %3 = cumsum(%2) {axis = 1}
        %4 = concatenate(%3, %3) {axis = 0}
        %5 = exp(%1)
        %6 = broadcast_to(%5) {shape = [1, 4]}
        %7 = add(%0, %6)
        %8 = reshape(%4) {shape = [8]}
        %9 = slice(%8) {start = [0], stop = [1], step = [1]}
        %10 = reshape(%9) {shape = []}
        %11 = multiply(%5, %10)
        return %7, %11
    )");
    CHECK_NOTHROW(verify(run_pipeline(g, cpu::impls()), "fuse"));
    CHECK(worst_deviation(g, inputs_for(g, 1)) < 1e-6);
}

TEST_CASE("passes: random graphs compute the same with any pass disabled") {
    for (uint32_t seed = 0; seed < fuzz(150); ++seed) {
        RandomGraph r(seed, 12 + static_cast<int>(seed % 20));
        CAPTURE(seed);
        CAPTURE(to_text(r.g));
        const double w = worst_deviation(r.g, inputs_for(r.g, seed));
        CHECK(w < 1e-9);
        if (w > 1e-9) break;
    }
}

TEST_CASE("passes: random graphs of 16- and 32-bit floats") {
    for (uint32_t seed = 0; seed < fuzz(40); ++seed) {
        const DType t = seed % 3 == 0 ? DType::bf16 : seed % 3 == 1 ? DType::f16 : DType::f32;
        RandomGraph r(seed, 8, t);
        CAPTURE(to_text(r.g));
        CHECK(worst_deviation(r.g, inputs_for(r.g, seed)) < (t == DType::f32 ? 1e-4 : t == DType::f16 ? 0.05 : 0.3));
    }
}

TEST_CASE("passes: training-like graphs compute the same with any pass disabled") {
    for (uint32_t seed = 0; seed < fuzz(40); ++seed) {
        RandomGraph r(seed, 10);
        Expr loss = full(r.g, 0.0, DType::f64);
        for (Value v : std::vector<Value>(r.g.outputs)) {
            const Expr y{&r.g, v};
            Dims axes;
            for (int i = 0; i < y.rank(); ++i) axes.push_back(i);
            loss = loss + tanh(reduce_sum(y, axes));
        }
        r.g.outputs = {loss.v};
        const std::vector<Value> params = r.g.parameters();
        const std::vector<Value> grads = differentiate(r.g, {loss.v}, {}, params);
        for (size_t i = 0; i < params.size(); ++i)
            if (grads[i].valid()) r.g.outputs.push_back((Expr{&r.g, params[i]} - 0.1 * Expr{&r.g, grads[i]}).v);
        CAPTURE(seed);
        CAPTURE(to_text(r.g));
        const double w = worst_deviation(r.g, inputs_for(r.g, seed));
        CHECK(w < 1e-8);
        if (w > 1e-8) break;
    }
}

TEST_CASE("passes: every instruction set computes the same") {
    for (uint32_t seed = 0; seed < fuzz(30); ++seed) {
        RandomGraph r(seed, 14, seed % 2 ? DType::f32 : DType::f64);
        const auto in = inputs_for(r.g, seed);
        const auto expected = run_graph(r.g, in);
        CAPTURE(to_text(r.g));
        for (std::string_view isa : {"portable", "avx2", "avx512"}) {
            REQUIRE(cpu::set_max_isa(isa));
            const auto got = run_graph(r.g, in);
            for (size_t i = 0; i < got.size(); ++i)
                CHECK(worst(got[i].values(), expected[i].values()) < (seed % 2 ? 1e-4 : 1e-9));
        }
        REQUIRE(cpu::set_max_isa("avx512_bf16"));
    }
}

TEST_CASE("passes: empty tensors pass through") {
    Graph g;
    const Expr x = param(g, {3, 0}), y = param(g, {0, 3});
    const Expr r = reshape(-x, {0, 3}), sum = reduce_sum(exp(x), {1}), both = emit("concatenate", {y, r}, {int64_t{0}});
    returns(
        g, {r, r + y, sum, both, emit("matmul", {x, y}), emit("transpose", {x}, {Dims{1, 0}}), reduce_sum(sum * 2.0 + 1.0, {0})});
    const auto in = inputs_for(g, 1);
    const auto out = run_graph(g, in);
    CHECK(out[2].values() == std::vector<double>{0, 0, 0});
    CHECK(out[4].values() == std::vector<double>(9, 0.0));
    CHECK(out[6].values() == std::vector<double>{3});
    CHECK(worst_deviation(g, in) == 0);
}

TEST_CASE("pipeline: passes are timed, named and switched by name") {
    Graph g;
    returns(g, {emit("softmax", {exp(param(g, {4, 4}))})});
    std::vector<PassTiming> timings;
    (void)run_pipeline(g, cpu::impls(), &timings);
    std::vector<std::string> names;
    for (const PassTiming& t : timings) names.push_back(t.name);
    for (const char* expected : {"simplify", "decompose", "absorb_epilogues", "cast_mixed", "fuse"})
        CHECK(std::ranges::count(names, expected) >= 1);
    const Setting off("disable_passes", "simplify,absorb_epilogues");
    timings.clear();
    (void)run_pipeline(g, cpu::impls(), &timings);
    for (const PassTiming& t : timings) CHECK((t.name != "simplify" && t.name != "absorb_epilogues"));
}

}  // namespace fk::test
