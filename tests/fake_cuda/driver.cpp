// A CUDA driver and NVRTC without a GPU: the entry points that csrc/cuda opens, over the host's memory and processor. "Machine
// code" is the source itself, compiled by the system's C++ compiler when it is loaded; streams do everything at once; graphs are
// lists of launches and copies that are replayed. Launches know their number of parameters from the kernel.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "host_kernels.h"

using fk::fake_cuda::HostModule;

namespace {

constexpr int kInvalid = 1, kOutOfMemory = 2, kNotFound = 500, kUnknown = 999;

struct Module {
    std::unique_ptr<HostModule> code;
    std::vector<std::unique_ptr<struct Function>> functions;
};
struct Function {
    Module* module;
    HostModule::Entry entry;
    bool synchronizes;
    unsigned parameters;
};
struct Graph {
    std::vector<std::function<void()>> nodes;
};

std::mutex g_mutex;
std::unique_ptr<Graph> g_capture;  // of the one stream that captures
std::map<unsigned long long, size_t> g_blocks;
size_t g_used = 0;
std::string g_last_error = "unknown error";

size_t memory_limit() {
    const char* text = std::getenv("FAKE_CUDA_MEMORY");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : size_t{8} << 30;
}

int guarded(const std::function<void()>& f) {
    try {
        f();
        return 0;
    } catch (const std::exception& e) {
        g_last_error = e.what();
        std::fprintf(stderr, "fake CUDA: %s\n", e.what());
        return kUnknown;
    }
}
// Work of a stream: now, or noted in the graph that is being captured.
int work(std::function<void()> f) {
    if (g_capture) {
        g_capture->nodes.push_back(std::move(f));
        return 0;
    }
    return guarded(f);
}
void* host(unsigned long long p) { return reinterpret_cast<void*>(p); }

}  // namespace

#define FK_EXPORT extern "C" __attribute__((visibility("default")))

FK_EXPORT int cuInit(unsigned) { return std::getenv("FAKE_CUDA_NO_GPU") != nullptr ? 100 : 0; }
FK_EXPORT int cuDriverGetVersion(int* v) {
    const char* text = std::getenv("FAKE_CUDA_VERSION");
    *v = text != nullptr ? std::atoi(text) : 13000;
    return 0;
}
FK_EXPORT int cuGetErrorName(int status, const char** name) {
    *name = status == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : status == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
    return 0;
}
FK_EXPORT int cuGetErrorString(int status, const char** text) {
    *text = status == kOutOfMemory ? "out of memory"
            : status == 100        ? "no CUDA-capable device is detected"
                                   : g_last_error.c_str();
    return 0;
}
FK_EXPORT int cuDeviceGetCount(int* n) {
    *n = 1;
    return 0;
}
FK_EXPORT int cuDeviceGet(int* d, int number) {
    *d = number;
    return number == 0 ? 0 : kInvalid;
}
FK_EXPORT int cuDeviceGetName(char* name, int size, int) {
    std::snprintf(name, static_cast<size_t>(size), "Fake GPU");
    return 0;
}
FK_EXPORT int cuDeviceGetAttribute(int* value, int which, int) {
    const char* old = std::getenv("FAKE_CUDA_MAJOR");
    *value = which == 75 ? (old != nullptr ? std::atoi(old) : 9) : which == 76 ? 0 : which == 16 ? 4 : 0;
    return 0;
}
FK_EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = memory_limit();
    return 0;
}
FK_EXPORT int cuDevicePrimaryCtxRetain(void** context, int) {
    static int one;
    *context = &one;
    return 0;
}
FK_EXPORT int cuCtxSetCurrent(void*) { return 0; }
FK_EXPORT int cuMemAlloc_v2(unsigned long long* p, size_t bytes) {
    const std::lock_guard lock(g_mutex);
    if (g_capture || g_used + bytes > memory_limit()) return g_capture ? kInvalid : kOutOfMemory;
    void* block = ::operator new(bytes, std::align_val_t{256}, std::nothrow);
    if (block == nullptr) return kOutOfMemory;
    std::memset(block, 0xA5, bytes);  // nobody may count on zeros
    g_used += bytes;
    g_blocks[reinterpret_cast<unsigned long long>(block)] = bytes;
    *p = reinterpret_cast<unsigned long long>(block);
    return 0;
}
FK_EXPORT int cuMemFree_v2(unsigned long long p) {
    const std::lock_guard lock(g_mutex);
    const auto it = g_blocks.find(p);
    if (it == g_blocks.end()) return kInvalid;
    g_used -= it->second;
    g_blocks.erase(it);
    ::operator delete(host(p), std::align_val_t{256});
    return 0;
}
FK_EXPORT int cuMemHostAlloc(void** p, size_t bytes, unsigned) {
    *p = ::operator new(bytes, std::align_val_t{256}, std::nothrow);
    return *p != nullptr ? 0 : kOutOfMemory;
}
FK_EXPORT int cuMemFreeHost(void* p) {
    ::operator delete(p, std::align_val_t{256});
    return 0;
}
FK_EXPORT int cuMemHostGetDevicePointer_v2(unsigned long long* out, void* p, unsigned) {
    *out = reinterpret_cast<unsigned long long>(p);
    return 0;
}
FK_EXPORT int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void*) {
    if (g_capture) return kInvalid;  // the engine never captures a copy from memory that changes
    return work([=] { std::memcpy(host(to), from, bytes); });
}
FK_EXPORT int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void*) {
    if (g_capture) return kInvalid;
    return work([=] { std::memcpy(to, host(from), bytes); });
}
FK_EXPORT int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, void*) {
    return work([=] { std::memmove(host(to), host(from), bytes); });
}
FK_EXPORT int cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void*) {
    return work([=] { std::memset(host(to), value, bytes); });
}
FK_EXPORT int cuStreamCreate(void** stream, unsigned) {
    static int one;
    *stream = &one;
    return 0;
}
FK_EXPORT int cuStreamSynchronize(void*) { return g_capture ? kInvalid : 0; }
FK_EXPORT int cuModuleLoadData(void** out, const void* image) {
    return guarded([&] {
        auto m = std::make_unique<Module>();
        m->code = std::make_unique<HostModule>(static_cast<const char*>(image));
        *out = m.release();
    });
}
FK_EXPORT int cuModuleUnload(void* m) {
    delete static_cast<Module*>(m);
    return 0;
}
FK_EXPORT int cuModuleGetFunction(void** out, void* module, const char* name) {
    auto* m = static_cast<Module*>(module);
    const auto entry = m->code->find(name);
    if (entry == nullptr) return kNotFound;
    m->functions.push_back(std::make_unique<Function>(
        Function{m, entry, m->code->fact(name, "_synchronizes") != 0, m->code->fact(name, "_parameters")}));
    *out = m->functions.back().get();
    return 0;
}
FK_EXPORT int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned, unsigned threads, unsigned, unsigned, unsigned,
                             void*, void** parameters, void**) {
    const auto* f = static_cast<const Function*>(function);
    // A graph outlives the caller's parameters.
    std::vector<void*> values;
    const unsigned n = f->parameters;
    for (unsigned i = 0; i < n; ++i) values.push_back(*static_cast<void**>(parameters[i]));
    return work([f, gx, gy, threads, values]() mutable {
        std::vector<void*> places;
        for (void*& v : values) places.push_back(&v);
        f->module->code->run(f->entry, {gx, gy, threads, f->synchronizes}, places.data());
    });
}
FK_EXPORT int cuStreamBeginCapture_v2(void*, unsigned) {
    if (g_capture) return kInvalid;
    g_capture = std::make_unique<Graph>();
    return 0;
}
FK_EXPORT int cuStreamEndCapture(void*, void** graph) {
    if (!g_capture) return kInvalid;
    *graph = g_capture.release();
    return 0;
}
FK_EXPORT int cuGraphInstantiateWithFlags(void** exec, void* graph, unsigned long long) {
    *exec = new Graph(*static_cast<Graph*>(graph));
    return 0;
}
FK_EXPORT int cuGraphLaunch(void* exec, void*) {
    return guarded([&] {
        for (const auto& node : static_cast<Graph*>(exec)->nodes) node();
    });
}
FK_EXPORT int cuGraphDestroy(void* graph) {
    delete static_cast<Graph*>(graph);
    return 0;
}
FK_EXPORT int cuGraphExecDestroy(void* exec) {
    delete static_cast<Graph*>(exec);
    return 0;
}

// --- NVRTC --------------------------------------------------------------------------------------------------------------------

struct FakeProgram {
    std::string source;
};
FK_EXPORT int nvrtcVersion(int* major, int* minor) {
    *major = 99;
    *minor = 0;
    return 0;
}
FK_EXPORT const char* nvrtcGetErrorString(int) { return "failure"; }
FK_EXPORT int nvrtcCreateProgram(FakeProgram** p, const char* source, const char*, int, const char* const*, const char* const*) {
    *p = new FakeProgram{source};
    return 0;
}
FK_EXPORT int nvrtcDestroyProgram(FakeProgram** p) {
    delete *p;
    return 0;
}
FK_EXPORT int nvrtcCompileProgram(FakeProgram*, int, const char* const*) { return 0; }
FK_EXPORT int nvrtcGetProgramLogSize(FakeProgram*, size_t* n) {
    *n = 1;
    return 0;
}
FK_EXPORT int nvrtcGetProgramLog(FakeProgram*, char* log) {
    *log = 0;
    return 0;
}
FK_EXPORT int nvrtcGetCUBINSize(FakeProgram* p, size_t* n) {
    *n = p->source.size() + 1;
    return 0;
}
FK_EXPORT int nvrtcGetCUBIN(FakeProgram* p, char* code) {
    std::memcpy(code, p->source.c_str(), p->source.size() + 1);
    return 0;
}
