// What the machine can do at most, measured: the yardstick of ganforge_bench.
#pragma once

#include <ganforge/device.h>

namespace ganforge::bench {

struct MachinePeak {
  double flops = 0;       ///< floating-point operations a second, as independent multiply-adds
  double tf32_flops = 0;  ///< the same as products of TF32 matrices; 0: the device has none
  double bytes = 0;       ///< bytes a second that a copy beyond the caches reads and writes
};

/// Of `threads` threads with the vectors of `isa`; the best of several tries, about half a second.
MachinePeak cpu_peak(int threads, Isa isa);
/// Of the card, by its own clock. In builds with CUDA alone.
MachinePeak cuda_peak(Device& device);

}  // namespace ganforge::bench
