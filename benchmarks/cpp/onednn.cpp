// oneDNN's own rates for the products of kernels.cpp, with its own threads: what ours are compared with.
#include <benchmark/benchmark.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

namespace {

void OnednnMatmul(benchmark::State& state) {
    using Desc = dnnl::memory::desc;
    using Tag = dnnl::memory::format_tag;
    const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
    const auto f32 = dnnl::memory::data_type::f32;
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const Desc a({m, k}, f32, Tag::ab), b({k, n}, f32, Tag::ab), c({m, n}, f32, Tag::ab);
    const dnnl::matmul product(dnnl::matmul::primitive_desc(engine, a, b, c));
    std::vector<float> x(static_cast<size_t>(m * k), 0.5f), y(static_cast<size_t>(k * n), 0.25f), z(static_cast<size_t>(m * n));
    const std::unordered_map<int, dnnl::memory> arguments = {
        {DNNL_ARG_SRC, {a, engine, x.data()}}, {DNNL_ARG_WEIGHTS, {b, engine, y.data()}}, {DNNL_ARG_DST, {c, engine, z.data()}}};
    product.execute(stream, arguments);
    stream.wait();
    for (auto _ : state) {
        product.execute(stream, arguments);
        stream.wait();
    }
    state.counters["flop/s"] =
        benchmark::Counter(2.0 * static_cast<double>(m * k * n), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(OnednnMatmul)
    ->Args({32, 784, 128})
    ->Args({256, 256, 256})
    ->Args({1024, 1024, 1024})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

}  // namespace
