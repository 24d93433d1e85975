// The implementations of library ops on a GPU, by file of ops/: each is a namespace with `match` (why it refuses) and `make`.
// impls.cpp puts them in order. They are source and launches only; a device makes them run.
#pragma once

#include <span>

#include "cuda/kernel.h"

namespace fk::cuda {

[[nodiscard]] std::span<const Impl> impls();

#define FK_CUDA_IMPL(family)                                            \
    namespace family {                                                  \
    std::string match(const Graph& graph, const Node& node);            \
    std::unique_ptr<Kernel> make(const Graph& graph, const Node& node); \
    }
// ops/conv.cpp
FK_CUDA_IMPL(any_conv)
FK_CUDA_IMPL(any_conv_filter_grad)
FK_CUDA_IMPL(any_conv_input_grad)
// ops/matmul.cpp
FK_CUDA_IMPL(any_matmul)
// ops/index.cpp
FK_CUDA_IMPL(any_class_probability)
FK_CUDA_IMPL(any_gather)
FK_CUDA_IMPL(any_take_along_axis)
// ops/scatter.cpp
FK_CUDA_IMPL(any_first_of_equal)
FK_CUDA_IMPL(any_scatter_add)
FK_CUDA_IMPL(any_scatter_add_along_axis)
FK_CUDA_IMPL(any_scatter_set)
// ops/scan.cpp
FK_CUDA_IMPL(any_arg_extreme)
FK_CUDA_IMPL(any_cumulative)
// ops/sort.cpp
FK_CUDA_IMPL(any_sort)
// ops/move.cpp
FK_CUDA_IMPL(any_concatenate)
FK_CUDA_IMPL(any_pad)
FK_CUDA_IMPL(any_reverse)
FK_CUDA_IMPL(any_slice)
FK_CUDA_IMPL(any_transpose)
// ops/pool.cpp
FK_CUDA_IMPL(any_pool)
FK_CUDA_IMPL(any_pool_grad)
FK_CUDA_IMPL(any_pool_select)

// The region's kernel; of one without points, what fills its reduced outputs with what their reductions begin with.
[[nodiscard]] std::unique_ptr<Kernel> compile_region(const Region& region);
[[nodiscard]] std::unique_ptr<Kernel> copy_kernel(size_t bytes);

}  // namespace fk::cuda
