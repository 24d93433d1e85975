// Every CPU implementation against plain loops in double: matrix products, convolutions, pooling, softmax, losses,
// normalisation, indexing, sorting and data movement, in all floating types and at awkward sizes.
#include "cpu/isa.h"
#include "cpu_impls_support.h"

using namespace fk;
using namespace fk::test;

namespace {

constexpr DType kFloats[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
using Vec = std::vector<double>;

Vec naive_matmul(const Vec& a, const Vec& b, int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
    Vec c(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
            double s = 0;
            for (int64_t l = 0; l < k; ++l)
                s += a[static_cast<size_t>(ta ? l * m + i : i * k + l)] * b[static_cast<size_t>(tb ? j * k + l : l * n + j)];
            c[static_cast<size_t>(i * n + j)] = s;
        }
    return c;
}

struct ConvCase {
    Dims x, w;  // channels last; filter [*spatial, in / groups, out]
    Dims strides, low, high, dilations;
    int64_t groups = 1;

    [[nodiscard]] Dims y() const {
        Dims d{x[0]};
        for (size_t i = 0; i < strides.size(); ++i)
            d.push_back((x[i + 1] + low[i] + high[i] - ((w[i] - 1) * dilations[i] + 1)) / strides[i] + 1);
        d.push_back(w.back());
        return d;
    }
    [[nodiscard]] Attrs attrs() const { return {strides, low, high, dilations, groups}; }
    [[nodiscard]] Attrs attrs(const Dims& shape) const { return {shape, strides, low, high, dilations, groups}; }

    // f(index in x, index in w, index in y) for every multiply-add.
    template <class F>
    void each(F&& f) const {
        const size_t rank = strides.size();
        const int64_t cg = w[rank], og = w.back() / groups;
        const Dims out = y();
        const Dims xs = row_major_strides(x), ws = row_major_strides(w), ys = row_major_strides(out);
        int64_t points = 1, taps = 1;
        for (size_t i = 0; i < rank; ++i) {
            points *= out[i + 1];
            taps *= w[i];
        }
        for (int64_t n = 0; n < x[0]; ++n)
            for (int64_t p = 0; p < points; ++p)
                for (int64_t t = 0; t < taps; ++t) {
                    int64_t xi = n * xs[0], wi = 0, yi = n * ys[0], pp = p, tt = t;
                    bool inside = true;
                    for (size_t i = rank; i-- > 0;) {
                        const int64_t o = pp % out[i + 1], k = tt % w[i], in = o * strides[i] - low[i] + k * dilations[i];
                        pp /= out[i + 1];
                        tt /= w[i];
                        inside = inside && in >= 0 && in < x[i + 1];
                        xi += in * xs[i + 1];
                        yi += o * ys[i + 1];
                        wi += k * ws[i];
                    }
                    if (!inside) continue;
                    for (int64_t o = 0; o < w.back(); ++o)
                        for (int64_t c = 0; c < cg; ++c)
                            f(static_cast<size_t>(xi + o / og * cg + c), static_cast<size_t>(wi + c * w.back() + o),
                              static_cast<size_t>(yi + o));
                }
    }
};

const ConvCase kConvs[] = {
    {{2, 7, 8, 3}, {3, 3, 3, 5}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {{1, 9, 8, 4}, {3, 2, 4, 16}, {2, 1}, {0, 0}, {1, 1}, {1, 1}},
    {{2, 9, 9, 16}, {3, 3, 16, 32}, {2, 2}, {0, 0}, {1, 1}, {1, 1}},
    {{1, 11, 10, 6}, {3, 3, 6, 7}, {1, 1}, {2, 2}, {2, 2}, {2, 2}},
    {{2, 6, 6, 8}, {3, 3, 4, 8}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 2},
    {{2, 8, 8, 16}, {3, 3, 1, 16}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 16},
    {{1, 8, 8, 6}, {3, 3, 1, 12}, {2, 2}, {0, 0}, {1, 1}, {1, 1}, 6},
    {{2, 5, 5, 32}, {1, 1, 32, 16}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
    {{2, 13, 3}, {4, 3, 5}, {1}, {3}, {0}, {1}},
    {{2, 13, 4}, {3, 4, 5}, {1}, {4}, {0}, {2}},
    {{1, 5, 4, 6, 2}, {2, 3, 3, 2, 4}, {1, 2, 1}, {0, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {{1, 4, 4, 2}, {4, 4, 2, 3}, {3, 3}, {0, 0}, {0, 0}, {1, 1}},
    {{2, 6, 5, 40}, {3, 3, 40, 36}, {1, 1}, {1, 0}, {0, 2}, {1, 1}},
    {{1, 7, 6, 33}, {3, 2, 33, 8}, {1, 1}, {3, 1}, {2, 2}, {2, 1}},
    {{3, 6, 6, 24}, {1, 1, 24, 16}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
    {{2, 20, 19, 3}, {7, 7, 3, 10}, {2, 2}, {3, 3}, {2, 3}, {1, 1}},
    {{2, 5, 9, 20}, {1, 1, 20, 36}, {1, 2}, {1, 0}, {0, 1}, {1, 1}},
    // Strides beyond the filter and beyond the input; strides and dilations with and without a common divisor.
    {{2, 11, 7, 8}, {2, 1, 8, 20}, {3, 9}, {0, 0}, {1, 0}, {1, 1}},
    {{1, 13, 14, 5}, {3, 4, 5, 18}, {2, 4}, {1, 3}, {2, 0}, {3, 2}},
    {{1, 6, 7, 5, 12}, {3, 2, 3, 12, 20}, {2, 3, 2}, {1, 0, 2}, {1, 1, 0}, {1, 2, 1}},
    // Groups: many narrow ones, several filters to a channel, several channels to a filter, wide ones.
    {{2, 9, 10, 24}, {3, 3, 4, 48}, {1, 2}, {1, 0}, {1, 1}, {1, 1}, 6},
    {{3, 12, 11, 10}, {5, 3, 1, 30}, {2, 1}, {2, 1}, {2, 1}, {1, 1}, 10},
    {{2, 9, 33}, {4, 3, 22}, {2}, {1}, {2}, {2}, 11},
    {{1, 7, 6, 40}, {3, 3, 20, 72}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 2},
    {{2, 30, 20, 140}, {3, 3, 1, 140}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, 140},
    // Few filters, and few channels.
    {{2, 9, 8, 40}, {3, 3, 40, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {{2, 9, 8, 1}, {3, 3, 1, 20}, {2, 1}, {1, 1}, {1, 1}, {1, 1}},
    // No samples, no channels, no filters.
    {{0, 5, 5, 8}, {3, 3, 8, 16}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {{2, 5, 5, 0}, {3, 3, 0, 16}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {{2, 5, 5, 8}, {3, 3, 8, 0}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
};

double act_value(const std::string& act, double v) {
    if (act == "relu") return v < 0 ? 0 : v;
    if (act == "relu6") return v < 0 ? 0 : v > 6 ? 6 : v;
    if (act == "sigmoid") return 1 / (1 + std::exp(-v));
    if (act == "tanh") return std::tanh(v);
    if (act == "silu") return v / (1 + std::exp(-v));
    if (act == "gelu") return v * (1 + std::erf(v / std::sqrt(2.0))) / 2;
    if (act == "elu") return v > 0 ? v : std::expm1(v);
    return v;
}

}  // namespace

TEST_CASE("matmul: sizes and transpositions") {
    struct Size {
        int64_t m, n, k;
    };
    for (const DType t : kFloats)
        for (const Size s : {Size{1, 1, 1}, {3, 5, 7}, {32, 10, 128}, {17, 100, 33}, {9, 49, 400}, {70, 3, 5}})
            for (int flags = 0; flags < 4; ++flags) {
                const bool ta = (flags & 1) != 0, tb = (flags & 2) != 0;
                const Array a = random_array(t, ta ? Dims{s.k, s.m} : Dims{s.m, s.k}, 1),
                            b = random_array(t, tb ? Dims{s.n, s.k} : Dims{s.k, s.n}, 2);
                check_all("matmul", {a, b}, {int64_t{ta}, int64_t{tb}},
                          {naive_matmul(a.values(), b.values(), s.m, s.n, s.k, ta, tb)});
            }
}

TEST_CASE("sizes that are split among threads") {
    for (const DType t : {DType::f32, DType::f64, DType::bf16}) {
        for (int flags = 0; flags < 4; ++flags) {
            const bool ta = (flags & 1) != 0, tb = (flags & 2) != 0;
            const Array a = random_array(t, ta ? Dims{90, 137} : Dims{137, 90}, 1),
                        b = random_array(t, tb ? Dims{150, 90} : Dims{90, 150}, 2);
            check_all("matmul", {a, b}, {int64_t{ta}, int64_t{tb}}, {naive_matmul(a.values(), b.values(), 137, 150, 90, ta, tb)});
        }
        const Array a = random_array(t, {400, 1100}, 1), b = random_array(t, {1100, 7}, 2);
        check_all("matmul", {a, b}, {}, {naive_matmul(a.values(), b.values(), 400, 7, 1100, false, false)}, 2);

        const ConvCase c{{5, 14, 14, 8}, {3, 3, 8, 24}, {1, 1}, {1, 1}, {1, 1}, {1, 1}};
        const Array x = random_array(t, c.x, 1), w = random_array(t, c.w, 2), dy = random_array(t, c.y(), 3);
        const Vec xv = x.values(), wv = w.values(), dyv = dy.values();
        Vec y(dyv.size()), dx(xv.size()), dw(wv.size());
        c.each([&](size_t xi, size_t wi, size_t yi) {
            y[yi] += xv[xi] * wv[wi];
            dx[xi] += dyv[yi] * wv[wi];
            dw[wi] += dyv[yi] * xv[xi];
        });
        check_all("conv", {x, w}, c.attrs(), {y}, 2);
        check_all("conv_input_grad", {dy, w}, c.attrs(c.x), {dx}, 2);
        check_all("conv_filter_grad", {x, dy}, c.attrs(c.w), {dw}, 2);
    }
}

TEST_CASE("products of several blocks of rows and of k, with panels of unlike widths") {
    for (const DType t : {DType::f32, DType::f64})
        for (const auto& [m, n, k] :
             {std::array<int64_t, 3>{1100, 64, 200}, {1040, 112, 70}, {600, 100, 300}, {90, 256, 530}, {70, 17, 300}})
            for (int flags = 0; flags < 4; ++flags) {
                CAPTURE(m);
                CAPTURE(flags);
                const bool ta = (flags & 1) != 0, tb = (flags & 2) != 0;
                const Array a = random_array(t, ta ? Dims{k, m} : Dims{m, k}, 1),
                            b = random_array(t, tb ? Dims{n, k} : Dims{k, n}, 2);
                check_all("matmul", {a, b}, {int64_t{ta}, int64_t{tb}}, {naive_matmul(a.values(), b.values(), m, n, k, ta, tb)},
                          2);
            }
}

TEST_CASE("narrow products: tall sums of few columns, a small second operand") {
    for (const DType t : {DType::f32, DType::f64}) {
        for (const auto& [m, n, k] : {std::array<int64_t, 3>{35, 24, 2000}, {49, 48, 1100}, {700, 40, 600}, {101, 100, 300}}) {
            CAPTURE(m);
            const Array a = random_array(t, {k, m}, 1), b = random_array(t, {k, n}, 2);
            check_all("matmul", {a, b}, {int64_t{1}, int64_t{0}}, {naive_matmul(a.values(), b.values(), m, n, k, true, false)},
                      4);
        }
        for (const auto& [m, n, k] : {std::array<int64_t, 3>{300, 100, 16}, {530, 150, 24}, {77, 55, 1}}) {
            CAPTURE(m);
            const Array a = random_array(t, {m, k}, 1), w = random_array(t, {n, k}, 2), bias = random_array(t, {n}, 3);
            Vec e = naive_matmul(a.values(), w.values(), m, n, k, false, true);
            check_all("matmul", {a, w}, {int64_t{0}, int64_t{1}}, {e});
            for (size_t i = 0; i < e.size(); ++i) e[i] = act_value("relu", e[i] + bias.values()[i % static_cast<size_t>(n)]);
            check_all("matmul_bias_act", {a, w, bias}, {int64_t{0}, int64_t{1}, std::string("relu")}, {e}, 2);
        }
    }
}

TEST_CASE("matmul: batches broadcast, empty operands, integers") {
    const Array a = random_array(DType::f32, {2, 1, 3, 4}, 1), b = random_array(DType::f32, {5, 4, 6}, 2);
    Vec expected;
    for (int64_t i = 0; i < 2; ++i)
        for (int64_t j = 0; j < 5; ++j) {
            const Vec av = a.values(), bv = b.values();
            const Vec c = naive_matmul(Vec(av.begin() + i * 12, av.begin() + (i + 1) * 12),
                                       Vec(bv.begin() + j * 24, bv.begin() + (j + 1) * 24), 3, 6, 4, false, false);
            expected.insert(expected.end(), c.begin(), c.end());
        }
    check_all("matmul", {a, b}, {}, {expected});

    const Array tall = random_array(DType::f64, {2, 3, 4}, 3), one = random_array(DType::f64, {4, 6}, 4);
    check_all("matmul", {tall, one}, {}, {naive_matmul(tall.values(), one.values(), 6, 6, 4, false, false)});
    check_all("matmul", {Array(DType::f32, {3, 0}, {}), Array(DType::f32, {0, 2}, {})}, {}, {Vec(6, 0.0)});
    check_all("matmul", {Array(DType::f32, {0, 3}, {}), random_array(DType::f32, {3, 2}, 1)}, {}, {Vec{}});
    check_all("matmul", {Array(DType::i32, {2, 2}, {1, -2, 3, 4}), Array(DType::i32, {2, 2}, {5, 6, 7, 8})}, {},
              {{-9, -10, 43, 50}});
    check_all("matmul", {Array(DType::u8, {1, 2}, {200, 100}), Array(DType::u8, {1, 2}, {2, 3})}, {int64_t{0}, int64_t{1}},
              {{700 - 512}});
}

TEST_CASE("matmul_bias_act") {
    for (const DType t : kFloats)
        for (const std::string act : {"none", "relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "elu"}) {
            const Array a = random_array(t, {5, 7}, 1, 3), b = random_array(t, {9, 7}, 2), bias = random_array(t, {9}, 3);
            Vec e = naive_matmul(a.values(), b.values(), 5, 9, 7, false, true);
            for (size_t i = 0; i < e.size(); ++i) e[i] = act_value(act, e[i] + bias.values()[i % 9]);
            check_all("matmul_bias_act", {a, b, bias}, {int64_t{0}, int64_t{1}, act}, {e}, 2);
        }
}

TEST_CASE("products that another tensor is added to, in its place and elsewhere") {
    const std::string before(cpu::isa_name());
    for (const std::string_view isa : {"portable", "avx2", "avx512", "avx512_bf16"}) {
        cpu::set_max_isa(isa);
        CAPTURE(isa);
        const bool vectors = cpu::current_isa() >= cpu::Isa::avx512;  // below, float32's products are the library's
        const auto expected = [](Vec product, const Array& bias, const Array& add, const std::string& act) {
            const Vec b = bias.values(), other = add.values();
            for (size_t i = 0; i < product.size(); ++i) product[i] = act_value(act, product[i] + b[i % b.size()] + other[i]);
            return product;
        };
        struct Size {
            int64_t m, n, k;
        };
        for (const DType t : {DType::f32, DType::f64}) {
            if (t == DType::f32 && !vectors) continue;
            // tails, several blocks of rows and of k, parts by rows, by columns and by k
            for (const Size s : {Size{3, 5, 7}, {1, 70, 40}, {600, 100, 300}, {40, 256, 530}, {16, 130, 700}, {12, 18, 2000}})
                for (const std::string act : {"none", "relu", "tanh"})
                    for (const bool tb : {false, true}) {
                        CAPTURE(s.k);
                        const Array a = random_array(t, {s.m, s.k}, 1),
                                    b = random_array(t, tb ? Dims{s.n, s.k} : Dims{s.k, s.n}, 2),
                                    bias = random_array(t, {s.n}, 3), add = random_array(t, {s.m, s.n}, 4, 8);
                        check_all("matmul_bias_add_act", {a, b, bias, add}, {int64_t{0}, int64_t{tb}, act},
                                  {expected(naive_matmul(a.values(), b.values(), s.m, s.n, s.k, false, tb), bias, add, act)}, 2);
                    }
            // for each matrix of a batch, and a sum of nothing
            const Array a = random_array(t, {2, 9, 6}, 1), b = random_array(t, {2, 6, 5}, 2), bias = random_array(t, {5}, 3),
                        add = random_array(t, {2, 9, 5}, 4);
            const Vec av = a.values(), bv = b.values();
            Vec product;
            for (size_t i = 0; i < 2; ++i) {
                const auto half = [i](const Vec& v) {
                    const auto n = static_cast<std::ptrdiff_t>(v.size() / 2), at = static_cast<std::ptrdiff_t>(i) * n;
                    return Vec(v.begin() + at, v.begin() + at + n);
                };
                const Vec one = naive_matmul(half(av), half(bv), 9, 5, 6, false, false);
                product.insert(product.end(), one.begin(), one.end());
            }
            check_all("matmul_bias_add_act", {a, b, bias, add}, {int64_t{0}, int64_t{0}, std::string("relu")},
                      {expected(product, bias, add, "relu")}, 2);
            const Array rows = random_array(t, {9, 5}, 5);
            check_all("matmul_bias_add_act", {random_array(t, {9, 0}, 1), random_array(t, {0, 5}, 2), bias, rows},
                      {int64_t{0}, int64_t{0}, std::string("relu")}, {expected(Vec(45, 0.0), bias, rows, "relu")}, 2);
        }
        if (!vectors) continue;
        const ConvCase convs[] = {
            {{2, 5, 5, 32}, {1, 1, 32, 16}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
            {{3, 9, 7, 20}, {1, 1, 20, 36}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
            {{3, 6, 6, 24}, {1, 1, 24, 16}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
            {{1, 4, 4, 40}, {3, 3, 40, 36}, {2, 2}, {0, 0}, {1, 1}, {1, 1}},
        };
        for (const ConvCase& c : convs)
            for (const std::string act : {"none", "relu", "relu6"}) {
                const Array x = random_array(DType::f32, c.x, 1), w = random_array(DType::f32, c.w, 2),
                            bias = random_array(DType::f32, {c.w.back()}, 3), add = random_array(DType::f32, c.y(), 4, 8);
                const Vec xv = x.values(), wv = w.values();
                Vec y(static_cast<size_t>(product(c.y())));
                c.each([&](size_t xi, size_t wi, size_t yi) { y[yi] += xv[xi] * wv[wi]; });
                Attrs attrs = c.attrs();
                attrs.emplace_back(act);
                check_all("conv_bias_add_act", {x, w, bias, add}, attrs, {expected(y, bias, add, act)}, 2);
            }
    }
    cpu::set_max_isa(before);
}

TEST_CASE("conv and its gradients") {
    for (const DType t : kFloats)
        for (const ConvCase& c : kConvs) {
            CAPTURE(to_string(c.x));
            CAPTURE(to_string(c.w));
            const Array x = random_array(t, c.x, 1), w = random_array(t, c.w, 2), dy = random_array(t, c.y(), 3);
            const Vec xv = x.values(), wv = w.values(), dyv = dy.values();
            Vec y(dyv.size()), dx(xv.size()), dw(wv.size());
            c.each([&](size_t xi, size_t wi, size_t yi) {
                y[yi] += xv[xi] * wv[wi];
                dx[xi] += dyv[yi] * wv[wi];
                dw[wi] += dyv[yi] * xv[xi];
            });
            check_all("conv", {x, w}, c.attrs(), {y});
            check_all("conv_input_grad", {dy, w}, c.attrs(c.x), {dx});
            check_all("conv_filter_grad", {x, dy}, c.attrs(c.w), {dw});
            for (const std::string act : {"none", "relu", "tanh"}) {
                const Array bias = random_array(t, {c.w.back()}, 4);
                Vec e = y;
                for (size_t i = 0; i < e.size(); ++i) e[i] = act_value(act, e[i] + bias.values()[i % bias.values().size()]);
                Attrs attrs = c.attrs();
                attrs.emplace_back(act);
                check_all("conv_bias_act", {x, w, bias}, attrs, {e}, 2);
            }
        }
}

TEST_CASE("convolutions of many positions") {
    // Tiles of up to 128 x 128 on a GPU, and sums in slices; the last of each is not full.
    for (const ConvCase& c : {ConvCase{{1, 33900, 68}, {1, 68, 72}, {1}, {0}, {0}, {1}},
                              ConvCase{{3, 120, 110, 6}, {3, 3, 6, 12}, {2, 1}, {0, 1}, {1, 1}, {1, 1}},
                              ConvCase{{2, 60, 70, 20}, {3, 3, 1, 20}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 20}}) {
        const DType t = DType::f32;
        const Array x = random_array(t, c.x, 1), w = random_array(t, c.w, 2), dy = random_array(t, c.y(), 3);
        const Vec xv = x.values(), wv = w.values(), dyv = dy.values();
        Vec y(dyv.size()), dx(xv.size()), dw(wv.size());
        c.each([&](size_t xi, size_t wi, size_t yi) {
            y[yi] += xv[xi] * wv[wi];
            dx[xi] += dyv[yi] * wv[wi];
            dw[wi] += dyv[yi] * xv[xi];
        });
        check_all("conv", {x, w}, c.attrs(), {y}, 2);
        check_all("conv_input_grad", {dy, w}, c.attrs(c.x), {dx}, 2);
        check_all("conv_filter_grad", {x, dy}, c.attrs(c.w), {dw}, 8);
    }
}

TEST_CASE("pooling and its gradients") {
    struct PoolCase {
        Dims x, window, strides, low, high;
    };
    const PoolCase cases[] = {
        {{2, 6, 6, 5}, {2, 2}, {2, 2}, {0, 0}, {0, 0}},
        {{2, 7, 5, 70}, {3, 3}, {2, 2}, {1, 1}, {1, 1}},
        {{1, 9, 3}, {3}, {1}, {1}, {1}},
        {{1, 3, 4, 5, 2}, {2, 2, 3}, {1, 2, 2}, {0, 1, 1}, {1, 0, 1}},
        {{3, 4, 4, 130}, {4, 4}, {1, 1}, {0, 0}, {0, 0}},
        {{4, 24, 24, 33}, {2, 3}, {2, 2}, {0, 1}, {0, 1}},
        {{1, 20, 20, 200}, {3, 3}, {1, 1}, {1, 1}, {1, 1}},
        {{2, 11, 13, 8}, {2, 3}, {3, 5}, {1, 2}, {1, 0}},
        {{2, 7, 6, 5, 4}, {3, 2, 4}, {2, 2, 1}, {1, 1, 2}, {2, 0, 3}},
        {{3, 7, 7, 40}, {7, 7}, {7, 7}, {0, 0}, {0, 0}},
        {{0, 4, 4, 8}, {2, 2}, {2, 2}, {0, 0}, {0, 0}},
    };
    for (const DType t : kFloats)
        for (const PoolCase& c : cases) {
            Dims w = c.window;
            w.push_back(1), w.push_back(c.x.back());  // pooling visits what a depthwise convolution of ones does
            const ConvCase conv{c.x, w, c.strides, c.low, c.high, Dims(c.strides.size(), 1), c.x.back()};
            const Attrs attrs = {c.window, c.strides, c.low, c.high};
            const Array x = random_array(t, c.x, 1), dy = random_array(t, conv.y(), 2);
            const Vec xv = x.values(), dyv = dy.values();
            Vec best(dyv.size(), -INFINITY), sum(dyv.size()), count(dyv.size()), dmax(xv.size()), davg(xv.size());
            std::vector<size_t> where(dyv.size());
            conv.each([&](size_t xi, size_t, size_t yi) {
                sum[yi] += xv[xi];
                count[yi] += 1;
                if (xv[xi] > best[yi]) {
                    best[yi] = xv[xi];
                    where[yi] = xi;
                }
            });
            for (size_t i = 0; i < dyv.size(); ++i) dmax[where[i]] += dyv[i];
            conv.each([&](size_t xi, size_t, size_t yi) { davg[xi] += dyv[yi] / count[yi]; });
            for (size_t i = 0; i < sum.size(); ++i) sum[i] /= count[i];
            check_all("max_pool", {x}, attrs, {best});
            check_all("avg_pool", {x}, attrs, {sum});
            check_all("max_pool_grad", {x, Array(t, conv.y(), best), dy}, attrs, {dmax});
            const Array dd = random_array(t, c.x, 3);
            Vec chosen(dyv.size());
            for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = dd.values()[where[i]];
            check_all("max_pool_select", {x, Array(t, conv.y(), best), dd}, attrs, {chosen});
            check_all("avg_pool_grad", {dy}, {c.x, c.window, c.strides, c.low, c.high}, {davg});
        }
    // Ties go to the first maximum in window order; a NaN reaches the output.
    check_all(
        "max_pool_grad",
        {Array(DType::f32, {1, 4, 1}, {1, 2, 2, 2}), Array(DType::f32, {1, 2, 1}, {2, 2}), Array(DType::f32, {1, 2, 1}, {5, 7})},
        {Dims{2}, Dims{2}, Dims{0}, Dims{0}}, {{0, 5, 7, 0}});
    const auto overlapping = [](const Vec& x, const Vec& y, const Vec& dy, const Vec& dx) {
        const Attrs attrs = {Dims{2}, Dims{1}, Dims{0}, Dims{0}};
        const auto n = static_cast<int64_t>(x.size());
        const Array in(DType::f32, {1, n, 1}, x);
        check_all("max_pool", {in}, attrs, {y});
        check_all("max_pool_grad", {in, Array(DType::f32, {1, n - 1, 1}, y), Array(DType::f32, {1, n - 1, 1}, dy)}, attrs, {dx});
    };
    overlapping({1, 3, 3, 2, 3}, {3, 3, 3, 3}, {1, 2, 4, 8}, {0, 3, 4, 0, 8});
    overlapping({NAN, 1, NAN, 2}, {NAN, NAN, NAN}, {1, 2, 4}, {1, 0, 6, 0});
    overlapping({-INFINITY, -INFINITY, 0}, {-INFINITY, 0}, {1, 2}, {1, 0, 2});
    // A window that lies in the padding.
    for (const std::string op : {"max_pool", "avg_pool"})
        check_all(op, {Array(DType::f32, {1, 0, 2, 4}, {})}, {Dims{2, 1}, Dims{1, 1}, Dims{1, 0}, Dims{1, 0}}, {Vec(8, 0.0)});
    check_all("max_pool", {Array(DType::f32, {1, 4, 1}, {1, NAN, NAN, 3})}, {Dims{2}, Dims{2}, Dims{0}, Dims{0}}, {{NAN, NAN}});
}

TEST_CASE("softmax and log_softmax over any axis") {
    for (const DType t : kFloats)
        for (const Dims& dims : {Dims{7}, Dims{4, 10}, Dims{3, 5, 130}, Dims{2, 1, 3}, Dims{300, 21}, Dims{2, 40, 300}})
            for (int64_t axis = -1; axis < static_cast<int64_t>(dims.size()); ++axis) {
                const Array x = random_array(t, dims, 1, 8);
                const Vec v = x.values();
                Vec p(v.size()), l(v.size());
                const size_t a = static_cast<size_t>(normalize_axis(axis, static_cast<int>(dims.size())));
                const auto inner = static_cast<size_t>(row_major_strides(dims)[a]), n = static_cast<size_t>(dims[a]);
                for (size_t i = 0; i < v.size(); ++i) {
                    const size_t first = i / (inner * n) * (inner * n) + i % inner;
                    double s = 0;
                    for (size_t j = 0; j < n; ++j) s += std::exp(v[first + j * inner]);
                    p[i] = std::exp(v[i]) / s;
                    l[i] = v[i] - std::log(s);
                }
                check_all("softmax", {x}, {axis}, {p});
                check_all("log_softmax", {x}, {axis}, {l});
            }
    check_all("softmax", {Array(DType::f32, {1, 3}, {-INFINITY, 1000, 1000})}, {int64_t{-1}}, {{0, 0.5, 0.5}});
    check_all("log_softmax", {Array(DType::f64, {1, 2}, {-1000, 1000})}, {int64_t{-1}}, {{-2000, 0}});
}

TEST_CASE("cross-entropies and their gradients") {
    constexpr int64_t rows = 6, classes = 10;
    for (const DType t : kFloats) {
        const Array x = random_array(t, {2, 3, classes}, 1, 8), dy = random_array(t, {2, 3}, 2),
                    targets = random_array(t, {2, 3, classes}, 3);
        const Vec xv = x.values(), dv = dy.values(), tv = targets.values(), labels = random_indices(rows, 0, classes, 4);
        Vec loss(rows), soft(rows), grad(rows * classes), soft_grad(rows * classes);
        for (size_t r = 0; r < rows; ++r) {
            double s = 0, total = 0;
            for (size_t c = 0; c < classes; ++c) {
                s += std::exp(xv[r * classes + c]);
                total += tv[r * classes + c];
            }
            loss[r] = std::log(s) - xv[r * classes + static_cast<size_t>(labels[r])];
            for (size_t c = 0; c < classes; ++c) {
                const size_t i = r * classes + c;
                const double p = std::exp(xv[i]) / s;
                soft[r] += tv[i] * (std::log(s) - xv[i]);
                grad[i] = (p - (static_cast<double>(c) == labels[r] ? 1 : 0)) * dv[r];
                soft_grad[i] = (p * total - tv[i]) * dv[r];
            }
        }
        for (const DType labels_type : {DType::i32, DType::i64, DType::u8}) {
            const Array l(labels_type, {2, 3}, labels);
            check_all("sparse_softmax_cross_entropy", {x, l}, {}, {loss});
            check_all("sparse_softmax_cross_entropy_grad", {x, l, dy}, {}, {grad});
        }
        check_all("softmax_cross_entropy", {x, targets}, {}, {soft});
        check_all("softmax_cross_entropy_grad", {x, targets, dy}, {}, {soft_grad});
    }
    for (const Result& r :
         run_all("sparse_softmax_cross_entropy", {random_array(DType::f32, {2, 10}, 1), Array(DType::i32, {2}, {3, 12})}))
        CHECK(r.error ==
              "label 12 is outside [0, 10) in sparse_softmax_cross_entropy. Labels must be 0 to 9: check them, or give the last "
              "layer more units");
    for (const Result& r :
         run_all("sparse_softmax_cross_entropy", {random_array(DType::f32, {2, 10}, 1), Array(DType::i64, {2}, {-1, 2})}))
        CHECK(r.error ==
              "label -1 is outside [0, 10) in sparse_softmax_cross_entropy. Labels must be 0 to 9: check them, or give the last "
              "layer more units");
}

TEST_CASE("batch and layer normalisation") {
    constexpr double eps = 1e-3;
    for (const DType t : kFloats)
        for (const Dims& dims : {Dims{6, 5}, Dims{3, 4, 5, 70}, Dims{40, 40, 33}}) {
            const auto n = static_cast<size_t>(dims.back());
            const Array x = random_array(t, dims, 1, 4), dy = random_array(t, dims, 2), gamma = random_array(t, {dims.back()}, 3),
                        beta = random_array(t, {dims.back()}, 4);
            const Vec xv = x.values(), dv = dy.values(), g = gamma.values(), b = beta.values();
            const size_t rows = xv.size() / n;
            const auto normalise = [&](bool columns, Vec& y, Vec& mean, Vec& var, Vec& dx, Vec& dg, Vec& db) {
                const size_t groups = columns ? n : rows, length = columns ? rows : n;
                y = dx = Vec(xv.size());
                dg = db = Vec(n);
                mean = var = Vec(groups);
                for (size_t i = 0; i < groups; ++i) {
                    const auto pos = [&](size_t j) { return columns ? j * n + i : i * n + j; };
                    for (size_t j = 0; j < length; ++j) mean[i] += xv[pos(j)] / static_cast<double>(length);
                    for (size_t j = 0; j < length; ++j)
                        var[i] += (xv[pos(j)] - mean[i]) * (xv[pos(j)] - mean[i]) / static_cast<double>(length);
                    const double inv = 1 / std::sqrt(var[i] + eps);
                    double sg = 0, sgx = 0;
                    for (size_t j = 0; j < length; ++j) {
                        const size_t p = pos(j), c = p % n;
                        const double xhat = (xv[p] - mean[i]) * inv;
                        y[p] = xhat * g[c] + b[c];
                        dg[c] += dv[p] * xhat;
                        db[c] += dv[p];
                        sg += dv[p] * g[c] / static_cast<double>(length);
                        sgx += dv[p] * g[c] * xhat / static_cast<double>(length);
                    }
                    for (size_t j = 0; j < length; ++j) {
                        const size_t p = pos(j);
                        dx[p] = inv * (dv[p] * g[p % n] - sg - (xv[p] - mean[i]) * inv * sgx);
                    }
                }
            };
            Vec y, mean, var, dx, dg, db;
            normalise(true, y, mean, var, dx, dg, db);
            check_all("batch_norm_train", {x, gamma, beta}, {eps}, {y, mean, var});
            if (t == DType::f32 || t == DType::f64) {
                const Array m(t, {dims.back()}, mean), v(t, {dims.back()}, var);
                check_all("batch_norm_train_grad", {x, gamma, m, v, dy}, {eps}, {dx, dg, db}, 4);
            }
            normalise(false, y, mean, var, dx, dg, db);
            check_all("layer_norm", {x, gamma, beta}, {eps}, {y});
            check_all("layer_norm_grad", {x, gamma, dy}, {eps}, {dx, dg, db}, 4);
        }
}
