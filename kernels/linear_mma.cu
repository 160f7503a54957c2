// The fully connected layer's products on tensor cores, with TF32 or bfloat16 operands and float32 sums.
//
// Launches: one, for all products. Bytes: as in linear_fp32.cu. Global → shared memory by cp.async, `stages` buffers,
// operands in the order they have in global memory, one barrier per tile of k; mma_tile.cuh says how they are read. The
// tensor core drops the lower 13 bits of a TF32 operand; bfloat16 is rounded to nearest.
//
// The warps of a block share the tile's outputs out, and its steps of k where there is more than one slice; their sums
// are added in shared memory in the order of slices, and leave as rows of C, 16 bytes per lane.
#include "kernels/linear_product.cuh"
#include "kernels/mma_tile.cuh"
#include "src/core/cuda_check.h"

namespace ganforge::dense {
namespace {

/// A block computes [m, n] of C, `k` steps at a time; a warp a patch of warp_m × warp_n.
template <int m_, int n_, int k_, int warp_m_, int warp_n_, int slices_, int stages_>
struct MmaTile {
  static constexpr int m = m_, n = n_, k = k_, warp_m = warp_m_, warp_n = warp_n_, slices = slices_, stages = stages_;
  static constexpr int warps_m = m / warp_m, warps_n = n / warp_n, threads = 32 * warps_m * warps_n * slices;
  static constexpr int panels = (m + n) * k;  // floats of a stage
  static constexpr int merging = slices * m * n + slices * m;
  static constexpr int shared_bytes = 4 * (stages * panels > merging ? stages * panels : merging);
};
using SmallMma = MmaTile<32, 32, 64, 32, 32, 4, 4>;
using MediumMma = MmaTile<64, 64, 64, 32, 64, 2, 3>;
// 64 × 64 sums of a warp leave no registers for the pairs of bfloat16.
template <bool bf16>
using LargeMma = MmaTile<128, 128, 32, 64, bf16 ? 32 : 64, 1, 3>;

/// An operand's part of a tile: `outer` rows of A or B by `depth` steps of k.
template <bool along_k, int outer, int depth, int threads>
class Panel {
 public:
  static constexpr int floats = outer * depth;

  __device__ Panel(const float* data, std::int64_t outers, std::int64_t first_outer, std::int64_t ks, bool vector)
      : row_(threadIdx.x / pieces),
        column_(4 * (threadIdx.x % pieces)),
        outers_left_(outers - first_outer),
        vector_(vector),
        whole_(vector && outers_left_ >= outer) {
    const std::int64_t columns = along_k ? ks : outers;
    from_ = reinterpret_cast<const char*>(data + (along_k ? first_outer * ks : first_outer) + row_ * columns + column_);
    apart_ = 4 * rows_apart * columns;
    next_ = 4 * (along_k ? depth : depth * columns);
    // The rows that a thread fills are swizzled alike.
    static_assert(rows_apart % (along_k ? 8 : 4) == 0);
    const int piece = column_ / 4;
    to_ = 16 * (along_k ? mma::swizzled<pieces>(row_, piece) : mma::swizzled_across<across>(row_, piece));
  }

  /// All of `outer` are there, and aligned to 16 bytes.
  __device__ bool whole() const { return whole_; }

  /// Starts the copies of the next `depth` steps of k of a whole panel.
  __device__ void fetch(std::uint32_t shared) {
    const char* from = from_;
    const std::uint32_t to = shared + to_;
    mma::unrolled<copies>([&](auto i) {
      mma::copy_16<4 * i * rows_apart * row_floats>(to, from);
      from += apart_;
    });
    from_ += next_;
  }

  /// Likewise, with zeros beyond the operand's edges; `ks` steps of k are left.
  __device__ void fetch_edge(std::uint32_t shared, std::int64_t ks) {
    const char* from = from_;
    const std::int64_t rows = along_k ? outers_left_ : ks, columns = along_k ? ks : outers_left_;
#pragma unroll 1
    for (int i = 0; i < copies; ++i, from += apart_) {
      const bool row_inside = row_ + i * rows_apart < rows;
      const std::uint32_t to = shared + to_ + 4 * i * rows_apart * row_floats;
      if (vector_) {
        mma::copy_16(to, from, row_inside && column_ < columns);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) mma::copy_4(to + 4 * e, from + 4 * e, row_inside && column_ + e < columns);
      }
    }
    from_ += next_;
  }

 private:
  static constexpr int row_floats = along_k ? depth : outer, pieces = row_floats / 4, across = along_k ? 8 : pieces;
  static constexpr int rows_apart = threads / pieces, copies = floats / 4 / threads;
  static_assert(threads % pieces == 0 && copies * 4 * threads == floats);

  int row_, column_;  // the thread's first row of the panel, and its columns
  std::int64_t outers_left_;
  bool vector_, whole_;
  const char* from_;  // of the first row; the thread's rows are apart_ bytes apart, tiles of k next_
  std::int64_t apart_, next_;
  std::uint32_t to_;
};

template <Direction direction, class Tile, bool bf16>
__global__ void __launch_bounds__(Tile::threads) linear_mma_kernel(const __grid_constant__ Products products) {
  constexpr bool along_a = a_along_k(direction), along_b = b_along_k(direction);
  using PanelA = Panel<along_a, Tile::m, Tile::k, Tile::threads>;
  using PanelB = Panel<along_b, Tile::n, Tile::k, Tile::threads>;
  using A = mma::FragmentsA<along_a, Tile::m, Tile::k, Tile::warp_m>;
  using B = mma::FragmentsB<along_b, Tile::n, Tile::k, Tile::warp_n>;
  constexpr int steps = Tile::k / 8 / Tile::slices;
  extern __shared__ __align__(16) float shared[];
  std::uint32_t base = mma::shared_address(shared);
  mma::hold(base);

  const Product& p = product_of_block(products);
  const unsigned tile = blockIdx.x - p.first_tile;
  const std::int64_t first_m = std::int64_t(tile / p.tiles_n) * Tile::m,
                     first_n = std::int64_t(tile % p.tiles_n) * Tile::n;
  const int warp = threadIdx.x / 32;
  const int warp_m = warp % Tile::warps_m * Tile::warp_m, warp_n = warp / Tile::warps_m % Tile::warps_n * Tile::warp_n;
  const int slice = warp / (Tile::warps_m * Tile::warps_n);
  const bool sum_a = direction == Direction::weight_grad && p.bias_grad && first_n == 0 && warp_n == 0;

  PanelA panel_a(p.a, p.m, first_m, p.k, p.vector_a);
  PanelB panel_b(p.b, p.n, first_n, p.k, p.vector_b);
  const bool whole = panel_a.whole() && panel_b.whole();
  constexpr int stage_bytes = 4 * Tile::panels, ahead = (Tile::stages - 1) * Tile::k;  // steps of k on their way
  const std::uint32_t end = base + Tile::stages * stage_bytes;
  const auto fetch = [&](std::uint32_t stage, std::int64_t ks) {
    if (whole && ks >= Tile::k) {
      panel_a.fetch(stage);
      panel_b.fetch(stage + 4 * PanelA::floats);
    } else if (ks > 0) {
      panel_a.fetch_edge(stage, ks);
      panel_b.fetch_edge(stage + 4 * PanelA::floats, ks);
    }
    mma::commit_copies();
  };
#pragma unroll 1
  for (int stage = 0; stage + 1 < Tile::stages; ++stage) fetch(base + stage * stage_bytes, p.k - stage * Tile::k);

  float c[A::count][B::count][4] = {}, a_sum[A::count][2] = {};
  A a(warp_m, slice * steps);
  B b(warp_n, slice * steps);
  mma::Multiplier<bf16, A, B> multiplier;
  std::uint32_t now = base, free = end - stage_bytes;
  for (std::int64_t left = p.k; left > 0; left -= Tile::k) {
    mma::wait_copies<Tile::stages - 2>();
    __syncthreads();
    fetch(free, left - ahead);
    const std::uint32_t from_a = now + a.lane_address, from_b = now + 4 * PanelA::floats + b.lane_address;
    mma::unrolled<steps>([&](auto step) {
      a.template load<step>(from_a);
      b.template load<step>(from_b);
      if (sum_a) {
#pragma unroll
        for (int i = 0; i < A::count; ++i) {
          a_sum[i][0] += __uint_as_float(a.at[i][0]) + __uint_as_float(a.at[i][2]);
          a_sum[i][1] += __uint_as_float(a.at[i][1]) + __uint_as_float(a.at[i][3]);
        }
      }
      multiplier.template multiply<step>(c, a, b);
    });
    free = now;
    now += stage_bytes;
    if (now == end) now = base;
  }

  mma::wait_copies<0>();
  __syncthreads();
  mma::put_sums<Tile::n, A, B>(shared + slice * Tile::m * Tile::n, warp_m, warp_n, c);
  float* const a_sums = shared + Tile::slices * Tile::m * Tile::n;  // [slices, tile.m]
  if (sum_a) {
#pragma unroll
    for (int i = 0; i < A::count; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum = a_sum[i][half];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (threadIdx.x % 4 == 0) a_sums[slice * Tile::m + warp_m + A::row(i, half)] = sum;
      }
    }
  }
  __syncthreads();

  constexpr int quads = Tile::n / 4;
  static_assert(Tile::threads % quads == 0);
  const int first_row = threadIdx.x / quads, quad = threadIdx.x % quads;
  QuadWriter<direction> writer(p, first_m + first_row, first_n + 4 * quad);
#pragma unroll
  for (int down = 0; down < Tile::m; down += Tile::threads / quads) {
    const int row = first_row + down;
    const float* const from = shared + row * Tile::n + 4 * (quad ^ mma::turn<A, B>(row));
    float4 sum = *reinterpret_cast<const float4*>(from);
#pragma unroll
    for (int s = 1; s < Tile::slices; ++s) {
      const float4 v = *reinterpret_cast<const float4*>(from + s * Tile::m * Tile::n);
      sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
    }
    writer.write(down, sum);
  }
  if (direction == Direction::weight_grad && p.bias_grad && first_n == 0) {
    for (int row = threadIdx.x; row < Tile::m; row += Tile::threads) {
      if (first_m + row >= p.m) break;
      float sum = 0.0f;
      for (int s = 0; s < Tile::slices; ++s) sum += a_sums[s * Tile::m + row];
      p.bias_grad[first_m + row] = sum;
    }
  }
}

template <Direction direction, class Tile, bool bf16>
void launch(const CudaStream& stream, Products& products) {
  const unsigned grid = number_tiles<Tile>(products);
  const auto kernel = linear_mma_kernel<direction, Tile, bf16>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::shared_bytes),
             "linear_mma_kernel: shared memory");
  kernel<<<grid, Tile::threads, Tile::shared_bytes, static_cast<cudaStream_t>(stream.stream)>>>(products);
  check_launch("linear_mma_kernel");
}

constexpr int products_per_cycle = 1024;

/// Picks the tile with the least cost, of equal ones the larger: it reads less.
template <Direction direction, bool bf16>
void launch(const CudaStream& stream, Products& products) {
  const std::int64_t small = cost<SmallMma>(stream, products, products_per_cycle),
                     medium = cost<MediumMma>(stream, products, products_per_cycle),
                     large = cost<LargeMma<bf16>>(stream, products, products_per_cycle);
  if (large <= small && large <= medium) return launch<direction, LargeMma<bf16>, bf16>(stream, products);
  if (medium <= small) return launch<direction, MediumMma, bf16>(stream, products);
  launch<direction, SmallMma, bf16>(stream, products);
}

template <Direction direction>
void launch(const CudaStream& stream, Products& products) {
  if (stream.precision == Precision::bf16) return launch<direction, true>(stream, products);
  launch<direction, false>(stream, products);
}

}  // namespace

void launch_mma(const CudaStream& stream, Direction direction, Products& products) {
  if (direction == Direction::forward) return launch<Direction::forward>(stream, products);
  if (direction == Direction::input_grad) return launch<Direction::input_grad>(stream, products);
  launch<Direction::weight_grad>(stream, products);
}

}  // namespace ganforge::dense
