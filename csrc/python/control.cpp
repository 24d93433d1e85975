// Recording of control flow from Python: bodies come as a Trace made with body=True and what was recorded in it.
#include "runtime/control.h"

#include "python/common.h"

namespace fk::python {
namespace {

std::vector<TensorPtr> tensors(nb::handle items) {
    std::vector<TensorPtr> out;
    for (nb::handle h : nb::iter(items)) out.push_back(to_tensor(h, std::nullopt).p);
    return out;
}

nb::list wrapped(std::vector<TensorPtr> values) {
    nb::list out;
    for (TensorPtr& t : values) out.append(PyTensor{std::move(t)});
    return out;
}

// (trace, outputs); the outputs are tensors already.
Body body_of(nb::handle pair) {
    Body body{nb::cast<PyTrace&>(nb::object(pair[0])).recorder, {}};
    for (nb::handle h : nb::iter(nb::object(pair[1]))) body.outputs.push_back(nb::cast<PyTensor&>(h).p);
    return body;
}

}  // namespace

void bind_control(nb::module_& m) {
    m.def(
        "record_switch",
        [](const PyTensor& index, nb::handle branches, nb::handle operands) {
            std::vector<Body> bodies;
            for (nb::handle h : nb::iter(branches)) bodies.push_back(body_of(h));
            return wrapped(record_switch(index.p, bodies, tensors(operands)));
        },
        nb::arg("index"), nb::arg("branches"), nb::arg("operands"), "See csrc/runtime/control.h.");
    m.def(
        "record_scan",
        [](nb::handle body, nb::handle carries, nb::handle xs, int64_t length, bool reverse) {
            return wrapped(record_scan(body_of(body), tensors(carries), tensors(xs), length, reverse));
        },
        nb::arg("body"), nb::arg("carries"), nb::arg("xs"), nb::arg("length"), nb::arg("reverse"), "See csrc/runtime/control.h.");
    m.def(
        "record_while",
        [](nb::handle condition, nb::handle body, nb::handle carries, int64_t limit) {
            return wrapped(record_while(body_of(condition), body_of(body), tensors(carries), limit));
        },
        nb::arg("condition"), nb::arg("body"), nb::arg("carries"), nb::arg("limit"), "See csrc/runtime/control.h.");
    m.def(
        "record_custom_gradient",
        [](nb::handle outputs, nb::handle inputs, nb::handle gradient) {
            return wrapped(record_custom_gradient(tensors(outputs), tensors(inputs), body_of(gradient)));
        },
        nb::arg("outputs"), nb::arg("inputs"), nb::arg("gradient"), "See csrc/runtime/control.h.");
}

}  // namespace fk::python
