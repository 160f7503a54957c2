// A thread's part of a matrix product C[m, n] = Σ_k A(m, k)·B(n, k) in exact float32 (FFMA), from panels in shared
// memory: rows of an operand along k, or steps of k across it, `row` floats each. 16 bytes per access.
#pragma once

#include <cuda_runtime.h>

namespace ganforge {

// Plain assignments of vectors become scalar stores, with bank conflicts, where the compiler loses sight of the
// alignment.
__device__ inline void store_shared(float* to, float2 v) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "f"(v.x),
               "f"(v.y)
               : "memory");
}
__device__ inline void store_shared(float* to, float4 v) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
               : "memory");
}

/// Four steps of k of a thread's rows from a panel along k. They are `threads_outer` apart, so that neighbouring
/// threads read neighbouring rows.
template <int row, int threads_outer, int patch>
__device__ void read_along(const float* shared, int k, int thread, float (&to)[4][patch]) {
#pragma unroll
  for (int i = 0; i < patch; ++i) {
    const float4 v = *reinterpret_cast<const float4*>(shared + (thread + i * threads_outer) * row + k);
    to[0][i] = v.x, to[1][i] = v.y, to[2][i] = v.z, to[3][i] = v.w;
  }
}
/// The same from a panel across k: groups of four rows, 4 · `threads_outer` apart.
template <int row, int threads_outer, int patch>
__device__ void read_across(const float* shared, int k, int thread, float (&to)[4][patch]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
#pragma unroll
    for (int i = 0; i < patch; i += 4) {
      const float4 v = *reinterpret_cast<const float4*>(shared + (k + j) * row + i * threads_outer + thread * 4);
      to[j][i] = v.x, to[j][i + 1] = v.y, to[j][i + 2] = v.z, to[j][i + 3] = v.w;
    }
  }
}

/// c += the four steps, in their order.
template <int patch_m, int patch_n>
__device__ void multiply_four(float (&c)[patch_m][patch_n], const float (&a)[4][patch_m],
                              const float (&b)[4][patch_n]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
#pragma unroll
    for (int i = 0; i < patch_m; ++i) {
#pragma unroll
      for (int j = 0; j < patch_n; ++j) c[i][j] = fmaf(a[k][i], b[k][j], c[i][j]);
    }
  }
}

}  // namespace ganforge
