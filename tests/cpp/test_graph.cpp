// The node table: equal pure nodes are one node, types are inferred, and mistakes are told to the user by name.
#include "graph_support.h"

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
