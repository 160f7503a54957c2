// Spectral normalisation on CUDA: all layers of a group in one launch, each with blocks of its own.
#include "kernels/spectral_norm.h"

#include "kernels/block.cuh"
#include "src/core/cuda_check.h"

#include <algorithm>

namespace ganforge {
namespace {

constexpr int threads = 256, warps = threads / 32;

/// The layers of a launch; those of layer l are blocks first[l] … first[l + 1] − 1.
template <class Args>
struct Group {
  Args at[max_spectral_group];
  unsigned first[max_spectral_group + 1];
  int count;
};

struct Place {
  int layer;
  unsigned block, blocks;  // of the layer
};

template <class Args>
__device__ Place place_of(const Group<Args>& group) {
  int l = 0;
  while (l + 1 < group.count && blockIdx.x >= group.first[l + 1]) ++l;
  return {l, blockIdx.x - group.first[l], group.first[l + 1] - group.first[l]};
}

// A block takes 64 columns of a layer. First wᵀu: a warp reads 64 neighbours of every eighth row, the warps meet in
// shared memory. Then its part of w·v, from the same tile, which the caches still hold: a warp takes a row, two columns
// a lane. Neither v nor y has its norm by then: the block that finishes last divides, adds the parts of y in order
// and has y's norm. Floor: one launch, w once from memory (twice from the caches).
__global__ void __launch_bounds__(threads)
    power_iteration_kernel(const __grid_constant__ Group<PowerIterationArgs> group) {
  __shared__ float partial[warps][spectral_tile];
  const Place place = place_of(group);
  const PowerIterationArgs& a = group.at[place.layer];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t column = place.block * spectral_tile + lane;
  const bool has0 = column < a.columns, has1 = column + 32 < a.columns;
  auto* y = static_cast<float*>(a.workspace);  // [blocks, rows], then Σ v² [blocks]
  float* squares = y + place.blocks * a.rows;

  float v0 = 0, v1 = 0;
  for (std::int64_t i = warp; i < a.rows; i += warps) {
    const float u = a.u[i];
    const float* w = a.w + i * a.columns + column;
    if (has0) v0 += u * w[0];
    if (has1) v1 += u * w[32];
  }
  partial[warp][lane] = v0;
  partial[warp][lane + 32] = v1;
  __syncthreads();
  v0 = v1 = 0;
#pragma unroll
  for (int k = 0; k < warps; ++k) {
    v0 += partial[k][lane];
    v1 += partial[k][lane + 32];
  }
  if (warp == 0) {
    if (has0) a.v[column] = v0;
    if (has1) a.v[column + 32] = v1;
  }
  const float square = block_sum<threads>(warp == 0 ? v0 * v0 + v1 * v1 : 0.0f);
  if (threadIdx.x == 0) squares[place.block] = square;
  for (std::int64_t i = warp; i < a.rows; i += warps) {
    const float* w = a.w + i * a.columns + column;
    float sum = (has0 ? w[0] * v0 : 0.0f) + (has1 ? w[32] * v1 : 0.0f);
    sum = warp_sum(sum);
    if (lane == 0) y[place.block * a.rows + i] = sum;
  }
  if (!last_block(a.ticket, place.blocks)) return;

  float sum = 0;
  for (unsigned t = threadIdx.x; t < place.blocks; t += threads) sum += squares[t];
  const float v_scale = rsqrtf(block_sum<threads>(sum) + 1e-24f);
  for (std::int64_t j = threadIdx.x; j < a.columns; j += threads) a.v[j] *= v_scale;
  sum = 0;
  for (std::int64_t i = threadIdx.x; i < a.rows; i += threads) {
    float yi = 0;
    for (unsigned t = 0; t < place.blocks; ++t) yi += y[t * a.rows + i];
    yi *= v_scale;
    a.new_u[i] = yi;  // read again by the same thread
    sum += yi * yi;
  }
  const float total = block_sum<threads>(sum), norm = sqrtf(total + 1e-24f);
  for (std::int64_t i = threadIdx.x; i < a.rows; i += threads) a.new_u[i] /= norm;
  if (threadIdx.x == 0) *a.sigma = total / norm;
}

// Neighbouring threads, neighbouring numbers. Floor: one launch, 1R + 1W.
__global__ void __launch_bounds__(threads) scale_kernel(const __grid_constant__ Group<SpectralScaleArgs> group) {
  const Place place = place_of(group);
  const SpectralScaleArgs& a = group.at[place.layer];
  const float scale = 1.0f / *a.sigma;
  for (std::int64_t i = std::int64_t(place.block) * threads + threadIdx.x; i < a.n; i += place.blocks * threads)
    a.y[i] = scale * a.w[i];
}

// A block sums 16384 products, the last one of a layer the blocks' sums; s is the first number of the workspace.
__global__ void __launch_bounds__(threads) dot_kernel(const __grid_constant__ Group<SpectralGradArgs> group) {
  const Place place = place_of(group);
  const SpectralGradArgs& a = group.at[place.layer];
  const std::int64_t n = a.rows * a.columns;
  auto* parts = static_cast<float*>(a.workspace) + 1;
  const std::int64_t begin = place.block * spectral_part, end = min(begin + spectral_part, n);
  float sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += threads) sum += a.dy[i] * a.w[i];
  sum = block_sum<threads>(sum);
  if (threadIdx.x == 0) parts[place.block] = sum;
  if (!last_block(a.ticket, place.blocks)) return;
  sum = 0;
  for (unsigned t = threadIdx.x; t < place.blocks; t += threads) sum += parts[t];
  sum = block_sum<threads>(sum);
  if (threadIdx.x == 0) parts[-1] = sum / (*a.sigma * *a.sigma);
}

// A block takes whole rows in turn; v comes from the caches. Floor of both: two launches, 3R + 1W. Not __restrict__: dw
// may be dy.
__global__ void __launch_bounds__(threads) grad_kernel(const __grid_constant__ Group<SpectralGradArgs> group) {
  const Place place = place_of(group);
  const SpectralGradArgs& a = group.at[place.layer];
  const float scale = 1.0f / *a.sigma, s = *static_cast<const float*>(a.workspace);
  for (std::int64_t i = place.block; i < a.rows; i += place.blocks) {
    const float share = s * a.u[i];
    for (std::int64_t j = threadIdx.x; j < a.columns; j += threads)
      a.dw[i * a.columns + j] = scale * a.dy[i * a.columns + j] - share * a.v[j];
  }
}

/// Launches `kernel` with blocks_of(layer) blocks for each layer.
template <class Args, class Blocks>
void launch(const CudaStream& stream, void (*kernel)(Group<Args>), std::span<const Args> layers, const char* name,
            const Blocks& blocks_of) {
  Group<Args> group{};
  for (const Args& layer : layers) {
    const std::int64_t blocks = blocks_of(layer);
    if (blocks == 0) continue;
    group.at[group.count] = layer;
    group.first[group.count + 1] = group.first[group.count] + static_cast<unsigned>(blocks);
    ++group.count;
  }
  if (group.count == 0) return;
  kernel<<<group.first[group.count], threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(group);
  check_launch(name);
}

}  // namespace

void power_iteration(const CudaStream& stream, std::span<const PowerIterationArgs> layers) {
  launch(stream, power_iteration_kernel, layers, "power_iteration",
         [](const PowerIterationArgs& a) { return spectral_tiles(a.columns); });
}

void spectral_scale(const CudaStream& stream, std::span<const SpectralScaleArgs> layers) {
  launch(stream, scale_kernel, layers, "spectral_scale", [](const SpectralScaleArgs& a) {
    return std::min<std::int64_t>((a.n + 4 * threads - 1) / (4 * threads), 256);
  });
}

void spectral_grad(const CudaStream& stream, std::span<const SpectralGradArgs> layers) {
  launch(stream, dot_kernel, layers, "spectral_dot",
         [](const SpectralGradArgs& a) { return (a.rows * a.columns + spectral_part - 1) / spectral_part; });
  launch(stream, grad_kernel, layers, "spectral_grad",
         [](const SpectralGradArgs& a) { return std::min<std::int64_t>(a.rows, 256); });
}

}  // namespace ganforge
