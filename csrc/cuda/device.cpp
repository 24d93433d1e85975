// See device.h. One stream does all work of a GPU in the order in which it is asked for, so a kernel's operands are always ready
// and memory given back can be handed out again at once.
#include "cuda/device.h"

#include <algorithm>
#include <array>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "core/config.h"
#include "cuda/code_cache.h"
#include "cuda/driver.h"
#include "cuda/impls.h"
#include "cuda/nvrtc.h"

namespace fk::cuda {
namespace {

CuPointer pointer(const void* p) { return reinterpret_cast<CuPointer>(p); }

// A context and its stream.
class Gpu {
  public:
    explicit Gpu(int number) : api(driver()) {
        int count = 0;
        api.check(api.device_count(&count), "counting GPUs");
        if (number >= count)
            fail<UnsupportedError>("there is no GPU number ", number, ": the CUDA driver finds ", count,
                                   count == 1 ? " GPU" : " GPUs");
        api.check(api.device(&device_, number), "opening the GPU");
        int major = 0, minor = 0;
        api.check(api.device_attribute(&major, kCuMajor, device_), "asking for the architecture");
        api.check(api.device_attribute(&minor, kCuMinor, device_), "asking for the architecture");
        architecture = concat("sm_", major, minor);
        if (major < 8)
            fail<UnsupportedError>("GPU number ", number, " is of architecture ", architecture,
                                   "; fastkeras needs sm_80 or newer");
        api.check(api.retain_context(&context_, device_), "starting the GPU");
        enter();
        api.check(api.create_stream(&stream, kCuNonBlocking), "creating a stream");
    }
    // Makes it the one that this thread's calls to the driver mean.
    void enter() const { api.check(api.set_context(context_), "choosing the GPU"); }

    const Driver& api;
    CuStream stream = nullptr;
    std::string architecture;
    std::recursive_mutex mutex;  // of the stream: what is asked for together stays together

  private:
    CuDevice device_ = 0;
    CuContext context_ = nullptr;
};

// Blocks given back are kept by size, as the host's are (runtime/buffer.cpp): a loop finds its memory again, at the same places.
class Pool final : public DeviceMemory {
  public:
    explicit Pool(Gpu& gpu) : gpu_(gpu) {}

    void* allocate(size_t bytes) override {
        const std::lock_guard lock(gpu_.mutex);
        const size_t rounded = round(bytes);
        auto& free = free_[rounded];
        if (free.empty()) {
            gpu_.enter();
            if (const int64_t limit = config::integer(config::Key::gpu_memory_limit);
                limit > 0 && taken_ + rounded > limit_bytes(limit))
                release();
            CuPointer p = 0;
            CuResult status = over_limit(rounded) ? kCuOutOfMemory : gpu_.api.allocate(&p, rounded);
            if (status == kCuOutOfMemory) {  // what is kept may be enough
                release();
                status = over_limit(rounded) ? kCuOutOfMemory : gpu_.api.allocate(&p, rounded);
            }
            if (status == kCuOutOfMemory)
                fail<OutOfMemoryError>("the GPU is out of memory: ", bytes, " bytes were asked for, ", taken_,
                                       " are in use. A smaller batch needs less");
            gpu_.api.check(status, "allocating memory");
            taken_ += rounded;
            return reinterpret_cast<void*>(p);
        }
        void* p = free.back();
        free.pop_back();
        return p;
    }
    void free(void* p, size_t bytes) override {
        const std::lock_guard lock(gpu_.mutex);
        free_[round(bytes)].push_back(p);
    }
    void upload(void* to, const void* host, size_t bytes) override {
        const std::lock_guard lock(gpu_.mutex);
        gpu_.enter();
        gpu_.api.check(gpu_.api.upload(pointer(to), host, bytes, gpu_.stream), "copying to the GPU");
    }
    void download(void* host, const void* from, size_t bytes) override {
        {
            const std::lock_guard lock(gpu_.mutex);
            gpu_.enter();
            gpu_.api.check(gpu_.api.download(host, pointer(from), bytes, gpu_.stream), "copying from the GPU");
        }
        gpu_.api.check(gpu_.api.synchronize(gpu_.stream), "waiting for the GPU");
    }
    void copy(void* to, const void* from, size_t bytes) override {
        const std::lock_guard lock(gpu_.mutex);
        gpu_.enter();
        gpu_.api.check(gpu_.api.copy(pointer(to), pointer(from), bytes, gpu_.stream), "copying on the GPU");
    }
    void zero(void* p, size_t bytes) override {
        const std::lock_guard lock(gpu_.mutex);
        gpu_.enter();
        gpu_.api.check(gpu_.api.fill(pointer(p), 0, bytes, gpu_.stream), "clearing memory");
    }

  private:
    static size_t round(size_t bytes) {
        const size_t step = bytes >= (1 << 20) ? size_t{2} << 20 : 256;
        return std::max<size_t>((bytes + step - 1) / step * step, 256);
    }
    static size_t limit_bytes(int64_t megabytes) { return static_cast<size_t>(megabytes) << 20; }
    [[nodiscard]] bool over_limit(size_t more) const {
        const int64_t limit = config::integer(config::Key::gpu_memory_limit);
        return limit > 0 && taken_ + more > limit_bytes(limit);
    }
    // Gives the driver back what nobody uses.
    void release() {
        gpu_.api.check(gpu_.api.synchronize(gpu_.stream), "waiting for the GPU");
        for (auto& [size, blocks] : free_) {
            for (void* p : blocks) gpu_.api.check(gpu_.api.free(pointer(p)), "freeing memory");
            taken_ -= size * blocks.size();
            blocks.clear();
        }
    }

    Gpu& gpu_;
    std::unordered_map<size_t, std::vector<void*>> free_;
    size_t taken_ = 0;  // from the driver
};

// What prelude.cuh calls Error.
struct ErrorSlot {
    uint32_t raised = 0, unused = 0;
    int64_t value = 0;
};

// The loaded code of a plan's kernels.
class LoadedCode final : public Launcher {
  public:
    LoadedCode(Gpu& gpu, size_t slots) : gpu_(gpu) {
        if (slots == 0) return;
        // In the host's memory: a kernel writes there in the one case that it has to, and nothing is copied otherwise.
        void* host = nullptr;
        gpu_.api.check(gpu_.api.allocate_host(&host, slots * sizeof(ErrorSlot), kCuHostMapped), "allocating pinned memory");
        host_ = static_cast<ErrorSlot*>(host);
        std::fill_n(host_, slots, ErrorSlot{});
        gpu_.api.check(gpu_.api.host_pointer(&on_gpu_, host, 0), "mapping pinned memory");
    }
    ~LoadedCode() override {
        // The process may be ending, and the driver with it: what fails here has no consequence.
        (void)gpu_.api.synchronize(gpu_.stream);
        for (CuModule m : modules_) (void)gpu_.api.unload_module(m);
        if (host_ != nullptr) (void)gpu_.api.free_host(host_);
    }
    void add(const std::string& code) {
        CuModule module = nullptr;
        gpu_.api.check(gpu_.api.load_module(&module, code.data()), "loading kernels");
        modules_.push_back(module);
    }
    [[nodiscard]] void* find(const std::string& name) const {
        for (CuModule m : modules_) {
            CuFunction f = nullptr;
            if (gpu_.api.function(&f, m, name.c_str()) == 0) return f;
        }
        fail<InternalError>("the loaded kernels have no ", name);
    }

    void launch(void* function, const Launch& l, void* const* pointers) const override {
        std::array<void*, 64> few;
        std::vector<void*> many;
        const size_t n = l.arguments.size();
        void** places = few.data();
        if (n > few.size()) many.resize(n), places = many.data();
        for (size_t i = 0; i < n; ++i) places[i] = const_cast<void**>(pointers + i);
        gpu_.api.check(
            gpu_.api.launch(static_cast<CuFunction>(function), static_cast<unsigned>(l.blocks), static_cast<unsigned>(l.slices),
                            1, static_cast<unsigned>(l.threads), 1, 1, 0, gpu_.stream, places, nullptr),
            "starting a kernel");
    }
    [[nodiscard]] void* error_slot(size_t number) const override {
        return reinterpret_cast<void*>(on_gpu_ + number * sizeof(ErrorSlot));
    }
    [[nodiscard]] std::optional<int64_t> take_error(size_t number) const override {
        gpu_.api.check(gpu_.api.synchronize(gpu_.stream), "waiting for the GPU");
        const ErrorSlot found = std::exchange(host_[number], {});
        return found.raised != 0 ? std::optional(found.value) : std::nullopt;
    }

  private:
    Gpu& gpu_;
    ErrorSlot* host_ = nullptr;
    CuPointer on_gpu_ = 0;
    std::vector<CuModule> modules_;
};

// The CUDA graphs of one instance of a plan. Operands of a loop take turns between a few places, so a few graphs do for all its
// runs; a set of places is captured when it comes back.
class Graphs final : public RunMemory {
  public:
    explicit Graphs(Gpu& gpu) : gpu_(gpu) {}
    ~Graphs() override {
        for (Entry& e : entries_) drop(e);
    }

    void run(std::span<void* const> operands, const std::function<void()>& enqueue) {
        const auto same = [&](const Entry& e) { return std::ranges::equal(e.operands, operands); };
        auto found = std::ranges::find_if(entries_, same);
        if (found == entries_.end()) {
            if (entries_.size() == kEntries) {
                found = std::ranges::min_element(entries_, {}, &Entry::used);
                drop(*found);
                *found = {};
            } else {
                found = entries_.emplace(entries_.end());
            }
            found->operands.assign(operands.begin(), operands.end());
            found->used = ++clock_;
            enqueue();
            return;
        }
        found->used = ++clock_;
        if (found->graph == nullptr) found->graph = capture(enqueue);
        gpu_.api.check(gpu_.api.launch_graph(found->graph, gpu_.stream), "starting a graph");
    }

  private:
    static constexpr size_t kEntries = 4;
    struct Entry {
        std::vector<void*> operands;
        CuGraphExec graph = nullptr;
        uint64_t used = 0;
    };
    CuGraphExec capture(const std::function<void()>& enqueue) {
        gpu_.api.check(gpu_.api.begin_capture(gpu_.stream, kCuCaptureThreadLocal), "beginning a capture");
        CuGraph graph = nullptr;
        try {
            enqueue();
        } catch (...) {
            if (gpu_.api.end_capture(gpu_.stream, &graph) == 0 && graph != nullptr) (void)gpu_.api.destroy_graph(graph);
            throw;
        }
        gpu_.api.check(gpu_.api.end_capture(gpu_.stream, &graph), "ending a capture");
        CuGraphExec exec = nullptr;
        const CuResult status = gpu_.api.instantiate(&exec, graph, 0);
        (void)gpu_.api.destroy_graph(graph);
        gpu_.api.check(status, "instantiating a graph");
        return exec;
    }
    void drop(Entry& e) {
        if (e.graph != nullptr) (void)gpu_.api.destroy_graph_exec(e.graph);
        e.graph = nullptr;
    }

    Gpu& gpu_;
    std::vector<Entry> entries_;
    uint64_t clock_ = 0;
};

class GpuDevice final : public Device {
  public:
    explicit GpuDevice(int number) : gpu_(number), pool_(gpu_), name_(concat("gpu:", number)) {}
    [[nodiscard]] std::string_view name() const override { return name_; }
    [[nodiscard]] std::span<const Impl> impls() const override { return cuda::impls(); }
    [[nodiscard]] std::unique_ptr<Kernel> compile_region(const Region& region) const override {
        return cuda::compile_region(region);
    }
    [[nodiscard]] std::unique_ptr<Kernel> copy(size_t bytes) const override { return cuda::copy_kernel(bytes); }

    void finish(std::span<Kernel* const> kernels) const override {
        const auto programs = programs_of(kernels);
        if (programs.empty()) return;
        const std::lock_guard lock(gpu_.mutex);
        gpu_.enter();
        const auto fallible = static_cast<size_t>(
            std::ranges::count_if(programs, [](const ProgramKernel* p) { return static_cast<bool>(p->program().message); }));
        const auto code = std::make_shared<LoadedCode>(gpu_, fallible);
        // Parts compile side by side; few kernels are one part, as each begins by reading the prelude.
        constexpr size_t kPart = 12;
        const size_t parts = std::clamp<size_t>(programs.size() / kPart, 1, std::max(1u, std::thread::hardware_concurrency()));
        std::vector<std::future<std::string>> compiled;
        std::map<std::string_view, bool> seen;
        for (size_t p = 0; p < parts; ++p) {
            const size_t begin = programs.size() * p / parts, end = programs.size() * (p + 1) / parts;
            std::string source = source_of(std::span(programs).subspan(begin, end - begin));
            compiled.push_back(std::async(parts > 1 ? std::launch::async : std::launch::deferred,
                                          [this, source = std::move(source)] { return machine_code(source); }));
        }
        for (auto& c : compiled) code->add(c.get());
        size_t slot = 0;
        for (ProgramKernel* p : programs) {
            std::vector<void*> functions;
            for (const Launch& l : p->program().launches) functions.push_back(code->find(l.name));
            p->load(code, std::move(functions), p->program().message ? slot++ : 0);
        }
    }

    [[nodiscard]] DeviceMemory* memory() const override { return &pool_; }
    [[nodiscard]] std::unique_ptr<RunMemory> make_run_memory() const override { return std::make_unique<Graphs>(gpu_); }
    void run(RunMemory* memory, std::span<void* const> operands, bool repeatable,
             const std::function<void()>& enqueue) const override {
        const std::lock_guard lock(gpu_.mutex);
        gpu_.enter();
        if (repeatable && memory != nullptr && config::flag(config::Key::cuda_graphs))
            static_cast<Graphs*>(memory)->run(operands, enqueue);
        else
            enqueue();
    }
    void wait() const override { gpu_.api.check(gpu_.api.synchronize(gpu_.stream), "waiting for the GPU"); }

  private:
    [[nodiscard]] std::string machine_code(const std::string& source) const {
        const std::string key = concat(gpu_.architecture, " NVRTC ", nvrtc_version(), "\n", source);
        if (auto code = cached_code(key)) return *std::move(code);
        std::string code = compile_source(source, gpu_.architecture).cubin;
        keep_code(key, code);
        return code;
    }

    mutable Gpu gpu_;
    mutable Pool pool_;
    std::string name_;
};

}  // namespace

const Device& device(int number) {
    static std::mutex mutex;
    static auto* devices = new std::map<int, std::unique_ptr<GpuDevice>>;  // outlive the last tensor of the process
    const std::lock_guard lock(mutex);
    auto& d = (*devices)[number];
    if (!d) d = std::make_unique<GpuDevice>(number);
    return *d;
}

std::vector<GpuFacts> list_gpus() {
    std::vector<GpuFacts> all;
    try {
        const Driver& api = driver();
        int count = 0;
        if (api.device_count(&count) != 0) return all;
        for (int i = 0; i < count; ++i) {
            CuDevice d = 0;
            char name[256] = "";
            int major = 0, minor = 0;
            GpuFacts facts;
            api.check(api.device(&d, i), "opening the GPU");
            api.check(api.device_name(name, sizeof name, d), "asking for its name");
            api.check(api.device_attribute(&major, kCuMajor, d), "asking for the architecture");
            api.check(api.device_attribute(&minor, kCuMinor, d), "asking for the architecture");
            api.check(api.device_attribute(&facts.multiprocessors, kCuMultiprocessors, d), "asking for the multiprocessors");
            api.check(api.device_memory(&facts.memory, d), "asking for the memory");
            facts.name = name;
            facts.architecture = concat("sm_", major, minor);
            all.push_back(std::move(facts));
        }
    } catch (const UnsupportedError&) {  // no driver: no GPU
        return {};
    }
    return all;
}

}  // namespace fk::cuda
