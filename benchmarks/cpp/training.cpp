// Whole training steps: forward, backward and update in one program.
#include "support.h"

namespace fastkeras::bench {
namespace {

struct Layer {
    Tensor weights, bias;
};

Layer dense(GraphBuilder& g, int64_t in, int64_t out) {
    return {g.input(DType::float32, {in, out}), g.input(DType::float32, {out})};
}
Tensor apply(GraphBuilder& g, const Layer& layer, Tensor x) { return g.op("matmul", {x, layer.weights}) + layer.bias; }

// Adam with the slots as inputs of their own; the rate is an input too, as a schedule would give it.
void adam(GraphBuilder& g, Tensor variable, Tensor gradient, Tensor rate) {
    const Tensor m = g.input(DType::float32, variable.shape()), v = g.input(DType::float32, variable.shape());
    const auto updated =
        g.op_all("adam_update", {variable, m, v, gradient, rate}, {{"rate_1", 0.1}, {"rate_2", 0.001}, {"epsilon", 1e-7}});
    const Tensor old[] = {variable, m, v};
    for (size_t i = 0; i < 3; ++i) g.update(old[i], updated[i]);
}

// 784 -> 128 -> 10 with softmax cross-entropy, the "hello world" of training.
void MlpTrainStep(benchmark::State& state) {
    const int64_t batch = state.range(0);
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {batch, 784}), labels = g.input(DType::int32, {batch}),
                 rate = g.input(DType::float32, {});
    const Layer first = dense(g, 784, 128), second = dense(g, 128, 10);
    g.label("first");
    const Tensor hidden = g.op("relu", {apply(g, first, x)});
    g.label("second");
    const Tensor losses = g.op("sparse_softmax_cross_entropy", {apply(g, second, hidden), labels});
    const Tensor loss = g.op("reduce_sum", {losses}, {{"axes", Shape{0}}}) / static_cast<double>(batch);
    const std::vector<Tensor> variables = {first.weights, first.bias, second.weights, second.bias};
    const auto gradients = g.gradients({loss}, variables);
    g.label("adam");
    for (size_t i = 0; i < variables.size(); ++i) adam(g, variables[i], *gradients[i], rate);
    g.output(loss);
    Runner(g, "mlp_train_step").measure(state, 6.0 * static_cast<double>(batch) * (784 * 128 + 128 * 10));
}
BENCHMARK(MlpTrainStep)->Arg(32)->Arg(256)->Unit(benchmark::kMicrosecond)->UseRealTime();

void MlpPredict(benchmark::State& state) {
    const int64_t batch = state.range(0);
    GraphBuilder g;
    const Tensor x = g.input(DType::float32, {batch, 784});
    const Layer first = dense(g, 784, 128), second = dense(g, 128, 10);
    g.output(g.op("softmax", {apply(g, second, g.op("relu", {apply(g, first, x)}))}));
    Runner(g, "mlp_predict").measure(state, 2.0 * static_cast<double>(batch) * (784 * 128 + 128 * 10));
}
BENCHMARK(MlpPredict)->Arg(1)->Arg(32)->Unit(benchmark::kMicrosecond)->UseRealTime();

void AdamUpdate(benchmark::State& state) {
    GraphBuilder g;
    const Tensor rate = g.input(DType::float32, {}), w = g.input(DType::float32, {state.range(0)}),
                 gradient = g.input(DType::float32, {state.range(0)});
    adam(g, w, gradient, rate);
    Runner(g, "adam").measure(state, 0, 7.0 * 4 * static_cast<double>(state.range(0)));
}
BENCHMARK(AdamUpdate)->Arg(1000)->Arg(100'000)->Arg(4'000'000)->Unit(benchmark::kMicrosecond)->UseRealTime();

// What a model costs before its first step: passes, kernel choice, planning.
void CompileMlp(benchmark::State& state) {
    const int64_t layers = state.range(0);
    GraphBuilder g;
    Tensor x = g.input(DType::float32, {32, 64});
    std::vector<Tensor> variables;
    for (int64_t i = 0; i < layers; ++i) {
        const Layer layer = dense(g, 64, 64);
        variables.insert(variables.end(), {layer.weights, layer.bias});
        x = g.op("relu", {apply(g, layer, x)});
    }
    const Tensor rate = g.input(DType::float32, {}), loss = g.op("reduce_sum", {x}, {{"axes", Shape{0, 1}}});
    const auto gradients = g.gradients({loss}, variables);
    for (size_t i = 0; i < variables.size(); ++i) adam(g, variables[i], *gradients[i], rate);
    for (auto _ : state) benchmark::DoNotOptimize(g.compile());
}
BENCHMARK(CompileMlp)->Arg(2)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fastkeras::bench
