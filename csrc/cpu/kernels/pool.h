// What the loops of kernels/own_pool.cpp take.
#pragma once

#include "cpu/kernels/own_types.h"

namespace fk::cpu {

// Neighbouring windows of a pooling that lie inside the input, in elements of the channels-last tensor: `count` taps in window
// order, those of the next window `step` further. `channels` of the `stride` channels of an output are worked on.
struct PoolRow {
    const int64_t* taps;
    int64_t count, step, windows, channels, stride;
};

template <class T>
struct PoolKernels {
    void (*max)(const T* x, const PoolRow& row, T* y);
    void (*avg)(const T* x, const PoolRow& row, T* y);
    // At the first tap equal to y: dx += dy, or dx = dy there and 0 at the other taps (`apart`: windows do not overlap).
    void (*max_grad)(const T* x, const T* y, const T* dy, const PoolRow& row, bool apart, Compute<T>* dx);
    // out = what dd holds at the first tap of x that is equal to y
    void (*max_select)(const T* x, const T* y, const T* dd, const PoolRow& row, T* out);
    // dx += dy / count at every tap, or = if apart
    void (*avg_grad)(const T* dy, const PoolRow& row, bool apart, Compute<T>* dx);
};

}  // namespace fk::cpu
