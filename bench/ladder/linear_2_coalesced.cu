// Rung 2: coalesced loads. Both operands run along k, so a warp takes an output and its lanes share k: a load of a warp
// is 128 neighbouring bytes, four sectors. The lanes' sums are added by shuffles.
//
// Every output still reads 2·k floats: bytes from the caches, m·n·k·8 in all, are now what it waits for.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int warps = 8;

__global__ void linear_2_kernel(LinearProblem p) {
  const int lane = threadIdx.x, output = blockIdx.x * warps + threadIdx.y;
  if (output >= p.m * p.n) return;
  const int row = output / p.n, column = output % p.n;
  float sum = 0;
  for (int i = lane; i < p.k; i += 32) sum += p.x[row * p.k + i] * p.w[column * p.k + i];
  for (int apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(~0u, sum, apart);
  if (lane == 0) p.y[output] = leaky(sum + p.b[column], p.slope);
}

}  // namespace

void linear_2_coalesced(const CudaStream& stream, const LinearProblem& p) {
  linear_2_kernel<<<divide_up(p.m * p.n, warps), dim3(32, warps), 0, queue_of(stream)>>>(p);
  check_launch("linear_2_kernel");
}

}  // namespace ganforge::ladder
