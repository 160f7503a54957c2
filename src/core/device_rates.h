// What a GPU can do at most, from its properties: the floor of the time that work takes.
#pragma once

#include <ganforge/stream.h>

namespace ganforge {

struct DeviceRates {
  double clock = 0;  ///< the highest of the multiprocessors, in Hz
  double flops = 0;  ///< a second, as products in the stream's precision; 0: not known for this compute capability
  double bytes = 0;  ///< a second, from and to memory; 0: the driver does not say
};

/// In builds with CUDA alone.
DeviceRates device_rates(const CudaStream& stream);

}  // namespace ganforge
