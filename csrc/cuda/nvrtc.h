// CUDA C++ to machine code with NVRTC, which needs neither a GPU nor a driver.
#pragma once

#include <string>
#include <vector>

namespace fk::cuda {

struct KernelFacts {  // what the assembler says of a kernel
    std::string name;
    int registers = 0, stack = 0, spill_stores = 0, spill_loads = 0;  // bytes but for the first
};

struct Compiled {
    std::string cubin;
    std::vector<KernelFacts> kernels;
    double milliseconds = 0;
};

// `architecture`: "sm_90". InternalError with NVRTC's words for source that does not compile, UnsupportedError without NVRTC.
[[nodiscard]] Compiled compile_source(const std::string& source, const std::string& architecture);

// "13.0".
[[nodiscard]] std::string nvrtc_version();

}  // namespace fk::cuda
