// Matrix products by oneDNN: transpositions are strides, batch dimensions broadcast, bias and activation ride along.
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/matmul_shape.h"
#include "cpu/onednn_common.h"

namespace fk::cpu::onednn_matmul {
namespace {

// Without AVX-512, up to here the own kernel is at least as fast, and it needs no primitive: creating one takes
// 0.2 to 0.5 ms.
constexpr int64_t kSmallProduct = 128 * 1024;

// A batch of matrices of which these are rows and columns: `leading` apart in memory, `matrix` elements each, the last two
// dimensions exchanged if transposed. Broadcast batch dimensions have size 1, so their stride does not matter.
dnnl::memory::desc matrix_desc(const Dims& batch, int64_t rows, int64_t columns, bool transposed, DType t, int64_t leading,
                               int64_t matrix) {
    Dims dims = batch, strides = row_major_strides(batch);
    for (int64_t& stride : strides) stride *= matrix;
    dims.push_back(rows);
    dims.push_back(columns);
    strides.push_back(transposed ? 1 : leading);
    strides.push_back(transposed ? leading : 1);
    return strided_desc(dims, t, strides);
}

}  // namespace

std::string match(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    if (!onednn_type(t)) return concat("no ", name(t), " in oneDNN");
    if (input_type(g, node, 1).dtype != t) return "operands of two types";
    if (is_half(t) && !native_products(t)) return concat(name(t), " is quicker widened on this CPU");
    const MatmulShape s = matmul_shape(g, node);
    if (s.m * s.n * s.k * product(s.batch) == 0) return "an empty operand";
    if (s.batch.size() > 6) return "more than six batch dimensions";
    if (node.inputs.size() == 3) {
        if (input_type(g, node, 2).size() != s.n) return "the bias is not one row";
        const auto& act = std::get<std::string>(node.attrs[2]);
        if (!act_from_name(act)) return concat("activation ", act);
    }
    if (t == DType::f32 && current_isa() >= Isa::avx512) return "the own kernel is faster with AVX-512";
    const Act act = node.inputs.size() == 3 ? act_from_name(std::get<std::string>(node.attrs[2])).value() : Act::none;
    const bool cheap_act = act == Act::none || act == Act::relu || act == Act::relu6;
    if (t == DType::f32 && cheap_act && s.m * s.n * s.k * product(s.batch) <= kSmallProduct)
        return "small: the own kernel starts faster";
    return "";
}

namespace {

// A range of the outermost batch dimension, of the rows, or (for a single row) of the columns of the product.
struct Part {
    enum class Along : uint8_t { batch, rows, columns } along = Along::rows;
    int64_t begin = 0, end = 0;
};

std::vector<Part> parts_of(const MatmulShape& s) {
    const int64_t wanted = parts_for(s.m * s.n * s.k * product(s.batch));
    const bool batched = !s.batch.empty() && s.batch[0] >= wanted && s.batch[0] > 1;
    const auto along = batched ? Part::Along::batch : s.m >= wanted ? Part::Along::rows : Part::Along::columns;
    const int64_t size = batched ? s.batch[0] : along == Part::Along::rows ? s.m : s.n;
    // Columns of several rows would not be contiguous in the result, which the library's kernels ask for.
    const bool whole = along == Part::Along::columns && (s.m > 1 || product(s.batch) > 1);
    const auto count = static_cast<int>(whole ? 1 : std::min(wanted, size));
    std::vector<Part> out;
    for (int p = 0; p < count; ++p) {
        const Slice slice = slice_of(size, p, count);
        out.push_back({along, slice.begin, slice.end});
    }
    return out;
}

// Dims of an operand's batch for a part, and the offset of its first element; broadcast dimensions stay.
int64_t narrow_batch(Dims& batch, const Part& part, int64_t matrix) {
    if (part.along != Part::Along::batch || batch[0] == 1) return 0;
    int64_t rest = matrix;
    for (size_t i = 1; i < batch.size(); ++i) rest *= batch[i];
    batch[0] = part.end - part.begin;
    return part.begin * rest;
}

}  // namespace

// A part of a transposed operand is not dense, for which the library has only its older kernels. They are good at small products
// of a certain width; others take longer on all cores than the newer kernels take on one.
bool splits_well(const MatmulShape& s) { return !s.transpose_a || (s.n >= 64 && s.m * s.n * s.k <= 8 * 1024 * 1024); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) try {
    const MatmulShape s = matmul_shape(g, node);
    const bool fused = node.inputs.size() == 3;
    const Act act = fused ? act_from_name(std::get<std::string>(node.attrs[2])).value() : Act::none;
    const DType t = input_type(g, node, 0).dtype;
    const auto size = static_cast<int64_t>(size_of(t));
    const SingleThread single;
    const dnnl::primitive_attr attr = StepBuilder::attributes(act);
    StepBuilder steps;
    std::string text;
    std::vector<Part> parts = parts_of(s);
    if (parts.size() > 1 && parts[0].along == Part::Along::rows && !splits_well(s)) parts = {{Part::Along::rows, 0, s.m}};
    for (size_t p = 0; p < parts.size(); ++p) {
        const Part& part = parts[p];
        Dims batch = s.batch, batch_a = s.batch_a, batch_b = s.batch_b;
        int64_t at_a = narrow_batch(batch_a, part, s.m * s.k), at_b = narrow_batch(batch_b, part, s.k * s.n);
        int64_t at_c = narrow_batch(batch, part, s.m * s.n), m = s.m, n = s.n, at_bias = 0;
        if (part.along == Part::Along::rows) {
            m = part.end - part.begin;
            at_a += part.begin * (s.transpose_a ? 1 : s.k);
            at_c += part.begin * s.n;
        } else if (part.along == Part::Along::columns) {
            n = part.end - part.begin;
            at_b += part.begin * (s.transpose_b ? s.k : 1);
            at_c += part.begin;
            at_bias = part.begin;
        }
        const auto a = matrix_desc(batch_a, m, s.k, s.transpose_a, t, s.transpose_a ? s.m : s.k, s.m * s.k);
        const auto b = matrix_desc(batch_b, s.k, n, s.transpose_b, t, s.transpose_b ? s.k : s.n, s.k * s.n);
        const auto c = matrix_desc(batch, m, n, false, node.types[0].dtype, s.n, s.m * s.n);
        const auto bias =
            fused ? matrix_desc(Dims(batch.size(), 1), 1, n, false, input_type(g, node, 2).dtype, n, n) : dnnl::memory::desc();
        dnnl::matmul::primitive_desc pd = fused ? dnnl::matmul::primitive_desc(onednn_engine(), a, b, bias, c, attr)
                                                : dnnl::matmul::primitive_desc(onednn_engine(), a, b, c, attr);
        if (is_reference(pd)) return nullptr;
        const auto bytes = [size](int64_t elements) { return static_cast<size_t>(elements * size); };
        std::vector<Binding> bindings = {
            {DNNL_ARG_SRC, a, Place::input, 0, bytes(at_a)},
            {DNNL_ARG_WEIGHTS, b, Place::input, 1, bytes(at_b)},
            {DNNL_ARG_DST, c, Place::output, 0, static_cast<size_t>(at_c) * size_of(node.types[0].dtype)}};
        if (fused)
            bindings.push_back(
                {DNNL_ARG_BIAS, bias, Place::input, 2, static_cast<size_t>(at_bias) * size_of(input_type(g, node, 2).dtype)});
        steps.add(dnnl::matmul(pd), pd, std::move(bindings), p);
        if (p == 0) text = concat("onednn:", pd.impl_info_str());
    }
    return steps.finish(text);
} catch (const dnnl::error&) {
    return nullptr;
}

}  // namespace fk::cpu::onednn_matmul
