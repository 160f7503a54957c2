// Rung 4: tiles in registers, 16 bytes at once. A block computes 64 positions × 64 channels of a phase with 256
// threads, a thread 4 × 4: 16 neighbouring lanes read one float4 of x's tile (a step of k for 4 positions is 4 numbers
// that they share) and a float4 of the filter's each, whose channels are neighbours already.
//
// `in` is a multiple of 16, `out` of 64.
#include "bench/ladder/subpixel.cuh"

namespace ganforge::ladder {
namespace {

constexpr int tile = 64, depth = 16, side = 16;

__global__ void __launch_bounds__(side* side) transposed_4_kernel(TransposedProblem p) {
  __shared__ __align__(16) float xs[depth][tile + 4], fs[depth][tile];
  const int tx = threadIdx.x % side, ty = threadIdx.x / side, odd_u = blockIdx.z / 2, odd_v = blockIdx.z % 2;
  const int load_row = threadIdx.x / 4, load_column = threadIdx.x % 4 * 4;
  const Position loaded(p, blockIdx.y * tile + load_row);
  float sum[4][4] = {};
  for (int tap = 0; tap < 4; ++tap) {
    const float* const x = loaded.input(p, odd_u, odd_v, tap);
    const float* const f = filter(p, odd_u, odd_v, tap) + blockIdx.x * tile;
    for (int k0 = 0; k0 < p.in; k0 += depth) {
      const float4 v = x ? *reinterpret_cast<const float4*>(x + k0 + load_column) : float4{};
      xs[load_column][load_row] = v.x, xs[load_column + 1][load_row] = v.y;
      xs[load_column + 2][load_row] = v.z, xs[load_column + 3][load_row] = v.w;
      *reinterpret_cast<float4*>(&fs[ty][4 * tx]) =
          *reinterpret_cast<const float4*>(f + (k0 + ty) * 16 * p.out + 4 * tx);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < depth; ++k) {
        const float4 quad = *reinterpret_cast<const float4*>(&xs[k][4 * ty]),
                     b = *reinterpret_cast<const float4*>(&fs[k][4 * tx]);
        const float a[4] = {quad.x, quad.y, quad.z, quad.w};
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sum[i][0] += a[i] * b.x, sum[i][1] += a[i] * b.y, sum[i][2] += a[i] * b.z, sum[i][3] += a[i] * b.w;
      }
      __syncthreads();
    }
  }
  const int c = blockIdx.x * tile + 4 * tx;
  const float4 bias = *reinterpret_cast<const float4*>(p.b + c);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Position at(p, blockIdx.y * tile + 4 * ty + i);
    if (at.n >= p.n) return;
    *reinterpret_cast<float4*>(at.output(p, odd_u, odd_v) + c) =
        make_float4(leaky(sum[i][0] + bias.x, p.slope), leaky(sum[i][1] + bias.y, p.slope),
                    leaky(sum[i][2] + bias.z, p.slope), leaky(sum[i][3] + bias.w, p.slope));
  }
}

}  // namespace

void transposed_4_registers(const CudaStream& stream, const TransposedProblem& p) {
  const dim3 grid(p.out / tile, divide_up(p.n * p.h * p.w, tile), 4);
  transposed_4_kernel<<<grid, side * side, 0, queue_of(stream)>>>(p);
  check_launch("transposed_4_kernel");
}

}  // namespace ganforge::ladder
