// The typed form between a region and a tile program: steps over classes, in order, one value each.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "codegen/emit_cpu.h"

namespace fk::cpu {

struct TileStep {
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
        copy,
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

struct TileSteps {
    std::vector<TileStep> steps;
    std::vector<int> output_steps;  // per output: the value stored, in its memory type, or reduced
};

[[nodiscard]] TileSteps lower_tile_steps(const Region& region);
[[nodiscard]] double step_cost(const TileStep& step);  // estimated nanoseconds per element

}  // namespace fk::cpu
