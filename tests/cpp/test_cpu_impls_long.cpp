// The implementations that sort, scatter and scan, at sizes at which they work otherwise than for a few elements: lines longer
// than a block of threads looks at, rows that thousands of indices hit.
#include <algorithm>
#include <map>
#include <numeric>

#include "cpu_impls_support.h"

using namespace fk;
using namespace fk::test;

namespace {

using Vec = std::vector<double>;

// Four in five are `hot`.
Vec mostly(int64_t n, int64_t rows, double hot, uint32_t seed) {
    Vec v = random_indices(n, -rows, rows, seed);
    std::mt19937 rng(seed);
    for (double& x : v)
        if (rng() % 5 != 0) x = hot;
    return v;
}
size_t wrapped(double index, size_t n) { return static_cast<size_t>(index < 0 ? index + static_cast<double>(n) : index); }

double as_stored(DType t, double v) { return t == DType::i8 ? static_cast<int8_t>(static_cast<int64_t>(v)) : v; }

struct Lines {
    size_t outer, n, inner;
    [[nodiscard]] size_t at(size_t line, size_t j, size_t length) const {
        return (line / inner * length + j) * inner + line % inner;
    }
    [[nodiscard]] size_t at(size_t line, size_t j) const { return at(line, j, n); }
    [[nodiscard]] size_t count() const { return outer * inner; }
    [[nodiscard]] Dims dims(size_t length) const {
        return {static_cast<int64_t>(outer), static_cast<int64_t>(length), static_cast<int64_t>(inner)};
    }
};

// Positions of a line's elements in ascending order, NaN last; descending for a top.
std::vector<size_t> order_of(const Vec& x, const Lines& v, size_t line, bool falling) {
    std::vector<size_t> p(v.n);
    std::iota(p.begin(), p.end(), size_t{0});
    const auto less = [&](size_t a, size_t b) {
        const double p = x[v.at(line, a)], q = x[v.at(line, b)];
        return std::isnan(p) || std::isnan(q) ? !std::isnan(p) && std::isnan(q) : p < q;
    };
    std::stable_sort(p.begin(), p.end(), [&](size_t a, size_t b) { return falling ? less(b, a) : less(a, b); });
    return p;
}

}  // namespace

TEST_CASE("long: scatter_add where one row is hit by thousands") {
    for (const DType t : {DType::f32, DType::bf16, DType::i8, DType::f64})
        for (const auto& [outer, m, inner] :
             std::vector<std::array<size_t, 3>>{{1, 5000, 12}, {1, 300, 3}, {2, 700, 1}, {1, 16, 8}}) {
            const size_t n = 50;
            const Lines v{outer, n, inner};
            const double scale = is_float(t) ? 1 : 64;
            const Array x = random_array(t, v.dims(n), 1, scale), updates = random_array(t, v.dims(m), 2, scale);
            const Vec raw = mostly(static_cast<int64_t>(m), static_cast<int64_t>(n), 7, 3), u = updates.values();
            Vec e = x.values();
            for (size_t line = 0; line < v.count(); ++line)
                for (size_t j = 0; j < m; ++j) {
                    double& s = e[v.at(line, wrapped(raw[j], n))];
                    s = as_stored(t, s + u[v.at(line, j, m)]);
                }
            check_all("scatter_add", {x, Array(DType::i32, {static_cast<int64_t>(m)}, raw), updates}, {int64_t{1}}, {e}, 3);
        }
    const Array x = random_array(DType::f32, {50, 4}, 1), updates = random_array(DType::f32, {3000, 4}, 2);
    Vec raw = mostly(3000, 50, 49, 3);
    raw[2500] = 50;
    for (const Result& r : run_all("scatter_add", {x, Array(DType::i32, {3000}, raw), updates}, {int64_t{0}}))
        CHECK(r.error == "index 50 is outside [0, 50) in scatter_add");
}

TEST_CASE("long: scatter_add_along_axis, by lines and by elements") {
    for (const DType t : {DType::f32, DType::f16, DType::i8})
        for (const auto& [outer, m, inner] :
             std::vector<std::array<size_t, 3>>{{3, 300, 2}, {1, 3000, 1}, {2500, 20, 2}, {9, 1, 31}}) {
            const size_t n = 40;
            const Lines v{outer, n, inner};
            const double scale = is_float(t) ? 1 : 64;
            const Array x = random_array(t, v.dims(n), 1, scale), updates = random_array(t, v.dims(m), 2, scale);
            const Array indices(DType::i64, v.dims(m), mostly(product(v.dims(m)), static_cast<int64_t>(n), -1, 3));
            const Vec u = updates.values(), raw = indices.values();
            Vec e = x.values();
            for (size_t line = 0; line < v.count(); ++line)
                for (size_t j = 0; j < m; ++j) {
                    double& s = e[v.at(line, wrapped(raw[v.at(line, j, m)], n))];
                    s = as_stored(t, s + u[v.at(line, j, m)]);
                }
            // The CPU rounds a 16-bit sum at every step.
            for (const Result& r : run_all("scatter_add_along_axis", {x, indices, updates}, {int64_t{1}})) {
                CAPTURE(r.described);
                const bool rounds = t == DType::f16 && r.described.starts_with("own:");
                CHECK(worst(r.out[0].values(), e) <= (rounds ? 200 : 2) * tolerance(t));
            }
        }
}

TEST_CASE("long: scatter_set and first_of_equal") {
    for (const int64_t inner : {1, 6, 16}) {
        const Array x = random_array(DType::f32, {100, inner}, 1), updates = random_array(DType::f32, {3000, inner}, 2);
        const Vec raw = mostly(3000, 100, 42, 3), u = updates.values();
        Vec e = x.values();
        const auto width = static_cast<size_t>(inner);
        for (size_t j = 0; j < 3000; ++j)
            std::copy_n(u.begin() + static_cast<std::ptrdiff_t>(j * width), width,
                        e.begin() + static_cast<std::ptrdiff_t>(wrapped(raw[j], 100) * width));
        check_all("scatter_set", {x, Array(DType::i32, {3000}, raw), updates}, {}, {e});
    }
    for (const int64_t rows : {int64_t{100}, int64_t{1} << 40, int64_t{1} << 60})  // items of 32 bits, of 64, and of more
        for (const int64_t m : {1, 7, 5000}) {
            Vec raw = mostly(m, 100, 42, 3), e;
            for (double& r : raw)
                if (r < 0) r += 100;
            if (m > 2) raw[1] = -1, raw[2] = static_cast<double>(rows - 1);
            std::map<double, size_t> first;
            for (size_t j = 0; j < raw.size(); ++j)
                e.push_back(
                    static_cast<double>(first.emplace(raw[j] < 0 ? static_cast<double>(rows - 1) : raw[j], j).first->second));
            const Array indices(DType::i64, {m}, raw);
            if (rows == 100) {
                check_all("first_of_equal", {indices}, {rows}, {e});
                continue;
            }
            const std::vector<Result> all =
                run_all("first_of_equal", {indices}, {rows});  // beyond the integers that doubles hold
            REQUIRE(all.size() == 2);
            CHECK(all[0].out[0].values() == all[1].out[0].values());
        }
}

TEST_CASE("long: sort, argsort, top_k") {
    for (const DType t : {DType::f32, DType::bf16, DType::i64, DType::u8})
        for (const Lines& v : {Lines{1, 5000, 2}, Lines{3, 2049, 1}, Lines{7, 300, 3}, Lines{33, 100, 1}, Lines{2, 1, 3}}) {
            const auto total = static_cast<int64_t>(v.count() * v.n);
            Vec values = random_indices(total, t == DType::u8 ? 0 : -90, 90, 7);
            if (is_float(t)) values[values.size() / 2] = values[0] = NAN;
            const Array x(t, v.dims(v.n), values);
            Vec sorted(values.size()), order(values.size());
            for (size_t line = 0; line < v.count(); ++line) {
                const std::vector<size_t> p = order_of(values, v, line, false);
                for (size_t j = 0; j < v.n; ++j) {
                    sorted[v.at(line, j)] = values[v.at(line, p[j])];
                    order[v.at(line, j)] = static_cast<double>(p[j]);
                }
            }
            check_all("sort", {x}, {int64_t{1}}, {sorted});
            check_all("argsort", {x}, {int64_t{1}}, {order});
        }
    for (const DType t : {DType::f32, DType::f64, DType::i8})
        for (const auto& [n, k] :
             std::vector<std::array<size_t, 2>>{{9000, 5}, {5000, 1024}, {3000, 1500}, {3000, 3000}, {300, 7}}) {
            const Lines v{2, n, 1};
            const Vec values = random_indices(static_cast<int64_t>(2 * n), -90, 90, 7);
            Vec top, at;
            for (size_t line = 0; line < 2; ++line) {
                const std::vector<size_t> p = order_of(values, v, line, true);
                for (size_t j = 0; j < k; ++j) {
                    top.push_back(values[v.at(line, p[j])]);
                    at.push_back(static_cast<double>(p[j]));
                }
            }
            check_all("top_k", {Array(t, {2, static_cast<int64_t>(n)}, values)}, {static_cast<int64_t>(k)}, {top, at});
        }
}

TEST_CASE("long: argmax and argmin") {
    for (const DType t : {DType::f32, DType::f64, DType::f16, DType::u8})
        for (const bool largest : {true, false})
            for (const bool nan : {false, true})
                for (const Lines& v :
                     {Lines{2, 40000, 1}, Lines{1, 9000, 3}, Lines{70, 300, 1}, Lines{300, 10, 1}, Lines{5, 3, 300}}) {
                    if (nan && t != DType::f32 && t != DType::f16) continue;
                    Vec values = random_indices(static_cast<int64_t>(v.count() * v.n), t == DType::u8 ? 0 : -90, 90, 7);
                    if (nan) values[values.size() / 3] = values[values.size() - 1] = NAN;
                    Vec e;
                    for (size_t line = 0; line < v.count(); ++line) {
                        size_t best = 0;
                        for (size_t j = 1; j < v.n && !std::isnan(values[v.at(line, best)]); ++j) {
                            const double a = values[v.at(line, j)], b = values[v.at(line, best)];
                            if (std::isnan(a) || (largest ? a > b : a < b)) best = j;
                        }
                        e.push_back(static_cast<double>(best));
                    }
                    check_all(largest ? "argmax" : "argmin", {Array(t, v.dims(v.n), values)}, {int64_t{1}}, {e});
                }
}

TEST_CASE("long: cumsum and cumprod") {
    for (const DType t : {DType::f32, DType::bf16, DType::i8})
        for (const bool product_of : {false, true})
            for (const bool reverse : {false, true})
                for (const Lines& v : {Lines{2, 9001, 1}, Lines{1, 3000, 3}, Lines{3, 1024, 1}, Lines{9, 100, 1}}) {
                    Vec values = random_values(static_cast<int64_t>(v.count() * v.n), 5);
                    if (product_of)  // of signs: exact
                        for (double& x : values) x = x < 0 ? -1 : 1;
                    else if (!is_float(t))
                        for (double& x : values) x = std::round(x * 64);
                    Vec e(values.size());
                    for (size_t line = 0; line < v.count(); ++line) {
                        double acc = product_of ? 1 : 0;
                        for (size_t j = 0; j < v.n; ++j) {
                            const size_t at = v.at(line, reverse ? v.n - 1 - j : j);
                            acc = product_of ? acc * values[at] : acc + values[at];
                            e[at] = as_stored(t, acc);
                        }
                    }
                    check_all(product_of ? "cumprod" : "cumsum", {Array(t, v.dims(v.n), values)}, {int64_t{1}, int64_t{reverse}},
                              {e});
                }
}
