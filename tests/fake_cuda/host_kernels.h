// Generated CUDA kernels on the host: compiles their source with the system's C++ compiler and runs a grid of them, a fiber to a
// thread. The numbers are the ones a GPU would compute, up to the rounding of its math functions and fused multiply-adds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace fk::fake_cuda {

class HostModule {
  public:
    // `source`: everything that would go to NVRTC. Throws std::runtime_error with the compiler's words.
    explicit HostModule(const std::string& source);
    ~HostModule();
    HostModule(const HostModule&) = delete;
    HostModule& operator=(const HostModule&) = delete;

    using Entry = void (*)(void** arguments);
    [[nodiscard]] Entry find(const std::string& kernel) const;  // null: no such kernel
    // What the module says of a kernel: "_parameters", "_synchronizes"; 0 where it says nothing.
    [[nodiscard]] unsigned fact(const std::string& kernel, const char* which) const;

    struct Grid {
        unsigned blocks = 1, slices = 1, threads = 1;
        bool synchronizes = false;  // threads that never wait for each other need no fibers
    };
    // Threads take turns in ascending order in one block and descending order in the next, so that a missing barrier shows.
    // Throws std::runtime_error where threads wait for others that have ended.
    void run(Entry entry, const Grid& grid, void** arguments) const;

  private:
    void* library_ = nullptr;
    void** block_ = nullptr;  // the module's fk_block, of the thread that asks
};

}  // namespace fk::fake_cuda
