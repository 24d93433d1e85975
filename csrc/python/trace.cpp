// Python classes Trace and Executable, and recording into or out of a trace.
#include "core/errors.h"
#include "ir/text.h"
#include "null/device.h"
#include "python/common.h"
#include "runtime/tape.h"

namespace fk::python {
namespace {

struct PySuspend {
    bool bodies_only = false;
};

struct PyTape {
    std::unique_ptr<Tape> tape = std::make_unique<Tape>();
};

std::vector<OperandRef> references(nb::handle items) {
    std::vector<OperandRef> out;
    for (nb::handle h : nb::iter(items))
        out.push_back(nb::isinstance<PyCell>(h) ? OperandRef(nb::cast<PyCell&>(h).p) : OperandRef(nb::cast<PyTensor&>(h).p));
    return out;
}

// What the null device makes of the function.
nb::tuple compile_for_gpu(PyExecutable& e, const std::string& architecture) {
    const null::NullDevice device(architecture);
    std::shared_ptr<const Plan> plan;
    {
        nb::gil_scoped_release release;
        plan = compile(e.exe->graph(), "", device);
    }
    nb::list kernels;
    for (const cuda::KernelFacts& k : device.facts()) {
        nb::dict d;
        d["name"] = k.name;
        d["registers"] = k.registers;
        d["stack"] = k.stack;
        d["spill_stores"] = k.spill_stores;
        d["spill_loads"] = k.spill_loads;
        kernels.append(d);
    }
    return nb::make_tuple(plan->text(), to_text(plan->lowered), kernels, device.milliseconds());
}

}  // namespace

Arguments::Arguments(const Executable& exe, const nb::tuple& arguments) {
    const auto& types = exe.input_types();
    if (arguments.size() != types.size())
        fail<UserError>("the compiled function got ", arguments.size(), " inputs; expected ", types.size());
    in.resize(types.size());
    for (size_t i = 0; i < types.size(); ++i) {
        const nb::handle h = arguments[i];
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
        exe.check_input(i, *got);
    }
}

void bind_trace(nb::module_& m) {
    nb::class_<PyExecutable>(m, "Executable", nb::is_weak_referenceable(), "A traced and compiled function.")
        .def("__call__",
             [](PyExecutable& e, nb::args inputs) {
                 nb::list out;
                 const Arguments arguments(*e.exe, inputs);
                 for (TensorPtr& t : e.exe->run(arguments.in)) out.append(PyTensor{std::move(t)});
                 return out;
             })
        .def(
            "record",
            [](PyExecutable& e, nb::args inputs) {
                std::vector<TensorPtr> in;
                for (nb::handle h : inputs) in.push_back(to_tensor(h, std::nullopt).p);
                nb::list out;
                for (TensorPtr& t : e.exe->record(in)) out.append(PyTensor{std::move(t)});
                return out;
            },
            "Records the function's ops where ops are recorded now, so that gradients flow through them.")
        .def(
            "graph_text", [](const PyExecutable& e) { return to_text(e.exe->graph()); }, "The graph as it was recorded.")
        .def(
            "lowered_text", [](PyExecutable& e) { return to_text(e.exe->plan().lowered); }, "The graph after all passes.")
        .def(
            "plan_text", [](PyExecutable& e) { return e.exe->plan().text(); }, "One line per kernel that runs.")
        .def("compile_for_gpu", compile_for_gpu, nb::arg("architecture"),
             "Compiles the function for a GPU that need not be there: (plan, lowered graph, kernels, milliseconds of NVRTC).")
        .def("memory_map", [](PyExecutable& e) { return e.exe->plan().memory_map(); })
        .def("stats", [](PyExecutable& e) {
            const Plan& p = e.exe->plan();
            nb::dict d, passes;
            for (const PassTiming& t : p.timings) {
                const nb::str key(t.name.c_str());
                passes[key] = t.microseconds + (passes.contains(key) ? nb::cast<double>(passes[key]) : 0.0);
            }
            d["steps"] = p.steps.size();
            d["arena_bytes"] = p.arena_bytes;
            d["kept_bytes"] = p.kept_bytes;
            d["runs"] = e.exe->runs;
            d["pass_microseconds"] = passes;
            return d;
        });

    nb::class_<PyTrace>(m, "Trace", "Records what runs inside `with` into a graph of its own.")
        .def(
            "__init__",
            [](PyTrace* self, const std::string& name, bool body) {
                new (self)
                    PyTrace{.recorder = std::make_shared<Recorder>(true, body ? current_recorder().shared_from_this() : nullptr),
                            .name = name};
            },
            nb::arg("name") = "", nb::arg("body") = false,
            "body=True: of control flow; it may use what is pending where it is made.")
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
                 return PyExecutable{std::make_unique<Executable>(*self.recorder, out, self.name)};
             })
        .def("graph_text", [](PyTrace& self) { return to_text(self.recorder->graph()); });

    nb::class_<PySuspend>(m, "SuspendTrace")
        .def("__enter__",
             [](nb::handle self) {
                 RecorderPtr r = thread_recorder();
                 if (nb::cast<PySuspend&>(self).bodies_only)
                     for (r = current_recorder().shared_from_this(); r->parent();) r = r->parent();
                 push_recorder(std::move(r));
                 return nb::borrow(self);
             })
        .def("__exit__", [](PySuspend&, nb::args) { pop_recorder(); });
    m.def("suspend_trace", [] { return PySuspend{}; }, "Inside a trace: record into the eager graph for a while.");
    m.def(
        "suspend_bodies", [] { return PySuspend{true}; },
        "Inside bodies of control flow: record where the outermost one is used, for a while.");
    m.def("in_body", [] { return current_recorder().parent() != nullptr; }, "Whether the body of control flow is recorded.");
    nb::class_<PyTape>(m, "Tape",
                       "Inside `with`: eager values stay connected for `gradients` also after they were computed. "
                       "Without it, what was computed is a constant to the ops recorded later. What `gradient` follows is what "
                       "was recorded between `enter` and `leave`.")
        .def(nb::init<>())
        .def("__enter__",
             [](nb::handle self) {
                 nb::cast<PyTape&>(self).tape->enter();
                 return nb::borrow(self);
             })
        .def("__exit__", [](PyTape& self, nb::args) { self.tape->reset(); })
        .def("enter", [](PyTape& self) { self.tape->enter(); })
        .def("leave", [](PyTape& self) { self.tape->leave(); })
        .def("pause", [](PyTape& self) { self.tape->pause(); })
        .def("resume", [](PyTape& self) { self.tape->resume(); })
        .def("reset", [](PyTape& self) { self.tape->reset(); })
        .def_prop_ro("recording", [](const PyTape& self) { return self.tape->recording(); })
        .def(
            "cells",
            [](const PyTape& self) {
                nb::list out;
                for (const CellPtr& c : self.tape->cells_read())
                    if (c->owner != nullptr)
                        if (const nb::object o = nb::find(*static_cast<PyCell*>(c->owner)); o.is_valid()) out.append(o);
                return out;
            },
            "The cells read since the tape was opened.")
        .def(
            "gradient",
            [](PyTape& self, nb::handle targets, nb::handle sources, nb::handle seeds, nb::handle watched, bool cells_watched) {
                Tape::Request request;
                for (nb::handle h : nb::iter(targets)) request.targets.push_back(to_tensor(h, std::nullopt).p);
                request.sources = references(sources);
                if (!seeds.is_none())
                    for (nb::handle h : nb::iter(seeds))
                        request.seeds.push_back(h.is_none() ? nullptr : to_tensor(h, std::nullopt).p);
                request.watched = references(watched);
                request.cells_watched = cells_watched;
                nb::list out;
                for (TensorPtr& g : self.tape->gradient(request)) g ? out.append(PyTensor{std::move(g)}) : out.append(nb::none());
                return out;
            },
            nb::arg("targets"), nb::arg("sources"), nb::arg("output_gradients").none(), nb::arg("watched"),
            nb::arg("cells_watched"));
    m.def("tape_is_open", [] { return current_recorder().has_tapes(); }, "Whether a tape needs what is recorded now.");
    m.def("in_trace", [] { return current_recorder().tracing(); });
}

}  // namespace fk::python
