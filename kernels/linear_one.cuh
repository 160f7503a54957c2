// Fully connected layers of one output, a discriminator's last: dot products and their gradient. For linear.cu alone.
#pragma once

#include "kernels/activate.h"
#include "kernels/block.cuh"
#include "kernels/linear.h"

#include <cstdint>

namespace ganforge {
namespace {

constexpr int warps_per_block = 4;

// y[r] = act(Σ x[r, k]·w[k] + b): a critic's last layer. A warp per row; neighbouring lanes read neighbouring 16 bytes.
// Floor: x once from memory, w from L1; one launch.
__global__ void linear_to_one_kernel(const __grid_constant__ LinearArgs p, bool vector) {
  const std::int64_t r = std::int64_t(blockIdx.x) * warps_per_block + threadIdx.x / 32;
  if (r >= p.rows) return;
  const int lane = threadIdx.x % 32;
  const float* const x = p.x + r * p.in;
  float sum = 0.0f;
  if (vector) {
    for (std::int64_t i = 4 * lane; i < p.in; i += 128) {
      const float4 u = *reinterpret_cast<const float4*>(x + i), v = *reinterpret_cast<const float4*>(p.w + i);
      sum = fmaf(u.w, v.w, fmaf(u.z, v.z, fmaf(u.y, v.y, fmaf(u.x, v.x, sum))));
    }
  } else {
    for (std::int64_t i = lane; i < p.in; i += 32) sum = fmaf(x[i], p.w[i], sum);
  }
  sum = warp_sum(sum);
  if (lane == 0) p.y[r] = activate(p.act.kind, p.act.negative_slope, p.b ? sum + p.b[0] : sum);
}

// dx[r, i] = dz[r]·w[i]·act′(y[r, i]), the gradient of that. A warp per row. Floor: y read and dx written once; one
// launch.
__global__ void linear_from_one_kernel(const __grid_constant__ LinearInputGradArgs p, bool vector) {
  const std::int64_t r = std::int64_t(blockIdx.x) * warps_per_block + threadIdx.x / 32;
  if (r >= p.rows) return;
  const int lane = threadIdx.x % 32;
  const float dz = p.dz[r];
  const float* const y = p.y ? p.y + r * p.in : nullptr;
  float* const dx = p.dx + r * p.in;
  const auto gradient = [&](float w, float y) { return dz * w * activation_grad(p.act.kind, p.act.negative_slope, y); };
  if (vector) {
    for (std::int64_t i = 4 * lane; i < p.in; i += 128) {
      const float4 w = *reinterpret_cast<const float4*>(p.w + i);
      float4 v = {dz * w.x, dz * w.y, dz * w.z, dz * w.w};
      if (y) {
        const float4 u = *reinterpret_cast<const float4*>(y + i);
        v = {gradient(w.x, u.x), gradient(w.y, u.y), gradient(w.z, u.z), gradient(w.w, u.w)};
      }
      *reinterpret_cast<float4*>(dx + i) = v;
    }
  } else {
    for (std::int64_t i = lane; i < p.in; i += 32) dx[i] = y ? gradient(p.w[i], y[i]) : dz * p.w[i];
  }
}

unsigned row_blocks(std::int64_t rows) {
  return static_cast<unsigned>((rows + warps_per_block - 1) / warps_per_block);
}

}  // namespace
}  // namespace ganforge
