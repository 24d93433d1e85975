// See nvrtc.h. The few entry points are declared here: NVRTC's C interface is stable, so no header of CUDA is needed to build.
#include "cuda/nvrtc.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>

#include "core/config.h"
#include "cuda/library.h"

namespace fk::cuda {
namespace {

using Program = struct NvrtcProgram*;

struct Nvrtc {
    Library library{"NVRTC",
                    {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"},
                    {"libnvrtc-builtins.so.13.0"},
                    "Install it with: pip install 'fastkeras[cuda13]'"};
    int (*version)(int*, int*) = nullptr;
    const char* (*error_text)(int) = nullptr;
    int (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
    int (*destroy)(Program*) = nullptr;
    int (*compile)(Program, int, const char* const*) = nullptr;
    int (*log_size)(Program, size_t*) = nullptr;
    int (*log)(Program, char*) = nullptr;
    int (*cubin_size)(Program, size_t*) = nullptr;
    int (*cubin)(Program, char*) = nullptr;

    Nvrtc() {
        library.bind(version, "nvrtcVersion");
        library.bind(error_text, "nvrtcGetErrorString");
        library.bind(create, "nvrtcCreateProgram");
        library.bind(destroy, "nvrtcDestroyProgram");
        library.bind(compile, "nvrtcCompileProgram");
        library.bind(log_size, "nvrtcGetProgramLogSize");
        library.bind(log, "nvrtcGetProgramLog");
        library.bind(cubin_size, "nvrtcGetCUBINSize");
        library.bind(cubin, "nvrtcGetCUBIN");
    }
    void check(int status, const char* what) const {
        if (status != 0) fail<InternalError>("NVRTC: ", what, " failed: ", error_text(status));
    }
};

// One for each place that it was told to look in.
const Nvrtc& nvrtc() {
    static std::mutex mutex;
    static auto* opened = new std::map<std::string, std::unique_ptr<const Nvrtc>>;
    const std::lock_guard lock(mutex);
    auto& api = (*opened)[config::text(config::Key::cuda_libraries)];
    if (!api) api = std::make_unique<const Nvrtc>();
    return *api;
}

// The assembler's lines: "Compiling entry function 'name' for 'sm_90'", "8 bytes stack frame, 4 bytes spill stores, 4 bytes spill
// loads", "Used 21 registers".
std::vector<KernelFacts> read_log(const std::string& log) {
    std::vector<KernelFacts> all;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        constexpr std::string_view entry = "Compiling entry function '";
        if (const size_t at = line.find(entry); at != std::string::npos) {
            const size_t begin = at + entry.size();
            all.push_back({line.substr(begin, line.find('\'', begin) - begin)});
            continue;
        }
        if (all.empty()) continue;
        KernelFacts& k = all.back();
        if (const size_t at = line.find(" bytes stack frame"); at != std::string::npos) {
            const size_t begin = line.find_last_of(" .", at - 1);
            (void)std::sscanf(line.c_str() + begin + 1, "%d bytes stack frame, %d bytes spill stores, %d bytes spill loads",
                              &k.stack, &k.spill_stores, &k.spill_loads);
        }
        if (const size_t at = line.find("Used "); at != std::string::npos)
            (void)std::sscanf(line.c_str() + at, "Used %d registers", &k.registers);
    }
    return all;
}

}  // namespace

Compiled compile_source(const std::string& source, const std::string& architecture) {
    const Nvrtc& api = nvrtc();
    const auto start = std::chrono::steady_clock::now();
    Program program = nullptr;
    api.check(api.create(&program, source.c_str(), "fastkeras.cu", 0, nullptr, nullptr), "creating a program");
    struct Destroy {
        const Nvrtc& api;
        Program* program;
        ~Destroy() { api.destroy(program); }
    } const destroy{api, &program};
    const std::string target = "--gpu-architecture=" + architecture;
    const char* options[] = {target.c_str(), "--std=c++17", "--ptxas-options=-v", "-default-device", "-w"};
    const int status = api.compile(program, static_cast<int>(std::size(options)), options);
    size_t size = 0;
    api.check(api.log_size(program, &size), "reading the log");
    std::string log(size, '\0');
    api.check(api.log(program, log.data()), "reading the log");
    if (status != 0)
        fail<InternalError>("internal error (please report): generated CUDA source does not compile for ", architecture, ": ",
                            log.substr(0, 4000));
    Compiled out;
    api.check(api.cubin_size(program, &size), "reading machine code");
    out.cubin.resize(size);
    api.check(api.cubin(program, out.cubin.data()), "reading machine code");
    out.kernels = read_log(log);
    out.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    return out;
}

std::string nvrtc_version() {
    int major = 0, minor = 0;
    nvrtc().check(nvrtc().version(&major, &minor), "asking for the version");
    return concat(major, ".", minor);
}

}  // namespace fk::cuda
