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

void check(dnnl_status_t status, const char* what) {
    check_internal(status == dnnl_success, "oneDNN: ", what, " failed with status ", static_cast<int>(status));
}

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

TeamSize::TeamSize(int threads) : before_(omp_get_max_threads()) {
    if (threads != before_) omp_set_num_threads(threads);
}
TeamSize::~TeamSize() { omp_set_num_threads(before_); }

int team_for(int64_t multiply_adds) { return multiply_adds < 256 * 1024 || !may_fork() ? 1 : max_threads(); }

OnednnKernel::OnednnKernel(std::string text, std::vector<Step> steps, size_t scratch, int threads)
    : text_(std::move(text)), engine_(onednn_engine()), steps_(std::move(steps)), scratch_(scratch), threads_(threads) {}

std::unique_ptr<KernelState> OnednnKernel::make_state() const {
    auto state = std::make_unique<OnednnState>();
    for (const Step& step : steps_)
        for (const Binding& b : step.bindings) {
            state->bound.push_back({dnnl::memory(b.desc, engine_, DNNL_MEMORY_NONE)});
            state->args.push_back({b.arg, state->bound.back().memory.get()});
        }
    return state;
}

void OnednnKernel::run(const KernelArgs& args) const {
    if (threads_ > 1 && !may_fork()) {
        args.errors->report(
            concat(text_, " was compiled for ", threads_,
                   " threads, which do not exist here (a process forked after they started). Start it with 'spawn', or set "
                   "FASTKERAS_NUM_THREADS=1"));
        return;
    }
    auto& state = static_cast<OnednnState&>(*args.state);
    const TeamSize team(threads_);
    size_t i = 0;
    for (const Step& step : steps_) {
        const size_t first = i;
        for (const Binding& b : step.bindings) {
            const void* address = b.place == Place::input    ? args.in[b.at]
                                  : b.place == Place::output ? args.out[b.at]
                                                             : args.scratch + b.at;
            OnednnState::Bound& bound = state.bound[i++];
            if (bound.address == address) continue;
            // The library takes non-const addresses for inputs as well; it does not write to those.
            check(dnnl_memory_set_data_handle(bound.memory.get(), const_cast<void*>(address)), "setting an address");
            bound.address = address;
        }
        check(
            dnnl_primitive_execute(step.primitive.get(), thread_stream(), static_cast<int>(i - first), state.args.data() + first),
            text_.c_str());
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

void StepBuilder::add(const dnnl::primitive& primitive, const dnnl::primitive_desc_base& pd, std::vector<Binding> bindings) {
    const dnnl::memory::desc scratchpad = pd.scratchpad_desc();
    if (scratchpad.get_size() != 0) bindings.push_back({DNNL_ARG_SCRATCHPAD, scratchpad, Place::scratch, reserve(scratchpad)});
    steps_.push_back({primitive, std::move(bindings)});
}

void StepBuilder::reorder(const Binding& from, const Binding& to) {
    const dnnl::reorder::primitive_desc pd(onednn_engine(), from.desc, onednn_engine(), to.desc, attributes());
    add(dnnl::reorder(pd), pd, {{DNNL_ARG_FROM, from.desc, from.place, from.at}, {DNNL_ARG_TO, to.desc, to.place, to.at}});
}

std::unique_ptr<Kernel> StepBuilder::finish(std::string text) {
    return std::make_unique<OnednnKernel>(std::move(text), std::move(steps_), scratch_, threads_);
}

}  // namespace fk::cpu
