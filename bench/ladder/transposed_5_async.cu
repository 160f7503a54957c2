// Rung 5: asynchronous copies, three buffers: the gather of the next two steps is under way while one is multiplied,
// one barrier a step. A thread has 8 positions × 4 neighbouring channels.
//
// What it pays: the place of each row is found anew in every step, with divisions; the product's kernel keeps it in
// registers. `in` is a multiple of 32, `out` of 64; compute capability 8.0.
#include "bench/ladder/transposed_tile.cuh"

namespace ganforge::ladder {
namespace {

using Tile = TransposedTile;

__global__ void __launch_bounds__(Tile::threads) transposed_5_kernel(TransposedProblem p) {
  extern __shared__ __align__(16) float shared[];
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;  // channels 4tx …, positions ty + 8i
  float sum[8][4] = {};
  Tile::run(p, shared, [&](const float* xs, const float* fs) {
#pragma unroll 2
    for (int k = 0; k < Tile::depth; k += 4) {
      float4 b[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) b[e] = *reinterpret_cast<const float4*>(fs + (k + e) * Tile::f_pitch + 4 * tx);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float4 a = *reinterpret_cast<const float4*>(xs + (ty + 8 * i) * Tile::x_pitch + k);
        sum[i][0] += a.x * b[0].x + a.y * b[1].x + a.z * b[2].x + a.w * b[3].x;
        sum[i][1] += a.x * b[0].y + a.y * b[1].y + a.z * b[2].y + a.w * b[3].y;
        sum[i][2] += a.x * b[0].z + a.y * b[1].z + a.z * b[2].z + a.w * b[3].z;
        sum[i][3] += a.x * b[0].w + a.y * b[1].w + a.z * b[2].w + a.w * b[3].w;
      }
    }
  });
  const int c = blockIdx.x * Tile::columns + 4 * tx;
  const float4 bias = *reinterpret_cast<const float4*>(p.b + c);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const Position at(p, blockIdx.y * Tile::rows + ty + 8 * i);
    if (at.n >= p.n) return;
    *reinterpret_cast<float4*>(at.output(p, blockIdx.z / 2, blockIdx.z % 2) + c) =
        make_float4(leaky(sum[i][0] + bias.x, p.slope), leaky(sum[i][1] + bias.y, p.slope),
                    leaky(sum[i][2] + bias.z, p.slope), leaky(sum[i][3] + bias.w, p.slope));
  }
}

}  // namespace

void transposed_5_async(const CudaStream& stream, const TransposedProblem& p) {
  check_cuda(cudaFuncSetAttribute(transposed_5_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::bytes),
             "transposed_5_kernel");
  transposed_5_kernel<<<Tile::grid(p), Tile::threads, Tile::bytes, queue_of(stream)>>>(p);
  check_launch("transposed_5_kernel");
}

}  // namespace ganforge::ladder
