// A tile of C = A·Bᵀ in exact float32 (FFMA), for linear_fp32.cu and linear_norm.cu.
//
// Global memory → registers → shared memory, two buffers: while a tile of k is computed, the next one is on its way;
// one barrier per tile. All accesses to shared memory move 16 bytes without bank conflicts, both operands in the order
// they have in global memory; four steps of k of a 4 × 4 patch are 8 loads for 64 FFMA. Slice s takes the s-th four
// steps of each tile, then every `slices`-th. At the end the patches meet in shared memory, element by element of a
// patch, `part` floats apart, where the padding frees both sides of bank conflicts, and leave as rows of C, 16 bytes
// each.
#pragma once

#include "kernels/linear_product.cuh"

namespace ganforge::dense {

/// A block computes [m, n] of C from [m, k] and [n, k] of the operands. A thread has a patch of patch_m × patch_n.
template <int m_, int n_, int k_, int patch_m_, int patch_n_, int slices_>
struct Tile {
  static constexpr int m = m_, n = n_, k = k_, patch_m = patch_m_, patch_n = patch_n_, slices = slices_;
  static constexpr int threads_m = m / patch_m, threads_n = n / patch_n, threads_slice = threads_m * threads_n;
  static constexpr int threads = threads_slice * slices;
  static constexpr int rows_apart = threads / (n / 4);  // of the quads of C that a thread gets
  static_assert(threads % (n / 4) == 0);
};
/// An operand's part of a tile: `outer` rows of A or B by `depth` steps of k, in the order it has in global memory.
/// Along k a row is [depth + 4]: the four columns of padding put neighbouring rows on different banks.
template <bool along_k, int outer, int depth, int threads>
struct Panel {
  static constexpr int row = along_k ? depth + 4 : outer;
  static constexpr int floats = along_k ? outer * row : depth * row;
  static constexpr int quads_in_row = (along_k ? depth : outer) / 4;
  static constexpr int quads = outer * depth / 4 / threads;
  static_assert(outer * depth == quads * 4 * threads);

  float4 held[quads];

  /// Global memory → registers. Neighbouring threads read neighbouring 16 bytes; zeros beyond the operand's edges.
  __device__ void fetch(const float* data, std::int64_t outers, std::int64_t first_outer, std::int64_t ks,
                        std::int64_t first_k, bool vector) {
    const std::int64_t rows = along_k ? outers : ks, columns = along_k ? ks : outers;
    const std::int64_t first_row = along_k ? first_outer : first_k, first_column = along_k ? first_k : first_outer;
#pragma unroll
    for (int i = 0; i < quads; ++i) {
      const int index = threadIdx.x + i * threads;
      const std::int64_t r = first_row + index / quads_in_row, c = first_column + index % quads_in_row * 4;
      held[i] = {0.0f, 0.0f, 0.0f, 0.0f};
      if (r >= rows || c >= columns) continue;
      const float* from = data + r * columns + c;
      if (vector) {
        held[i] = *reinterpret_cast<const float4*>(from);
      } else {
        held[i].x = from[0];
        if (c + 1 < columns) held[i].y = from[1];
        if (c + 2 < columns) held[i].z = from[2];
        if (c + 3 < columns) held[i].w = from[3];
      }
    }
  }

  /// Registers → shared memory, 16 bytes each.
  __device__ void put(float* shared) const {
#pragma unroll
    for (int i = 0; i < quads; ++i) {
      const int index = threadIdx.x + i * threads;
      store_shared(shared + index / quads_in_row * row + index % quads_in_row * 4, held[i]);
    }
  }

  /// Four steps of k of a thread's patch. Along k the patch's rows are `threads_outer` apart, so that neighbouring
  /// threads read neighbouring rows; across k they are groups of four.
  template <int patch, int threads_outer>
  static __device__ void read(const float* shared, int k, int thread, float (&to)[4][patch]) {
    if constexpr (along_k) {
      read_along<row, threads_outer>(shared, k, thread, to);
    } else {
      read_across<row, threads_outer>(shared, k, thread, to);
    }
  }
};

template <Direction direction, class Tile>
struct TileShared {
  using PanelA = Panel<a_along_k(direction), Tile::m, Tile::k, Tile::threads>;
  using PanelB = Panel<b_along_k(direction), Tile::n, Tile::k, Tile::threads>;
  static constexpr int part = Tile::threads + (b_along_k(direction) ? 8 : a_along_k(direction) ? 4 : 2);
  static constexpr int patch = Tile::patch_m * Tile::patch_n;
  static constexpr int buffer = PanelA::floats + PanelB::floats;
  static constexpr int merging = patch * part + Tile::slices * Tile::m;
  static constexpr int floats = 2 * buffer > merging ? 2 * buffer : merging;
};

/// The sums of the tile that begins at (first_m, first_n). Of a column of quads a thread gets those in rows
/// threadIdx.x / (n / 4) + `down`: take(down, quad) for down = 0, Tile::rows_apart … The bias gradient is written if
/// `sum_a`. `shared` has TileShared::floats.
template <Direction direction, class Tile, class Take>
__device__ void tile_sums(const Product& p, std::int64_t first_m, std::int64_t first_n, bool sum_a, float* shared,
                          const Take& take) {
  constexpr bool along_a = a_along_k(direction), along_b = b_along_k(direction);
  using Shared = TileShared<direction, Tile>;
  using PanelA = typename Shared::PanelA;
  using PanelB = typename Shared::PanelB;
  constexpr int part = Shared::part, patch = Shared::patch, buffer = Shared::buffer;
  const int slice = threadIdx.x / Tile::threads_slice;
  const int thread_m = threadIdx.x % Tile::threads_slice / Tile::threads_n, thread_n = threadIdx.x % Tile::threads_n;

  float c[Tile::patch_m][Tile::patch_n] = {}, a_sum[Tile::patch_m] = {};
  PanelA panel_a;
  PanelB panel_b;
  panel_a.fetch(p.a, p.m, first_m, p.k, 0, p.vector_a);
  panel_b.fetch(p.b, p.n, first_n, p.k, 0, p.vector_b);
  panel_a.put(shared);
  panel_b.put(shared + PanelA::floats);
  __syncthreads();

  int now = 0, next = buffer;  // offsets of the two buffers
  for (std::int64_t k = 0; k < p.k; k += Tile::k) {
    const bool more = k + Tile::k < p.k;
    if (more) {
      panel_a.fetch(p.a, p.m, first_m, p.k, k + Tile::k, p.vector_a);
      panel_b.fetch(p.b, p.n, first_n, p.k, k + Tile::k, p.vector_b);
    }
    const int steps = more ? Tile::k : static_cast<int>(p.k - k);
#pragma unroll 2
    for (int step = 4 * slice; step < steps; step += 4 * Tile::slices) {
      float a[4][Tile::patch_m], b[4][Tile::patch_n];
      PanelA::template read<Tile::patch_m, Tile::threads_m>(shared + now, step, thread_m, a);
      PanelB::template read<Tile::patch_n, Tile::threads_n>(shared + now + PanelA::floats, step, thread_n, b);
      multiply_four(c, a, b);
      if (sum_a) {
#pragma unroll
        for (int i = 0; i < Tile::patch_m; ++i) a_sum[i] += (a[0][i] + a[1][i]) + (a[2][i] + a[3][i]);
      }
    }
    if (more) {
      panel_a.put(shared + next);
      panel_b.put(shared + next + PanelA::floats);
    }
    __syncthreads();
    now = buffer - now;
    next = buffer - next;
  }

#pragma unroll
  for (int i = 0; i < Tile::patch_m; ++i) {
#pragma unroll
    for (int j = 0; j < Tile::patch_n; ++j) shared[(i * Tile::patch_n + j) * part + threadIdx.x] = c[i][j];
  }
  float* const a_sums = shared + patch * part;  // [slices, tile.m]
  if (sum_a && thread_n == 0) {
#pragma unroll
    for (int i = 0; i < Tile::patch_m; ++i) a_sums[slice * Tile::m + thread_m * 4 + i] = a_sum[i];
  }
  __syncthreads();

  constexpr int quads = Tile::n / 4;
  const int first_row = threadIdx.x / quads, quad = threadIdx.x % quads;
#pragma unroll
  for (int down = 0; down < Tile::m; down += Tile::rows_apart) {
    const int r = first_row + down;
    if (Tile::rows_apart > Tile::m && r >= Tile::m) break;
    // Whose patch the four elements are in, and where there: the inverse of Panel::read.
    const int owner_m = along_a ? r % Tile::threads_m : r / 4, i = along_a ? r / Tile::threads_m : r % 4;
    const int owner_n = along_b ? quad * 4 % Tile::threads_n : quad % Tile::threads_n;
    const int j = along_b ? quad * 4 / Tile::threads_n : quad / Tile::threads_n * 4;
    const float* const from = shared + (i * Tile::patch_n + j) * part + owner_m * Tile::threads_n + owner_n;
    float sum[4] = {};
#pragma unroll
    for (int s = 0; s < Tile::slices; ++s) {
      const float* const f = from + s * Tile::threads_slice;
      if constexpr (along_b) {
        const float4 v = *reinterpret_cast<const float4*>(f);
        sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[e] += f[e * part];
      }
    }
    take(down, float4{sum[0], sum[1], sum[2], sum[3]});
  }
  if (sum_a && threadIdx.x < Tile::m && first_m + threadIdx.x < p.m) {
    float sum = 0.0f;
    for (int s = 0; s < Tile::slices; ++s) sum += a_sums[s * Tile::m + threadIdx.x];
    p.bias_grad[first_m + threadIdx.x] = sum;
  }
}

}  // namespace ganforge::dense
