#include "kernels/gan_loss.h"
#include "kernels/gan_loss_point.h"

#include "src/core/cuda_check.h"

namespace ganforge {
namespace {

constexpr int warp = 32;
constexpr int threads_per_block = 256;

/// Sums of the block's values, in thread 0: a tree of fixed shape, so that two runs agree to the bit.
template <int count>
__device__ void block_sum(float (&value)[count]) {
  __shared__ float partial[threads_per_block / warp][count];
#pragma unroll
  for (int k = 0; k < count; ++k) {
#pragma unroll
    for (int lanes = warp / 2; lanes > 0; lanes /= 2) value[k] += __shfl_down_sync(~0u, value[k], lanes);
    if (threadIdx.x % warp == 0) partial[threadIdx.x / warp][k] = value[k];
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int k = 0; k < count; ++k) {
    for (int w = 1; w < threads_per_block / warp; ++w) value[k] += partial[w][k];
  }
}

// One block, one launch: reads 4 bytes a logit and writes 4, neighbouring threads neighbouring logits. There are as
// many logits as images, so the launch is the cost.
__global__ void discriminator_loss_kernel(const DiscriminatorLossArgs args) {
  const float n = static_cast<float>(args.n);
  float sum[4] = {0, 0, 0, 0};  // loss, d_real, d_fake, correct
  for (std::int64_t i = threadIdx.x; i < 2 * args.n; i += threads_per_block) {
    const bool real = i < args.n;
    const LossPoint point = discriminator_loss_point(args.objective, real, args.real_target, args.logits[i],
                                                     args.logits[real ? i + args.n : i - args.n]);
    sum[0] += point.loss;
    sum[1] += real ? point.probability : 0.0f;
    sum[2] += real ? 0.0f : point.probability;
    sum[3] += point.correct ? 1.0f : 0.0f;
    args.dlogits[i] = point.gradient / n;
  }
  block_sum(sum);
  if (threadIdx.x == 0) {
    *args.loss = sum[0] / n;
    *args.d_real = sum[1] / n;
    *args.d_fake = sum[2] / n;
    *args.accuracy = sum[3] / (2 * n);
  }
}

__global__ void generator_loss_kernel(const GeneratorLossArgs args) {
  const float n = static_cast<float>(args.n);
  float sum[1] = {0};
  for (std::int64_t i = threadIdx.x; i < args.n; i += threads_per_block) {
    const GeneratorLossPoint point =
        generator_loss_point(args.objective, args.logits[i], args.real ? args.real[i] : 0.0f);
    sum[0] += point.loss;
    args.dlogits[i] = point.gradient / n;
  }
  block_sum(sum);
  if (threadIdx.x == 0) *args.loss = sum[0] / n;
}

}  // namespace

void discriminator_loss(const CudaStream& stream, const DiscriminatorLossArgs& args) {
  discriminator_loss_kernel<<<1, threads_per_block, 0, static_cast<cudaStream_t>(stream.stream)>>>(args);
  check_launch("discriminator_loss");
}

void generator_loss(const CudaStream& stream, const GeneratorLossArgs& args) {
  generator_loss_kernel<<<1, threads_per_block, 0, static_cast<cudaStream_t>(stream.stream)>>>(args);
  check_launch("generator_loss");
}

}  // namespace ganforge
