// The families of implementations this directory has, by file: each is a namespace with `match` (why it refuses) and
// `make`. impls.cpp puts them in order.
#pragma once

#include "runtime/kernel.h"

#define FK_CPU_IMPL(family)                                             \
    namespace family {                                                  \
    std::string match(const Graph& graph, const Node& node);            \
    std::unique_ptr<Kernel> make(const Graph& graph, const Node& node); \
    }

namespace fk::cpu {

// onednn_matmul.cpp, onednn_conv.cpp
FK_CPU_IMPL(onednn_matmul)
FK_CPU_IMPL(onednn_conv)
FK_CPU_IMPL(onednn_conv_input_grad)
FK_CPU_IMPL(onednn_conv_filter_grad)
// own_pointwise.cpp, own_winograd.cpp, own_patches.cpp
FK_CPU_IMPL(own_pointwise)
FK_CPU_IMPL(own_winograd)
FK_CPU_IMPL(own_winograd_filter_grad)
FK_CPU_IMPL(own_patches)
FK_CPU_IMPL(own_patches_input_grad)
FK_CPU_IMPL(own_patches_filter_grad)
// own_matmul.cpp, own_conv.cpp, own_mixed_conv.cpp, own_pool.cpp
FK_CPU_IMPL(own_matmul)
FK_CPU_IMPL(own_matmul_add)
FK_CPU_IMPL(own_matmul_pair)
FK_CPU_IMPL(own_conv)
FK_CPU_IMPL(own_conv_input_grad)
FK_CPU_IMPL(own_conv_filter_grad)
FK_CPU_IMPL(own_mixed_conv)
FK_CPU_IMPL(own_mixed_conv_input_grad)
FK_CPU_IMPL(own_mixed_conv_filter_grad)
FK_CPU_IMPL(own_pool)
FK_CPU_IMPL(own_pool_grad)
FK_CPU_IMPL(own_pool_select)
// own_index.cpp
FK_CPU_IMPL(own_gather)
FK_CPU_IMPL(own_class_probability)
FK_CPU_IMPL(own_scatter_add)
FK_CPU_IMPL(own_take_along_axis)
FK_CPU_IMPL(own_scatter_add_along_axis)
FK_CPU_IMPL(own_scatter_set)
FK_CPU_IMPL(own_first_of_equal)
// own_sort.cpp
FK_CPU_IMPL(own_sort)
FK_CPU_IMPL(own_arg_extreme)
FK_CPU_IMPL(own_cumulative)
// own_move.cpp
FK_CPU_IMPL(own_concatenate)
FK_CPU_IMPL(own_pad)
FK_CPU_IMPL(own_reverse)
FK_CPU_IMPL(own_slice)
FK_CPU_IMPL(own_transpose)
// own_softmax.cpp
FK_CPU_IMPL(own_softmax)
FK_CPU_IMPL(own_sparse_cross_entropy)
FK_CPU_IMPL(own_cross_entropy)
// own_loss_step.cpp
FK_CPU_IMPL(own_loss_step)
// own_norm.cpp
FK_CPU_IMPL(own_batch_norm)
FK_CPU_IMPL(own_batch_norm_moments)
FK_CPU_IMPL(own_batch_norm_apply)
FK_CPU_IMPL(own_batch_norm_add)
FK_CPU_IMPL(own_batch_norm_grad)
FK_CPU_IMPL(own_batch_norm_join_grad)
FK_CPU_IMPL(own_layer_norm)
FK_CPU_IMPL(own_layer_norm_grad)
// own_norm_pointwise.cpp
FK_CPU_IMPL(own_norm_pointwise)
FK_CPU_IMPL(own_norm_pointwise_grad)
FK_CPU_IMPL(own_pointwise_norm_grad)
// own_recurrent.cpp
FK_CPU_IMPL(own_recurrent)
FK_CPU_IMPL(own_recurrent_grad)
// own_attention.cpp
FK_CPU_IMPL(own_attention)
FK_CPU_IMPL(own_attention_grad)
// own_optimizer.cpp
FK_CPU_IMPL(own_adam)

}  // namespace fk::cpu
