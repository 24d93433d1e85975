// Control flow: nodes that run graphs of their own. `switch` runs one of several branches, `scan` a body for each slice of
// its operands, `while` a body as long as a condition holds. Bodies see only their parameters: recording turns what they
// capture into operands (runtime/closure.h).
//
// A loop's gradient is a loop that runs backwards. It computes the body again from the values that the carries had at the
// start of each iteration; these are ordinary outputs of the node ("history"), which `prune` removes where nobody reads them.
#include <algorithm>

#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"
#include "passes/differentiate.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kIndexOperands[] = {"index", "operands"};
constexpr std::string_view kOperands[] = {"operands"};
const AttrDef kSwitchAttrs[] = {{"branches", AttrType::bodies}};
// Operands: the first `carries` are carried, the next `xs` sliced along axis 0, the rest is the same in each iteration. The last
// `cells` of the carries are variables that the body assigns: no gradient passes an assignment, but a variable stands for all
// the values it takes.
const AttrDef kScanAttrs[] = {{"body", AttrType::bodies},    {"carries", AttrType::integer}, {"xs", AttrType::integer},
                              {"length", AttrType::integer}, {"reverse", AttrType::boolean}, {"history", AttrType::boolean},
                              {"cells", AttrType::integer}};
// `limit` < 0: none. History needs a limit: an int32 count of iterations, then the carries, padded to `limit` rows.
const AttrDef kWhileAttrs[] = {{"condition_body", AttrType::bodies},
                               {"carries", AttrType::integer},
                               {"limit", AttrType::integer},
                               {"history", AttrType::boolean},
                               {"cells", AttrType::integer}};

// Operands: what the node returns, the inputs that the gradient is for, then what the gradient's body captures.
const AttrDef kCustomAttrs[] = {{"gradient", AttrType::bodies}, {"outputs", AttrType::integer}, {"inputs", AttrType::integer}};

TensorType stacked(TensorType t, int64_t n) {
    t.dims.insert(t.dims.begin(), n);
    return t;
}

Types output_types(const Graph& g) {
    Types out;
    for (Value v : g.outputs) out.push_back(g.type(v));
    return out;
}

void check_parameters(const InferCall& c, const Graph& body, const Types& given) {
    check_internal(body.parameters().size() == given.size(), c.op.name, ": a body of ", body.parameters().size(),
                   " parameters gets ", given.size(), " operands");
    for (size_t i = 0; i < given.size(); ++i)
        if (const TensorType& t = body.type(body.parameters()[i]); t != given[i])
            fail<InternalError>(c.op.name, ": operand ", i, " is ", to_string(given[i]), ", the body's parameter ", to_string(t));
}

// What recording gets right, but a text may not: how many bodies there are, and how the operands are divided.
void check_counts(const InferCall& c, size_t bodies, int64_t first, int64_t second, int64_t cells = 0) {
    const auto n = static_cast<int64_t>(c.in.size());
    check_internal(c.bodies(0).size() == bodies, c.op.name, " takes ", bodies, " bodies, got ", c.bodies(0).size());
    check_internal(0 <= first && first <= n && 0 <= second && second <= n - first && 0 <= cells && cells <= first, c.op.name,
                   ": ", first, " and ", second, " of ", n, " operands, ", cells, " cells");
}

Types infer_switch(const InferCall& c) {
    const Bodies& branches = c.bodies(0);
    check_internal(!branches.empty() && c.in[0] == TensorType{DType::i32, {}}, "a switch needs branches and an int32 index");
    const Types out = output_types(*branches[0]);
    for (size_t b = 0; b < branches.size(); ++b) {
        check_parameters(c, *branches[b], {c.in.begin() + 1, c.in.end()});
        const Types own = output_types(*branches[b]);
        if (own.size() != out.size())
            fail<UserError>("branch ", b, " returns ", own.size(), " tensors, branch 0 ", out.size(),
                            "; all branches must return the same structure");
        for (size_t i = 0; i < out.size(); ++i)
            if (own[i] != out[i])
                fail<UserError>("branch ", b, " returns ", to_string(own[i]), " where branch 0 returns ", to_string(out[i]),
                                "; all branches must return the same shapes and dtypes");
    }
    return out;
}

void check_carries(const InferCall& c, const Graph& body, size_t carries) {
    check_internal(body.outputs.size() >= carries, c.op.name, ": a body of ", body.outputs.size(), " outputs carries ", carries);
    for (size_t i = 0; i < carries; ++i)
        if (const TensorType& t = body.type(body.outputs.at(i)); t != c.in[i])
            fail<UserError>(c.op.name, ": carried value ", i, " starts as ", to_string(c.in[i]), " and comes out of the body as ",
                            to_string(t), "; it must keep its shape and dtype");
}

Types infer_scan(const InferCall& c) {
    check_counts(c, 1, c.integer(1), c.integer(2), c.integer(6));
    const Graph& body = *c.bodies(0)[0];
    const auto carries = static_cast<size_t>(c.integer(1)), xs = static_cast<size_t>(c.integer(2));
    const int64_t length = c.integer(3);
    check_internal(length >= 0, "scan: a length of ", length);
    Types inner(c.in.begin(), c.in.end());
    for (size_t i = carries; i < carries + xs; ++i) {
        if (inner[i].dims.empty() || inner[i].dims[0] != length)
            fail<UserError>("scan: operand ", i - carries, " has shape ", to_string(inner[i].dims), "; expected ", length,
                            " slices along its first dimension");
        inner[i].dims.erase(inner[i].dims.begin());
    }
    check_parameters(c, body, inner);
    check_carries(c, body, carries);
    Types out = output_types(body);
    for (size_t i = carries; i < out.size(); ++i) out[i] = stacked(out[i], length);
    return out;
}

Types infer_while(const InferCall& c) {
    check_counts(c, 2, c.integer(1), 0, c.integer(4));
    const Graph &condition = *c.bodies(0)[0], &body = *c.bodies(0)[1];
    const auto carries = static_cast<size_t>(c.integer(1));
    const int64_t limit = c.integer(2);
    check_internal(body.outputs.size() == carries, "while: a body of ", body.outputs.size(), " outputs carries ", carries);
    const Types given(c.in.begin(), c.in.end());
    check_parameters(c, condition, given);
    check_parameters(c, body, given);
    if (output_types(condition) != Types{{DType::boolean, {}}})
        fail<UserError>("while_loop: the condition must return one boolean, a tensor of shape ()");
    check_carries(c, body, carries);
    Types out(c.in.begin(), c.in.begin() + static_cast<std::ptrdiff_t>(carries));
    check_internal(c.integer(3) == 0 || limit >= 0, "a while loop without a limit keeps no history");
    if (c.integer(3) != 0) {
        out.push_back({DType::i32, {}});
        for (size_t i = 0; i < carries; ++i) out.push_back(stacked(c.in[i], limit));
    }
    return out;
}

// One parameter of `g` for each of `types`.
std::vector<Value> add_parameters(Graph& g, const Types& types) {
    std::vector<Value> out;
    for (const TensorType& t : types) out.push_back(g.add_parameter(t));
    return out;
}

// The gradients of `body` at `arguments` inside `g`, for those arguments that are floating: zeros where nothing connects.
std::vector<Value> body_gradients(Graph& g, const Graph& body, const std::vector<Value>& arguments,
                                  const std::vector<Value>& seeds) {
    std::vector<Value> wanted = body.outputs;
    for (const auto& [parameter, version] : body.versions) wanted.push_back(version);
    const std::vector<Value> copies = inline_graph(g, body, arguments, wanted);
    std::vector<Value> targets, given, sources;
    const size_t n_outputs = body.outputs.size();
    for (size_t i = 0; i < n_outputs; ++i)
        if (i < seeds.size() && seeds[i].valid()) targets.push_back(copies[i]), given.push_back(seeds[i]);
    std::vector<size_t> place(arguments.size());
    for (size_t i = 0; i < arguments.size(); ++i)
        if (is_float(g.type(arguments[i]).dtype)) place[i] = sources.size(), sources.push_back(arguments[i]);
    const size_t n_sources = sources.size();
    for (size_t i = n_outputs; i < copies.size(); ++i) sources.push_back(copies[i]);
    std::vector<Value> grads = differentiate(g, targets, given, sources);
    for (size_t i = 0; i < body.versions.size(); ++i) {
        const Value of_version = grads[n_sources + i];
        if (!of_version.valid()) continue;
        Value& of_variable = grads[place[body.versions[i].first]];
        of_variable = of_variable.valid() ? (Expr{&g, of_variable} + Expr{&g, of_version}).v : of_version;
    }
    grads.resize(n_sources);
    for (size_t i = 0; i < grads.size(); ++i)
        if (!grads[i].valid()) grads[i] = full(g, 0.0, g.type(sources[i]).dtype, g.type(sources[i]).dims).v;
    return grads;
}

Expr zeros(Graph& g, const TensorType& t) { return full(g, 0.0, t.dtype, t.dims); }
Expr or_zeros(Graph& g, const Expr& e, const TensorType& t) { return e.valid() ? e : zeros(g, t); }

Out switch_vjp(const VjpCall& c) {
    Graph& g = *c.g;
    const std::vector<Value> inputs = c.node().inputs;
    const Bodies branches = c.node().bodies();
    Types types;
    for (size_t i = 1; i < inputs.size(); ++i) types.push_back(g.type(inputs[i]));
    std::vector<Value> operands = inputs;
    Types with_seeds = types;
    std::vector<int64_t> seed_of(c.dys.size(), -1);
    for (size_t i = 0; i < c.dys.size(); ++i)
        if (c.dys[i].valid()) {
            seed_of[i] = static_cast<int64_t>(with_seeds.size());
            with_seeds.push_back(c.dys[i].type());
            operands.push_back(c.dys[i].v);
        }
    Bodies backward;
    for (const auto& branch : branches) {
        Graph b;
        const std::vector<Value> p = add_parameters(b, with_seeds);
        std::vector<Value> seeds;
        for (int64_t s : seed_of) seeds.push_back(s < 0 ? Value{} : p[static_cast<size_t>(s)]);
        b.outputs = body_gradients(b, *branch, {p.begin(), p.begin() + static_cast<std::ptrdiff_t>(types.size())}, seeds);
        backward.push_back(std::make_shared<const Graph>(std::move(b)));
    }
    const uint32_t n = g.add(get_op("switch"), operands, {backward});
    Out out(inputs.size());
    uint32_t next = 0;
    for (size_t i = 0; i < types.size(); ++i)
        if (is_float(types[i].dtype)) out[i + 1] = {&g, {n, next++}};
    return out;
}

// Backward bodies carry: the gradients of the floating carries, then the sums of the gradients of the floating constants.
Out scan_vjp(const VjpCall& c) {
    Graph& g = *c.g;
    const Node node = c.node();
    const auto carries = static_cast<size_t>(node.int_attr("carries")), xs = static_cast<size_t>(node.int_attr("xs"));
    const std::shared_ptr<const Graph> body = node.bodies()[0];
    const size_t n_in = node.inputs.size(), n_out = node.types.size();
    const size_t first_cell = carries - static_cast<size_t>(node.int_attr("cells"));
    check_internal(node.bool_attr("history"), "the gradient of a loop whose history was removed");
    Types slice(n_in);
    for (size_t i = 0; i < n_in; ++i) slice[i] = body->type(body->parameters()[i]);

    Graph b;
    std::vector<Value> operands;
    std::vector<Value> arguments(n_in), seeds(n_out);
    const auto bind = [&](Value operand, const TensorType& type) {
        operands.push_back(operand);
        return b.add_parameter(type);
    };
    for (size_t i = 0; i < carries; ++i)
        if (is_float(slice[i].dtype)) seeds[i] = bind(or_zeros(g, c.dys[i], slice[i]).v, slice[i]);
    std::vector<Value> sums;
    for (size_t i = carries + xs; i < n_in; ++i)
        if (is_float(slice[i].dtype)) sums.push_back(bind(zeros(g, slice[i]).v, slice[i]));
    const size_t back_carries = operands.size();
    for (size_t i = 0; i < carries; ++i) arguments[i] = bind({c.index, static_cast<uint32_t>(n_out - carries + i)}, slice[i]);
    for (size_t i = carries; i < carries + xs; ++i) arguments[i] = bind(node.inputs[i], slice[i]);
    for (size_t i = carries; i < n_out; ++i)
        if (c.dys[i].valid()) seeds[i] = bind(c.dys[i].v, body->type(body->outputs[i]));
    const size_t back_xs = operands.size() - back_carries;
    for (size_t i = carries + xs; i < n_in; ++i) arguments[i] = bind(node.inputs[i], slice[i]);

    std::vector<Value> inner = seeds;
    for (size_t i = first_cell; i < carries; ++i) inner[i] = Value{};  // sums, not seeds
    const std::vector<Value> grads = body_gradients(b, *body, arguments, inner);
    std::vector<Value> of_xs;
    size_t at = 0, sum = 0;
    for (size_t i = 0; i < n_in; ++i) {
        if (!is_float(slice[i].dtype)) continue;
        const Value grad = grads[at++];
        if (i < carries)
            b.outputs.push_back(i < first_cell ? grad : (Expr{&b, seeds[i]} + Expr{&b, grad}).v);
        else if (i < carries + xs)
            of_xs.push_back(grad);
        else
            b.outputs.push_back((Expr{&b, sums[sum++]} + Expr{&b, grad}).v);
    }
    b.outputs.insert(b.outputs.end(), of_xs.begin(), of_xs.end());
    for (size_t i = 0; i < back_carries; ++i) b.outputs.push_back(b.parameters()[i]);
    const uint32_t n = g.add(
        get_op("scan"), operands,
        {Bodies{std::make_shared<const Graph>(std::move(b))}, static_cast<int64_t>(back_carries), static_cast<int64_t>(back_xs),
         node.int_attr("length"), static_cast<int64_t>(!node.bool_attr("reverse")), int64_t{1}, int64_t{0}});
    Out out(n_in);
    uint32_t carried = 0, sliced = static_cast<uint32_t>(back_carries);
    for (size_t i = 0; i < carries; ++i)
        if (is_float(slice[i].dtype)) out[i] = {&g, {n, carried++}};
    for (size_t i = carries; i < carries + xs; ++i)
        if (is_float(slice[i].dtype)) out[i] = {&g, {n, sliced++}};
    for (size_t i = carries + xs; i < n_in; ++i)
        if (is_float(slice[i].dtype)) out[i] = {&g, {n, carried++}};
    return out;
}

// Counts down from the number of iterations, reading the carries of each from the history.
Out while_vjp(const VjpCall& c) {
    Graph& g = *c.g;
    const Node node = c.node();
    const auto carries = static_cast<size_t>(node.int_attr("carries"));
    const std::shared_ptr<const Graph> body = node.bodies()[1];
    const size_t n_in = node.inputs.size();
    const size_t first_cell = carries - static_cast<size_t>(node.int_attr("cells"));
    if (!node.bool_attr("history"))
        fail<UnsupportedError>(
            "the gradient of while_loop needs a bound on the number of iterations: pass maximum_iterations, or "
            "use ops.fori_loop or ops.scan");
    Types types(n_in);
    for (size_t i = 0; i < n_in; ++i) types[i] = body->type(body->parameters()[i]);

    Graph b, condition;
    std::vector<Value> operands, arguments(n_in), seeds(carries);
    const auto bind = [&](Value operand) {
        operands.push_back(operand);
        condition.add_parameter(g.type(operand));
        return b.add_parameter(g.type(operand));
    };
    const auto count = static_cast<uint32_t>(carries);
    const Expr step{&b, bind((Expr{&g, {c.index, count}} - 1.0).v)};
    for (size_t i = 0; i < carries; ++i)
        if (is_float(types[i].dtype)) seeds[i] = bind(or_zeros(g, c.dys[i], types[i]).v);
    std::vector<Value> sums;
    for (size_t i = carries; i < n_in; ++i)
        if (is_float(types[i].dtype)) sums.push_back(bind(zeros(g, types[i]).v));
    const size_t back_carries = operands.size();
    const auto row = [&](Value stacked_operand) { return emit("gather", {Expr{&b, bind(stacked_operand)}, step}, {int64_t{0}}); };
    for (size_t i = 0; i < carries; ++i) arguments[i] = row({c.index, count + 1 + static_cast<uint32_t>(i)}).v;
    std::vector<Expr> of_history(carries);
    for (size_t i = 0; i < carries; ++i)
        if (const Expr& dy = c.dys[count + 1 + i]; dy.valid()) of_history[i] = row(dy.v);
    for (size_t i = carries; i < n_in; ++i) arguments[i] = bind(node.inputs[i]);

    std::vector<Value> inner = seeds;
    for (size_t i = first_cell; i < carries; ++i) inner[i] = Value{};
    const std::vector<Value> grads = body_gradients(b, *body, arguments, inner);
    b.outputs.push_back((step - 1.0).v);
    size_t at = 0, sum = 0;
    for (size_t i = 0; i < n_in; ++i) {
        if (!is_float(types[i].dtype)) continue;
        Expr grad{&b, grads[at++]};
        if (i >= carries)
            grad = Expr{&b, sums[sum++]} + grad;
        else if (i >= first_cell)
            grad = Expr{&b, seeds[i]} + grad;
        if (i < carries && of_history[i].valid()) grad = grad + of_history[i];
        b.outputs.push_back(grad.v);
    }
    condition.outputs = {(Expr{&condition, condition.parameters()[0]} >= 0.0).v};
    const uint32_t n =
        g.add(get_op("while"), operands,
              {Bodies{std::make_shared<const Graph>(std::move(condition)), std::make_shared<const Graph>(std::move(b))},
               static_cast<int64_t>(back_carries), node.int_attr("limit"), int64_t{1}, int64_t{0}});
    Out out(n_in);
    uint32_t next = 1;
    for (size_t i = 0; i < n_in; ++i)
        if (is_float(types[i].dtype)) out[i] = {&g, {n, next++}};
    return out;
}

Types infer_custom(const InferCall& c) {
    check_counts(c, 1, c.integer(1), c.integer(2));
    const Graph& gradient = *c.bodies(0)[0];
    const auto outputs = static_cast<size_t>(c.integer(1)), inputs = static_cast<size_t>(c.integer(2));
    Types taken(c.in.begin(), c.in.begin() + static_cast<std::ptrdiff_t>(outputs));
    const Types out = taken;
    taken.insert(taken.end(), c.in.begin() + static_cast<std::ptrdiff_t>(outputs + inputs), c.in.end());
    check_parameters(c, gradient, taken);
    const Types grads = output_types(gradient);
    if (grads.size() != inputs)
        fail<UserError>("the gradient function of custom_gradient returns ", grads.size(),
                        " gradients; expected one for each of the ", inputs, " inputs");
    for (size_t i = 0; i < inputs; ++i)
        if (is_float(c.in[outputs + i].dtype) && grads[i] != c.in[outputs + i])
            fail<UserError>("the gradient function of custom_gradient returns ", to_string(grads[i]), " for input ", i,
                            ", which is ", to_string(c.in[outputs + i]));
    return out;
}

Out custom_vjp(const VjpCall& c) {
    const Node node = c.node();
    const auto outputs = static_cast<size_t>(node.int_attr("outputs")), inputs = static_cast<size_t>(node.int_attr("inputs"));
    std::vector<Value> arguments;
    for (size_t i = 0; i < outputs; ++i) arguments.push_back(or_zeros(*c.g, c.dys[i], node.types[i]).v);
    arguments.insert(arguments.end(), node.inputs.begin() + static_cast<std::ptrdiff_t>(outputs + inputs), node.inputs.end());
    const std::vector<Value> grads = inline_graph(*c.g, *node.bodies()[0], arguments);
    Out out(node.inputs.size());
    for (size_t i = 0; i < inputs; ++i)
        if (is_float(c.g->type(node.inputs[outputs + i]).dtype)) out[outputs + i] = {c.g, grads[i]};
    return out;
}

Out custom_body(const OpCall& c) {
    Out out;
    for (size_t i = 0; i < c.node->types.size(); ++i) out.push_back(c.in(i));
    return out;
}

}  // namespace

std::vector<OpDef> control() {
    return {
        OpDef{.name = "switch",
              .summary = "Runs the branch that index names (clamped to those there are) on the operands.",
              .kind = OpKind::library,
              .inputs = kIndexOperands,
              .variadic = true,
              .attrs = kSwitchAttrs,
              .infer = infer_switch,
              .vjp = switch_vjp},
        OpDef{.name = "scan",
              .summary = "Runs a body for each slice of its operands, carrying values from one iteration to the next.",
              .kind = OpKind::library,
              .inputs = kOperands,
              .variadic = true,
              .attrs = kScanAttrs,
              .infer = infer_scan,
              .vjp = scan_vjp,
              .checks_indices = true},  // may be interrupted
        OpDef{.name = "while",
              .summary = "Runs a body as long as a condition on the carried values holds.",
              .kind = OpKind::library,
              .inputs = kOperands,
              .variadic = true,
              .attrs = kWhileAttrs,
              .infer = infer_while,
              .vjp = while_vjp,
              .checks_indices = true},
        OpDef{.name = "custom_gradient",
              .summary = "Its first operands, with a gradient of the caller's.",
              .inputs = kOperands,
              .variadic = true,
              .attrs = kCustomAttrs,
              .infer = infer_custom,
              .body = custom_body,
              .vjp = custom_vjp},
    };
}

}  // namespace fk::families
