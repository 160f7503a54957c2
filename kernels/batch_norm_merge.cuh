// The sums of batch normalisation, and how blocks and threads merge theirs, always in the same order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace ganforge::batch_norm_cuda {

constexpr int column_channels = 8;  // a 32-byte sector of each row

/// Count, mean and summed squared distances of some rows, for `width` channels.
template <int width>
struct Moments {
  float n = 0.0f, mean[width] = {}, m2[width] = {};

  /// Chan, Golub, LeVeque 1979.
  __device__ void merge(const Moments& other) {
    const float share = other.n > 0.0f ? other.n / (n + other.n) : 0.0f, weight = n * share;
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const float delta = other.mean[i] - mean[i];
      mean[i] += delta * share;
      m2[i] += other.m2[i] + delta * delta * weight;
    }
    n += other.n;
  }
};

/// Σ dz and Σ dz·(x − mean).
template <int width>
struct Sums {
  float sum[width] = {}, product[width] = {};

  __device__ void merge(const Sums& other) {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      sum[i] += other.sum[i];
      product[i] += other.product[i];
    }
  }
};

/// Merges the states of the threads whose index is the same modulo `columns`, as a tree; the result is in the first
/// `columns` threads.
template <int columns, int threads, class State>
__device__ void merge_lanes(State& state) {
  constexpr int words = sizeof(State) / sizeof(float), warps = threads / 32;
  __shared__ float scratch[words][warps * columns];
  float* own = reinterpret_cast<float*>(&state);
  State other;
  float* others = reinterpret_cast<float*>(&other);
#pragma unroll
  for (int distance = columns; distance < 32; distance *= 2) {
#pragma unroll
    for (int i = 0; i < words; ++i) others[i] = __shfl_xor_sync(~0u, own[i], distance);
    state.merge(other);
  }
  const int warp = threadIdx.x / 32, column = threadIdx.x % 32;
#pragma unroll
  for (int half = warps / 2; half > 0; half /= 2) {
    if (column < columns && warp >= half && warp < 2 * half) {
#pragma unroll
      for (int i = 0; i < words; ++i) scratch[i][warp * columns + column] = own[i];
    }
    __syncthreads();
    if (column < columns && warp < half) {
#pragma unroll
      for (int i = 0; i < words; ++i) others[i] = scratch[i][(warp + half) * columns + column];
      state.merge(other);
    }
  }
}

/// The merged states of one group's channel c, for the threads t < column_channels, c = 8·(a block's number) + t.
/// `load(s)` is the state of slice s.
template <class State, int threads, class Load>
__device__ State merge_slices(int slices, bool active, const Load& load) {
  State state;
  for (int s = threadIdx.x / column_channels; active && s < slices; s += threads / column_channels)
    state.merge(load(s));
  merge_lanes<column_channels, threads>(state);
  return state;
}

/// The kernels' numbers of a channel: `moments(g)` are those of group g, means around shift(g). For the threads t <
/// column_channels, and the blocks of the grid in turn. `Norm` is BatchNormArgs.
template <int threads, class Norm, class Load, class Shift>
__device__ void finish_moments(const Norm& norm, int slices, const Load& load, const Shift& shift) {
  const std::int64_t channels = norm.channels;
  const float keep = norm.momentum, unbiased = norm.rows > 1 ? float(norm.rows) / float(norm.rows - 1) : 1.0f;
  for (std::int64_t first = blockIdx.x * column_channels; first < channels; first += gridDim.x * column_channels) {
    const std::int64_t c = first + threadIdx.x % column_channels;
    const bool active = c < channels, writer = active && threadIdx.x < column_channels;
    float running_mean = writer ? norm.running_mean[c] : 0.0f, running_var = writer ? norm.running_var[c] : 0.0f;
    for (int g = 0; g < norm.groups; ++g) {
      const auto moments = merge_slices<Moments<1>, threads>(slices, active, [&](int s) { return load(g, s, c); });
      if (!writer) continue;
      const float mean = shift(g, c) + moments.mean[0], var = moments.m2[0] / float(norm.rows);
      norm.mean[g * channels + c] = mean;
      norm.var[g * channels + c] = var;
      running_mean = keep * running_mean + (1.0f - keep) * mean;
      running_var = keep * running_var + (1.0f - keep) * (var * unbiased);
    }
    if (!writer) continue;
    norm.new_running_mean[c] = running_mean;
    norm.new_running_var[c] = running_var;
  }
}

/// Likewise of the gradient: dγ, dβ, and what `slopes` takes, dx being scale·(dz − f₁ − (x − mean)·f₂): slopes(g, c,
/// f₁, f₂). `Norm` is BatchNormGradArgs.
template <int threads, class Norm, class Load, class Slopes>
__device__ void finish_sums(const Norm& norm, int slices, const Load& load, const Slopes& slopes) {
  const std::int64_t channels = norm.channels;
  for (std::int64_t first = blockIdx.x * column_channels; first < channels; first += gridDim.x * column_channels) {
    const std::int64_t c = first + threadIdx.x % column_channels;
    const bool active = c < channels, writer = active && threadIdx.x < column_channels;
    float dgamma = 0.0f, dbeta = 0.0f;
    for (int g = 0; g < norm.groups; ++g) {
      const auto sums = merge_slices<Sums<1>, threads>(slices, active, [&](int s) { return load(g, s, c); });
      if (!writer) continue;
      const float rstd = 1.0f / sqrtf(norm.var[g * channels + c] + norm.eps);
      const float group_dgamma = sums.product[0] * rstd;
      slopes(g, c, sums.sum[0] / float(norm.rows), rstd * (group_dgamma / float(norm.rows)));
      dbeta += sums.sum[0];
      dgamma += group_dgamma;
    }
    if (!writer) continue;
    norm.dgamma[c] = dgamma;
    norm.dbeta[c] = dbeta;
  }
}

}  // namespace ganforge::batch_norm_cuda
