// Derivative of an activation on CUDA.
#include "kernels/act_grad.h"
#include "kernels/activate.h"
#include "kernels/elementwise.cuh"

namespace ganforge {
namespace {

// Neighbouring threads take neighbouring groups of four; what is left of n / 4, or all if a pointer is not aligned,
// goes one by one. Floor: one launch, 2R + 1W. Not __restrict__: dx may be an operand.
__global__ void act_grad_kernel(ActGradArgs args, std::int64_t fours) {
  const std::int64_t thread = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  const auto grad = [&](float dy, float y) { return dy * activation_grad(args.act.kind, args.act.negative_slope, y); };
  for (std::int64_t i = thread; i < fours; i += threads) {
    const float4 dy = reinterpret_cast<const float4*>(args.dy)[i], y = reinterpret_cast<const float4*>(args.y)[i];
    __stwb(reinterpret_cast<float4*>(args.dx) + i,
           make_float4(grad(dy.x, y.x), grad(dy.y, y.y), grad(dy.z, y.z), grad(dy.w, y.w)));
  }
  for (std::int64_t i = 4 * fours + thread; i < args.n; i += threads) args.dx[i] = grad(args.dy[i], args.y[i]);
}

}  // namespace

void act_grad(const CudaStream& stream, const ActGradArgs& args) {
  if (args.n == 0) return;
  const bool aligned = fours_aligned(args.dy) && fours_aligned(args.y) && fours_aligned(args.dx);
  const std::int64_t fours = aligned ? args.n / 4 : 0;
  const unsigned blocks = elementwise_blocks(stream, std::max(fours, args.n - 4 * fours));
  act_grad_kernel<<<blocks, elementwise_threads, 0, queue_of(stream)>>>(args, fours);
  check_launch("act_grad");
}

}  // namespace ganforge
