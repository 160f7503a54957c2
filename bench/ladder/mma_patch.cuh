// 32 × 32 sums of a warp on tensor cores, TF32: what rungs with mma share.
#pragma once

#include "kernels/mma.cuh"

namespace ganforge::ladder {

/// Fragments lie as kernels/mma.cuh says: lane l has g = l / 4 and t = l % 4.
struct Patch {
  float sum[2][4][4] = {};  // halves of 16 rows, quarters of 8 columns

  /// Adds eight steps of k. `a(row, k)` and `b(k, column)` are the elements in shared memory.
  template <class A, class B>
  __device__ void multiply(const A& a, const B& b) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    std::uint32_t left[2][4], right[4][2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int e = 0; e < 4; ++e) left[i][e] = __float_as_uint(a(16 * i + g + 8 * (e % 2), t + 4 * (e / 2)));
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e) right[j][e] = __float_as_uint(b(t + 4 * e, 8 * j + g));
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) mma::multiply_tf32(sum[i][j], left[i], right[j]);
  }

  /// store(row, column, two neighbouring sums)
  template <class Store>
  __device__ void store(const Store& store) const {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        store(16 * i + g, 8 * j + 2 * t, make_float2(sum[i][j][0], sum[i][j][1]));
        store(16 * i + g + 8, 8 * j + 2 * t, make_float2(sum[i][j][2], sum[i][j][3]));
      }
  }
};

}  // namespace ganforge::ladder
