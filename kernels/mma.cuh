// Tensor cores and asynchronous copies: one PTX instruction each, of compute capability 8.0. Code for older cards
// compiles and traps if it is reached: the host launches such kernels on `mma::supported(stream)` alone.
//
// In the fragments lane l of a warp has g = l / 4 and t = l % 4 (PTX ISA, "Matrix fragments for mma"):
//   m16n8k8, tf32    a: (g, t) (g+8, t) (g, t+4) (g+8, t+4)     b: (t, g) (t+4, g)          as (row, column)
//   m16n8k16, bf16   a: (g, 2t..) (g+8, 2t..) (g, 2t+8..) (g+8, 2t+8..)   b: (2t.., g) (2t+8.., g), pairs along k
//   accumulators     c: (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1)
#pragma once

#include <ganforge/stream.h>

#include <cstdint>
#include <utility>

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define GANFORGE_SM80(...) asm volatile(__VA_ARGS__)
#else
#define GANFORGE_SM80(...) __trap()
#endif

namespace ganforge::mma {

inline bool supported(const CudaStream& stream) {
  return stream.compute_capability >= 80;
}

/// f(integral constant 0) … f(integral constant n − 1): indices for the offsets below.
template <int n, class Function>
__device__ void unrolled(const Function& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) {
    (f(std::integral_constant<int, i>{}), ...);
  }(std::make_integer_sequence<int, n>{});
}

// --- products -------------------------------------------------------------------------------------------------------

/// c += a·b, 16 × 8 × 8. The tensor core reads the upper 19 bits of each operand: a float32 is rounded towards zero.
__device__ inline void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  GANFORGE_SM80(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// c += a·b, 16 × 8 × 16.
__device__ inline void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  GANFORGE_SM80(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Two neighbours along k, the first in the lower half; to nearest even. Of float32 or its bits.
__device__ inline std::uint32_t to_bf16(std::uint32_t first, std::uint32_t second) {
  std::uint32_t y = 0;
  GANFORGE_SM80("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "r"(second), "r"(first));
  return y;
}
__device__ inline std::uint32_t to_bf16(float first, float second) {
  return to_bf16(__float_as_uint(first), __float_as_uint(second));
}

/// What is held in a register from here on, where the compiler would compute it again in every loop.
__device__ inline void hold(std::uint32_t& value) {
  asm volatile("" : "+r"(value));
}

// --- shared memory --------------------------------------------------------------------------------------------------

__device__ inline std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// Four 8 × 8 matrices of 16-bit or, equally, 8 × 4 of 32-bit elements: lane l names row l % 8 of matrix l / 8 (16
/// bytes at `row` + `offset`) and gets element (g, t), of 32 bits, of each.
template <int offset = 0>
__device__ void load_matrices(std::uint32_t (&to)[4], std::uint32_t row) {
  GANFORGE_SM80("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4 + %5];"
                : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                : "r"(row), "n"(offset)
                : "memory");
}

/// 16 bytes at `from` + `offset`.
template <int offset = 0>
__device__ uint4 load_quad(std::uint32_t from) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4 + %5];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(from), "n"(offset)
               : "memory");
  return v;
}

/// Where 16-byte piece `piece` of row `row` lies, in pieces, when rows have `pieces` of them, a power of two: pieces of
/// eight neighbouring rows at one place, as ldmatrix reads them, fall on all 32 banks, and so do those of one row.
template <int pieces>
__device__ constexpr int swizzled(int row, int piece) {
  static_assert(pieces > 0 && (pieces & (pieces - 1)) == 0);
  constexpr int rows_in_line = pieces >= 8 ? 1 : 8 / pieces;  // a line: the 128 bytes of all banks
  constexpr int mask = pieces >= 8 ? 7 : pieces - 1;
  return row * pieces + (piece ^ (row / rows_in_line & mask));
}

/// Likewise for rows along k that are read across it, four of them (t) and two neighbouring pieces (g) at once by eight
/// lanes, 16 bytes each. Rows of eight pieces or a multiple.
template <int pieces>
__device__ constexpr int swizzled_across(int row, int piece) {
  static_assert(pieces % 8 == 0);
  return row * pieces + (piece ^ (row & 3) << 1);
}

// --- asynchronous copies from global to shared memory ---------------------------------------------------------------

/// 16 bytes to `to` + `offset`, both sides aligned to them, past L1.
template <int offset = 0>
__device__ void copy_16(std::uint32_t to, const void* from) {
  GANFORGE_SM80("cp.async.cg.shared.global [%0 + %2], [%1], 16;" ::"r"(to), "l"(from), "n"(offset) : "memory");
}

/// Zeros, and no read, unless `inside`.
template <int offset = 0>
__device__ void copy_16(std::uint32_t to, const void* from, bool inside) {
  GANFORGE_SM80("cp.async.cg.shared.global [%0 + %2], [%1], 16, %3;" ::"r"(to), "l"(from), "n"(offset),
                "r"(inside ? 16 : 0)
                : "memory");
}

/// The first `bytes` (at most 16) of 16, zeros behind them.
template <int offset = 0>
__device__ void copy_up_to_16(std::uint32_t to, const void* from, int bytes) {
  GANFORGE_SM80("cp.async.cg.shared.global [%0 + %2], [%1], 16, %3;" ::"r"(to), "l"(from), "n"(offset), "r"(bytes)
                : "memory");
}

/// 4 bytes; zeros, and no read, unless `inside`.
template <int offset = 0>
__device__ void copy_4(std::uint32_t to, const void* from, bool inside = true) {
  GANFORGE_SM80("cp.async.ca.shared.global [%0 + %2], [%1], 4, %3;" ::"r"(to), "l"(from), "n"(offset),
                "r"(inside ? 4 : 0)
                : "memory");
}

/// Closes a group: the thread's copies since the last call.
__device__ inline void commit_copies() {
  GANFORGE_SM80("cp.async.commit_group;" ::: "memory");
}

/// Waits until all but the thread's last `pending` groups have arrived; other threads' copies need a barrier after it.
template <int pending>
__device__ inline void wait_copies() {
  GANFORGE_SM80("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

}  // namespace ganforge::mma
