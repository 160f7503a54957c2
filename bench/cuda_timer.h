// Time on the GPU's own clock. In builds with CUDA alone.
#pragma once

#include <ganforge/device.h>

#include <functional>
#include <vector>

namespace ganforge::bench {

class CudaTimer {
 public:
  explicit CudaTimer(Device& device);
  ~CudaTimer();
  CudaTimer(const CudaTimer&) = delete;
  CudaTimer& operator=(const CudaTimer&) = delete;

  /// Seconds that the work queued by `run` takes in all of `times` runs together: between events around each, behind a
  /// write of twice the L2 cache, so that what a run reads comes from memory and the host is ahead. A pair of events
  /// with nothing between them takes some microseconds; that is part of it.
  double seconds(int times, const std::function<void()>& run);

 private:
  void* event(std::size_t i);
  Device& device_;
  Buffer flush_;
  std::vector<void*> events_;  // cudaEvent_t
};

}  // namespace ganforge::bench
