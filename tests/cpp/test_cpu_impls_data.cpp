// The data-moving CPU implementations against plain loops: indexing, sorting, running sums, copies.
#include <algorithm>
#include <numeric>

#include "cpu_impls_support.h"

using namespace fk;
using namespace fk::test;

namespace {

constexpr DType kFloats[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
using Vec = std::vector<double>;

struct View {
    size_t outer = 1, n = 1, inner = 1;
    View(const Dims& dims, size_t axis) {
        for (size_t i = 0; i < axis; ++i) outer *= static_cast<size_t>(dims[i]);
        n = static_cast<size_t>(dims[axis]);
        for (size_t i = axis + 1; i < dims.size(); ++i) inner *= static_cast<size_t>(dims[i]);
    }
    [[nodiscard]] size_t at(size_t o, size_t j, size_t i) const { return (o * n + j) * inner + i; }
};

// For every output position, in row-major order, f(coordinates).
template <class F>
void for_each(const Dims& dims, F&& f) {
    Dims at(dims.size(), 0);
    for (int64_t i = 0; i < product(dims); ++i) {
        f(at);
        for (size_t d = dims.size(); d-- > 0;) {
            if (++at[d] < dims[d]) break;
            at[d] = 0;
        }
    }
}

int64_t flat(const Dims& dims, const Dims& at) {
    int64_t r = 0;
    for (size_t d = 0; d < dims.size(); ++d) r = r * dims[d] + at[d];
    return r;
}

}  // namespace

TEST_CASE("gather and scatter along an axis") {
    for (const DType t : {DType::f32, DType::f64, DType::bf16, DType::i8, DType::i64})
        for (size_t axis = 0; axis < 3; ++axis)
            for (const DType it : {DType::i32, DType::i64, DType::i8}) {
                const Dims dims = {4, 5, 3};
                const Array x = random_array(t, dims, 1, is_float(t) ? 1 : 64);
                const View v(dims, axis);
                const auto limit = static_cast<int64_t>(v.n);
                const Vec raw = random_indices(6, -limit, limit, 2), xv = x.values();
                const Array indices(it, {2, 3}, raw);
                Dims out = dims;
                out.erase(out.begin() + static_cast<std::ptrdiff_t>(axis));
                out.insert(out.begin() + static_cast<std::ptrdiff_t>(axis), indices.type.dims.begin(), indices.type.dims.end());
                const Array updates = random_array(t, out, 3, is_float(t) ? 1 : 64);
                const Vec u = updates.values();
                Vec gathered(u.size()), scattered = xv;
                for (size_t o = 0; o < v.outer; ++o)
                    for (size_t j = 0; j < 6; ++j)
                        for (size_t i = 0; i < v.inner; ++i) {
                            const auto k = static_cast<size_t>(raw[j] < 0 ? raw[j] + static_cast<double>(limit) : raw[j]);
                            gathered[(o * 6 + j) * v.inner + i] = xv[v.at(o, k, i)];
                            double& s = scattered[v.at(o, k, i)];
                            s += u[(o * 6 + j) * v.inner + i];
                            if (t == DType::i8) s = static_cast<int8_t>(static_cast<int64_t>(s));
                        }
                check_all("gather", {x, indices}, {static_cast<int64_t>(axis)}, {gathered});
                check_all("scatter_add", {x, indices, updates}, {static_cast<int64_t>(axis)}, {scattered});
            }
}

TEST_CASE("gather and scatter: large enough for the team") {
    const Dims dims = {300, 65};
    const Array x = random_array(DType::f32, dims, 1), updates = random_array(DType::f32, {2000, 65}, 2);
    const Vec raw = random_indices(2000, 0, 300, 3);
    Vec gathered, scattered = x.values();
    const Vec xv = x.values(), u = updates.values();
    for (size_t j = 0; j < 2000; ++j)
        for (size_t i = 0; i < 65; ++i) {
            gathered.push_back(xv[static_cast<size_t>(raw[j]) * 65 + i]);
            scattered[static_cast<size_t>(raw[j]) * 65 + i] += u[j * 65 + i];
        }
    const Array indices(DType::i32, {2000}, raw);
    check_all("gather", {x, indices}, {int64_t{0}}, {gathered});
    check_all("scatter_add", {x, indices, updates}, {int64_t{0}}, {scattered});
}

TEST_CASE("indices out of range are reported and stay inside the buffers") {
    const Array x = random_array(DType::f32, {10, 2}, 1), bad(DType::i32, {2}, {3, 12}), low(DType::i32, {2}, {-11, 0});
    const Array updates = random_array(DType::f32, {2, 2}, 2);
    for (const Result& r : run_all("gather", {x, bad}, {int64_t{0}})) {
        CHECK(r.error ==
              "index 12 is outside [0, 10) in gather. Check the data, or enlarge the table (input_dim of an Embedding)");
        CHECK(r.out[0].values()[2] == 0);
    }
    for (const Result& r : run_all("gather", {x, low}, {int64_t{0}}))
        CHECK(r.error ==
              "index -11 is outside [0, 10) in gather; negative indices reach down to -10. Check the data, or enlarge the table "
              "(input_dim of an Embedding)");
    for (const Result& r : run_all("gather", {Array(DType::f32, {0, 2}, {}), bad}, {int64_t{0}})) CHECK(!r.error.empty());
    for (const Result& r : run_all("scatter_add", {x, bad, updates}, {int64_t{0}}))
        CHECK(r.error == "index 12 is outside [0, 10) in scatter_add");
    for (const Result& r : run_all("scatter_set", {x, bad, updates}))
        CHECK(r.error == "index 12 is outside [0, 10) in scatter_set");
    const Array along(DType::i64, {1, 2}, {0, 99});
    for (const Result& r : run_all("take_along_axis", {x, along}, {int64_t{0}}))
        CHECK(r.error == "index 99 is outside [0, 10) in take_along_axis");
    const Array one = random_array(DType::f32, {1, 2}, 4);
    for (const Result& r : run_all("scatter_add_along_axis", {x, along, one}, {int64_t{0}})) CHECK(!r.error.empty());
    for (const Result& r : run_all("gather", {x, Array(DType::u64, {1}, {18446744073709549568.0})}, {int64_t{0}}))
        CHECK(!r.error.empty());
}

TEST_CASE("take_along_axis, scatter_add_along_axis, scatter_set") {
    for (const DType t : {DType::f32, DType::f64, DType::f16, DType::u8})
        for (size_t axis = 0; axis < 3; ++axis) {
            const Dims dims = {3, 4, 5};
            Dims idims = dims;
            idims[axis] = 7;
            const double scale = is_float(t) ? 1 : 64;
            const Array x = t == DType::u8 ? Array(t, dims, random_indices(60, 0, 200, 1)) : random_array(t, dims, 1, scale);
            const Array updates =
                t == DType::u8 ? Array(t, idims, random_indices(product(idims), 0, 9, 1)) : random_array(t, idims, 5, scale);
            const View v(dims, axis), w(idims, axis);
            const auto limit = static_cast<int64_t>(v.n);
            const Vec raw = random_indices(product(idims), -limit, limit, 2), xv = x.values(), u = updates.values();
            Vec taken(raw.size()), added = xv;
            for (size_t o = 0; o < w.outer; ++o)
                for (size_t j = 0; j < w.n; ++j)
                    for (size_t i = 0; i < w.inner; ++i) {
                        const double r = raw[w.at(o, j, i)];
                        const auto k = static_cast<size_t>(r < 0 ? r + static_cast<double>(limit) : r);
                        taken[w.at(o, j, i)] = xv[v.at(o, k, i)];
                        double& s = added[v.at(o, k, i)];
                        s += u[w.at(o, j, i)];
                        if (t == DType::u8) s = static_cast<uint8_t>(static_cast<int64_t>(s));
                    }
            const Array indices(DType::i32, idims, raw);
            check_all("take_along_axis", {x, indices}, {static_cast<int64_t>(axis)}, {taken});
            check_all("scatter_add_along_axis", {x, indices, updates}, {static_cast<int64_t>(axis)}, {added}, 2);
        }
    check_all("scatter_set",
              {Array(DType::f32, {3, 2}, {1, 2, 3, 4, 5, 6}), Array(DType::i32, {3}, {2, 0, -1}),
               Array(DType::f32, {3, 2}, {10, 11, 12, 13, 14, 15})},
              {}, {{12, 13, 3, 4, 14, 15}});
}

TEST_CASE("sort, argsort, top_k") {
    for (const DType t : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::i32, DType::u64, DType::boolean})
        for (size_t axis = 0; axis < 3; ++axis) {
            const Dims dims = {3, 6, 4};
            const bool narrow = t == DType::boolean;
            const Array x(t, dims, random_indices(72, is_unsigned_int(t) || narrow ? 0 : -4, narrow ? 2 : 5, 7));  // many ties
            const View v(dims, axis);
            const Vec xv = x.values();
            Vec sorted(xv.size()), order(xv.size());
            for (size_t o = 0; o < v.outer; ++o)
                for (size_t i = 0; i < v.inner; ++i) {
                    std::vector<size_t> p(v.n);
                    std::iota(p.begin(), p.end(), size_t{0});
                    std::stable_sort(p.begin(), p.end(),
                                     [&](size_t a, size_t b) { return xv[v.at(o, a, i)] < xv[v.at(o, b, i)]; });
                    for (size_t j = 0; j < v.n; ++j) {
                        sorted[v.at(o, j, i)] = xv[v.at(o, p[j], i)];
                        order[v.at(o, j, i)] = static_cast<double>(p[j]);
                    }
                }
            check_all("sort", {x}, {static_cast<int64_t>(axis)}, {sorted});
            check_all("argsort", {x}, {static_cast<int64_t>(axis)}, {order});
        }
    const Array many = random_array(DType::f32, {64, 200}, 9);  // shared out among threads
    Vec each = many.values();
    for (size_t r = 0; r < 64; ++r)
        std::sort(each.begin() + static_cast<std::ptrdiff_t>(r * 200), each.begin() + static_cast<std::ptrdiff_t>(r * 200 + 200));
    check_all("sort", {many}, {int64_t{1}}, {each});
    const Array x(DType::f32, {2, 4}, {1, NAN, -INFINITY, 3, 0.0, -0.0, 7, 7});
    check_all("sort", {x}, {int64_t{1}}, {{-INFINITY, 1, 3, NAN, 0, 0, 7, 7}});
    check_all("argsort", {x}, {int64_t{-1}}, {{2, 0, 3, 1, 0, 1, 2, 3}});
    check_all("top_k", {Array(DType::f32, {2, 4}, {1, 5, 5, 3, -1, -2, -3, -0.5})}, {int64_t{3}},
              {{5, 5, 3, -0.5, -1, -2}, {1, 2, 3, 3, 0, 1}});
    check_all("top_k", {Array(DType::i16, {3}, {-30000, 7, 30000})}, {int64_t{3}}, {{30000, 7, -30000}, {2, 1, 0}});
}

TEST_CASE("argmax and argmin: first index, NaN wins") {
    const Array x(DType::f32, {2, 3}, {1, 3, 3, -1, -5, -5});
    check_all("argmax", {x}, {int64_t{1}}, {{1, 0}});
    check_all("argmin", {x}, {int64_t{1}}, {{0, 1}});
    check_all("argmax", {x}, {int64_t{0}}, {{0, 0, 0}});
    check_all("argmin", {x}, {int64_t{0}}, {{1, 1, 1}});
    check_all("argmax", {Array(DType::f64, {4}, {1, NAN, 9, NAN})}, {int64_t{0}}, {{1}});
    check_all("argmin", {Array(DType::bf16, {3}, {NAN, -9, 1})}, {int64_t{0}}, {{0}});
    check_all("argmax", {Array(DType::u64, {3}, {1, 9.0e18, 5})}, {int64_t{0}}, {{1}});
    check_all("argmax", {Array(DType::boolean, {3}, {0, 1, 1})}, {int64_t{-1}}, {{1}});
}

TEST_CASE("cumsum and cumprod") {
    for (const DType t : kFloats)
        for (const bool product_of : {false, true})
            for (const bool reverse : {false, true})
                for (size_t axis = 0; axis < 2; ++axis) {
                    const Dims dims = {4, 5};
                    const Array x = random_array(t, dims, 1);
                    const View v(dims, axis);
                    const Vec xv = x.values();
                    Vec e(xv.size());
                    for (size_t o = 0; o < v.outer; ++o)
                        for (size_t i = 0; i < v.inner; ++i) {
                            double acc = product_of ? 1 : 0;
                            for (size_t j = 0; j < v.n; ++j) {
                                const size_t p = v.at(o, reverse ? v.n - 1 - j : j, i);
                                acc = product_of ? acc * xv[p] : acc + xv[p];
                                e[p] = acc;
                            }
                        }
                    check_all(product_of ? "cumprod" : "cumsum", {x}, {static_cast<int64_t>(axis), int64_t{reverse}}, {e});
                }
    check_all("cumsum", {Array(DType::i8, {3}, {100, 100, 1})}, {int64_t{0}}, {{100, -56, -55}});
    check_all("cumprod", {Array(DType::u16, {3}, {50000, 2, 3})}, {int64_t{0}}, {{50000, 34464, 37856}});
}

TEST_CASE("slice, reverse, transpose, pad, concatenate") {
    for (const DType t : {DType::f32, DType::f64, DType::bf16, DType::i8}) {
        const Dims dims = {5, 6, 7};
        const Array x(t, dims, random_indices(product(dims), -100, 100, 1));
        const Vec xv = x.values();

        const Dims start = {1, 0, 2}, stop = {5, 6, 7}, step = {2, 1, 3}, sliced = {2, 6, 2};
        Vec e;
        for_each(sliced, [&](const Dims& p) {
            e.push_back(xv[static_cast<size_t>(
                flat(dims, {start[0] + p[0] * step[0], start[1] + p[1] * step[1], start[2] + p[2] * step[2]}))]);
        });
        check_all("slice", {x}, {start, stop, step}, {e});

        for (const Dims& axes : {Dims{0}, Dims{2}, Dims{0, 1, 2}, Dims{-1, 0}}) {
            e.clear();
            for_each(dims, [&](Dims p) {
                for (int64_t a : axes) {
                    const auto i = static_cast<size_t>(normalize_axis(a, 3));
                    p[i] = dims[i] - 1 - p[i];
                }
                e.push_back(xv[static_cast<size_t>(flat(dims, p))]);
            });
            check_all("reverse", {x}, {axes}, {e});
        }

        Dims perm = {0, 1, 2};
        do {
            e.clear();
            for_each({dims[static_cast<size_t>(perm[0])], dims[static_cast<size_t>(perm[1])], dims[static_cast<size_t>(perm[2])]},
                     [&](const Dims& p) {
                         Dims q(3);
                         for (size_t i = 0; i < 3; ++i) q[static_cast<size_t>(perm[i])] = p[i];
                         e.push_back(xv[static_cast<size_t>(flat(dims, q))]);
                     });
            check_all("transpose", {x}, {perm}, {e});
        } while (std::next_permutation(perm.begin(), perm.end()));

        const Dims low = {1, 0, 2}, high = {0, 2, 1}, interior = {1, 0, 2}, padded = {10, 8, 22};
        e.assign(static_cast<size_t>(product(padded)), -3);
        for_each(dims, [&](const Dims& p) {
            e[static_cast<size_t>(flat(padded, {low[0] + p[0] * 2, low[1] + p[1], low[2] + p[2] * 3}))] =
                xv[static_cast<size_t>(flat(dims, p))];
        });
        check_all("pad", {x}, {low, high, interior, -3.0}, {e});

        const Array y(t, {5, 2, 7}, random_indices(70, -100, 100, 2)), empty(t, {5, 0, 7}, {});
        e.clear();
        for_each({5, 8, 7}, [&](const Dims& p) {
            e.push_back(p[1] < 6 ? xv[static_cast<size_t>(flat(dims, p))]
                                 : y.values()[static_cast<size_t>(flat({5, 2, 7}, {p[0], p[1] - 6, p[2]}))]);
        });
        check_all("concatenate", {x, empty, y}, {int64_t{1}}, {e});
    }
    const Array big = random_array(DType::f32, {70, 130, 9}, 3);
    const Vec bv = big.values();
    Vec e;
    for_each({130, 9, 70}, [&](const Dims& p) { e.push_back(bv[static_cast<size_t>(flat({70, 130, 9}, {p[2], p[0], p[1]}))]); });
    check_all("transpose", {big}, {Dims{1, 2, 0}}, {e});
    check_all("pad", {Array(DType::u64, {1}, {1.8e19})}, {Dims{1}, Dims{0}, Dims{}, 1.5e19}, {{1.5e19, 1.8e19}});
    check_all("slice", {Array(DType::f32, {3, 2}, {1, 2, 3, 4, 5, 6})}, {Dims{1, 0}, Dims{1, 2}, Dims{1, 1}}, {Vec{}});
}

TEST_CASE("class_probability") {
    for (const DType t : {DType::f32, DType::bf16, DType::f64})
        for (const DType lt : {DType::i32, DType::u8, DType::i64}) {
            const Array p = random_array(t, {3, 100, 11}, 1), labels(lt, {3, 100}, random_indices(300, 0, 11, 2));
            const Vec pv = p.values(), lv = labels.values();
            Vec e;
            for (size_t r = 0; r < 300; ++r) e.push_back(pv[r * 11 + static_cast<size_t>(lv[r])]);
            check_all("class_probability", {p, labels}, {}, {e});
        }
    const Array p = random_array(DType::f32, {2, 3}, 1);
    for (const double bad : {3.0, -1.0})
        for (const Result& r : run_all("class_probability", {p, Array(DType::i32, {2}, {bad, 1})})) {
            CHECK(r.error == "label " + std::to_string(static_cast<int>(bad)) +
                                 " is outside [0, 3) in class_probability. Labels must be 0 to 2: check them, or give the last "
                                 "layer more units");
            CHECK(r.out[0].values() == Vec{0, p.values()[4]});
        }
}

TEST_CASE("pad: rows in words, dimensions that nothing pads, empty operands") {
    const auto check = [](DType t, const Dims& dims, const Dims& low, const Dims& high, const Dims& interior, double value) {
        const Array x(t, dims, random_indices(product(dims), t == DType::boolean ? 0 : -100, t == DType::boolean ? 2 : 100, 1));
        Dims out, step;
        for (size_t d = 0; d < dims.size(); ++d) {
            step.push_back(interior.empty() ? 1 : interior[d] + 1);
            out.push_back(low[d] + (dims[d] == 0 ? 0 : (dims[d] - 1) * step[d] + 1) + high[d]);
        }
        Vec e(static_cast<size_t>(product(out)), value);
        const Vec xv = x.values();
        for_each(dims, [&](const Dims& p) {
            Dims q;
            for (size_t d = 0; d < p.size(); ++d) q.push_back(low[d] + p[d] * step[d]);
            e[static_cast<size_t>(flat(out, q))] = xv[static_cast<size_t>(flat(dims, p))];
        });
        check_all("pad", {x}, {low, high, interior, value}, {e});
    };
    for (const DType t : {DType::f32, DType::f16, DType::i8, DType::i64}) {
        check(t, {2, 5, 6, 16}, {0, 1, 1, 0}, {0, 1, 1, 0}, {}, -3);  // a convolution's
        check(t, {3, 7, 8}, {0, 0, 8}, {0, 0, 4}, {}, 0);
        check(t, {3, 7, 8}, {2, 0, 0}, {0, 3, 0}, {1, 0, 0}, 7);
        check(t, {40, 3}, {0, 0}, {0, 0}, {0, 2}, 1);
    }
    check(DType::boolean, {5, 4}, {1, 4}, {0, 0}, {}, 1);
    check(DType::f32, {0, 4}, {2, 0}, {1, 0}, {3, 0}, 5);
    check(DType::f32, {}, {}, {}, {}, 5);
    check(DType::f32, {3, 0}, {1, 0}, {0, 0}, {}, 5);
    check(DType::bf16, {3}, {1}, {0}, {}, INFINITY);
}
