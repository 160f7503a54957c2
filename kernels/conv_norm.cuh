// Batch normalisation in the launch of the sub-pixel convolution before it (conv_subpixel.cuh), and its gradient in
// that of the convolution that makes dy.
//
// One cooperative launch: blocks that are all resident make tile after tile, of which the last stays in shared memory.
//   forward   A tile is written as h, and of each of its channels and groups (mean, M2) go to the workspace. Behind a
//             barrier over the grid, blocks merge them in the order of the tiles (batch_norm_merge.cuh), 8 channels
//             each; behind another, every block normalises its tiles.
//             Bytes: the convolution's, y written once, h read once but for a tile of each block.
//   gradient  A tile is dy. With h, which is read for it, it becomes dz = dy·act′; Σ dz and Σ dz·(h − mean) go to the
//             workspace and are merged likewise; then the blocks make dx of their tiles.
//             Bytes: the convolution's, dx in place of its result, h read twice; but for a tile of each block, dz is
//             written and read once.
// Alone, the two kernels read what lies between them once more, and are one launch more. A thread has four columns of
// every `lanes`-th row of a tile.
#pragma once

#include "kernels/activate.h"
#include "kernels/batch_norm_merge.cuh"
#include "kernels/conv_norm.h"
#include "kernels/conv_subpixel.cuh"
#include "src/core/cuda_check.h"

#include <cooperative_groups.h>

#include <algorithm>

namespace ganforge {

/// What the kernels take.
template <class Norm>
struct ConvNormArgs {
  SubpixelArgs conv;
  Norm norm;
  float* partial;  // [groups, slices, 2, channels]
  float* slopes;   // gradient: [groups, 2, channels]; dx is scale·(dz − slopes₀ − (h − mean)·slopes₁)
  int slices;
};

// One launch, in the precision of the stream; conv_norm_fp32.cu, conv_norm_mma.cu, conv_norm_mma_grad.cu.
void launch_conv_norm_fp32(const CudaStream&, ConvDirection, const ConvNormArgs<BatchNormArgs>&);
void launch_conv_norm_fp32(const CudaStream&, ConvDirection, const ConvNormArgs<BatchNormGradArgs>&);
void launch_conv_norm_mma(const CudaStream&, ConvDirection, const ConvNormArgs<BatchNormArgs>&);
void launch_conv_norm_mma(const CudaStream&, ConvDirection, const ConvNormArgs<BatchNormGradArgs>&);
/// Fills in tile, tiles and splits, which is one in float32.
void plan_conv_norm_fp32(const CudaStream&, ConvDirection, Subpixel&);
/// Rows of a tile.
int conv_norm_rows_fp32(const Subpixel&);
int conv_norm_rows_mma(const Subpixel&);

namespace {

__device__ inline float4 activate_four(const Activation& act, const float4& v) {
  const auto f = [&](float x) { return activate(act.kind, act.negative_slope, x); };
  if (act.kind == Activation::Kind::none) return v;
  return {f(v.x), f(v.y), f(v.z), f(v.w)};
}
/// v ⊙ act′(y)
__device__ inline float4 mask_four(const Activation& act, const float4& v, const float4& y) {
  const auto f = [&](float x, float at) { return x * activation_grad(act.kind, act.negative_slope, at); };
  if (act.kind == Activation::Kind::none) return v;
  return {f(v.x, y.x), f(v.y, y.y), f(v.z, y.z), f(v.w, y.w)};
}
__device__ inline float4 operator+(const float4& a, const float4& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}
__device__ inline float4 operator-(const float4& a, const float4& b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w};
}
__device__ inline float4 operator*(const float4& a, const float4& b) {
  return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w};
}
__device__ inline float4 fma_four(const float4& a, const float4& b, const float4& c) {
  return {fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w)};
}
__device__ inline float4 load_aligned(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}
__device__ inline void store_aligned(float* to, const float4& v) {
  __stwb(reinterpret_cast<float4*>(to), v);
}

/// A block's tiles. Product::multiply makes a tile, Product::turn permutes the fours of a row.
template <class Product>
class NormTiles {
 public:
  using Tile = typename Product::Tile;
  using Place = TilePlace<Tile, Product::input>;
  static constexpr int quads = Tile::n / 4, lanes = Tile::threads / quads, phases = Product::input ? 4 : 1;
  static constexpr int most_groups = 2;
  static_assert(Tile::threads % quads == 0 && Tile::m % lanes == 0);
  const int quad, lane;

  __device__ NormTiles(const SubpixelArgs& args, int groups, float* sums, int2* rows, float* scratch)
      : quad(threadIdx.x % quads),
        lane(threadIdx.x / quads),
        args_(args),
        groups_(groups),
        channels_(Product::input ? args.s.c : args.s.k),
        sums_(sums),
        rows_(rows),
        scratch_(scratch) {}

  /// The thread's columns of a row of the tile in shared memory.
  __device__ float4 get(int row) const { return load_aligned(at(row, quad)); }
  __device__ void put(int row, const float4& v) const { store_shared(at(row, quad), v); }

  /// Makes them and calls f(place, kept) for each: the one that is `kept` stays until revisit().
  template <class F>
  __device__ void make(const F& f) {
    const int units = args_.s.tiles * args_.s.splits;
    for (int unit = blockIdx.x; unit < units; unit += gridDim.x, ++units_) {
      const int tile = unit % args_.s.tiles, part = unit / args_.s.tiles;
      const Place place(args_.s, tile);
      __syncthreads();  // the tile before has been read
      locate_rows(place);
      const bool made = Product::multiply(args_, tile, part, sums_, [&](int column) {
        const int left = channels_ - place.first_n - column;
        const float4 bias =
            args_.finish.bias ? load_four(args_.finish.bias + place.first_n + column, left, false) : float4{};
        return [this, bias, column](int row, const float4& sum) {
          store_shared(at(row, column / 4), args_.finish(sum, bias, {}));
        };
      });
      __syncthreads();
      if (args_.s.splits > 1) made_ |= std::uint64_t(made) << units_;
      if (made) f(place, unit + gridDim.x >= units);
    }
  }
  /// Calls f(place, kept) again, in reverse order.
  template <class F>
  __device__ void revisit(const F& f) {
    for (int i = units_ - 1; i >= 0; --i) {
      if (args_.s.splits > 1 && !(made_ >> i & 1)) continue;
      const Place place(args_.s, (blockIdx.x + i * gridDim.x) % args_.s.tiles);
      const bool kept = i == units_ - 1;
      if (!kept) {
        __syncthreads();
        locate_rows(place);
        __syncthreads();
      }
      f(place, kept);
    }
  }

  /// Calls f(row, its group, where the thread's columns of it are in the image) for the rows that exist.
  template <class F>
  __device__ void for_rows(const Place& place, const F& f) const {
    const int column = place.first_n + 4 * quad;
    if (column >= channels_) return;
#pragma unroll 4
    for (int row = lane; row < Tile::m; row += lanes) {
      const int2 to = rows_[row];
      if (to.x >= 0) f(row, to.y, to.x + column);
    }
  }

  /// Sums over the tile's rows, of each group, in all threads of the columns. For all threads of the block.
  __device__ void sum_rows(float4 (&sum)[most_groups]) const {
    __syncthreads();  // what was there has been read
#pragma unroll
    for (int g = 0; g < most_groups; ++g) {
      if (g < groups_) store_shared(scratch_ + ((g * lanes + lane) * quads + quad) * 4, sum[g]);
    }
    __syncthreads();
#pragma unroll
    for (int g = 0; g < most_groups; ++g) {
      if (g >= groups_) continue;
      sum[g] = {};
      for (int i = 0; i < lanes; ++i) sum[g] = sum[g] + load_aligned(scratch_ + ((g * lanes + i) * quads + quad) * 4);
    }
  }
  static constexpr int scratch_floats = most_groups * lanes * quads * 4;

  /// How many rows of a group are in the tiles of that number.
  __device__ int rows_of(int tile_m, int group) const {
    const int n = args_.s.n, of_group = n / groups_;
    const auto before = [&](int row) { return row / n * of_group + min(max(row % n - group * of_group, 0), of_group); };
    const int first = tile_m * Tile::m;
    return before(min(first + Tile::m, n * args_.s.p * args_.s.q)) - before(first);
  }

  /// Stores two numbers of the tile's columns, for each group, to its slice of a [groups, slices, 2, channels] array.
  __device__ void store_slices(float* partial, int slices, const Place& place, const float4 (&first)[most_groups],
                               const float4 (&second)[most_groups]) const {
    const int column = place.first_n + 4 * quad;
    if (lane > 0 || column >= channels_) return;
#pragma unroll
    for (int g = 0; g < most_groups; ++g) {
      if (g >= groups_) continue;
      const std::int64_t slice = g * slices + place.tile_m * phases + place.phase;
      float* const to = partial + slice * 2 * channels_ + column;
      store_aligned(to, first[g]);
      store_aligned(to + channels_, second[g]);
    }
  }

  /// Four numbers of [channels] at the thread's columns.
  __device__ float4 columns_of(const float* from, const Place& place, bool vector) const {
    const int column = place.first_n + 4 * quad;
    return load_four(from + column, channels_ - column, vector);
  }

 private:
  __device__ float* at(int row, int of_quad) const {
    return sums_ + row * Tile::n + 4 * (of_quad ^ Product::turn(row));
  }
  __device__ void locate_rows(const Place& place) const {
    const int n = args_.s.n, of_group = n / groups_;
    for (int row = threadIdx.x; row < Tile::m; row += Tile::threads) {
      rows_[row] = {place.offset(args_.s, row), (place.first_m + row) % n / of_group};
    }
  }

  const SubpixelArgs& args_;
  int groups_, channels_;
  float* sums_;
  int2* rows_;  // where a row goes (negative: nowhere), and its group
  float* scratch_;
  int units_ = 0;
  std::uint64_t made_ = 0;  // with splits: the units whose tile is this block's
};

/// What the activation is applied to is (h − mean)·scale + β, as in batch_norm.cuh.
template <class Tiles>
struct NormFactors {
  float4 mean[Tiles::most_groups] = {}, scale[Tiles::most_groups] = {}, beta;

  template <class Norm>
  __device__ NormFactors(const Tiles& tiles, const typename Tiles::Place& place, const Norm& norm) {
    const float4 gamma = tiles.columns_of(norm.gamma, place, false);
    beta = tiles.columns_of(norm.beta, place, false);
#pragma unroll
    for (int g = 0; g < Tiles::most_groups; ++g) {
      if (g >= norm.groups) continue;
      mean[g] = tiles.columns_of(norm.mean + g * norm.channels, place, true);
      const float4 var = tiles.columns_of(norm.var + g * norm.channels, place, true);
      const auto factor = [&](float gamma_of, float var_of) { return gamma_of / sqrtf(var_of + norm.eps); };
      scale[g] = {factor(gamma.x, var.x), factor(gamma.y, var.y), factor(gamma.z, var.z), factor(gamma.w, var.w)};
    }
  }
  __device__ float4 centred(const float4& h, int g) const {
    return h - (g ? mean[1] : mean[0]);
  }
  __device__ float4 operand(const float4& h, int g) const {
    return fma_four(centred(h, g), g ? scale[1] : scale[0], beta);
  }
};

template <class Product>
__global__ void __launch_bounds__(Product::Tile::threads, Product::blocks)
    conv_norm_kernel(const __grid_constant__ ConvNormArgs<BatchNormArgs> a) {
  using Tiles = NormTiles<Product>;
  extern __shared__ __align__(16) float shared[];
  __shared__ __align__(16) float scratch[Tiles::scratch_floats];
  __shared__ int2 rows[Product::Tile::m];
  const auto grid = cooperative_groups::this_grid();
  const BatchNormArgs& norm = a.norm;
  Tiles tiles(a.conv, norm.groups, shared, rows, scratch);
  float* const h = a.conv.at.out;

  tiles.make([&](const auto& place, bool) {
    float4 sum[2] = {}, mean[2] = {}, square[2] = {};
    tiles.for_rows(place, [&](int row, int g, int to) {
      const float4 v = tiles.get(row);
      store_aligned(h + to, v);
      if (g) {
        sum[1] = sum[1] + v;
      } else {
        sum[0] = sum[0] + v;
      }
    });
    tiles.sum_rows(sum);
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      if (g >= norm.groups) continue;
      const int count = tiles.rows_of(place.tile_m, g);
      const float share = count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
      mean[g] = sum[g] * float4{share, share, share, share};
    }
    tiles.for_rows(place, [&](int row, int g, int) {
      const float4 distance = tiles.get(row) - (g ? mean[1] : mean[0]);
      if (g) {
        square[1] = fma_four(distance, distance, square[1]);
      } else {
        square[0] = fma_four(distance, distance, square[0]);
      }
    });
    tiles.sum_rows(square);
    tiles.store_slices(a.partial, a.slices, place, mean, square);
  });
  grid.sync();

  batch_norm_cuda::finish_moments<Product::Tile::threads>(
      norm, a.slices,
      [&](int g, int s, std::int64_t c) {
        const float* const from = a.partial + (g * a.slices + s) * 2 * norm.channels + c;
        batch_norm_cuda::Moments<1> part;
        part.n = static_cast<float>(tiles.rows_of(s / Tiles::phases, g));
        part.mean[0] = from[0];
        part.m2[0] = from[norm.channels];
        return part;
      },
      [](int, std::int64_t) { return 0.0f; });
  grid.sync();

  tiles.revisit([&](const auto& place, bool kept) {
    const NormFactors<Tiles> f(tiles, place, norm);
    tiles.for_rows(place, [&](int row, int g, int at) {
      const float4 v = kept ? tiles.get(row) : load_aligned(h + at);
      store_aligned(norm.y + at, activate_four(norm.act, f.operand(v, g)));
    });
  });
}

template <class Product>
__global__ void __launch_bounds__(Product::Tile::threads, Product::blocks)
    conv_norm_grad_kernel(const __grid_constant__ ConvNormArgs<BatchNormGradArgs> a) {
  using Tiles = NormTiles<Product>;
  extern __shared__ __align__(16) float shared[];
  __shared__ __align__(16) float scratch[Tiles::scratch_floats];
  __shared__ int2 rows[Product::Tile::m];
  const auto grid = cooperative_groups::this_grid();
  const BatchNormGradArgs& norm = a.norm;
  Tiles tiles(a.conv, norm.groups, shared, rows, scratch);

  tiles.make([&](const auto& place, bool kept) {
    const NormFactors<Tiles> f(tiles, place, norm);
    float4 sum[2] = {}, product[2] = {};
    tiles.for_rows(place, [&](int row, int g, int at) {
      const float4 h = load_aligned(norm.x + at);
      const float4 dz = mask_four(norm.act, tiles.get(row), activate_four(norm.act, f.operand(h, g)));
      if (kept) {
        tiles.put(row, dz);
      } else {
        store_aligned(norm.dx + at, dz);
      }
      const float4 distance = f.centred(h, g);
      if (g) {
        sum[1] = sum[1] + dz;
        product[1] = fma_four(dz, distance, product[1]);
      } else {
        sum[0] = sum[0] + dz;
        product[0] = fma_four(dz, distance, product[0]);
      }
    });
    tiles.sum_rows(sum);
    tiles.sum_rows(product);
    tiles.store_slices(a.partial, a.slices, place, sum, product);
  });
  grid.sync();

  const auto slopes = [&](int g) { return a.slopes + g * 2 * norm.channels; };
  batch_norm_cuda::finish_sums<Product::Tile::threads>(
      norm, a.slices,
      [&](int g, int s, std::int64_t c) {
        const float* const from = a.partial + (g * a.slices + s) * 2 * norm.channels + c;
        return batch_norm_cuda::Sums<1>{{from[0]}, {from[norm.channels]}};
      },
      [&](int g, std::int64_t c, float f1, float f2) {
        slopes(g)[c] = f1;
        slopes(g)[norm.channels + c] = f2;
      });
  grid.sync();

  tiles.revisit([&](const auto& place, bool kept) {
    const NormFactors<Tiles> f(tiles, place, norm);
    float4 f1[2] = {}, f2[2] = {};
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      if (g >= norm.groups) continue;
      f1[g] = tiles.columns_of(slopes(g), place, true);
      f2[g] = tiles.columns_of(slopes(g) + norm.channels, place, true);
    }
    tiles.for_rows(place, [&](int row, int g, int at) {
      const float4 h = load_aligned(norm.x + at), dz = kept ? tiles.get(row) : load_aligned(norm.dx + at);
      const float4 inner = dz - (g ? f1[1] : f1[0]) - f.centred(h, g) * (g ? f2[1] : f2[0]);
      store_aligned(norm.dx + at, mask_four(norm.input_act, (g ? f.scale[1] : f.scale[0]) * inner, h));
    });
  });
}

/// As many blocks as can be resident at once.
template <class Kernel, class Args>
void launch_conv_norm_kernel(const CudaStream& stream, Kernel* kernel, Args args, int threads, int shared_bytes,
                             const char* name) {
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes), name);
  int resident = 0;
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, threads, shared_bytes), name);
  const int blocks = std::min(args.conv.s.tiles * args.conv.s.splits, resident * stream.multiprocessors);
  void* arguments[] = {&args};
  check_cuda(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), dim3(blocks), dim3(threads), arguments,
                                         shared_bytes, queue_of(stream)),
             name);
}

}  // namespace
}  // namespace ganforge
