// Matrix products without a library: every dtype, any transposition, batch dimensions that broadcast. The floating
// types run the register-tiled kernel of kernels/own_gemm.cpp, integers a plain loop.
#include <cmath>

#include "cpu/epilogue.h"
#include "cpu/impls.h"
#include "cpu/isa.h"
#include "cpu/kernels/own_kernels.h"
#include "cpu/matmul_shape.h"
#include "cpu/own_common.h"

namespace fk::cpu {

std::optional<Act> act_from_name(std::string_view name) {
    constexpr std::pair<std::string_view, Act> names[] = {{"none", Act::none},       {"relu", Act::relu}, {"relu6", Act::relu6},
                                                          {"sigmoid", Act::sigmoid}, {"tanh", Act::tanh}, {"silu", Act::silu},
                                                          {"gelu", Act::gelu},       {"elu", Act::elu}};
    for (const auto& [text, act] : names)
        if (text == name) return act;
    return std::nullopt;
}

MatmulShape matmul_shape(const Graph& g, const Node& node) {
    MatmulShape s;
    const Dims &a = input_type(g, node, 0).dims, &b = input_type(g, node, 1).dims, &out = node.types[0].dims;
    s.transpose_a = node.bool_attr("transpose_a");
    s.transpose_b = node.bool_attr("transpose_b");
    s.m = out[out.size() - 2];
    s.n = out[out.size() - 1];
    s.k = a[a.size() - (s.transpose_a ? 2 : 1)];
    const size_t rank = out.size() - 2;
    const auto extend = [rank](const Dims& d) {
        Dims batch(rank, 1);
        std::copy(d.begin(), d.end() - 2, batch.end() - static_cast<std::ptrdiff_t>(d.size() - 2));
        return batch;
    };
    s.batch.assign(out.begin(), out.end() - 2);
    s.batch_a = extend(a);
    s.batch_b = extend(b);
    // One matrix b for all: rows of a taller product.
    if (!s.transpose_a && product(s.batch_b) == 1 && s.batch_a == s.batch) {
        s.m *= product(s.batch);
        s.batch = s.batch_a = s.batch_b = {};
    }
    return s;
}

// Whether to compute b^T a instead, and turn it round at the end: vectors run along the columns of the second operand, and a
// narrow one leaves them partly empty. For a sum long enough to make up for the turn.
bool is_flipped(const MatmulShape& s, bool plain) {
    constexpr int64_t lanes = 16, rows = 8, narrow = 48;
    const auto vectors = [](int64_t m, int64_t n) { return (m + rows - 1) / rows * ((n + lanes - 1) / lanes); };
    return plain && s.transpose_a && !s.transpose_b && s.batch.empty() && s.n < s.m && s.n <= narrow && s.k >= 512 &&
           vectors(s.n, s.m) <= vectors(s.m, s.n);
}
namespace {

// A part of a product has at least these.
constexpr int64_t kLeastColumns = 64, kLeastRows = 8, kLeastDepth = 256;

// What one part of the product packs, in elements.
int64_t pack_elements(const MatmulShape& s) { return gemm_pack_elements(s.m, s.k, s.transpose_a); }

// Element offsets of the matrices of batch index `i`.
void batch_offsets(const MatmulShape& s, int64_t i, int64_t& a, int64_t& b) {
    a = b = 0;
    int64_t step_a = s.m * s.k, step_b = s.k * s.n;
    for (size_t d = s.batch.size(); d-- > 0;) {
        const int64_t at = i % s.batch[d];
        i /= s.batch[d];
        if (s.batch_a[d] != 1) a += at * step_a;
        if (s.batch_b[d] != 1) b += at * step_b;
        step_a *= s.batch_a[d];
        step_b *= s.batch_b[d];
    }
}

MatmulShape flip(MatmulShape s) {
    std::swap(s.m, s.n);
    return s;
}

// How the parts of a product divide it: blocks of columns and rows of each matrix, or, where the result is small and the sum
// long, ranges of the sum, whose results are added up in their order.
struct Split {
    int64_t by_n = 1, by_m = 1, by_k = 1;
    Split(const MatmulShape& s, int64_t threads) {
        const int64_t batches = std::max<int64_t>(product(s.batch), 1);
        if (s.m * s.n * s.k * batches < 4 * kForkWork) return;
        const int64_t want = (threads + batches - 1) / batches;
        if (batches == 1 && want > 1 && s.k >= want * kLeastDepth && 8 * s.m * s.n * want < (s.m + s.n) * s.k) {
            by_k = want;
            return;
        }
        // The longer side first: what the parts have in common, each of them reads and packs. The gradient of a weight goes by
        // rows, as its update does, unless that would read more than the result has: what a thread has in its cache it need not
        // fetch from another core.
        const int64_t most_n = std::max<int64_t>(s.n / kLeastColumns, 1), most_m = std::max<int64_t>(s.m / kLeastRows, 1);
        const bool rows_first = s.m >= s.n || (s.transpose_a && s.k * (s.n - s.m) / 2 <= s.m * s.n);
        if (rows_first) by_m = std::min(want, most_m);
        by_n = std::min((want + by_m - 1) / by_m, most_n);
        if (!rows_first) by_m = std::min((want + by_n - 1) / by_n, most_m);
    }
    // Elements of the further results that a split sum, or a flipped one, needs.
    [[nodiscard]] int64_t partials(const MatmulShape& s, bool flipped) const { return (by_k - (flipped ? 0 : 1)) * s.m * s.n; }
};

// Whole vectors and whole rows of register tiles: a cut inside one would leave two tails.
int64_t cut(int64_t n, int64_t i, int64_t parts, int64_t unit) { return i == parts ? n : (n / unit * i / parts) * unit; }

template <class T>
void add_partials(const T* partial, int64_t count, int64_t size, T* c) {
    parallel_ranges(size, count, [&](int64_t begin, int64_t end) {
        for (int64_t p = 0; p < count; ++p)
            row_kernels<T>().finish(c + begin, 1, end - begin, end - begin, {.add = partial + p * size + begin});
    });
}

// Where the columns and depths of one part of b begin and end.
struct PartOfB {
    int64_t n0, n1, k0, k1;
    PartOfB(const MatmulShape& s, const Split& split, int64_t pn, int64_t pk)
        : n0(cut(s.n, pn, split.by_n, 16)),
          n1(cut(s.n, pn + 1, split.by_n, 16)),
          k0(cut(s.k, pk, split.by_k, 8)),
          k1(cut(s.k, pk + 1, split.by_k, 8)) {}
};

// b packed for each part. The parts begin at whole vectors, so no part reaches into the next.
int64_t packed_elements(const MatmulShape& s) { return s.k * gemm_packed_columns(s.n); }
int64_t packed_at(const MatmulShape& s, const PartOfB& part) {
    return part.k0 * gemm_packed_columns(s.n) + (part.k1 - part.k0) * part.n0;
}

template <class T>
GemmArgs<T> operand_b(const MatmulShape& s, const PartOfB& part, const T* b) {
    GemmArgs<T> g{};
    g.b_row = s.transpose_b ? 1 : s.n;
    g.b_col = s.transpose_b ? s.k : 1;
    g.b = b + part.n0 * g.b_col + part.k0 * g.b_row;
    g.n = part.n1 - part.n0;
    g.k = part.k1 - part.k0;
    return g;
}

template <class T>
RunFn pack_product(const MatmulShape& s, const Split& split) {
    return [=](const KernelArgs& args) {
        const T* b = static_cast<const T*>(args.in[0]);
        T* out = static_cast<T*>(args.out[0]);
        const int64_t blocks = gemm_blocks(s.k / split.by_k + 32), parts = split.by_n * split.by_k;
        parallel_ranges(parts * blocks, packed_elements(s) / (parts * blocks), [&](int64_t begin, int64_t end) {
            for (int64_t item = begin; item < end; ++item) {
                const PartOfB part(s, split, item / blocks / split.by_k, item / blocks % split.by_k);
                const GemmArgs<T> g = operand_b(s, part, b);
                if (item % blocks < gemm_blocks(g.k)) row_kernels<T>().pack_b(g, item % blocks, out + packed_at(s, part));
            }
        });
    };
}

// c[m, n] = the sum of the partial results, which are [n, m].
template <class T>
void add_turned(const T* partial, int64_t count, int64_t m, int64_t n, T* c) {
    parallel_ranges(m, n * count, [&](int64_t begin, int64_t end) {
        for (int64_t p = 0; p < count; ++p)
            for (int64_t i = begin; i < end; ++i)
                for (int64_t j = 0; j < n; ++j) {
                    const T x = partial[(p * n + j) * m + i];
                    c[i * n + j] = p == 0 ? x : c[i * n + j] + x;
                }
    });
}

// What a node adds to a product: a bias (its third operand), another tensor (its fourth), an activation, its slope as a second
// result; or a factor (the third operand), and the sums of the columns as a second result.
struct Form {
    bool bias = false, add = false, slope = false, factor = false;
    Act act = Act::none;
    [[nodiscard]] bool plain() const { return !bias && !factor && act == Act::none; }
};

// Elements of the sums that the parts of a product with a factor leave, one row for each range of rows.
int64_t sum_rows(const MatmulShape& s, const Split& split) { return product(s.batch) * split.by_m; }

// `s` is the product to compute; if `flipped`, that is the second operand transposed times the first one. If
// `packed`, b is what pack_product left.
template <class T>
RunFn float_product(const MatmulShape& s, const Split& split, bool flipped, Form form, bool packed) {
    const int threads = max_threads();
    return [=](const KernelArgs& args) {
        const T* a = static_cast<const T*>(args.in[flipped ? 1 : 0]);
        const T* b = static_cast<const T*>(args.in[flipped ? 0 : 1]);
        T* c = static_cast<T*>(args.out[0]);
        T* partial = reinterpret_cast<T*>(args.scratch) + threads * pack_elements(s);
        Ending<T> all{};  // of the whole product
        all.act = form.act;
        if (form.bias) all.bias = static_cast<const T*>(args.in[2]);
        if (form.slope) all.slope = static_cast<T*>(args.out[1]);
        if (form.factor) all.factor = static_cast<const T*>(args.in[2]), all.sums = static_cast<T*>(args.out[1]);
        T* const sums = partial + split.partials(s, flipped);
        const int64_t by_n = split.by_n, by_m = split.by_m, by_k = split.by_k;
        const int64_t items = product(s.batch) * by_n * by_m * by_k;
        const bool ends_here = by_k == 1;  // otherwise bias and activation wait for the sum of the parts
        parallel_slots(threads, items, std::max<int64_t>(s.m * s.n * s.k / (4 * by_n * by_m * by_k), 1),
                       [&](int64_t begin, int64_t end, int64_t slot) {
                           for (int64_t item = begin; item < end; ++item) {
                               const int64_t pk = item % by_k, rest = item / by_k;
                               const int64_t batch = rest / (by_n * by_m), pn = rest % (by_n * by_m) / by_m, pm = rest % by_m;
                               const PartOfB part(s, split, pn, pk);
                               const auto [n0, n1, k0, k1] = part;
                               const int64_t m0 = cut(s.m, pm, by_m, 8), m1 = cut(s.m, pm + 1, by_m, 8);
                               if (n0 == n1 || m0 == m1) continue;
                               int64_t at_a, at_b;
                               batch_offsets(s, batch, at_a, at_b);
                               GemmArgs<T> g = operand_b(s, part, b + at_b);
                               if (packed) g.packed = b + packed_at(s, part);
                               g.a_row = s.transpose_a ? 1 : s.k;
                               g.a_col = s.transpose_a ? s.m : 1;
                               g.a = a + at_a + m0 * g.a_row + k0 * g.a_col;
                               const int64_t result = flipped ? pk : pk - 1;  // of the partial ones
                               g.c = (result < 0 ? c + batch * s.m * s.n : partial + result * s.m * s.n) + m0 * s.n + n0;
                               g.ldc = s.n;
                               g.m = m1 - m0;
                               g.pack = reinterpret_cast<T*>(args.scratch) + slot * pack_elements(s);
                               const int64_t at = g.c - c;
                               if (ends_here) {
                                   g.ending = all;
                                   if (form.bias) g.ending.bias += n0;
                                   if (form.slope) g.ending.slope += at;
                                   if (form.factor) {
                                       g.ending.factor += at;
                                       g.ending.sums = sums + (batch * by_m + pm) * s.n + n0;
                                       std::fill_n(g.ending.sums, g.n, T{0});
                                   }
                               }
                               if (form.add && result < 0) g.ending.add = static_cast<const T*>(args.in[3]) + at;
                               row_kernels<T>().gemm(g);
                               if (s.k > 0) continue;
                               g.ending.add = nullptr;  // a sum of nothing has got that
                               row_kernels<T>().finish(g.c, g.m, g.n, g.ldc, g.ending);
                           }
                       });
        if (flipped) return add_turned(partial, by_k, s.n, s.m, c);
        if (form.factor) std::fill_n(all.sums, s.n, T{0});
        if (ends_here) {
            for (int64_t r = 0; form.factor && s.m > 0 && r < sum_rows(s, split); ++r)
                for (int64_t j = 0; j < s.n; ++j) all.sums[j] += sums[r * s.n + j];
            return;
        }
        add_partials(partial, by_k - 1, s.m * s.n, c);
        if (!form.plain()) row_kernels<T>().finish(c, s.m, s.n, s.n, all);
    };
}

// Products with an operand or result in 16 bits: widened panel by panel, computed in float.
bool is_mixed(const Graph& g, const Node& node) {
    return is_half(input_type(g, node, 0).dtype) || is_half(input_type(g, node, 1).dtype) || is_half(node.types[0].dtype);
}
bool mixed_epilogue(Act act) { return act == Act::none || act == Act::relu; }

constexpr size_t kMixedPackBytes = static_cast<size_t>(kMixedPackElements) * sizeof(float);

RunFn mixed_product(const Graph& g, const Node& node, Act act) {
    const MatmulShape s = matmul_shape(g, node);
    const DType type_a = input_type(g, node, 0).dtype, type_b = input_type(g, node, 1).dtype, type_c = node.types[0].dtype;
    const bool has_bias = node.inputs.size() == 3;
    const DType type_bias = has_bias ? input_type(g, node, 2).dtype : DType::f32;
    const int threads = max_threads();
    // Each piece packs its rows of a and its columns of b: the longer side is split first.
    const int64_t batches = product(s.batch);
    const int64_t want = s.m * s.n * s.k * batches < 4 * kForkWork
                             ? 1
                             : (threads + std::max<int64_t>(batches, 1) - 1) / std::max<int64_t>(batches, 1);
    const int64_t units_m = std::max<int64_t>((s.m + 7) / 8, 1), units_n = std::max<int64_t>((s.n + 15) / 16, 1);
    int64_t by_m = 1, by_n = 1;
    if (s.m >= s.n)
        by_m = std::min(want, units_m), by_n = std::min((want + by_m - 1) / by_m, units_n);
    else
        by_n = std::min(want, units_n), by_m = std::min((want + by_n - 1) / by_n, units_m);
    const size_t bias_at = kMixedPackBytes * static_cast<size_t>(threads);
    return [=](const KernelArgs& args) {
        const auto* a = static_cast<const std::byte*>(args.in[0]);
        const auto* b = static_cast<const std::byte*>(args.in[1]);
        auto* c = static_cast<std::byte*>(args.out[0]);
        const auto* bias = has_bias ? static_cast<const float*>(args.in[2]) : nullptr;
        if (has_bias && is_half(type_bias)) {
            auto* wide = reinterpret_cast<float*>(args.scratch + bias_at);
            widen_to_float(type_bias, args.in[2], s.n, wide);
            bias = wide;
        }
        parallel_slots(threads, batches * by_n * by_m, std::max<int64_t>(s.m * s.n * s.k / (4 * by_n * by_m), 1),
                       [&](int64_t begin, int64_t end, int64_t slot) {
                           for (int64_t item = begin; item < end; ++item) {
                               const int64_t batch = item / (by_n * by_m), piece = item % (by_n * by_m);
                               const auto cut = [](int64_t n, int64_t i, int64_t count, int64_t units, int64_t unit) {
                                   return std::min(n, units * i / count * unit);
                               };
                               const int64_t pn = piece / by_m, pm = piece % by_m;
                               const int64_t n0 = cut(s.n, pn, by_n, units_n, 16), n1 = cut(s.n, pn + 1, by_n, units_n, 16);
                               const int64_t m0 = cut(s.m, pm, by_m, units_m, 8), m1 = cut(s.m, pm + 1, by_m, units_m, 8);
                               if (n0 == n1 || m0 == m1) continue;
                               int64_t at_a, at_b;
                               batch_offsets(s, batch, at_a, at_b);
                               MixedGemmArgs x{};
                               x.a = {nullptr, stored_as(type_a), s.transpose_a ? 1 : s.k, s.transpose_a ? s.m : 1};
                               x.b = {nullptr, stored_as(type_b), s.transpose_b ? 1 : s.n, s.transpose_b ? s.k : 1};
                               x.a.data = a + static_cast<size_t>(at_a + m0 * x.a.row) * size_of(type_a);
                               x.b.data = b + static_cast<size_t>(at_b + n0 * x.b.col) * size_of(type_b);
                               x.c = c + static_cast<size_t>((batch * s.m + m0) * s.n + n0) * size_of(type_c);
                               x.c_type = stored_as(type_c);
                               x.ldc = s.n;
                               x.m = m1 - m0, x.n = n1 - n0, x.k = s.k;
                               x.bias = bias ? bias + n0 : nullptr;
                               x.relu = act == Act::relu;
                               x.pack = reinterpret_cast<float*>(args.scratch) + slot * kMixedPackElements;
                               own_kernels().mixed_gemm(x);
                           }
                       });
    };
}

// Integers wrap around.
template <class T>
RunFn integer_product(const MatmulShape& s) {
    return [=](const KernelArgs& args) {
        const T* a = static_cast<const T*>(args.in[0]);
        const T* b = static_cast<const T*>(args.in[1]);
        T* c = static_cast<T*>(args.out[0]);
        const int64_t a_row = s.transpose_a ? 1 : s.k, a_col = s.transpose_a ? s.m : 1;
        const int64_t b_row = s.transpose_b ? 1 : s.n, b_col = s.transpose_b ? s.k : 1;
        parallel_ranges(product(s.batch) * s.m, s.n * s.k, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
                int64_t at_a, at_b;
                batch_offsets(s, r / s.m, at_a, at_b);
                const T* row = a + at_a + (r % s.m) * a_row;
                T* out = c + r * s.n;
                std::fill(out, out + s.n, T{0});
                for (int64_t k = 0; k < s.k; ++k) {
                    const auto x = static_cast<uint64_t>(row[k * a_col]);
                    const T* line = b + at_b + k * b_row;
                    for (int64_t j = 0; j < s.n; ++j)
                        out[j] = static_cast<T>(static_cast<uint64_t>(out[j]) + x * static_cast<uint64_t>(line[j * b_col]));
                }
            }
        });
    };
}

}  // namespace

// Packed weights are a second copy of them. It pays where packing them is a part of the work that counts; a single row reads
// them as well where they lie, unless they are transposed.
bool pays_to_pack(const MatmulShape& s) {
    constexpr int64_t kMostRows = 2048;
    return product(s.batch_b) == 1 && s.m <= kMostRows && (s.m > 1 || s.transpose_b || product(s.batch) > 1);
}

std::string refuse_ending(const Graph& g, const Node& node) {
    if (node.inputs.size() < 3) return "";
    const auto& act = std::get<std::string>(node.attrs.back());
    if (!act_from_name(act)) return concat("activation ", act);
    return input_type(g, node, 2).size() == node.types[0].dims.back() ? "" : "the bias is not one row";
}

Act act_of(const Node& node) {
    return node.inputs.size() < 3 ? Act::none : act_from_name(std::get<std::string>(node.attrs.back())).value_or(Act::none);
}

std::unique_ptr<Kernel> make_product(const Graph& g, const Node& node, const MatmulShape& s, Act act, std::string text) {
    const bool third = node.inputs.size() >= 3, wide = input_type(g, node, 0).dtype == DType::f64;
    const Form form{.bias = third && !node.is("matmul_times"),
                    .add = node.inputs.size() == 4,
                    .slope = node.is("matmul_bias_act_slope"),
                    .factor = node.is("matmul_times"),
                    .act = act};
    const bool flipped = is_flipped(s, form.plain());
    const MatmulShape shape = flipped ? flip(s) : s;
    const Split split(shape, max_threads());
    const bool packed = !flipped && g.steady(node.inputs[1]) && !is_half(input_type(g, node, 1).dtype) && pays_to_pack(s);
    const RunFn body = wide ? float_product<double>(shape, split, flipped, form, packed)
                            : float_product<float>(shape, split, flipped, form, packed);
    const size_t element = wide ? 8 : 4;
    const int64_t sums = form.factor ? sum_rows(shape, split) * shape.n : 0;
    const auto scratch =
        static_cast<size_t>(pack_elements(shape) * max_threads() + split.partials(shape, flipped) + sums) * element;
    if (form.add) text += ", adds to a tensor";
    std::unique_ptr<Kernel> kernel = make_widened(g, node, std::move(text), body, scratch, form.add ? 3 : -1);
    if (packed)
        kernel->prepared.push_back(
            {1, static_cast<size_t>(packed_elements(s)) * element,
             make_kernel("own:pack", wide ? pack_product<double>(s, split) : pack_product<float>(s, split))});
    return kernel;
}

namespace own_matmul {
std::string match(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    if (t == DType::boolean) return "booleans have no matrix product";
    if (node.inputs.size() >= 3) {
        if (!is_float(t)) return "bias and activation need a floating type";
        if (std::string why = refuse_ending(g, node); !why.empty()) return why;
    }
    return is_float(t) ? check_compute_types(g, node) : "";
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const MatmulShape s = matmul_shape(g, node);
    const Act act = act_of(node);
    const DType t = input_type(g, node, 0).dtype;
    if (is_mixed(g, node) && mixed_epilogue(act))
        return make_kernel("own:mixed_gemm", mixed_product(g, node, act),
                           kMixedPackBytes * static_cast<size_t>(max_threads()) + static_cast<size_t>(s.n) * sizeof(float));
    if (is_float(t)) return make_product(g, node, s, act, "own:gemm");
    return dispatch_any(t, [&](auto tag) -> std::unique_ptr<Kernel> {
        using T = typename decltype(tag)::type;
        if constexpr (std::is_integral_v<T>)
            return make_kernel("own:integer_product", integer_product<T>(s));
        else
            return nullptr;
    });
}
}  // namespace own_matmul

// Products that another tensor is added to, likewise: only where the own kernel is the one to take.
namespace own_matmul_add {
std::string match(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    if (!is_float(t) || is_half(t)) return concat("only float32 and float64, not ", name(t));
    if (t == DType::f32 && current_isa() < Isa::avx512) return "without AVX-512 the library's products are faster";
    return own_matmul::match(g, node);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) { return own_matmul::make(g, node); }
}  // namespace own_matmul_add

// Products with a second result: only where the own kernel is the one to take, and for what fills its vectors.
namespace own_matmul_pair {
std::string match(const Graph& g, const Node& node) {
    const DType t = input_type(g, node, 0).dtype;
    if (!is_float(t) || is_half(t)) return concat("only float32 and float64, not ", name(t));
    if (t == DType::f32 && current_isa() < Isa::avx512) return "without AVX-512 the library's products are faster";
    if (node.is("matmul_times")) return "";
    const auto& act = std::get<std::string>(node.attrs[2]);
    return act == "gelu" || act == "silu" ? "" : concat("no slope of ", act);
}

std::unique_ptr<Kernel> make(const Graph& g, const Node& node) {
    const Act act = node.is("matmul_times") ? Act::none : act_from_name(std::get<std::string>(node.attrs[2])).value();
    return make_product(g, node, matmul_shape(g, node), act, "own:gemm");
}
}  // namespace own_matmul_pair

}  // namespace fk::cpu
