// The CPU as a Device: hands out what the other files of this directory make.
#include "runtime/device.h"

#include <bit>
#include <cstring>
#include <vector>

#include "core/config.h"
#include "core/errors.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/threads.h"

namespace fk {
namespace {

class CopyKernel final : public Kernel {
  public:
    explicit CopyKernel(size_t bytes) : bytes_(bytes) {}
    void run(const KernelArgs& args) const override {
        if (args.in[0] != args.out[0]) std::memcpy(args.out[0], args.in[0], bytes_);
    }
    [[nodiscard]] bool may_share(int, int) const override { return true; }
    [[nodiscard]] std::string describe() const override { return "copy"; }

  private:
    size_t bytes_;
};

// A reduction over no elements leaves its identity: 0 for a sum, 1 for a product.
class EmptyReduction final : public Kernel {
  public:
    explicit EmptyReduction(const Region& region) {
        int64_t kept = 1;
        for (size_t d = 0; d < region.space.size(); ++d)
            if (!region.reduced[d]) kept *= region.space[d];
        for (const RegionOutput& o : region.outputs)
            fills_.push_back(
                {one_of(o.dtype), size_of(o.dtype), o.reduced ? static_cast<size_t>(kept) * size_of(o.dtype) : 0, o.kind});
    }
    void run(const KernelArgs& args) const override {
        for (size_t i = 0; i < fills_.size(); ++i) {
            const Fill& f = fills_[i];
            auto* out = static_cast<std::byte*>(args.out[i]);
            if (f.kind != ReduceKind::prod)
                std::memset(out, 0, f.bytes);
            else
                for (size_t at = 0; at < f.bytes; at += f.size) std::memcpy(out + at, &f.one, f.size);
        }
    }
    [[nodiscard]] std::string describe() const override { return "identity"; }

  private:
    // The bits of 1, low byte first.
    static uint64_t one_of(DType t) {
        switch (t) {
            case DType::f16:
                return 0x3C00;
            case DType::bf16:
                return 0x3F80;
            case DType::f32:
                return std::bit_cast<uint32_t>(1.0f);
            case DType::f64:
                return std::bit_cast<uint64_t>(1.0);
            default:
                return 1;
        }
    }
    struct Fill {
        uint64_t one;
        size_t size, bytes;
        ReduceKind kind;
    };
    std::vector<Fill> fills_;
};

class CpuDevice final : public Device {
  public:
    [[nodiscard]] std::string_view name() const override { return "cpu:0"; }
    void configure() const override {
        const int64_t threads = config::integer(config::Key::num_threads);
        if (threads > 0) cpu::set_max_threads(static_cast<int>(threads));
        const std::string isa = config::text(config::Key::max_isa);
        if (!isa.empty() && !cpu::set_max_isa(isa))
            fail<UserError>("FASTKERAS_MAX_ISA is '", isa, "'; expected portable, avx2, avx512 or avx512_bf16");
        const std::string products = config::text(config::Key::bfloat_products);
        if (!cpu::set_bf16_products(products))
            fail<UserError>("FASTKERAS_BFLOAT_PRODUCTS is '", products, "'; expected bfloat16 or float32");
        const std::string winograd = config::text(config::Key::winograd);
        if (!cpu::set_winograd(winograd))
            fail<UserError>("FASTKERAS_WINOGRAD is '", winograd, "'; expected never, always, 2 or 4");
    }
    [[nodiscard]] std::span<const Impl> impls() const override { return cpu::impls(); }
    [[nodiscard]] std::unique_ptr<Kernel> compile_region(const Region& region) const override {
        if (product(region.space) == 0) return std::make_unique<EmptyReduction>(region);
        return cpu::compile_region(region);
    }
    [[nodiscard]] std::unique_ptr<Kernel> copy(size_t bytes) const override { return std::make_unique<CopyKernel>(bytes); }
};

}  // namespace

const Device& cpu_device() {
    static const CpuDevice device;
    return device;
}

}  // namespace fk
