// Single operations: how close each family of kernels comes to the machine's arithmetic or memory rate.
#include <array>

#include "core/config.h"
#include "support.h"

namespace fastkeras::bench {
namespace {

void Matmul(benchmark::State& state) {
    const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
    GraphBuilder g;
    g.output(g.op("matmul", {g.input(DType::float32, {m, k}), g.input(DType::float32, {k, n})}));
    Runner(g).measure(state, 2.0 * static_cast<double>(m * k * n));
}
BENCHMARK(Matmul)
    ->Args({32, 784, 128})
    ->Args({256, 256, 256})
    ->Args({1024, 1024, 1024})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void MatmulBfloat16(benchmark::State& state) {
    const int64_t n = state.range(0);
    GraphBuilder g;
    g.output(g.op("matmul", {g.input(DType::bfloat16, {n, n}), g.input(DType::bfloat16, {n, n})}));
    Runner(g).measure(state, 2.0 * static_cast<double>(n * n * n));
}
BENCHMARK(MatmulBfloat16)->Arg(1024)->Unit(benchmark::kMicrosecond)->UseRealTime();

// 3x3 convolutions over [batch, size, size, channels] with the same number of filters; directly or by Winograd's algorithm in
// tiles of 2x2 or of 4x4.
struct ConvolutionCase {
    int64_t batch, size, channels;
    Attributes attributes = {
        {"strides", Shape{1, 1}}, {"pad_low", Shape{1, 1}}, {"pad_high", Shape{1, 1}}, {"dilations", Shape{1, 1}}};
    explicit ConvolutionCase(const benchmark::State& state)
        : batch(state.range(0)), size(state.range(1)), channels(state.range(2)) {
        fk::config::set("winograd", state.range(3) == 0 ? "never" : state.range(3) == 2 ? "2" : "4");
    }
    ~ConvolutionCase() { fk::config::set("winograd", ""); }
    ConvolutionCase(const ConvolutionCase&) = delete;
    ConvolutionCase& operator=(const ConvolutionCase&) = delete;

    [[nodiscard]] Shape image() const { return {batch, size, size, channels}; }
    [[nodiscard]] Shape filter() const { return {3, 3, channels, channels}; }
    [[nodiscard]] double flops() const { return 2.0 * 9 * static_cast<double>(batch * size * size * channels * channels); }
};
void convolution_cases(benchmark::internal::Benchmark* b) {
    b->ArgNames({"batch", "size", "channels", "winograd"});
    for (const auto& [batch, size, channels] :
         {std::array{16, 32, 32}, {16, 32, 64}, {16, 16, 128}, {16, 8, 256}, {16, 4, 512}, {1, 56, 64}, {1, 14, 256}})
        for (const int winograd : {0, 2, 4}) b->Args({batch, size, channels, winograd});
    b->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void Convolution(benchmark::State& state) {  // with bias and activation
    const ConvolutionCase c(state);
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, c.image()), w = g.input(DType::float32, c.filter());
    g.output(g.op("relu", {g.op("conv", {x, w}, c.attributes) + g.input(DType::float32, {c.channels})}));
    Runner(g).measure(state, c.flops());
}
BENCHMARK(Convolution)->Apply(convolution_cases);

void ConvolutionInputGradient(benchmark::State& state) {
    ConvolutionCase c(state);
    GraphBuilder g;
    const Tensor dy = g.input(DType::float32, c.image()), w = g.input(DType::float32, c.filter());
    c.attributes.emplace_back("input_shape", c.image());
    g.output(g.op("conv_input_grad", {dy, w}, c.attributes));
    Runner(g).measure(state, c.flops());
}
BENCHMARK(ConvolutionInputGradient)->Apply(convolution_cases);

void ConvolutionFilterGradient(benchmark::State& state) {
    ConvolutionCase c(state);
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, c.image()), dy = g.input(DType::float32, c.image());
    c.attributes.emplace_back("filter_shape", c.filter());
    g.output(g.op("conv_filter_grad", {x, dy}, c.attributes));
    Runner(g).measure(state, c.flops());
}
BENCHMARK(ConvolutionFilterGradient)->Apply(convolution_cases);

// Six operations in one loop.
void ElementwiseChain(benchmark::State& state) {
    const int64_t n = state.range(0);
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {n}), y = g.input(DType::float32, {n});
    g.output(g.op("maximum", {(x * y + x) * 0.5 - y, x}) + 1.0);
    Runner(g).measure(state, 6.0 * static_cast<double>(n), 12.0 * static_cast<double>(n));
}
BENCHMARK(ElementwiseChain)->Arg(1000)->Arg(100'000)->Arg(10'000'000)->Unit(benchmark::kMicrosecond)->UseRealTime();

void Transcendental(benchmark::State& state, const char* op) {
    const int64_t n = 100'000;
    GraphBuilder g;
    g.output(g.op(op, {g.input(DType::float32, {n})}));
    Runner(g).measure(state, static_cast<double>(n), 8.0 * static_cast<double>(n));
}
BENCHMARK_CAPTURE(Transcendental, exp, "exp")->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(Transcendental, tanh, "tanh")->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(Transcendental, gelu, "gelu")->Unit(benchmark::kMicrosecond)->UseRealTime();

void Reduce(benchmark::State& state) {
    const int64_t rows = 4096, cols = 512, axis = state.range(0);
    GraphBuilder g;
    g.output(g.op("reduce_sum", {g.input(DType::float32, {rows, cols})}, {{"axes", Shape{axis}}}));
    Runner(g).measure(state, 0, 4.0 * static_cast<double>(rows * cols));
}
BENCHMARK(Reduce)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond)->UseRealTime();

// Loss and gradient of a classifier's last step.
void SoftmaxCrossEntropy(benchmark::State& state) {
    const int64_t batch = state.range(0), classes = state.range(1);
    GraphBuilder g;
    const Tensor logits = g.input(DType::float32, {batch, classes}), labels = g.input(DType::int32, {batch});
    const Tensor loss = g.op("reduce_sum", {g.op("sparse_softmax_cross_entropy", {logits, labels})}, {{"axes", Shape{0}}});
    g.output(loss);
    g.output(*g.gradients({loss}, {logits})[0]);
    Runner(g).measure(state, 0, 8.0 * static_cast<double>(batch * classes));
}
BENCHMARK(SoftmaxCrossEntropy)
    ->Args({32, 10})
    ->Args({256, 1000})
    ->Args({64, 32000})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void LayerNorm(benchmark::State& state) {
    const int64_t rows = state.range(0), cols = state.range(1);
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {rows, cols}), gamma = g.input(DType::float32, {cols}),
                 beta = g.input(DType::float32, {cols});
    g.output(g.op("layer_norm", {x, gamma, beta}, {{"epsilon", 1e-3}}));
    Runner(g).measure(state, 0, 8.0 * static_cast<double>(rows * cols));
}
BENCHMARK(LayerNorm)->Args({1024, 256})->Unit(benchmark::kMicrosecond)->UseRealTime();

// Forward, and backward where asked for, over [batch, size, size, channels].
void BatchNorm(benchmark::State& state) {
    const int64_t batch = state.range(0), size = state.range(1), channels = state.range(2);
    const bool backward = state.range(3) != 0;
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {batch, size, size, channels}), gamma = g.input(DType::float32, {channels}),
                 beta = g.input(DType::float32, {channels});
    const Tensor y = g.op("relu", {g.op_all("batch_norm_train", {x, gamma, beta}, {{"epsilon", 1e-3}})[0]});
    if (backward) {
        const Tensor loss = g.op("reduce_sum", {y * y}, {{"axes", Shape{0, 1, 2, 3}}});
        g.output(*g.gradients({loss}, {x})[0]);
    } else {
        g.output(y);
    }
    Runner(g).measure(state, 0, (backward ? 32.0 : 12.0) * static_cast<double>(batch * size * size * channels));
}
BENCHMARK(BatchNorm)
    ->ArgNames({"batch", "size", "channels", "backward"})
    ->Args({16, 32, 256, 0})
    ->Args({16, 32, 256, 1})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void MaxPool(benchmark::State& state) {
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {128, 26, 26, 32});
    const Attributes half = {
        {"window", Shape{2, 2}}, {"strides", Shape{2, 2}}, {"pad_low", Shape{0, 0}}, {"pad_high", Shape{0, 0}}};
    g.output(g.op("max_pool", {x}, half));
    Runner(g).measure(state, 0, 5.0 * 128 * 26 * 26 * 32);
}
BENCHMARK(MaxPool)->Unit(benchmark::kMicrosecond)->UseRealTime();

// A 1x1 convolution, which is a product over all positions.
void PointwiseConvolution(benchmark::State& state) {
    const int64_t positions = state.range(0), in = state.range(1), out = state.range(2);
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {1, positions, 1, in}), w = g.input(DType::float32, {1, 1, in, out});
    g.output(g.op("conv", {x, w},
                  {{"strides", Shape{1, 1}}, {"pad_low", Shape{0, 0}}, {"pad_high", Shape{0, 0}}, {"dilations", Shape{1, 1}}}));
    Runner(g).measure(state, 2.0 * static_cast<double>(positions * in * out));
}
BENCHMARK(PointwiseConvolution)->Args({16384, 64, 256})->Args({4096, 256, 1024})->Unit(benchmark::kMicrosecond)->UseRealTime();

// Self-attention of `heads` heads with dropout, forward, and backward where asked for.
void Attention(benchmark::State& state) {
    const int64_t batch = state.range(0), length = state.range(1), heads = state.range(2), depth = state.range(3);
    const bool backward = state.range(4) != 0;
    GraphBuilder g;
    std::vector<Tensor> in;
    for (int i = 0; i < 3; ++i) in.push_back(g.input(DType::float32, {batch, length, heads, depth}));
    const std::vector<Tensor> all = {in[0], in[1], in[2], g.constant(1, DType::boolean, {1, 1, 1, 1}),
                                     g.input(DType::uint32, {2})};
    const Tensor y = g.op_all("attention", all, {{"scale", 0.25}, {"rate", 0.1}})[0];
    if (backward) {
        const Tensor loss = g.op("reduce_sum", {y * y}, {{"axes", Shape{0, 1, 2, 3}}});
        for (const auto& gradient : g.gradients({loss}, in)) g.output(*gradient);
    } else {
        g.output(y);
    }
    Runner(g).measure(state, (backward ? 14.0 : 4.0) * static_cast<double>(batch * heads * length * length * depth));
}
BENCHMARK(Attention)
    ->ArgNames({"batch", "length", "heads", "depth", "backward"})
    ->Args({32, 200, 4, 16, 0})
    ->Args({32, 200, 4, 16, 1})
    ->Args({8, 128, 4, 64, 0})
    ->Args({8, 128, 4, 64, 1})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// The recurrent part of an LSTM over a whole sequence; what its inputs contribute is a product of its own.
void LstmSequence(benchmark::State& state) {
    const int64_t batch = state.range(0), steps = state.range(1), units = state.range(2);
    GraphBuilder g;
    g.output(g.op_all("lstm_sequence", {g.input(DType::float32, {batch, steps, 4 * units}),
                                        g.input(DType::float32, {units, 4 * units}), g.input(DType::float32, {4 * units}),
                                        g.input(DType::float32, {batch, units}), g.input(DType::float32, {batch, units})})[0]);
    Runner(g).measure(state, 8.0 * static_cast<double>(batch * steps * units * units));
}
BENCHMARK(LstmSequence)->Args({32, 200, 64})->Args({16, 50, 512})->Unit(benchmark::kMicrosecond)->UseRealTime();

void EmbeddingLookup(benchmark::State& state) {
    GraphBuilder g;
    const Tensor table = g.input(DType::float32, {20000, 64}), ids = g.input(DType::int32, {state.range(0)});
    g.output(g.op("gather", {table, ids}, {{"axis", 0}}));
    Runner(g).measure(state, 0, 8.0 * 64 * static_cast<double>(state.range(0)));
}
BENCHMARK(EmbeddingLookup)->Arg(256)->Arg(16384)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace fastkeras::bench
