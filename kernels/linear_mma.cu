// The fully connected layer's products on tensor cores, with TF32 or bfloat16 operands and float32 sums.
//
// Launches: one, for all products. Bytes: as in linear_fp32.cu. Global → shared memory by cp.async, `stages` buffers,
// operands in the order they have in global memory, one barrier per tile of k. Both are read 16 bytes per lane without
// bank conflicts, thanks to swizzled places: along k by ldmatrix, whose 8 × 4 matrices are fragments of the TF32
// product; across k as quads of neighbouring m or n at one k, whose four elements go to four rows (A) or columns (B) of
// fragments: a permutation of C within the warp's patch, which the epilogue undoes. bfloat16 pairs k with k + 4, in
// both operands alike. The tensor core drops the lower 13 bits of a TF32 operand; bfloat16 is rounded to nearest.
//
// The warps of a block share the tile's outputs out, and its steps of k where there is more than one slice; their sums
// are added in shared memory in the order of slices, and leave as rows of C, 16 bytes per lane.
#include "kernels/linear_product.cuh"
#include "kernels/mma.cuh"
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
      : columns_(along_k ? ks : outers), vector_(vector) {
    const int row = threadIdx.x / pieces, piece = threadIdx.x % pieces;
    const std::int64_t first_row = row + (along_k ? first_outer : 0);
    column_ = 4 * piece + (along_k ? 0 : first_outer);
    rows_left_ = (along_k ? outers : ks) - first_row;
    full_ = first_outer + outer <= outers;
    from_ = reinterpret_cast<const char*>(data + first_row * columns_ + column_);
    apart_ = 4 * rows_apart * columns_;
    // The rows that a thread fills are swizzled alike.
    static_assert(rows_apart % (along_k ? 8 : 4) == 0);
    to_ = 16 * (along_k ? mma::swizzled<pieces>(row, piece) : mma::swizzled_across<across>(row, piece));
  }

  /// Starts the copies of the next `depth` steps of k, zeros beyond the operand's edges; `ks` of them are left.
  __device__ void fetch(std::uint32_t shared, std::int64_t ks) {
    if (vector_ && full_ && ks >= depth) {
      const char* from = from_;
      const std::uint32_t to = shared + to_;
      mma::unrolled<copies>([&](auto i) {
        mma::copy_16<4 * i * rows_apart * row_floats>(to, from);
        from += apart_;
      });
    } else {
      fetch_edge(shared);
    }
    from_ += 4 * (along_k ? depth : depth * columns_);
    if (along_k) column_ += depth;
    if (!along_k) rows_left_ -= depth;
  }

 private:
  static constexpr int row_floats = along_k ? depth : outer, pieces = row_floats / 4, across = along_k ? 8 : pieces;
  static constexpr int rows_apart = threads / pieces, copies = floats / 4 / threads;
  static_assert(threads % pieces == 0 && copies * 4 * threads == floats);

  __device__ void fetch_edge(std::uint32_t shared) const {
    const char* from = from_;
#pragma unroll 1
    for (int i = 0; i < copies; ++i, from += apart_) {
      const bool row_inside = i * rows_apart < rows_left_;
      const std::uint32_t to = shared + to_ + 4 * i * rows_apart * row_floats;
      if (vector_) {
        mma::copy_16(to, from, row_inside && column_ < columns_);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) mma::copy_4(to + 4 * e, from + 4 * e, row_inside && column_ + e < columns_);
      }
    }
  }

  std::int64_t columns_, column_, rows_left_, apart_;
  const char* from_;  // of the thread's first row; its rows are apart_ bytes apart
  std::uint32_t to_;
  bool vector_, full_;
};

/// A warp's rows of A at eight steps of k, as fragments. `first_step` is the slice's first eight.
template <bool along_k, int outer, int depth, int patch>
struct FragmentsA {
  static constexpr int count = patch / 16;
  std::uint32_t at[count][4];
  std::uint32_t lane_address, lane_swizzle;

  __device__ FragmentsA(int first_row, int first_step) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    if constexpr (along_k) {
      lane_address = 4 * depth * (first_row + lane % 16);
      lane_swizzle = 16 * ((lane / 16) ^ (lane % 8) ^ (2 * first_step));
    } else {
      lane_address = 4 * (outer * (8 * first_step + t) + first_row) + 16 * (g ^ (2 * t));
    }
  }
  /// `panel` is the address of the lane's part (lane_address) in this stage.
  template <int step>
  __device__ void load(std::uint32_t panel) {
    if constexpr (along_k) {
      const std::uint32_t row = panel + (lane_swizzle ^ (32 * step));
      mma::unrolled<count>([&](auto i) { mma::load_matrices<4 * 16 * depth * i>(at[i], row); });
    } else {
      mma::unrolled<count / 2>([&](auto half) {
        constexpr int i = 2 * half, offset = 4 * 8 * outer * step + 64 * i;
        const uint4 u = mma::load_quad<offset>(panel), v = mma::load_quad<offset + 4 * 4 * outer>(panel);
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
template <bool along_k, int outer, int depth, int patch>
struct FragmentsB {
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
  }
  template <int step>
  __device__ void load(std::uint32_t panel) {
    if constexpr (along_k) {
      const std::uint32_t row = panel + (lane_swizzle ^ (32 * step));
      mma::unrolled<count / 2>([&](auto half) {
        constexpr int j = 2 * half;
        std::uint32_t v[4];
        mma::load_matrices<4 * 8 * depth * j>(v, row);
        at[j][0] = v[0], at[j][1] = v[1], at[j + 1][0] = v[2], at[j + 1][1] = v[3];
      });
    } else {
      mma::unrolled<count / 4>([&](auto quarter) {
        constexpr int j = 4 * quarter, offset = 4 * 8 * outer * step + 32 * j;
        const uint4 u = mma::load_quad<offset>(panel), v = mma::load_quad<offset + 4 * 4 * outer>(panel);
        at[j][0] = u.x, at[j + 1][0] = u.y, at[j + 2][0] = u.z, at[j + 3][0] = u.w;
        at[j][1] = v.x, at[j + 1][1] = v.y, at[j + 2][1] = v.z, at[j + 3][1] = v.w;
      });
    }
  }
};

/// Puts a warp's sums into [rows, row_floats] of shared memory, 8 (B along k) or 16 bytes per lane. Pieces of a row are
/// permuted by `turn`, so that the rows of a store fall on different banks.
template <Direction direction, int row_floats, class A, class B>
__device__ void put_sums(float* shared, int first_m, int first_n, const float (&c)[A::count][B::count][4]) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int i = 0; i < A::count; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* const row = shared + (first_m + A::row(i, half)) * row_floats;
      if constexpr (b_along_k(direction)) {
#pragma unroll
        for (int j = 0; j < B::count; ++j) {
          const int piece = ((first_n + 8 * j) / 4 + t / 2) ^ (2 * (g & 3));
          store_shared(row + 4 * piece + 2 * (t % 2), float2{c[i][j][2 * half], c[i][j][2 * half + 1]});
        }
      } else {
#pragma unroll
        for (int j = 0; j < B::count; j += 4) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int piece = (first_n + 8 * j) / 4 + ((2 * t + e) ^ (g & 1));
            store_shared(row + 4 * piece, float4{c[i][j][2 * half + e], c[i][j + 1][2 * half + e],
                                                 c[i][j + 2][2 * half + e], c[i][j + 3][2 * half + e]});
          }
        }
      }
    }
  }
}

/// The permutation of put_sums, from the row.
template <Direction direction>
__device__ int turn(int row) {
  return b_along_k(direction) ? 2 * (row & 3) : a_along_k(direction) ? row & 1 : row >> 2 & 1;
}

template <Direction direction, class Tile, bool bf16>
__global__ void __launch_bounds__(Tile::threads) linear_mma_kernel(const __grid_constant__ Products products) {
  constexpr bool along_a = a_along_k(direction), along_b = b_along_k(direction);
  using PanelA = Panel<along_a, Tile::m, Tile::k, Tile::threads>;
  using PanelB = Panel<along_b, Tile::n, Tile::k, Tile::threads>;
  using A = FragmentsA<along_a, Tile::m, Tile::k, Tile::warp_m>;
  using B = FragmentsB<along_b, Tile::n, Tile::k, Tile::warp_n>;
  constexpr int steps = Tile::k / 8 / Tile::slices;
  extern __shared__ __align__(16) float shared[];
  const std::uint32_t base = mma::shared_address(shared);

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
  std::int64_t unfetched = p.k;
  const auto fetch = [&](int stage) {
    if (unfetched > 0) {
      panel_a.fetch(base + 4 * stage * Tile::panels, unfetched);
      panel_b.fetch(base + 4 * stage * Tile::panels + 4 * PanelA::floats, unfetched);
      unfetched -= Tile::k;
    }
    mma::commit_copies();
  };
#pragma unroll 1
  for (int stage = 0; stage + 1 < Tile::stages; ++stage) fetch(stage);

  float c[A::count][B::count][4] = {}, a_sum[A::count][2] = {};
  A a(warp_m, slice * steps);
  B b(warp_n, slice * steps);
  int now = 0, next = Tile::stages - 1;
  for (auto left = (p.k + Tile::k - 1) / Tile::k; left > 0; --left) {
    mma::wait_copies<Tile::stages - 2>();
    __syncthreads();
    fetch(next);
    const std::uint32_t stage = base + 4 * now * Tile::panels;
    const std::uint32_t from_a = stage + a.lane_address, from_b = stage + 4 * PanelA::floats + b.lane_address;
    std::uint32_t pairs_a[A::count][4], pairs_b[B::count][2];  // bfloat16: of two steps
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
      if constexpr (bf16) {
        const auto pair = [](std::uint32_t u, std::uint32_t v) {
          return mma::to_bf16(__uint_as_float(u), __uint_as_float(v));
        };
        constexpr int to = step % 2;
#pragma unroll
        for (int i = 0; i < A::count; ++i) {
          pairs_a[i][2 * to] = pair(a.at[i][0], a.at[i][2]);
          pairs_a[i][2 * to + 1] = pair(a.at[i][1], a.at[i][3]);
        }
#pragma unroll
        for (int j = 0; j < B::count; ++j) pairs_b[j][to] = pair(b.at[j][0], b.at[j][1]);
      }
      if constexpr (!bf16 || step % 2 == 1) {
#pragma unroll
        for (int i = 0; i < A::count; ++i) {
#pragma unroll
          for (int j = 0; j < B::count; ++j) {
            if constexpr (bf16) {
              mma::multiply_bf16(c[i][j], pairs_a[i], pairs_b[j]);
            } else {
              mma::multiply_tf32(c[i][j], a.at[i], b.at[j]);
            }
          }
        }
      }
    });
    now = now + 1 == Tile::stages ? 0 : now + 1;
    next = next + 1 == Tile::stages ? 0 : next + 1;
  }

  mma::wait_copies<0>();
  __syncthreads();
  put_sums<direction, Tile::n, A, B>(shared + slice * Tile::m * Tile::n, warp_m, warp_n, c);
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
    const float* const from = shared + row * Tile::n + 4 * (quad ^ turn<direction>(row));
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
