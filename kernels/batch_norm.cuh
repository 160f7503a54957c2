// Batch normalisation on CUDA.
//
// Up to `column_rows` rows (the dense nets and the deepest image layers): one launch each way. A block owns 8 channels,
// a 32-byte sector of each row, and all rows of all groups, one group after the other; the values stay in registers.
//   forward 1R + 1W, backward 2R + 1W of the tensor (3R with an activation, whose output is read), L = 1
//
// More rows: one cooperative launch. A unit of work is a slice of the rows × a tile of channels, as many units as the
// shape says, whatever the card; blocks that are all resident take unit after unit and go over the rows in passes. Each
// thread keeps what it read: the last pass in registers, those before in its own words of shared memory as far as that
// goes. Sums of the units go to the workspace; behind a barrier over the grid, blocks merge them in slice order, 8
// channels each; behind another, every thread finishes what it kept and reads again, from the L2 cache at best, what it
// could not keep.
//   forward 1R + 1W, else up to 2R + 1W; backward 2R + 1W, else up to 4R + 1W; L = 1
// An H100 keeps 32 MB of x in the forward pass, 16 MB each of x and dz in the backward pass. The activation's
// derivative is computed from x. A thread owns 4 neighbouring channels (16-byte accesses) where channels is a multiple
// of 4, else one.
#pragma once

#include "kernels/activate.h"
#include "kernels/batch_norm.h"
#include "kernels/batch_norm_merge.cuh"
#include "kernels/pack.cuh"
#include "src/core/cuda_check.h"

#include <cooperative_groups.h>

#include <algorithm>

namespace ganforge::batch_norm_cuda {

constexpr std::int64_t column_rows = 1024;

// --- few rows: a block owns columns ---

constexpr int column_threads = 512, column_lanes = column_threads / column_channels;
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

inline __device__ float operand_of(float x, float mean, float scale, float beta) {
  return __fmaf_rn(x - mean, scale, beta);
}

/// dy · act′ at the activation's operand z.
inline __device__ float masked(Activation act, float z, float dy) {
  return dy * activation_grad(act.kind, act.negative_slope, activate(act.kind, act.negative_slope, z));
}

// --- many rows: the grid keeps the tensor

constexpr int threads = 512, channel_lanes = 16, row_lanes = threads / channel_lanes;
constexpr int batch = 4;  // rows of a pass per thread
constexpr int pass_rows = row_lanes * batch;

using pack::load;
using pack::Pack;
using pack::store;

/// To shared memory.
template <int width>
__device__ void keep(float* p, const Pack<width>& value) {
  if constexpr (width == 4) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(unsigned(__cvta_generic_to_shared(p))),
                 "f"(value.v[0]), "f"(value.v[1]), "f"(value.v[2]), "f"(value.v[3])
                 : "memory");
  } else {
    *p = value.v[0];
  }
}

struct Split {
  std::int64_t slice_rows;    // of a slice; the last one may have fewer
  int slices, tiles, groups;  // units: slices × tiles × groups
  int passes;                 // over a slice
  int held;                   // passes of a block that are kept in shared memory

  __host__ __device__ int units() const { return slices * tiles * groups; }
};

inline std::int64_t tiles_of(std::int64_t channels, int width) {
  return (channels + channel_lanes * width - 1) / (channel_lanes * width);
}

/// About 256 units with wide channel tiles, each of at least one pass. The slices depend on the shape alone.
inline Split split_of(std::int64_t rows, std::int64_t channels, int groups, int width) {
  const std::int64_t most = std::max<std::int64_t>(1, 256 / (tiles_of(channels, 4) * groups));
  const std::int64_t passes = ((rows + most - 1) / most + pass_rows - 1) / pass_rows, slice = passes * pass_rows;
  return {slice, int((rows + slice - 1) / slice), int(tiles_of(channels, width)), groups, int(passes), 0};
}

/// Units of one pass each, of one group.
inline Split one_pass(std::int64_t rows, std::int64_t channels, int width) {
  return {pass_rows, int((rows + pass_rows - 1) / pass_rows), int(tiles_of(channels, width)), 1, 1, 0};
}

/// A thread's place in a unit.
template <int width>
struct Place {
  int g, slice, left;               // left: rows of the slice from the thread's first on
  std::int64_t c, start, channels;  // first channel; offset of it in the thread's first row
  bool active;

  __device__ Place(const Split& split, std::int64_t rows, std::int64_t all_channels, int unit) {
    slice = unit % split.slices;
    const int tile = unit / split.slices % split.tiles, row_lane = threadIdx.x / channel_lanes;
    g = unit / (split.slices * split.tiles);
    channels = all_channels;
    c = (std::int64_t(tile) * channel_lanes + threadIdx.x % channel_lanes) * width;
    const std::int64_t first = slice * split.slice_rows;
    active = c < channels;
    left = active ? int(min(split.slice_rows, rows - first)) - row_lane : 0;
    start = (g * rows + first + row_lane) * channels + c;
  }
  __device__ bool valid(int pass, int i) const { return pass * pass_rows + i * row_lanes < left; }
  __device__ std::int64_t at(int pass, int i) const { return start + (pass * pass_rows + i * row_lanes) * channels; }
};

/// What a thread needs to know of its channels, read once a block: fill(c, v) gives n numbers for channel c. For all
/// threads of a block.
template <int width, int n, class Fill>
__device__ void channel_values(const Place<width>& place, Pack<width> (&value)[n], const Fill& fill) {
  constexpr int tile = channel_lanes * width;
  __shared__ alignas(16) float table[n][tile];
  const int lane = threadIdx.x % channel_lanes * width, own = threadIdx.x;
  __syncthreads();  // the numbers of the unit before have been read
  if (own < tile) {
    float v[n] = {};
    if (const std::int64_t c = place.c - lane + own; c < place.channels) fill(c, v);
#pragma unroll
    for (int k = 0; k < n; ++k) table[k][own] = v[k];
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < n; ++k) value[k] = load<width>(&table[k][lane]);
}

/// What the activation is applied to is (x − mean)·scale + β. Both passes compute it alike: the backward pass finds the
/// signs of the forward pass.
template <int width>
struct Factors {
  Pack<width> mean, scale, beta;

  template <class Args>
  __device__ Factors(const Args& args, const Place<width>& place) {
    Pack<width> v[3];
    const std::int64_t group = place.g * place.channels;
    channel_values(place, v, [&](std::int64_t c, float* value) {
      value[0] = args.mean[group + c];
      value[1] = args.gamma[c] / sqrtf(args.var[group + c] + args.eps);
      value[2] = args.beta[c];
    });
    mean = v[0], scale = v[1], beta = v[2];
  }
  __device__ float operand(float x, int k) const { return operand_of(x, mean.v[k], scale.v[k], beta.v[k]); }

  __device__ Pack<width> normalise(Activation act, Pack<width> x) const {
#pragma unroll
    for (int k = 0; k < width; ++k) x.v[k] = activate(act.kind, act.negative_slope, operand(x.v[k], k));
    return x;
  }
};

/// Where a thread keeps row i of one of `tensors` tensors: no other thread touches it.
template <int width, int tensors>
__device__ float* kept(int pass, int tensor, int i) {
  extern __shared__ __align__(16) float memory[];
  return memory + (((pass * tensors + tensor) * batch + i) * threads + threadIdx.x) * width;
}

// --- launches ---

inline unsigned column_blocks(std::int64_t channels) {
  return unsigned((channels + column_channels - 1) / column_channels);
}

/// Shared memory of a pass of one tensor.
inline int pass_bytes(int width) {
  return threads * batch * width * int(sizeof(float));
}

inline cudaStream_t native(const CudaStream& stream) {
  return static_cast<cudaStream_t>(stream.stream);
}

/// One launch of as many blocks as can be resident at once; `pass_bytes` of shared memory keep a pass.
template <class Args>
void launch_grid(const CudaStream& stream, void (*kernel)(Args, Split), Args args, Split split, int pass_bytes,
                 const char* name) {
  int device = 0, most = 0;
  cudaFuncAttributes attributes{};
  check_cuda(cudaGetDevice(&device), name);
  check_cuda(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), name);
  check_cuda(cudaFuncGetAttributes(&attributes, kernel), name);
  most -= int(attributes.sharedSizeBytes);
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most), name);
  const auto resident = [&](int held) {  // one is: `held` stays below what a block may have
    int blocks = 0;
    check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, std::size_t(held) * pass_bytes),
               name);
    return std::max(blocks, 1);
  };
  const int units = split.units(), multiprocessors = stream.multiprocessors;
  const int wanted = std::min(resident(0), (units + multiprocessors - 1) / multiprocessors);
  const int blocks = std::min(units, wanted * multiprocessors);
  const int passes = (units + blocks - 1) / blocks * split.passes;
  split.held = std::min(passes - 1, most / pass_bytes);
  while (split.held > 0 && resident(split.held) < wanted) --split.held;
  void* arguments[] = {&args, &split};
  check_cuda(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), dim3(unsigned(blocks)), dim3(threads),
                                         arguments, std::size_t(split.held) * pass_bytes, native(stream)),
             name);
}

}  // namespace ganforge::batch_norm_cuda
