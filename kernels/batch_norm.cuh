// Batch normalisation on CUDA.
//
// Up to `column_rows` rows (the dense nets and the deepest image layers): one launch each way. A block owns 8 channels,
// a 32-byte sector of each row, and all rows of all groups, one group after the other; the values stay in registers.
//   forward 1R + 1W, backward 2R + 1W of the tensor (3R with an activation, whose output is read), L = 1
//
// More rows: two launches. Blocks reduce slices of the rows, as many as the shape says, and the last block of a channel
// tile to finish (an integer ticket) merges the slices in slice order; then an elementwise launch.
//   forward 2R + 1W, backward 4R + 1W (6R with an activation), L = 2
// A thread owns 4 neighbouring channels (16-byte accesses) where channels is a multiple of 4, else one.
#pragma once

#include "kernels/activate.h"
#include "kernels/batch_norm.h"
#include "src/core/cuda_check.h"

#include <algorithm>

namespace ganforge::batch_norm_cuda {

constexpr std::int64_t column_rows = 1024;

// --- few rows: a block owns columns ---

constexpr int column_channels = 8, column_threads = 512, column_lanes = column_threads / column_channels;
constexpr int column_warps = column_threads / 32;

struct ColumnScratch {
  float value[column_warps][column_channels];
};

/// Sum over the block's row lanes in two halves, with a __syncthreads() of the caller's between them.
inline __device__ void stage_column_sum(float value, ColumnScratch& scratch) {
  value += __shfl_xor_sync(~0u, value, 8);
  value += __shfl_xor_sync(~0u, value, 16);
  if (threadIdx.x % 32 < column_channels) scratch.value[threadIdx.x / 32][threadIdx.x % 32] = value;
}

inline __device__ float column_sum(const ColumnScratch& scratch) {
  float sum = 0.0f;
  for (int warp = 0; warp < column_warps; ++warp) sum += scratch.value[warp][threadIdx.x % column_channels];
  return sum;
}

// --- many rows: slices, then an elementwise launch ---

constexpr int threads = 256, channel_lanes = 16, row_lanes = threads / channel_lanes;
constexpr int batch = 8;  // rows that a thread has in registers at a time
constexpr std::int64_t pass_rows = row_lanes * batch;

template <int width>
struct Pack {
  float v[width];
};

template <int width>
__device__ Pack<width> load(const float* p) {
  if constexpr (width == 4) {
    const float4 value = *reinterpret_cast<const float4*>(p);
    return {value.x, value.y, value.z, value.w};
  } else {
    return {*p};
  }
}

template <int width>
__device__ void store(float* p, const Pack<width>& value) {
  if constexpr (width == 4) {
    // An assignment to a float4 ends as four scalar stores here (nvcc 13.0); the intrinsic does not.
    __stwb(reinterpret_cast<float4*>(p), make_float4(value.v[0], value.v[1], value.v[2], value.v[3]));
  } else {
    *p = value.v[0];
  }
}

struct Slices {
  std::int64_t rows;  // of a slice; the last one may have fewer
  std::int64_t count;
};

/// About 512 blocks, each with at least one batch per thread.
inline Slices slices_of(std::int64_t rows, std::int64_t channels, int groups) {
  const std::int64_t tiles = (channels + 4 * channel_lanes - 1) / (4 * channel_lanes) * groups;
  const std::int64_t most = std::max<std::int64_t>(1, 512 / tiles), even = (rows + most - 1) / most;
  const std::int64_t slice = (even + pass_rows - 1) / pass_rows * pass_rows;
  return {slice, (rows + slice - 1) / slice};
}

/// Merges the block's row lanes as a tree; the result is in row lane 0. The words of a state lie `threads` apart, so
/// that no two threads of a warp meet in a bank.
template <class State>
__device__ void merge_row_lanes(State& state) {
  constexpr int words = sizeof(State) / sizeof(float);
  __shared__ float scratch[words][threads];
  const int row_lane = threadIdx.x / channel_lanes;
  float* own = reinterpret_cast<float*>(&state);
#pragma unroll
  for (int half = row_lanes / 2; half > 0; half /= 2) {
    if (row_lane >= half && row_lane < 2 * half) {
#pragma unroll
      for (int i = 0; i < words; ++i) scratch[i][threadIdx.x] = own[i];
    }
    __syncthreads();
    if (row_lane < half) {
      State other;
#pragma unroll
      for (int i = 0; i < words; ++i) {
        reinterpret_cast<float*>(&other)[i] = scratch[i][threadIdx.x + half * channel_lanes];
      }
      state.merge(other);
    }
  }
}

/// True in the block that is the last of `blocks` to get here; it sees what the others wrote. Leaves the ticket zero.
inline __device__ bool last_to_finish(unsigned* ticket, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicInc(ticket, blocks - 1) == blocks - 1;
  __syncthreads();
  __threadfence();
  return last;
}

/// The thread's first channel and row lane; blocks are (slices or chunks of rows, tiles of channels, groups).
template <int width>
struct Place {
  std::int64_t c = (std::int64_t(blockIdx.y) * channel_lanes + threadIdx.x % channel_lanes) * width;
  int row_lane = threadIdx.x / channel_lanes;
  int g = blockIdx.z;
};

/// First row of a thread of an elementwise launch. Backwards: what the launch before read last is still in cache.
inline __device__ std::int64_t apply_row(int row_lane) {
  return std::int64_t(gridDim.x - 1 - blockIdx.x) * pass_rows + row_lane;
}

// --- launches ---

inline unsigned column_blocks(std::int64_t channels) {
  return unsigned((channels + column_channels - 1) / column_channels);
}

inline dim3 grid(std::int64_t row_parts, std::int64_t channels, int width, int groups) {
  const std::int64_t tile = channel_lanes * width;
  return dim3(unsigned(row_parts), unsigned((channels + tile - 1) / tile), unsigned(groups));
}

inline std::int64_t passes(std::int64_t rows) {
  return (rows + pass_rows - 1) / pass_rows;
}

inline bool aligned(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

inline cudaStream_t native(const CudaStream& stream) {
  return static_cast<cudaStream_t>(stream.stream);
}

}  // namespace ganforge::batch_norm_cuda
