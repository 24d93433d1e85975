// What the engine asks of the language that hosts it: to give up its global lock while a plan runs, and whether the user
// wants a running loop to end. Without a host (a C++ program) both are nothing.
#pragma once

#include <cstdint>

namespace fk {

struct Host {
    void* (*release)() = nullptr;  // the lock; what it returns goes to `acquire`
    void (*acquire)(void*) = nullptr;
    bool (*interrupted)() = nullptr;  // takes the lock itself
};
void set_host(Host host);  // once, by the Python module

class Unlocked {  // the host's lock, released for a scope
  public:
    Unlocked();
    ~Unlocked();
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

  private:
    void* token_;
};

// Whether a loop that runs inside the engine should end after its `iteration`-th iteration: Ctrl-C reaches the host only when
// it has its lock, so loops ask, a few times a second at most.
[[nodiscard]] bool interrupted(int64_t iteration);

}  // namespace fk
