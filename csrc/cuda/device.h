// NVIDIA GPUs as devices: memory in a pool of the engine's own, one stream each, kernels compiled by NVRTC and kept on disk, and
// runs that repeat captured as CUDA graphs. Start at device.cpp's `GpuDevice`.
#pragma once

#include <string>
#include <vector>

#include "runtime/device.h"

namespace fk::cuda {

// GPU number `number`, started at the first call. UnsupportedError with one sentence where it cannot be had.
[[nodiscard]] const Device& device(int number);

struct GpuFacts {
    std::string name, architecture;  // "NVIDIA H200", "sm_90"
    size_t memory = 0;               // bytes
    int multiprocessors = 0;
};
// Those that this process can use; none without a driver or a GPU.
[[nodiscard]] std::vector<GpuFacts> list_gpus();

}  // namespace fk::cuda
