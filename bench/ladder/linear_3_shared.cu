// Rung 3: tiles in shared memory. A block computes 32 × 32 outputs, a thread one of them; 32 steps of k of both
// operands are loaded together, and each number that is loaded is used 32 times. Rows have a float of padding: lanes
// that read w across its rows then find 32 different banks.
//
// A product now costs two reads of shared memory, whose bandwidth is what it waits for.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int side = 32;

__global__ void linear_3_kernel(LinearProblem p) {
  __shared__ float xs[side][side + 1], ws[side][side + 1];
  const int tx = threadIdx.x, ty = threadIdx.y;
  const int row = blockIdx.y * side + ty, column = blockIdx.x * side + tx, filter = blockIdx.x * side + ty;
  float sum = 0;
  for (int k0 = 0; k0 < p.k; k0 += side) {
    const bool inside = k0 + tx < p.k;
    xs[ty][tx] = inside && row < p.m ? p.x[row * p.k + k0 + tx] : 0;
    ws[ty][tx] = inside && filter < p.n ? p.w[filter * p.k + k0 + tx] : 0;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < side; ++i) sum += xs[ty][i] * ws[tx][i];
    __syncthreads();
  }
  if (row < p.m && column < p.n) p.y[row * p.n + column] = leaky(sum + p.b[column], p.slope);
}

}  // namespace

void linear_3_shared(const CudaStream& stream, const LinearProblem& p) {
  linear_3_kernel<<<dim3(divide_up(p.n, side), divide_up(p.m, side)), dim3(side, side), 0, queue_of(stream)>>>(p);
  check_launch("linear_3_kernel");
}

}  // namespace ganforge::ladder
