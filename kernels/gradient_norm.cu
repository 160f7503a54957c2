// The norm of a gradient on CUDA.
#include "kernels/gradient_norm.h"

#include "kernels/block.cuh"
#include "src/core/cuda_check.h"

#include <algorithm>

namespace ganforge {
namespace {

constexpr int threads = 256;

// A block sums the squares of 16384 neighbours, the last one to finish the blocks' sums, both in fixed order. Floor:
// one launch, 1R.
__global__ void __launch_bounds__(threads) gradient_norm_kernel(const GradientNormArgs args) {
  auto* parts = static_cast<float*>(args.workspace);
  const std::int64_t begin = blockIdx.x * norm_part, end = min(begin + norm_part, args.n);
  float sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += threads) sum += args.g[i] * args.g[i];
  sum = block_sum<threads>(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
  if (!last_block(args.ticket, gridDim.x)) return;
  sum = 0;
  for (unsigned part = threadIdx.x; part < gridDim.x; part += threads) sum += parts[part];
  const float norm = args.factor * sqrtf(block_sum<threads>(sum)), share = args.max_norm / (norm + 1e-6f);
  if (threadIdx.x == 0) *args.scale = args.factor * (share > 1 ? 1.0f : share);
}

}  // namespace

void gradient_norm(const CudaStream& stream, const GradientNormArgs& args) {
  const auto blocks = static_cast<unsigned>(std::max<std::int64_t>((args.n + norm_part - 1) / norm_part, 1));
  gradient_norm_kernel<<<blocks, threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(args);
  check_launch("gradient_norm");
}

}  // namespace ganforge
