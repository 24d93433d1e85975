// The CUDA driver's entry points that the engine uses, opened at run time. They are declared here: the driver's C interface is
// stable, so no header of CUDA is needed to build. `driver()` throws UnsupportedError with one sentence on what is missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/library.h"

namespace fk::cuda {

using CuResult = int;
using CuDevice = int;
using CuContext = struct CuContextTag*;
using CuModule = struct CuModuleTag*;
using CuFunction = struct CuFunctionTag*;
using CuStream = struct CuStreamTag*;
using CuEvent = struct CuEventTag*;
using CuGraph = struct CuGraphTag*;
using CuGraphExec = struct CuGraphExecTag*;
using CuPointer = unsigned long long;

// cuda.h's numbers.
inline constexpr CuResult kCuOutOfMemory = 2, kCuNoDevice = 100;
inline constexpr int kCuMultiprocessors = 16, kCuMajor = 75, kCuMinor = 76;
inline constexpr unsigned kCuCaptureThreadLocal = 1, kCuNonBlocking = 1, kCuHostMapped = 2;

struct Driver {
    Library library;
    CuResult (*init)(unsigned);
    CuResult (*version)(int*);
    CuResult (*error_name)(CuResult, const char**);
    CuResult (*error_text)(CuResult, const char**);
    CuResult (*device_count)(int*);
    CuResult (*device)(CuDevice*, int);
    CuResult (*device_name)(char*, int, CuDevice);
    CuResult (*device_attribute)(int*, int, CuDevice);
    CuResult (*device_memory)(size_t*, CuDevice);
    CuResult (*retain_context)(CuContext*, CuDevice);
    CuResult (*set_context)(CuContext);
    CuResult (*allocate)(CuPointer*, size_t);
    CuResult (*free)(CuPointer);
    CuResult (*allocate_host)(void**, size_t, unsigned);
    CuResult (*free_host)(void*);
    CuResult (*host_pointer)(CuPointer*, void*, unsigned);
    CuResult (*upload)(CuPointer, const void*, size_t, CuStream);
    CuResult (*download)(void*, CuPointer, size_t, CuStream);
    CuResult (*copy)(CuPointer, CuPointer, size_t, CuStream);
    CuResult (*fill)(CuPointer, unsigned char, size_t, CuStream);
    CuResult (*create_stream)(CuStream*, unsigned);
    CuResult (*synchronize)(CuStream);
    CuResult (*load_module)(CuModule*, const void*);
    CuResult (*unload_module)(CuModule);
    CuResult (*function)(CuFunction*, CuModule, const char*);
    CuResult (*launch)(CuFunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CuStream, void**,
                       void**);
    CuResult (*begin_capture)(CuStream, unsigned);
    CuResult (*end_capture)(CuStream, CuGraph*);
    CuResult (*instantiate)(CuGraphExec*, CuGraph, unsigned long long);
    CuResult (*launch_graph)(CuGraphExec, CuStream);
    CuResult (*destroy_graph)(CuGraph);
    CuResult (*destroy_graph_exec)(CuGraphExec);

    // InternalError, or OutOfMemoryError, with CUDA's words for a status that is not success.
    void check(CuResult status, const char* what) const {
        if (status != 0) [[unlikely]]
            report(status, what);
    }

  private:
    friend const Driver& driver();
    Driver();
    [[noreturn]] void report(CuResult status, const char* what) const;
};

// Opened and initialised at the first call.
[[nodiscard]] const Driver& driver();

}  // namespace fk::cuda
