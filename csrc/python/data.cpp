// What data pipelines call: rows of NumPy arrays gathered by the thread team.
#include <cstring>

#include "core/errors.h"
#include "cpu/threads.h"
#include "python/common.h"

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
            fail<UserError>("gather_rows: ", what, " is empty or a scalar; expected an array of rows");
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

void gather_rows(nb::handle source, nb::handle rows, nb::handle out) {
    const BufferView from(source, "the source", false), which(rows, "the row numbers", false), to(out, "the result", true);
    const int64_t bytes = from.row_bytes(), count = which.rows(), limit = from.rows();
    if (which.row_bytes() != 8 || which.item_bytes() != 8)
        fail<UserError>("gather_rows: row numbers have ", which.item_bytes(), " bytes; expected int64");
    if (to.row_bytes() != bytes || to.item_bytes() != from.item_bytes() || to.rows() < count)
        fail<UserError>("gather_rows: the result has room for ", to.rows(), " rows of ", to.row_bytes(), " bytes; expected ",
                        count, " of ", bytes);
    const auto* index = reinterpret_cast<const int64_t*>(which.data());
    for (int64_t i = 0; i < count; ++i)
        if (index[i] < 0 || index[i] >= limit) fail<UserError>("gather_rows: row ", index[i], " of ", limit);
    const nb::gil_scoped_release unlocked;
    constexpr int64_t kGrain = 16 * 1024;  // bytes that are worth another thread
    cpu::parallel_for(count, kGrain / bytes + 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            std::memcpy(to.data() + i * bytes, from.data() + index[i] * bytes, static_cast<size_t>(bytes));
    });
}

}  // namespace

void bind_data(nb::module_& m) {
    m.def("gather_rows", gather_rows, nb::arg("source"), nb::arg("rows"), nb::arg("out"),
          "out[i] = source[rows[i]] for arrays that are contiguous, with int64 row numbers, on the thread team.");
}

}  // namespace fk::python
