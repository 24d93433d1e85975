// What the engine tells about compiled functions, and the profiler.
#include "runtime/report.h"
#include "core/errors.h"
#include "python/common.h"
#include "runtime/profiler.h"

namespace fk::python {
namespace {

nb::list instructions(PyExecutable& e) {
    nb::list out;
    for (const StepReport& r : report(e.exe->plan())) {
        nb::list refusals;
        for (const auto& [impl, why] : r.refusals) refusals.append(nb::make_tuple(impl, why));
        nb::dict row;
        row["op"] = r.op;
        row["label"] = r.label;
        row["implementation"] = r.implementation;
        row["kind"] = r.kind;
        row["compute"] = r.compute;
        row["inputs"] = r.inputs;
        row["outputs"] = r.outputs;
        row["operations"] = r.cost.operations;
        row["products"] = r.cost.products;
        row["bytes_read"] = r.cost.read;
        row["bytes_written"] = r.cost.written;
        row["refusals"] = refusals;
        row["sources"] = r.sources;
        row["details"] = r.details;
        out.append(row);
    }
    return out;
}

nb::dict memory(PyExecutable& e) {
    const Plan& plan = e.exe->plan();
    nb::list spans;
    for (const MemorySpan& s : memory_spans(plan)) spans.append(nb::make_tuple(s.offset, s.bytes, s.first, s.last, s.what));
    nb::dict out;
    out["arena_bytes"] = plan.arena_bytes;
    out["peak_bytes"] = peak_bytes(plan);
    out["kept_bytes"] = plan.kept_bytes;
    out["spans"] = spans;
    return out;
}

nb::list passes(PyExecutable& e) {
    nb::list out;
    for (const PassTiming& t : e.exe->plan().timings) out.append(nb::make_tuple(t.name, t.microseconds, t.nodes));
    return out;
}

nb::tuple measure(PyExecutable& e, int runs, double seconds, const nb::tuple& inputs) {
    if (runs < 1) fail<UserError>("measure: runs is ", runs, "; expected at least 1");
    const Arguments arguments(*e.exe, inputs);
    const Measurement m = e.exe->measure(arguments.in, runs, seconds);
    return nb::make_tuple(m.totals, m.steps);
}

}  // namespace

void bind_report(nb::module_& m) {
    m.def("instructions", instructions, "What each step of a compiled function is, as dictionaries.");
    m.def("memory", memory,
          "The arena of a compiled function: its size, the most in use, what is kept between runs, (offset, bytes, first, last, "
          "what) of each value.");
    m.def("passes", passes, "(name, microseconds, nodes after it) of each pass that compiled a function.");
    m.def("measure", measure, nb::arg("executable"), nb::arg("runs"), nb::arg("seconds"), nb::arg("inputs"),
          "Runs on copies of the variables; returns the nanoseconds of each run, and of each step in the quickest.");
    m.def("profiler_start", profiler::start, nb::arg("max_events"));
    m.def("profiler_stop", profiler::stop, nb::arg("path"), nb::call_guard<nb::gil_scoped_release>());
    m.def("profiler_started", profiler::started);
    m.def("profiler_now", profiler::now);
    m.def("profiler_enabled", profiler::enabled);
    m.def("profiler_span", profiler::record_span, nb::arg("name"), nb::arg("category"), nb::arg("begin"), nb::arg("end"));
}

}  // namespace fk::python
