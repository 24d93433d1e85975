// The GPU's ordered preference list: for each op, the first entry whose `match` is content and whose `make` succeeds. Ops with a
// body that no entry claims are decomposed and fused; the others need an entry here.
#include "cuda/impls.h"

#include "codegen/emit_cuda.h"
#include "runtime/control_kernels.h"

namespace fk::cuda {

namespace {

#define FK_ENTRY(op, family) \
    Impl { op, #family, family::match, family::make }

const Impl kImpls[] = {
    FK_ENTRY("matmul", any_matmul),
    FK_ENTRY("class_probability", any_class_probability),
    FK_ENTRY("gather", any_gather),
    FK_ENTRY("take_along_axis", any_take_along_axis),
    FK_ENTRY("first_of_equal", any_first_of_equal),
    FK_ENTRY("scatter_add", any_scatter_add),
    FK_ENTRY("scatter_add_along_axis", any_scatter_add_along_axis),
    FK_ENTRY("scatter_set", any_scatter_set),
    FK_ENTRY("argmax", any_arg_extreme),
    FK_ENTRY("argmin", any_arg_extreme),
    FK_ENTRY("cumprod", any_cumulative),
    FK_ENTRY("cumsum", any_cumulative),
    FK_ENTRY("argsort", any_sort),
    FK_ENTRY("sort", any_sort),
    FK_ENTRY("top_k", any_sort),
    FK_ENTRY("concatenate", any_concatenate),
    FK_ENTRY("pad", any_pad),
    FK_ENTRY("reverse", any_reverse),
    FK_ENTRY("slice", any_slice),
    FK_ENTRY("transpose", any_transpose),
    Impl{"switch", "plans", any_control, make_switch},
    Impl{"scan", "plans", any_control, make_scan},
    Impl{"while", "plans", any_control, make_while},
    FK_ENTRY("conv", any_conv),
    FK_ENTRY("conv_filter_grad", any_conv_filter_grad),
    FK_ENTRY("conv_input_grad", any_conv_input_grad),
    FK_ENTRY("max_pool", any_pool),
    FK_ENTRY("avg_pool", any_pool),
    FK_ENTRY("max_pool_grad", any_pool_grad),
    FK_ENTRY("avg_pool_grad", any_pool_grad),
    FK_ENTRY("max_pool_select", any_pool_select),
};

#undef FK_ENTRY

}  // namespace

std::span<const Impl> impls() { return kImpls; }

std::unique_ptr<Kernel> compile_region(const Region& region) {
    if (product(region.space) != 0) return std::make_unique<ProgramKernel>(emit_cuda(region));
    // Constants over what is kept, for the reduced outputs only: the others are empty.
    Region fill;
    for (size_t d = 0; d < region.space.size(); ++d)
        if (!region.reduced[d]) fill.space.push_back(region.space[d]);
    fill.reduced.assign(fill.space.size(), false);
    std::vector<size_t> outputs;
    for (size_t o = 0; o < region.outputs.size(); ++o) {
        const RegionOutput& out = region.outputs[o];
        if (!out.reduced || product(fill.space) == 0) continue;
        const int one = out.kind == ReduceKind::prod ? 1 : 0;
        fill.code.push_back({.op = RegionOp::constant, .dtype = out.dtype, .imm = static_cast<double>(one), .int_imm = one});
        fill.outputs.push_back({.dtype = out.dtype, .src = static_cast<int32_t>(fill.code.size()) - 1});
        outputs.push_back(o);
    }
    Program program;
    if (!outputs.empty()) program = emit_cuda(fill);
    for (Launch& l : program.launches)
        for (Argument& a : l.arguments)
            if (a.kind == Argument::Kind::output) a.at = outputs[a.at];
    program.inputs = region.inputs.size();
    program.shares.assign(region.outputs.size() * region.inputs.size(), false);
    program.text = "cuda:identity";
    return std::make_unique<ProgramKernel>(std::move(program));
}

// The widest elements that divide the bytes.
std::unique_ptr<Kernel> copy_kernel(size_t bytes) {
    Region region;
    const DType type = bytes % 8 == 0 ? DType::u64 : bytes % 4 == 0 ? DType::u32 : bytes % 2 == 0 ? DType::u16 : DType::u8;
    region.space = {static_cast<int64_t>(bytes / size_of(type))};
    region.reduced = {false};
    region.inputs.push_back({.dtype = type, .strides = {1}});
    region.code.push_back({.op = RegionOp::load, .dtype = type, .index = 0});
    region.outputs.push_back({.dtype = type, .src = 0});
    Program program = emit_cuda(region);
    program.text = "cuda:copy";
    return std::make_unique<ProgramKernel>(std::move(program));
}

}  // namespace fk::cuda
