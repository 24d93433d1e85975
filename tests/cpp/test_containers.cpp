// The engine's own containers against std::vector, over random sequences of operations.
#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/inline_vector.h"
#include "core/stable_vector.h"

namespace fk::test {

namespace {

// An element that owns memory, so that a destructor left out or run twice is noticed, and that a move empties.
class Counted {
  public:
    static inline int64_t alive = 0;
    Counted(int64_t x = 0) : v_{x} { ++alive; }  // NOLINT: made from numbers throughout
    Counted(const Counted& o) : v_(o.v_) { ++alive; }
    Counted(Counted&& o) noexcept : v_(std::move(o.v_)) { ++alive; }
    Counted& operator=(const Counted&) = default;
    Counted& operator=(Counted&&) = default;
    ~Counted() { --alive; }
    bool operator==(const Counted&) const = default;
    auto operator<=>(const Counted&) const = default;

  private:
    std::vector<int64_t> v_;
};

template <class T>
T made(int64_t x) {
    if constexpr (std::is_same_v<T, std::string>)
        return std::string(x % 2 ? "short" : "too long for the place inside a string: ") + std::to_string(x);
    else
        return T(x);
}

template <class T, size_t N>
bool same(const InlineVector<T, N>& a, const std::vector<T>& b) {
    if (a.size() != b.size() || a.empty() != b.empty()) return false;
    if (!b.empty() && (a.front() != b.front() || a.back() != b.back())) return false;
    for (size_t i = 0; i < b.size(); ++i)
        if (a[i] != b[i] || a.at(i) != b[i] || a.data()[i] != b[i]) return false;
    return std::equal(a.begin(), a.end(), b.begin()) && std::equal(a.rbegin(), a.rend(), b.rbegin());
}

// An InlineVector and a std::vector that get the same operations.
template <class T, size_t N>
class Pair {
  public:
    explicit Pair(uint32_t seed) : rng_(seed) {}
    InlineVector<T, N> a;
    std::vector<T> b;

    size_t below(size_t n) { return rng_() % n; }
    T fresh() { return made<T>(static_cast<int64_t>(below(1000))); }

    // Returns what was done.
    std::string step(Pair& other) {
        const size_t i = below(b.size() + 1), n = below(2 * N + 3);
        const auto at_a = a.begin() + i;
        const auto at_b = b.begin() + static_cast<std::ptrdiff_t>(i);
        const T v = fresh();
        switch (below(22)) {
            case 0:
                return a.push_back(v), b.push_back(v), "push_back";
            case 1:
                return a.emplace_back(v), b.emplace_back(v), "emplace_back";
            case 2:
                if (i < b.size()) a.push_back(a[i]), b.push_back(T(b[i]));
                return "push_back of its own";
            case 3:
                if (!b.empty()) a.pop_back(), b.pop_back();
                return "pop_back";
            case 4:
                CHECK(a.insert(at_a, v) - a.begin() == static_cast<std::ptrdiff_t>(i));
                return b.insert(at_b, v), "insert";
            case 5: {
                if (b.empty()) return "nothing";
                const size_t own = below(b.size());
                a.insert(at_a, a[own]), b.insert(at_b, T(b[own]));
                return "insert of its own";
            }
            case 6:
                CHECK(a.insert(at_a, n, v) - a.begin() == static_cast<std::ptrdiff_t>(i));
                return b.insert(at_b, n, v), "insert of several";
            case 7:
                a.insert(at_a, other.b.begin(), other.b.end()), b.insert(at_b, other.b.begin(), other.b.end());
                return "insert of a range";
            case 8:
                if (i < b.size()) a.erase(at_a), b.erase(at_b);
                return "erase";
            case 9: {
                const size_t count = below(b.size() - i + 1);
                CHECK(a.erase(at_a, at_a + count) - a.begin() == static_cast<std::ptrdiff_t>(i));
                b.erase(at_b, at_b + static_cast<std::ptrdiff_t>(count));
                return "erase of " + std::to_string(count);
            }
            case 10:
                return a.resize(n), b.resize(n), "resize";
            case 11:
                return a.resize(n, v), b.resize(n, v), "resize with a value";
            case 12:
                if (i < b.size()) a.resize(n, a[i]), b.resize(n, T(b[i]));
                return "resize with its own";
            case 13:
                return a.assign(n, v), b.assign(n, v), "assign of several";
            case 14:
                a.assign(other.a.begin(), other.a.end()), b.assign(other.b.begin(), other.b.end());
                return "assign of a range";
            case 15:
                return a.clear(), b.clear(), "clear";
            case 16:
                return a = other.a, b = other.b, "copy";
            case 17: {
                InlineVector<T, N> copy(other.a), moved(std::move(copy));
                CHECK(copy.empty());  // NOLINT: and of use again
                copy.push_back(v);
                a = std::move(moved), b = other.b;
                CHECK(moved.empty());
                return "move";
            }
            case 18: {
                const auto& self = a;
                a = self;
                a = std::move(const_cast<InlineVector<T, N>&>(self));
                return "itself";
            }
            case 19:
                return std::swap(a, other.a), std::swap(b, other.b), "swap";
            case 20:
                return a.reserve(n), "reserve";
            default:
                return a = InlineVector<T, N>(std::vector<T>(a)), "by way of std::vector";
        }
    }

  private:
    std::mt19937 rng_;
};

template <class T, size_t N>
void compare(uint32_t seed) {
    Pair<T, N> one(seed), two(seed + 1000);
    for (int k = 0; k < 300; ++k) {
        const std::string what = one.step(two);
        const bool right = same(one.a, one.b) && same(two.a, two.b);
        CAPTURE(what);
        CAPTURE(seed);
        REQUIRE(right);
        REQUIRE((one.a == two.a) == (one.b == two.b));
        REQUIRE((one.a < two.a) == (one.b < two.b));
        if (one.b.size() > 200) one.a.clear(), one.b.clear();
        if (k % 7 == 0) std::swap(one.a, two.a), std::swap(one.b, two.b);
    }
}

}  // namespace

TEST_CASE("InlineVector: random operations give what std::vector gives") {
    for (uint32_t seed = 0; seed < 30; ++seed) {
        compare<int64_t, 6>(seed);
        compare<std::string, 1>(seed);
        compare<std::string, 4>(seed);
        compare<Counted, 2>(seed);
    }
    CHECK(Counted::alive == 0);
}

TEST_CASE("InlineVector: its first elements lie inside it, more do not") {
    InlineVector<int64_t, 3> v{1, 2, 3};
    const auto inside = [&] {
        const auto* at = reinterpret_cast<const std::byte*>(v.data());
        const auto* self = reinterpret_cast<const std::byte*>(&v);
        return at >= self && at < self + sizeof v;
    };
    CHECK(inside());
    v.push_back(4);
    CHECK(!inside());
    v.resize(2);
    CHECK(v == InlineVector<int64_t, 3>{1, 2});
}

TEST_CASE("InlineVector: an own element may be added while the vector grows") {
    InlineVector<std::string, 2> v{"a string too long to lie inside", "b"};
    v.push_back(v[0]);
    CHECK(v[2] == v[0]);
    v.insert(v.begin(), v[1]);
    CHECK(v[0] == "b");
    v.resize(20, v[1]);
    CHECK(v[19] == "a string too long to lie inside");
}

TEST_CASE("InlineVector: erasing nothing changes nothing") {
    InlineVector<std::vector<int>, 2> v{{1, 2}, {3}, {4, 5}};
    const auto before = v;
    CHECK(v.erase(v.begin() + 1, v.begin() + 1) == v.begin() + 1);
    CHECK(v == before);
}

TEST_CASE("InlineVector: a moved one keeps the addresses of elements outside, and leaves an empty vector") {
    InlineVector<std::string, 1> v{"one", "two"};
    const std::string* at = v.data();
    InlineVector<std::string, 1> w(std::move(v));
    CHECK(w.data() == at);
    CHECK(v.empty());  // NOLINT
    v = {"three"};
    CHECK(v.front() == "three");
    CHECK(w.back() == "two");
}

TEST_CASE("InlineVector: elements that can only be moved") {
    InlineVector<std::unique_ptr<int>, 2> v;
    for (int i = 0; i < 6; ++i) v.push_back(std::make_unique<int>(i));
    v.insert(v.begin() + 1, std::make_unique<int>(9));
    v.erase(v.begin());
    InlineVector<std::unique_ptr<int>, 2> w(std::move(v));
    REQUIRE(w.size() == 6);
    CHECK(*w[0] == 9);
    CHECK(*w[5] == 5);
}

TEST_CASE("InlineVector: elements keep their alignment") {
    struct alignas(64) Wide {
        int x = 0;
    };
    InlineVector<Wide, 2> v;
    for (int n = 0; n < 5; ++n) {
        v.emplace_back();
        CHECK(reinterpret_cast<uintptr_t>(v.data()) % 64 == 0);
    }
}

TEST_CASE("InlineVector: at checks its index") {
    const InlineVector<int, 2> v{1, 2};
    CHECK(v.at(1) == 2);
    CHECK_THROWS_AS((void)v.at(2), std::out_of_range);
}

TEST_CASE("StableVector: references stay valid while it grows, and when it is moved") {
    StableVector<std::string, 4> v;
    std::vector<const std::string*> at;
    for (int64_t i = 0; i < 50; ++i) at.push_back(&v.push_back(made<std::string>(i)));
    StableVector<std::string, 4> w(std::move(v));
    CHECK(v.size() == 0);  // NOLINT
    REQUIRE(w.size() == 50);
    for (size_t i = 0; i < at.size(); ++i) {
        CHECK(&w[i] == at[i]);
        CHECK(*at[i] == made<std::string>(static_cast<int64_t>(i)));
    }
}

TEST_CASE("StableVector: random operations give what std::vector gives") {
    for (uint32_t seed = 0; seed < 20; ++seed) {
        std::mt19937 rng(seed);
        StableVector<Counted, 3> a, other;
        std::vector<Counted> b, other_b;
        for (int64_t k = 0; k < 200; ++k) {
            switch (rng() % 9) {
                case 0:
                    if (!b.empty()) a.push_back(a[rng() % a.size()]), b.push_back(a[a.size() - 1]);
                    break;
                case 1:
                    if (rng() % 4 == 0) a.clear(), b.clear();
                    break;
                case 2:
                    a = other, b = other_b;
                    break;
                case 3:
                    std::swap(a, other), std::swap(b, other_b);
                    break;
                case 4: {
                    StableVector<Counted, 3> copy(a);
                    copy.push_back(-1);  // a copy of its own
                    a = std::move(copy), b.push_back(-1);
                    break;
                }
                case 5: {
                    const auto& self = a;
                    a = self;
                    break;
                }
                default:
                    a.push_back(k), b.push_back(k);
            }
            REQUIRE(a.size() == b.size());
            for (size_t i = 0; i < b.size(); ++i) REQUIRE(a[i] == b[i]);
        }
    }
    CHECK(Counted::alive == 0);
}

}  // namespace fk::test
