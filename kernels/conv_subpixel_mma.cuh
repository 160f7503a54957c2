// The products of conv_subpixel.cuh on tensor cores, with TF32 or bfloat16 operands and float32 sums.
//
// A block computes a tile [m, n] of the result, or a part of its sums: where the tiles alone are too few for the card,
// several blocks share a tile's steps of k. Each then leaves its sums in the workspace, and the last one to finish adds
// all of them, in the order of the parts. Global → shared memory by cp.async, `stages` buffers, one barrier per step of
// k; mma_tile.cuh says how they are read. Results leave through shared memory as rows, 16 bytes per lane.
//
// Bytes: A is read (columns / n) times for each tap it is under, B (rows / m) times, from L2 but for the first; the
// result is written and bias and mask are read once; split sums are written and read once, by way of L2.
#pragma once

#include "kernels/conv_subpixel.cuh"
#include "kernels/mma_tile.cuh"
#include "src/core/cuda_check.h"

#include <algorithm>

namespace ganforge {
namespace {

/// A warp has a patch of warp_m × warp_n.
template <int m_, int n_, int warp_m_, int warp_n_, int stages_>
struct MmaTile {
  static constexpr int m = m_, n = n_, k = 32, warp_m = warp_m_, warp_n = warp_n_, stages = stages_;
  static constexpr int warps_m = m / warp_m, warps_n = n / warp_n, threads = 32 * warps_m * warps_n;
  static constexpr int panels = (m + n) * k;  // floats of a stage
  static constexpr int shared_bytes = 4 * (stages * panels > m * n ? stages * panels : m * n);
  /// Cycles of a multiprocessor per step: 1024 products each, and 16 floats from L2, not overlapped.
  static constexpr int cost = k * (m * n / 1024 + (m + n) / 16);
};
using LargeMma = MmaTile<128, 128, 64, 64, 3>;
using MediumMma = MmaTile<128, 64, 64, 32, 3>;
using SmallMma = MmaTile<64, 64, 32, 32, 4>;
using NarrowMma = MmaTile<128, 32, 32, 32, 4>;

/// f(Tile{}) for the tile of that number, which Subpixel::tile is.
#pragma nv_exec_check_disable
template <class F>
__host__ __device__ auto with_mma_tile(int tile, F f) {
  switch (tile) {
    case 0:
      return f(LargeMma{});
    case 1:
      return f(MediumMma{});
    case 2:
      return f(SmallMma{});
    default:
      return f(NarrowMma{});
  }
}
constexpr int mma_tiles = 4;

/// Chooses tile and splits for `times` products of [rows, columns] with sums over `depth`: the least number of waves of
/// blocks times the cycles of one, the larger tile if equal. Parts of less than eight steps are not worth their start.
inline void choose_mma_tile(const CudaStream& stream, std::int64_t times, std::int64_t rows, std::int64_t columns,
                            std::int64_t depth, Subpixel& s) {
  std::int64_t best = 0;
  for (int tile = 0; tile < mma_tiles; ++tile) {
    with_mma_tile(tile, [&]<class Tile>(Tile) {
      const std::int64_t steps = tiles(depth, Tile::k), blocks = times * tiles_of<Tile>(rows, columns);
      const std::int64_t most = std::max<std::int64_t>(1, std::min<std::int64_t>(steps / 8, 64));
      for (std::int64_t splits = 1; splits <= most; ++splits) {
        const std::int64_t waves = tiles(blocks * splits, stream.multiprocessors);
        const std::int64_t merge = splits == 1 ? 0 : 2000 + (splits + 1) * Tile::m * Tile::n / 16;
        const std::int64_t cost = waves * (tiles(steps, static_cast<int>(splits)) * Tile::cost + merge);
        if (best && cost >= best) continue;
        best = cost;
        s.tile = tile;
        s.splits = static_cast<int>(splits);
        s.tiles = static_cast<int>(blocks);
      }
    });
  }
}

/// Rows of a panel that are a fixed distance apart in global memory, 16 bytes per lane: along k [outer, k], else [k,
/// outer].
template <bool along_k, int outer, int threads>
class RowsPanel {
 public:
  static constexpr int depth = 32, floats = outer * depth;
  static constexpr int row_floats = along_k ? depth : outer, pieces = row_floats / 4;
  static constexpr int rows_apart = threads / pieces, copies = floats / 4 / threads;
  static_assert(threads % pieces == 0 && copies * 4 * threads == floats && rows_apart % (along_k ? 8 : 4) == 0);

  /// Of the thread's first row, and of its four floats.
  static __device__ int row() { return threadIdx.x / pieces; }
  static __device__ int column() { return threadIdx.x % pieces * 4; }
  /// Bytes to them; the rows that a thread fills are swizzled alike.
  static __device__ std::uint32_t place() {
    if constexpr (along_k) return 16 * mma::swizzled<pieces>(row(), column() / 4);
    return 16 * mma::swizzled_across<pieces>(row(), column() / 4);
  }
  /// `from` is the thread's first element, `apart` the distance of its rows, in bytes. Zeros if not `inside`.
  static __device__ void fetch(std::uint32_t to, const char* from, std::int64_t apart, bool inside = true) {
    mma::unrolled<copies>([&](auto i) {
      mma::copy_16<4 * i * rows_apart * row_floats>(to, from, inside);
      from += apart;
    });
  }
  /// So many rows, from the thread's first on, and columns, from its first on, are inside.
  static __device__ void fetch_edge(std::uint32_t to, const char* from, std::int64_t apart, int rows, int columns,
                                    bool vector) {
#pragma unroll 1
    for (int i = 0; i < copies; ++i, from += apart, to += 4 * rows_apart * row_floats) {
      const int inside = i * rows_apart < rows ? columns : 0;
      if (vector) {
        mma::copy_16(to, from, inside > 0);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) mma::copy_4(to + 4 * e, from + 4 * e, e < inside);
      }
    }
  }
};

// Operands (of the direction) walk over the steps of k of their part: `left` of them, fetch() starts the copies of the
// next. In blocks where sum_a() is true A's columns, which lie across k, are summed too. A thread gets the sums of four
// columns of every `rows_apart`-th row: they go to at_column(the first)(row, sums), rows and columns counted in the
// tile. False: another block has them.
template <class Tile, class Operands, bool bf16, class AtColumn>
__device__ bool multiply_tile(const SubpixelArgs& args, Operands& operands, int tile, int part,
                              const AtColumn& at_column) {
  using A = mma::FragmentsA<Operands::along_a, Tile::m, Tile::k, Tile::warp_m>;
  using B = mma::FragmentsB<Operands::along_b, Tile::n, Tile::k, Tile::warp_n>;
  extern __shared__ __align__(16) float shared[];
  const std::uint32_t base = mma::shared_address(shared);
  const int warp = threadIdx.x / 32;
  const int warp_m = warp % Tile::warps_m * Tile::warp_m, warp_n = warp / Tile::warps_m * Tile::warp_n;

  int unfetched = operands.left;
  const auto fetch = [&](int stage) {
    if (unfetched-- > 0) operands.fetch(base + 4 * stage * Tile::panels);
    mma::commit_copies();
  };
#pragma unroll 1
  for (int stage = 0; stage + 1 < Tile::stages; ++stage) fetch(stage);

  float c[A::count][B::count][4] = {}, a_sum = 0.0f;
  A a(warp_m, 0);
  B b(warp_n, 0);
  mma::Multiplier<bf16, A, B> multiplier;
  int now = 0, next = Tile::stages - 1;
  for (int left = operands.left; left > 0; --left) {
    mma::wait_copies<Tile::stages - 2>();
    __syncthreads();
    fetch(next);
    const std::uint32_t stage = base + 4 * now * Tile::panels;
    const std::uint32_t from_a = stage + a.lane_address, from_b = stage + 4 * Tile::m * Tile::k + b.lane_address;
    if (operands.sum_a() && threadIdx.x < Tile::m) {
      const float* const panel = shared + now * Tile::panels;
#pragma unroll 4
      for (int row = 0; row < Tile::k; ++row) {
        a_sum += panel[4 * mma::swizzled_across<Tile::m / 4>(row, threadIdx.x / 4) + threadIdx.x % 4];
      }
    }
    mma::unrolled<Tile::k / 8>([&](auto step) {
      a.template load<step>(from_a);
      b.template load<step>(from_b);
      multiplier.template multiply<step>(c, a, b);
    });
    now = now + 1 == Tile::stages ? 0 : now + 1;
    next = next + 1 == Tile::stages ? 0 : next + 1;
  }
  mma::wait_copies<0>();
  __syncthreads();
  mma::put_sums<Tile::n, A, B>(shared, warp_m, warp_n, c);
  const bool sum_a = operands.sum_a() && threadIdx.x<Tile::m, split = args.s.splits> 1;
  float* const a_sums = parts_of_a<Tile>(args, tile) + threadIdx.x;
  if (sum_a && split) a_sums[part * Tile::m] = a_sum;
  if (sum_a && !split) operands.put_a_sum(threadIdx.x, a_sum);
  operands.locate_rows();
  __syncthreads();

  constexpr int quads = Tile::n / 4, apart = Tile::m * quads, rows_apart = Tile::threads / quads;
  const int quad = threadIdx.x % quads, first_row = threadIdx.x / quads;
  const auto sum_of = [&](int row) {
    return *reinterpret_cast<const float4*>(shared + row * Tile::n + 4 * (quad ^ mma::turn<A, B>(row)));
  };
  float4* const all = parts_of<Tile>(args, tile) + quad;
  if (split) {
#pragma unroll 4
    for (int row = first_row; row < Tile::m; row += rows_apart) {
      __stwb(all + part * apart + row * quads, sum_of(row));
    }
    if (!last_block(args.at.tickets + tile, args.s.splits)) return false;
    if (sum_a) {
      float sum = 0.0f;
      for (int i = 0; i < args.s.splits; ++i) sum += __ldcg(a_sums + i * Tile::m);
      operands.put_a_sum(threadIdx.x, sum);
    }
  }
  const auto put = at_column(4 * quad);
#pragma unroll 2
  for (int row = first_row; row < Tile::m; row += rows_apart) {
    put(row, split ? sum_of_parts(args.s.splits, [&](int i) { return __ldcg(all + i * apart + row * quads); })
                   : sum_of(row));
  }
  return true;
}

}  // namespace
}  // namespace ganforge
