// Rung 2: sub-pixel phases. The grid names the phase of the output pixel, and with it the four taps that there are: no
// test and no division remains in the loops. A thread still reads two numbers from the caches for each product.
#include "bench/ladder/subpixel.cuh"

namespace ganforge::ladder {
namespace {

constexpr int threads = 256;

__global__ void transposed_2_kernel(TransposedProblem p, int size) {
  const int i = blockIdx.x * threads + threadIdx.x, odd_u = blockIdx.y / 2, odd_v = blockIdx.y % 2;
  if (i >= size) return;
  const int c = i % p.out;
  const Position at(p, i / p.out);
  float sum = p.b[c];
  for (int tap = 0; tap < 4; ++tap) {
    const float* const x = at.input(p, odd_u, odd_v, tap);
    if (!x) continue;
    const float* const f = filter(p, odd_u, odd_v, tap) + c;
    for (int k = 0; k < p.in; ++k) sum += x[k] * f[k * 16 * p.out];
  }
  at.output(p, odd_u, odd_v)[c] = leaky(sum, p.slope);
}

}  // namespace

void transposed_2_subpixel(const CudaStream& stream, const TransposedProblem& p) {
  const int size = p.n * p.h * p.w * p.out;  // of a phase
  transposed_2_kernel<<<dim3(divide_up(size, threads), 4), threads, 0, queue_of(stream)>>>(p, size);
  check_launch("transposed_2_kernel");
}

}  // namespace ganforge::ladder
