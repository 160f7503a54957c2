// 4×4 convolutions of stride 2 and padding 1 on even images, as matrix products whose operands are read where they lie:
// no zeros between pixels, no matrix of columns, no atomics.
//
//   forward   y[n, p, q, k] = Σ x[n, 2p−1+r, 2q−1+s, c]·w[k, r, s, c]      rows N·P·Q, columns K, sums over 16·C
//   input     x[n, 2i+a, 2j+b, c] = Σ y[n, i+a−u, j+b−v, k]·w[k, 1−a+2u, 1−b+2v, c],  u, v ∈ {0, 1}:
//             each of the four phases (a, b) of x is a 2×2 convolution of y with a quarter of the taps (sub-pixel
//             convolution, Shi et al., arXiv:1609.07009)                   rows N·P·Q, columns C, sums over 4·K, 4
//             times
//   weight    w[k, r, s, c] = Σ y[n, p, q, k]·x[n, 2p−1+r, 2q−1+s, c]      rows K, columns 16·C, sums over N·P·Q
//             and with one tap, to share a launch, w[k, c] = Σ y[n, k]·x[n, c], of a fully connected layer
//
// Positions are numbered (p, q, n), images last: the rows of a tile then lie at few places of the map, so that taps
// beyond the border are skipped for the whole tile; of a 4×4 map they are 23 % of the products. The order of sums
// depends on the shapes, the precision and the number of multiprocessors alone.
//
// Precision fp32 is exact (FFMA, conv_subpixel_fp32.cuh): three TF32 products for each would be faster on few cards
// only. tf32 and bf16 take tensor cores (conv_subpixel_mma.cuh).
#pragma once

#include "kernels/block.cuh"
#include "kernels/conv2d.h"
#include "kernels/conv_epilogue.cuh"
#include "kernels/elementwise.cuh"
#include "kernels/ffma_tile.cuh"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace ganforge {

/// A prepared convolution; sizes of all tensors fit into int.
struct Subpixel {
  int n, h, w, c, k, p, q;
  int taps = 16;
  int tile = 0, tiles = 0, splits = 1;  // which kind of tile, how many, and parts of their sums

  int positions() const { return n * p * q; }
};

/// Absent if it is not a 4×4 convolution of stride 2 and padding 1 of even images, or empty, or too large.
std::optional<Subpixel> halving(const ConvShape& shape);

/// A weight gradient of a group.
struct SubpixelLayer {
  Subpixel s;
  ConvArgs at;
};

// Exact float32, in the files of their names, and tensor cores (conv_subpixel_mma.cuh); one launch each. The plans fill
// in tile, tiles and splits. The sums of all parts take so many bytes of workspace, with those for the gradient of the
// bias (weight), and where there are splits tickets are one per tile.
void launch_subpixel_forward(const CudaStream&, const Subpixel&, const ConvEpilogue&, const ConvArgs&);
void launch_subpixel_input(const CudaStream&, const Subpixel&, const ConvEpilogue&, const ConvArgs&);
void plan_subpixel_weight(const CudaStream&, Subpixel&);
std::size_t subpixel_weight_workspace(const Subpixel&);
void launch_subpixel_weight(const CudaStream&, std::span<const SubpixelLayer>);

void plan_subpixel_mma(const CudaStream&, ConvDirection, Subpixel&);
std::size_t subpixel_mma_workspace(const Subpixel&, ConvDirection);
void launch_subpixel_mma(const CudaStream&, ConvDirection, const Subpixel&, const ConvEpilogue&, const ConvArgs&);
void launch_subpixel_mma_weight(const CudaStream&, std::span<const SubpixelLayer>);

namespace {

/// What the kernels take. The vector flags: 16-byte accesses to the operand, to the result, are aligned.
struct SubpixelArgs {
  Subpixel s;
  ConvArgs at;
  ConvFinish finish;
  bool vector_a, vector_b, vector_out;
};

/// The first `left` of four neighbours, zeros for the others.
__device__ inline float4 load_four(const float* from, int left, bool vector) {
  float4 v = {0.0f, 0.0f, 0.0f, 0.0f};
  if (left <= 0) return v;
  if (vector) return *reinterpret_cast<const float4*>(from);
  v.x = from[0];
  if (left > 1) v.y = from[1];
  if (left > 2) v.z = from[2];
  if (left > 3) v.w = from[3];
  return v;
}

/// Finishes and writes sums of four neighbouring columns, the first `left` of them.
class ColumnsFinish {
 public:
  __device__ ColumnsFinish(const SubpixelArgs& args, int column, int left) : args_(args), left_(left) {
    if (args.finish.bias) bias_ = load_four(args.finish.bias + column, left, args.vector_out);
  }
  /// To element `to` of the result and on.
  __device__ void put(float4 sum, std::int64_t to) const {
    if (left_ <= 0) return;
    float4 mask = {};
    if (args_.finish.mask) mask = load_four(args_.finish.mask + to, left_, args_.vector_out);
    const float4 v = args_.finish(sum, bias_, mask);
    float* const out = args_.at.out + to;
    if (args_.vector_out) {
      __stwb(reinterpret_cast<float4*>(out), v);
    } else {
      out[0] = v.x;
      if (left_ > 1) out[1] = v.y;
      if (left_ > 2) out[2] = v.z;
      if (left_ > 3) out[3] = v.w;
    }
  }

 private:
  const SubpixelArgs& args_;
  int left_;
  float4 bias_ = {};
};

/// What a tile's sums of four columns go to: the result's `columns` columns, the tile's begin at first_n; offset(row)
/// is where a row begins, or negative.
template <class Offset>
__device__ auto at_columns(const SubpixelArgs& args, int first_n, int columns, Offset offset) {
  return [=, &args](int column) {
    const ColumnsFinish finish(args, first_n + column, columns - first_n - column);
    return [=](int row, float4 sum) {
      const std::int64_t to = offset(row);
      if (to >= 0) finish.put(sum, to + first_n + column);
    };
  };
}

/// The bits that any thread of the block has set.
__device__ inline unsigned block_or(unsigned bits) {
  __shared__ unsigned all;
  if (threadIdx.x == 0) all = 0;
  __syncthreads();
  atomicOr(&all, bits);
  __syncthreads();
  return all;
}

/// Where the parts of a tile's sums lie in the workspace: [splits, m · n] …
template <class Tile>
__device__ float4* parts_of(const SubpixelArgs& args, int tile) {
  return static_cast<float4*>(args.at.workspace) + std::int64_t(tile) * args.s.splits * (Tile::m * Tile::n / 4);
}
/// … and, behind those of all tiles, those of A's columns, [splits, m].
template <class Tile>
__device__ float* parts_of_a(const SubpixelArgs& args, int tile) {
  const std::int64_t sums = std::int64_t(args.s.tiles) * args.s.splits * (Tile::m * Tile::n);
  return static_cast<float*>(args.at.workspace) + sums + tile * args.s.splits * Tile::m;
}
template <class Tile>
std::size_t parts_bytes(const Subpixel& s, bool of_a) {
  if (s.splits == 1) return 0;
  return sizeof(float) * s.splits * s.tiles * (Tile::m * Tile::n + (of_a ? Tile::m : 0));
}

/// A bias's gradient is made by the tile that has the first column of a tap that is never beyond the border, (1, 1).
__device__ inline bool sums_y(const SubpixelArgs& args, int first_n, int columns) {
  const int column = args.s.taps == 1 ? 0 : 5 * args.s.c;
  return args.at.bias_grad && first_n <= column && column < first_n + columns;
}

/// part(0) + part(1) + …
template <class Part>
__device__ float4 sum_of_parts(int parts, const Part& part) {
  float4 sum = part(0);
  for (int i = 1; i < parts; ++i) {
    const float4 v = part(i);
    sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
  }
  return sum;
}

/// Where a tile of the products of forward or input lies. Tiles of the same rows are neighbours in the grid, and so are
/// the phases of x of one tile: they read the same rows of the operand.
template <class Tile, bool input>
struct TilePlace {
  int phase, tile_m, first_m, first_n;

  __device__ TilePlace(const Subpixel& s, int tile) {
    phase = input ? tile % 4 : 0;
    if (input) tile /= 4;
    const int tiles_n = ((input ? s.c : s.k) + Tile::n - 1) / Tile::n;
    tile_m = tile / tiles_n;
    first_m = tile_m * Tile::m;
    first_n = tile % tiles_n * Tile::n;
  }
  /// The element of the result that a row of the tile begins at; negative: beyond the last row.
  __device__ int offset(const Subpixel& s, int row) const {
    row += first_m;
    if (row >= s.n * s.p * s.q) return -1;
    const int n = row % s.n, place = row / s.n;
    if constexpr (input) {
      const int h = place / s.q * 2 + phase / 2, w = place % s.q * 2 + phase % 2;
      return ((n * s.h + h) * s.w + w) * s.c;
    } else {
      return (n * s.p * s.q + place) * s.k;
    }
  }
};

inline bool vectors(std::int64_t columns, const float* array) {
  return columns % 4 == 0 && fours_aligned(array);
}
inline unsigned tiles(std::int64_t extent, int tile) {
  return static_cast<unsigned>((extent + tile - 1) / tile);
}

template <class Tile>
std::int64_t tiles_of(std::int64_t rows, std::int64_t columns) {
  return std::int64_t(tiles(rows, Tile::m)) * tiles(columns, Tile::n);
}

/// The weight gradients of one launch.
struct SubpixelLayers {
  SubpixelArgs at[max_conv_group];
  int first[max_conv_group];  // blocks
  int count = 0, blocks = 0;

  explicit SubpixelLayers(std::span<const SubpixelLayer> layers) {
    for (const SubpixelLayer& layer : layers) {
      first[count] = blocks;
      at[count++] = {.s = layer.s,
                     .at = layer.at,
                     .finish = {},
                     .vector_a = vectors(layer.s.k, layer.at.y),
                     .vector_b = vectors(layer.s.c, layer.at.x),
                     .vector_out = fours_aligned(layer.at.out)};
      blocks += layer.s.tiles * layer.s.splits;
    }
  }
  /// Calls f(its arguments, tile, part) of the block's layer.
  template <class F>
  __device__ void of_block(const F& f) const {
    int layer = 0;
    while (layer + 1 < count && static_cast<int>(blockIdx.x) >= first[layer + 1]) ++layer;
    const int block = blockIdx.x - first[layer];
    f(at[layer], block % at[layer].s.tiles, block / at[layer].s.tiles);
  }
};

}  // namespace
}  // namespace ganforge
