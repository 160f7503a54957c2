// Group normalisation on CUDA.
//
// A block owns a sample and some whole groups: one, or as many narrow ones as make 32 channels, a full 128-byte line of
// each pixel. A power of two of threads lies along the channels, four channels each where they are aligned, the others
// along the pixels. What a thread reads it keeps in its own words of shared memory, if that is enough for all:
//   forward 1R + 1W, else 3R + 1W; backward 2R + 1W, else 4R + 1W (again from the L2 cache at best); L = 1
// Mean first, then squared distances from it. Sums: a thread's pixels, then a tree over its warp's pixels, then the
// warps in order, then a tree over the group's channels. More channels than threads hold are taken in chunks. The
// activation's derivative is computed from x.
#include "kernels/activate.h"
#include "kernels/block.cuh"
#include "kernels/elementwise.cuh"
#include "kernels/group_norm.h"
#include "kernels/pack.cuh"

namespace ganforge {
namespace {

using namespace pack;

constexpr int threads = 512, warps = threads / 32, max_groups = 32;

struct Split {
  std::int64_t depth;   // channels of a group
  int groups;           // of a block, but for the last
  std::int64_t blocks;  // of a sample
  int lanes;            // threads along the channels
  int chunks;           // of lanes · width channels; several only for one group
  std::int64_t passes;  // over the pixels, of threads / lanes each
  bool kept;            // what was read stays in shared memory
};

/// A thread's place, and where it keeps what it read.
template <int width>
struct Block {
  const GroupNormSizes& sizes;
  const Split& split;
  std::int64_t sample, first;  // first group
  int groups, lane, row, rows;

  __device__ Block(const GroupNormSizes& s, const Split& p) : sizes(s), split(p) {
    sample = blockIdx.x / p.blocks;
    first = blockIdx.x % p.blocks * p.groups;
    groups = int(min(std::int64_t(p.groups), s.groups - first));
    lane = threadIdx.x % p.lanes;
    row = threadIdx.x / p.lanes;
    rows = threads / p.lanes;
  }
  /// Of the block's channels: the thread's first in a chunk, and how many a chunk has.
  __device__ std::int64_t channel(int chunk) const { return (std::int64_t(chunk) * split.lanes + lane) * width; }
  __device__ int chunk_channels(int chunk) const {
    const std::int64_t most = split.lanes * width;
    return int(min(most, groups * split.depth - chunk * most));
  }
  __device__ std::int64_t first_channel() const { return first * split.depth; }
  __device__ int group(std::int64_t channel) const { return int(channel / split.depth); }
  __device__ std::int64_t statistic(int g) const { return sample * sizes.groups + first + g; }

  /// body(offset in the tensor, a number of the thread's own) for its pixels of a chunk.
  template <class Body>
  __device__ void each(int chunk, const Body& body) const {
    const std::int64_t c = channel(chunk);
    if (c >= groups * split.depth) return;
    std::int64_t slot = chunk * split.passes;
    for (std::int64_t p = row; p < sizes.pixels; p += rows, ++slot)
      body((sample * sizes.pixels + p) * sizes.channels + first_channel() + c, slot);
  }
};

extern __shared__ __align__(16) float kept_memory[];

template <int width>
__device__ void keep(std::int64_t slot, const Pack<width>& value) {
  float* p = kept_memory + (slot * threads + threadIdx.x) * width;
  if constexpr (width == 4) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(unsigned(__cvta_generic_to_shared(p))),
                 "f"(value.v[0]), "f"(value.v[1]), "f"(value.v[2]), "f"(value.v[3])
                 : "memory");
  } else {
    *p = value.v[0];
  }
}
template <int width>
__device__ Pack<width> kept(std::int64_t slot) {
  return load<width>(kept_memory + (slot * threads + threadIdx.x) * width);
}

template <int width>
struct Scratch {
  float column[threads * width];
  float group[max_groups];
};

/// Sums over the pixels of a chunk: scratch.column[c] of the chunk's channel c, after it returns.
template <int width>
__device__ void sum_pixels(const Block<width>& block, Pack<width> sum, Scratch<width>& scratch) {
  const int lanes = block.split.lanes, columns = lanes * width;
  for (int distance = lanes; distance < 32; distance *= 2) {
#pragma unroll
    for (int k = 0; k < width; ++k) sum.v[k] += __shfl_xor_sync(~0u, sum.v[k], distance);
  }
  const bool narrow = lanes < 32;
  const int entries = narrow ? warps : block.rows, entry = narrow ? threadIdx.x / 32 : block.row;
  __syncthreads();  // the last sums have been read
  if (!narrow || threadIdx.x % 32 < lanes) {
#pragma unroll
    for (int k = 0; k < width; ++k) scratch.column[entry * columns + block.lane * width + k] = sum.v[k];
  }
  __syncthreads();
  for (int c = threadIdx.x; c < columns; c += threads) {
    float total = scratch.column[c];
    for (int e = 1; e < entries; ++e) total += scratch.column[e * columns + c];
    scratch.column[c] = total;
  }
  __syncthreads();
}

/// scratch.group[g] (chunk 0: =, others: +=) Σ weight(c)·scratch.column[c] over the chunk's channels c of group g.
template <int width, class Weight>
__device__ void sum_groups(const Block<width>& block, int chunk, Scratch<width>& scratch, const Weight& weight) {
  const int depth = int(min(block.split.depth, std::int64_t(block.chunk_channels(chunk))));
  for (int g = threadIdx.x / 32; g < block.groups; g += warps) {
    float sum = 0.0f;
    for (int d = threadIdx.x % 32; d < depth; d += 32) sum += weight(g * depth + d) * scratch.column[g * depth + d];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) scratch.group[g] = chunk == 0 ? sum : scratch.group[g] + sum;
  }
  __syncthreads();
}

/// What the activation is applied to. Both passes compute it alike: the backward pass finds the signs of the forward
/// pass.
__device__ float operand_of(float centred, float scale, float beta) {
  return __fmaf_rn(centred, scale, beta);
}

template <int width>
__global__ void __launch_bounds__(threads, 1)
    group_norm_kernel(const __grid_constant__ GroupNormArgs args, const __grid_constant__ Split split) {
  __shared__ Scratch<width> scratch;
  __shared__ float means[max_groups];
  const Block<width> block(args.sizes, split);
  const float m = float(args.sizes.pixels) * float(split.depth);
  const auto value = [&](std::int64_t at, std::int64_t slot) {
    return split.kept ? kept<width>(slot) : load<width>(args.x + at);
  };
  const auto one = [](int) { return 1.0f; };

  for (int chunk = 0; chunk < split.chunks; ++chunk) {
    Pack<width> sum{};
    block.each(chunk, [&](std::int64_t at, std::int64_t slot) {
      const Pack<width> x = load<width>(args.x + at);
      if (split.kept) keep<width>(slot, x);
#pragma unroll
      for (int k = 0; k < width; ++k) sum.v[k] += x.v[k];
    });
    sum_pixels(block, sum, scratch);
    sum_groups(block, chunk, scratch, one);
  }
  if (threadIdx.x < block.groups) means[threadIdx.x] = scratch.group[threadIdx.x] / m;
  __syncthreads();
  for (int chunk = 0; chunk < split.chunks; ++chunk) {
    float mean[width];
#pragma unroll
    for (int k = 0; k < width; ++k) mean[k] = means[min(block.group(block.channel(chunk) + k), block.groups - 1)];
    Pack<width> sum{};
    block.each(chunk, [&](std::int64_t at, std::int64_t slot) {
      const Pack<width> x = value(at, slot);
#pragma unroll
      for (int k = 0; k < width; ++k) sum.v[k] += (x.v[k] - mean[k]) * (x.v[k] - mean[k]);
    });
    sum_pixels(block, sum, scratch);
    sum_groups(block, chunk, scratch, one);
  }
  if (threadIdx.x < block.groups) {
    args.mean[block.statistic(threadIdx.x)] = means[threadIdx.x];
    args.var[block.statistic(threadIdx.x)] = scratch.group[threadIdx.x] / m;
  }
  for (int chunk = 0; chunk < split.chunks; ++chunk) {
    float mean[width], scale[width], beta[width];
    const std::int64_t c = block.channel(chunk);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const int g = min(block.group(c + k), block.groups - 1);
      const bool active = c + k < block.groups * split.depth;
      mean[k] = means[g];
      scale[k] = active ? args.gamma[block.first_channel() + c + k] / sqrtf(scratch.group[g] / m + args.eps) : 0.0f;
      beta[k] = active ? args.beta[block.first_channel() + c + k] : 0.0f;
    }
    block.each(chunk, [&](std::int64_t at, std::int64_t slot) {
      Pack<width> x = value(at, slot);
#pragma unroll
      for (int k = 0; k < width; ++k)
        x.v[k] = activate(args.act.kind, args.act.negative_slope, operand_of(x.v[k] - mean[k], scale[k], beta[k]));
      store<width>(args.y + at, x);
    });
  }
}

/// A chunk's channels as a thread needs them in the backward pass.
template <int width>
struct Factors {
  int group[width];
  float mean[width], scale[width], beta[width], rstd[width];

  __device__ Factors(const GroupNormGradArgs& args, const Block<width>& block, int chunk) {
    const std::int64_t c = block.channel(chunk);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      group[k] = min(block.group(c + k), block.groups - 1);
      const bool active = c + k < block.groups * block.split.depth;
      const float deviation = sqrtf(args.var[block.statistic(group[k])] + args.eps);
      mean[k] = args.mean[block.statistic(group[k])];
      scale[k] = active ? args.gamma[block.first_channel() + c + k] / deviation : 0.0f;
      beta[k] = active ? args.beta[block.first_channel() + c + k] : 0.0f;
      rstd[k] = 1.0f / deviation;
    }
  }
  __device__ Pack<width> masked(Activation act, const Pack<width>& x, Pack<width> dy) const {
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const float z = operand_of(x.v[k] - mean[k], scale[k], beta[k]);
      dy.v[k] *= activation_grad(act.kind, act.negative_slope, activate(act.kind, act.negative_slope, z));
    }
    return dy;
  }
};

template <int width>
__global__ void __launch_bounds__(threads, 1)
    group_norm_grad_kernel(const __grid_constant__ GroupNormGradArgs args, const __grid_constant__ Split split) {
  __shared__ Scratch<width> scratch, products;
  const Block<width> block(args.sizes, split);
  const float m = float(args.sizes.pixels) * float(split.depth);
  const std::int64_t slots = split.chunks * split.passes;  // of x; those of dz lie behind
  float* of_gamma = args.parameters + block.sample * 2 * args.sizes.channels + block.first_channel();
  float* of_beta = of_gamma + args.sizes.channels;

  for (int chunk = 0; chunk < split.chunks; ++chunk) {
    const Factors<width> f(args, block, chunk);
    Pack<width> sum{}, product{};
    block.each(chunk, [&](std::int64_t at, std::int64_t slot) {
      const Pack<width> x = load<width>(args.x + at), dz = f.masked(args.act, x, load<width>(args.dy + at));
      if (split.kept) {
        keep<width>(slot, x);
        keep<width>(slots + slot, dz);
      }
#pragma unroll
      for (int k = 0; k < width; ++k) {
        sum.v[k] += dz.v[k];
        product.v[k] += dz.v[k] * ((x.v[k] - f.mean[k]) * f.rstd[k]);
      }
    });
    sum_pixels(block, sum, scratch);
    sum_pixels(block, product, products);
    const int start = chunk * split.lanes * width;
    for (int c = threadIdx.x; c < block.chunk_channels(chunk); c += threads) {
      of_beta[start + c] = scratch.column[c];
      of_gamma[start + c] = products.column[c];
    }
    const auto gamma = [&](int c) { return args.gamma[block.first_channel() + start + c]; };
    sum_groups(block, chunk, scratch, gamma);
    sum_groups(block, chunk, products, gamma);
  }
  for (int chunk = 0; chunk < split.chunks; ++chunk) {
    const Factors<width> f(args, block, chunk);
    block.each(chunk, [&](std::int64_t at, std::int64_t slot) {
      Pack<width> x, dz;
      if (split.kept) {
        x = kept<width>(slot);
        dz = kept<width>(slots + slot);
      } else {
        x = load<width>(args.x + at);
        dz = f.masked(args.act, x, load<width>(args.dy + at));
      }
#pragma unroll
      for (int k = 0; k < width; ++k) {
        const float normal = (x.v[k] - f.mean[k]) * f.rstd[k], rest = scratch.group[f.group[k]] / m;
        dz.v[k] = f.scale[k] * dz.v[k] - f.rstd[k] * (rest + normal * (products.group[f.group[k]] / m));
      }
      store<width>(args.dx + at, dz);
    });
  }
}

Split split_of(const GroupNormSizes& s, int width_wanted, int& width) {
  Split split{};
  split.depth = s.channels / s.groups;
  split.groups = split.depth < 32 ? int(32 / split.depth) : 1;
  if (split.groups >= 4) split.groups -= split.groups % 4;
  split.groups = int(std::min<std::int64_t>(split.groups, s.groups));
  split.blocks = (s.groups + split.groups - 1) / split.groups;
  const std::int64_t channels = split.groups * split.depth;
  width = channels % 4 == 0 ? width_wanted : 1;
  split.lanes = 1;
  while (split.lanes < threads && split.lanes * width < channels) split.lanes *= 2;
  split.chunks = int((channels + split.lanes * width - 1) / (split.lanes * width));
  const int rows = threads / split.lanes;
  split.passes = (s.pixels + rows - 1) / rows;
  return split;
}

/// One block for every sample and its groups; `tensors` are kept in shared memory if it is large enough.
template <class Args>
void launch(const CudaStream& stream, void (*kernel)(Args, Split), const Args& args, Split split, int width,
            int tensors, const char* name) {
  int device = 0, most = 0;
  cudaFuncAttributes attributes{};
  check_cuda(cudaGetDevice(&device), name);
  check_cuda(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), name);
  check_cuda(cudaFuncGetAttributes(&attributes, kernel), name);
  most -= int(attributes.sharedSizeBytes);
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most), name);
  const std::int64_t bytes = split.chunks * split.passes * threads * width * tensors * std::int64_t(sizeof(float));
  split.kept = bytes <= most;
  const auto blocks = static_cast<unsigned>(args.sizes.samples * split.blocks);
  kernel<<<blocks, threads, split.kept ? std::size_t(bytes) : 0, queue_of(stream)>>>(args, split);
  check_launch(name);
}

}  // namespace

std::size_t group_norm_workspace(const CudaStream&, const GroupNormSizes&) {
  return 0;
}

void group_norm(const CudaStream& stream, const GroupNormArgs& args) {
  int width = 0;
  const Split split = split_of(args.sizes, width_for(args.sizes.channels, {args.x, args.y}), width);
  launch(stream, width == 4 ? group_norm_kernel<4> : group_norm_kernel<1>, args, split, width, 1, "group_norm");
}

void group_norm_grad(const CudaStream& stream, const GroupNormGradArgs& args) {
  int width = 0;
  const Split split = split_of(args.sizes, width_for(args.sizes.channels, {args.x, args.dy, args.dx}), width);
  launch(stream, width == 4 ? group_norm_grad_kernel<4> : group_norm_grad_kernel<1>, args, split, width, 2,
         "group_norm_grad");
}

}  // namespace ganforge
