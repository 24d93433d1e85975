// See driver.h.
#include "cuda/driver.h"

#include <mutex>

namespace fk::cuda {
namespace {

constexpr int kOldestDriver = 12000;  // CUDA 12.0; its version number

}  // namespace

Driver::Driver()
    : library("the CUDA driver", {"libcuda.so.1", "libcuda.so"}, {}, "A GPU needs NVIDIA's driver, version 525 or newer") {
    library.bind(init, "cuInit");
    library.bind(version, "cuDriverGetVersion");
    library.bind(error_name, "cuGetErrorName");
    library.bind(error_text, "cuGetErrorString");
    library.bind(device_count, "cuDeviceGetCount");
    library.bind(device, "cuDeviceGet");
    library.bind(device_name, "cuDeviceGetName");
    library.bind(device_attribute, "cuDeviceGetAttribute");
    library.bind(device_memory, "cuDeviceTotalMem_v2");
    library.bind(retain_context, "cuDevicePrimaryCtxRetain");
    library.bind(set_context, "cuCtxSetCurrent");
    library.bind(allocate, "cuMemAlloc_v2");
    library.bind(free, "cuMemFree_v2");
    library.bind(allocate_host, "cuMemHostAlloc");
    library.bind(free_host, "cuMemFreeHost");
    library.bind(host_pointer, "cuMemHostGetDevicePointer_v2");
    library.bind(upload, "cuMemcpyHtoDAsync_v2");
    library.bind(download, "cuMemcpyDtoHAsync_v2");
    library.bind(copy, "cuMemcpyDtoDAsync_v2");
    library.bind(fill, "cuMemsetD8Async");
    library.bind(create_stream, "cuStreamCreate");
    library.bind(synchronize, "cuStreamSynchronize");
    library.bind(load_module, "cuModuleLoadData");
    library.bind(unload_module, "cuModuleUnload");
    library.bind(function, "cuModuleGetFunction");
    library.bind(launch, "cuLaunchKernel");
    library.bind(begin_capture, "cuStreamBeginCapture_v2");
    library.bind(end_capture, "cuStreamEndCapture");
    library.bind(instantiate, "cuGraphInstantiateWithFlags");
    library.bind(launch_graph, "cuGraphLaunch");
    library.bind(destroy_graph, "cuGraphDestroy");
    library.bind(destroy_graph_exec, "cuGraphExecDestroy");
    if (const CuResult status = init(0); status != 0) {
        const char* text = "unknown";
        (void)error_text(status, &text);
        fail<UnsupportedError>("the CUDA driver (", library.path(), ") does not start: ", text);
    }
    int number = 0;
    check(version(&number), "asking for the driver's version");
    if (number < kOldestDriver)
        fail<UnsupportedError>("the CUDA driver supports CUDA ", number / 1000, ".", number % 1000 / 10,
                               "; fastkeras needs 12.0 or newer: update NVIDIA's driver");
}

void Driver::report(CuResult status, const char* what) const {
    const char *name = "?", *text = "?";
    (void)error_name(status, &name);
    (void)error_text(status, &text);
    if (status == kCuOutOfMemory) fail<OutOfMemoryError>("the GPU is out of memory while ", what, ". A smaller batch needs less");
    fail<InternalError>("CUDA: ", what, " failed: ", name, " (", text, ")");
}

const Driver& driver() {
    static const Driver instance;
    return instance;
}

}  // namespace fk::cuda
