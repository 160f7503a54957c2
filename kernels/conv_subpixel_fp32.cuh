// The products of conv_subpixel.cuh in exact float32 (FFMA).
#pragma once

#include "kernels/conv_subpixel.cuh"

namespace ganforge {
namespace {

/// A block computes [m, n] of the product in steps of k; a thread has a patch of patch_m × patch_n. The 32 threads of a
/// warp lie 4 × 8: that reads each operand from the fewest addresses.
template <int m_, int n_, int patch_m_, int patch_n_, int blocks_>
struct SubpixelTile {
  static constexpr int m = m_, n = n_, k = 16, patch_m = patch_m_, patch_n = patch_n_;
  static constexpr int blocks = blocks_;  // that a multiprocessor's registers are shared by
  static constexpr int threads_m = m / patch_m, threads_n = n / patch_n, threads = threads_m * threads_n;
  static_assert(threads == 128 && threads_n % 8 == 0 && threads_m % 4 == 0 && patch_n % 4 == 0);
  /// Cycles that a multiprocessor needs for four steps of k of a warp, if nothing overlaps: 4 · patch FFMA, four at a
  /// time, 16-byte loads from shared memory at two cycles each, and what fetching costs.
  static constexpr int cost = patch_m * patch_n + 2 * (patch_m + patch_n) + (m + n) / 16;

  static __device__ int thread_m() { return threadIdx.x / 32 / (threads_n / 8) * 4 + threadIdx.x % 32 / 8; }
  static __device__ int thread_n() { return threadIdx.x / 32 % (threads_n / 8) * 8 + threadIdx.x % 8; }
};
using LargeTile = SubpixelTile<128, 64, 8, 8, 3>;
using MediumTile = SubpixelTile<64, 64, 8, 4, 4>;
using SmallTile = SubpixelTile<64, 32, 4, 4, 5>;

/// Part of a tile that lies along k in global memory: `outer` rows of 16 floats. Four floats of padding put eight
/// neighbouring rows on different banks; writing threads take rows four apart, for the same reason.
template <int outer>
struct AlongPanel {
  static constexpr bool along = true;
  static constexpr int row = 20, floats = outer * row, quads = outer / 32;
  float4 held[quads];

  static __device__ int outer_of(int i) {
    const int group = threadIdx.x % 32 / 4;
    return threadIdx.x / 32 * 8 + group % 2 * 4 + group / 2 + i * 32;
  }
  static __device__ int k_of() { return threadIdx.x % 4 * 4; }

  __device__ void put(float* shared) const {
#pragma unroll
    for (int i = 0; i < quads; ++i) store_shared(shared + outer_of(i) * row + k_of(), held[i]);
  }
  /// Four steps of k of a thread's rows, which are `threads_outer` apart.
  template <int patch, int threads_outer>
  static __device__ void read(const float* shared, int k, int thread, float (&to)[4][patch]) {
    read_along<row, threads_outer>(shared, k, thread, to);
  }
};

/// Part of a tile that lies across k: 16 rows of `outer` floats.
template <int outer>
struct AcrossPanel {
  static constexpr bool along = false;
  static constexpr int row = outer, floats = 16 * row, quads = outer / 32;
  float4 held[quads];

  static __device__ int outer_of() { return threadIdx.x % (outer / 4) * 4; }
  static __device__ int k_of(int i) { return (threadIdx.x + i * 128) / (outer / 4); }

  __device__ void put(float* shared) const {
#pragma unroll
    for (int i = 0; i < quads; ++i) store_shared(shared + k_of(i) * row + outer_of(), held[i]);
  }
  /// Four steps of k of a thread's rows, groups of four that are 4 · `threads_outer` apart.
  template <int patch, int threads_outer>
  static __device__ void read(const float* shared, int k, int thread, float (&to)[4][patch]) {
    read_across<row, threads_outer>(shared, k, thread, to);
  }
};

/// Element i of a thread's patch, in groups of four neighbours that are 4 · `threads_outer` apart.
template <int threads_outer>
__device__ int grouped(int thread, int i) {
  return i / 4 * 4 * threads_outer + thread * 4 + i % 4;
}
/// Row of the tile that element i of a thread's patch is in: the inverse of the panels' read.
template <class Panel, int threads_outer>
__device__ int patch_row(int thread, int i) {
  return Panel::along ? thread + i * threads_outer : grouped<threads_outer>(thread, i);
}
/// Which row of the operand is row `row` of a panel along k, for patches whose columns are grouped.
template <int threads_outer>
__device__ int column_of(int row) {
  return grouped<threads_outer>(row % threads_outer, row / threads_outer);
}

// Global memory → registers → shared memory, two buffers: while one step of k is computed the next is on its way; one
// barrier per step. Four steps of k of an 8 × 8 patch are 16 loads of 16 bytes, without bank conflicts, for 256 FFMA.
// Operands::first and next walk over the steps of k, fetch reads one into the panels a and b. The sums of four columns
// go to at_column(the first)(row, sums), rows and columns counted in the tile. False: another block has them.
//
// Operands::splits: blocks may share a tile's steps. Each then leaves its sums in the workspace, every thread those of
// its patch, and the last block to finish adds all of them, in the order of the parts. In blocks where sum_a() is true
// A's columns, which lie across k, are summed too.
template <class Tile, class Operands, class AtColumn>
__device__ bool multiply_tile(const SubpixelArgs& args, Operands& operands, int tile, int part, float* shared,
                              const AtColumn& at_column) {
  using A = typename Operands::A;
  using B = typename Operands::B;
  constexpr int buffer = A::floats + B::floats;
  const int thread_m = Tile::thread_m(), thread_n = Tile::thread_n();

  float c[Tile::patch_m][Tile::patch_n] = {}, a_sum = 0.0f;
  bool more = operands.first();
  if (more) {
    operands.fetch();
    operands.a.put(shared);
    operands.b.put(shared + A::floats);
  }
  __syncthreads();
  int now = 0;
  while (more) {
    more = operands.next();
    if (more) operands.fetch();
    if constexpr (Operands::splits) {
      if (operands.sum_a() && threadIdx.x < Tile::m) {
#pragma unroll 4
        for (int k = 0; k < Tile::k; ++k) a_sum += shared[now + k * A::row + threadIdx.x];
      }
    }
#pragma unroll 1  // more would need registers for the loads of the next steps
    for (int k = 0; k < Tile::k; k += 4) {
      float a[4][Tile::patch_m], b[4][Tile::patch_n];
      A::template read<Tile::patch_m, Tile::threads_m>(shared + now, k, thread_m, a);
      B::template read<Tile::patch_n, Tile::threads_n>(shared + now + A::floats, k, thread_n, b);
      multiply_four(c, a, b);
    }
    now = buffer - now;
    if (more) {
      operands.a.put(shared + now);
      operands.b.put(shared + now + A::floats);
    }
    __syncthreads();
  }

  if constexpr (Operands::splits) {
    constexpr int fours = Tile::patch_n / 4;
    const int splits = args.s.splits;
    const bool sum_a = operands.sum_a() && threadIdx.x < Tile::m;
    float* const a_sums = parts_of_a<Tile>(args, tile) + threadIdx.x;
    if (splits > 1) {
      float4* const all = parts_of<Tile>(args, tile) + threadIdx.x;
      const auto at = [&](int which, int i, int j) {
        return all + (which * Tile::patch_m * fours + i * fours + j / 4) * Tile::threads;
      };
#pragma unroll
      for (int i = 0; i < Tile::patch_m; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::patch_n; j += 4) {
          __stwb(at(part, i, j), float4{c[i][j], c[i][j + 1], c[i][j + 2], c[i][j + 3]});
        }
      }
      if (sum_a) a_sums[part * Tile::m] = a_sum;
      if (!last_block(args.at.tickets + tile, splits)) return false;
#pragma unroll
      for (int i = 0; i < Tile::patch_m; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::patch_n; j += 4) {
          const float4 sum = sum_of_parts(splits, [&](int which) { return __ldcg(at(which, i, j)); });
          c[i][j] = sum.x, c[i][j + 1] = sum.y, c[i][j + 2] = sum.z, c[i][j + 3] = sum.w;
        }
      }
      a_sum = 0.0f;
      for (int i = 0; sum_a && i < splits; ++i) a_sum += __ldcg(a_sums + i * Tile::m);
    }
    if (sum_a) operands.put_a_sum(threadIdx.x, a_sum);
  }

#pragma unroll
  for (int i = 0; i < Tile::patch_m; ++i) {
    const int row = patch_row<A, Tile::threads_m>(thread_m, i);
#pragma unroll
    for (int j = 0; j < Tile::patch_n; j += 4) {
      at_column(grouped<Tile::threads_n>(thread_n, j))(row, float4{c[i][j], c[i][j + 1], c[i][j + 2], c[i][j + 3]});
    }
  }
  return true;
}

/// Floats of the operands' two buffers.
template <class Operands>
constexpr int buffers = 2 * (Operands::A::floats + Operands::B::floats);

/// f(Tile{}) for the tile of that number, which Subpixel::tile is.
#pragma nv_exec_check_disable
template <class F>
__host__ __device__ auto with_ffma_tile(int tile, F f) {
  if (tile == 0) return f(LargeTile{});
  if (tile == 1) return f(MediumTile{});
  return f(SmallTile{});
}

/// The tile of least cost, of equal ones the larger: it reads less. cost(tile) is that of the whole grid.
template <class Cost>
int least_ffma_tile(const Cost& cost) {
  const std::int64_t large = cost(LargeTile{}), medium = cost(MediumTile{}), small = cost(SmallTile{});
  if (large <= medium && large <= small) return 0;
  return medium <= small ? 1 : 2;
}
/// For `times` products of [rows, columns]: the busiest multiprocessor's. A block alone on one waits for its loads.
inline int choose_ffma_tile(const CudaStream& stream, std::int64_t rows, std::int64_t columns, int times) {
  return least_ffma_tile([&]<class Tile>(Tile) {
    const std::int64_t blocks = times * tiles_of<Tile>(rows, columns);
    const std::int64_t busiest = (blocks + stream.multiprocessors - 1) / stream.multiprocessors;
    return busiest == 1 ? Tile::cost * 3 / 2 : busiest * Tile::cost;
  });
}

}  // namespace
}  // namespace ganforge
