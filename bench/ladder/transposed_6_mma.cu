// Rung 6: tensor cores. The copies of rung 5; a warp computes 32 positions × 32 channels by mma.m16n8k8, TF32.
//
// `in` is a multiple of 32, `out` of 64; compute capability 8.0.
#include "bench/ladder/mma_patch.cuh"
#include "bench/ladder/transposed_tile.cuh"

namespace ganforge::ladder {
namespace {

using Tile = TransposedTile;

__global__ void __launch_bounds__(Tile::threads) transposed_6_kernel(TransposedProblem p) {
  extern __shared__ __align__(16) float shared[];
  const int warp = threadIdx.x / 32, top = warp / 2 * 32, left = warp % 2 * 32;
  Patch patch;
  Tile::run(p, shared, [&](const float* xs, const float* fs) {
#pragma unroll
    for (int k0 = 0; k0 < Tile::depth; k0 += 8)
      patch.multiply([&](int row, int k) { return xs[(top + row) * Tile::x_pitch + k0 + k]; },
                     [&](int k, int column) { return fs[(k0 + k) * Tile::f_pitch + left + column]; });
  });
  patch.store([&](int row, int column, float2 v) {
    const Position at(p, blockIdx.y * Tile::rows + top + row);
    if (at.n >= p.n) return;
    const int c = blockIdx.x * Tile::columns + left + column;
    const float2 b = *reinterpret_cast<const float2*>(p.b + c);
    *reinterpret_cast<float2*>(at.output(p, blockIdx.z / 2, blockIdx.z % 2) + c) =
        make_float2(leaky(v.x + b.x, p.slope), leaky(v.y + b.y, p.slope));
  });
}

}  // namespace

void transposed_6_mma(const CudaStream& stream, const TransposedProblem& p) {
  check_cuda(cudaFuncSetAttribute(transposed_6_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::bytes),
             "transposed_6_kernel");
  transposed_6_kernel<<<Tile::grid(p), Tile::threads, Tile::bytes, queue_of(stream)>>>(p);
  check_launch("transposed_6_kernel");
}

}  // namespace ganforge::ladder
