// Fused regions as CUDA kernels: the source that a GPU would get, compiled for the host and run a fiber to a thread, against the
// reference evaluator. CUDA_REGION_TESTS and CUDA_REGION_FIRST choose how many random regions and which.
#include <doctest/doctest.h>

#include <cstdlib>
#include <set>

#include "codegen/emit_cuda.h"
#include "codegen/typed_code.h"
#include "cuda/texts.h"
#include "host_kernels.h"
#include "region_support.h"

using namespace fk;
using namespace fk::test;

namespace {

// Runs the launches of a program on buffers of the host.
std::vector<Buffer> run_program(const fake_cuda::HostModule& module, const cuda::Program& program, const Region& region,
                                const std::vector<Buffer>& inputs, const std::vector<Buffer>& want, int shared_output = -1,
                                int shared_input = -1) {
    std::vector<Buffer> ins = inputs, outs;
    for (const Buffer& b : want) outs.emplace_back(b.size() + 16, std::byte{0xAB});
    Buffer scratch(program.scratch + 16, std::byte{0xCD});
    const auto aligned = [](Buffer& b) { return b.data(); };
    const auto output = [&](size_t o) {
        return static_cast<int>(o) == shared_output ? aligned(ins[static_cast<size_t>(shared_input)]) : aligned(outs[o]);
    };
    for (const cuda::Launch& launch : program.launches) {
        std::vector<void*> pointers, arguments;
        for (const cuda::Argument& a : launch.arguments)
            pointers.push_back(a.kind == cuda::Argument::Kind::input    ? aligned(ins[a.at])
                               : a.kind == cuda::Argument::Kind::output ? output(a.at)
                                                                        : aligned(scratch) + a.at);
        for (void*& p : pointers) arguments.push_back(&p);
        const auto entry = module.find(launch.name);
        REQUIRE_MESSAGE((entry != nullptr), launch.name);
        module.run(entry,
                   {static_cast<unsigned>(launch.blocks), static_cast<unsigned>(launch.slices),
                    static_cast<unsigned>(launch.threads), launch.synchronizes},
                   arguments.data());
    }
    std::vector<Buffer> got;
    for (size_t o = 0; o < want.size(); ++o) {
        const std::byte* from = output(o);
        got.emplace_back(from, from + want[o].size());
        if (static_cast<int>(o) != shared_output)
            CHECK(std::all_of(outs[o].begin() + static_cast<std::ptrdiff_t>(want[o].size()), outs[o].end(),
                              [](std::byte b) { return b == std::byte{0xAB}; }));
    }
    return got;
}

void check(const Region& region, const std::vector<Buffer>& got, const std::vector<Buffer>& want, const cuda::Program& program) {
    for (size_t o = 0; o < got.size(); ++o) {
        // float32 sums of n terms in any order: relative to the largest partial sum, n/2 roundings at most, far fewer in a tree.
        const double slack = region.outputs[o].reduced ? 1e-6 * static_cast<double>(product(region.space)) : 1e-6;
        const size_t bad = mismatches(region.outputs[o], got[o], want[o], slack);
        CHECK_MESSAGE(bad == 0, "output ", o, ": ", bad, " wrong; ", program.text, "\n", to_string(region), "\n",
                      program.launches.front().source);
    }
}

}  // namespace

TEST_CASE("random regions as CUDA kernels agree with the reference") {
    const char* count_text = std::getenv("CUDA_REGION_TESTS");
    const char* first_text = std::getenv("CUDA_REGION_FIRST");
    const int count = count_text ? std::atoi(count_text) : 200, first = first_text ? std::atoi(first_text) : 1;
    std::set<std::string> forms;
    for (int begin = first; begin < first + count; begin += 50) {
        std::vector<RandomRegion> regions;
        std::vector<cuda::Program> programs;
        std::set<std::string> names;
        std::string source = cuda::text::prelude;
        for (int seed = begin; seed < std::min(begin + 50, first + count); ++seed) {
            regions.emplace_back(static_cast<uint32_t>(seed), seed % 20 == 0 ? 60000 : 4000);
            // A machine of few multiprocessors now and then, so that reductions are cut into slices and whole.
            programs.push_back(cuda::emit_cuda(regions.back().region, {.blocks_wanted = seed % 3 == 0 ? 1 : 64}));
            for (const cuda::Launch& l : programs.back().launches) {
                forms.insert(l.name.substr(0, l.name.rfind('_')));
                if (names.insert(l.name).second) source += l.source;
            }
        }
        const fake_cuda::HostModule module(source);
        for (size_t i = 0; i < regions.size(); ++i) {
            const RandomRegion& r = regions[i];
            CAPTURE(begin + static_cast<int>(i));
            const std::vector<Buffer> want = Reference(r.region, r.inputs).run();
            check(r.region, run_program(module, programs[i], r.region, r.inputs, want), want, programs[i]);
            for (size_t k = 0; k < programs[i].shares.size(); ++k) {
                if (!programs[i].shares[k]) continue;
                const size_t in = k % r.region.inputs.size(), out = k / r.region.inputs.size();
                if (r.inputs[in].size() < want[out].size()) continue;
                check(r.region,
                      run_program(module, programs[i], r.region, r.inputs, want, static_cast<int>(out), static_cast<int>(in)),
                      want, programs[i]);
            }
        }
    }
    if (count >= 200) CHECK(forms == std::set<std::string>{"fk_map", "fk_rows", "fk_columns", "fk_finish"});
}

TEST_CASE("every primitive has its function in the prelude of CUDA kernels") {
    // float: a few units in the last place of each function (its own error and the host library's); double: the same.
    const std::vector<double> values = {0.25, 0.5, 0.9, 1.5, 2.5, -0.75, -3.25, 7.0};
    for (const DType type : {DType::f32, DType::f64, DType::i32, DType::boolean}) {
        std::vector<Prim> prims;
        std::vector<Region> regions;
        std::vector<cuda::Program> programs;
        std::string source = cuda::text::prelude;
        std::set<std::string> names;
        const auto n = static_cast<int64_t>(values.size());
        for (int p = 0; p < kPrimCount; ++p) {
            const auto prim = static_cast<Prim>(p);
            if (!computes(prim, class_of(type))) continue;
            const bool to_bool = prim >= Prim::equal && prim <= Prim::greater_equal;
            const bool asks = prim == Prim::isfinite || prim == Prim::isnan || prim == Prim::isinf || prim == Prim::logical_not;
            Region r;
            r.space = {n};
            r.reduced = {false};
            r.inputs.push_back({.dtype = type, .strides = {1}});
            r.inputs.push_back({.dtype = type, .strides = {0}, .offset = 1});
            r.code.push_back({.op = RegionOp::load, .dtype = type, .index = 0});
            r.code.push_back({.op = RegionOp::load, .dtype = type, .index = 1});
            const DType result = to_bool || asks || type == DType::boolean ? DType::boolean : type;
            RegionInstr instr{.op = RegionOp::prim, .prim = prim, .dtype = result};
            instr.src[0] = 0;
            instr.src[1] = arity(prim) == 2 ? 1 : -1;
            r.code.push_back(instr);
            r.outputs.push_back({.dtype = result, .src = 2});
            prims.push_back(prim);
            programs.push_back(cuda::emit_cuda(r));
            for (const cuda::Launch& l : programs.back().launches)
                if (names.insert(l.name).second) source += l.source;
            regions.push_back(std::move(r));
        }
        Buffer x(values.size() * size_of(type));
        for (size_t i = 0; i < values.size(); ++i)
            store(x.data() + i * size_of(type), type, {values[i], static_cast<__int128>(std::floor(values[i]))});
        const std::vector<Buffer> inputs = {x, x};
        const fake_cuda::HostModule module(source);
        for (size_t i = 0; i < prims.size(); ++i) {
            CAPTURE(name(prims[i]));
            CAPTURE(name(type));
            const std::vector<Buffer> want = Reference(regions[i], inputs).run();
            check(regions[i], run_program(module, programs[i], regions[i], inputs, want), want, programs[i]);
        }
    }
}
