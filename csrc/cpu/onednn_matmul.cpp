// Matrix products by oneDNN: transpositions are strides, batch dimensions broadcast, bias and activation ride along.
#include "cpu/impls.h"
#include "cpu/matmul_shape.h"
#include "cpu/onednn_common.h"

namespace fk::cpu::onednn_matmul {
namespace {

// Up to here the own kernel is at least as fast (measured with AVX-512), and it needs no primitive: creating one takes
// 0.2 to 0.5 ms.
constexpr int64_t kSmallProduct = 128 * 1024;

// Strides of a batch of row-major matrices whose last two dimensions may be exchanged. Broadcast batch dimensions have
// size 1, so their stride does not matter.
dnnl::memory::desc matrix_desc(Dims batch, int64_t rows, int64_t columns, bool transposed, DType t) {
    Dims dims = batch;
    dims.push_back(rows);
    dims.push_back(columns);
    Dims stored = std::move(batch);
    stored.push_back(transposed ? columns : rows);
    stored.push_back(transposed ? rows : columns);
    Dims strides = row_major_strides(stored);
    if (transposed) std::swap(strides[strides.size() - 1], strides[strides.size() - 2]);
    return strided_desc(dims, t, strides);
}

}  // namespace

std::string match(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    if (!onednn_type(t)) return concat("no ", name(t), " in oneDNN");
    const MatmulShape s = matmul_shape(g, node);
    if (s.m * s.n * s.k * product(s.batch) == 0) return "an empty operand";
    if (s.batch.size() > 6) return "more than six batch dimensions";
    if (node.inputs.size() == 3) {
        if (input_type(g, node, 2).size() != s.n) return "the bias is not one row";
        const auto& act = std::get<std::string>(node.attrs[2]);
        if (!act_from_name(act)) return concat("activation ", act);
    }
    const Act act = node.inputs.size() == 3 ? act_from_name(std::get<std::string>(node.attrs[2])).value() : Act::none;
    const bool cheap_act = act == Act::none || act == Act::relu || act == Act::relu6;
    if (t == DType::f32 && cheap_act && s.m * s.n * s.k * product(s.batch) <= kSmallProduct)
        return "small: the own kernel starts faster";
    return "";
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) try {
    const MatmulShape s = matmul_shape(g, node);
    const bool fused = node.inputs.size() == 3;
    const Act act = fused ? act_from_name(std::get<std::string>(node.attrs[2])).value() : Act::none;
    const DType t = input_type(g, node, 0).dtype;
    const int threads = team_for(s.m * s.n * s.k * product(s.batch));
    const TeamSize team(threads);
    const auto a = matrix_desc(s.batch_a, s.m, s.k, s.transpose_a, t), b = matrix_desc(s.batch_b, s.k, s.n, s.transpose_b, t);
    const auto c = matrix_desc(s.batch, s.m, s.n, false, t);
    const auto bias =
        fused ? matrix_desc(Dims(s.batch.size(), 1), 1, s.n, false, input_type(g, node, 2).dtype) : dnnl::memory::desc();
    const dnnl::primitive_attr attr = StepBuilder::attributes(act);
    dnnl::matmul::primitive_desc pd = fused ? dnnl::matmul::primitive_desc(onednn_engine(), a, b, bias, c, attr)
                                            : dnnl::matmul::primitive_desc(onednn_engine(), a, b, c, attr);
    if (!skip_reference(pd)) return nullptr;
    StepBuilder steps(threads);
    std::vector<Binding> bindings = {
        {DNNL_ARG_SRC, a, Place::input, 0}, {DNNL_ARG_WEIGHTS, b, Place::input, 1}, {DNNL_ARG_DST, c, Place::output, 0}};
    if (fused) bindings.push_back({DNNL_ARG_BIAS, bias, Place::input, 2});
    steps.add(dnnl::matmul(pd), pd, std::move(bindings));
    return steps.finish(concat("onednn:", pd.impl_info_str()));
} catch (const dnnl::error&) {
    return nullptr;
}

}  // namespace fk::cpu::onednn_matmul
