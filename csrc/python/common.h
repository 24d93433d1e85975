// The Python face of the engine: thin wrappers and conversions shared by the binding files. No op is named here: Python
// functions are made from the op table.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "ops/op_def.h"
#include "runtime/executable.h"

namespace fk::python {

namespace nb = nanobind;

struct PyTensor {
    TensorPtr p;
};
struct PyCell {
    CellPtr p;
    explicit PyCell(CellPtr cell) : p(std::move(cell)) { p->owner = this; }
    ~PyCell() { p->owner = nullptr; }
    PyCell(const PyCell&) = delete;
    PyCell& operator=(const PyCell&) = delete;
};
struct PyTrace {
    RecorderPtr recorder;
    std::string name;
    ~PyTrace() { recorder->dispose(); }
};

struct PyExecutable {
    std::unique_ptr<Executable> exe;
};

// A borrowed view of host memory for the length of a call, or a tensor made of it.
class HostArray {
  public:
    explicit HostArray(nb::handle object);  // UserError when the object is no array
    ~HostArray();
    HostArray(const HostArray&) = delete;
    HostArray& operator=(const HostArray&) = delete;
    [[nodiscard]] static bool accepts(nb::handle object);
    [[nodiscard]] const TensorType& type() const { return type_; }
    [[nodiscard]] bool contiguous() const { return contiguous_; }
    [[nodiscard]] const void* data() const { return view_.buf; }
    void copy_to(void* destination) const;  // row-major

  private:
    Py_buffer view_{};
    TensorType type_;
    bool contiguous_ = true;
};

// Python arguments as an executable's inputs; arrays stay borrowed as long as this lives.
struct Arguments {
    std::vector<Executable::Input> in;
    std::vector<std::unique_ptr<HostArray>> held;
    Arguments(const Executable& exe, const nb::tuple& arguments);  // UserError for another number or type
};

// Inside an autocast scope, floating-point cells are read as this type.
void set_autocast(std::optional<DType> dtype);
[[nodiscard]] TensorPtr read_cell(const CellPtr& cell);  // the stored value, without autocast
[[nodiscard]] PyTensor to_tensor(nb::handle object, std::optional<DType> dtype);
[[nodiscard]] bool is_operand(nb::handle object);
[[nodiscard]] OperandRef to_operand(nb::handle object);
[[nodiscard]] nb::object to_numpy(const TensorPtr& tensor);
[[nodiscard]] DType parse_dtype(nb::handle object);
[[nodiscard]] Dims parse_dims(nb::handle object);
[[nodiscard]] nb::tuple shape_tuple(const Dims& dims);
[[nodiscard]] Attrs parse_attrs(const OpDef& op, const nb::kwargs& kwargs);
[[nodiscard]] TensorPtr call1(std::string_view op, std::vector<OperandRef> operands, Attrs attrs = {});
[[nodiscard]] TensorPtr get_item(const TensorPtr& x, nb::handle index);

void bind_tensor(nb::module_& m);
void bind_trace(nb::module_& m);
void bind_control(nb::module_& m);
void bind_report(nb::module_& m);
void bind_data(nb::module_& m);

}  // namespace fk::python
