// The CUDA C++ of kernels/*.cuh, as text: CMake puts the files into the library (cmake/embed.cmake).
#pragma once

namespace fk::cuda::text {

extern const char* const prelude;  // before every kernel
extern const char* const conv;
extern const char* const index;
extern const char* const matmul;
extern const char* const scan;     // behind sort
extern const char* const scatter;  // behind index and sort
extern const char* const sort;
extern const char* const pool;
extern const char* const windows;  // before conv and pool

}  // namespace fk::cuda::text
