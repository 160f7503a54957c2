// The norm of a gradient on CUDA.
#include "kernels/gradient_norm.h"

#include "src/core/cuda_check.h"

#include <algorithm>

namespace ganforge {
namespace {

constexpr int threads = 256;

/// Sum over the block, in a tree of fixed order; the same for every thread.
__device__ float block_sum(float value) {
  __shared__ float sums[threads];
  __syncthreads();
  sums[threadIdx.x] = value;
  for (int half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[0];
}

// A block sums the squares of 16384 neighbours, the last one to finish the blocks' sums, both in fixed order. Floor:
// one launch, 1R.
__global__ void __launch_bounds__(threads) gradient_norm_kernel(const GradientNormArgs args) {
  __shared__ bool last;
  auto* parts = static_cast<float*>(args.workspace);
  const std::int64_t begin = blockIdx.x * norm_part, end = min(begin + norm_part, args.n);
  float sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += threads) sum += args.g[i] * args.g[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = sum;
    __threadfence();
    last = atomicInc(args.ticket, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  sum = 0;
  for (unsigned part = threadIdx.x; part < gridDim.x; part += threads) sum += parts[part];
  const float norm = args.factor * sqrtf(block_sum(sum)), share = args.max_norm / (norm + 1e-6f);
  if (threadIdx.x == 0) *args.scale = args.factor * (share > 1 ? 1.0f : share);
}

}  // namespace

void gradient_norm(const CudaStream& stream, const GradientNormArgs& args) {
  const auto blocks = static_cast<unsigned>(std::max<std::int64_t>((args.n + norm_part - 1) / norm_part, 1));
  gradient_norm_kernel<<<blocks, threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(args);
  check_launch("gradient_norm");
}

}  // namespace ganforge
