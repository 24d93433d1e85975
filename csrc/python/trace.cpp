// Python classes Trace and Executable, and recording into or out of a trace.
#include "core/errors.h"
#include "ir/text.h"
#include "python/common.h"

namespace fk::python {
namespace {

struct PyTrace {
    RecorderPtr recorder = std::make_shared<Recorder>(true);
    std::string name;
    ~PyTrace() { recorder->dispose(); }
};

struct PyExecutable {
    std::unique_ptr<Executable> exe;
    std::string graph_text;
    std::string name;
};

struct PySuspend {};

struct PyTape {
    std::vector<RecorderPtr> open;  // one per `with`
};

std::vector<TensorPtr> run(PyExecutable& e, const nb::args& inputs) {
    const auto& types = e.exe->input_types();
    if (inputs.size() != types.size())
        fail<UserError>("the compiled function got ", inputs.size(), " inputs; expected ", types.size());
    std::vector<Executable::Input> in(types.size());
    std::vector<std::unique_ptr<HostArray>> held;
    for (size_t i = 0; i < types.size(); ++i) {
        const nb::handle h = inputs[i];
        const TensorType* got = nullptr;
        if (!nb::isinstance<PyTensor>(h) && HostArray::accepts(h)) {
            held.push_back(std::make_unique<HostArray>(h));
            got = &held.back()->type();
            if (held.back()->contiguous())
                in[i].data = held.back()->data();
            else
                in[i].tensor = to_tensor(h, std::nullopt).p;
        } else {
            in[i].tensor = to_tensor(h, std::nullopt).p;
            got = &in[i].tensor->type;
        }
        if (*got != types[i])
            fail<UserError>("input ", i, " of the compiled function is ", to_string(*got), "; expected ", to_string(types[i]));
    }
    return e.exe->run(in);
}

}  // namespace

void bind_trace(nb::module_& m) {
    nb::class_<PyExecutable>(m, "Executable", nb::is_weak_referenceable(), "A traced and compiled function.")
        .def("__call__",
             [](PyExecutable& e, nb::args inputs) {
                 nb::list out;
                 for (TensorPtr& t : run(e, inputs)) out.append(PyTensor{std::move(t)});
                 return out;
             })
        .def(
            "graph_text", [](const PyExecutable& e) { return e.graph_text; }, "The graph as it was recorded.")
        .def(
            "lowered_text", [](const PyExecutable& e) { return to_text(e.exe->plan().lowered); }, "The graph after all passes.")
        .def(
            "plan_text", [](const PyExecutable& e) { return e.exe->plan().text(); }, "One line per kernel that runs.")
        .def("memory_map", [](const PyExecutable& e) { return e.exe->plan().memory_map(); })
        .def("stats", [](const PyExecutable& e) {
            const Plan& p = e.exe->plan();
            nb::dict d, passes;
            for (const PassTiming& t : p.timings) {
                const nb::str key(t.name.c_str());
                passes[key] = t.microseconds + (passes.contains(key) ? nb::cast<double>(passes[key]) : 0.0);
            }
            d["steps"] = p.steps.size();
            d["arena_bytes"] = p.arena_bytes;
            d["runs"] = e.exe->runs;
            d["pass_microseconds"] = passes;
            return d;
        });

    nb::class_<PyTrace>(m, "Trace", "Records what runs inside `with` into a graph of its own.")
        .def(
            "__init__", [](PyTrace* self, const std::string& name) { new (self) PyTrace{.name = name}; }, nb::arg("name") = "")
        .def("__enter__",
             [](nb::handle self) {
                 push_recorder(nb::cast<PyTrace&>(self).recorder);
                 return nb::borrow(self);
             })
        .def("__exit__",
             [](PyTrace& self, nb::args) {
                 pop_recorder();
                 self.recorder->graph().current_label = 0;
             })
        .def(
            "input",
            [](PyTrace& self, nb::handle shape, nb::handle dtype, const std::string&) {
                return PyTensor{self.recorder->add_input({parse_dtype(dtype), parse_dims(shape)})};
            },
            nb::arg("shape"), nb::arg("dtype"), nb::arg("name") = "")
        .def("compile",
             [](PyTrace& self, nb::handle outputs) {
                 std::vector<TensorPtr> out;
                 for (nb::handle h : nb::iter(outputs)) out.push_back(to_tensor(h, std::nullopt).p);
                 auto e = PyExecutable{std::make_unique<Executable>(*self.recorder, out), {}, self.name};
                 Graph g = self.recorder->graph();
                 g.outputs.clear();
                 for (const TensorPtr& t : out) g.outputs.push_back(self.recorder->import(t));
                 for (const auto& [cell, state] : self.recorder->cells())
                     if (state.written) g.outputs.push_back(state.current->value);
                 e.graph_text = to_text(g);
                 return e;
             })
        .def("graph_text", [](PyTrace& self) { return to_text(self.recorder->graph()); });

    nb::class_<PySuspend>(m, "SuspendTrace")
        .def("__enter__",
             [](nb::handle self) {
                 push_recorder(thread_recorder());
                 return nb::borrow(self);
             })
        .def("__exit__", [](PySuspend&, nb::args) { pop_recorder(); });
    m.def("suspend_trace", [] { return PySuspend{}; }, "Inside a trace: record into the eager graph for a while.");
    nb::class_<PyTape>(m, "Tape",
                       "Inside `with`: eager values stay connected for `gradients` also after they were computed. "
                       "Without it, what was computed is a constant to the ops recorded later.")
        .def(nb::init<>())
        .def("__enter__",
             [](nb::handle self) {
                 nb::cast<PyTape&>(self).open.push_back(thread_recorder());
                 thread_recorder()->open_tape();
                 return nb::borrow(self);
             })
        .def("__exit__", [](PyTape& self, nb::args) {
            check_internal(!self.open.empty(), "a tape is left that was not entered");
            const RecorderPtr recorder = std::move(self.open.back());
            self.open.pop_back();
            recorder->close_tape();
        });
    m.def("in_trace", [] { return current_recorder().tracing(); });
}

}  // namespace fk::python
