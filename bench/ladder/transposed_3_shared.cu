// Rung 3: an implicit product in shared memory. Each phase is a product of [positions, 4 taps · in] and [4 taps · in,
// out]; its left operand is never stored: a block gathers 32 positions × 32 channels of a tap into shared memory, with
// zeros beyond the border, and multiplies them by 32 × 32 of the filter. What is loaded is used 32 times.
//
// `in` and `out` are multiples of 32.
#include "bench/ladder/subpixel.cuh"

namespace ganforge::ladder {
namespace {

constexpr int side = 32;

__global__ void transposed_3_kernel(TransposedProblem p) {
  __shared__ float xs[side][side], fs[side][side];
  const int tx = threadIdx.x, ty = threadIdx.y, odd_u = blockIdx.z / 2, odd_v = blockIdx.z % 2;
  const int c = blockIdx.x * side + tx;
  const Position at(p, blockIdx.y * side + ty);
  float sum = 0;
  for (int tap = 0; tap < 4; ++tap) {
    const float* const x = at.input(p, odd_u, odd_v, tap);
    const float* const f = filter(p, odd_u, odd_v, tap) + c;
    for (int k0 = 0; k0 < p.in; k0 += side) {
      xs[ty][tx] = x ? x[k0 + tx] : 0;
      fs[ty][tx] = f[(k0 + ty) * 16 * p.out];
      __syncthreads();
#pragma unroll
      for (int k = 0; k < side; ++k) sum += xs[ty][k] * fs[k][tx];
      __syncthreads();
    }
  }
  if (at.n < p.n) at.output(p, odd_u, odd_v)[c] = leaky(sum + p.b[c], p.slope);
}

}  // namespace

void transposed_3_shared(const CudaStream& stream, const TransposedProblem& p) {
  const dim3 grid(p.out / side, divide_up(p.n * p.h * p.w, side), 4);
  transposed_3_kernel<<<grid, dim3(side, side), 0, queue_of(stream)>>>(p);
  check_launch("transposed_3_kernel");
}

}  // namespace ganforge::ladder
