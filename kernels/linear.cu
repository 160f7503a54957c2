// The three directions of the fully connected layer are one matrix product C[m, n] = Σ_k A(m, k)·B(n, k) that reads its
// operands along k or across it:
//
//   forward       y  [rows, out]   A = x   along k    B = w  along k     k = in
//   input grad    dx [rows, in]    A = dz  along k    B = w  across k    k = out
//   weight grad   dw [out, in]     A = dz  across k   B = x  across k    k = rows
//
// Layers of GANs are small: 128 × 128 outputs are four tiles of 64 × 64 on a card with 132 multiprocessors. Hence three
// tile sizes, the smaller ones with their k range split among the threads of a block ("slices") and merged in shared
// memory in the order of slices: enough blocks and threads without a second launch, a workspace or atomics.
// Products and sums are exact float32 (FFMA), whose order depends on the shapes and the number of multiprocessors
// alone.
#include "kernels/activate.h"
#include "kernels/linear.h"
#include "kernels/linear_one.cuh"
#include "src/core/cuda_check.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>

namespace ganforge {
namespace {

enum class Direction { forward, input_grad, weight_grad };

/// One matrix product. `bias` is [n], `mask` [m, n], `bias_grad` [m]; each may be null.
struct Product {
  const float* a = nullptr;
  const float* b = nullptr;
  float* c = nullptr;
  const float* bias = nullptr;
  const float* mask = nullptr;
  float* bias_grad = nullptr;
  std::int64_t m = 0, n = 0, k = 0;
  Activation::Kind act = Activation::Kind::none;
  float slope = 0.0f;
  bool vector_a = false, vector_b = false, vector_c = false;  // 16-byte accesses are aligned
  unsigned tiles_n = 0, first_tile = 0;                       // of the grid; row by row of C
};

struct Products {
  Product at[max_linear_group];
  int count = 0;
};

/// A block computes [m, n] of C from [m, k] and [n, k] of the operands. A thread has a patch of patch_m × patch_n.
template <int m_, int n_, int k_, int patch_m_, int patch_n_, int slices_>
struct Tile {
  static constexpr int m = m_, n = n_, k = k_, patch_m = patch_m_, patch_n = patch_n_, slices = slices_;
  static constexpr int threads_m = m / patch_m, threads_n = n / patch_n, threads_slice = threads_m * threads_n;
  static constexpr int threads = threads_slice * slices;
};
using SmallTile = Tile<16, 16, 128, 4, 4, 8>;
using MediumTile = Tile<32, 32, 64, 4, 4, 4>;
using LargeTile = Tile<64, 64, 32, 4, 8, 2>;

// Plain assignments of float4 become four stores, with bank conflicts, where the compiler loses sight of the alignment.
__device__ inline void store_shared(float* to, float4 v) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
               : "memory");
}

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
#pragma unroll
      for (int i = 0; i < patch; ++i) {
        const float4 v = *reinterpret_cast<const float4*>(shared + (thread + i * threads_outer) * row + k);
        to[0][i] = v.x, to[1][i] = v.y, to[2][i] = v.z, to[3][i] = v.w;
      }
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int i = 0; i < patch; i += 4) {
          const float4 v = *reinterpret_cast<const float4*>(shared + (k + j) * row + i * threads_outer + thread * 4);
          to[j][i] = v.x, to[j][i + 1] = v.y, to[j][i + 2] = v.z, to[j][i + 3] = v.w;
        }
      }
    }
  }
};

/// `extra` is the bias (forward, 0 if there is none) or the activation's output (input grad with a mask).
template <Direction direction>
__device__ float finish(const Product& p, float sum, float extra) {
  if constexpr (direction == Direction::forward) return activate(p.act, p.slope, sum + extra);
  if constexpr (direction == Direction::input_grad) return p.mask ? sum * activation_grad(p.act, p.slope, extra) : sum;
  return sum;
}

// Launches: one, for all products. Bytes: A is read n / tile.n times, B m / tile.m times (from L2 but for the first),
// C written once; bias, mask once. The bias gradient costs no bytes: the blocks of the first column of tiles take it
// from the patches of A that they hold for the product.
//
// Global memory → registers → shared memory, two buffers: while a tile of k is computed, the next one is on its way;
// one barrier per tile. All accesses to shared memory move 16 bytes without bank conflicts, both operands in the order
// they have in global memory; four steps of k of a 4 × 4 patch are 8 loads for 64 FFMA. Slice s takes the s-th four
// steps of each tile, then every `slices`-th. At the end the patches meet in shared memory, element by element of a
// patch, `part` floats apart, where the padding frees both sides of bank conflicts, and leave as rows of C, 16 bytes
// each.
template <Direction direction, class Tile>
__global__ void __launch_bounds__(Tile::threads) linear_kernel(const __grid_constant__ Products products) {
  constexpr bool a_along_k = direction != Direction::weight_grad, b_along_k = direction == Direction::forward;
  using PanelA = Panel<a_along_k, Tile::m, Tile::k, Tile::threads>;
  using PanelB = Panel<b_along_k, Tile::n, Tile::k, Tile::threads>;
  constexpr int part = Tile::threads + (b_along_k ? 8 : a_along_k ? 4 : 2);
  constexpr int patch = Tile::patch_m * Tile::patch_n;
  constexpr int buffer = PanelA::floats + PanelB::floats;
  constexpr int merging = patch * part + Tile::slices * Tile::m;
  __shared__ __align__(16) float shared[2 * buffer > merging ? 2 * buffer : merging];

  int which = 0;
  while (which + 1 < products.count && blockIdx.x >= products.at[which + 1].first_tile) ++which;
  const Product& p = products.at[which];
  const unsigned tile = blockIdx.x - p.first_tile;
  const std::int64_t first_m = std::int64_t(tile / p.tiles_n) * Tile::m,
                     first_n = std::int64_t(tile % p.tiles_n) * Tile::n;
  const int slice = threadIdx.x / Tile::threads_slice;
  const int thread_m = threadIdx.x % Tile::threads_slice / Tile::threads_n, thread_n = threadIdx.x % Tile::threads_n;
  const bool sum_a = direction == Direction::weight_grad && p.bias_grad && first_n == 0;

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
#pragma unroll
      for (int kk = 0; kk < 4; ++kk) {
#pragma unroll
        for (int i = 0; i < Tile::patch_m; ++i) {
#pragma unroll
          for (int j = 0; j < Tile::patch_n; ++j) c[i][j] = fmaf(a[kk][i], b[kk][j], c[i][j]);
        }
      }
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

  for (int index = threadIdx.x; index < Tile::m * Tile::n / 4; index += Tile::threads) {
    const int r = index / (Tile::n / 4), quad = index % (Tile::n / 4);
    // Whose patch the four elements are in, and where there: the inverse of Panel::read.
    const int owner_m = a_along_k ? r % Tile::threads_m : r / 4, i = a_along_k ? r / Tile::threads_m : r % 4;
    const int owner_n = b_along_k ? quad * 4 % Tile::threads_n : quad % Tile::threads_n;
    const int j = b_along_k ? quad * 4 / Tile::threads_n : quad / Tile::threads_n * 4;
    const float* const from = shared + (i * Tile::patch_n + j) * part + owner_m * Tile::threads_n + owner_n;
    float sum[4] = {};
#pragma unroll
    for (int s = 0; s < Tile::slices; ++s) {
      const float* const f = from + s * Tile::threads_slice;
      if constexpr (b_along_k) {
        const float4 v = *reinterpret_cast<const float4*>(f);
        sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[e] += f[e * part];
      }
    }
    const std::int64_t row = first_m + r, column = first_n + quad * 4;
    if (row >= p.m || column >= p.n) continue;
    const float* extras = nullptr;
    if (direction == Direction::forward && p.bias) extras = p.bias + column;
    if (direction == Direction::input_grad && p.mask) extras = p.mask + row * p.n + column;
    float* const to = p.c + row * p.n + column;
    if (p.vector_c) {
      const float4 extra = extras ? *reinterpret_cast<const float4*>(extras) : float4{};
      const float4 v = {finish<direction>(p, sum[0], extra.x), finish<direction>(p, sum[1], extra.y),
                        finish<direction>(p, sum[2], extra.z), finish<direction>(p, sum[3], extra.w)};
      __stwb(reinterpret_cast<float4*>(to), v);
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (column + e < p.n) to[e] = finish<direction>(p, sum[e], extras ? extras[e] : 0.0f);
      }
    }
  }
  if (sum_a && threadIdx.x < Tile::m && first_m + threadIdx.x < p.m) {
    float sum = 0.0f;
    for (int s = 0; s < Tile::slices; ++s) sum += a_sums[s * Tile::m + threadIdx.x];
    p.bias_grad[first_m + threadIdx.x] = sum;
  }
}

/// True if rows of `columns` floats can be moved 16 bytes at a time. Null is as good as aligned.
bool vectors(std::int64_t columns, std::initializer_list<const float*> arrays) {
  return columns % 4 == 0 && std::all_of(arrays.begin(), arrays.end(), [](const float* array) {
           return reinterpret_cast<std::uintptr_t>(array) % 16 == 0;
         });
}

std::int64_t blocks(std::int64_t extent, int tile) {
  return (extent + tile - 1) / tile;
}

template <class Tile>
std::int64_t tiles(const Products& products) {
  std::int64_t sum = 0;
  for (const Product& p : std::span(products.at, products.count)) sum += blocks(p.m, Tile::m) * blocks(p.n, Tile::n);
  return sum;
}

/// Waves of blocks times the cycles that a multiprocessor needs per step of k: FFMA at 128 and loads from L2 at 16
/// floats per cycle, not overlapped.
template <class Tile>
std::int64_t cost(const CudaStream& stream, const Products& products) {
  return blocks(tiles<Tile>(products), stream.multiprocessors) * (Tile::m * Tile::n / 128 + (Tile::m + Tile::n) / 16);
}

template <Direction direction, class Tile>
void launch(const CudaStream& stream, Products& products) {
  if (tiles<Tile>(products) > std::numeric_limits<int>::max()) throw DeviceError("linear: too large for one launch");
  unsigned grid = 0;
  for (Product& p : std::span(products.at, products.count)) {
    p.tiles_n = static_cast<unsigned>(blocks(p.n, Tile::n));
    p.first_tile = grid;
    grid += p.tiles_n * static_cast<unsigned>(blocks(p.m, Tile::m));
  }
  linear_kernel<direction, Tile><<<grid, Tile::threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(products);
  check_launch("linear_kernel");
}

/// Picks the tile with the least cost, of equal ones the larger: it reads less.
template <Direction direction>
void launch(const CudaStream& stream, Products& products) {
  if (products.count == 0) return;
  const std::int64_t small = cost<SmallTile>(stream, products), medium = cost<MediumTile>(stream, products),
                     large = cost<LargeTile>(stream, products);
  if (large <= small && large <= medium) return launch<direction, LargeTile>(stream, products);
  if (medium <= small) return launch<direction, MediumTile>(stream, products);
  launch<direction, SmallTile>(stream, products);
}

}  // namespace

void linear(const CudaStream& stream, const LinearArgs& p) {
  if (p.rows == 0 || p.out == 0) return;
  if (p.out == 1) {
    linear_to_one_kernel<<<row_blocks(p.rows), 32 * warps_per_block, 0, static_cast<cudaStream_t>(stream.stream)>>>(
        p, vectors(p.in, {p.x, p.w}));
    return check_launch("linear_to_one_kernel");
  }
  Products products;
  products.count = 1;
  products.at[0] = {.a = p.x,
                    .b = p.w,
                    .c = p.y,
                    .bias = p.b,
                    .m = p.rows,
                    .n = p.out,
                    .k = p.in,
                    .act = p.act.kind,
                    .slope = p.act.negative_slope,
                    .vector_a = vectors(p.in, {p.x}),
                    .vector_b = vectors(p.in, {p.w}),
                    .vector_c = vectors(p.out, {p.b, p.y})};
  launch<Direction::forward>(stream, products);
}

void linear_input_grad(const CudaStream& stream, const LinearInputGradArgs& p) {
  if (p.rows == 0 || p.in == 0) return;
  if (p.out == 1) {
    linear_from_one_kernel<<<row_blocks(p.rows), 32 * warps_per_block, 0, static_cast<cudaStream_t>(stream.stream)>>>(
        p, vectors(p.in, {p.w, p.y, p.dx}));
    return check_launch("linear_from_one_kernel");
  }
  Products products;
  products.count = 1;
  products.at[0] = {.a = p.dz,
                    .b = p.w,
                    .c = p.dx,
                    .mask = p.y,
                    .m = p.rows,
                    .n = p.in,
                    .k = p.out,
                    .act = p.act.kind,
                    .slope = p.act.negative_slope,
                    .vector_a = vectors(p.out, {p.dz}),
                    .vector_b = vectors(p.in, {p.w}),
                    .vector_c = vectors(p.in, {p.y, p.dx})};
  launch<Direction::input_grad>(stream, products);
}

void linear_weight_grad(const CudaStream& stream, std::span<const LinearWeightGradArgs> layers) {
  Products products;
  for (const LinearWeightGradArgs& p : layers) {
    if (p.in == 0 || p.out == 0) continue;
    products.at[products.count++] = {.a = p.dz,
                                     .b = p.x,
                                     .c = p.dw,
                                     .bias_grad = p.db,
                                     .m = p.out,
                                     .n = p.in,
                                     .k = p.rows,
                                     .vector_a = vectors(p.out, {p.dz}),
                                     .vector_b = vectors(p.in, {p.x}),
                                     .vector_c = vectors(p.in, {p.dw})};
    if (products.count == max_linear_group) {
      launch<Direction::weight_grad>(stream, products);
      products = {};
    }
  }
  launch<Direction::weight_grad>(stream, products);
}

}  // namespace ganforge
