// Fused regions on the CPU: random regions against the reference evaluator, on every instruction set this machine has, in one
// and several threads, in place and not. REGION_TESTS and REGION_FIRST choose how many and which.
#include <doctest/doctest.h>

#include <cstdlib>
#include <set>

#include "codegen/emit_cpu.h"
#include "cpu/threads.h"
#include "region_support.h"

using namespace fk;
using namespace fk::test;

namespace {

// Which ways through the tile program the random regions took: all must occur.
struct Seen {
    std::set<cpu::TileForm> forms;
    std::set<cpu::Access> accesses;
    bool split = false, threads = false, outer_copy = false, scattered = false, first_only = false;
    void note(const cpu::TileProgram& p) {
        forms.insert(p.nest.form);
        split |= p.split_steps;
        threads |= p.threads > 1;
        for (const cpu::TileStream& s : p.streams) {
            accesses.insert(s.access);
            outer_copy |= s.access == cpu::Access::periodic && s.rate == Rate::outer;
            scattered |= s.access == cpu::Access::gathered && s.walk.kind == cpu::TileWalk::Kind::output;
            first_only |= s.first_only;
        }
    }
} seen;

void check_region(const Region& region, const std::vector<Buffer>& inputs, const std::vector<Buffer>& want,
                  const cpu::TileOptions& options) {
    auto program = cpu::emit_tile_program(region, options);
    seen.note(program);
    const auto kernel = cpu::make_tile_kernel(std::move(program));
    for (const bool in_place : {false, true}) {
        const std::vector<Buffer> got = run_kernel(*kernel, region, inputs, in_place);
        for (size_t o = 0; o < got.size(); ++o) {
            const double slack = region.outputs[o].reduced ? 1e-6 * static_cast<double>(product(region.space)) : 1e-6;
            const size_t bad = mismatches(region.outputs[o], got[o], want[o], slack);
            CHECK_MESSAGE(bad == 0, "output ", o, in_place ? " in place" : "", ": ", bad, " wrong; ", kernel->describe(), "\n",
                          to_string(region));
        }
    }
}

}  // namespace

TEST_CASE("random regions agree with the reference on every instruction set") {
    const char* count_text = std::getenv("REGION_TESTS");
    const char* first_text = std::getenv("REGION_FIRST");
    const int count = count_text ? std::atoi(count_text) : 400, first = first_text ? std::atoi(first_text) : 1;
    cpu::set_max_threads(2);
    for (int seed = first; seed < first + count; ++seed) {
        const RandomRegion random(static_cast<uint32_t>(seed), seed % 20 == 0 ? 60000 : 4000);
        CAPTURE(seed);
        const std::vector<Buffer> want = Reference(random.region, random.inputs).run();
        for (const std::string_view isa : all_isas()) {
            CAPTURE(isa);
            cpu::set_max_isa(isa);
            check_region(random.region, random.inputs, want, {.threads = 1});
            check_region(random.region, random.inputs, want, {.threads = 2, .tile = 64});
            if (seed % 4 == 0) check_region(random.region, random.inputs, want, {.threads = 2, .tile = 16});
        }
        cpu::set_max_isa("avx512_bf16");
    }
    cpu::set_max_threads(0);
    if (count < 400) return;
    CHECK(seen.forms.size() == 6);
    CHECK(seen.accesses.size() == 4);
    CHECK(seen.split);
    CHECK(seen.threads);
    CHECK(seen.outer_copy);
    CHECK(seen.scattered);
    CHECK(seen.first_only);
}

TEST_CASE("a long float sum is accurate and repeatable") {
    constexpr int64_t n = 1000003;
    Region region;
    region.space = {n};
    region.reduced = {true};
    region.inputs.push_back({DType::f32, {1}, 0});
    region.code.push_back({.op = RegionOp::load, .index = 0});
    region.outputs.push_back({DType::f32, 0, true, ReduceKind::sum});
    std::mt19937 rng(11);
    Buffer data(n * sizeof(float));
    double exact = 0;
    for (int64_t i = 0; i < n; ++i) {
        const float v = std::uniform_real_distribution<float>(0, 1)(rng);
        write(data.data() + static_cast<size_t>(i) * sizeof v, v);
        exact += static_cast<double>(v);
    }
    for (const std::string_view isa : all_isas())
        for (const int threads : {1, 2}) {
            cpu::set_max_isa(isa);
            const auto kernel = cpu::make_tile_kernel(cpu::emit_tile_program(region, {.threads = threads}));
            const float first = read<float>(run_kernel(*kernel, region, {data})[0].data());
            CHECK(std::fabs(static_cast<double>(first) - exact) <= 1e-6 * exact);
            for (int i = 0; i < 5; ++i) CHECK(read<float>(run_kernel(*kernel, region, {data})[0].data()) == first);
        }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("NaN wins maxima and minima, reduced or not") {
    for (const int64_t n : {1, 3, 17, 200, 5000})
        for (const bool rows : {false, true}) {
            Region region;
            region.space = {n, 40};
            region.reduced = {!rows, rows};
            region.inputs.push_back({DType::f32, {40, 1}, 0});
            region.code.push_back({.op = RegionOp::load, .index = 0});
            region.outputs.push_back({DType::f32, 0, true, ReduceKind::max});
            region.outputs.push_back({DType::f32, 0, true, ReduceKind::min});
            Buffer data(static_cast<size_t>(n) * 40 * sizeof(float), std::byte{0});
            const size_t spot = static_cast<size_t>(n / 2 * 40 + 23);
            write(data.data() + spot * sizeof(float), NAN);
            for (const std::string_view isa : all_isas()) {
                cpu::set_max_isa(isa);
                const auto out = run_kernel(*cpu::compile_region(region), region, {data});
                for (const Buffer& b : out)
                    for (size_t i = 0; i < b.size() / sizeof(float); ++i)
                        CHECK(std::isnan(read<float>(b.data() + i * sizeof(float))) == (i == (rows ? spot / 40 : spot % 40)));
            }
        }
    cpu::set_max_isa("avx512_bf16");
}

TEST_CASE("collapse merges what every operand walks alike and ignores a key's strides") {
    Region region;
    region.space = {4, 1, 5, 6};
    region.reduced = {false, false, true, true};
    region.inputs.push_back({DType::f32, {30, 7, 6, 1}, 0});
    region.inputs.push_back({DType::u32, {}, 0});
    region.indices.push_back({{30, 0, 6, 1}, 2});
    region.code.push_back({.op = RegionOp::load, .index = 0});
    region.code.push_back({.op = RegionOp::index, .dtype = DType::i64, .index = 0});
    RegionInstr bits{.op = RegionOp::philox, .dtype = DType::u32, .index = 1};
    bits.src[0] = 1;
    region.code.push_back(bits);
    region.outputs.push_back({DType::f32, 0, true, ReduceKind::sum});
    region.outputs.push_back({DType::u32, 2, false, ReduceKind::sum});
    const Region small = collapse(region);
    CHECK(small.space == Dims{4, 30});
    CHECK(small.inputs[0].strides == Dims{30, 1});
    CHECK(small.reduced == std::vector<bool>{false, true});
    region.outputs.erase(region.outputs.begin());
    CHECK(collapse(region).space == Dims{120});
    CHECK(!to_string(region).empty());
}
