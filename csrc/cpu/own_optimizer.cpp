// Adam in one pass over a variable, its slots and its gradient; all three results may overwrite what they replace.
#include "cpu/impls.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/own_common.h"

namespace fk::cpu::own_adam {
namespace {

// A square root and a division weigh as much as this many plain element operations.
constexpr int64_t kWork = 8;

class AdamKernel final : public Kernel {
  public:
    AdamKernel(int64_t n, AdamRates rates) : n_(n), rates_(rates) {}
    void run(const KernelArgs& a) const override {
        AdamRates rates = rates_;
        rates.step_size = *static_cast<const float*>(a.in[4]);
        parallel_ranges(n_, kWork, [&](int64_t begin, int64_t end) {
            const auto in = [&](size_t i) { return static_cast<const float*>(a.in[i]) + begin; };
            const auto out = [&](size_t i) { return static_cast<float*>(a.out[i]) + begin; };
            own_kernels().adam(rates, end - begin, {in(0), in(1), in(2), in(3)}, {out(0), out(1), out(2)});
        });
    }
    [[nodiscard]] bool may_share(int out, int in) const override { return out == in; }
    [[nodiscard]] std::string describe() const override { return "own:adam"; }

  private:
    int64_t n_;
    AdamRates rates_;
};

}  // namespace

std::string match(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    return t == DType::f32 ? "" : concat("only float32, not ", name(t));
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const auto attr = [&](std::string_view key) { return static_cast<float>(node.float_attr(key)); };
    return std::make_unique<AdamKernel>(input_type(g, node, 0).size(),
                                        AdamRates{attr("rate_1"), attr("rate_2"), attr("epsilon"), 0.0f});
}

}  // namespace fk::cpu::own_adam
