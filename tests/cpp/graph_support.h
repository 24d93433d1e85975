// Building small graphs, running them through the whole pipeline, and making random ones.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "core/config.h"
#include "cpu_impls_support.h"
#include "ir/text.h"
#include "ops/expr.h"
#include "passes/differentiate.h"
#include "passes/passes.h"
#include "runtime/plan.h"

namespace fk::test {

// A setting changed for a scope.
class Setting {
  public:
    Setting(std::string_view name, std::string_view value) : name_(name) {
        for (const config::Entry& e : config::entries())
            if (e.name == name) before_ = e.value;
        config::set(name, value);
    }
    ~Setting() { config::set(name_, before_); }
    Setting(const Setting&) = delete;
    Setting& operator=(const Setting&) = delete;

  private:
    std::string name_, before_;
};

// What each pass list leaves enabled must give the same numbers.
inline constexpr std::string_view kDisabled[] = {"all",  "simplify", "absorb_epilogues", "cast_mixed",
                                                 "fuse", "inplace",  "simplify,fuse"};

inline Expr param(Graph& g, DType t, Dims dims) { return {&g, g.add_parameter({t, std::move(dims)})}; }
inline Expr param(Graph& g, Dims dims) { return param(g, DType::f32, std::move(dims)); }
inline void returns(Graph& g, std::initializer_list<Expr> outputs) {
    for (const Expr& e : outputs) g.outputs.push_back(e.v);
}

inline std::vector<Array> run_plan(const Plan& plan, const std::vector<Array>& inputs) {
    std::vector<const void*> in;
    for (size_t i = 0; i < inputs.size(); ++i) {
        REQUIRE(inputs[i].type == plan.parameter_types[i]);
        in.push_back(inputs[i].buffer.data);
    }
    std::vector<Array> outputs;
    std::vector<void*> out;
    for (const TensorType& t : plan.output_types) outputs.emplace_back(t);
    for (Array& a : outputs) out.push_back(a.buffer.data);
    plan.run(in.data(), out.data());
    return outputs;
}

inline std::vector<Array> run_graph(const Graph& g, const std::vector<Array>& inputs) { return run_plan(*compile(g), inputs); }

// Uniform in (-1, 1) with all bits random, so that comparisons never tie by accident. Integer types get small indices.
inline Array continuous_array(const TensorType& t, uint32_t seed) {
    std::mt19937 rng(seed);
    std::uniform_real_distribution<double> real(-1, 1);
    std::vector<double> v(static_cast<size_t>(t.size()));
    for (double& x : v) x = is_float(t.dtype) ? real(rng) : static_cast<double>(rng() % 2);
    return {t.dtype, t.dims, v};
}
inline std::vector<Array> inputs_for(const Graph& g, uint32_t seed) {
    std::vector<Array> in;
    for (Value p : g.parameters()) in.push_back(continuous_array(g.type(p), seed++));
    return in;
}

inline size_t count_ops(const Graph& g, std::string_view op) {
    size_t n = 0;
    for (uint32_t i = 0; i < g.size(); ++i) n += g.node(i).is(op);
    return n;
}

// How many random cases a test tries: FK_FUZZ=20 makes it twenty times as many.
inline uint32_t fuzz(uint32_t count) {
    const char* factor = std::getenv("FK_FUZZ");
    return count * (factor != nullptr ? static_cast<uint32_t>(std::max(1, std::atoi(factor))) : 1);
}

// A random computation over a few parameters: smooth functions whose values stay within a small range.
struct RandomGraph {
    Graph g;
    std::vector<Expr> pool;
    std::mt19937 rng;
    DType dtype;

    explicit RandomGraph(uint32_t seed, int ops, DType t = DType::f64) : rng(seed), dtype(t) {
        for (int i = 0; i < 3; ++i) pool.push_back(param(g, t, random_dims()));
        for (int i = 0; i < ops; ++i) step();
        for (int i = 0; i < 2; ++i) g.outputs.push_back(pick().v);
        g.outputs.push_back(pool.back().v);
    }

  private:
    int64_t below(int64_t n) { return static_cast<int64_t>(rng() % static_cast<uint64_t>(n)); }
    Dims random_dims() {
        static constexpr int64_t kSizes[] = {1, 2, 3, 4, 5, 8};
        Dims d(static_cast<size_t>(below(4)));
        for (int64_t& x : d) x = kSizes[below(6)];
        return d;
    }
    Expr pick() {
        return pool[static_cast<size_t>(pool.size() > 4 && below(2) ? pool.size() - 1 - static_cast<size_t>(below(4))
                                                                    : below(static_cast<int64_t>(pool.size())))];
    }
    int64_t axis(Expr x) { return below(x.rank()); }

    // An operand that broadcasts with x: x's kind of shape with some dimensions dropped or 1, made from another value.
    Expr partner(Expr x) {
        Expr y = pick();
        Dims dims = x.dims();
        if (!dims.empty() && below(3) == 0) dims.erase(dims.begin());
        for (int64_t& d : dims)
            if (below(4) == 0) d = 1;
        // Sum y to a scalar, or slice what is there into the shape.
        if (y.type().size() >= product(dims) && product(dims) > 0 && y.rank() > 0) {
            Expr flat = reshape(y, {y.type().size()});
            return reshape(emit("slice", {flat}, {Dims{0}, Dims{product(dims)}, Dims{1}}), dims);
        }
        return tanh(reduce_sum(y, all_axes(y)));
    }
    static Dims all_axes(Expr x) {
        Dims a;
        for (int i = 0; i < x.rank(); ++i) a.push_back(i);
        return a;
    }

    void step() {
        static constexpr std::string_view kUnary[] = {"tanh",     "sigmoid", "sin",    "cos",         "neg",  "erf",
                                                      "softplus", "gelu",    "silu",   "elu",         "mish", "selu",
                                                      "softsign", "asinh",   "square", "log_sigmoid", "atan", "relu"};
        const Expr x = pick();
        switch (below(16)) {
            case 0:
            case 1:
            case 2:
                pool.push_back(emit(kUnary[below(std::size(kUnary))], {x}));
                break;
            case 3:
                pool.push_back(x + partner(x));
                break;
            case 4:
                pool.push_back(tanh(x - partner(x)));
                break;
            case 5:
                pool.push_back(x * tanh(partner(x)));
                break;
            case 6: {
                const Expr y = partner(x);
                pool.push_back(x / (1.5 + square(y)));
                break;
            }
            case 7: {
                const Expr y = partner(x);
                pool.push_back(below(2) ? maximum(x, y) : where(x > y, x, 0.5 * sin(y)));
                break;
            }
            case 8:
                move(x);
                break;
            case 9:
                move(x);
                break;
            case 10:
                reduce(x);
                break;
            case 11:
                reduce(x);
                break;
            case 12:
                if (x.rank() > 0)
                    pool.push_back(emit(below(2) ? "softmax" : "log_softmax", {x}, {below(2) ? int64_t{-1} : axis(x)}));
                break;
            case 13:
                if (x.rank() == 2) pool.push_back(tanh(emit("matmul", {x, x}, {int64_t{0}, int64_t{1}})));
                if (x.rank() == 1)
                    pool.push_back(tanh(emit("matmul", {reshape(x, {x.dims()[0], 1}), reshape(x, {1, x.dims()[0]})})));
                break;
            case 14:
                if (x.rank() > 0) pool.push_back(tanh(emit("cumsum", {x}, {axis(x), below(2)})));
                break;
            default:
                index(x);
                break;
        }
    }

    void move(Expr x) {
        const auto rank = static_cast<size_t>(x.rank());
        Dims dims = x.dims();
        switch (below(7)) {
            case 0: {
                Dims perm = all_axes(x);
                std::shuffle(perm.begin(), perm.end(), rng);
                pool.push_back(emit("transpose", {x}, {perm}));
                break;
            }
            case 1:
                if (rank > 0) {
                    const int64_t size = x.type().size(), rows = dims[0];
                    pool.push_back(below(2) ? reshape(x, {size}) : reshape(x, {size / rows, rows}));
                }
                break;
            case 2: {
                Dims start(rank), stop(rank), step(rank);
                for (size_t i = 0; i < rank; ++i) {
                    start[i] = below(dims[i]);
                    stop[i] = start[i] + 1 + below(dims[i] - start[i]);
                    step[i] = 1 + below(2);
                }
                pool.push_back(emit("slice", {x}, {start, stop, step}));
                break;
            }
            case 3:
                if (rank > 0) pool.push_back(emit("reverse", {x}, {Dims{axis(x)}}));
                break;
            case 4:
                if (rank < 3) {
                    dims.insert(dims.begin(), 1 + below(3));
                    pool.push_back(broadcast_to(x, dims));
                }
                break;
            case 5: {
                Dims low(rank), high(rank), interior(rank);
                for (size_t i = 0; i < rank; ++i) low[i] = below(2), high[i] = below(2), interior[i] = below(2);
                if (x.type().size() < 300) pool.push_back(emit("pad", {x}, {low, high, interior, 0.25}));
                break;
            }
            default:
                if (rank > 0 && x.type().size() < 300) pool.push_back(emit("concatenate", {x, below(2) ? x : sin(x)}, {axis(x)}));
                break;
        }
    }

    void reduce(Expr x) {
        if (x.rank() == 0) return;
        static constexpr std::string_view kOps[] = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod"};
        Dims axes;
        for (int i = 0; i < x.rank(); ++i)
            if (below(2)) axes.push_back(i);
        const Expr y = emit(kOps[below(4)], {x}, {axes, below(2)});
        pool.push_back(below(2) ? tanh(y) : y);
    }

    void index(Expr x) {
        if (x.rank() == 0) return;
        const int64_t a = axis(x), n = x.dims()[static_cast<size_t>(a)];
        const Expr i{&g, {g.add(get_op("iota"), {}, {Dims{n + 1}, int64_t{0}, static_cast<int64_t>(DType::i32)}), 0}};
        const Expr wrapped = emit("mod", {i, lit(i, static_cast<double>(n))});
        pool.push_back(emit("gather", {x, wrapped}, {a}));
    }
};

}  // namespace fk::test
