// LSTM, GRU and simple RNN over whole sequences, with Keras' equations and order of gates. `xw` is what the inputs contribute
// to the gates of all steps: an ordinary product before the loop. `bias` is added to what the state contributes. The bodies are
// scans; the gradient ops return what has to be found step by step (`dxw`, and the bias' gradient, which is a sum of its like),
// and the gradient of the recurrent kernel is one product at the end, with the states before all steps ("before").
//
// A step where the optional `mask` [batch, time] is false keeps the states. The optional `dropout` [gates, batch, units]
// multiplies the state, for each gate, before the recurrent kernel does. `reverse` computes the last step first; tensors are in
// the order of time either way.
#include "ops/recurrent.h"

#include <algorithm>
#include <functional>

#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"
#include "passes/differentiate.h"

namespace fk {

int recurrent_input(const OpDef& op, const Attrs& attrs, std::string_view name) {
    const auto named = std::ranges::find(op.inputs, name);
    if (named != op.inputs.end()) return static_cast<int>(named - op.inputs.begin());
    auto at = static_cast<int>(op.inputs.size());
    for (std::string_view optional : kOptionalRecurrentInputs) {
        const int attr = op.attr_index(optional);
        const bool there = attr >= 0 && std::get<int64_t>(attrs[static_cast<size_t>(attr)]) != 0;
        if (optional == name) return there ? at : -1;
        at += there;
    }
    return -1;
}

size_t recurrent_states(const Node& node) { return node.is("lstm_sequence") ? 3 : 2; }

namespace families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;

constexpr std::string_view kLstm[] = {"xw", "kernel", "bias", "h0", "c0"};
constexpr std::string_view kLstmGrad[] = {"kernel", "c0", "gates", "cells", "dh_last", "dc_last"};
constexpr std::string_view kOneState[] = {"xw", "kernel", "bias", "h0"};
constexpr std::string_view kGruGrad[] = {"kernel", "before", "gates", "candidate", "dh_last"};
constexpr std::string_view kRnnGrad[] = {"kernel", "h", "dh_last"};

// `history`: whether what only a gradient reads is returned.
const AttrDef kReverse{"reverse", AttrType::boolean, Attr{int64_t{0}}}, kMask{"mask", AttrType::boolean, Attr{int64_t{0}}},
    kDropout{"dropout", AttrType::boolean, Attr{int64_t{0}}}, kHistory{"history", AttrType::boolean, Attr{int64_t{1}}},
    kDh{"dh", AttrType::boolean, Attr{int64_t{0}}}, kResetAfter{"reset_after", AttrType::boolean, Attr{int64_t{1}}},
    kActivation{"activation", AttrType::text, Attr{std::string("tanh")}};
const AttrDef kLstmAttrs[] = {kReverse, kMask, kDropout, kHistory};
const AttrDef kLstmGradAttrs[] = {kReverse, kDh, kMask, kDropout};
const AttrDef kGruAttrs[] = {kReverse, kMask, kDropout, kHistory, kResetAfter};
const AttrDef kGruGradAttrs[] = {kReverse, kDh, kMask, kDropout, kResetAfter};
const AttrDef kRnnAttrs[] = {kReverse, kMask, kDropout, kHistory, kActivation};
const AttrDef kRnnGradAttrs[] = {kReverse, kDh, kMask, kDropout, kActivation};

// ---- Types

// The types of one call, from its recurrent kernel and a tensor [batch, time, ...].
struct Sizes {
    DType dtype;
    int64_t batch, time, units, gates;
    [[nodiscard]] TensorType state() const { return {dtype, {batch, units}}; }
    [[nodiscard]] TensorType sequence(int64_t n) const { return {dtype, {batch, time, n * units}}; }
};

Sizes check(const InferCall& c, int64_t gates, std::string_view over_time) {
    const auto at = [&](std::string_view name) { return static_cast<size_t>(recurrent_input(c.op, c.attrs, name)); };
    const TensorType &kernel = c.in[at("kernel")], &x = c.in[at(over_time)];
    infer::require_float(c, at("kernel"));
    infer::require_rank(c, at("kernel"), 2);
    infer::require_rank(c, at(over_time), 3);
    const Sizes s{x.dtype, x.dims[0], x.dims[1], kernel.dims[0], gates};
    const auto expect = [&](std::string_view name, const TensorType& type) {
        const int i = recurrent_input(c.op, c.attrs, name);
        if (i < 0) return;
        check_internal(static_cast<size_t>(i) < c.in.size(), c.op.name, ": operand '", name, "' is missing");
        if (c.in[static_cast<size_t>(i)] != type)
            fail<UserError>(c.op.name, ": '", name, "' is ", to_string(c.in[static_cast<size_t>(i)]), "; expected ",
                            to_string(type));
    };
    expect("kernel", {s.dtype, {s.units, gates * s.units}});
    expect("xw", s.sequence(gates));
    expect("gates", s.sequence(gates));
    expect("bias", {s.dtype, {gates * s.units}});
    for (std::string_view name : {"h0", "c0", "dh_last", "dc_last"}) expect(name, s.state());
    for (std::string_view name : {"h", "before", "cells", "candidate", "dh"}) expect(name, s.sequence(1));
    expect("mask", {DType::boolean, {s.batch, s.time}});
    expect("dropout", {s.dtype, {gates, s.batch, s.units}});
    size_t operands = c.op.inputs.size();
    for (std::string_view name : kOptionalRecurrentInputs) operands += recurrent_input(c.op, c.attrs, name) >= 0;
    check_internal(c.in.size() == operands, c.op.name, " gets ", c.in.size(), " operands, its attributes announce ", operands);
    return s;
}

// The states' types, then those of the history where the node has one.
Types with_history(const InferCall& c, Types states, const Types& history) {
    if (c.integer(3) != 0) states.insert(states.end(), history.begin(), history.end());
    return states;
}
TensorType bias_type(const Sizes& s) { return {s.dtype, {s.gates * s.units}}; }

Types infer_lstm(const InferCall& c) {
    const Sizes s = check(c, 4, "xw");
    return with_history(c, {s.sequence(1), s.state(), s.state()}, {s.sequence(4), s.sequence(1), s.sequence(1)});
}
Types infer_lstm_grad(const InferCall& c) {
    const Sizes s = check(c, 4, "gates");
    return {s.sequence(4), bias_type(s), s.state(), s.state()};
}
Types infer_gru(const InferCall& c) {
    const Sizes s = check(c, 3, "xw");
    return with_history(c, {s.sequence(1), s.state()}, {s.sequence(3), s.sequence(1), s.sequence(1)});
}
Types infer_gru_grad(const InferCall& c) {
    const Sizes s = check(c, 3, "gates");
    return {s.sequence(3), bias_type(s), s.state()};
}
void check_activation(const InferCall& c) {
    if (const auto& act = std::get<std::string>(c.attrs[4]); act != "tanh" && act != "relu")
        fail<UserError>(c.op.name, ": activation is '", act, "'; expected 'tanh' or 'relu'");
}
Types infer_rnn(const InferCall& c) {
    check_activation(c);
    const Sizes s = check(c, 1, "xw");
    return with_history(c, {s.sequence(1), s.state()}, {s.sequence(1)});
}
Types infer_rnn_grad(const InferCall& c) {
    check_activation(c);
    const Sizes s = check(c, 1, "h");
    return {s.sequence(1), bias_type(s), s.state()};
}

// ---- Pieces of bodies

Expr part(Expr x, int axis, int64_t begin, int64_t end) {
    Dims start(x.dims().size(), 0), stop = x.dims(), step(x.dims().size(), 1);
    start[static_cast<size_t>(axis)] = begin;
    stop[static_cast<size_t>(axis)] = end;
    return emit("slice", {x}, {start, stop, step});
}
Expr join(const Out& parts, int64_t axis) {
    if (parts.size() == 1) return parts[0];
    std::vector<Value> values;
    for (const Expr& e : parts) values.push_back(e.v);
    return {parts[0].g, {emit_node(*parts[0].g, get_op("concatenate"), std::move(values), {axis}), 0}};
}
Expr product_of(Expr a, Expr b, bool ta = false, bool tb = false) {
    return emit("matmul", {a, b}, {static_cast<int64_t>(ta), static_cast<int64_t>(tb)});
}
// Columns of gates [begin, end) of a tensor whose last axis has `units` for each.
Expr gates_of(Expr x, int64_t units, int64_t begin, int64_t end) {
    return begin == 0 && end * units == x.dims().back() ? x : part(x, x.rank() - 1, begin * units, end * units);
}
Expr swap_leading(Expr x) {
    Dims perm{1, 0};
    for (int i = 2; i < x.rank(); ++i) perm.push_back(i);
    return emit("transpose", {x}, {perm});
}

// The recurrent kernel, and what the state is multiplied by before.
struct Weights {
    Expr kernel, dropout;  // dropout may be invalid
    [[nodiscard]] int64_t units() const { return kernel.dims()[0]; }
    [[nodiscard]] Expr of_gate(int64_t g) const { return gates_of(kernel, units(), g, g + 1); }
    [[nodiscard]] Expr factor(int64_t g) const {
        return reshape(part(dropout, 0, g, g + 1), {dropout.dims()[1], dropout.dims()[2]});
    }
    [[nodiscard]] Expr dropped(Expr h, int64_t g) const { return dropout.valid() ? h * factor(g) : h; }
    // What the state contributes to gates [begin, end), and the gradient of that.
    [[nodiscard]] Expr forward(Expr h, int64_t begin, int64_t end) const {
        if (!dropout.valid()) return product_of(h, gates_of(kernel, units(), begin, end));
        Out parts;
        for (int64_t g = begin; g < end; ++g) parts.push_back(product_of(dropped(h, g), of_gate(g)));
        return join(parts, -1);
    }
    [[nodiscard]] Expr backward(Expr da, int64_t begin, int64_t end) const {
        if (!dropout.valid()) return product_of(da, gates_of(kernel, units(), begin, end), false, true);
        Expr sum;
        for (int64_t g = begin; g < end; ++g) {
            const Expr one = dropped(product_of(gates_of(da, units(), g - begin, g - begin + 1), of_gate(g), false, true), g);
            sum = sum.valid() ? sum + one : one;
        }
        return sum;
    }
};

// The optional operands of a node.
struct Extras {
    Expr dh, mask, dropout;
};
Extras extras(Graph& g, const Node& node, std::span<const Value> inputs) {
    const auto get = [&](std::string_view name) {
        const int i = recurrent_input(node, name);
        return i < 0 ? Expr{} : Expr{&g, inputs[static_cast<size_t>(i)]};
    };
    return {get("dh"), get("mask"), get("dropout")};
}

// A step: from the carried values, the slices of the sequences and the constants to the new carried values and the outputs.
struct Moment {
    Out carries, xs, constants;
};
struct Stepped {
    Out carries, ys;
};
using Step = std::function<Stepped(const Moment&)>;

// Runs it over axis 1 of `xs`. Returns the last carried values, then the outputs of all steps; invalid ones stand for none.
Out over_time(Graph& g, const Out& carries, const Out& xs, const Out& constants, bool reverse, const Step& step) {
    Graph b;
    std::vector<Value> operands;
    Moment m;
    const auto bind = [&](Expr e, const TensorType& type, Out& to) {
        if (!e.valid()) return to.push_back({});
        operands.push_back(e.v);
        to.push_back({&b, b.add_parameter(type)});
    };
    for (const Expr& e : carries) bind(e, e.type(), m.carries);
    int64_t sliced = 0;
    for (const Expr& e : xs) {
        if (!e.valid()) {
            m.xs.push_back({});
            continue;
        }
        TensorType type = e.type();
        type.dims.erase(type.dims.begin() + 1);
        bind(swap_leading(e), type, m.xs);
        ++sliced;
    }
    for (const Expr& e : constants) bind(e, e.valid() ? e.type() : TensorType{}, m.constants);
    const Stepped next = step(m);
    for (const Out& list : {next.carries, next.ys, m.carries})
        for (const Expr& e : list) b.outputs.push_back(e.v);
    const int64_t length = xs[0].dims()[1];
    const uint32_t n = g.add(get_op("scan"), operands,
                             {Bodies{std::make_shared<const Graph>(std::move(b))}, static_cast<int64_t>(carries.size()), sliced,
                              length, static_cast<int64_t>(reverse), int64_t{1}, int64_t{0}});
    Out out;
    for (uint32_t i = 0; i < carries.size() + next.ys.size(); ++i) {
        const Expr e{&g, {n, i}};
        out.push_back(i < carries.size() ? e : swap_leading(e));
    }
    return out;
}

Expr keep_masked(Expr mask, Expr now, Expr before) {
    return mask.valid() ? where(reshape(mask, {mask.dims()[0], 1}), now, before) : now;
}
// What a sequence held before each step.
Expr earlier(Expr sequence, Expr first, bool reverse) {
    const int64_t time = sequence.dims()[1];
    if (time == 0) return sequence;
    const Expr start = reshape(first, {first.dims()[0], 1, first.dims()[1]});
    return reverse ? join({part(sequence, 1, 1, time), start}, 1) : join({start, part(sequence, 1, 0, time - 1)}, 1);
}
Expr flat(Expr x) { return reshape(x, {x.dims()[0] * x.dims()[1], x.dims()[2]}); }
Expr every_step(Expr factor) { return reshape(factor, {factor.dims()[0], 1, factor.dims()[1]}); }

// Of the recurrent kernel's gates [begin, end): the states before all steps meet the gradients of all sums at once.
Expr kernel_grad(const Weights& w, Expr before, Expr da, int64_t begin, int64_t end) {
    if (!w.dropout.valid()) return product_of(flat(before), flat(da), true, false);
    Out parts;
    for (int64_t g = begin; g < end; ++g)
        parts.push_back(product_of(flat(before * every_step(w.factor(g))),
                                   flat(gates_of(da, w.units(), g - begin, g - begin + 1)), true, false));
    return join(parts, -1);
}
// Of one gate's dropout factors: [1, batch, units].
Expr dropout_grad(const Weights& w, Expr before, Expr da, int64_t gate) {
    const Dims dims = before.dims();
    const Expr d = reshape(product_of(flat(da), w.of_gate(gate), false, true), dims);
    return reshape(reduce_sum(d * before, {1}), {1, dims[0], dims[2]});
}
Expr dropout_grads(const Weights& w, Expr before, Expr da, int64_t gates) {
    Out parts;
    for (int64_t g = 0; g < gates; ++g) parts.push_back(dropout_grad(w, before, gates_of(da, w.units(), g, g + 1), g));
    return join(parts, 0);
}

// Emits the gradient op: its named operands, then the optional ones.
Out emit_grad(const VjpCall& c, std::string_view op, std::initializer_list<Expr> named, const Extras& e, Attrs attrs) {
    std::vector<Value> operands;
    for (const Expr& x : named) operands.push_back(x.v);
    for (const Expr& x : {c.dys[0], e.mask, e.dropout})
        if (x.valid()) operands.push_back(x.v);
    const uint32_t n = emit_node(*c.g, get_op(op), std::move(operands), std::move(attrs));
    Out out;
    for (uint32_t i = 0; i < c.g->node(n).types.size(); ++i) out.push_back({c.g, {n, i}});
    return out;
}
Expr given_or_zeros(const VjpCall& c, size_t output) { return c.dys[output].valid() ? c.dys[output] : zeros_like(c.out(output)); }
// Whether the gradient of something that only gradients read is asked for: one of a higher order.
bool through_history(const VjpCall& c) {
    const auto first = static_cast<std::ptrdiff_t>(recurrent_states(c.node()));
    return std::any_of(c.dys.begin() + first, c.dys.end(), [](const Expr& e) { return e.valid(); });
}
Attrs grad_attrs(const VjpCall& c, const Extras& e) {
    return {c.node().int_attr("reverse"), static_cast<int64_t>(c.dys[0].valid()), static_cast<int64_t>(e.mask.valid()),
            static_cast<int64_t>(e.dropout.valid())};
}
Out without_history(Out out, const OpCall& c) {
    out.resize(c.node->types.size());
    return out;
}
// The gradients of a node's inputs, of which the mask has none.
Out with_dropout(Out grads, const Extras& e, const Expr& of_dropout) {
    if (e.mask.valid()) grads.push_back({});
    if (e.dropout.valid()) grads.push_back(of_dropout);
    return grads;
}

// ---- LSTM: gates i, f, g, o

Out lstm_body(const OpCall& c) {
    const Extras e = extras(*c.g, *c.node, c.inputs);
    const Out out = over_time(*c.g, {c.in(3), c.in(4)}, {c.in(0), e.mask}, {c.in(1), e.dropout, c.in(2)},
                              c.node->bool_attr("reverse"), [](const Moment& m) -> Stepped {
                                  const Weights w{m.constants[0], m.constants[1]};
                                  const Expr a = m.xs[0] + m.constants[2] + w.forward(m.carries[0], 0, 4);
                                  const auto gate = [&](int64_t g) { return gates_of(a, w.units(), g, g + 1); };
                                  const Expr i = sigmoid(gate(0)), f = sigmoid(gate(1)), g = tanh(gate(2)), o = sigmoid(gate(3));
                                  const Expr new_c = f * m.carries[1] + i * g;
                                  const Expr h = keep_masked(m.xs[1], o * tanh(new_c), m.carries[0]);
                                  const Expr cell = keep_masked(m.xs[1], new_c, m.carries[1]);
                                  return {{h, cell}, {h, join({i, f, g, o}, -1), cell, m.carries[0]}};
                              });
    return without_history({out[2], out[0], out[1], out[3], out[4], out[5]}, c);
}

Out lstm_grad_body(const OpCall& c) {
    const Extras e = extras(*c.g, *c.node, c.inputs);
    const bool reverse = c.node->bool_attr("reverse");
    const Expr c0 = c.in(1), gates = c.in(2), cells = c.in(3);
    const Out out = over_time(
        *c.g, {c.in(4), c.in(5)}, {gates, cells, earlier(cells, c0, reverse), e.dh, e.mask}, {c.in(0), e.dropout}, !reverse,
        [](const Moment& m) -> Stepped {
            const Weights w{m.constants[0], m.constants[1]};
            const Expr mask = m.xs[4];
            const auto gate = [&](int64_t g) { return gates_of(m.xs[0], w.units(), g, g + 1); };
            const Expr i = gate(0), f = gate(1), g = gate(2), o = gate(3), y = tanh(m.xs[1]);
            const Expr dh = m.xs[3].valid() ? m.carries[0] + m.xs[3] : m.carries[0];
            const Expr dc = m.carries[1] + dh * o * (1.0 - y * y);
            Expr da =
                join({dc * g * i * (1.0 - i), dc * m.xs[2] * f * (1.0 - f), dc * i * (1.0 - g * g), dh * y * o * (1.0 - o)}, -1);
            da = keep_masked(mask, da, zeros_like(da));
            return {{keep_masked(mask, w.backward(da, 0, 4), dh), keep_masked(mask, dc * f, m.carries[1])}, {da}};
        });
    return {out[2], reduce_sum(out[2], {0, 1}), out[0], out[1]};
}

Out lstm_vjp(const VjpCall& c) {
    if (through_history(c)) return differentiate_body(*c.g, c.index, c.dys);
    const Extras e = extras(*c.g, c.node(), c.node().inputs);
    const Weights w{c.in(1), e.dropout};
    const Out grads =
        emit_grad(c, "lstm_sequence_grad", {w.kernel, c.in(4), c.out(3), c.out(4), given_or_zeros(c, 1), given_or_zeros(c, 2)}, e,
                  grad_attrs(c, e));
    const Expr da = grads[0], before = c.out(5);
    return with_dropout({da, kernel_grad(w, before, da, 0, 4), grads[1], grads[2], grads[3]}, e,
                        e.dropout.valid() ? dropout_grads(w, before, da, 4) : Expr{});
}

// ---- GRU: gates z, r, g

// reset_after: the reset gate multiplies what the state contributes to g ("candidate"); otherwise the state ("candidate",
// where dropout comes first) before its product with the kernel.
Out gru_body(const OpCall& c) {
    const Extras e = extras(*c.g, *c.node, c.inputs);
    const bool after = c.node->bool_attr("reset_after");
    const Out out = over_time(
        *c.g, {c.in(3)}, {c.in(0), e.mask}, {c.in(1), c.in(2), e.dropout}, c.node->bool_attr("reverse"),
        [after](const Moment& m) -> Stepped {
            const Weights w{m.constants[0], m.constants[2]};
            const int64_t together = after ? 3 : 2;
            const Expr h = m.carries[0], bias = m.constants[1];
            const Expr inner = w.forward(h, 0, together) + gates_of(bias, w.units(), 0, together);
            const auto x = [&](int64_t g) { return gates_of(m.xs[0], w.units(), g, g + 1); };
            const auto state = [&](int64_t g) { return gates_of(inner, w.units(), g, g + 1); };
            const Expr z = sigmoid(x(0) + state(0)), r = sigmoid(x(1) + state(1));
            const Expr candidate = after ? state(2) : r * w.dropped(h, 2);
            const Expr g =
                tanh(x(2) + (after ? r * candidate : product_of(candidate, w.of_gate(2)) + gates_of(bias, w.units(), 2, 3)));
            const Expr next = keep_masked(m.xs[1], z * h + (1.0 - z) * g, h);
            return {{next}, {next, join({z, r, g}, -1), candidate, h}};
        });
    return without_history({out[1], out[0], out[2], out[3], out[4]}, c);
}

// The gradients of the products with the state, where the last of them is reset, from those of the gates' sums.
Expr after_reset(const Weights& w, Expr da, Expr gates) {
    const Expr r = gates_of(gates, w.units(), 1, 2);
    return join({gates_of(da, w.units(), 0, 2), gates_of(da, w.units(), 2, 3) * r}, -1);
}

Out gru_grad_body(const OpCall& c) {
    const Extras e = extras(*c.g, *c.node, c.inputs);
    const bool after = c.node->bool_attr("reset_after");
    const Expr gates = c.in(2);
    const Out out = over_time(*c.g, {c.in(4)}, {gates, c.in(3), c.in(1), e.dh, e.mask}, {c.in(0), e.dropout},
                              !c.node->bool_attr("reverse"), [after](const Moment& m) -> Stepped {
                                  const Weights w{m.constants[0], m.constants[1]};
                                  const Expr before = m.xs[2], mask = m.xs[4];
                                  const auto gate = [&](int64_t g) { return gates_of(m.xs[0], w.units(), g, g + 1); };
                                  const Expr z = gate(0), r = gate(1), g = gate(2);
                                  const Expr dh = m.xs[3].valid() ? m.carries[0] + m.xs[3] : m.carries[0];
                                  const Expr da_z = dh * (before - g) * z * (1.0 - z), da_g = dh * (1.0 - z) * (1.0 - g * g);
                                  Expr da_r, dbefore = dh * z;
                                  if (after) {
                                      da_r = da_g * m.xs[1] * r * (1.0 - r);
                                      dbefore = dbefore + w.backward(join({da_z, da_r, da_g * r}, -1), 0, 3);
                                  } else {
                                      const Expr d = w.backward(da_g, 2, 3);
                                      da_r = d * before * r * (1.0 - r);
                                      dbefore = dbefore + d * r + w.backward(join({da_z, da_r}, -1), 0, 2);
                                  }
                                  const Expr da = join({da_z, da_r, da_g}, -1);
                                  return {{keep_masked(mask, dbefore, dh)}, {keep_masked(mask, da, zeros_like(da))}};
                              });
    const Expr inner = after ? after_reset(Weights{c.in(0), {}}, out[1], gates) : out[1];
    return {out[1], reduce_sum(inner, {0, 1}), out[0]};
}

Out gru_vjp(const VjpCall& c) {
    if (through_history(c)) return differentiate_body(*c.g, c.index, c.dys);
    const Extras e = extras(*c.g, c.node(), c.node().inputs);
    const Weights w{c.in(1), e.dropout};
    const bool after = c.node().bool_attr("reset_after");
    Attrs attrs = grad_attrs(c, e);
    attrs.push_back(static_cast<int64_t>(after));
    const Expr gates = c.out(2), candidate = c.out(3), before = c.out(4);
    const Out grads = emit_grad(c, "gru_sequence_grad", {w.kernel, before, gates, candidate, given_or_zeros(c, 1)}, e, attrs);
    const Expr da = grads[0];
    const auto of = [&](int64_t begin, int64_t end) { return gates_of(da, w.units(), begin, end); };
    Expr kernel, of_dropout;
    if (after) {
        const Expr inner = after_reset(w, da, gates);
        kernel = kernel_grad(w, before, inner, 0, 3);
        if (e.dropout.valid()) of_dropout = dropout_grads(w, before, inner, 3);
    } else {
        kernel = join({kernel_grad(w, before, of(0, 2), 0, 2), product_of(flat(candidate), flat(of(2, 3)), true, false)}, -1);
        if (e.dropout.valid()) {
            const Expr reset = before * gates_of(gates, w.units(), 1, 2);
            of_dropout = join({dropout_grads(w, before, of(0, 2), 2), dropout_grad(w, reset, of(2, 3), 2)}, 0);
        }
    }
    return with_dropout({da, kernel, grads[1], grads[2]}, e, of_dropout);
}

// ---- Simple RNN

Expr activate(const std::string& name, Expr x) { return name == "tanh" ? tanh(x) : maximum(x, 0.0); }

Out rnn_body(const OpCall& c) {
    const Extras e = extras(*c.g, *c.node, c.inputs);
    const std::string act = std::get<std::string>(c.node->attrs[4]);
    const Out out = over_time(*c.g, {c.in(3)}, {c.in(0), e.mask}, {c.in(1), e.dropout, c.in(2)}, c.node->bool_attr("reverse"),
                              [&act](const Moment& m) -> Stepped {
                                  const Weights w{m.constants[0], m.constants[1]};
                                  const Expr before = m.carries[0], a = m.xs[0] + m.constants[2] + w.forward(before, 0, 1);
                                  const Expr h = keep_masked(m.xs[1], activate(act, a), before);
                                  return {{h}, {h, before}};
                              });
    return without_history({out[1], out[0], out[2]}, c);
}

Out rnn_grad_body(const OpCall& c) {
    const Extras e = extras(*c.g, *c.node, c.inputs);
    const std::string act = std::get<std::string>(c.node->attrs[4]);
    const Out out = over_time(*c.g, {c.in(2)}, {c.in(1), e.dh, e.mask}, {c.in(0), e.dropout}, !c.node->bool_attr("reverse"),
                              [&act](const Moment& m) -> Stepped {
                                  const Weights w{m.constants[0], m.constants[1]};
                                  const Expr h = m.xs[0], mask = m.xs[2];
                                  const Expr dh = m.xs[1].valid() ? m.carries[0] + m.xs[1] : m.carries[0];
                                  Expr da = act == "tanh" ? dh * (1.0 - h * h) : where(h > 0.0, dh, 0.0);
                                  da = keep_masked(mask, da, zeros_like(da));
                                  return {{keep_masked(mask, w.backward(da, 0, 1), dh)}, {da}};
                              });
    return {out[1], reduce_sum(out[1], {0, 1}), out[0]};
}

Out rnn_vjp(const VjpCall& c) {
    if (through_history(c)) return differentiate_body(*c.g, c.index, c.dys);
    const Extras e = extras(*c.g, c.node(), c.node().inputs);
    const Weights w{c.in(1), e.dropout};
    Attrs attrs = grad_attrs(c, e);
    attrs.push_back(c.node().attrs[4]);
    const Out grads = emit_grad(c, "simple_rnn_sequence_grad", {w.kernel, c.out(0), given_or_zeros(c, 1)}, e, attrs);
    const Expr da = grads[0], before = c.out(2);
    return with_dropout({da, kernel_grad(w, before, da, 0, 1), grads[1], grads[2]}, e,
                        e.dropout.valid() ? dropout_grads(w, before, da, 1) : Expr{});
}

}  // namespace

// The inputs after the declared ones are those that the attributes `dh`, `mask` and `dropout` announce, in that order.
std::vector<OpDef> recurrent() {
    return {
        OpDef{.name = "lstm_sequence",
              .summary = "An LSTM over time: all h, the last h and c; for gradients the gates (i, f, g, o), all c, and h before "
                         "each step.",
              .inputs = kLstm,
              .variadic = true,
              .attrs = kLstmAttrs,
              .infer = infer_lstm,
              .body = lstm_body,
              .vjp = lstm_vjp},
        OpDef{.name = "lstm_sequence_grad",
              .summary = "Gradients of lstm_sequence: of xw, bias, h0 and c0.",
              .inputs = kLstmGrad,
              .variadic = true,
              .attrs = kLstmGradAttrs,
              .infer = infer_lstm_grad,
              .body = lstm_grad_body},
        OpDef{
            .name = "gru_sequence",
            .summary =
                "A GRU over time: all h, the last one; for gradients the gates (z, r, g), what meets r, and h before each step.",
            .inputs = kOneState,
            .variadic = true,
            .attrs = kGruAttrs,
            .infer = infer_gru,
            .body = gru_body,
            .vjp = gru_vjp},
        OpDef{.name = "gru_sequence_grad",
              .summary = "Gradients of gru_sequence: of xw, bias and h0.",
              .inputs = kGruGrad,
              .variadic = true,
              .attrs = kGruGradAttrs,
              .infer = infer_gru_grad,
              .body = gru_grad_body},
        OpDef{.name = "simple_rnn_sequence",
              .summary = "h = activation(xw + bias + h kernel) over time: all h, the last one; for gradients h before each step.",
              .inputs = kOneState,
              .variadic = true,
              .attrs = kRnnAttrs,
              .infer = infer_rnn,
              .body = rnn_body,
              .vjp = rnn_vjp},
        OpDef{.name = "simple_rnn_sequence_grad",
              .summary = "Gradients of simple_rnn_sequence: of xw, bias and h0.",
              .inputs = kRnnGrad,
              .variadic = true,
              .attrs = kRnnGradAttrs,
              .infer = infer_rnn_grad,
              .body = rnn_grad_body},
    };
}

}  // namespace families
}  // namespace fk
