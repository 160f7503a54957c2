// Rows of an operand on their way to shared memory while others are being multiplied: what rungs with cp.async share.
#pragma once

#include "bench/ladder/ladder.cuh"
#include "kernels/mma.cuh"

namespace ganforge::ladder {

/// `rows` rows of `columns` floats, `pitch` floats apart in shared memory, by all `threads` threads, 16 bytes each.
/// `from(row)` is where a row starts, or null: zeros then.
template <int rows, int columns, int pitch, int threads, class From>
__device__ void fetch_rows(float* to, const From& from) {
  constexpr int pieces = columns / 4;
  const std::uint32_t shared = mma::shared_address(to);
#pragma unroll
  for (int i = threadIdx.x; i < rows * pieces; i += threads) {
    const int row = i / pieces, column = i % pieces * 4;
    const float* const start = from(row);
    mma::copy_16(shared + 4 * (row * pitch + column), start ? start + column : nullptr, start != nullptr);
  }
}

/// Runs `multiply(stage)` over `steps` steps of k, each fetched by `fetch(step, stage)` two steps before. One barrier a
/// step: who has passed it has finished with the stage that the next fetch overwrites.
template <int stages, class Fetch, class Multiply>
__device__ void pipeline(int steps, const Fetch& fetch, const Multiply& multiply) {
  for (int i = 0; i < stages - 1; ++i) {
    if (i < steps) fetch(i, i);
    mma::commit_copies();
  }
  for (int step = 0; step < steps; ++step) {
    mma::wait_copies<stages - 2>();
    __syncthreads();
    const int next = step + stages - 1;
    if (next < steps) fetch(next, next % stages);
    mma::commit_copies();
    multiply(step % stages);
  }
}

}  // namespace ganforge::ladder
