#include "bench/cuda_timer.h"
#include "src/core/cuda_check.h"

#include <algorithm>

namespace ganforge::bench {
namespace {

cudaStream_t stream_of(Device& device) {
  return static_cast<cudaStream_t>(std::get<CudaStream>(device.stream()).stream);
}

std::size_t flush_bytes() {
  int index = 0, l2 = 0;
  check_cuda(cudaGetDevice(&index), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, index), "cudaDeviceGetAttribute");
  return 2 * static_cast<std::size_t>(std::max(l2, 1 << 20));
}

}  // namespace

CudaTimer::CudaTimer(Device& device) : device_(device), flush_(device.allocate(flush_bytes())) {}

CudaTimer::~CudaTimer() {
  for (void* each : events_) cudaEventDestroy(static_cast<cudaEvent_t>(each));
}

void* CudaTimer::event(std::size_t i) {
  while (events_.size() <= i) {
    cudaEvent_t made = nullptr;
    check_cuda(cudaEventCreate(&made), "cudaEventCreate");
    events_.push_back(made);
  }
  return events_[i];
}

double CudaTimer::seconds(int times, const std::function<void()>& run) {
  const auto record = [&](std::size_t i) {
    check_cuda(cudaEventRecord(static_cast<cudaEvent_t>(event(i)), stream_of(device_)), "cudaEventRecord");
  };
  const auto count = static_cast<std::size_t>(times);
  event(2 * count);  // made before they are needed
  for (std::size_t i = 0; i < count; ++i) {
    device_.clear(flush_.data(), flush_.bytes());
    record(2 * i);
    run();
    record(2 * i + 1);
  }
  device_.synchronize();
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    float ms = 0;
    check_cuda(
        cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(event(2 * i)), static_cast<cudaEvent_t>(event(2 * i + 1))),
        "cudaEventElapsedTime");
    sum += 1e-3 * static_cast<double>(ms);
  }
  return sum;
}

}  // namespace ganforge::bench
