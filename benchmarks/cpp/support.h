// A compiled program with memory for its inputs and outputs, and the loop that times it.
#pragma once

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>

#include "fastkeras/fastkeras.h"

namespace fastkeras::bench {

// Updated inputs share their memory with the outputs that update them, as in training.
class Runner {
  public:
    explicit Runner(const GraphBuilder& graph, std::string_view name = "program") : program_(graph.compile(name)) {
        for (const TensorType& t : program_.inputs()) inputs_.push_back(filled(t));
        for (size_t i = 0; i < program_.outputs().size(); ++i)
            if (!program_.updates(i)) outputs_.emplace_back(program_.outputs()[i]);
        for (Array& a : inputs_) in_.push_back(a.data());
        for (size_t i = 0, own = 0; i < program_.outputs().size(); ++i)
            out_.push_back(program_.updates(i) ? inputs_[*program_.updates(i)].data() : outputs_[own++].data());
    }

    void run() { program_.run(in_, out_); }

    // Times runs; `flops` and `bytes` per run become rates.
    void measure(benchmark::State& state, double flops = 0, double bytes = 0) {
        run();  // first use of memory and of the thread team
        for (auto _ : state) run();
        if (flops > 0) state.counters["flop/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
        if (bytes > 0) state.counters["byte/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
        state.counters["kernels"] = static_cast<double>(program_.kernels());
    }

  private:
    // Floats in (-1, 1); integers are zero, an index that is always valid.
    static Array filled(const TensorType& t) {
        Array a(t);
        std::memset(a.data(), 0, t.bytes());
        if (t.dtype == DType::float32) {
            const auto v = a.values<float>();
            for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(i % 10007) * 1.7f) * 0.5f;
        }
        return a;
    }

    Program program_;
    std::vector<Array> inputs_, outputs_;
    std::vector<const void*> in_;
    std::vector<void*> out_;
};

}  // namespace fastkeras::bench
