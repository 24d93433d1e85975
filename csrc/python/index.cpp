// x[...]: integers, slices with any step, None, Ellipsis, and one integer array or tensor.
#include "core/errors.h"
#include "python/common.h"

namespace fk::python {
namespace {

bool is_array_index(nb::handle h) {
    return nb::isinstance<PyTensor>(h) || nb::isinstance<PyCell>(h) || PyList_Check(h.ptr()) ||
           (HostArray::accepts(h) && !PyIndex_Check(h.ptr())) || (nb::hasattr(h, "ndim") && nb::cast<int>(h.attr("ndim")) > 0);
}

}  // namespace

TensorPtr get_item(const TensorPtr& x, nb::handle index) {
    std::vector<nb::object> items;
    if (PyTuple_Check(index.ptr()))
        for (nb::handle item : nb::borrow<nb::tuple>(index)) items.push_back(nb::borrow(item));
    else
        items.push_back(nb::borrow(index));
    const Dims& dims = x->type.dims;
    size_t consumed = 0;
    bool ellipsis = false;
    for (const nb::object& item : items) {
        if (item.ptr() == Py_Ellipsis) {
            if (ellipsis) fail<UserError>("an index has more than one Ellipsis (...)");
            ellipsis = true;
        } else if (!item.is_none()) {
            ++consumed;
        }
    }
    if (consumed > dims.size()) fail<UserError>("got ", consumed, " indices for a tensor of shape ", to_string(dims));
    Dims start, stop, step, shape, flips;
    nb::object array;
    size_t array_axis = 0, axis = 0;
    auto whole = [&] {
        start.push_back(0), stop.push_back(dims[axis]), step.push_back(1);
        shape.push_back(dims[axis]);
        ++axis;
    };
    for (const nb::object& item : items) {
        if (item.ptr() == Py_Ellipsis) {
            for (size_t n = dims.size() - consumed; n-- > 0;) whole();
        } else if (item.is_none()) {
            shape.push_back(1);
        } else if (PySlice_Check(item.ptr())) {
            Py_ssize_t a = 0, b = 0, s = 0;
            if (PySlice_Unpack(item.ptr(), &a, &b, &s) != 0) throw nb::python_error();
            const Py_ssize_t count = PySlice_AdjustIndices(dims[axis], &a, &b, s);
            if (s > 0) {
                start.push_back(count == 0 ? 0 : a), stop.push_back(count == 0 ? 0 : a + (count - 1) * s + 1), step.push_back(s);
            } else {  // taken forwards, then reversed
                start.push_back(count == 0 ? 0 : a + (count - 1) * s), stop.push_back(count == 0 ? 0 : a + 1), step.push_back(-s);
                flips.push_back(static_cast<int64_t>(axis));
            }
            shape.push_back(count);
            ++axis;
        } else if (is_array_index(item) && !PyBool_Check(item.ptr())) {
            if (array.is_valid())
                fail<UserError>(
                    "indexing with more than one array is not supported; use ops.take, ops.take_along_axis or ops.reshape");
            array = item;
            array_axis = shape.size();
            whole();
        } else {
            PyObject* number = PyBool_Check(item.ptr()) ? nullptr : PyNumber_Index(item.ptr());
            if (number == nullptr) {
                PyErr_Clear();
                fail<UserError>("a tensor index may hold integers, slices, None, ... and one integer array; got ",
                                nb::cast<std::string>(nb::repr(item)));
            }
            auto i = nb::cast<int64_t>(nb::steal(number));
            if (i < -dims[axis] || i >= dims[axis])
                throw nb::index_error(concat("index ", i, " is outside dimension ", axis, " of shape ", to_string(dims)).c_str());
            if (i < 0) i += dims[axis];
            start.push_back(i), stop.push_back(i + 1), step.push_back(1);
            ++axis;
        }
    }
    while (axis < dims.size()) whole();
    TensorPtr y = x;
    bool partial = false;
    for (size_t d = 0; d < dims.size(); ++d) partial = partial || start[d] != 0 || stop[d] != dims[d] || step[d] != 1;
    if (partial) y = call1("slice", {y}, {start, stop, step});
    if (!flips.empty()) y = call1("reverse", {y}, {flips});
    if (y->type.dims != shape) y = call1("reshape", {y}, {shape});
    if (array.is_valid()) {
        const TensorPtr indices = to_tensor(array, std::nullopt).p;
        if (indices->type.dtype == DType::boolean)
            fail<UserError>("indexing with a boolean mask gives a shape that depends on values; use ops.where instead");
        y = call1("gather", {y, indices}, {static_cast<int64_t>(array_axis)});
    }
    return y;
}

}  // namespace fk::python
