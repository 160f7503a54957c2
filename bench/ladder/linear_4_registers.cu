// Rung 4: tiles in registers. A block computes 64 × 64 outputs with 256 threads, a thread 4 × 4 of them, 16 apart: of
// each step of k it reads 4 + 4 numbers from shared memory for 16 products, where rung 3 read two for one.
//
// m and n are multiples of 64, k of 16: from here on no edges, which would hide the idea.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int tile = 64, depth = 16, each = 4, apart = tile / each;

__global__ void __launch_bounds__(apart* apart) linear_4_kernel(LinearProblem p) {
  __shared__ float xs[tile][depth + 1], ws[tile][depth + 1];
  const int tx = threadIdx.x % apart, ty = threadIdx.x / apart;
  const float* const x = p.x + blockIdx.y * tile * p.k;
  const float* const w = p.w + blockIdx.x * tile * p.k;
  float sum[each][each] = {};
  for (int k0 = 0; k0 < p.k; k0 += depth) {
    for (int i = ty; i < tile; i += apart) {
      xs[i][tx] = x[i * p.k + k0 + tx];
      ws[i][tx] = w[i * p.k + k0 + tx];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < depth; ++k) {
      float a[each], b[each];
#pragma unroll
      for (int i = 0; i < each; ++i) a[i] = xs[ty + i * apart][k], b[i] = ws[tx + i * apart][k];
#pragma unroll
      for (int i = 0; i < each; ++i)
#pragma unroll
        for (int j = 0; j < each; ++j) sum[i][j] += a[i] * b[j];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < each; ++i)
#pragma unroll
    for (int j = 0; j < each; ++j) {
      const int row = blockIdx.y * tile + ty + i * apart, column = blockIdx.x * tile + tx + j * apart;
      p.y[row * p.n + column] = leaky(sum[i][j] + p.b[column], p.slope);
    }
}

}  // namespace

void linear_4_registers(const CudaStream& stream, const LinearProblem& p) {
  linear_4_kernel<<<dim3(p.n / tile, p.m / tile), apart * apart, 0, queue_of(stream)>>>(p);
  check_launch("linear_4_kernel");
}

}  // namespace ganforge::ladder
