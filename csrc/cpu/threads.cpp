// The thread team behind threads.h. Start reading at `Team::run`.
//
// A job is split into parts; whoever comes first takes a part. The caller takes parts too, and waits only for those that a
// worker has begun: when another process holds a worker's core, the caller does that worker's share itself instead of
// waiting for the scheduler. Workers look for the next job for a while before they sleep, since the kernels of a plan
// follow each other within microseconds.
#include "cpu/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "cpu/denormals.h"

namespace fk::cpu {
namespace {

std::atomic<int> wanted{0};  // 0: default
thread_local bool inside_part = false;

// A container's CPU quota, rounded up; 0 when there is none.
int quota_cores() {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/sys/fs/cgroup/cpu.max", "r"), std::fclose);
    long quota = 0, period = 0;
    if (!file || std::fscanf(file.get(), "%ld %ld", &quota, &period) != 2 || quota <= 0 || period <= 0) return 0;
    return static_cast<int>((quota + period - 1) / period);
}

int usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    if (const int quota = quota_cores(); quota > 0) cores = std::min(cores, quota);
    return std::clamp(cores, 1, kMaxThreads);
}

void pause_cpu() {
#if defined(__SSE2__)
    _mm_pause();
#endif
}

class Team {
  public:
    using Body = void (*)(void* context, int part, int parts);

    // Returns when every part is done. False: the team is busy with another thread's job, or its cores are with other work.
    bool run(int parts, Body body, void* context) {
        const std::unique_lock lock(caller_, std::try_to_lock);
        if (!lock.owns_lock()) return false;
        const auto start = Clock::now();
        if (start < rest_until_) return false;
        while (workers_ + 1 < parts && start_worker()) {
        }
        body_ = body;
        context_ = context;
        remaining_.store(parts, std::memory_order_relaxed);
        const uint64_t job =
            ((job_.load(std::memory_order_relaxed) >> kPartBits) + 1) << kPartBits | static_cast<uint64_t>(parts);
        job_.store(job, std::memory_order_seq_cst);
        if (sleepers_.load(std::memory_order_seq_cst) > 0) {
            {
                const std::lock_guard wake(sleep_);
            }
            awake_.notify_all();
        }
        take_parts(job, 0);
        for (int spins = 0; spins < 256 && remaining_.load(std::memory_order_acquire) > 0; ++spins) pause_cpu();
        if (remaining_.load(std::memory_order_acquire) > 0) wait(start);
        return true;
    }

  private:
    using Clock = std::chrono::steady_clock;
    static constexpr int kPartBits = 16;
    static constexpr auto kLook = std::chrono::microseconds(100);
    static constexpr auto kStall = std::chrono::microseconds(150);
    static constexpr auto kFirstRest = std::chrono::milliseconds(2), kLongestRest = std::chrono::milliseconds(128);

    // For a worker that is in the middle of a part. One that is late because its core is with another process makes the team rest
    // for a while, the longer the more often that happens. One that is late because it has more to do goes on using its core.
    void wait(Clock::time_point start) {
        const auto own_end = Clock::now(), late = own_end + std::max<Clock::duration>(kStall, (own_end - start) / 2);
        Watched watched;
        while (remaining_.load(std::memory_order_acquire) > 0) {
            if (watched.count == 0 && Clock::now() >= late)
                watch(watched);
            else
                forget_idle(watched);
            sched_yield();  // the worker may need this core
        }
        if (!lost_core(watched)) return;
        const auto end = Clock::now();
        const bool again = end - rest_until_ < 4 * rest_;
        rest_ = again ? std::min<Clock::duration>(2 * rest_, kLongestRest) : kFirstRest;
        rest_until_ = end + rest_;
    }

    // Workers that are late, and the processor time each had used by then.
    struct Watched {
        static constexpr int kMost = 16;
        Clock::time_point since{};
        int count = 0;
        std::array<int, kMost> worker{};
        std::array<int64_t, kMost> used{};
    };
    void watch(Watched& w) {
        w.since = Clock::now();
        for (int i = 1; i <= workers_ && w.count < Watched::kMost; ++i) {
            if (!states_[static_cast<size_t>(i)].working.load(std::memory_order_relaxed)) continue;
            w.worker[static_cast<size_t>(w.count)] = i;
            w.used[static_cast<size_t>(w.count++)] = used_by(i);
        }
    }
    // Those that have finished use no time because there is nothing to do.
    void forget_idle(Watched& w) {
        for (int k = w.count; k-- > 0;) {
            if (w.count == 1 ||
                states_[static_cast<size_t>(w.worker[static_cast<size_t>(k)])].working.load(std::memory_order_relaxed))
                continue;
            --w.count;
            w.worker[static_cast<size_t>(k)] = w.worker[static_cast<size_t>(w.count)];
            w.used[static_cast<size_t>(k)] = w.used[static_cast<size_t>(w.count)];
        }
    }
    // Whether one of them had its core for less than three quarters of the time.
    bool lost_core(const Watched& w) {
        if (w.count == 0) return false;
        const auto watched = Clock::now() - w.since;
        if (watched < kStall) return false;
        const int64_t enough = std::chrono::nanoseconds(watched).count() / 4 * 3;
        for (int k = 0; k < w.count; ++k)
            if (used_by(w.worker[static_cast<size_t>(k)]) - w.used[static_cast<size_t>(k)] < enough) return true;
        return false;
    }
    // Nanoseconds of processor time.
    int64_t used_by(int worker) {
        timespec t{};
        clock_gettime(states_[static_cast<size_t>(worker)].clock.load(std::memory_order_relaxed), &t);
        return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
    }

    static int parts_of(uint64_t job) { return static_cast<int>(job & ((1u << kPartBits) - 1)); }

    // Takes part after part, beginning with the thread's own: it touches the same memory each time.
    void take_parts(uint64_t job, int own) {
        const int parts = parts_of(job);
        for (int i = 0; i < parts; ++i) {
            const int part = (own + i) % parts;
            // A part is taken by raising its mark to the job's number; a thread late from an earlier job finds it higher.
            uint64_t mark = marks_[static_cast<size_t>(part)].load(std::memory_order_relaxed);
            const uint64_t number = job >> kPartBits;
            if (mark >= number || !marks_[static_cast<size_t>(part)].compare_exchange_strong(mark, number)) continue;
            inside_part = true;
            states_[static_cast<size_t>(own)].working.store(true, std::memory_order_relaxed);
            body_(context_, part, parts);
            states_[static_cast<size_t>(own)].working.store(false, std::memory_order_relaxed);
            inside_part = false;
            remaining_.fetch_sub(1, std::memory_order_acq_rel);
        }
    }

    // False: the system gives no more threads. Those there are do all parts.
    bool start_worker() {
        // Signals are for the program's own threads.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        bool started = true;
        try {
            std::thread([this, own = workers_ + 1] { work(own); }).detach();
            ++workers_;
        } catch (const std::system_error&) {
            started = false;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return started;
    }

    void work(int own) {
        clockid_t clock{};
        if (pthread_getcpuclockid(pthread_self(), &clock) == 0) states_[static_cast<size_t>(own)].clock.store(clock);
        uint64_t seen = 0;
        for (;;) {
            seen = next_job(seen, own);
            const FlushDenormals flush;
            take_parts(seen, own);
        }
    }

    // A job with a part for thread `own`; the others, of fewer parts than there are threads, let it sleep.
    uint64_t next_job(uint64_t seen, int own) {
        const auto is_mine = [&](uint64_t job) { return job != seen && parts_of(job) > own; };
        const auto until = Clock::now() + kLook;
        do {
            for (int i = 0; i < 32; ++i) {
                if (const uint64_t job = job_.load(std::memory_order_acquire); is_mine(job)) return job;
                pause_cpu();
            }
        } while (Clock::now() < until);
        std::unique_lock lock(sleep_);
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        uint64_t job = 0;
        awake_.wait(lock, [&] { return is_mine(job = job_.load(std::memory_order_seq_cst)); });
        sleepers_.fetch_sub(1, std::memory_order_seq_cst);
        return job;
    }

    std::mutex caller_;
    int workers_ = 0;
    Body body_ = nullptr;
    void* context_ = nullptr;
    Clock::time_point rest_until_{};
    Clock::duration rest_{};
    alignas(64) std::atomic<uint64_t> job_{0};  // its number, and in the low bits how many parts it has
    alignas(64) std::atomic<int> remaining_{0};
    std::array<std::atomic<uint64_t>, kMaxThreads> marks_{};
    struct alignas(64) State {
        std::atomic<bool> working{false};               // on a part
        std::atomic<clockid_t> clock{CLOCK_MONOTONIC};  // its processor time; without one, it never counts as late
    };
    std::array<State, kMaxThreads> states_{};  // of the workers, by number; the caller is 0
    alignas(64) std::atomic<int> sleepers_{0};
    std::mutex sleep_;
    std::condition_variable awake_;
};

std::atomic<Team*> the_team{nullptr};

Team& team() {
    Team* t = the_team.load(std::memory_order_acquire);
    if (t != nullptr) return *t;
    static std::once_flag handler;
    // A forked child has none of the threads: it gets a team of its own. The parent's is left as it is, locks included.
    std::call_once(handler, [] { pthread_atfork(nullptr, nullptr, [] { the_team.store(nullptr, std::memory_order_release); }); });
    auto fresh = std::make_unique<Team>();
    if (the_team.compare_exchange_strong(t, fresh.get())) return *fresh.release();  // lives as long as its threads
    return *t;
}

struct AlignedDelete {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{4096}); }
};

}  // namespace

int max_threads() {
    static const int cores = usable_cores();
    const int n = wanted.load(std::memory_order_relaxed);
    return n > 0 ? n : cores;
}

void set_max_threads(int threads) { wanted.store(std::clamp(threads, 0, kMaxThreads), std::memory_order_relaxed); }

std::byte* thread_workspace(size_t bytes) {
    thread_local std::unique_ptr<std::byte, AlignedDelete> memory;
    thread_local size_t capacity = 0;
    if (bytes > capacity) [[unlikely]] {
        const size_t rounded = (std::max<size_t>(bytes, 64 * 1024) + 4095) / 4096 * 4096;
        memory.reset();
        memory.reset(static_cast<std::byte*>(::operator new(rounded, std::align_val_t{4096})));
        capacity = rounded;
    }
    return memory.get();
}

namespace detail {

void run_team(int parts, void (*body)(void*, int, int), void* context) {
    parts = std::min(parts, kMaxThreads);
    if (!inside_part && team().run(parts, body, context)) return;
    for (int part = 0; part < parts; ++part) body(context, part, parts);  // a sum in parts is rounded alike wherever they run
}

}  // namespace detail
}  // namespace fk::cpu
