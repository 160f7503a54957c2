// Rung 7: tensor cores. The tiles and copies of rung 6, but a warp computes 32 × 32 outputs by mma.m16n8k8 with TF32
// operands: 1024 products an instruction, where FFMA has 32. Operands are read from shared memory as fragments, one
// float a lane; rows of 36 floats put the 8 × 4 of a fragment on 32 banks.
//
// The tensor core drops 13 bits of each operand. m and n are multiples of 64, k of 32; compute capability 8.0.
#include "bench/ladder/async_tile.cuh"
#include "bench/ladder/mma_patch.cuh"

namespace ganforge::ladder {
namespace {

constexpr int tile = 64, depth = 32, pitch = depth + 4, threads = 128, stages = 3;

__global__ void __launch_bounds__(threads) linear_7_kernel(LinearProblem p) {
  extern __shared__ __align__(16) float shared[];
  const int warp = threadIdx.x / 32, top = warp / 2 * 32, left = warp % 2 * 32;
  const float* const x = p.x + blockIdx.y * tile * p.k;
  const float* const w = p.w + blockIdx.x * tile * p.k;
  Patch patch;
  pipeline<stages>(
      p.k / depth,
      [&](int step, int stage) {
        float* const to = shared + stage * 2 * tile * pitch;
        fetch_rows<tile, depth, pitch, threads>(to, [&](int row) { return x + row * p.k + step * depth; });
        fetch_rows<tile, depth, pitch, threads>(to + tile * pitch,
                                                [&](int row) { return w + row * p.k + step * depth; });
      },
      [&](int stage) {
        const float* const xs = shared + stage * 2 * tile * pitch + top * pitch;
        const float* const ws = shared + stage * 2 * tile * pitch + (tile + left) * pitch;
#pragma unroll
        for (int k0 = 0; k0 < depth; k0 += 8)
          patch.multiply([&](int row, int k) { return xs[row * pitch + k0 + k]; },
                         [&](int k, int column) { return ws[column * pitch + k0 + k]; });
      });
  patch.store([&](int row, int column, float2 v) {
    row += blockIdx.y * tile + top, column += blockIdx.x * tile + left;
    const float2 b = *reinterpret_cast<const float2*>(p.b + column);
    *reinterpret_cast<float2*>(p.y + row * p.n + column) =
        make_float2(leaky(v.x + b.x, p.slope), leaky(v.y + b.y, p.slope));
  });
}

}  // namespace

void linear_7_mma(const CudaStream& stream, const LinearProblem& p) {
  constexpr int bytes = stages * 2 * tile * pitch * 4;
  check_cuda(cudaFuncSetAttribute(linear_7_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
             "linear_7_kernel");
  linear_7_kernel<<<dim3(p.n / tile, p.m / tile), threads, bytes, queue_of(stream)>>>(p);
  check_launch("linear_7_kernel");
}

}  // namespace ganforge::ladder
