// The compiled module fastkeras._engine. Start at python/common.h; tensor.cpp and trace.cpp hold the classes.
#include <nanobind/stl/string_view.h>

#include "core/config.h"
#include "core/errors.h"
#include "cpu/cpu.h"
#include "cuda/device.h"
#include "cuda/library.h"
#include "python/common.h"
#include "runtime/host.h"
#include "runtime/tape.h"

namespace fk::python {
namespace {

nb::object call(nb::args args, nb::kwargs kwargs) {
    if (args.size() == 0 || !PyUnicode_Check(nb::handle(args[0]).ptr()))
        throw nb::type_error("call(op, *inputs, **attrs): the first argument is the op's name");
    const auto op_name = nb::cast<std::string_view>(args[0]);
    const OpDef* op = find_op(op_name);
    if (op == nullptr || op->is_control() || op->name == "parameter" || op->name == "fused")
        fail<UserError>("there is no op '", op_name, "'; _engine.op_table() lists them");
    const size_t given = args.size() - 1;
    if (op->variadic ? given == 0 : given != op->inputs.size())
        fail<UserError>(op_name, " takes ",
                        op->variadic ? std::string("at least one input") : concat(op->inputs.size(), " inputs"), ", got ", given);
    std::vector<OperandRef> operands;
    operands.reserve(given);
    for (size_t i = 1; i < args.size(); ++i) {
        OperandRef operand = to_operand(args[i]);
        if (std::holds_alternative<Scalar>(operand) && op->promotion == Promotion::none)
            operand = to_tensor(args[i], std::nullopt).p;
        operands.push_back(std::move(operand));
    }
    Attrs attrs = parse_attrs(*op, kwargs);
    std::vector<TensorPtr> out = record(*op, std::move(operands), std::move(attrs));
    if (out.size() == 1) return nb::cast(PyTensor{std::move(out[0])});
    nb::list list;
    for (TensorPtr& t : out) list.append(PyTensor{std::move(t)});
    return nb::tuple(list);
}

PyTensor zeros(nb::handle shape, nb::handle dtype) {
    const TensorType type{parse_dtype(dtype), parse_dims(shape)};
    int64_t bytes = static_cast<int64_t>(size_of(type.dtype));
    for (int64_t d : type.dims)
        if (d < 0 || __builtin_mul_overflow(bytes, d, &bytes))
            fail<UserError>("zeros of shape ", to_string(type.dims), " do not fit into memory");
    return {from_memory(type, Buffer::zeros(static_cast<size_t>(bytes)))};
}

nb::object attr_default(const AttrDef& def) {
    if (!def.fallback) return nb::none();
    if (def.type == AttrType::boolean) return nb::bool_(std::get<int64_t>(*def.fallback) != 0);
    if (def.type == AttrType::dtype) {
        const auto n = name(static_cast<DType>(std::get<int64_t>(*def.fallback)));
        return nb::str(n.data(), n.size());
    }
    if (const auto* i = std::get_if<int64_t>(&*def.fallback)) return nb::int_(*i);
    if (const auto* d = std::get_if<double>(&*def.fallback)) return nb::float_(*d);
    if (const auto* s = std::get_if<std::string>(&*def.fallback)) return nb::str(s->c_str());
    return nb::cast(std::vector<int64_t>(std::get<Dims>(*def.fallback)));
}

nb::list op_table() {
    constexpr std::string_view kinds[] = {"prim", "structural", "library", "composite"};
    nb::list table;
    auto text = [](std::string_view s) { return nb::str(s.data(), s.size()); };
    for (const OpDef* op : all_ops()) {
        if (op->is_control() || op->name == "parameter" || op->name == "fused") continue;
        nb::dict row, attrs;
        nb::list inputs;
        for (std::string_view i : op->inputs) inputs.append(text(i));
        for (const AttrDef& a : op->attrs) attrs[text(a.name)] = attr_default(a);
        row["name"] = text(op->name);
        row["summary"] = text(op->summary);
        row["kind"] = text(kinds[static_cast<size_t>(op->kind)]);
        row["inputs"] = inputs;
        row["variadic"] = op->variadic;
        row["attrs"] = attrs;
        row["elementwise"] = op->promotion != Promotion::none;
        row["differentiable"] = op->differentiable;
        table.append(row);
    }
    return table;
}

nb::object settings() {
    nb::dict out;
    for (const config::Entry& e : config::entries()) {
        nb::dict row;
        row["value"] = e.type == config::Type::text      ? nb::object(nb::str(e.value.c_str()))
                       : e.type == config::Type::boolean ? nb::object(nb::bool_(e.value != "0"))
                                                         : nb::object(nb::int_(std::stoll(e.value)));
        row["doc"] = nb::str(e.doc.data(), e.doc.size());
        out[nb::str(e.name.data(), e.name.size())] = row;
    }
    return out;
}

nb::str result_type(nb::args args) {
    std::optional<DType> strong;
    WeakKind weak = WeakKind::none;
    for (nb::handle h : args) {
        if (PyUnicode_Check(h.ptr()) || nb::isinstance<nb::type_object>(h)) {
            const DType t = parse_dtype(h);
            strong = strong ? promote(*strong, t) : t;
        } else if (PyBool_Check(h.ptr()) || PyLong_Check(h.ptr()) || PyFloat_Check(h.ptr())) {
            weak = std::max(weak, PyBool_Check(h.ptr())    ? WeakKind::boolean
                                  : PyFloat_Check(h.ptr()) ? WeakKind::floating
                                                           : WeakKind::integer);
        } else {
            const DType t = parse_dtype(nb::getattr(h, "dtype"));
            strong = strong ? promote(*strong, t) : t;
        }
    }
    const auto n = name(strong ? promote_weak(*strong, weak) : default_type(weak));
    return nb::str(n.data(), n.size());
}

nb::list gradients_of(nb::handle targets, nb::handle sources, nb::handle seeds) {
    std::vector<TensorPtr> t, s;
    std::vector<OperandRef> from;
    for (nb::handle h : nb::iter(targets)) t.push_back(to_tensor(h, std::nullopt).p);
    for (nb::handle h : nb::iter(sources)) from.push_back(to_operand(h));
    if (!seeds.is_none())
        for (nb::handle h : nb::iter(seeds)) s.push_back(h.is_none() ? nullptr : to_tensor(h, std::nullopt).p);
    nb::list out;
    for (TensorPtr& g : gradients(t, from, s)) g ? out.append(PyTensor{std::move(g)}) : out.append(nb::none());
    return out;
}

// Exceptions keep their kind: the user's mistake is a ValueError, a missing capability a NotImplementedError.
template <class E>
void bind_error(nb::module_& m, const char* name, PyObject* base) {
    const nb::object type = nb::steal(PyErr_NewException((std::string("fastkeras._engine.") + name).c_str(), base, nullptr));
    m.attr(name) = type;
    nb::register_exception_translator(
        [](const std::exception_ptr& p, void* payload) {
            try {
                std::rethrow_exception(p);
            } catch (const E& e) {
                PyErr_SetString(static_cast<PyObject*>(payload), e.what());
            }
        },
        type.ptr());
}

void bind_interrupt() {
    nb::register_exception_translator([](const std::exception_ptr& p, void*) {
        try {
            std::rethrow_exception(p);
        } catch (const Interrupted&) {
            PyErr_SetNone(PyExc_KeyboardInterrupt);
        }
    });
}

}  // namespace
}  // namespace fk::python

NB_MODULE(_engine, m) {
    using namespace fk::python;
    m.doc() = "The compiled engine of fastkeras: recording, compilation and execution.";
    bind_error<fk::Error>(m, "EngineError", PyExc_RuntimeError);
    bind_error<fk::TracedValueError>(m, "TracedValueError", PyExc_RuntimeError);
    bind_error<fk::InternalError>(m, "InternalError", PyExc_RuntimeError);
    bind_error<fk::OutOfMemoryError>(m, "OutOfMemoryError", PyExc_MemoryError);
    bind_error<fk::UnsupportedError>(m, "UnsupportedError", PyExc_NotImplementedError);
    bind_error<fk::UserError>(m, "UserError", PyExc_ValueError);
    bind_interrupt();
    fk::set_host({[]() -> void* { return PyEval_SaveThread(); },
                  [](void* state) { PyEval_RestoreThread(static_cast<PyThreadState*>(state)); },
                  [] {
                      const nanobind::gil_scoped_acquire lock;
                      if (PyErr_CheckSignals() == 0) return false;
                      PyErr_Clear();
                      return true;
                  }});
    bind_tensor(m);
    bind_trace(m);
    bind_control(m);
    bind_report(m);
    bind_data(m);
    m.def("call", call, "Records one op: call(name, *inputs, **attrs).");
    m.def(
        "tensor",
        [](nb::handle x, nb::handle dtype) {
            return to_tensor(x, dtype.is_none() ? std::nullopt : std::optional(parse_dtype(dtype)));
        },
        nb::arg("x").none(), nb::arg("dtype") = nb::none(),
        "A tensor from an array, a number, a list or a tensor; host data is copied.");
    m.def("zeros", zeros, nb::arg("shape"), nb::arg("dtype"),
          "A tensor of zeros; a large one takes no memory before something is written into it.");
    m.def("gradients", gradients_of, nb::arg("targets"), nb::arg("sources"), nb::arg("output_gradients") = nb::none(),
          "Gradients of the sum of the targets with respect to each source; None where nothing connects them.");
    m.def(
        "set_autocast",
        [](nb::handle dtype) { set_autocast(dtype.is_none() ? std::nullopt : std::optional(parse_dtype(dtype))); },
        nb::arg("dtype").none(),
        "The type in which floating-point cells are read from now on, on this thread; None for their own.");
    m.def("result_type", result_type);
    m.def("op_table", op_table);
    m.def(
        "flush", [](bool together) { fk::thread_recorder()->flush(together); }, nanobind::arg("together") = false,
        "Runs what this thread has recorded lazily; `together`: if it fails, no variable changes.");
    m.def("push_label", [](std::string label) { fk::push_label(std::move(label)); });
    m.def("pop_label", fk::pop_label);
    m.def("config", settings, "Every switch with its value and meaning.");
    m.def("set_config", [](const std::string& name, nb::handle value) {
        fk::config::set(name, PyBool_Check(value.ptr()) ? (value.ptr() == Py_True ? "1" : "0")
                                                        : nb::cast<std::string>(nb::steal(PyObject_Str(value.ptr()))));
    });
    m.def("cache_stats", [] {
        const fk::CacheStats s = fk::cache_stats();
        nb::dict d;
        d["hits"] = s.hits, d["misses"] = s.misses, d["size"] = s.size;
        return d;
    });
    m.def("allocated_bytes", fk::allocated_bytes);
    m.def("isa", [] {
        const auto n = fk::cpu::isa_name();
        return nb::str(n.data(), n.size());
    });
    m.def("num_threads", fk::cpu::max_threads);
    m.def("list_gpus", [] {
        nb::list all;
        for (const fk::cuda::GpuFacts& g : fk::cuda::list_gpus()) {
            nb::dict d;
            d["name"] = g.name;
            d["architecture"] = g.architecture;
            d["memory"] = g.memory;
            d["multiprocessors"] = g.multiprocessors;
            all.append(d);
        }
        return all;
    });
    m.def(
        "use_device",
        [](std::string_view name) {
            const fk::Device* before = fk::use_device(name.empty() ? nullptr : &fk::device_named(name));
            return std::string(before == nullptr ? "" : before->name());
        },
        nb::arg("name"),
        "What this thread's plans are compiled for from now on ('': what the settings say); returns what it was.");
    m.def("current_device", [] { return std::string(fk::current_device().name()); });
    m.def("set_cuda_library_folders", fk::cuda::set_library_folders, "Folders of packages that bring CUDA's libraries.");
}
