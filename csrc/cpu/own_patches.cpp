// Convolutions as one matrix product over patches: each output position's window of the input becomes a row. This is the quick
// way where the filter is large next to the positions (late layers, single images), since the library would bring the whole
// filter into another layout first, and for strided 1x1 filters, whose patches are rows of the input.
#include <cstring>

#include "cpu/conv_shape.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/matmul_shape.h"
#include "cpu/own_common.h"

namespace fk::cpu {
namespace {

int64_t positions(const ConvShape& s) { return s.batch * s.out_points(); }
int64_t patch(const ConvShape& s) { return s.taps() * s.in_channels; }

std::string refuse(const Graph& g, const Node& node) {
    const auto is_float32 = [](const TensorType& t) { return t.dtype == DType::f32; };
    bool all = current_isa() >= Isa::avx512 && is_float32(node.types[0]);
    for (size_t i = 0; i < node.inputs.size(); ++i) all = all && is_float32(input_type(g, node, i));
    if (!all) return "for float32 with AVX-512 only";
    const ConvShape s = conv_shape(g, node);
    if (s.empty()) return "an empty operand";
    if (s.groups != 1) return "groups";
    // A steady filter is brought into another layout ahead of the runs: what patches then save is fetching it, where it is large.
    const int64_t most = g.steady(node.inputs[1]) ? s.out_channels / 2 : 2 * s.out_channels;
    if (s.taps() > 1 && positions(s) > most) return "patches cost more than another layout of the filter";
    return refuse_ending(g, node);
}

// Calls f(tap, offset of its channels in the input or -1 in the padding) for the window of an output position.
template <class F>
void for_taps(const ConvShape& s, int64_t position, F&& f) {
    const int64_t w = position % s.out[2], h = position / s.out[2] % s.out[1], d = position / (s.out[2] * s.out[1]) % s.out[0],
                  image = position / s.out_points() * s.in_points();
    int64_t tap = 0;
    for (int64_t kd = 0; kd < s.kernel[0]; ++kd)
        for (int64_t kh = 0; kh < s.kernel[1]; ++kh)
            for (int64_t kw = 0; kw < s.kernel[2]; ++kw, ++tap) {
                const int64_t id = d * s.stride[0] - s.low[0] + kd * s.dilation[0],
                              ih = h * s.stride[1] - s.low[1] + kh * s.dilation[1],
                              iw = w * s.stride[2] - s.low[2] + kw * s.dilation[2];
                const bool inside = id >= 0 && id < s.in[0] && ih >= 0 && ih < s.in[1] && iw >= 0 && iw < s.in[2];
                f(tap, inside ? (image + (id * s.in[1] + ih) * s.in[2] + iw) * s.in_channels : -1);
            }
}

void make_patches(const ConvShape& s, const float* x, float* out) {
    const auto bytes = static_cast<size_t>(s.in_channels) * sizeof(float);
    parallel_ranges(positions(s), patch(s), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p)
            for_taps(s, p, [&](int64_t tap, int64_t at) {
                float* to = out + p * patch(s) + tap * s.in_channels;
                if (at < 0)
                    std::memset(to, 0, bytes);
                else
                    std::memcpy(to, x + at, bytes);
            });
    });
}

// The transposed of make_patches: adds each patch to where it came from. Patches of an image overlap, so the team divides the
// images, or the channels of a single one.
void add_patches(const ConvShape& s, const float* patches, float* x) {
    const int64_t parts = s.batch > 1 ? 1 : std::min<int64_t>(max_threads(), std::max<int64_t>(s.in_channels / 16, 1));
    parallel_ranges(s.batch * parts, s.out_points() * patch(s) / parts, [&](int64_t begin, int64_t end) {
        for (int64_t item = begin; item < end; ++item) {
            const int64_t image = item / parts, part = item % parts;
            const int64_t c0 = s.in_channels * part / parts, c1 = s.in_channels * (part + 1) / parts;
            float* to = x + image * s.in_points() * s.in_channels;
            for (int64_t p = 0; p < s.in_points(); ++p) std::fill(to + p * s.in_channels + c0, to + p * s.in_channels + c1, 0.0f);
            for (int64_t p = image * s.out_points(); p < (image + 1) * s.out_points(); ++p)
                for_taps(s, p, [&](int64_t tap, int64_t at) {
                    if (at < 0) return;
                    const float* from = patches + p * patch(s) + tap * s.in_channels;
                    for (int64_t c = c0; c < c1; ++c) x[at + c] += from[c];
                });
        }
    });
}

// A product one of whose operands, or whose result, is the patches: `patches_at` bytes into its scratch.
class PatchKernel final : public Kernel {
  public:
    enum class Role : uint8_t { operand, result };
    PatchKernel(const Graph& g, const Node& node, const ConvShape& s, const MatmulShape& m, Role role)
        : shape_(s), role_(role), inputs_(node.inputs.size()) {
        product_ = make_product(g, node, m, act_of(node), "own:patches");
        patches_at_ = round_up(product_->scratch_bytes());
        prepared = std::exchange(product_->prepared, {});
    }
    void run(const KernelArgs& a) const override {
        auto* patches = reinterpret_cast<float*>(a.scratch + patches_at_);
        const void* in[4] = {};
        std::copy_n(a.in, inputs_, in);
        void* out[1] = {a.out[0]};
        if (role_ == Role::operand) {
            make_patches(shape_, static_cast<const float*>(a.in[0]), patches);
            in[0] = patches;
        } else {
            out[0] = patches;
        }
        product_->run({in, out, a.scratch, a.state, a.errors});
        if (role_ == Role::result) add_patches(shape_, patches, static_cast<float*>(a.out[0]));
    }
    [[nodiscard]] size_t scratch_bytes() const override {
        return patches_at_ + static_cast<size_t>(positions(shape_) * patch(shape_)) * sizeof(float);
    }
    [[nodiscard]] bool may_share(int out, int in) const override {
        return role_ == Role::operand && in > 1 && product_->may_share(out, in);
    }
    [[nodiscard]] std::string describe() const override { return product_->describe(); }

  private:
    ConvShape shape_;
    Role role_;
    size_t inputs_;
    std::unique_ptr<Kernel> product_;
    size_t patches_at_ = 0;
};

}  // namespace

namespace own_patches {
std::string match(const Graph& g, const Node& node) {
    // Adding a tensor is not worth another way to compute the convolution.
    if (node.is("conv_bias_add_act") && own_winograd::match(g, node).empty()) return "Winograd's transforms cost less";
    return refuse(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = conv_shape(g, node);
    const MatmulShape m{.m = positions(s), .n = s.out_channels, .k = patch(s)};
    return std::make_unique<PatchKernel>(g, node, s, m, PatchKernel::Role::operand);
}
}  // namespace own_patches

namespace own_patches_filter_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = conv_shape(g, node);
    const MatmulShape m{.m = patch(s), .n = s.out_channels, .k = positions(s), .transpose_a = true};
    return std::make_unique<PatchKernel>(g, node, s, m, PatchKernel::Role::operand);
}
}  // namespace own_patches_filter_grad

namespace own_patches_input_grad {
std::string match(const Graph& g, const Node& node) { return refuse(g, node); }

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const ConvShape s = conv_shape(g, node);
    const MatmulShape m{.m = positions(s), .n = patch(s), .k = s.out_channels, .transpose_b = true};
    return std::make_unique<PatchKernel>(g, node, s, m, PatchKernel::Role::result);
}
}  // namespace own_patches_input_grad

}  // namespace fk::cpu
