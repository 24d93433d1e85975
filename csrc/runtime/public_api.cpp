// include/fastkeras on top of fk::Graph and fk::Plan. Nothing is decided here: arguments are checked and converted, and
// failures become the public exception types.
#include <algorithm>

#include "core/config.h"
#include "core/errors.h"
#include "fastkeras/fastkeras.h"
#include "ir/text.h"
#include "ops/expr.h"
#include "passes/differentiate.h"
#include "runtime/plan.h"
#include "runtime/profiler.h"

namespace fastkeras {
namespace {

// The public enumerations are the engine's own, value by value.
static_assert(static_cast<int>(DType::float64) == static_cast<int>(fk::DType::f64) &&
              static_cast<int>(DType::uint8) == static_cast<int>(fk::DType::u8) &&
              static_cast<int>(DType::bfloat16) == static_cast<int>(fk::DType::bf16));

fk::DType internal(DType t) { return static_cast<fk::DType>(t); }
DType external(fk::DType t) { return static_cast<DType>(t); }
fk::TensorType internal(const TensorType& t) { return {internal(t.dtype), t.shape}; }
TensorType external(const fk::TensorType& t) { return {external(t.dtype), t.dims}; }

template <class F>
decltype(auto) translated(F&& f) {
    try {
        return f();
    } catch (const fk::UserError& e) {
        throw InvalidArgument(e.what());
    } catch (const fk::UnsupportedError& e) {
        throw Unsupported(e.what());
    } catch (const fk::Error& e) {
        throw InternalError(e.what());
    }
}

template <class... Parts>
[[noreturn]] void invalid(const Parts&... parts) {
    throw InvalidArgument(fk::concat(parts...));
}

void check_shape(const Shape& shape, DType dtype) {
    auto bytes = static_cast<int64_t>(fk::size_of(internal(dtype)));
    for (int64_t d : shape)
        if (d < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(d, 1), &bytes))
            invalid("got shape ", fk::to_string(shape), "; expected dimensions >= 0 whose product fits in memory");
}

}  // namespace

int64_t TensorType::size() const { return fk::product(shape); }
size_t TensorType::bytes() const { return internal(*this).bytes(); }
std::string TensorType::text() const { return fk::to_string(internal(*this)); }

void Array::Free::operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{64}); }

Array::Array(TensorType type) : type_(std::move(type)) {
    check_shape(type_.shape, type_.dtype);
    memory_.reset(static_cast<std::byte*>(::operator new(std::max<size_t>(type_.bytes(), 1), std::align_val_t{64})));
}

void Array::check(DType dtype, size_t count) const {
    if (dtype != type_.dtype) invalid("the array holds ", fk::name(internal(type_.dtype)), ", not ", fk::name(internal(dtype)));
    if (count != static_cast<size_t>(type_.size()))
        invalid("got ", count, " values for an array of shape ", fk::to_string(type_.shape));
}

namespace detail {

struct GraphImpl {
    fk::Graph graph;

    Tensor wrap(fk::Value v) { return {this, v.node, v.out}; }
    [[nodiscard]] fk::Value value(Tensor t) const {
        if (t.graph_ != this) invalid("a tensor of another graph was used");
        return {t.node_, t.out_};
    }
    [[nodiscard]] std::vector<fk::Value> values(const std::vector<Tensor>& tensors) const {
        std::vector<fk::Value> out;
        for (Tensor t : tensors) out.push_back(value(t));
        return out;
    }
    static GraphImpl& of(Tensor t) { return *t.graph_; }
    static Tensor binary(std::string_view op, Tensor a, Tensor b) {
        GraphImpl& g = of(a);
        return translated([&] { return g.wrap({fk::emit_node(g.graph, fk::get_op(op), {g.value(a), g.value(b)}), 0}); });
    }
    static Tensor number(Tensor like, double v) {
        GraphImpl& g = of(like);
        return translated([&] { return g.wrap(fk::lit({&g.graph, g.value(like)}, v).v); });
    }
};

}  // namespace detail

using detail::GraphImpl;

namespace {

// The attribute in the form that `def` stores; an integer is welcome where a real number is expected.
fk::Attr convert(const fk::OpDef& op, const fk::AttrDef& def, const Attribute& a) {
    switch (def.type) {
        case fk::AttrType::integer:
            if (const auto* v = std::get_if<int64_t>(&a)) return *v;
            break;
        case fk::AttrType::floating:
            if (const auto* v = std::get_if<double>(&a)) return *v;
            if (const auto* v = std::get_if<int64_t>(&a)) return static_cast<double>(*v);
            break;
        case fk::AttrType::boolean:
            if (const auto* v = std::get_if<bool>(&a)) return static_cast<int64_t>(*v);
            break;
        case fk::AttrType::dtype:
            if (const auto* v = std::get_if<DType>(&a)) return static_cast<int64_t>(*v);
            break;
        case fk::AttrType::text:
            if (const auto* v = std::get_if<std::string>(&a)) return *v;
            break;
        case fk::AttrType::dims:
            if (const auto* v = std::get_if<Shape>(&a)) return *v;
            break;
        case fk::AttrType::bodies:
            break;
    }
    invalid("attribute ", def.name, " of ", op.name, " was given a value of another kind");
}

fk::Attrs convert(const fk::OpDef& op, const Attributes& given) {
    for (const auto& [name, value] : given)
        if (op.attr_index(name) < 0) invalid(op.name, " has no attribute '", name, "'");
    fk::Attrs out;
    for (const fk::AttrDef& def : op.attrs) {
        const auto it = std::ranges::find(given, def.name, &std::pair<std::string, Attribute>::first);
        if (it != given.end())
            out.push_back(convert(op, def, it->second));
        else if (def.fallback)
            out.push_back(*def.fallback);
        else
            invalid(op.name, " needs the attribute '", def.name, "'");
    }
    return out;
}

bool is_internal(const fk::OpDef& op) { return op.name == "parameter" || op.name == "fused"; }

}  // namespace

TensorType Tensor::type() const { return external(graph_->graph.type(graph_->value(*this))); }

GraphBuilder::GraphBuilder() : impl_(std::make_unique<GraphImpl>()) {}
GraphBuilder::~GraphBuilder() = default;
GraphBuilder::GraphBuilder(GraphBuilder&&) noexcept = default;
GraphBuilder& GraphBuilder::operator=(GraphBuilder&&) noexcept = default;

Tensor GraphBuilder::input(DType dtype, Shape shape) {
    check_shape(shape, dtype);
    return impl_->wrap(impl_->graph.add_parameter({internal(dtype), std::move(shape)}));
}

Tensor GraphBuilder::constant(double value, DType dtype, Shape shape) {
    check_shape(shape, dtype);
    return translated([&] { return impl_->wrap(fk::full(impl_->graph, value, internal(dtype), std::move(shape)).v); });
}

std::vector<Tensor> GraphBuilder::op_all(std::string_view name, const std::vector<Tensor>& inputs, const Attributes& attributes) {
    return translated([&] {
        const fk::OpDef* op = fk::find_op(name);
        if (op == nullptr || is_internal(*op)) invalid("there is no op '", name, "'");
        if (op->variadic ? inputs.size() < op->inputs.size() : inputs.size() != op->inputs.size())
            invalid(name, " takes ", op->variadic ? "at least " : "", op->inputs.size(), " inputs, got ", inputs.size());
        const uint32_t node = fk::emit_node(impl_->graph, *op, impl_->values(inputs), convert(*op, attributes));
        std::vector<Tensor> out;
        for (uint32_t i = 0; i < impl_->graph.node(node).types.size(); ++i) out.push_back(impl_->wrap({node, i}));
        return out;
    });
}

Tensor GraphBuilder::op(std::string_view name, const std::vector<Tensor>& inputs, const Attributes& attributes) {
    return op_all(name, inputs, attributes)[0];
}

std::vector<std::optional<Tensor>> GraphBuilder::gradients(const std::vector<Tensor>& targets,
                                                           const std::vector<Tensor>& sources) {
    return translated([&] {
        std::vector<std::optional<Tensor>> out;
        for (fk::Value v : fk::differentiate(impl_->graph, impl_->values(targets), {}, impl_->values(sources))) {
            out.emplace_back();
            if (v.valid()) out.back() = impl_->wrap(v);
        }
        return out;
    });
}

size_t GraphBuilder::output(Tensor value) {
    impl_->graph.outputs.push_back(impl_->value(value));
    impl_->graph.output_aliases.push_back(-1);
    return impl_->graph.outputs.size() - 1;
}

size_t GraphBuilder::update(Tensor input, Tensor new_value) {
    fk::Graph& g = impl_->graph;
    const auto it = std::ranges::find(g.parameters(), impl_->value(input));
    if (it == g.parameters().end()) invalid("update: the first tensor is not an input of the graph");
    const auto alias = static_cast<int32_t>(it - g.parameters().begin());
    if (std::ranges::find(g.output_aliases, alias) != g.output_aliases.end())
        invalid("update: input ", alias, " already has a new value");
    if (input.type() != new_value.type())
        invalid("update: the new value is ", new_value.type().text(), ", the input ", input.type().text(),
                "; they must be equal");
    const size_t i = output(new_value);
    g.output_aliases[i] = alias;
    return i;
}

void GraphBuilder::label(std::string_view text) { impl_->graph.current_label = impl_->graph.intern_label(std::string(text)); }
std::string GraphBuilder::text() const { return fk::to_text(impl_->graph); }

GraphBuilder GraphBuilder::parse(std::string_view text) {
    GraphBuilder builder;
    fk::Graph& g = builder.impl_->graph;
    g = translated([&] { return fk::parse_graph(text); });
    g.output_aliases.resize(g.outputs.size(), -1);
    return builder;
}

Program GraphBuilder::compile(std::string_view name) const {
    return translated([&] { return Program(fk::compile(impl_->graph, name, fk::cpu_device())); });
}

Program::Program(std::shared_ptr<const fk::Plan> plan) : plan_(std::move(plan)) {
    for (const fk::TensorType& t : plan_->parameter_types) inputs_.push_back(external(t));
    for (const fk::TensorType& t : plan_->output_types) outputs_.push_back(external(t));
}

std::optional<size_t> Program::updates(size_t i) const {
    if (i >= outputs_.size()) invalid("there is no output ", i, "; the program has ", outputs_.size());
    const int32_t alias = plan_->output_aliases[i];
    return alias < 0 ? std::nullopt : std::optional(static_cast<size_t>(alias));
}

void Program::run(std::span<const void* const> inputs, std::span<void* const> outputs) const {
    if (inputs.size() != inputs_.size() || outputs.size() != outputs_.size())
        invalid("run: got ", inputs.size(), " inputs and ", outputs.size(), " outputs; expected ", inputs_.size(), " and ",
                outputs_.size());
    translated([&] { plan_->run(inputs.data(), outputs.data()); });
}

std::vector<Array> Program::run(std::span<const Array* const> inputs) const {
    if (inputs.size() != inputs_.size()) invalid("run: got ", inputs.size(), " inputs; expected ", inputs_.size());
    std::vector<const void*> in;
    for (size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i]->type() != inputs_[i])
            invalid("run: input ", i, " is ", inputs[i]->type().text(), "; expected ", inputs_[i].text());
        in.push_back(inputs[i]->data());
    }
    std::vector<Array> arrays;
    std::vector<void*> out;
    for (const TensorType& t : outputs_) out.push_back(arrays.emplace_back(t).data());
    run(in, out);
    return arrays;
}

std::vector<Array> Program::run(std::initializer_list<const Array*> inputs) const {
    return run(std::span(inputs.begin(), inputs.size()));
}

size_t Program::kernels() const { return plan_->steps.size(); }
size_t Program::arena_bytes() const { return plan_->arena_bytes; }
std::string Program::text() const { return plan_->text(); }

Tensor operator+(Tensor a, Tensor b) { return GraphImpl::binary("add", a, b); }
Tensor operator-(Tensor a, Tensor b) { return GraphImpl::binary("subtract", a, b); }
Tensor operator*(Tensor a, Tensor b) { return GraphImpl::binary("multiply", a, b); }
Tensor operator/(Tensor a, Tensor b) { return GraphImpl::binary("divide", a, b); }
Tensor operator+(Tensor a, double b) { return a + GraphImpl::number(a, b); }
Tensor operator-(Tensor a, double b) { return a - GraphImpl::number(a, b); }
Tensor operator*(Tensor a, double b) { return a * GraphImpl::number(a, b); }
Tensor operator/(Tensor a, double b) { return a / GraphImpl::number(a, b); }
Tensor operator+(double a, Tensor b) { return GraphImpl::number(b, a) + b; }
Tensor operator-(double a, Tensor b) { return GraphImpl::number(b, a) - b; }
Tensor operator*(double a, Tensor b) { return GraphImpl::number(b, a) * b; }
Tensor operator/(double a, Tensor b) { return GraphImpl::number(b, a) / b; }
Tensor operator-(Tensor a) {
    GraphImpl& g = GraphImpl::of(a);
    return translated([&] { return g.wrap({fk::emit_node(g.graph, fk::get_op("neg"), {g.value(a)}), 0}); });
}

std::vector<std::string> op_names() {
    std::vector<std::string> names;
    for (const fk::OpDef* op : fk::all_ops())
        if (!is_internal(*op)) names.emplace_back(op->name);
    return names;
}

void set_option(std::string_view name, std::string_view value) {
    translated([&] { fk::config::set(name, value); });
}

void start_profiler(size_t max_events) {
    translated([&] { fk::profiler::start(max_events); });
}
void stop_profiler(const std::string& path) {
    translated([&] { fk::profiler::stop(path); });
}
ProfilerSpan::ProfilerSpan(std::string name) : name_(std::move(name)), begin_(fk::profiler::now()) {}
ProfilerSpan::~ProfilerSpan() {
    if (fk::profiler::enabled()) fk::profiler::record_span(std::move(name_), "span", begin_, fk::profiler::now());
}

std::string_view version() { return FK_VERSION; }

}  // namespace fastkeras
