// Conversions between Python objects and the engine: arrays through the buffer protocol, scalars, attributes, indices.
#include <cmath>
#include <cstring>

#include "core/errors.h"
#include "ops/expr.h"
#include "python/common.h"

namespace fk::python {
namespace {

// Type of a struct-module format character; native sizes.
std::optional<DType> dtype_of_format(const char* format, Py_ssize_t size) {
    if (format == nullptr) return DType::u8;
    if (*format == '@' || *format == '=' || *format == '<') ++format;
    if (format[0] == '\0' || format[1] != '\0') return std::nullopt;
    switch (format[0]) {
        case '?':
            return DType::boolean;
        case 'b':
        case 'h':
        case 'i':
        case 'l':
        case 'q':
        case 'n':
            return size == 1 ? DType::i8 : size == 2 ? DType::i16 : size == 4 ? DType::i32 : DType::i64;
        case 'B':
        case 'H':
        case 'I':
        case 'L':
        case 'Q':
        case 'N':
            return size == 1 ? DType::u8 : size == 2 ? DType::u16 : size == 4 ? DType::u32 : DType::u64;
        case 'e':
            return DType::f16;
        case 'f':
            return DType::f32;
        case 'd':
            return DType::f64;
        default:
            return std::nullopt;
    }
}

nb::object numpy_attr(const char* name) { return nb::module_::import_("numpy").attr(name); }

std::string text_of(nb::handle object) {
    const nb::object text = nb::steal(PyObject_Str(object.ptr()));
    if (!text.is_valid()) throw nb::python_error();
    return nb::cast<std::string>(text);
}

std::string class_name(nb::handle object) {
    return text_of(nb::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())), "__name__")));
}

std::optional<DType>& autocast() {
    thread_local std::optional<DType> dtype;
    return dtype;
}

bool autocasts(const CellImpl& cell) {
    return autocast() && cell.autocast && is_float(cell.type.dtype) && cell.type.dtype != *autocast();
}

}  // namespace

void set_autocast(std::optional<DType> dtype) { autocast() = dtype; }

TensorPtr read_cell(const CellPtr& cell) { return current_recorder().read(cell); }

bool HostArray::accepts(nb::handle object) { return PyObject_CheckBuffer(object.ptr()) != 0 && !PyBytes_Check(object.ptr()); }

HostArray::HostArray(nb::handle object) {
    auto refuse = [&] {
        fail<UserError>("got an array of dtype ", text_of(nb::getattr(object, "dtype", nb::str("unknown"))),
                        "; expected numbers or booleans. Convert it first, for example x.astype('float32')");
    };
    auto open = [&](nb::handle array) {
        if (PyObject_GetBuffer(array.ptr(), &view_, PyBUF_STRIDES | PyBUF_FORMAT) == 0) return true;
        PyErr_Clear();
        view_ = {};
        return false;
    };
    std::optional<DType> t;
    if (open(object)) {
        t = dtype_of_format(view_.format, view_.itemsize);
    } else {  // the buffer protocol has no bfloat16: such an array is read through a view of its bits
        if (!nb::hasattr(object, "dtype") || text_of(object.attr("dtype")) != "bfloat16" ||
            !open(nb::object(object.attr("view")("uint16"))))
            refuse();
        t = DType::bf16;
    }
    if (!t) {
        PyBuffer_Release(&view_);
        view_ = {};
        refuse();
    }
    type_.dtype = *t;
    type_.dims.assign(view_.shape, view_.shape + view_.ndim);
    contiguous_ = PyBuffer_IsContiguous(&view_, 'C') != 0;
}

HostArray::~HostArray() {
    if (view_.obj != nullptr) PyBuffer_Release(&view_);
}

void HostArray::copy_to(void* destination) const {
    if (contiguous_)
        std::memcpy(destination, view_.buf, static_cast<size_t>(view_.len));
    else if (PyBuffer_ToContiguous(destination, const_cast<Py_buffer*>(&view_), view_.len, 'C') != 0)
        throw nb::python_error();
}

DType parse_dtype(nb::handle object) {
    if (PyUnicode_Check(object.ptr())) {
        const auto text = nb::cast<std::string>(object);
        if (const auto t = dtype_from_name(text)) return *t;
        if (text == "float") return DType::f32;
        if (text == "int") return DType::i32;
        fail<UserError>("'", text,
                        "' is not a dtype; expected bool, int8 to int64, uint8 to uint64, float16, bfloat16, float32 or float64");
    }
    if (PyLong_Check(object.ptr())) return static_cast<DType>(nb::cast<int>(object));
    const nb::object name = nb::getattr(object, "name", nb::none());
    if (PyUnicode_Check(name.ptr())) return parse_dtype(name);
    return parse_dtype(nb::object(numpy_attr("dtype")(object)).attr("name"));
}

Dims parse_dims(nb::handle object) {
    Dims dims;
    if (PyLong_Check(object.ptr())) return {nb::cast<int64_t>(object)};
    for (nb::handle item : nb::iter(object)) {
        PyObject* index = PyNumber_Index(item.ptr());
        if (index == nullptr) throw nb::python_error();
        dims.push_back(nb::cast<int64_t>(nb::steal(index)));
    }
    return dims;
}

nb::tuple shape_tuple(const Dims& dims) {
    PyObject* t = PyTuple_New(static_cast<Py_ssize_t>(dims.size()));
    for (size_t i = 0; i < dims.size(); ++i) PyTuple_SetItem(t, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(dims[i]));
    return nb::steal<nb::tuple>(t);
}

Attrs parse_attrs(const OpDef& op, const nb::kwargs& kwargs) {
    Attrs attrs;
    size_t used = 0;
    for (const AttrDef& def : op.attrs) {
        const nb::str key(def.name.data(), def.name.size());
        if (!kwargs.contains(key)) {
            if (!def.fallback) fail<UserError>(op.name, " needs the attribute '", def.name, "'");
            attrs.push_back(*def.fallback);
            continue;
        }
        ++used;
        const nb::object v = kwargs[key];
        switch (def.type) {
            case AttrType::integer: {
                PyObject* index = PyNumber_Index(v.ptr());
                if (index == nullptr) throw nb::python_error();
                attrs.emplace_back(nb::cast<int64_t>(nb::steal(index)));
                break;
            }
            case AttrType::boolean:
                attrs.emplace_back(static_cast<int64_t>(PyObject_IsTrue(v.ptr())));
                break;
            case AttrType::floating: {
                const double d = PyFloat_AsDouble(v.ptr());
                if (d == -1.0 && PyErr_Occurred() != nullptr) throw nb::python_error();
                attrs.emplace_back(d);
                break;
            }
            case AttrType::text:
                attrs.emplace_back(nb::cast<std::string>(v));
                break;
            case AttrType::dims:
                attrs.emplace_back(parse_dims(v));
                break;
            case AttrType::bodies:
                fail<UserError>(op.name, " takes functions; it is recorded by fastkeras.ops, not by _engine.call");
            case AttrType::dtype:
                attrs.emplace_back(static_cast<int64_t>(parse_dtype(v)));
                break;
        }
    }
    if (used != kwargs.size())
        for (auto [key, value] : kwargs)
            if (op.attr_index(nb::cast<std::string>(key)) < 0)
                fail<UserError>(op.name, " has no attribute '", nb::cast<std::string>(key), "'");
    return attrs;
}

TensorPtr call1(std::string_view op, std::vector<OperandRef> operands, Attrs attrs) {
    return record(get_op(op), std::move(operands), std::move(attrs))[0];
}

PyTensor to_tensor(nb::handle object, std::optional<DType> dtype) {
    auto convert = [&](TensorPtr t) -> PyTensor {
        if (!dtype || t->type.dtype == *dtype) return {std::move(t)};
        return {call1("cast", {t}, {static_cast<int64_t>(*dtype)})};
    };
    if (nb::isinstance<PyTensor>(object)) return convert(nb::cast<PyTensor&>(object).p);
    if (nb::isinstance<PyCell>(object)) {
        const CellPtr& cell = nb::cast<PyCell&>(object).p;
        if (!dtype && autocasts(*cell)) return {call1("cast", {read_cell(cell)}, {static_cast<int64_t>(*autocast())})};
        return convert(read_cell(cell));
    }
    auto scalar = [&](double v, DType fallback) -> PyTensor {
        return {call1("full", {}, {v, Dims{}, static_cast<int64_t>(dtype.value_or(fallback))})};
    };
    if (PyBool_Check(object.ptr())) return scalar(object.ptr() == Py_True ? 1 : 0, DType::boolean);
    if (PyLong_Check(object.ptr())) {
        const auto v = nb::cast<int64_t>(object);
        if (std::abs(static_cast<double>(v)) <= 0x1p53)
            return scalar(static_cast<double>(v), v == static_cast<int32_t>(v) ? DType::i32 : DType::i64);
        auto buffer = Buffer::allocate(sizeof v);
        std::memcpy(buffer->data(), &v, sizeof v);
        return convert(from_memory({DType::i64, {}}, buffer));
    }
    // NumPy's float64 is a Python float too, but as a tensor it keeps its type.
    if (PyFloat_CheckExact(object.ptr())) return scalar(nb::cast<double>(object), DType::f32);
    nb::object array = nb::borrow(object);
    bool own_types = true;  // an array says its dtype; a list of Python numbers takes the defaults
    if (!HostArray::accepts(array)) {
        own_types = nb::hasattr(array, "dtype") || nb::hasattr(array, "__array__");
        if (PyUnicode_Check(array.ptr()) || array.is_none() || PyDict_Check(array.ptr()))
            fail<UserError>("got ", class_name(object),
                            " where a tensor belongs; expected numbers: a NumPy array, a list of numbers or a tensor");
        if (!own_types && (PyList_Check(array.ptr()) || PyTuple_Check(array.ptr()))) {
            for (nb::handle item : array)
                if (nb::isinstance<PyTensor>(item) || nb::isinstance<PyCell>(item)) {  // a list of tensors: stack them
                    std::vector<OperandRef> rows;
                    for (nb::handle row : array) {
                        const TensorPtr t = to_tensor(row, dtype).p;
                        Dims dims = t->type.dims;
                        dims.insert(dims.begin(), 1);
                        rows.emplace_back(call1("reshape", {t}, {dims}));
                    }
                    return convert(call1("concatenate", rows, {int64_t{0}}));
                }
        }
        array = numpy_attr("asarray")(array);
    }
    if (nb::hasattr(array, "dtype") && text_of(nb::object(array.attr("dtype").attr("byteorder"))) == ">")
        array = array.attr("astype")(array.attr("dtype").attr("newbyteorder")("="));
    const HostArray view(array);
    auto buffer = Buffer::allocate(view.type().bytes());
    view.copy_to(buffer->data());
    TensorPtr t = from_memory(view.type(), buffer);
    if (!own_types && !dtype) {
        if (t->type.dtype == DType::f64) dtype = DType::f32;
        if (t->type.dtype == DType::i64) dtype = DType::i32;
    }
    return convert(std::move(t));
}

bool is_operand(nb::handle object) {
    PyObject* o = object.ptr();
    return nb::isinstance<PyTensor>(object) || PyFloat_Check(o) || PyLong_Check(o) || PyBool_Check(o) ||
           nb::isinstance<PyCell>(object) || PyList_Check(o) || PyTuple_Check(o) || HostArray::accepts(object);
}

OperandRef to_operand(nb::handle object) {
    PyObject* o = object.ptr();
    if (nb::isinstance<PyTensor>(object)) return nb::cast<PyTensor&>(object).p;
    if (nb::isinstance<PyCell>(object)) {
        const CellPtr& cell = nb::cast<PyCell&>(object).p;
        if (autocasts(*cell)) return call1("cast", {read_cell(cell)}, {static_cast<int64_t>(*autocast())});
        return cell;
    }
    if (PyBool_Check(o)) return Scalar{WeakKind::boolean, 0, o == Py_True ? 1 : 0};
    if (PyFloat_Check(o)) return Scalar{WeakKind::floating, nb::cast<double>(object), 0};
    if (PyLong_Check(o)) {
        const auto v = nb::cast<int64_t>(object);
        if (std::abs(static_cast<double>(v)) <= 0x1p53) return Scalar{WeakKind::integer, 0, v};
    }
    return to_tensor(object, std::nullopt).p;
}

nb::object to_numpy(const TensorPtr& tensor) {
    const TensorPtr keep = tensor;
    evaluate(keep);
    const bool bf16 = keep->type.dtype == DType::bf16;
    const std::string_view dtype = bf16 ? "uint16" : name(keep->type.dtype);
    nb::object array = numpy_attr("empty")(shape_tuple(keep->type.dims), nb::str(dtype.data(), dtype.size()));
    if (keep->type.size() > 0) {
        Py_buffer view;
        if (PyObject_GetBuffer(array.ptr(), &view, PyBUF_WRITABLE) != 0) throw nb::python_error();
        std::memcpy(view.buf, keep->buffer->data(), static_cast<size_t>(view.len));
        PyBuffer_Release(&view);
    }
    if (bf16) array = array.attr("view")(nb::module_::import_("ml_dtypes").attr("bfloat16"));
    return array;
}

}  // namespace fk::python
