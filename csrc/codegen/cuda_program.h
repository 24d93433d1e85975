// What an instruction of a plan is on a GPU: CUDA C++ source of a few kernels and how to launch them. Pure text and numbers: the
// emitters (emit_cuda.cpp, csrc/cuda/ops) need neither a GPU nor NVIDIA's libraries, and the tests run the same source on the
// host.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/value_class.h"

namespace fk::cuda {

// Kernels take pointers, and numbers of 64 bits; nearly everything else is a constant in their source.
struct Argument {
    // error: an `Error` of prelude.cuh. number: `at` itself, for kernels that differ in nothing else.
    enum class Kind : uint8_t { input, output, scratch, error, number };
    Kind kind = Kind::input;
    size_t at = 0;  // number of the input or output; byte offset in the scratch memory
};

struct Launch {
    std::string name;                // of the kernel: follows from its source, so that equal kernels are compiled once
    std::string source;              // without the prelude
    std::vector<const char*> uses;   // texts of cuda/texts.h that go before it, in order
    int64_t blocks = 1, slices = 1;  // the grid: x and y
    int threads = 256;               // of a block
    bool synchronizes = false;       // its threads exchange values
    std::vector<Argument> arguments;
};

struct Program {
    std::vector<Launch> launches;  // one after the other
    size_t scratch = 0;            // bytes, 256-aligned
    std::vector<bool> shares;      // [output * inputs + input]: may have one buffer
    size_t inputs = 0;
    std::string text;  // "cuda:rows 256 threads"
    // Kernels that look at data they cannot trust report the first bad value; this makes a message of it.
    std::function<std::string(int64_t bad)> message;
};

// Puts `body` (parameters and statements, "(const float* in0, ...) {...}") under a name made of `kind` and its contents.
[[nodiscard]] Launch make_launch(std::string_view kind, int threads, const std::string& body, bool synchronizes);

// How CUDA C++ calls a type in memory, and the one it is computed in.
[[nodiscard]] std::string_view memory_name(DType t);
[[nodiscard]] std::string_view class_name(Class c);

}  // namespace fk::cuda
