// What data pipelines call: rows of NumPy arrays gathered by the thread team, and run through a compiled step.
#include "core/errors.h"
#include "python/common.h"
#include "runtime/batches.h"

namespace fk::python {
namespace {

// A contiguous buffer of an object that offers one, released at the end.
class BufferView {
  public:
    BufferView(nb::handle object, const char* what, bool writable) {
        const int flags = PyBUF_ND | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw nb::python_error();
        if (view_.ndim < 1 || view_.len == 0) {
            PyBuffer_Release(&view_);
            fail<UserError>(what, " is empty or a scalar; expected an array of rows");
        }
    }
    ~BufferView() { PyBuffer_Release(&view_); }
    BufferView(const BufferView&) = delete;
    BufferView& operator=(const BufferView&) = delete;
    [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(view_.buf); }
    [[nodiscard]] int64_t rows() const { return view_.shape[0]; }
    [[nodiscard]] int64_t row_bytes() const { return view_.len / view_.shape[0]; }
    [[nodiscard]] int64_t item_bytes() const { return view_.itemsize; }

  private:
    Py_buffer view_{};
};

void check_rows(const int64_t* index, int64_t count, int64_t limit) {
    for (int64_t i = 0; i < count; ++i)
        if (index[i] < 0 || index[i] >= limit) fail<UserError>("row ", index[i], " of ", limit);
}

void gather_rows(nb::handle source, nb::handle rows, nb::handle out) {
    const BufferView from(source, "the source", false), which(rows, "the row numbers", false), to(out, "the result", true);
    const int64_t bytes = from.row_bytes(), count = which.rows(), limit = from.rows();
    if (which.row_bytes() != 8 || which.item_bytes() != 8)
        fail<UserError>("gather_rows: row numbers have ", which.item_bytes(), " bytes; expected int64");
    if (to.row_bytes() != bytes || to.item_bytes() != from.item_bytes() || to.rows() < count)
        fail<UserError>("gather_rows: the result has room for ", to.rows(), " rows of ", to.row_bytes(), " bytes; expected ",
                        count, " of ", bytes);
    const auto* index = reinterpret_cast<const int64_t*>(which.data());
    check_rows(index, count, limit);
    const nb::gil_scoped_release unlocked;
    gather({from.data(), bytes, to.data()}, index, count);
}

// Batches of rows of `arrays` through an executable: see run_batches. `order` is None or int64 row numbers of the whole pass,
// `buffers` then hold a batch of each array.
nb::tuple run_ahead(PyExecutable& e, const nb::list& arrays, nb::handle order, const nb::list& buffers, int64_t first,
                    int64_t size, int64_t limit, double seconds) {
    const auto& types = e.exe->input_types();
    if (arrays.size() != types.size())
        fail<UserError>("run_ahead: the compiled function takes ", types.size(), " inputs; got ", arrays.size(), " arrays");
    if (size < 1 || first < 0 || limit < 0) fail<UserError>("run_ahead: ", limit, " batches of ", size, " rows from ", first);
    std::vector<std::unique_ptr<HostArray>> held;
    std::vector<std::unique_ptr<BufferView>> views;
    std::vector<RowSource> sources;
    int64_t rows = 0;
    for (size_t i = 0; i < types.size(); ++i) {
        const HostArray& a = *held.emplace_back(std::make_unique<HostArray>(arrays[i]));
        if (!a.contiguous() || a.type().dims.empty())
            fail<UserError>("run_ahead: array ", i, " is ", a.contiguous() ? "a scalar" : "not contiguous", "; expected rows");
        if (i > 0 && a.type().dims[0] != rows)
            fail<UserError>("run_ahead: array ", i, " has ", a.type().dims[0], " rows; expected ", rows, " as the first has");
        rows = a.type().dims[0];
        TensorType batch = a.type();
        batch.dims[0] = size;
        e.exe->check_input(i, batch);
        const auto bytes = static_cast<int64_t>(batch.bytes()) / size;
        std::byte* to = nullptr;
        if (!order.is_none()) {
            const BufferView& view = *views.emplace_back(std::make_unique<BufferView>(buffers[i], "a buffer", true));
            if (view.rows() * view.row_bytes() < size * bytes)
                fail<UserError>("run_ahead: buffer ", i, " has ", view.rows() * view.row_bytes(), " bytes; expected ",
                                size * bytes);
            to = view.data();
        }
        sources.push_back({static_cast<const std::byte*>(a.data()), bytes, to});
    }
    const int64_t* index = nullptr;
    if (!order.is_none()) {
        const BufferView& which = *views.emplace_back(std::make_unique<BufferView>(order, "the order", false));
        if (which.row_bytes() != 8 || which.item_bytes() != 8 || which.rows() < first + limit * size)
            fail<UserError>("run_ahead: the order has ", which.rows(), " entries of ", which.row_bytes(), " bytes; expected ",
                            first + limit * size, " of int64");
        index = reinterpret_cast<const int64_t*>(which.data());
        check_rows(index + first, limit * size, rows);
    } else if (first + limit * size > rows) {
        fail<UserError>("run_ahead: ", limit, " batches of ", size, " rows from row ", first, "; there are ", rows);
    }
    BatchRun run = run_batches(*e.exe, sources, index, first, size, limit, seconds);
    nb::list outputs;
    for (TensorPtr& t : run.outputs) outputs.append(PyTensor{std::move(t)});
    return nb::make_tuple(run.batches, std::move(outputs));
}

}  // namespace

void bind_data(nb::module_& m) {
    m.def("gather_rows", gather_rows, nb::arg("source"), nb::arg("rows"), nb::arg("out"),
          "out[i] = source[rows[i]] for arrays that are contiguous, with int64 row numbers, on the thread team.");
    m.def("run_ahead", run_ahead, nb::arg("executable"), nb::arg("arrays"), nb::arg("order").none(), nb::arg("buffers"),
          nb::arg("first"), nb::arg("size"), nb::arg("limit"), nb::arg("seconds"),
          "Runs up to `limit` batches of `size` rows, from the first-th on (in `order`), and begins none after `seconds`. "
          "Returns (number of batches that ran, outputs of the last).");
}

}  // namespace fk::python
