// A warp's part of a matrix product C[m, n] = Σ_k A(m, k)·B(n, k) on tensor cores, from panels of float32 in shared
// memory, swizzled as in mma.cuh. An operand's panel is [outer, depth] if it lies along k in global memory, else
// [depth, outer].
//
// Both are read 16 bytes per lane without bank conflicts: along k by ldmatrix, whose 8 × 4 matrices are fragments of
// the TF32 product; across k as quads of neighbouring m or n at one k, whose four elements go to four rows (A) or
// columns (B) of fragments: a permutation of C within the warp's patch, which put_sums undoes. bfloat16 pairs k with
// k + 4, in both operands alike.
#pragma once

#include "kernels/mma.cuh"

namespace ganforge::mma {

/// A warp's rows of A at eight steps of k, as fragments.
template <bool along_k_, int outer, int depth, int patch>
struct FragmentsA {
  static constexpr bool along_k = along_k_;
  static constexpr int count = patch / 16;
  std::uint32_t at[count][4];
  std::uint32_t lane_address, lane_swizzle;

  /// `first_step` is the first eight steps of k that the warp takes.
  __device__ FragmentsA(int first_row, int first_step) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    if constexpr (along_k) {
      lane_address = 4 * depth * (first_row + lane % 16);
      lane_swizzle = 16 * ((lane / 16) ^ (lane % 8) ^ (2 * first_step));
    } else {
      lane_address = 4 * (outer * (8 * first_step + t) + first_row) + 16 * (g ^ (2 * t));
    }
    hold(lane_address);
    if constexpr (along_k) hold(lane_swizzle);
  }
  /// `panel` is the address of the lane's part (lane_address) in this stage.
  template <int step>
  __device__ void load(std::uint32_t panel) {
    if constexpr (along_k) {
      const std::uint32_t row = panel + (lane_swizzle ^ (32 * step));
      unrolled<count>([&](auto i) { load_matrices<4 * 16 * depth * i>(at[i], row); });
    } else {
      unrolled<count / 2>([&](auto half) {
        constexpr int i = 2 * half, offset = 4 * 8 * outer * step + 64 * i;
        const uint4 u = load_quad<offset>(panel), v = load_quad<offset + 4 * 4 * outer>(panel);
        at[i][0] = u.x, at[i][1] = u.y, at[i][2] = v.x, at[i][3] = v.y;
        at[i + 1][0] = u.z, at[i + 1][1] = u.w, at[i + 1][2] = v.z, at[i + 1][3] = v.w;
      });
    }
  }
  /// Where in the patch element (g + 8·half) of fragment i is.
  static __device__ int row(int i, int half) {
    const int g = threadIdx.x % 32 / 4;
    return along_k ? 16 * i + 8 * half + g : 32 * (i / 2) + 4 * g + 2 * (i % 2) + half;
  }
};

/// Likewise of B.
template <bool along_k_, int outer, int depth, int patch>
struct FragmentsB {
  static constexpr bool along_k = along_k_;
  static constexpr int count = patch / 8;
  std::uint32_t at[count][2];
  std::uint32_t lane_address, lane_swizzle;

  __device__ FragmentsB(int first_row, int first_step) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    if constexpr (along_k) {
      lane_address = 4 * depth * (first_row + lane / 16 * 8 + lane % 8);
      lane_swizzle = 16 * ((lane / 8 % 2) ^ (lane % 8) ^ (2 * first_step));
    } else {
      lane_address = 4 * (outer * (8 * first_step + t) + first_row) + 16 * (g ^ (2 * t));
    }
    hold(lane_address);
    if constexpr (along_k) hold(lane_swizzle);
  }
  template <int step>
  __device__ void load(std::uint32_t panel) {
    if constexpr (along_k) {
      const std::uint32_t row = panel + (lane_swizzle ^ (32 * step));
      unrolled<count / 2>([&](auto half) {
        constexpr int j = 2 * half;
        std::uint32_t v[4];
        load_matrices<4 * 8 * depth * j>(v, row);
        at[j][0] = v[0], at[j][1] = v[1], at[j + 1][0] = v[2], at[j + 1][1] = v[3];
      });
    } else {
      unrolled<count / 4>([&](auto quarter) {
        constexpr int j = 4 * quarter, offset = 4 * 8 * outer * step + 32 * j;
        const uint4 u = load_quad<offset>(panel), v = load_quad<offset + 4 * 4 * outer>(panel);
        at[j][0] = u.x, at[j + 1][0] = u.y, at[j + 2][0] = u.z, at[j + 3][0] = u.w;
        at[j][1] = v.x, at[j + 1][1] = v.y, at[j + 2][1] = v.z, at[j + 3][1] = v.w;
      });
    }
  }
};

/// c += A·B over the fragments' eight steps of k, the `step`-th of a stage. bfloat16 keeps those of an even step in
/// `pairs` and multiplies at the odd one.
template <bool bf16, class A, class B>
class Multiplier {
 public:
  template <int step>
  __device__ void multiply(float (&c)[A::count][B::count][4], const A& a, const B& b) {
    if constexpr (bf16) {
      constexpr int to = step % 2;
#pragma unroll
      for (int i = 0; i < A::count; ++i) {
        pairs_a_[i][2 * to] = to_bf16(a.at[i][0], a.at[i][2]);
        pairs_a_[i][2 * to + 1] = to_bf16(a.at[i][1], a.at[i][3]);
      }
#pragma unroll
      for (int j = 0; j < B::count; ++j) pairs_b_[j][to] = to_bf16(b.at[j][0], b.at[j][1]);
    }
    if constexpr (!bf16 || step % 2 == 1) {
#pragma unroll
      for (int i = 0; i < A::count; ++i) {
#pragma unroll
        for (int j = 0; j < B::count; ++j) {
          if constexpr (bf16) {
            multiply_bf16(c[i][j], pairs_a_[i], pairs_b_[j]);
          } else {
            multiply_tf32(c[i][j], a.at[i], b.at[j]);
          }
        }
      }
    }
  }

 private:
  std::uint32_t pairs_a_[A::count][4], pairs_b_[B::count][2];
};

// Plain assignments of vectors become scalar stores, with bank conflicts, where the compiler loses sight of the
// alignment.
__device__ inline void store_quad(float* to, float4 v) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(to)), "f"(v.x), "f"(v.y), "f"(v.z),
               "f"(v.w)
               : "memory");
}
__device__ inline void store_pair(float* to, float2 v) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(shared_address(to)), "f"(v.x), "f"(v.y) : "memory");
}

/// Puts a warp's sums into [rows, row_floats] of shared memory, 8 (B along k) or 16 bytes per lane. Pieces of a row are
/// permuted by `turn`, so that the rows of a store fall on different banks.
template <int row_floats, class A, class B>
__device__ void put_sums(float* shared, int first_m, int first_n, const float (&c)[A::count][B::count][4]) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int i = 0; i < A::count; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* const row = shared + (first_m + A::row(i, half)) * row_floats;
      if constexpr (B::along_k) {
#pragma unroll
        for (int j = 0; j < B::count; ++j) {
          const int piece = ((first_n + 8 * j) / 4 + t / 2) ^ (2 * (g & 3));
          store_pair(row + 4 * piece + 2 * (t % 2), float2{c[i][j][2 * half], c[i][j][2 * half + 1]});
        }
      } else {
#pragma unroll
        for (int j = 0; j < B::count; j += 4) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int piece = (first_n + 8 * j) / 4 + ((2 * t + e) ^ (g & 1));
            store_quad(row + 4 * piece, float4{c[i][j][2 * half + e], c[i][j + 1][2 * half + e],
                                               c[i][j + 2][2 * half + e], c[i][j + 3][2 * half + e]});
          }
        }
      }
    }
  }
}

/// The permutation of put_sums, from the row.
template <class A, class B>
__device__ int turn(int row) {
  return B::along_k ? 2 * (row & 3) : A::along_k ? row & 1 : row >> 2 & 1;
}

}  // namespace ganforge::mma
