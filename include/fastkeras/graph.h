// Recording a computation in C++. A GraphBuilder collects ops on symbolic tensors, differentiates them and compiles the
// result to a Program:
//
//   fastkeras::GraphBuilder g;
//   auto x = g.input(DType::float32, {32, 784}), w = g.input(DType::float32, {784, 10});
//   auto loss = g.op("reduce_sum", {g.op("relu", {g.op("matmul", {x, w})})}, {{"axes", Shape{0, 1}}});
//   g.update(w, w - 0.1 * *g.gradients({loss}, {w})[0]);
//   g.output(loss);
//   fastkeras::Program step = g.compile();
//
// The ops are those of the engine's table (`_engine.op_table()` in Python, `op_names()` here), with the same attributes.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "fastkeras/program.h"
#include "fastkeras/types.h"

namespace fastkeras {

namespace detail {
struct GraphImpl;
}

// One value of a graph: cheap to copy, usable as long as its builder lives.
class FASTKERAS_API Tensor {
  public:
    [[nodiscard]] TensorType type() const;
    [[nodiscard]] DType dtype() const { return type().dtype; }
    [[nodiscard]] Shape shape() const { return type().shape; }

  private:
    friend struct detail::GraphImpl;
    friend class GraphBuilder;
    Tensor(detail::GraphImpl* graph, uint32_t node, uint32_t out) : graph_(graph), node_(node), out_(out) {}
    detail::GraphImpl* graph_;
    uint32_t node_, out_;
};

using Attribute = std::variant<int64_t, double, bool, DType, std::string, Shape>;
using Attributes = std::vector<std::pair<std::string, Attribute>>;

class FASTKERAS_API GraphBuilder {
  public:
    GraphBuilder();
    ~GraphBuilder();
    GraphBuilder(GraphBuilder&&) noexcept;
    GraphBuilder& operator=(GraphBuilder&&) noexcept;

    // Inputs of the program, in the order of these calls.
    Tensor input(DType dtype, Shape shape);
    Tensor constant(double value, DType dtype, Shape shape = {});
    // Records an op. Elementwise ops broadcast and promote their operands; attributes left out take their defaults.
    Tensor op(std::string_view name, const std::vector<Tensor>& inputs, const Attributes& attributes = {});
    std::vector<Tensor> op_all(std::string_view name, const std::vector<Tensor>& inputs, const Attributes& attributes = {});
    // Gradients of the sum of the targets; nothing where no path leads from a source to a target. The gradients are ordinary
    // values, so they can be differentiated again.
    std::vector<std::optional<Tensor>> gradients(const std::vector<Tensor>& targets, const std::vector<Tensor>& sources);

    // Adds an output of the program and returns its number.
    size_t output(Tensor value);
    // Adds an output that is the new value of an input: a run may be given the input's memory for it.
    size_t update(Tensor input, Tensor new_value);

    // Says who records from now on; shown in listings.
    void label(std::string_view text);
    [[nodiscard]] std::string text() const;
    [[nodiscard]] static GraphBuilder parse(std::string_view text);  // the inverse of text()

    // The builder can be used further; later outputs belong to later programs. Traces call the program by its name.
    [[nodiscard]] Program compile(std::string_view name = "program") const;

  private:
    std::unique_ptr<detail::GraphImpl> impl_;
};

[[nodiscard]] FASTKERAS_API Tensor operator+(Tensor a, Tensor b);
[[nodiscard]] FASTKERAS_API Tensor operator-(Tensor a, Tensor b);
[[nodiscard]] FASTKERAS_API Tensor operator*(Tensor a, Tensor b);
[[nodiscard]] FASTKERAS_API Tensor operator/(Tensor a, Tensor b);
[[nodiscard]] FASTKERAS_API Tensor operator-(Tensor a);
// A number takes the type of the tensor.
[[nodiscard]] FASTKERAS_API Tensor operator+(Tensor a, double b);
[[nodiscard]] FASTKERAS_API Tensor operator-(Tensor a, double b);
[[nodiscard]] FASTKERAS_API Tensor operator*(Tensor a, double b);
[[nodiscard]] FASTKERAS_API Tensor operator/(Tensor a, double b);
[[nodiscard]] FASTKERAS_API Tensor operator+(double a, Tensor b);
[[nodiscard]] FASTKERAS_API Tensor operator-(double a, Tensor b);
[[nodiscard]] FASTKERAS_API Tensor operator*(double a, Tensor b);
[[nodiscard]] FASTKERAS_API Tensor operator/(double a, Tensor b);

[[nodiscard]] FASTKERAS_API std::vector<std::string> op_names();

}  // namespace fastkeras
