// Runs one op through every CPU implementation that accepts it, on buffers of exactly the right size (so that the
// address sanitizer sees any stray access), and reads results back as doubles.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "cpu/cpu.h"
#include "cpu/kernels/own_types.h"
#include "host_device.h"
#include "ops/op_def.h"
#include "runtime/kernel.h"

namespace fk::test {

struct AlignedBuffer {
    explicit AlignedBuffer(size_t bytes)
        : size(bytes), data(static_cast<std::byte*>(::operator new(bytes ? bytes : 1, std::align_val_t{64}))) {}
    AlignedBuffer(AlignedBuffer&& o) noexcept : size(o.size), data(std::exchange(o.data, nullptr)) {}
    AlignedBuffer(const AlignedBuffer& o) : AlignedBuffer(o.size) { std::memcpy(data, o.data, size); }
    AlignedBuffer& operator=(AlignedBuffer o) noexcept {
        std::swap(size, o.size);
        std::swap(data, o.data);
        return *this;
    }
    ~AlignedBuffer() { ::operator delete(data, std::align_val_t{64}); }
    size_t size;
    std::byte* data;
};

template <class F>
void visit_dtype(DType t, F&& f) {
    switch (t) {
        case DType::boolean:
        case DType::u8:
            return f(uint8_t{});
        case DType::i8:
            return f(int8_t{});
        case DType::i16:
            return f(int16_t{});
        case DType::u16:
            return f(uint16_t{});
        case DType::i32:
            return f(int32_t{});
        case DType::u32:
            return f(uint32_t{});
        case DType::i64:
            return f(int64_t{});
        case DType::u64:
            return f(uint64_t{});
        case DType::f16:
            return f(cpu::F16{});
        case DType::bf16:
            return f(cpu::Bf16{});
        case DType::f32:
            return f(float{});
        case DType::f64:
            return f(double{});
    }
}

struct Array {
    TensorType type;
    AlignedBuffer buffer;

    explicit Array(TensorType t) : type(std::move(t)), buffer(type.bytes()) { std::memset(buffer.data, 0xCD, buffer.size); }
    Array(DType t, Dims dims, const std::vector<double>& values) : Array(TensorType{t, std::move(dims)}) {
        REQUIRE(static_cast<int64_t>(values.size()) == type.size());
        visit_dtype(t, [&](auto tag) {
            using T = decltype(tag);
            for (size_t i = 0; i < values.size(); ++i)
                reinterpret_cast<T*>(buffer.data)[i] = cpu::narrow<T>(static_cast<cpu::Compute<T>>(values[i]));
        });
    }
    [[nodiscard]] std::vector<double> values() const {
        std::vector<double> out(static_cast<size_t>(type.size()));
        visit_dtype(type.dtype, [&](auto tag) {
            using T = decltype(tag);
            for (size_t i = 0; i < out.size(); ++i)
                out[i] = static_cast<double>(cpu::widen(reinterpret_cast<const T*>(buffer.data)[i]));
        });
        return out;
    }
};

// Values that 16-bit floats hold exactly, so that only the arithmetic of a kernel is measured.
inline std::vector<double> random_values(int64_t n, uint32_t seed, double scale = 1) {
    std::mt19937 rng(seed);
    std::uniform_int_distribution<int> d(-64, 64);
    std::vector<double> v(static_cast<size_t>(n));
    for (double& x : v) x = scale * d(rng) / 64;
    return v;
}
inline std::vector<double> random_indices(int64_t n, int64_t low, int64_t high, uint32_t seed) {
    std::mt19937 rng(seed);
    std::uniform_int_distribution<int64_t> d(low, high - 1);
    std::vector<double> v(static_cast<size_t>(n));
    for (double& x : v) x = static_cast<double>(d(rng));
    return v;
}
inline Array random_array(DType t, Dims dims, uint32_t seed, double scale = 1) {
    const int64_t n = product(dims);
    return {t, std::move(dims), random_values(n, seed, scale)};
}

struct Result {
    std::string impl, described;
    std::vector<Array> out;
    std::string error;  // what the run reported
};

inline std::vector<Array> run_kernel(const Kernel& kernel, const Node& node, std::vector<Array> in, int shared,
                                     std::string& error) {
    std::vector<Array> out;
    for (const TensorType& t : node.types) out.emplace_back(t);
    std::vector<const void*> in_data;
    std::vector<void*> out_data;
    for (const Array& a : in) in_data.push_back(a.buffer.data);
    for (Array& a : out) out_data.push_back(a.buffer.data);
    if (shared >= 0) out_data[0] = in[static_cast<size_t>(shared)].buffer.data;
    AlignedBuffer scratch(kernel.scratch_bytes());
    const std::unique_ptr<KernelState> state = kernel.make_state();
    RunErrors errors;
    for (int repeat = 0; repeat < (shared >= 0 ? 1 : 2); ++repeat)
        kernel.run({in_data.data(), out_data.data(), scratch.data, state.get(), &errors});
    if (kernel.checks()) kernel.check(errors);
    if (errors.failed()) error = errors.take();
    if (shared >= 0) std::memcpy(out[0].buffer.data, out_data[0], out[0].buffer.size);
    return out;
}

// Every implementation that takes the node, of the CPU and of the GPU (whose kernels the host runs); a kernel that may work in
// place is run both ways and must agree.
inline std::vector<Result> run_all(std::string_view op, const std::vector<Array>& in, const Attrs& attrs = {}) {
    Graph g;
    std::vector<Value> inputs;
    for (const Array& a : in) inputs.push_back(g.add_parameter(a.type));
    const uint32_t id = g.add(get_op(op), inputs, attrs);
    const Node& node = g.node(id);
    std::vector<Result> results;
    static const fake_cuda::HostDevice gpu;
    for (const Device* device : {&cpu_device(), static_cast<const Device*>(&gpu)})
        for (const Impl& impl : device->impls()) {
            if (impl.op != op || !impl.match(g, node).empty()) continue;
            const std::unique_ptr<Kernel> kernel = impl.make(g, node);
            if (!kernel) continue;
            Kernel* const all[] = {kernel.get()};
            device->finish(all);
            Result r{std::string(impl.name), kernel->describe(), {}, {}};
            r.out = run_kernel(*kernel, node, in, -1, r.error);
            for (int shared = 0; shared < static_cast<int>(in.size()); ++shared) {
                if (!kernel->may_share(0, shared)) continue;
                REQUIRE(in[static_cast<size_t>(shared)].type == node.types[0]);
                std::string error;
                const std::vector<Array> again = run_kernel(*kernel, node, in, shared, error);
                CHECK(std::memcmp(again[0].buffer.data, r.out[0].buffer.data, r.out[0].buffer.size) == 0);
            }
            results.push_back(std::move(r));
        }
    INFO("op " << std::string(op));
    REQUIRE(!results.empty());
    return results;
}

// Largest difference relative to 1 + |expected|; NaN matches NaN.
inline double worst(const std::vector<double>& got, const std::vector<double>& expected) {
    REQUIRE(got.size() == expected.size());
    double w = 0;
    for (size_t i = 0; i < got.size(); ++i) {
        if (std::isnan(got[i]) && std::isnan(expected[i])) continue;
        if (got[i] == expected[i]) continue;
        const double e = std::fabs(got[i] - expected[i]) / (1 + std::fabs(expected[i]));
        w = std::isnan(e) ? INFINITY : std::max(w, e);
    }
    return w;
}

inline double tolerance(DType t) {
    return t == DType::f64 ? 1e-11 : t == DType::f32 ? 2e-5 : t == DType::f16 ? 2e-3 : t == DType::bf16 ? 1.2e-2 : 0;
}

inline void check_all(std::string_view op, const std::vector<Array>& in, const Attrs& attrs,
                      const std::vector<std::vector<double>>& expected, double slack = 1) {
    for (const Result& r : run_all(op, in, attrs)) {
        CAPTURE(op);
        CAPTURE(r.described);
        CAPTURE(to_string(in[0].type));
        CHECK(r.error == "");
        REQUIRE(r.out.size() == expected.size());
        for (size_t i = 0; i < expected.size(); ++i) {
            CAPTURE(i);
            CHECK(worst(r.out[i].values(), expected[i]) <= slack * tolerance(r.out[i].type.dtype));
        }
    }
}

}  // namespace fk::test
