// What one block does for random numbers and for batches: shared by random.cu and prologue.cu.
#pragma once

#include "kernels/philox.h"

#include <algorithm>

namespace ganforge {

constexpr int random_threads = 128;
constexpr std::int64_t slice_elements = 2048;  // of a sample, for one block

/// Grids are capped; a block then takes every gridDim-th item of work.
inline unsigned random_blocks(const CudaStream& stream, std::int64_t items) {
  return static_cast<unsigned>(std::clamp<std::int64_t>(items, 1, 16 * std::int64_t(stream.multiprocessors)));
}

/// Blocks that fill n elements from element `first` on: one quad a thread.
GANFORGE_EXACT std::int64_t fill_items(std::int64_t first, std::int64_t n) {
  const std::int64_t quads = (first % 4 + n + 3) / 4;
  return (quads + random_threads - 1) / random_threads;
}

/// 70 integer instructions a quad, one store of 16 bytes where y allows.
template <class QuadOf>
__device__ void fill_item(std::int64_t item, const Draw& draw, std::int64_t tick, float* y, std::int64_t n,
                          QuadOf quad_of) {
  const std::int64_t quad = draw.first / 4 + item * random_threads + threadIdx.x;
  const std::int64_t i = 4 * quad - draw.first;
  if (i >= n) return;
  const Quad z = quad_of(words_of_quad(philox_key(draw.seed, draw.purpose), draw.draw, tick, quad));
  if (i >= 0 && i + 4 <= n && reinterpret_cast<std::uintptr_t>(y + i) % sizeof(float4) == 0) {
    *reinterpret_cast<float4*>(y + i) = make_float4(z.y0, z.y1, z.y2, z.y3);
    return;
  }
  const float lane[4] = {z.y0, z.y1, z.y2, z.y3};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (i + k >= 0 && i + k < n) y[i + k] = lane[k];
  }
}

__device__ inline void uniform_item(std::int64_t item, const Draw& draw, std::int64_t tick, float low, float high,
                                    float* y, std::int64_t n) {
  const UniformRange range = uniform_range(low, high);
  fill_item(item, draw, tick, y, n, [=](Words words) { return uniform_quad(words, range); });
}

__device__ inline void normal_item(std::int64_t item, const Draw& draw, std::int64_t tick, float mean, float stddev,
                                   float* y, std::int64_t n) {
  fill_item(item, draw, tick, y, n, [=](Words words) { return normal_quad(words, mean, stddev); });
}

/// Blocks of a batch: a slice of a row each.
GANFORGE_EXACT std::int64_t batch_items(const DrawBatchArgs& batch) {
  return batch.rows * ((batch.sample + slice_elements - 1) / slice_elements);
}

/// Thread 0 works out the sample, if anything is drawn. Then 1 byte is read and 4 are written an element: neighbouring
/// threads load neighbouring words of 4 pixels and store 16 bytes (16 pixels a thread would half-fill the sectors that
/// a warp stores to), four of each in flight.
__device__ inline void batch_item(std::int64_t item, const DrawBatchArgs& batch, std::int64_t cursor) {
  __shared__ std::int64_t shared_row;
  const std::int64_t slices = (batch.sample + slice_elements - 1) / slice_elements;
  const std::int64_t row = item / slices, begin = item % slices * slice_elements;
  if (threadIdx.x == 0) {
    const bool labelled = batch.labels && begin == 0;
    const std::int64_t sample = !batch.staged || labelled ? shuffled_sample(batch.seed, cursor + row, batch.count) : 0;
    if (labelled) batch.y[row] = batch.labels[sample];
    shared_row = batch.staged ? row : sample;
  }
  __syncthreads();
  const std::uint8_t* from = batch.data + shared_row * batch.sample + begin;
  __syncthreads();
  float* to = batch.x + row * batch.sample + begin;
  const int n = static_cast<int>(min(slice_elements, batch.sample - begin));
  const auto pixel = [&](unsigned value) { return add(mul(float(value), batch.scale), batch.shift); };
  if (batch.sample % 4 == 0 && reinterpret_cast<std::uintptr_t>(batch.data) % sizeof(uchar4) == 0 &&
      reinterpret_cast<std::uintptr_t>(batch.x) % sizeof(float4) == 0) {
#pragma unroll
    for (int k = 0; k < slice_elements / (4 * random_threads); ++k) {
      const int i = k * random_threads + static_cast<int>(threadIdx.x);
      if (4 * i >= n) break;
      const uchar4 p = reinterpret_cast<const uchar4*>(from)[i];
      reinterpret_cast<float4*>(to)[i] = make_float4(pixel(p.x), pixel(p.y), pixel(p.z), pixel(p.w));
    }
  } else {
    for (int i = static_cast<int>(threadIdx.x); i < n; i += random_threads) to[i] = pixel(from[i]);
  }
}

/// True in the last block to come here; threads of one block must not both ask. What the block has read before may then
/// be overwritten. Leaves the counter at zero.
__device__ inline bool last_to_arrive(unsigned* ticket) {
  __threadfence();
  return atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
}

}  // namespace ganforge
