// Text form of graphs: golden output, exact round trips, mistakes with their line.
#include "graph_support.h"

namespace fk::test {

TEST_CASE("text: one line per node") {
    Graph g;
    const Expr x = param(g, {32, 784}), w = param(g, {784, 10});
    g.current_label = g.intern_label("dense_1");
    const Expr y = emit("matmul", {x, w});
    g.current_label = 0;
    const uint32_t top = emit_node(g, get_op("top_k"), {y.v}, {int64_t{5}});
    const Expr loss = reduce_sum(Expr{&g, {top, 0}}, {0, 1});
    const Expr next = w - 0.1 * w;
    g.outputs = {loss.v, {top, 1}, next.v};
    g.output_aliases = {-1, -1, 1};
    CHECK(to_text(g) ==
          "%0 = parameter() : float32[32,784]\n"
          "%1 = parameter() : float32[784,10]\n"
          "%2 = matmul(%0, %1) : float32[32,10]  # dense_1\n"
          "%3 = top_k(%2) {k = 5} : float32[32,5], int32[32,5]\n"
          "%4 = reduce_sum(%3) {axes = [0, 1]} : float32[]\n"
          "%5 = full() {value = 0.1, shape = [], dtype = float32} : float32[]\n"
          "%6 = broadcast_to(%5) {shape = [784, 10]} : float32[784,10]\n"
          "%7 = multiply(%6, %1) : float32[784,10]\n"
          "%8 = subtract(%1, %7) : float32[784,10]\n"
          "return %4, %3.1, %8 -> %1\n");
    CHECK(to_text(parse_graph(to_text(g))) == to_text(g));
}

TEST_CASE("text: every attribute type and odd value survives") {
    Graph g;
    for (double v : {0.0, -0.0, 1e-310, 0.1, -1.0 / 3, 1e300, static_cast<double>(INFINITY), -static_cast<double>(INFINITY),
                     static_cast<double>(NAN)})
        (void)full(g, v, DType::f64, {2, 0, 3});
    const Expr x = param(g, {2, 3});
    g.current_label = g.intern_label("a \"label\" with # and \\ and\nanother line ");
    (void)emit("gelu", {x}, {int64_t{1}});
    (void)emit("leaky_relu", {x}, {-0.0});
    (void)emit("reduce_sum", {x}, {Dims{}, int64_t{1}});
    (void)emit("cast", {x}, {static_cast<int64_t>(DType::bf16)});
    (void)emit("matmul_bias_act", {x, param(g, {3, 4}), param(g, {4})}, {int64_t{0}, int64_t{0}, std::string("relu")});
    const std::string text = to_text(g);
    const Graph back = parse_graph(text);
    CHECK(to_text(back) == text);
    REQUIRE(back.size() == g.size());
    for (uint32_t i = 0; i < g.size(); ++i) {
        CHECK(back.node(i).types == g.node(i).types);
        CHECK(back.label(back.node(i).label) == g.label(g.node(i).label));
    }
}

TEST_CASE("text: what is left out takes its default") {
    const Graph g = parse_graph(R"(
        // comments and empty lines are skipped

        %10 = parameter() : float32[2, 3]
        %3 = softmax(%10)
        %4=leaky_relu( %3 ){ negative_slope=0.5 }   # a label
        return %4
    )");
    CHECK(g.size() == 3);
    CHECK(g.node(2).float_attr("negative_slope") == 0.5);
    CHECK(g.node(1).int_attr("axis") == -1);
    CHECK(g.label(g.node(2).label) == "a label");
    CHECK(g.outputs.size() == 1);
    CHECK(parse_graph("").size() == 0);
    CHECK(to_text(parse_graph("return")).empty());
}

TEST_CASE("text: random graphs and their gradients round trip and compute the same") {
    for (uint32_t seed = 0; seed < fuzz(60); ++seed) {
        RandomGraph r(seed, 14);
        const auto grads = differentiate(r.g, r.g.outputs, {}, r.g.parameters());
        for (Value v : grads)
            if (v.valid()) r.g.outputs.push_back(v);
        const std::string text = to_text(r.g);
        CAPTURE(text);
        const Graph back = parse_graph(text);
        CHECK(to_text(back) == text);
        if (seed % 6 != 0) continue;
        const auto in = inputs_for(r.g, seed);
        const auto a = run_graph(r.g, in), b = run_graph(back, in);
        for (size_t i = 0; i < a.size(); ++i) CHECK(std::memcmp(a[i].buffer.data, b[i].buffer.data, a[i].buffer.size) == 0);
    }
}

TEST_CASE("text: a lowered graph prints its regions and is not read back") {
    Graph g;
    const Expr x = param(g, {4, 8});
    returns(g, {reduce_sum(exp(x) * 2.0, {1})});
    const std::string text = to_text(run_pipeline(g, cpu::impls()));
    CAPTURE(text);
    CHECK(text.find("fused(%0) : float32[4]\n    region") != std::string::npos);
    CHECK(text.find("sum %") != std::string::npos);
    CHECK_THROWS_AS(parse_graph(text), UserError);
}

TEST_CASE("text: mistakes name the line") {
    const std::string start = "%0 = parameter() : float32[2,3]\n";
    const std::pair<std::string, std::string> cases[] = {
        {"%1 = exp(%2)", "line 2, column 12: %2 is not declared on an earlier line"},
        {"%0 = exp(%0)", "line 2, column 3: %0 is declared twice"},
        {"%1 = expo(%0)", "there is no op 'expo'"},
        {"%1 = add(%0)", "add takes 2 inputs, got 1"},
        {"%1 = concatenate() {axis = 0}", "concatenate takes at least 1 inputs, got 0"},
        {"%1 = exp(%0.1)", "%0 has 1 outputs; there is no .1"},
        {"%1 = exp(%0) {rate = 1}", "exp has no attribute 'rate'"},
        {"%1 = top_k(%0)", "top_k needs attribute k"},
        {"%1 = top_k(%0) {k = 1, k = 2}", "attribute k is given twice"},
        {"%1 = top_k(%0) {k = two}", "expected an integer, got 'two}'"},
        {"%1 = top_k(%0) {k = 99999999999999999999}", "out of range"},
        {"%1 = top_k(%0) {k = 7}", "line 2, column"},
        {"%1 = gelu(%0) {approximate = 1}", "expected true or false"},
        {"%1 = cast(%0) {dtype = float31}", "there is no dtype 'float31'"},
        {"%1 = exp(%0) : float32[3,2]", "output 0 of exp is float32[2,3]; the text says float32[3,2]"},
        {"%1 = exp(%0) : float32[2,3], float32[2,3]", "output 1 of exp is nothing"},
        {"%1 = parameter()", "a parameter needs its type"},
        {"%1 = parameter() : float32[-1]", "dimensions are >= 0"},
        {"%1 = parameter() : float32[4611686018427387904,4]", "fit in memory"},
        {"%1 = exp(%0) extra", "expected the end of the line, got 'extra'"},
        {"%1 exp(%0)", "expected '=', got 'exp(%0)'"},
        {"%1 = reduce_sum(%0) {axes = [0, 1}", "expected ']'"},
        {"%1 = fused(%0) : float32[2]", "a fused node cannot be read back"},
        {"%1 = parameter() : float32[3]\n%2 = add(%0, %1)", "line 3, column 17: add got float32[3] against float32[2,3]"},
        {"return %0\n%1 = exp(%0)", "line 3, column 1: nothing may follow `return`"},
        {"%1 = exp(%0)\nreturn %0 -> %1", "an output can only overwrite a parameter"},
        {"return %0 -> %0, %0 -> %0", "two outputs overwrite one parameter"},
        {"%1 = parameter() : float32[2]\nreturn %0 -> %1", "the parameter it overwrites float32[2]"},
        {"junk", "expected '%', got 'junk'"},
    };
    for (const auto& [line, expected] : cases) {
        CAPTURE(line);
        std::string message;
        try {
            (void)parse_graph(start + line);
        } catch (const UserError& e) {
            message = e.what();
        }
        CAPTURE(message);
        CHECK(message.find(expected) != std::string::npos);
    }
}

}  // namespace fk::test
