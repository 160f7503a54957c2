// Rung 1: the definition. A thread computes one output and reads its row of x and its row of w by itself.
//
// Neighbouring threads are neighbouring rows, k floats apart: every load and store of a warp touches 32 sectors for 128
// bytes. That is the mistake that the next rung mends.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int side = 16;

__global__ void linear_1_kernel(LinearProblem p) {
  const int row = blockIdx.x * side + threadIdx.x, column = blockIdx.y * side + threadIdx.y;
  if (row >= p.m || column >= p.n) return;
  float sum = p.b[column];
  for (int i = 0; i < p.k; ++i) sum += p.x[row * p.k + i] * p.w[column * p.k + i];
  p.y[row * p.n + column] = leaky(sum, p.slope);
}

}  // namespace

void linear_1_naive(const CudaStream& stream, const LinearProblem& p) {
  linear_1_kernel<<<dim3(divide_up(p.m, side), divide_up(p.n, side)), dim3(side, side), 0, queue_of(stream)>>>(p);
  check_launch("linear_1_kernel");
}

}  // namespace ganforge::ladder
