// Denormal numbers (below 1e-38 in float32) cost a hundred cycles each, and training makes them: the moments of a weight whose
// gradient is 0 decay into them. While a plan runs they count as 0, as in TensorFlow and XLA; FASTKERAS_DENORMALS=1 keeps them.
#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "core/config.h"

namespace fk::cpu {

class FlushDenormals {  // for the thread that holds it
  public:
#if defined(__SSE__)
    FlushDenormals() : before_(_mm_getcsr()) {
        constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
        constexpr unsigned kBoth = kFlushToZero | kDenormalsAreZero;
        // Cleared where they are kept: a thread has what the one that started it had, and all threads of a plan compute alike.
        _mm_setcsr(config::flag(config::Key::denormals) ? before_ & ~kBoth : before_ | kBoth);
    }
    ~FlushDenormals() { _mm_setcsr(before_); }

  private:
    unsigned before_;

  public:
#else
    FlushDenormals() = default;
#endif
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;
};

}  // namespace fk::cpu
