// Binding, execution and scratch layout of oneDNN kernels.
#include "cpu/onednn_common.h"

#include <omp.h>

#include <cstdlib>

namespace fk::cpu {
namespace {

dnnl_stream_t thread_stream() {
    thread_local const dnnl::stream stream(onednn_engine());
    return stream.get();
}

struct OnednnState final : KernelState {
    struct Bound {
        dnnl::memory memory;
        const void* address = nullptr;
    };
    std::vector<Bound> bound;           // every binding of every step, in order
    std::vector<dnnl_exec_arg_t> args;  // the same
};

}  // namespace

const dnnl::engine& onednn_engine() {
    // oneDNN keeps 1024 primitives with their generated code, up to 100 MB when shapes vary. Plans hold their own; what
    // remains to gain is a model built a second time.
    static const dnnl::engine engine = [] {
        if (std::getenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY") == nullptr) dnnl::set_primitive_cache_capacity(128);
        return dnnl::engine(dnnl::engine::kind::cpu, 0);
    }();
    return engine;
}

std::optional<dnnl::memory::data_type> onednn_type(DType t) {
    switch (t) {
        case DType::f32:
            return dnnl::memory::data_type::f32;
        case DType::bf16:
            return dnnl::memory::data_type::bf16;
        case DType::f16:
            return dnnl::memory::data_type::f16;
        default:
            return std::nullopt;
    }
}

dnnl::memory::desc strided_desc(const Dims& dims, DType t, const Dims& strides) {
    return {dims, onednn_type(t).value(), strides};
}

SingleThread::SingleThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
}
SingleThread::~SingleThread() {
    if (before_ != 1) omp_set_num_threads(before_);
}

int parts_for(int64_t multiply_adds) { return multiply_adds < 256 * 1024 ? 1 : max_threads(); }

OnednnKernel::OnednnKernel(std::string text, std::vector<Stage> stages, size_t scratch)
    : text_(std::move(text)), engine_(onednn_engine()), stages_(std::move(stages)), scratch_(scratch) {
    size_t bindings = 0;
    for (const Stage& stage : stages_) {
        std::vector<size_t>& first = first_.emplace_back();
        for (const std::vector<Step>& part : stage) {
            first.push_back(bindings);
            for (const Step& step : part) bindings += step.bindings.size();
        }
    }
}

std::unique_ptr<KernelState> OnednnKernel::make_state() const {
    auto state = std::make_unique<OnednnState>();
    for (const Stage& stage : stages_)
        for (const std::vector<Step>& part : stage)
            for (const Step& step : part)
                for (const Binding& b : step.bindings) {
                    state->bound.push_back({dnnl::memory(b.desc, engine_, DNNL_MEMORY_NONE)});
                    state->args.push_back({b.arg, state->bound.back().memory.get()});
                }
    return state;
}

void OnednnKernel::run(const KernelArgs& args) const {
    for (size_t s = 0; s < stages_.size(); ++s) {
        const Stage& stage = stages_[s];
        parallel(static_cast<int>(stage.size()), [&](int thread, int threads) {
            const SingleThread single;
            const Slice mine = slice_of(static_cast<int64_t>(stage.size()), thread, threads);
            for (auto p = static_cast<size_t>(mine.begin); p < static_cast<size_t>(mine.end); ++p)
                run_part(args, first_[s][p], stage[p]);
        });
    }
}

void OnednnKernel::run_part(const KernelArgs& args, size_t first, const std::vector<Step>& steps) const {
    auto& state = static_cast<OnednnState&>(*args.state);
    size_t i = first;
    for (const Step& step : steps) {
        const size_t begin = i;
        for (const Binding& b : step.bindings) {
            const void* base = b.place == Place::input    ? args.in[b.at]
                               : b.place == Place::output ? args.out[b.at]
                                                          : args.scratch + b.at;
            const void* address = static_cast<const std::byte*>(base) + b.offset;
            OnednnState::Bound& bound = state.bound[i++];
            if (bound.address == address) continue;
            // The library takes non-const addresses for inputs as well; it does not write to those.
            dnnl_memory_set_data_handle(bound.memory.get(), const_cast<void*>(address));
            bound.address = address;
        }
        const dnnl_status_t status =
            dnnl_primitive_execute(step.primitive.get(), thread_stream(), static_cast<int>(i - begin), state.args.data() + begin);
        if (status != dnnl_success)  // no exception may leave a part
            args.errors->report(
                concat("internal error (please report): oneDNN: ", text_, " failed with status ", static_cast<int>(status)));
    }
}

dnnl::primitive_attr StepBuilder::attributes(Act act) {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    using dnnl::algorithm;
    dnnl::post_ops ops;
    switch (act) {
        case Act::none:
            return attr;
        case Act::relu:
            ops.append_eltwise(algorithm::eltwise_relu, 0, 0);
            break;
        case Act::relu6:
            ops.append_eltwise(algorithm::eltwise_clip, 0, 6);
            break;
        case Act::sigmoid:
            ops.append_eltwise(algorithm::eltwise_logistic, 0, 0);
            break;
        case Act::tanh:
            ops.append_eltwise(algorithm::eltwise_tanh, 0, 0);
            break;
        case Act::silu:
            ops.append_eltwise(algorithm::eltwise_swish, 1, 0);
            break;
        case Act::gelu:
            ops.append_eltwise(algorithm::eltwise_gelu_erf, 0, 0);
            break;
        case Act::elu:
            ops.append_eltwise(algorithm::eltwise_elu, 1, 0);
            break;
    }
    attr.set_post_ops(ops);
    return attr;
}

size_t StepBuilder::reserve(const dnnl::memory::desc& desc) {
    const size_t at = scratch_;
    scratch_ += round_up(desc.get_size());
    return at;
}

void StepBuilder::add(const dnnl::primitive& primitive, const dnnl::primitive_desc_base& pd, std::vector<Binding> bindings,
                      size_t part) {
    const dnnl::memory::desc scratchpad = pd.scratchpad_desc();
    if (scratchpad.get_size() != 0) bindings.push_back({DNNL_ARG_SCRATCHPAD, scratchpad, Place::scratch, reserve(scratchpad)});
    Stage& stage = stages_.back();
    if (stage.size() <= part) stage.resize(part + 1);
    stage[part].push_back({primitive, std::move(bindings)});
}

void StepBuilder::reorder(const Binding& from, const Binding& to, bool add_to) {
    dnnl::primitive_attr attr = attributes();
    if (add_to) {
        dnnl::post_ops ops;
        ops.append_sum();
        attr.set_post_ops(ops);
    }
    const dnnl::reorder::primitive_desc pd(onednn_engine(), from.desc, onednn_engine(), to.desc, attr);
    Binding source = from, target = to;
    source.arg = DNNL_ARG_FROM;
    target.arg = DNNL_ARG_TO;
    add(dnnl::reorder(pd), pd, {source, target});
}

void StepBuilder::prepare(int input, const dnnl::memory::desc& from, const dnnl::memory::desc& to) {
    StepBuilder steps;
    steps.reorder({DNNL_ARG_FROM, from, Place::input, 0}, {DNNL_ARG_TO, to, Place::output, 0});
    prepared_.push_back({input, to.get_size(), steps.finish("onednn:reorder")});
}

std::unique_ptr<Kernel> StepBuilder::finish(std::string text) {
    for (const Stage& stage : stages_)
        if (stage.size() > 1) text += concat(", ", stage.size(), " parts");
    std::erase_if(stages_, [](const Stage& s) { return s.size() == 1 && s[0].empty(); });
    auto kernel = std::make_unique<OnednnKernel>(std::move(text), std::move(stages_), scratch_);
    kernel->prepared = std::move(prepared_);
    return kernel;
}

}  // namespace fk::cpu
