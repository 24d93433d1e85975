// See cuda_program.h.
#include "codegen/cuda_program.h"

#include <cstdio>

#include "core/errors.h"

namespace fk::cuda {

Launch make_launch(std::string_view kind, int threads, const std::string& body, bool synchronizes) {
    Launch launch;
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : body) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
    launch.name = concat("fk_", kind, "_", digits);
    launch.threads = threads;
    launch.source = concat("FK_KERNEL(", launch.name, ", ", threads, ")", body, synchronizes ? "\nFK_END_SYNC(" : "\nFK_END(",
                           launch.name, ")\n");
    launch.synchronizes = synchronizes;
    return launch;
}

std::string_view memory_name(DType t) {
    constexpr std::string_view names[kDTypeCount] = {"b8",  "i8",  "i16", "i32",  "i64", "u8", "u16",
                                                     "u32", "u64", "f16", "bf16", "f32", "f64"};
    return names[static_cast<int>(t)];
}
std::string_view class_name(Class c) {
    constexpr std::string_view names[kClassCount] = {"u8", "i32", "u32", "i64", "u64", "f32", "f64"};
    return names[static_cast<int>(c)];
}

}  // namespace fk::cuda
