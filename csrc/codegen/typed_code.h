// The typed form of a region's code, from which every device's code is made: steps over classes, in order, one value each.
// What is rounded, wrapped or saturated, and where, is decided here and so is the same on all devices.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "codegen/region.h"
#include "codegen/value_class.h"

namespace fk {

// How often a value changes: once per run, once per step of the outer loops, or along the tile. The first two kinds are
// scalars, computed with n = 1.
enum class Rate : uint8_t { run, outer, tile };

struct TypedStep {
    enum class Kind : uint8_t {
        load,      // input `arg`, as it lies in memory
        constant,  // `bits`
        index,     // RegionIndex `arg`
        philox,    // stream keyed by input `arg`
        unary,
        binary,
        select,
        cast,          // class to class
        load_convert,  // memory type `type` to its class, and back
        store_convert,
        wrap,  // to the values `type` can hold
        clamp,
        copy,   // this and the rest: made by the emitter of tile programs
        splat,  // a scalar to a vector
        pair,   // super-instructions
        compare_select
    };
    Kind kind = Kind::constant;
    Prim prim = Prim::none;
    DType type = DType::f32;
    Class from = Class::f32, cls = Class::f32;  // of the operands, of the result
    PairInner inner = PairInner::add;
    PairOuter outer = PairOuter::add;
    size_t size = 4;  // bytes per element of the result
    int src[4] = {-1, -1, -1, -1};
    int count = 0;  // sources
    int arg = -1;
    uint64_t bits = 0;
    Rate rate = Rate::run;
    int output = -1;      // stored output this step writes
    bool spread = false;  // a splat made once, before the tiles that read it
    bool dead = false;    // became part of a super-instruction

    [[nodiscard]] std::span<const int> sources() const { return {src, static_cast<size_t>(count)}; }
    void set_sources(std::initializer_list<int> values) {
        count = 0;
        for (const int v : values) src[count++] = v;
    }
    [[nodiscard]] bool is_scalar_source() const { return kind == Kind::constant; }
    [[nodiscard]] std::string text() const;
};

struct TypedCode {
    std::vector<TypedStep> steps;
    std::vector<int> output_steps;  // per output: the value stored, in its memory type, or reduced
};

[[nodiscard]] TypedCode type_code(const Region& region);
[[nodiscard]] double step_cost(const TypedStep& step);  // estimated nanoseconds per element

// Whether a primitive is computed on values of that class: others are converted before.
[[nodiscard]] bool computes(Prim prim, Class cls);

}  // namespace fk
