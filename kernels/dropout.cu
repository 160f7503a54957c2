// Dropout on CUDA.
#include "kernels/dropout.h"
#include "kernels/elementwise.cuh"
#include "kernels/pack.cuh"
#include "kernels/philox.h"

namespace ganforge {
namespace {

using namespace pack;

__device__ float kept(std::uint32_t word, const DropoutArgs& args, float x) {
  const float u = float(std::int32_t(word >> 8)) * 0x1p-24f;
  return u < args.rate ? 0.0f : x * args.scale;
}

// Neighbouring threads take neighbouring quads, 16 bytes at once where both tensors are aligned. Floor: one launch,
// 1R + 1W; 70 integer instructions a quad. Not __restrict__: y may be x.
__global__ void dropout_kernel(const DropoutArgs args, bool aligned) {
  const std::int64_t quads = (args.n + 3) / 4, threads = gridDim.x * std::int64_t(blockDim.x), tick = *args.tick;
  for (std::int64_t q = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; q < quads; q += threads) {
    const Words w = words_of_quad(philox_key(args.seed, purpose_noise), args.draw, tick, q);
    const std::uint32_t word[4] = {w.x0, w.x1, w.x2, w.x3};
    if (aligned && 4 * q + 4 <= args.n) {
      Pack<4> x = load<4>(args.x + 4 * q);
#pragma unroll
      for (int k = 0; k < 4; ++k) x.v[k] = kept(word[k], args, x.v[k]);
      store<4>(args.y + 4 * q, x);
      continue;
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (4 * q + k < args.n) args.y[4 * q + k] = kept(word[k], args, args.x[4 * q + k]);
    }
  }
}

}  // namespace

void dropout(const CudaStream& stream, const DropoutArgs& args) {
  if (args.n == 0) return;
  const bool aligned = fours_aligned(args.x) && fours_aligned(args.y);
  dropout_kernel<<<elementwise_blocks(stream, (args.n + 3) / 4), elementwise_threads, 0, queue_of(stream)>>>(args,
                                                                                                             aligned);
  check_launch("dropout");
}

}  // namespace ganforge
