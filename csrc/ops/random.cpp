// Random numbers as pure functions of a key: Philox4x32-10 (Salmon et al., SC'11). The same key gives the same numbers on
// every device and in the backward pass, so no mask is ever stored.
#include <numbers>

#include "ops/expr.h"
#include "ops/families.h"
#include "ops/infer.h"

namespace fk::families {
namespace {

using Out = std::vector<Expr>;
using Types = std::vector<TensorType>;
constexpr std::string_view kKey[] = {"key"};
constexpr std::string_view kXKey[] = {"x", "key"};
const AttrDef kShape[] = {{"shape", AttrType::dims}};
const AttrDef kUniform[] = {{"shape", AttrType::dims},
                            {"low", AttrType::floating, Attr{0.0}},
                            {"high", AttrType::floating, Attr{1.0}},
                            {"dtype", AttrType::dtype, Attr{static_cast<int64_t>(DType::f32)}}};
const AttrDef kNormal[] = {{"shape", AttrType::dims},
                           {"mean", AttrType::floating, Attr{0.0}},
                           {"stddev", AttrType::floating, Attr{1.0}},
                           {"dtype", AttrType::dtype, Attr{static_cast<int64_t>(DType::f32)}}};
const AttrDef kRate[] = {{"rate", AttrType::floating}};

void check_key(const InferCall& c, size_t i) {
    if (c.in[i] != TensorType{DType::u32, {2}})
        fail<UserError>(c.op.name, ": the key is ", to_string(c.in[i]), "; expected uint32[2], as SeedGenerator.next() gives");
}

Types infer_sample(const InferCall& c) {
    check_key(c, 0);
    if (!is_float(c.dtype(3))) fail<UserError>(c.op.name, ": dtype ", name(c.dtype(3)), "; expected a floating-point dtype");
    return {{c.dtype(3), c.dims(0)}};
}

Expr bits(Expr key, const Dims& shape) { return emit("random_bits", {key}, {shape}); }

// 24 random bits as a fraction in [0, 1), exact in float32.
Expr unit(Expr word) { return cast(emit("right_shift", {word, lit(word, 8)}), DType::f32) * 0x1p-24; }

DType wide(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

Out uniform_body(const OpCall& c) {
    const double low = c.node->float_attr("low"), high = c.node->float_attr("high");
    const DType out = c.out_type().dtype;
    const Expr u = cast(unit(bits(c.in(0), c.out_type().dims)), wide(out));
    return {cast(u * (high - low) + low, out)};
}

// Box-Muller: each pair of words gives a pair of independent normals.
Out normal_body(const OpCall& c) {
    const TensorType t = c.out_type();
    const int64_t n = t.size(), pairs = (n + 1) / 2;
    const Expr words = bits(c.in(0), {pairs, 2});
    auto word = [&](int64_t i) { return emit("slice", {words}, {Dims{0, i}, Dims{pairs, i + 1}, Dims{1, 1}}); };
    const Expr u1 = cast(unit(word(0)), wide(t.dtype)) + 0x1p-24, u2 = cast(unit(word(1)), wide(t.dtype));
    const Expr r = sqrt(-2.0 * log(u1)), angle = (2 * std::numbers::pi) * u2;
    Expr z = reshape(emit("concatenate", {r * cos(angle), r * sin(angle)}, {int64_t{1}}), {pairs * 2});
    if (pairs * 2 != n) z = emit("slice", {z}, {Dims{0}, Dims{n}, Dims{1}});
    return {cast(reshape(z, t.dims) * c.node->float_attr("stddev") + c.node->float_attr("mean"), t.dtype)};
}

Out dropout_body(const OpCall& c) {
    const Expr x = c.in(0);
    const double rate = c.node->float_attr("rate");
    const Expr keep = unit(bits(c.in(1), x.dims())) >= rate;
    return {where(keep, x * (rate < 1.0 ? 1.0 / (1.0 - rate) : 0.0), 0.0)};
}

}  // namespace

std::vector<OpDef> random() {
    return {
        OpDef{.name = "random_bits",
              .summary = "Words of the Philox4x32-10 stream of a uint32[2] key: element i is word i % 4 of block i / 4.",
              .kind = OpKind::structural,
              .inputs = kKey,
              .attrs = kShape,
              .infer = [](const InferCall& c) -> Types {
                  check_key(c, 0);
                  return {{DType::u32, c.dims(0)}};
              },
              .differentiable = false},
        OpDef{.name = "random_uniform",
              .summary = "Uniform numbers in [low, high).",
              .inputs = kKey,
              .attrs = kUniform,
              .infer = infer_sample,
              .body = uniform_body,
              .differentiable = false},
        OpDef{.name = "random_normal",
              .summary = "Normal numbers by the Box-Muller transform.",
              .inputs = kKey,
              .attrs = kNormal,
              .infer = infer_sample,
              .body = normal_body,
              .differentiable = false},
        OpDef{.name = "dropout",
              .summary = "Zeroes elements with probability rate and scales the others by 1 / (1 - rate).",
              .inputs = kXKey,
              .attrs = kRate,
              .infer = [](const InferCall& c) -> Types {
                  infer::require_float(c, 0);
                  check_key(c, 1);
                  if (!(c.real(0) >= 0.0 && c.real(0) <= 1.0))
                      fail<UserError>("dropout: rate is ", c.real(0), "; expected 0 <= rate <= 1");
                  return {c.in[0]};
              },
              .body = dropout_body,
              .vjp = [](const VjpCall& c) -> Out {
                  return {emit("dropout", {c.dy(), c.in(1)}, {c.node().float_attr("rate")}), Expr{}};
              }},
    };
}

}  // namespace fk::families
