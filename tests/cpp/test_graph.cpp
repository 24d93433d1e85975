// The node table: equal pure nodes are one node, types are inferred, graphs are inlined, mistakes are told to the user by name.
#include "control_support.h"

namespace fk::test {

TEST_CASE("graph: equal pure nodes are one node") {
    Graph g;
    const Expr x = param(g, {2, 3}), y = param(g, {2, 3});
    CHECK(x.v != y.v);  // parameters never merge
    CHECK((x + y).v == (x + y).v);
    CHECK((x + y).v != (y + x).v);
    CHECK(exp(x).v == exp(x).v);
    CHECK(full(g, 1.0, DType::f32).v == full(g, 1.0, DType::f32).v);
    CHECK(full(g, 1.0, DType::f32).v != full(g, 1.0, DType::f64).v);
    CHECK(full(g, 1.0, DType::f32).v != full(g, 1.0, DType::f32, {1}).v);
    const uint32_t before = g.size();
    (void)(x + y);
    (void)reduce_sum(exp(x), {0});
    const uint32_t after = g.size();
    (void)reduce_sum(exp(x), {0});
    CHECK(after == before + 1);
    CHECK(g.size() == after);
}

TEST_CASE("graph: constants are compared by their bits") {
    Graph g;
    CHECK(full(g, 0.0, DType::f32).v != full(g, -0.0, DType::f32).v);
    CHECK(full(g, NAN, DType::f32).v == full(g, NAN, DType::f32).v);
    CHECK(full(g, INFINITY, DType::f32).v != full(g, -INFINITY, DType::f32).v);
}

TEST_CASE("graph: labels belong to the first recorder of a node") {
    Graph g;
    const Expr x = param(g, {2});
    g.current_label = g.intern_label("dense/one");
    const Expr a = exp(x);
    g.current_label = g.intern_label("dense/two");
    const Expr b = exp(x), c = exp(b);
    CHECK(a.v == b.v);
    CHECK(g.label(g.node(a.v).label) == "dense/one");
    CHECK(g.label(g.node(c.v).label) == "dense/two");
    CHECK(g.intern_label("dense/one") == g.node(a.v).label);
}

TEST_CASE("graph: elementwise ops broadcast and promote") {
    Graph g;
    const Expr f = param(g, {4, 1}), i = param(g, DType::i32, {3}), b = param(g, DType::boolean, {4, 3}),
               h = param(g, DType::bf16, {3});
    CHECK(to_string((f + i).type()) == "float32[4,3]");
    CHECK(to_string((i + b).type()) == "int32[4,3]");
    CHECK(to_string((i / i).type()) == "float32[3]");
    CHECK(to_string((f > i).type()) == "bool[4,3]");
    CHECK(to_string((h + 1.0).type()) == "bfloat16[3]");
    CHECK(to_string((h + f).type()) == "float32[4,3]");
    CHECK(to_string(where(f > 0.0, i, h).type()) == "bfloat16[4,3]");
    CHECK(to_string(exp(i).type()) == "float32[3]");
    CHECK(to_string(emit("logical_not", {i}).type()) == "bool[3]");
}

namespace {

// The message of the error that `record` gives.
template <class E = UserError>
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

}  // namespace

TEST_CASE("graph: mistakes name the op, what came and what was expected") {
    CHECK(says(mistake([](Graph& g) { (void)(param(g, {2, 3}) + param(g, {4, 3})); }), {"(2, 3)", "(4, 3)", "broadcast"}));
    CHECK(says(mistake([](Graph& g) { (void)emit("matmul", {param(g, {2, 3}), param(g, {4, 5})}); }),
               {"matmul", "(2, 3)", "(4, 5)"}));
    CHECK(says(mistake([](Graph& g) { (void)emit("matmul", {param(g, {2, 3}), param(g, DType::f64, {3, 5})}); }),
               {"matmul", "float64"}));
    CHECK(says(mistake([](Graph& g) { (void)reshape(param(g, {2, 3}), {4, -1}); }),
               {"reshape", "(2, 3)", "6 elements", "(4, -1)"}));
    CHECK(says(mistake([](Graph& g) { (void)reduce_sum(param(g, {2, 3}), {2}); }), {"axis 2", "rank 2"}));
    CHECK(says(mistake([](Graph& g) { (void)reduce_sum(param(g, {2, 3}), {1, -1}); }), {"reduce_sum", "twice"}));
    CHECK(
        says(mistake([](Graph& g) { (void)emit("transpose", {param(g, {2, 3})}, {Dims{0, 0}}); }), {"transpose", "permutation"}));
    CHECK(
        says(mistake([](Graph& g) { (void)emit("slice", {param(g, {4})}, {Dims{1}, Dims{5}, Dims{1}}); }), {"slice", "[1:5:1]"}));
    CHECK(says(mistake([](Graph& g) { (void)emit("concatenate", {param(g, {2, 3}), param(g, {3, 2})}, {int64_t{0}}); }),
               {"concatenate", "(3, 2)"}));
    CHECK(says(mistake([](Graph& g) { (void)emit("gather", {param(g, {4}), param(g, {2})}, {int64_t{0}}); }),
               {"gather", "float32", "integer"}));
    CHECK(says(mistake([](Graph& g) { (void)emit("bitwise_and", {param(g, {4}), param(g, {4})}); }), {"bitwise_and", "float32"}));
    CHECK(says(mistake([](Graph& g) { (void)emit("top_k", {param(g, {4})}, {int64_t{5}}); }), {"top_k", "5", "(4,)"}));
    CHECK(says(mistake([](Graph& g) { (void)emit("reduce_max", {param(g, {0, 3})}, {Dims{0}}); }), {"reduce_max", "no element"}));
    CHECK(says(mistake([](Graph& g) { (void)full(g, 1.0, DType::f32, {-2}); }), {"full", "-2"}));
}

TEST_CASE("graph: breaking the builder's own rules is an internal error") {
    CHECK(says(mistake<InternalError>([](Graph& g) { (void)g.add(get_op("exp"), {Value{7, 0}}); }), {"exp", "not in the graph"}));
    CHECK(says(mistake<InternalError>([](Graph& g) { (void)g.add(get_op("full"), {}, {}); }), {"full", "value"}));
    CHECK(says(mistake<InternalError>([](Graph& g) { (void)g.add(get_op("add"), {param(g, {2}).v, param(g, {3}).v}); }),
               {"add", "unequal shapes"}));
}

TEST_CASE("graph: a node of known types merges like any other") {
    Graph g;
    const Expr x = param(g, {3});
    const Expr a = exp(x);
    CHECK(g.add_known(get_op("exp"), {x.v}, {}, {{DType::f32, {3}}}) == a.v.node);
    const uint32_t b = g.add_known(get_op("tanh"), {x.v}, {}, {{DType::f32, {3}}});
    CHECK(tanh(x).v.node == b);
    CHECK(g.type({b, 0}) == x.type());
}

TEST_CASE("graph: nodes are not merged with those before stop_merging") {
    Graph g;
    const Expr x = param(g, {3});
    const Expr before = exp(x);
    g.stop_merging();
    const Expr after = exp(x);
    CHECK(after.v != before.v);
    CHECK(exp(x).v == after.v);
    g.stop_merging();
    CHECK(g.add_known(get_op("exp"), {x.v}, {}, {x.type()}) != after.v.node);
}

TEST_CASE("graph: equal nodes are found among many") {
    Graph g;
    const Expr x = param(g, DType::f64, {});
    std::vector<Value> first;
    for (int i = 0; i < 3000; ++i) first.push_back((x + static_cast<double>(i)).v);
    const uint32_t size = g.size();
    for (int i = 0; i < 3000; ++i) CHECK((x + static_cast<double>(i)).v == first[static_cast<size_t>(i)]);
    CHECK(g.size() == size);
}

TEST_CASE("graph: nodes that run the same body are one node, those with bodies of their own two") {
    const auto square_of = [] { return body({{DType::f64, {}}}, [](const Exprs& in) -> Exprs { return {in[0] * in[0]}; }); };
    const BodyPtr a = square_of(), b = square_of();
    Graph g;
    const Exprs in{param(g, DType::i32, {}), param(g, DType::f64, {})};
    CHECK(switch_of({a, b}, in)[0].v == switch_of({a, b}, in)[0].v);
    CHECK(switch_of({a, b}, in)[0].v != switch_of({b, a}, in)[0].v);
    CHECK(switch_of({a}, in)[0].v != switch_of({a, a}, in)[0].v);
}

TEST_CASE("inline_graph: what the outputs need is copied, with the arguments for parameters") {
    const BodyPtr b = body({{DType::f64, {}}, {DType::f64, {}}}, [](const Exprs& in) -> Exprs {
        (void)cos(in[1]);  // nobody reads it
        return {exp(in[0]) + in[1], in[1], exp(in[0]) + in[1]};
    });
    Graph g;
    const Expr x = param(g, DType::f64, {}), y = sin(x), known = exp(y);
    const Exprs out = inlined(b, {y, x});
    CHECK(count_ops(g, "cos") == 0);
    CHECK(out[0].v == (known + x).v);  // merged with what was there
    CHECK(out[1].v == x.v);
    CHECK(out[2].v == out[0].v);
}

TEST_CASE("inline_graph: nodes without a label take that of their place") {
    Graph inner;
    const Expr p = param(inner, DType::f64, {}), plain = exp(p);
    inner.current_label = inner.intern_label("inner");
    inner.outputs = {sin(plain).v};
    Graph g;
    const Expr x = param(g, DType::f64, {});
    g.current_label = g.intern_label("outer");
    const Expr out = inlined(std::make_shared<const Graph>(inner), {x})[0];
    CHECK(g.label(g.node(out.v).label) == "inner");
    CHECK(g.label(g.node(g.node(out.v).inputs[0]).label) == "outer");
    CHECK(g.label(g.current_label) == "outer");
}

TEST_CASE("inline_graph: arguments of another number or type are an internal error") {
    const BodyPtr b = body({{DType::f64, {}}, {DType::f64, {3}}}, [](const Exprs& in) -> Exprs { return {in[0] + in[1]}; });
    CHECK(says(mistake<InternalError>([&](Graph& g) { (void)inlined(b, {param(g, DType::f64, {})}); }), {"2", "1 arguments"}));
    CHECK(says(mistake<InternalError>([&](Graph& g) { (void)inlined(b, {param(g, DType::f64, {}), param(g, DType::f64, {4})}); }),
               {"float64[3]", "float64[4]"}));
}

TEST_CASE("graph: verify finds what is broken") {
    Graph g;
    const Expr x = param(g, {2, 3});
    returns(g, {exp(x)});
    CHECK_NOTHROW(verify(g, "test"));
    Graph later = g;
    later.outputs.push_back({later.size(), 0});
    CHECK_THROWS_AS(verify(later, "test"), InternalError);
    Graph wrong = g;
    Node node = wrong.node(exp(x).v);
    node.types[0].dims = {3, 2};
    (void)wrong.add_raw(node);
    CHECK_THROWS_AS(verify(wrong, "test"), InternalError);
}

}  // namespace fk::test
