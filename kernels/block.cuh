// What the threads of a warp or block, and the blocks of a grid, do together; always in the same order.
#pragma once

namespace ganforge {

/// Sum over the warp, in all of its threads.
__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  return value;
}

/// Sum over a block of so many threads, in all of them.
template <int threads>
__device__ float block_sum(float value) {
  __shared__ float sums[threads];
  __syncthreads();
  sums[threadIdx.x] = value;
  for (int half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[0];
}

/// True in all threads of the last of `blocks` blocks to come here, which sees what the others wrote. Leaves the ticket
/// at zero.
__device__ inline bool last_block(unsigned* ticket, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicInc(ticket, blocks - 1) == blocks - 1;
  __syncthreads();
  __threadfence();
  return last;
}

}  // namespace ganforge
