// See host_kernels.h. The fibers are those of <ucontext.h>; their stacks are made once per thread of the host.
#include "host_kernels.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace fk::fake_cuda {
namespace {

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

template <class... Parts>
std::string concat(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

// A temporary folder. FK_KEEP_HOST_KERNELS keeps it.
struct Folder {
    std::string path = "/tmp/fk_host_kernels_XXXXXX";
    Folder() {
        if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("no temporary folder for host kernels");
    }
    ~Folder() {
        std::error_code ignored;
        if (std::getenv("FK_KEEP_HOST_KERNELS") == nullptr) std::filesystem::remove_all(path, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
};

void compile(const std::string& arguments, const std::string& log) {
    const char* named = std::getenv("CXX");
    const std::string compiler = named != nullptr && *named != 0 ? named : "c++";
    const std::string command =
        concat(compiler, " -std=c++17 -O1 -w -fwrapv -fno-strict-aliasing -fPIC ", arguments, " 2> ", log);
    if (std::system(command.c_str()) != 0)
        throw std::runtime_error(concat("host kernels do not compile: ", read_file(log).substr(0, 4000)));
}

// The header with the prelude and what CUDA has built in, compiled once for all modules of the process.
std::string compiled_prelude(const std::string& prelude) {
    static std::mutex mutex;
    static std::map<std::string, std::unique_ptr<Folder>> made;
    const std::lock_guard lock(mutex);
    auto& folder = made[prelude];
    if (!folder) {
        const std::string types_end = "template <class M> struct Memory";
        const size_t at = prelude.find(types_end);
        if (at == std::string::npos) throw std::runtime_error("the prelude has no types");
        auto fresh = std::make_unique<Folder>();
        const std::string header = fresh->path + "/prelude.h";
        std::ofstream(header) << "#include \"" FK_FAKE_CUDA_DIR "/host_prelude.h\"\n"
                              << prelude.substr(0, at) << "#include \"" FK_FAKE_CUDA_DIR "/half.h\"\n"
                              << prelude.substr(at);
        compile(concat("-x c++-header ", header, " -o ", header, ".gch"), fresh->path + "/log");
        folder = std::move(fresh);
    }
    return folder->path + "/prelude.h";
}

struct Index {
    unsigned x = 0, y = 0, z = 0;
};
// The same layout as `Block` of host_prelude.h.
struct Block {
    Index thread, block;
    virtual void synchronize() = 0;
    virtual void synchronize_warp() = 0;
    virtual uint64_t exchange(uint64_t mine, unsigned other_lane) = 0;
};

struct PlainBlock final : Block {
    void synchronize() override { fail(); }
    void synchronize_warp() override { fail(); }
    uint64_t exchange(uint64_t, unsigned) override { fail(); }
    [[noreturn]] static void fail() { throw std::runtime_error("a kernel that was declared not to synchronize does"); }
};

constexpr size_t kStack = 64 << 10;

class FiberBlock final : public Block {
  public:
    explicit FiberBlock(unsigned threads) : fibers_(threads), given_(threads), warps_((threads + 31) / 32) {
        for (Fiber& f : fibers_) f.stack.reset(new char[kStack]);
    }

    void run(HostModule::Entry entry, void** arguments, bool descending) {
        entry_ = entry;
        arguments_ = arguments;
        const auto n = static_cast<unsigned>(fibers_.size());
        alive_ = n;
        error_.clear();
        all_ = {};
        for (unsigned w = 0; w < warps_.size(); ++w) warps_[w] = {{}, std::min(32u, n - w * 32)};
        for (unsigned i = 0; i < n; ++i) {
            Fiber& f = fibers_[i];
            f.ended = false;
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.get();
            f.context.uc_stack.ss_size = kStack;
            f.context.uc_link = &scheduler_;
            const auto self = reinterpret_cast<uintptr_t>(this);
            makecontext(&f.context, reinterpret_cast<void (*)()>(start), 2, static_cast<unsigned>(self >> 32),
                        static_cast<unsigned>(self));
        }
        while (alive_ > 0) {
            progress_ = false;
            for (unsigned k = 0; k < n; ++k) {
                const unsigned i = descending ? n - 1 - k : k;
                if (fibers_[i].ended) continue;
                current_ = i;
                thread.x = i;
                swapcontext(&scheduler_, &fibers_[i].context);
            }
            if (!error_.empty()) throw std::runtime_error(error_);
            if (!progress_) throw std::runtime_error("threads of a block wait for others that never come");
        }
    }

    void synchronize() override {
        wait(all_, [&] { return alive_; });
    }
    void synchronize_warp() override {
        Warp& w = warps_[current_ / 32];
        wait(w.barrier, [&] { return w.alive; });
    }
    uint64_t exchange(uint64_t mine, unsigned other_lane) override {
        const unsigned me = current_;
        given_[me] = mine;
        synchronize_warp();
        const unsigned other = me / 32 * 32 + other_lane;
        if (other >= fibers_.size() || fibers_[other].ended) throw std::runtime_error("a shuffle reads a lane that has ended");
        const uint64_t theirs = given_[other];
        synchronize_warp();
        return theirs;
    }

  private:
    struct Fiber {
        ucontext_t context;
        std::unique_ptr<char[]> stack;
        bool ended = false;
    };
    struct Barrier {
        unsigned arrived = 0;
        uint64_t round = 0;
    };
    struct Warp {
        Barrier barrier;
        unsigned alive = 0;
    };

    static void start(unsigned high, unsigned low) {
        auto* self = reinterpret_cast<FiberBlock*>(static_cast<uintptr_t>(high) << 32 | low);
        try {
            self->entry_(self->arguments_);
        } catch (const std::exception& e) {  // nothing may leave a fiber
            self->error_ = e.what();
        }
        self->fibers_[self->current_].ended = true;
        self->progress_ = true;
        --self->alive_;
        --self->warps_[self->current_ / 32].alive;
    }
    template <class Alive>
    void wait(Barrier& barrier, Alive alive) {
        const uint64_t round = barrier.round;
        const unsigned me = current_;
        ++barrier.arrived;
        progress_ = true;
        while (barrier.round == round) {
            if (barrier.arrived >= alive()) {
                barrier.arrived = 0;
                ++barrier.round;
                break;
            }
            swapcontext(&fibers_[me].context, &scheduler_);
        }
        progress_ = true;
    }

    HostModule::Entry entry_ = nullptr;
    void** arguments_ = nullptr;
    ucontext_t scheduler_;
    std::vector<Fiber> fibers_;
    std::vector<uint64_t> given_;
    std::vector<Warp> warps_;
    Barrier all_;
    unsigned alive_ = 0, current_ = 0;
    bool progress_ = false;
    std::string error_;
};

}  // namespace

HostModule::HostModule(const std::string& source) {
    const std::string end_of_prelude = "// End of the prelude.\n";
    const size_t end = source.find(end_of_prelude);
    if (end == std::string::npos) throw std::runtime_error("the source has no prelude");
    const Folder folder;
    const std::string code = folder.path + "/kernels.cpp", library = folder.path + "/kernels.so";
    std::ofstream(code) << source.substr(end + end_of_prelude.size());
    compile(concat("-shared -include ", compiled_prelude(source.substr(0, end)), " -o ", library, " ", code),
            folder.path + "/log");
    library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) throw std::runtime_error(concat("host kernels do not load: ", dlerror()));
}

HostModule::~HostModule() {
    if (library_ != nullptr) dlclose(library_);
}

HostModule::Entry HostModule::find(const std::string& kernel) const {
    return reinterpret_cast<Entry>(dlsym(library_, (kernel + "_run").c_str()));
}

unsigned HostModule::fact(const std::string& kernel, const char* which) const {
    const auto* value = static_cast<const unsigned*>(dlsym(library_, (kernel + which).c_str()));
    return value != nullptr ? *value : 0;
}

void HostModule::run(Entry entry, const Grid& grid, void** arguments) const {
    auto* const slot = static_cast<Block**>(dlsym(library_, "fk_block"));  // of this thread
    if (slot == nullptr) throw std::runtime_error("host kernels without fk_block");
    if (!grid.synchronizes) {
        PlainBlock block;
        *slot = &block;
        for (unsigned y = 0; y < grid.slices; ++y)
            for (unsigned x = 0; x < grid.blocks; ++x) {
                block.block = {x, y, 0};
                for (unsigned t = 0; t < grid.threads; ++t) {
                    block.thread.x = t;
                    entry(arguments);
                }
            }
    } else {
        FiberBlock block(grid.threads);
        *slot = &block;
        for (unsigned y = 0; y < grid.slices; ++y)
            for (unsigned x = 0; x < grid.blocks; ++x) {
                block.block = {x, y, 0};
                block.run(entry, arguments, (x + y) % 2 != 0);
            }
    }
    *slot = nullptr;
}

}  // namespace fk::fake_cuda
