// The three kinds of failure, kept apart: the user's mistake, a capability that is missing, a bug of this engine.
// `fail<UserError>("got ", x, "; expected ", y)` builds the message from its parts.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fk {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct UserError : Error {  // becomes ValueError in Python
    using Error::Error;
};
struct UnsupportedError : Error {  // becomes NotImplementedError
    using Error::Error;
};
struct InternalError : Error {  // a bug: becomes RuntimeError and asks for a report
    using Error::Error;
};
struct OutOfMemoryError : Error {  // of a device: becomes MemoryError
    using Error::Error;
};
struct Interrupted : Error {  // the user asked for the end of a run: becomes KeyboardInterrupt
    using Error::Error;
};
struct TracedValueError : Error {  // a value was asked for while tracing
    using Error::Error;
};

template <class... Parts>
[[nodiscard]] std::string concat(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

template <class E, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    throw E(concat(parts...));
}

// States an invariant of the engine itself.
template <class... Parts>
void check_internal(bool ok, const Parts&... parts) {
    if (!ok) [[unlikely]]
        throw InternalError(concat("internal error (please report): ", parts...));
}

}  // namespace fk
