// Rung 6: asynchronous copies. cp.async moves 16 bytes from global to shared memory past the registers, and the tiles
// of the next two steps are under way while one is multiplied: the latency of memory hides behind arithmetic, and half
// of the barriers are gone. What is copied so keeps its order, rows along k: a thread reads four steps of k of its 8
// rows and 4 columns, twelve float4 for 128 products. Rows of 36 floats let eight lanes, one row each, cover all 32
// banks.
//
// m and n are multiples of 64, k of 32; compute capability 8.0.
#include "bench/ladder/async_tile.cuh"

namespace ganforge::ladder {
namespace {

constexpr int tile = 64, depth = 32, pitch = depth + 4, threads = 128, stages = 3;

__global__ void __launch_bounds__(threads) linear_6_kernel(LinearProblem p) {
  extern __shared__ __align__(16) float shared[];
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;  // columns tx + 16j, rows ty + 8i
  const float* const x = p.x + blockIdx.y * tile * p.k;
  const float* const w = p.w + blockIdx.x * tile * p.k;
  float sum[8][4] = {};
  pipeline<stages>(
      p.k / depth,
      [&](int step, int stage) {
        float* const to = shared + stage * 2 * tile * pitch;
        fetch_rows<tile, depth, pitch, threads>(to, [&](int row) { return x + row * p.k + step * depth; });
        fetch_rows<tile, depth, pitch, threads>(to + tile * pitch,
                                                [&](int row) { return w + row * p.k + step * depth; });
      },
      [&](int stage) {
        const float* const xs = shared + stage * 2 * tile * pitch;
        const float* const ws = xs + tile * pitch;
#pragma unroll 2
        for (int k = 0; k < depth; k += 4) {
          float4 b[4];
#pragma unroll
          for (int j = 0; j < 4; ++j) b[j] = *reinterpret_cast<const float4*>(ws + (tx + 16 * j) * pitch + k);
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            const float4 a = *reinterpret_cast<const float4*>(xs + (ty + 8 * i) * pitch + k);
#pragma unroll
            for (int j = 0; j < 4; ++j) sum[i][j] += a.x * b[j].x + a.y * b[j].y + a.z * b[j].z + a.w * b[j].w;
          }
        }
      });
#pragma unroll
  for (int i = 0; i < 8; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = blockIdx.y * tile + ty + 8 * i, column = blockIdx.x * tile + tx + 16 * j;
      p.y[row * p.n + column] = leaky(sum[i][j] + p.b[column], p.slope);
    }
}

}  // namespace

void linear_6_async(const CudaStream& stream, const LinearProblem& p) {
  constexpr int bytes = stages * 2 * tile * pitch * 4;
  check_cuda(cudaFuncSetAttribute(linear_6_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
             "linear_6_kernel");
  linear_6_kernel<<<dim3(p.n / tile, p.m / tile), threads, bytes, queue_of(stream)>>>(p);
  check_launch("linear_6_kernel");
}

}  // namespace ganforge::ladder
