// The thread team behind threads.h.
#include "cpu/threads.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <new>

namespace fk::cpu {
namespace {

std::atomic<int> wanted{0};  // 0: default
std::atomic<bool> team_started{false};
std::atomic<bool> team_lost{false};  // set in a forked child: libgomp's threads stayed in the parent

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
    return std::max(cores, 1);
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

void set_max_threads(int threads) { wanted.store(std::max(threads, 0), std::memory_order_relaxed); }

bool may_fork() { return !team_lost.load(std::memory_order_relaxed) && !omp_in_parallel(); }

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

void run_team(int threads, void (*body)(void*, int, int), void* context) {
    if (!team_started.exchange(true, std::memory_order_relaxed))
        pthread_atfork(nullptr, nullptr, [] { team_lost.store(true, std::memory_order_relaxed); });
#pragma omp parallel num_threads(threads)
    body(context, omp_get_thread_num(), omp_get_num_threads());
}

}  // namespace detail
}  // namespace fk::cpu
