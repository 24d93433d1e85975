// Matrix products by a kernel for all types and shapes (kernels/matmul.cuh).
#include "cpu/matmul_shape.h"
#include "cuda/ops/common.h"

namespace fk::cuda::any_matmul {

std::string match(const Graph& g, const Node& node) {
    const DType type = input_type(g, node, 0).dtype;
    if (type != input_type(g, node, 1).dtype) return "operands of two types";
    return type == DType::boolean ? "booleans do not add up" : "";
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const cpu::MatmulShape s = cpu::matmul_shape(g, node);
    const TensorType &x = input_type(g, node, 0), &y = input_type(g, node, 1), &out = node.types[0];
    const int64_t tiles = blocks_for(s.m, 64) * blocks_for(s.n, 64), batch = product(s.batch);
    // Where the matrices of batch number b begin: batch dimensions of 1 stay where they are.
    const auto offset = [&](const Dims& own, int64_t matrix) {
        std::string text;
        int64_t stride = matrix, count = 1;
        for (size_t d = s.batch.size(); d-- > 0;) {
            if (own[d] != 1) {
                text += concat(" + b / ", count, " % ", s.batch[d], " * ", stride, "ll");
                stride *= own[d];
            }
            count *= s.batch[d];
        }
        return text;
    };
    const auto strides = [](bool transposed, int64_t rows, int64_t columns) {
        return transposed ? concat(1, ", ", rows) : concat(columns, ", ", 1);
    };
    std::string statements = concat("const i64 b = blockIdx.x / ", tiles, ";\n    ");
    statements += call("matmul",
                       concat("in0", offset(s.batch_a, s.m * s.k), ", in1", offset(s.batch_b, s.k * s.n), ", out0 + b * ",
                              s.m * s.n, "ll, blockIdx.x % ", tiles),
                       memory_name(x.dtype), memory_name(y.dtype), memory_name(out.dtype), class_name(class_of(out.dtype)), s.m,
                       s.n, s.k, strides(s.transpose_a, s.m, s.k), strides(s.transpose_b, s.k, s.n));
    return ProgramBuilder(g, node, concat("cuda:matmul ", batch, "x", s.m, "x", s.n, "x", s.k))
        .uses(text::matmul)
        .input(0)
        .input(1)
        .output(0)
        .kernel("matmul", statements, batch * tiles, 256, true)
        .done();
}

}  // namespace fk::cuda::any_matmul
