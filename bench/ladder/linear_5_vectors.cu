// Rung 5: 16 bytes at once. Global loads, shared loads and stores move float4, a quarter of the instructions. For that
// the tiles lie in shared memory with k outermost, so that a thread's outputs are neighbours: 8 × 4 of them, for which
// it reads three float4 a step of k. Writing the tiles so costs four stores of one float for each load.
//
// m and n are multiples of 64, k of 16.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int tile = 64, depth = 16, threads = 128;
constexpr int row_floats = tile + 4;  // float4 stay aligned

/// Rows of `from`, k floats apart, into columns of `to`. Thread t takes 4 steps of k of row t / 4 and of the one 32
/// below; two lanes share each bank, a part of the price of turning the tile around.
__device__ void load_turned(float (&to)[depth][row_floats], const float* from, int k) {
  const int column = threadIdx.x % 4 * 4;
  for (int row = threadIdx.x / 4; row < tile; row += threads / 4) {
    const float4 v = *reinterpret_cast<const float4*>(from + row * k + column);
    to[column][row] = v.x, to[column + 1][row] = v.y, to[column + 2][row] = v.z, to[column + 3][row] = v.w;
  }
}

__global__ void __launch_bounds__(threads) linear_5_kernel(LinearProblem p) {
  __shared__ __align__(16) float xs[depth][row_floats], ws[depth][row_floats];
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;  // 16 quads of columns × 8 groups of 8 rows
  float sum[8][4] = {};
  for (int k0 = 0; k0 < p.k; k0 += depth) {
    load_turned(xs, p.x + blockIdx.y * tile * p.k + k0, p.k);
    load_turned(ws, p.w + blockIdx.x * tile * p.k + k0, p.k);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < depth; ++k) {
      const float4 low = *reinterpret_cast<const float4*>(&xs[k][8 * ty]),
                   high = *reinterpret_cast<const float4*>(&xs[k][8 * ty + 4]),
                   b = *reinterpret_cast<const float4*>(&ws[k][4 * tx]);
      const float a[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
      for (int i = 0; i < 8; ++i)
        sum[i][0] += a[i] * b.x, sum[i][1] += a[i] * b.y, sum[i][2] += a[i] * b.z, sum[i][3] += a[i] * b.w;
    }
    __syncthreads();
  }
  const int column = blockIdx.x * tile + 4 * tx;
  const float4 bias = *reinterpret_cast<const float4*>(p.b + column);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int row = blockIdx.y * tile + 8 * ty + i;
    *reinterpret_cast<float4*>(p.y + row * p.n + column) =
        make_float4(leaky(sum[i][0] + bias.x, p.slope), leaky(sum[i][1] + bias.y, p.slope),
                    leaky(sum[i][2] + bias.z, p.slope), leaky(sum[i][3] + bias.w, p.slope));
  }
}

}  // namespace

void linear_5_vectors(const CudaStream& stream, const LinearProblem& p) {
  linear_5_kernel<<<dim3(p.n / tile, p.m / tile), threads, 0, queue_of(stream)>>>(p);
  check_launch("linear_5_kernel");
}

}  // namespace ganforge::ladder
