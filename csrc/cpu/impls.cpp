// The CPU's ordered preference list: for each op, the first entry whose `match` is content and whose `make` succeeds.
#include "cpu/impls.h"

#include "cpu/cpu.h"
#include "runtime/control_kernels.h"

namespace fk::cpu {
namespace {

#define FK_ENTRY(op, name, family) \
    Impl { op, name, family::match, family::make }

const Impl kImpls[] = {
    FK_ENTRY("matmul", "onednn", onednn_matmul),
    FK_ENTRY("matmul", "own", own_matmul),
    FK_ENTRY("matmul_bias_act", "onednn", onednn_matmul),
    FK_ENTRY("matmul_bias_act", "own", own_matmul),
    FK_ENTRY("matmul_bias_act_slope", "own", own_matmul_pair),
    FK_ENTRY("matmul_times", "own", own_matmul_pair),
    FK_ENTRY("conv", "pointwise", own_pointwise),
    FK_ENTRY("conv", "winograd", own_winograd),
    FK_ENTRY("conv", "patches", own_patches),
    FK_ENTRY("conv", "onednn", onednn_conv),
    FK_ENTRY("conv", "own_mixed", own_mixed_conv),
    FK_ENTRY("conv", "own", own_conv),
    FK_ENTRY("conv_bias_act", "pointwise", own_pointwise),
    FK_ENTRY("conv_bias_act", "winograd", own_winograd),
    FK_ENTRY("conv_bias_act", "patches", own_patches),
    FK_ENTRY("conv_bias_act", "onednn", onednn_conv),
    FK_ENTRY("conv_bias_act", "own_mixed", own_mixed_conv),
    FK_ENTRY("conv_bias_act", "own", own_conv),
    FK_ENTRY("conv_input_grad", "pointwise", own_pointwise),
    FK_ENTRY("conv_input_grad", "winograd", own_winograd),
    FK_ENTRY("conv_input_grad", "patches", own_patches_input_grad),
    FK_ENTRY("conv_input_grad", "onednn", onednn_conv_input_grad),
    FK_ENTRY("conv_input_grad", "own_mixed", own_mixed_conv_input_grad),
    FK_ENTRY("conv_input_grad", "own", own_conv_input_grad),
    FK_ENTRY("conv_filter_grad", "pointwise", own_pointwise),
    FK_ENTRY("conv_filter_grad", "winograd", own_winograd_filter_grad),
    FK_ENTRY("conv_filter_grad", "patches", own_patches_filter_grad),
    FK_ENTRY("conv_filter_grad", "onednn", onednn_conv_filter_grad),
    FK_ENTRY("conv_filter_grad", "own_mixed", own_mixed_conv_filter_grad),
    FK_ENTRY("conv_filter_grad", "own", own_conv_filter_grad),
    FK_ENTRY("max_pool", "own", own_pool),
    FK_ENTRY("avg_pool", "own", own_pool),
    FK_ENTRY("max_pool_grad", "own", own_pool_grad),
    FK_ENTRY("max_pool_select", "own", own_pool_select),
    FK_ENTRY("avg_pool_grad", "own", own_pool_grad),
    FK_ENTRY("gather", "own", own_gather),
    FK_ENTRY("scatter_add", "own", own_scatter_add),
    FK_ENTRY("take_along_axis", "own", own_take_along_axis),
    FK_ENTRY("scatter_add_along_axis", "own", own_scatter_add_along_axis),
    FK_ENTRY("scatter_set", "own", own_scatter_set),
    FK_ENTRY("first_of_equal", "own", own_first_of_equal),
    FK_ENTRY("sort", "own", own_sort),
    FK_ENTRY("argsort", "own", own_sort),
    FK_ENTRY("top_k", "own", own_sort),
    FK_ENTRY("argmax", "own", own_arg_extreme),
    FK_ENTRY("argmin", "own", own_arg_extreme),
    FK_ENTRY("cumsum", "own", own_cumulative),
    FK_ENTRY("cumprod", "own", own_cumulative),
    FK_ENTRY("concatenate", "own", own_concatenate),
    FK_ENTRY("pad", "own", own_pad),
    FK_ENTRY("reverse", "own", own_reverse),
    FK_ENTRY("slice", "own", own_slice),
    FK_ENTRY("transpose", "own", own_transpose),
    Impl{"switch", "plans", any_control, make_switch},
    Impl{"scan", "plans", any_control, make_scan},
    Impl{"while", "plans", any_control, make_while},
    FK_ENTRY("softmax", "own", own_softmax),
    FK_ENTRY("log_softmax", "own", own_softmax),
    FK_ENTRY("class_probability", "own", own_class_probability),
    FK_ENTRY("sparse_softmax_cross_entropy", "own", own_sparse_cross_entropy),
    FK_ENTRY("sparse_softmax_cross_entropy_grad", "own", own_sparse_cross_entropy),
    FK_ENTRY("softmax_cross_entropy", "own", own_cross_entropy),
    FK_ENTRY("softmax_cross_entropy_grad", "own", own_cross_entropy),
    FK_ENTRY("sparse_softmax_cross_entropy_step", "own", own_loss_step),
    FK_ENTRY("softmax_cross_entropy_step", "own", own_loss_step),
    FK_ENTRY("batch_norm_train", "own", own_batch_norm),
    FK_ENTRY("batch_norm_train_grad", "own", own_batch_norm_grad),
    FK_ENTRY("batch_norm_join_grad", "own", own_batch_norm_join_grad),
    FK_ENTRY("batch_norm_act", "own", own_batch_norm),
    FK_ENTRY("batch_norm_moments", "own", own_batch_norm_moments),
    FK_ENTRY("norm_pointwise", "own", own_norm_pointwise),
    FK_ENTRY("norm_pointwise_moments", "own", own_norm_pointwise),
    FK_ENTRY("pointwise_moments", "own", own_norm_pointwise),
    FK_ENTRY("norm_pointwise_grad", "own", own_norm_pointwise_grad),
    FK_ENTRY("pointwise_norm_grad", "own", own_pointwise_norm_grad),
    FK_ENTRY("pointwise_norm_grad_join", "own", own_pointwise_norm_grad),
    FK_ENTRY("norm_pointwise_norm_grad", "own", own_pointwise_norm_grad),
    FK_ENTRY("batch_norm_apply", "own", own_batch_norm_apply),
    FK_ENTRY("batch_norm_act_grad", "own", own_batch_norm_grad),
    FK_ENTRY("layer_norm", "own", own_layer_norm),
    FK_ENTRY("layer_norm_grad", "own", own_layer_norm_grad),
    FK_ENTRY("lstm_sequence", "own", own_recurrent),
    FK_ENTRY("gru_sequence", "own", own_recurrent),
    FK_ENTRY("simple_rnn_sequence", "own", own_recurrent),
    FK_ENTRY("lstm_sequence_grad", "own", own_recurrent_grad),
    FK_ENTRY("gru_sequence_grad", "own", own_recurrent_grad),
    FK_ENTRY("simple_rnn_sequence_grad", "own", own_recurrent_grad),
    FK_ENTRY("attention", "own", own_attention),
    FK_ENTRY("attention_grad", "own", own_attention_grad),
    FK_ENTRY("adam_update", "own", own_adam),
};

#undef FK_ENTRY

}  // namespace

std::span<const Impl> impls() { return kImpls; }

}  // namespace fk::cpu
