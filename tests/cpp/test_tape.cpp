// Recording without a host language: pending tensors, variables and their memory, failing runs, tapes.
#include <thread>

#include "graph_support.h"
#include "runtime/executable.h"
#include "runtime/tape.h"

namespace fk::test {

namespace {

// Each test starts with a recorder of its own, and leaves none of its nodes behind.
struct Session {
    Session() { renew_thread_recorder(); }
    ~Session() { renew_thread_recorder(); }
};

TensorPtr tensor(const Array& a) {
    const BufferPtr buffer = Buffer::allocate(a.type.bytes());
    std::memcpy(buffer->data(), a.buffer.data, a.type.bytes());
    return from_memory(a.type, buffer);
}
TensorPtr tensor(std::vector<double> v, DType t = DType::f64) {
    const auto n = static_cast<int64_t>(v.size());
    return tensor(Array(t, {n}, v));
}
TensorPtr number(double v) { return tensor(Array(DType::f64, {}, {v})); }
CellPtr variable(TensorPtr value, std::string name = "w") {
    auto cell = std::make_shared<CellImpl>();
    cell->type = value->type;
    cell->value = std::move(value);
    cell->name = std::move(name);
    return cell;
}

TensorPtr op(std::string_view name, std::vector<OperandRef> in, Attrs attrs = {}) {
    return record(get_op(name), std::move(in), std::move(attrs))[0];
}
Scalar real(double v) { return {WeakKind::floating, v, 0}; }
Scalar integer(int64_t v) { return {WeakKind::integer, 0, v}; }
TensorPtr add(OperandRef a, OperandRef b) { return op("add", {std::move(a), std::move(b)}); }
TensorPtr multiply(OperandRef a, OperandRef b) { return op("multiply", {std::move(a), std::move(b)}); }
TensorPtr sum(OperandRef a) { return op("reduce_sum", {std::move(a)}, {Dims{0}}); }

std::vector<double> values(const TensorPtr& t) {
    evaluate(t);
    Array a(t->type);
    std::memcpy(a.buffer.data, t->buffer->data(), a.buffer.size);
    return a.values();
}
std::vector<double> values(const CellPtr& cell) { return values(TensorPtr(cell->value)); }
using Numbers = std::vector<double>;

// A loss that fails when a label is no class.
TensorPtr fallible(const OperandRef& logits, double label) {
    const TensorPtr l = op("reshape", {logits}, {Dims{1, 3}});
    return op("sparse_softmax_cross_entropy", {l, tensor({label}, DType::i32)});
}

// The one gradient of one target, through a tape.
TensorPtr gradient(Tape& tape, const TensorPtr& target, const OperandRef& source, std::vector<OperandRef> watched = {}) {
    return tape.gradient({.targets = {target}, .sources = {source}, .seeds = {nullptr}, .watched = std::move(watched)})[0];
}

}  // namespace

TEST_CASE("recorder: ops wait until a value is asked for, and then run together") {
    const Session session;
    const TensorPtr x = tensor({1, 2, 3});
    const TensorPtr y = multiply(x, x), z = add(y, x), other = op("neg", {x});
    (void)op("exp", {x});  // dropped
    CHECK(y->pending());
    CHECK(values(z) == Numbers{2, 6, 12});
    CHECK(!y->pending());
    CHECK(y->buffer != nullptr);
    CHECK(values(other) == Numbers{-1, -2, -3});
    CHECK(thread_recorder()->graph().size() == 0);
}

TEST_CASE("recorder: numbers take the type of the tensors beside them") {
    const Session session;
    const auto type = [](DType t, const Scalar& s) { return add(tensor({1, 2}, t), s)->type.dtype; };
    CHECK(type(DType::i32, integer(2)) == DType::i32);
    CHECK(type(DType::i32, real(0.5)) == DType::f32);
    CHECK(type(DType::bf16, real(0.5)) == DType::bf16);
    CHECK(type(DType::f64, integer(2)) == DType::f64);
    CHECK(type(DType::boolean, integer(2)) == DType::i32);
    CHECK(values(add(tensor({1, 2}, DType::i32), real(0.5))) == Numbers{1.5, 2.5});
}

TEST_CASE("recorder: what was read before an assignment keeps the old value") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2}));
    const TensorPtr before = multiply(w, real(10));
    assign(w, add(w, real(1)));
    const TensorPtr after = multiply(w, real(10));
    assign(w, add(w, real(1)));
    CHECK(values(after) == Numbers{20, 30});
    CHECK(values(before) == Numbers{10, 20});
    CHECK(values(w) == Numbers{3, 4});
}

TEST_CASE("recorder: a variable refuses a value of another type") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2}), "kernel");
    for (const TensorPtr& wrong : {tensor({1, 2, 3}), tensor({1, 2}, DType::f32)}) try {
            assign(w, wrong);
            FAIL("no error was raised");
        } catch (const UserError& e) {
            CHECK(std::string(e.what()).find("kernel") != std::string::npos);
        }
    CHECK(values(w) == Numbers{1, 2});
}

TEST_CASE("recorder: a flush happens by itself when much was recorded") {
    const Session session;
    const Setting limit("lazy_limit", "20");
    TensorPtr x = tensor({0});
    for (int i = 0; i < 100; ++i) {
        x = add(x, real(1));
        CHECK(thread_recorder()->graph().size() < 30);
    }
    CHECK(values(x) == Numbers{100});
}

TEST_CASE("recorder: with flush_each_op nothing waits") {
    const Session session;
    const Setting each("flush_each_op", "1");
    const TensorPtr x = add(tensor({1}), real(1));
    CHECK(!x->pending());
    CHECK_THROWS_AS((void)fallible(tensor({1, 2, 3}), 7), UserError);
}

TEST_CASE("recorder: what another thread recorded is run when it is used here") {
    const Session session;
    TensorPtr theirs;
    std::thread([&] { theirs = add(tensor({1, 2}), real(1)); }).join();
    CHECK(theirs->pending());
    const TensorPtr mine = multiply(theirs, real(2));
    CHECK(!theirs->pending());
    CHECK(values(mine) == Numbers{4, 6});
}

TEST_CASE("variables: a new value takes the memory of the old one") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2, 3})), v = variable(tensor({0, 0, 0}));
    const std::byte *memory = w->value->buffer->data(), *other = v->value->buffer->data();
    for (int step = 1; step <= 5; ++step) {
        assign(v, add(multiply(v, real(0.5)), w));
        assign(w, add(w, real(1)));
        thread_recorder()->flush();
        CHECK(w->value->buffer->data() == memory);
        CHECK(v->value->buffer->data() == other);
    }
    CHECK(values(w) == Numbers{6, 7, 8});
    CHECK(values(v)[0] == ((((0 * 0.5 + 1) * 0.5 + 2) * 0.5 + 3) * 0.5 + 4) * 0.5 + 5);
}

TEST_CASE("variables: memory that somebody else refers to is not written") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2}));
    const TensorPtr held = w->value;
    assign(w, add(w, real(1)));
    CHECK(values(w) == Numbers{2, 3});
    CHECK(values(held) == Numbers{1, 2});
    const BufferPtr buffer = w->value->buffer;
    assign(w, add(w, real(1)));
    CHECK(values(w) == Numbers{3, 4});
    CHECK(*reinterpret_cast<const double*>(buffer->data()) == 2);
}

TEST_CASE("variables: two that hold one value keep it each") {
    const Session session;
    const CellPtr a = variable(tensor({1, 2})), b = variable(tensor({0, 0}));
    assign(b, a->value);
    assign(a, add(a, real(10)));
    CHECK(values(a) == Numbers{11, 12});
    CHECK(values(b) == Numbers{1, 2});
    assign(b, add(b, a));  // both read, one written
    assign(a, multiply(a, real(2)));
    thread_recorder()->flush();
    CHECK(values(b) == Numbers{12, 14});
    CHECK(values(a) == Numbers{22, 24});
}

TEST_CASE("variables: an exchange of values is one") {
    const Session session;
    const CellPtr a = variable(tensor({1, 2})), b = variable(tensor({3, 4}));
    for (int step = 0; step < 3; ++step) {
        const TensorPtr of_a = add(a, real(0)), of_b = multiply(b, real(1));
        assign(a, of_b);
        assign(b, of_a);
        thread_recorder()->flush();
    }
    CHECK(values(a) == Numbers{3, 4});
    CHECK(values(b) == Numbers{1, 2});
}

TEST_CASE("variables: random updates give what updates one by one give") {
    for (uint32_t seed = 0; seed < fuzz(60); ++seed) {
        const Session session;
        std::mt19937 rng(seed);
        std::vector<CellPtr> cells;
        std::vector<double> expected;
        std::vector<std::pair<TensorPtr, double>> held;
        for (int i = 0; i < 4; ++i) cells.push_back(variable(tensor({1.0 * i}))), expected.push_back(i);
        for (int k = 0; k < 40; ++k) {
            const size_t to = rng() % 4, from = rng() % 4;
            const double factor = 0.5 * (rng() % 3);
            switch (rng() % 6) {
                case 0:
                    assign(cells[to], cells[from]->value);
                    expected[to] = expected[from];
                    break;
                case 1:
                    held.emplace_back(cells[from]->value, expected[from]);
                    break;
                case 2:
                    thread_recorder()->flush();
                    break;
                case 3:
                    held.clear();
                    break;
                case 4:
                    held.emplace_back(multiply(cells[from], real(factor)), factor * expected[from]);
                    break;
                default:
                    assign(cells[to], add(multiply(cells[from], real(factor)), cells[to]));
                    expected[to] += factor * expected[from];
            }
        }
        CAPTURE(seed);
        for (size_t i = 0; i < 4; ++i) CHECK(values(cells[i]) == Numbers{expected[i]});
        for (const auto& [t, v] : held) CHECK(values(t) == Numbers{v});
    }
}

TEST_CASE("failing runs: a variable keeps its value when the new one could not be computed") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2, 3})), count = variable(number(0), "count");
    const std::byte* memory = w->value->buffer->data();
    for (const double label : {0.0, 7.0, 2.0, -1.0}) {
        const bool bad = label < 0 || label > 2;
        const Numbers before = values(w);
        const double n = values(count)[0];
        assign(count, add(count, real(1)));  // does not depend on the label
        const TensorPtr loss = fallible(w, label);
        assign(w, add(w, multiply(sum(loss), real(0.1))));
        CAPTURE(label);
        if (bad) {
            CHECK_THROWS_AS(thread_recorder()->flush(), UserError);
            CHECK(values(w) == before);
            CHECK_THROWS_AS(evaluate(loss), UserError);
            CHECK_THROWS_AS(evaluate(loss), UserError);                // each time
            CHECK_THROWS_AS(evaluate(add(loss, real(1))), UserError);  // and what is computed from it
        } else {
            thread_recorder()->flush();
            CHECK(values(w) != before);
            CHECK(std::isfinite(values(loss)[0]));
        }
        CHECK(values(count)[0] == n + 1);
    }
    CHECK(w->value->buffer->data() == memory);
}

TEST_CASE("failing runs: assignments that follow from a failed one go back together") {
    const Session session;
    const CellPtr a = variable(tensor({1, 2, 3})), b = variable(number(5)), c = variable(number(6));
    assign(b, sum(fallible(a, 9)));
    assign(c, add(c, b));
    assign(a, multiply(a, real(2)));
    CHECK(thread_recorder()->run_pending() != nullptr);
    CHECK(values(b) == Numbers{5});
    CHECK(values(c) == Numbers{6});
    CHECK(values(a) == Numbers{2, 4, 6});
}

TEST_CASE("tape: gradients of what was recorded, also after it was computed") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2, 3}));
    Tape tape;
    tape.enter();
    const TensorPtr y = multiply(w, w);
    CHECK(values(y) == Numbers{1, 4, 9});  // a flush
    const TensorPtr loss = sum(multiply(y, w));
    tape.leave();
    CHECK(values(loss) == Numbers{36});
    CHECK(values(gradient(tape, loss, w)) == Numbers{3, 12, 27});
    CHECK(values(gradient(tape, y, w)) == Numbers{2, 4, 6});
}

TEST_CASE("tape: seeds weight the targets, what nothing connects has no gradient") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2})), v = variable(tensor({3, 4}), "v");
    Tape tape;
    tape.enter();
    const TensorPtr y = multiply(w, w);
    tape.leave();
    const auto grads = tape.gradient({.targets = {y}, .sources = {w, v}, .seeds = {tensor({10, 1})}, .watched = {}});
    CHECK(values(grads[0]) == Numbers{20, 4});
    CHECK(grads[1] == nullptr);
}

TEST_CASE("tape: only what it recorded counts") {
    const Session session;
    const CellPtr w = variable(tensor({2}));
    const TensorPtr before = multiply(w, real(100));
    Tape tape;
    tape.enter();
    const TensorPtr a = multiply(w, real(3));
    tape.pause();
    const TensorPtr paused = multiply(w, real(1000));
    tape.resume();
    const TensorPtr y = add(add(a, before), paused);
    tape.leave();
    const TensorPtr after = multiply(y, real(7));
    CHECK(values(y) == Numbers{2206});
    CHECK(values(gradient(tape, y, w)) == Numbers{3});
    CHECK(gradient(tape, after, w) == nullptr);
}

TEST_CASE("tape: tensors count when they are watched") {
    const Session session;
    const TensorPtr x = tensor({2, 3});
    for (const bool watched : {false, true}) {
        Tape tape;
        tape.enter();
        const TensorPtr y = multiply(x, x);
        tape.leave();
        const TensorPtr dx = gradient(tape, y, x, watched ? std::vector<OperandRef>{x} : std::vector<OperandRef>{});
        CHECK((dx != nullptr) == watched);
        if (watched) CHECK(values(dx) == Numbers{4, 6});
    }
}

TEST_CASE("tape: a variable stands for all the values it was read as, and no gradient passes an assignment") {
    const Session session;
    const CellPtr w = variable(tensor({2}));
    Tape tape;
    tape.enter();
    const TensorPtr a = multiply(w, real(10));
    assign(w, multiply(w, real(5)));
    thread_recorder()->flush();
    const TensorPtr b = multiply(w, w);
    const TensorPtr loss = add(a, b);
    tape.leave();
    CHECK(values(loss) == Numbers{120});
    CHECK(values(gradient(tape, loss, w)) == Numbers{10 + 20});
}

TEST_CASE("tape: one inside another gives second derivatives") {
    const Session session;
    const CellPtr w = variable(tensor({2, 3}));
    Tape outer, inner;
    outer.enter();
    inner.enter();
    const TensorPtr y = multiply(multiply(w, w), w);
    inner.leave();
    const TensorPtr dy = gradient(inner, y, w);
    CHECK(values(dy) == Numbers{12, 27});
    outer.leave();
    CHECK(values(gradient(outer, dy, w)) == Numbers{12, 18});
    CHECK(gradient(inner, dy, w) == nullptr);  // recorded after it was left
}

TEST_CASE("tape: a training loop keeps neither nodes nor memory") {
    const Session session;
    const CellPtr w = variable(tensor({4, -3}));
    const std::byte* memory = w->value->buffer->data();
    uint32_t nodes = 0;
    size_t bytes = 0;
    for (int step = 0; step < 30; ++step) {
        {
            Tape tape;
            tape.enter();
            const TensorPtr loss = sum(multiply(w, w));
            tape.leave();
            const TensorPtr dw = gradient(tape, loss, w);
            tape.reset();
            assign(w, op("subtract", {w, multiply(dw, real(0.1))}));
        }
        if (step == 2) bytes = allocated_bytes();
        nodes = std::max(nodes, thread_recorder()->graph().size());
        thread_recorder()->flush();
        if (step > 2) CHECK(allocated_bytes() <= bytes);
    }
    CHECK(nodes < 40);
    CHECK(w->value->buffer->data() == memory);
    CHECK(std::fabs(values(w)[0] - 4 * std::pow(0.8, 30)) < 1e-12);
}

TEST_CASE("tape: one that only waits to be asked does not grow, and still answers") {
    const Session session;
    const CellPtr w = variable(tensor({3}));
    Tape first;
    first.enter();
    const TensorPtr y = multiply(w, w);
    first.leave();
    const RecorderPtr recorder = thread_recorder();
    const uint32_t size = recorder->graph().size();
    Tape second;
    second.enter();
    TensorPtr z = multiply(w, real(2));
    for (int i = 0; i < 20; ++i) z = add(z, w);
    second.leave();
    CHECK(recorder->graph().size() == size);
    CHECK(values(gradient(second, z, w)) == Numbers{22});
    CHECK(values(gradient(first, y, w)) == Numbers{6});
    first.enter();  // again: it goes on where it was
    const TensorPtr more = multiply(y, real(10));
    first.leave();
    CHECK(values(gradient(first, more, w)) == Numbers{60});
}

TEST_CASE("tape: a recorder is freed with the last tape and the last tensor of it") {
    const Session session;
    const CellPtr w = variable(tensor({1, 2}));
    for (const bool pending : {false, true}) {
        const std::weak_ptr<Recorder> recorder = renew_thread_recorder();
        if (pending) assign(w, add(w, real(1)));  // read by the tape before it is computed
        {
            Tape tape;
            tape.enter();
            (void)multiply(w, w);
            tape.leave();
            renew_thread_recorder();
        }
        assign(w, tensor({3, 4}));
        CAPTURE(pending);
        CHECK(recorder.expired());
    }
}

TEST_CASE("tape: opened again in another place is a mistake") {
    const Session session;
    const CellPtr w = variable(tensor({1}));
    Tape tape;
    tape.enter();
    (void)multiply(w, w);
    tape.leave();
    std::thread([&] { CHECK_THROWS_AS(tape.enter(), UserError); }).join();
    push_recorder(std::make_shared<Recorder>(true));
    CHECK_THROWS_AS(tape.enter(), UserError);
    pop_recorder();
    CHECK_NOTHROW(tape.enter());
}

TEST_CASE("tape: inside a trace, gradients become part of the compiled function") {
    const Session session;
    const CellPtr w = variable(tensor({2, 3}));
    const auto trace = std::make_shared<Recorder>(true);
    push_recorder(trace);
    const TensorPtr x = trace->add_input({DType::f64, {2}});
    std::vector<TensorPtr> outputs;
    {
        Tape tape;
        tape.enter();
        const TensorPtr y = multiply(multiply(w, w), x);
        tape.leave();
        outputs = {y, gradient(tape, y, w)};
    }
    assign(w, op("subtract", {w, outputs[1]}));
    pop_recorder();
    Executable executable(*trace, outputs);
    trace->dispose();
    const auto results = executable.run({{.data = nullptr, .tensor = tensor({1, 10})}});
    CHECK(values(results[0]) == Numbers{4, 90});
    CHECK(values(results[1]) == Numbers{4, 60});
    CHECK(values(w) == Numbers{-2, -57});
}

TEST_CASE("tape: a tape of a trace from which nothing is left takes nothing of it along") {
    const Session session;
    const auto trace = std::make_shared<Recorder>(true);
    push_recorder(trace);
    (void)trace->add_input({DType::f64, {2}});
    {
        Tape tape;
        tape.enter();
        tape.leave();
    }
    const TensorPtr one = add(number(1), real(0));
    pop_recorder();
    Executable executable(*trace, {one});
    trace->dispose();
    CHECK(executable.input_types().size() == 1);
    CHECK(values(executable.run({{.data = nullptr, .tensor = tensor({1, 10})}})[0]) == Numbers{1});
}

}  // namespace fk::test
