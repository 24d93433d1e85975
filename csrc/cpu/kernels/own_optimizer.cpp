// The loop of Adam's update.
#include <cmath>

#include "cpu/kernels/own_isa.h"

namespace fk::cpu::FK_ISA_NAMESPACE {
namespace {

void adam(const AdamRates& rates, int64_t n, const AdamIn& in, const AdamOut& out) {
    const float rate_1 = rates.rate_1, rate_2 = rates.rate_2, epsilon = rates.epsilon, step_size = rates.step_size;
    const float *variable = in.variable, *momentum = in.momentum, *velocity = in.velocity, *gradient = in.gradient;
    float *new_variable = out.variable, *new_momentum = out.momentum, *new_velocity = out.velocity;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float g = gradient[i];
        const float m = momentum[i] + (g - momentum[i]) * rate_1;
        const float v = velocity[i] + (g * g - velocity[i]) * rate_2;
        new_momentum[i] = m;
        new_velocity[i] = v;
        new_variable[i] = variable[i] - m * step_size / (std::sqrt(v) + epsilon);
    }
}

}  // namespace

void fill_optimizer(OwnKernels& table) { table.adam = adam; }

}  // namespace fk::cpu::FK_ISA_NAMESPACE
