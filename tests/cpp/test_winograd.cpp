// Winograd's convolutions, in tiles of both sizes, against plain loops in double: their rounding errors beside those of the
// direct kernels, at sizes that fill tiles, blocks, chunks and panels partly, in float32 and in 16 bits; what they refuse; that
// results do not depend on who computes them, nor on when the filter is transformed; which tiles they choose.
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/threads.h"
#include "cpu_impls_support.h"
#include "graph_support.h"

using namespace fk;
using namespace fk::test;

namespace {

using Vec = std::vector<double>;

class Winograd {
  public:
    explicit Winograd(std::string_view wanted) { CHECK(cpu::set_winograd(wanted)); }
    ~Winograd() { cpu::set_winograd(""); }
    Winograd(const Winograd&) = delete;
    Winograd& operator=(const Winograd&) = delete;
};
class Threads {
  public:
    explicit Threads(int n) { cpu::set_max_threads(n); }
    ~Threads() { cpu::set_max_threads(0); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
};

struct Case {
    int64_t batch, height, width, in, out;
    Dims low, high;

    [[nodiscard]] Dims x() const { return {batch, height, width, in}; }
    [[nodiscard]] Dims w() const { return {3, 3, in, out}; }
    [[nodiscard]] Dims y() const { return {batch, height + low[0] + high[0] - 2, width + low[1] + high[1] - 2, out}; }
    [[nodiscard]] Attrs attrs() const { return {Dims{1, 1}, low, high, Dims{1, 1}, int64_t{1}}; }
    [[nodiscard]] Attrs attrs(const Dims& shape) const { return {shape, Dims{1, 1}, low, high, Dims{1, 1}, int64_t{1}}; }

    // f(offset in x, in w, in y), of the first channels, for every position and tap inside of the image.
    template <class F>
    void each(F&& f) const {
        const Dims size = y();
        for (int64_t n = 0; n < batch; ++n)
            for (int64_t i = 0; i < size[1]; ++i)
                for (int64_t j = 0; j < size[2]; ++j)
                    for (int64_t tap = 0; tap < 9; ++tap) {
                        const int64_t h = i - low[0] + tap / 3, v = j - low[1] + tap % 3;
                        if (h < 0 || h >= height || v < 0 || v >= width) continue;
                        f(((n * height + h) * width + v) * in, tap * in * out, ((n * size[1] + i) * size[2] + j) * out);
                    }
    }
};

const Case kCases[] = {
    {2, 8, 8, 16, 16, {1, 1}, {1, 1}},   {1, 7, 9, 3, 5, {1, 1}, {1, 1}},     {3, 5, 6, 17, 31, {0, 0}, {0, 0}},
    {1, 3, 3, 1, 1, {0, 0}, {0, 0}},     {1, 1, 1, 4, 4, {1, 1}, {1, 1}},     {2, 6, 11, 70, 90, {1, 0}, {0, 2}},
    {1, 12, 5, 130, 65, {2, 2}, {2, 2}}, {5, 14, 13, 40, 33, {1, 1}, {1, 1}}, {1, 9, 8, 257, 150, {0, 1}, {1, 0}},
    {9, 4, 4, 300, 140, {1, 1}, {1, 1}}, {1, 4, 3, 8, 8, {3, 4}, {4, 3}},     {3, 20, 16, 192, 68, {1, 1}, {1, 1}},
};
const std::string_view kTiles[] = {"2", "4"};  // as the setting asks for them

Array normal_array(const Dims& dims, uint32_t seed, DType t = DType::f32) {
    std::mt19937 rng(seed);
    std::normal_distribution<double> d;
    Vec v(static_cast<size_t>(product(dims)));
    for (double& x : v) x = d(rng);
    return {t, dims, v};
}

struct Problem {
    Array x, w, dy;
    Vec y, dx, dw;
    explicit Problem(const Case& c, uint32_t seed, DType t = DType::f32)
        : Problem(c, normal_array(c.x(), seed, t), normal_array(c.w(), seed + 1, t), normal_array(c.y(), seed + 2, t)) {}
    Problem(const Case& c, Array x_, Array w_, Array dy_) : x(std::move(x_)), w(std::move(w_)), dy(std::move(dy_)) {
        const Vec xv = x.values(), wv = w.values(), dyv = dy.values();
        y.resize(dyv.size());
        dx.resize(xv.size());
        dw.resize(wv.size());
        c.each([&](int64_t at_x, int64_t at_w, int64_t at_y) {
            for (int64_t i = 0; i < c.in; ++i)
                for (int64_t o = 0; o < c.out; ++o) {
                    const auto a = static_cast<size_t>(at_x + i), b = static_cast<size_t>(at_w + i * c.out + o),
                               r = static_cast<size_t>(at_y + o);
                    y[r] += xv[a] * wv[b];
                    dx[a] += dyv[r] * wv[b];
                    dw[b] += dyv[r] * xv[a];
                }
        });
    }
};

double rms(const Vec& a, const Vec& b) {
    double s = 0;
    for (size_t i = 0; i < a.size(); ++i) s += (a[i] - b[i]) * (a[i] - b[i]);
    return std::sqrt(s / static_cast<double>(a.size()));
}

// The errors of all implementations, with results of type `result`; Winograd's may be `slack` times the largest of the others',
// or as much as one rounding of values of that size (where the others happen to be exact).
constexpr double kSlack = 3;  // in float32
// Tiles of 4x4 amplify errors to 4.8 times those of a direct sum of as many terms, averaged over a tile, and to 7.1 times at its
// corners. With many channels their sums are the shorter ones, and it is less than 3 times.
constexpr double kFewChannelsSlack = 7.1;
double slack_of(std::string_view tile, int64_t channels) { return tile == "4" && channels < 64 ? kFewChannelsSlack : kSlack; }
// A filter's gradient in large tiles has 2.3 to 4 times the error of direct sums over these cases' few positions, and 5.5 times
// where most of what tiles see is padding. Training's sums are longer, and these are held to kSlack.
double gradient_slack_of(std::string_view tile) { return tile == "4" ? kFewChannelsSlack : kSlack; }
constexpr double kRoundedSlack = 1.1;  // of results in 16 bits: nearly all of the error is their rounding
void check_errors(std::string_view op, const std::vector<Array>& in, const Attrs& attrs, const Vec& expected, DType result,
                  double slack) {
    Graph g;
    std::vector<Value> inputs;
    for (const Array& a : in) inputs.push_back(g.add_parameter(a.type));
    std::vector<TensorType> types = g.node(g.add(get_op(op), inputs, attrs)).types;
    types[0].dtype = result;
    const Node& node = g.node(g.add_known(get_op(op), inputs, attrs, types));
    double own = -1, direct = 0x1p-24 * rms(expected, Vec(expected.size()));
    int others = 0;
    for (const Impl& impl : cpu::impls()) {
        if (impl.op != op || !impl.match(g, node).empty()) continue;
        if (impl.name != "winograd" && impl.name != "own_mixed" && result != in[0].type.dtype) continue;
        const std::unique_ptr<Kernel> kernel = impl.make(g, node);
        if (!kernel) continue;
        std::string error;
        const std::vector<Array> out = run_kernel(*kernel, node, in, -1, error);
        CHECK(error == "");
        const double e = rms(out[0].values(), expected);
        (impl.name == "winograd" ? own : direct) = std::max(impl.name == "winograd" ? own : direct, e);
        others += impl.name != "winograd";
    }
    CAPTURE(op);
    CAPTURE(to_string(in[0].type));
    CAPTURE(to_string(in[1].type));
    CHECK(others > 0);
    CHECK(own >= 0);
    CHECK(own <= slack * direct);
}

std::string refusal(std::string_view op, const std::vector<TensorType>& in, const Attrs& attrs, bool steady = false) {
    Graph g;
    std::vector<Value> inputs;
    for (const TensorType& t : in) inputs.push_back(g.add_parameter(t, steady && inputs.size() == 1));
    const Node& node = g.node(g.add(get_op(op), inputs, attrs));
    return op == "conv_filter_grad" ? cpu::own_winograd_filter_grad::match(g, node) : cpu::own_winograd::match(g, node);
}

std::vector<Array> winograd_results(const Case& c, const Problem& p) {
    std::vector<Array> out;
    const auto add = [&](std::string_view op, const std::vector<Array>& in, const Attrs& attrs) {
        for (Result& r : run_all(op, in, attrs))
            if (r.impl == "winograd") out.push_back(std::move(r.out[0]));
    };
    add("conv", {p.x, p.w}, c.attrs());
    add("conv_input_grad", {p.dy, p.w}, c.attrs(c.x()));
    add("conv_filter_grad", {p.x, p.dy}, c.attrs(c.w()));
    REQUIRE(out.size() == 3);
    return out;
}

bool has_vectors() {
    Graph g;
    returns(g, {param(g, {1})});
    (void)compile(g);  // settings reach the device when something is compiled
    return cpu::current_isa() >= cpu::Isa::avx512;
}

// f(tile) with each number of threads, for each size of tiles.
template <class F>
void each_way(F&& f) {
    for (const int threads : {1, 3})
        for (const std::string_view tile : kTiles) {
            const Threads team(threads);
            const Winograd always(tile);
            CAPTURE(threads);
            CAPTURE(tile);
            f(tile);
        }
}

}  // namespace

TEST_CASE("Winograd's convolutions round about as direct ones do") {
    if (!has_vectors()) return;
    each_way([](std::string_view tile) {
        uint32_t seed = 1;
        for (const Case& c : kCases) {
            const Problem p(c, seed += 10);
            const double slack = slack_of(tile, c.in);
            check_errors("conv", {p.x, p.w}, c.attrs(), p.y, DType::f32, slack);
            check_errors("conv_input_grad", {p.dy, p.w}, c.attrs(c.x()), p.dx, DType::f32, slack_of(tile, c.out));
            check_errors("conv_filter_grad", {p.x, p.dy}, c.attrs(c.w()), p.dw, DType::f32, gradient_slack_of(tile));
            const Array bias = normal_array({c.out}, seed);
            for (const std::string act : {"none", "relu", "tanh"}) {
                Vec e = p.y;
                for (size_t i = 0; i < e.size(); ++i) {
                    e[i] += bias.values()[i % static_cast<size_t>(c.out)];
                    e[i] = act == "relu" ? std::max(e[i], 0.0) : act == "tanh" ? std::tanh(e[i]) : e[i];
                }
                Attrs attrs = c.attrs();
                attrs.emplace_back(act);
                // Of the direct sums, which are less exact the larger they are, tanh keeps the small ones.
                check_errors("conv_bias_act", {p.x, p.w, bias}, attrs, e, DType::f32,
                             act == "tanh" && tile == "4" ? 1.5 * slack : slack);
            }
        }
    });
}

TEST_CASE("Winograd's gradients of filters round about as direct ones do, over as many positions as training has") {
    if (!has_vectors()) return;
    each_way([](std::string_view) {
        for (const int64_t size : {32, 16, 8, 4})
            for (const double mean : {0.0, 0.5}) {
                const Case c{16, size, size, 16, 16, {1, 1}, {1, 1}};
                // Behind a ReLU, and with gradients that do and do not cancel.
                Vec x = normal_array(c.x(), 7).values(), dy = normal_array(c.y(), 8).values();
                for (double& v : x) v = std::max(v, 0.0);
                for (double& v : dy) v += mean;
                const Problem p(c, {DType::f32, c.x(), x}, normal_array(c.w(), 9), {DType::f32, c.y(), dy});
                CAPTURE(size);
                CAPTURE(mean);
                check_errors("conv_filter_grad", {p.x, p.dy}, c.attrs(c.w()), p.dw, DType::f32, kSlack);
            }
    });
}

TEST_CASE("Winograd's convolutions of 16-bit operands round once more") {
    if (!has_vectors()) return;
    REQUIRE(cpu::set_bf16_products("float32"));
    for (const DType t : {DType::bf16, DType::f16}) {
        if (cpu::native_products(t)) continue;
        each_way([t](std::string_view tile) {
            uint32_t seed = 1;
            for (const Case& c : kCases) {
                const Problem p(c, seed += 10, t);
                check_errors("conv", {p.x, p.w}, c.attrs(), p.y, t, kRoundedSlack);
                check_errors("conv_input_grad", {p.dy, p.w}, c.attrs(c.x()), p.dx, t, kRoundedSlack);
                check_errors("conv_filter_grad", {p.x, p.dy}, c.attrs(c.w()), p.dw, t, kRoundedSlack);
                // As gradients of weights leave.
                check_errors("conv_filter_grad", {p.x, p.dy}, c.attrs(c.w()), p.dw, DType::f32, gradient_slack_of(tile));
                const Array bias = normal_array({c.out}, seed, t);
                for (const std::string act : {"none", "relu"}) {
                    Vec e = p.y;
                    for (size_t i = 0; i < e.size(); ++i) {
                        e[i] += bias.values()[i % static_cast<size_t>(c.out)];
                        if (act == "relu") e[i] = std::max(e[i], 0.0);
                    }
                    Attrs attrs = c.attrs();
                    attrs.emplace_back(act);
                    check_errors("conv_bias_act", {p.x, p.w, bias}, attrs, e, t, kRoundedSlack);
                }
            }
        });
    }
    cpu::set_bf16_products("");
}

TEST_CASE("Winograd's convolutions: each value of convolutions of any size") {
    if (!has_vectors()) return;
    std::mt19937 rng(5);
    const auto some = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(rng); };
    for (uint32_t trial = 0; trial < 60; ++trial) {
        Case c{some(1, 3), some(1, 11), some(1, 11), some(1, 100), some(1, 100), {0, 0}, {0, 0}};
        for (Dims* pad : {&c.low, &c.high}) *pad = {some(0, 3), some(0, 3)};
        if (c.y()[1] < 1 || c.y()[2] < 1) continue;
        const Problem p(c, 1000 + trial);
        const Threads team(static_cast<int>(some(1, 2)));
        for (const std::string_view tile : kTiles) {
            const Winograd always(tile);
            CAPTURE(trial);
            CAPTURE(tile);
            const std::vector<Array> got = winograd_results(c, p);
            // All values of a tile share their errors, so these are measured by the usual size of a sum.
            const auto check = [](const Vec& values, const Vec& expected, int64_t terms) {
                double worst = 0;
                for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::fabs(values[i] - expected[i]));
                CHECK(worst <= 0x1p-24 * 128 * std::sqrt(static_cast<double>(terms)));
            };
            check(got[0].values(), p.y, 9 * c.in);
            check(got[1].values(), p.dx, 9 * c.out);
            check(got[2].values(), p.dw, c.batch * c.y()[1] * c.y()[2]);
        }
    }
}

TEST_CASE("Winograd's convolutions: the same bits whoever computes them") {
    if (!has_vectors()) return;
    for (const std::string_view tile : kTiles)
        for (const Case& c : {Case{4, 13, 12, 40, 72, {1, 1}, {1, 1}}, Case{2, 6, 7, 140, 200, {1, 1}, {1, 1}}}) {
            const Winograd always(tile);
            const Problem p(c, 7);
            std::vector<Array> first;
            for (const int threads : {1, 2, 3}) {
                const Threads team(threads);
                std::vector<Array> again, out = winograd_results(c, p);
                again = winograd_results(c, p);
                if (first.empty()) first = out;
                for (size_t i = 0; i < out.size(); ++i) {
                    CHECK(std::memcmp(out[i].buffer.data, again[i].buffer.data, out[i].buffer.size) == 0);
                    // A filter's gradient is summed up by ranges of tiles, as many as there are threads.
                    if (i < 2) CHECK(std::memcmp(out[i].buffer.data, first[i].buffer.data, out[i].buffer.size) == 0);
                }
            }
        }
}

TEST_CASE("Winograd's convolutions refuse what they are not for") {
    if (!has_vectors()) return;
    const Threads team(1);
    const TensorType x{DType::f32, {16, 16, 16, 64}}, w{DType::f32, {3, 3, 64, 64}};
    const Dims one{1, 1}, two{2, 2};
    const Attrs plain = {one, one, one, one, int64_t{1}};
    CHECK(refusal("conv", {x, w}, plain) == "");
    CHECK(refusal("conv_input_grad", {x, w}, {x.dims, one, one, one, one, int64_t{1}}) == "");
    CHECK(refusal("conv_filter_grad", {x, x}, {w.dims, one, one, one, one, int64_t{1}}) == "");
    CHECK(refusal("conv", {x, w}, {two, one, one, one, int64_t{1}}) != "");
    CHECK(refusal("conv", {x, w}, {one, two, two, two, int64_t{1}}) != "");
    CHECK(refusal("conv", {x, {DType::f32, {3, 3, 32, 64}}}, {one, one, one, one, int64_t{2}}) == "groups");
    CHECK(refusal("conv", {x, {DType::f32, {3, 1, 64, 64}}}, plain) != "");
    CHECK(refusal("conv", {{DType::f32, {0, 16, 16, 64}}, w}, plain) == "an empty operand");
    CHECK(refusal("conv", {{DType::f64, x.dims}, {DType::f64, w.dims}}, plain) != "");
    for (const char* products : {"bfloat16", "float32"}) {
        REQUIRE(cpu::set_bf16_products(products));
        const bool native = cpu::native_products(DType::bf16);  // whatever the setting, false without the instructions
        CHECK((refusal("conv", {{DType::bf16, x.dims}, {DType::bf16, w.dims}}, plain) == "") != native);
    }
    cpu::set_bf16_products("");
    Attrs tanh = plain;
    tanh.emplace_back("tanh");
    const TensorType half_x{DType::f16, x.dims}, half_w{DType::f16, w.dims};
    if (!cpu::native_products(DType::f16)) {
        CHECK(refusal("conv", {half_x, half_w}, plain) == "");
        CHECK(refusal("conv_bias_act", {half_x, half_w, {DType::f16, {64}}}, tanh) == "activation tanh");
    }
    // Few channels, or few positions for the size of the filter: the transforms cost more than they save.
    CHECK(refusal("conv", {x, {DType::f32, {3, 3, 64, 3}}}, plain).find("transforms") != std::string::npos);
    CHECK(refusal("conv", {{DType::f32, {1, 4, 4, 512}}, {DType::f32, {3, 3, 512, 512}}}, plain).find("transforms") !=
          std::string::npos);
    // Transformed ahead, a filter pays for fewer positions, until fetching the larger one costs more than it saves.
    const TensorType some{DType::f32, {1, 7, 7, 256}}, few{DType::f32, {1, 4, 4, 256}}, filter{DType::f32, {3, 3, 256, 256}};
    CHECK(refusal("conv", {some, filter}, plain).find("transforms") != std::string::npos);
    CHECK(refusal("conv", {some, filter}, plain, true) == "");
    CHECK(refusal("conv", {few, filter}, plain, true).find("transforms") != std::string::npos);
    const Winograd never("never");
    CHECK(refusal("conv", {x, w}, plain) != "");
    CHECK_FALSE(cpu::set_winograd("sometimes"));
}

TEST_CASE("Winograd's convolutions: a filter that no run changes is transformed once, which changes no bit") {
    if (!has_vectors()) return;
    const Winograd afterwards("");
    each_way([](std::string_view tile) {
        const Setting setting("winograd", tile);
        uint32_t seed = 1;
        for (const Case& c : kCases) {
            const Problem p(c, seed += 10);
            std::vector<Array> results[2];
            for (const bool steady : {false, true}) {
                Graph g;
                const Expr x = param(g, c.x()), w{&g, g.add_parameter(p.w.type, steady)}, dy = param(g, c.y());
                returns(g, {emit("conv", {x, w}, c.attrs()), emit("conv_input_grad", {dy, w}, c.attrs(c.x()))});
                const auto plan = compile(g);
                CAPTURE(plan->text());
                results[steady ? 1 : 0] = run_plan(*plan, {p.x, p.w, p.dy});
                // Where a panel is so empty that the transformed filter would be much larger than the filter, none is kept.
                const auto grows = [&](int64_t out) { return (out + 63) / 64 * 64 * (tile == "4" ? 36 : 16) > 2 * 9 * out; };
                CHECK(plan->prologue == (steady ? !grows(c.out) + !grows(c.in) : 0));
            }
            for (size_t i = 0; i < 2; ++i)
                CHECK(std::memcmp(results[0][i].buffer.data, results[1][i].buffer.data, results[0][i].buffer.size) == 0);
        }
    });
}

TEST_CASE("Winograd's convolutions take large tiles where these spare more than they cost") {
    if (!has_vectors()) return;
    const Threads team(1);
    const Dims one{1, 1};
    const auto tiles_of = [](const std::unique_ptr<Kernel>& kernel) {
        const std::string text = kernel->describe();
        return text.substr(text.rfind(':') + 1);
    };
    const auto tiles = [&](int64_t batch, int64_t size, int64_t channels, bool steady = false) {
        Graph g;
        const Value x = g.add_parameter({DType::f32, {batch, size, size, channels}}),
                    w = g.add_parameter({DType::f32, {3, 3, channels, channels}}, steady);
        return tiles_of(cpu::own_winograd::make(g, g.node(g.add(get_op("conv"), {x, w}, {one, one, one, one, int64_t{1}}))));
    };
    const auto gradient_tiles = [&](int64_t batch, int64_t size, int64_t channels) {
        Graph g;
        const Value x = g.add_parameter({DType::f32, {batch, size, size, channels}}), dy = g.add_parameter(g.type(x));
        const Attrs attrs{Dims{3, 3, channels, channels}, one, one, one, one, int64_t{1}};
        return tiles_of(cpu::own_winograd_filter_grad::make(g, g.node(g.add(get_op("conv_filter_grad"), {x, dy}, attrs))));
    };
    // A ResNet's, VGG's, and few channels.
    CHECK(tiles(16, 32, 64) == "4x4");
    CHECK(tiles(16, 8, 256) == "4x4");
    CHECK(tiles(1, 56, 256) == "4x4");
    CHECK(tiles(8, 28, 32) == "4x4");
    // Large tiles that would lie half outside of the image.
    CHECK(tiles(16, 6, 128) == "2x2");
    CHECK(tiles(16, 5, 256) == "2x2");
    // Few tiles for the size of a filter, more so where small tiles have theirs transformed ahead.
    CHECK(tiles(1, 8, 512) == "2x2");
    CHECK(tiles(1, 14, 256, true) == "2x2");
    CHECK(tiles(1, 56, 64, true) == "4x4");
    // The same for the gradients of filters.
    CHECK(gradient_tiles(16, 32, 64) == "4x4");
    CHECK(gradient_tiles(16, 8, 256) == "4x4");
    CHECK(gradient_tiles(16, 4, 512) == "4x4");
    CHECK(gradient_tiles(16, 6, 128) == "2x2");
    CHECK(gradient_tiles(1, 8, 512) == "2x2");
}

TEST_CASE("the setting of Winograd's convolutions reaches plans") {
    if (!has_vectors()) return;
    const Winograd afterwards("");
    for (const std::string_view wanted : {"", "never", "always", "2", "4"}) {
        const Setting setting("winograd", wanted);
        Graph g;
        const Expr x = param(g, {16, 16, 16, 64}), w = param(g, {3, 3, 64, 64});
        const Dims one{1, 1};
        returns(g, {emit("conv", {x, w}, {one, one, one, one, int64_t{1}})});
        const std::string text = compile(g)->text();
        CHECK((text.find("own:winograd") != std::string::npos) == (wanted != "never"));
    }
    const Setting wrong("winograd", "sometimes");
    Graph g;
    returns(g, {param(g, {2}) + 1.0});
    CHECK_THROWS_AS(compile(g), UserError);
}
