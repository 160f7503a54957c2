// What the machine can do at most, measured: the yardstick of ganforge_bench.
#pragma once

#include <ganforge/device.h>

namespace ganforge::bench {

struct MachinePeak {
  double flops = 0;  ///< floating-point operations a second, as independent multiply-adds; 0: not measured
  double bytes = 0;  ///< bytes a second that a copy beyond the caches reads and writes
};

/// Of `threads` threads with the vectors of `isa`; the best of several tries, about half a second.
MachinePeak cpu_peak(int threads, Isa isa);
/// Of the card: the copy alone.
MachinePeak cuda_peak(Device& device);

}  // namespace ganforge::bench
