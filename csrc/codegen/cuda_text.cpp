// See cuda_text.h.
#include "codegen/cuda_text.h"

#include <bit>
#include <cmath>
#include <cstdio>

namespace fk::cuda {

std::string literal(Class cls, uint64_t bits) {
    char text[64];
    switch (cls) {
        case Class::f32:
            std::snprintf(text, sizeof text, "bits_f32(0x%08xu)", static_cast<uint32_t>(bits));
            break;
        case Class::f64:
            std::snprintf(text, sizeof text, "bits_f64(0x%016llxull)", static_cast<unsigned long long>(bits));
            break;
        case Class::b8:
            return bits ? "(u8)1" : "(u8)0";
        case Class::i32:
            std::snprintf(text, sizeof text, "(i32)0x%08xu", static_cast<uint32_t>(bits));
            break;
        case Class::u32:
            std::snprintf(text, sizeof text, "0x%08xu", static_cast<uint32_t>(bits));
            break;
        case Class::i64:
            std::snprintf(text, sizeof text, "(i64)0x%016llxull", static_cast<unsigned long long>(bits));
            break;
        case Class::u64:
            std::snprintf(text, sizeof text, "0x%016llxull", static_cast<unsigned long long>(bits));
            break;
    }
    return text;
}

std::string identity(ReduceKind kind, Class cls) {
    const bool f32 = cls == Class::f32, f64 = cls == Class::f64;
    const auto width = static_cast<unsigned>(size_of(cls) * 8);
    const bool is_signed = cls == Class::i32 || cls == Class::i64;
    switch (kind) {
        case ReduceKind::sum:
            return literal(cls, 0);
        case ReduceKind::prod:
            return literal(cls, f32 ? std::bit_cast<uint32_t>(1.0f) : f64 ? std::bit_cast<uint64_t>(1.0) : 1);
        case ReduceKind::max:
            return literal(cls, f32         ? std::bit_cast<uint32_t>(-INFINITY)
                                : f64       ? std::bit_cast<uint64_t>(-static_cast<double>(INFINITY))
                                : is_signed ? uint64_t{1} << (width - 1)
                                            : 0);
        case ReduceKind::min:
            break;
    }
    return literal(cls, f32         ? std::bit_cast<uint32_t>(INFINITY)
                        : f64       ? std::bit_cast<uint64_t>(static_cast<double>(INFINITY))
                        : is_signed ? (uint64_t{1} << (width - 1)) - 1
                                    : ~uint64_t{0});
}

}  // namespace fk::cuda
