// What the rungs share.
#pragma once

#include "bench/ladder/ladder.h"
#include "src/core/cuda_check.h"

namespace ganforge::ladder {

inline cudaStream_t queue_of(const CudaStream& stream) {
  return static_cast<cudaStream_t>(stream.stream);
}

__host__ __device__ constexpr int divide_up(int a, int b) {
  return (a + b - 1) / b;
}

__device__ inline float leaky(float x, float slope) {
  return x > 0 ? x : slope * x;
}

}  // namespace ganforge::ladder
