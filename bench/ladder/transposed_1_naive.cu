// Rung 1: gather by the definition. A thread computes one output and tries all 16 taps: those whose position in x is
// not whole, or outside, are skipped. Channels are neighbouring threads, so loads of the filter are coalesced and those
// of x are one number for a warp; but 12 of 16 taps are tried for nothing.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int threads = 256;

__global__ void transposed_1_kernel(TransposedProblem p, int size) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i >= size) return;
  const int c = i % p.out, column = i / p.out % (2 * p.w), row = i / p.out / (2 * p.w) % (2 * p.h),
            n = i / p.out / (2 * p.w) / (2 * p.h);
  float sum = p.b[c];
  for (int r = 0; r < 4; ++r)
    for (int s = 0; s < 4; ++s) {
      if ((row + 1 - r) % 2 != 0 || (column + 1 - s) % 2 != 0) continue;
      const int from_row = (row + 1 - r) / 2, from_column = (column + 1 - s) / 2;
      if (from_row < 0 || from_row >= p.h || from_column < 0 || from_column >= p.w) continue;
      const float* const x = p.x + ((n * p.h + from_row) * p.w + from_column) * p.in;
      for (int k = 0; k < p.in; ++k) sum += x[k] * p.f[((k * 4 + r) * 4 + s) * p.out + c];
    }
  p.y[i] = leaky(sum, p.slope);
}

}  // namespace

void transposed_1_naive(const CudaStream& stream, const TransposedProblem& p) {
  const int size = p.n * 4 * p.h * p.w * p.out;
  transposed_1_kernel<<<divide_up(size, threads), threads, 0, queue_of(stream)>>>(p, size);
  check_launch("transposed_1_kernel");
}

}  // namespace ganforge::ladder
