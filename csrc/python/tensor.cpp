// Python classes Tensor and Cell: values, operators, conversion.
#include <nanobind/ndarray.h>
#include <nanobind/operators.h>

#include "core/errors.h"
#include "python/common.h"

namespace fk::python {
namespace {

double number_of(const PyTensor& t) {
    if (t.p->type.size() != 1)
        fail<UserError>("a tensor of shape ", to_string(t.p->type.dims),
                        " is not one number; expected a single element. Reduce it or index it first");
    return nb::cast<double>(to_numpy(t.p).attr("astype")("float64").attr("item")());
}

using Binary = nb::object (*)(nb::handle, nb::handle);

// Forward and reflected operators; foreign operands get NotImplemented so that their class may answer.
nb::object operate(std::string_view op, nb::handle self, nb::handle other, bool reflected) {
    if (!is_operand(other)) return nb::borrow(Py_NotImplemented);
    OperandRef a = to_operand(self), b = to_operand(other);
    if (reflected) std::swap(a, b);
    return nb::cast(PyTensor{call1(op, {std::move(a), std::move(b)})});
}

// matmul of NumPy's rules for vectors; batched products are the op itself.
TensorPtr matmul(TensorPtr a, TensorPtr b) {
    if (a->type.dims.empty() || b->type.dims.empty()) fail<UserError>("matmul needs tensors of at least one dimension");
    if (a->type.dtype != b->type.dtype) {
        const auto t = static_cast<int64_t>(promote(a->type.dtype, b->type.dtype));
        a = call1("cast", {a}, {t}), b = call1("cast", {b}, {t});
    }
    const bool row = a->type.rank() == 1, column = b->type.rank() == 1;
    if (row) a = call1("reshape", {a}, {Dims{1, a->type.dims[0]}});
    if (column) b = call1("reshape", {b}, {Dims{b->type.dims[0], 1}});
    TensorPtr y = call1("matmul", {a, b});
    if (row || column) {
        Dims dims = y->type.dims;
        if (column) dims.pop_back();
        if (row) dims.erase(dims.end() - (column ? 1 : 2));
        y = call1("reshape", {y}, {dims});
    }
    return y;
}

struct OperatorRow {
    const char *name, *reflected, *op;
};
constexpr OperatorRow kOperators[] = {
    {"__add__", "__radd__", "add"},
    {"__sub__", "__rsub__", "subtract"},
    {"__mul__", "__rmul__", "multiply"},
    {"__truediv__", "__rtruediv__", "divide"},
    {"__floordiv__", "__rfloordiv__", "floor_divide"},
    {"__mod__", "__rmod__", "mod"},
    {"__pow__", "__rpow__", "power"},
    {"__eq__", nullptr, "equal"},
    {"__ne__", nullptr, "not_equal"},
    {"__lt__", nullptr, "less"},
    {"__le__", nullptr, "less_equal"},
    {"__gt__", nullptr, "greater"},
    {"__ge__", nullptr, "greater_equal"},
    {"__and__", "__rand__", "bitwise_and"},
    {"__or__", "__ror__", "bitwise_or"},
    {"__xor__", "__rxor__", "bitwise_xor"},
    {"__lshift__", nullptr, "left_shift"},
    {"__rshift__", nullptr, "right_shift"},
};

template <class Class>
void bind_operators(Class& cls) {
    for (const OperatorRow& row : kOperators) {
        const std::string_view op = row.op;
        cls.def(row.name, [op](nb::handle self, nb::handle other) { return operate(op, self, other, false); }, nb::is_operator());
        if (row.reflected != nullptr)
            cls.def(
                row.reflected, [op](nb::handle self, nb::handle other) { return operate(op, self, other, true); },
                nb::is_operator());
    }
    for (const auto& [method, op] :
         {std::pair{"__neg__", "neg"}, std::pair{"__abs__", "abs"}, std::pair{"__invert__", "bitwise_not"}})
        cls.def(method, [op = std::string_view(op)](nb::handle self) { return PyTensor{call1(op, {to_operand(self)})}; });
    cls.def("__pos__", [](nb::handle self) { return to_tensor(self, std::nullopt); });
    cls.def(
        "__matmul__",
        [](nb::handle a, nb::handle b) -> nb::object {
            if (!is_operand(b)) return nb::borrow(Py_NotImplemented);
            return nb::cast(PyTensor{matmul(to_tensor(a, std::nullopt).p, to_tensor(b, std::nullopt).p)});
        },
        nb::is_operator());
    cls.def(
        "__rmatmul__",
        [](nb::handle a, nb::handle b) -> nb::object {
            if (!is_operand(b)) return nb::borrow(Py_NotImplemented);
            return nb::cast(PyTensor{matmul(to_tensor(b, std::nullopt).p, to_tensor(a, std::nullopt).p)});
        },
        nb::is_operator());
    cls.def(
        "__getitem__",
        [](nb::handle self, nb::handle index) { return PyTensor{get_item(to_tensor(self, std::nullopt).p, index)}; },
        nb::arg("index").none());
}

nb::object array_of(const TensorPtr& t, nb::handle dtype, nb::handle copy) {
    if (copy.ptr() == Py_False)
        fail<UserError>("__array__(copy=False): a tensor's memory is not shared with NumPy; use numpy.from_dlpack for a view");
    nb::object a = to_numpy(t);
    return dtype.is_none() ? a : a.attr("astype")(dtype);
}

std::string describe(const TensorPtr& t) {
    if (t->pending() && t->recorder->tracing()) return concat("<Tensor traced ", to_string(t->type), ">");
    return concat("<Tensor shape=", to_string(t->type.dims), " dtype=", name(t->type.dtype), "\n",
                  nb::cast<std::string>(nb::steal(PyObject_Str(to_numpy(t).ptr()))), ">");
}

nb::dlpack::dtype dlpack_type(DType d) {
    nb::dlpack::dtype type = nb::dtype<float>();
    type.bits = static_cast<uint8_t>(size_of(d) * 8);
    type.lanes = 1;
    type.code = static_cast<uint8_t>(d == DType::bf16 ? 4 : is_float(d) ? 2 : d == DType::boolean ? 6 : is_signed_int(d) ? 0 : 1);
    return type;
}

// The view keeps the buffer, so a variable updated later moves to fresh memory instead of changing it.
nb::object to_dlpack(const PyTensor& t) {
    evaluate(t.p);
    auto* owner = new BufferPtr(t.p->buffer);
    nb::capsule free(owner, [](void* p) noexcept { delete static_cast<BufferPtr*>(p); });
    const nb::dlpack::dtype type = dlpack_type(t.p->type.dtype);
    std::vector<size_t> shape(t.p->type.dims.begin(), t.p->type.dims.end());
    nb::ndarray<nb::ro> array(t.p->buffer->data(), shape.size(), shape.data(), free, nullptr, type, nb::device::cpu::value);
    nb::object exported = nb::cast(array);  // a capsule, or an object that gives one, by nanobind's version
    return PyCapsule_CheckExact(exported.ptr()) ? exported : nb::object(exported.attr("__dlpack__")());
}

// Writing to the array would change the tensor: it is for whoever drops the tensor at once.
nb::object own_numpy(const TensorPtr& tensor) {
    constexpr size_t kLeast = 256 << 10;  // copying less is quicker than an owner for it
    evaluate(tensor);
    if (tensor->type.bytes() < kLeast || tensor.use_count() != 1 || tensor->buffer.use_count() != 1) return to_numpy(tensor);
    auto* owner = new BufferPtr(tensor->buffer);
    nb::capsule free(owner, [](void* p) noexcept { delete static_cast<BufferPtr*>(p); });
    nb::dlpack::dtype type = dlpack_type(tensor->type.dtype);
    const bool bf16 = tensor->type.dtype == DType::bf16;  // which NumPy does not know
    if (bf16) type = nb::dtype<uint16_t>();
    const std::vector<size_t> shape(tensor->type.dims.begin(), tensor->type.dims.end());
    const nb::ndarray<nb::numpy> array((*owner)->data(), shape.size(), shape.data(), free, nullptr, type, nb::device::cpu::value);
    nb::object out = nb::cast(array);
    return bf16 ? nb::object(out.attr("view")(nb::module_::import_("ml_dtypes").attr("bfloat16"))) : out;
}

}  // namespace

void bind_tensor(nb::module_& m) {
    nb::class_<PyTensor> tensor(m, "Tensor", nb::is_weak_referenceable(), nb::dynamic_attr(),
                                "An immutable tensor whose value is computed when it is asked for.");
    tensor.def_prop_ro("shape", [](const PyTensor& t) { return shape_tuple(t.p->type.dims); })
        .def_prop_ro("dtype",
                     [](const PyTensor& t) {
                         const auto n = name(t.p->type.dtype);
                         return nb::str(n.data(), n.size());
                     })
        .def_prop_ro("ndim", [](const PyTensor& t) { return t.p->type.rank(); })
        .def_prop_ro("size", [](const PyTensor& t) { return t.p->type.size(); })
        .def_prop_ro("is_traced", [](const PyTensor& t) { return t.p->pending() && t.p->recorder->tracing(); })
        .def_prop_ro("T",
                     [](const PyTensor& t) {
                         Dims perm;
                         for (int i = t.p->type.rank(); i-- > 0;) perm.push_back(i);
                         return PyTensor{call1("transpose", {t.p}, {perm})};
                     })
        .def(
            "numpy", [](const PyTensor& t) { return to_numpy(t.p); }, "The value as a fresh NumPy array.")
        .def(
            "own_numpy", [](const PyTensor& t) { return own_numpy(t.p); },
            "The value as a NumPy array, for whoever drops the tensor at once: where nobody else holds it, without a copy.")
        .def(
            "__array__", [](const PyTensor& t, nb::handle dtype, nb::handle copy) { return array_of(t.p, dtype, copy); },
            nb::arg("dtype") = nb::none(), nb::arg("copy") = nb::none())
        .def("__dlpack__", [](const PyTensor& t, nb::args, nb::kwargs) { return to_dlpack(t); })
        .def("__dlpack_device__", [](const PyTensor&) { return nb::make_tuple(1, 0); })
        .def("item", [](const PyTensor& t) { return to_numpy(t.p).attr("item")(); })
        .def("tolist", [](const PyTensor& t) { return to_numpy(t.p).attr("tolist")(); })
        .def("__float__", number_of)
        .def("__int__",
             [](const PyTensor& t) {
                 (void)number_of(t);
                 return nb::int_(to_numpy(t.p).attr("item")());
             })
        .def("__bool__", [](const PyTensor& t) { return number_of(t) != 0; })
        .def("__index__",
             [](const PyTensor& t) -> nb::object {
                 if (!is_integer(t.p->type.dtype) || t.p->type.size() != 1)
                     throw nb::type_error(concat("only one integer can be an index; got ", to_string(t.p->type)).c_str());
                 return to_numpy(t.p).attr("item")();
             })
        .def("__len__",
             [](const PyTensor& t) {
                 if (t.p->type.dims.empty()) throw nb::type_error("a tensor of shape () has no length");
                 return t.p->type.dims[0];
             })
        .def("__iter__",
             [](const PyTensor& t) -> nb::object {
                 if (t.p->type.dims.empty()) throw nb::type_error("a tensor of shape () cannot be iterated");
                 nb::list rows;
                 for (int64_t i = 0; i < t.p->type.dims[0]; ++i) rows.append(PyTensor{get_item(t.p, nb::int_(i))});
                 return nb::iter(rows);
             })
        .def("astype",
             [](const PyTensor& t, nb::handle dtype) {
                 return PyTensor{call1("cast", {t.p}, {static_cast<int64_t>(parse_dtype(dtype))})};
             })
        .def("reshape",
             [](const PyTensor& t, nb::args shape) {
                 const bool one = shape.size() == 1 && !PyLong_Check(nb::handle(shape[0]).ptr());
                 return PyTensor{call1("reshape", {t.p}, {parse_dims(one ? nb::handle(shape[0]) : nb::handle(shape))})};
             })
        .def("__repr__", [](const PyTensor& t) { return describe(t.p); })
        .def("__hash__", [](nb::handle self) { return reinterpret_cast<std::intptr_t>(self.ptr()) >> 4; })
        .def("__format__",
             [](nb::handle self, nb::handle spec) {
                 const PyTensor& t = nb::cast<PyTensor&>(self);
                 const nb::object value =
                     t.p->type.size() == 1 ? to_numpy(t.p).attr("item")() : nb::steal(PyObject_Str(self.ptr()));
                 return value.attr("__format__")(spec);
             })
        .def("__deepcopy__", [](const PyTensor& t, nb::handle) { return t; })
        .def("__copy__", [](const PyTensor& t) { return t; })
        .def("__reduce__", [](const PyTensor& t) {
            return nb::make_tuple(nb::module_::import_("fastkeras._engine").attr("tensor"), nb::make_tuple(to_numpy(t.p)));
        });
    tensor.attr("__array_priority__") = 100;
    bind_operators(tensor);

    nb::class_<PyCell> cell(m, "Cell", nb::is_weak_referenceable(), nb::dynamic_attr(),
                            "The storage of a variable: holds the current tensor; a trace records reads and writes of it.");
    cell.def(
            "__init__",
            [](PyCell* self, nb::handle value, const std::string& name) {
                new (self) PyCell(std::make_shared<CellImpl>());
                self->p->name = name;
                if (value.is_none()) return;
                const TensorPtr initial = to_tensor(value, std::nullopt).p;
                if (initial->pending() && initial->recorder->tracing())
                    fail<UserError>(
                        "variable '", name,
                        "' is created with a traced value; create variables in __init__ or build, not inside a traced step");
                const RecorderPtr lazy = thread_recorder();
                settle(*lazy, initial);
                self->p->value = lazy->own(initial);
                self->p->type = initial->type;
            },
            nb::arg("value").none(), nb::arg("name") = "")
        .def_prop_ro("value", [](const PyCell& c) { return PyTensor{read_cell(c.p)}; })
        .def_prop_rw(
            "autocast", [](const PyCell& c) { return c.p->autocast; }, [](PyCell& c, bool on) { c.p->autocast = on; })
        .def_prop_ro("shape", [](const PyCell& c) { return shape_tuple(c.p->type.dims); })
        .def_prop_ro("dtype",
                     [](const PyCell& c) {
                         const auto n = name(c.p->type.dtype);
                         return nb::str(n.data(), n.size());
                     })
        .def("assign",
             [](PyCell& c, nb::handle value) {
                 assign(c.p,
                        to_tensor(value, PyFloat_Check(value.ptr()) || PyLong_Check(value.ptr()) ? std::optional(c.p->type.dtype)
                                                                                                 : std::nullopt)
                            .p);
             })
        .def(
            "bind",
            [](PyCell& c, nb::handle value) { substitute(c.p, value.is_none() ? nullptr : nb::cast<PyTensor&>(value).p); },
            nb::arg("value").none(),
            "Lets the tensor stand for the cell's value on this thread, gradients included; None: its own value again.");
    bind_operators(cell);
}

}  // namespace fk::python
