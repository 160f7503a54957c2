// 4×4 convolutions of stride 2 and padding 1 on even images, as matrix products whose operands are read where they lie:
// no zeros between pixels, no matrix of columns, no atomics.
//
//   forward   y[n, p, q, k] = Σ x[n, 2p−1+r, 2q−1+s, c]·w[k, r, s, c]      rows N·P·Q, columns K, sums over 16·C
//   input     x[n, 2i+a, 2j+b, c] = Σ y[n, i+a−u, j+b−v, k]·w[k, 1−a+2u, 1−b+2v, c],  u, v ∈ {0, 1}:
//             each of the four phases (a, b) of x is a 2×2 convolution of y with a quarter of the taps (sub-pixel
//             convolution, Shi et al., arXiv:1609.07009)                   rows N·P·Q, columns C, sums over 4·K, 4
//             times
//   weight    w[k, r, s, c] = Σ y[n, p, q, k]·x[n, 2p−1+r, 2q−1+s, c]      rows K, columns 16·C, sums over N·P·Q
//
// Positions are numbered (p, q, n), images last: the rows of a tile then lie at few places of the map, so that taps
// beyond the border are skipped for the whole tile; of a 4×4 map they are 23 % of the products. The order of sums
// depends on the shapes, the precision and the number of multiprocessors alone.
//
// Precision fp32 is exact (FFMA, conv_subpixel_fp32.cuh): three TF32 products for each would be faster on few cards
// only. tf32 and bf16 take tensor cores (conv_subpixel_mma.cuh).
#pragma once

#include "kernels/conv2d.h"
#include "kernels/conv_epilogue.cuh"
#include "kernels/elementwise.cuh"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ganforge {

/// A prepared convolution; sizes of all tensors fit into int.
struct Subpixel {
  int n, h, w, c, k, p, q;
  int splits = 1, split_positions = 0;  // parts of the sums; FFMA, weight: over so many positions each
  int tile = 0, tiles = 0;              // tensor cores: which kind, and how many

  int positions() const { return n * p * q; }
};

// Exact float32, in the files of their names. One launch each; `weight` has a second one, which adds the splits, if
// there are any.
void launch_subpixel_forward(const CudaStream&, const Subpixel&, const ConvEpilogue&, const ConvArgs&);
void launch_subpixel_input(const CudaStream&, const Subpixel&, const ConvEpilogue&, const ConvArgs&);
void launch_subpixel_weight(const CudaStream&, const Subpixel&, const ConvArgs&);
/// Fills in the splits: enough blocks for the card, each with a sum worth its start.
void split_subpixel_weight(const CudaStream&, Subpixel&);

// Tensor cores (conv_subpixel_mma.cuh), one launch each. The plan fills in tile, tiles and splits; with those the sums
// of all parts take subpixel_mma_workspace() bytes (`bias_grad`: with the bias's gradient), and tickets are one per
// tile.
void plan_subpixel_mma(const CudaStream&, ConvDirection, Subpixel&);
std::size_t subpixel_mma_workspace(const Subpixel&, bool bias_grad);
void launch_subpixel_mma(const CudaStream&, ConvDirection, const Subpixel&, const ConvEpilogue&, const ConvArgs&);
struct SubpixelLayer {
  Subpixel s;
  ConvArgs at;
};
void plan_subpixel_mma_weight(const CudaStream&, Subpixel&);
void launch_subpixel_mma_weight(const CudaStream&, std::span<const SubpixelLayer>);

namespace {

/// What the kernels take. The vector flags: 16-byte accesses to the operand, to the result, are aligned.
struct SubpixelArgs {
  Subpixel s;
  ConvArgs at;
  ConvFinish finish;
  bool vector_a, vector_b, vector_out;
};

__device__ inline void store_shared(float* to, float4 v) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
               : "memory");
}

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

/// The bits that any thread of the block has set.
__device__ inline unsigned block_or(unsigned bits) {
  __shared__ unsigned all;
  if (threadIdx.x == 0) all = 0;
  __syncthreads();
  atomicOr(&all, bits);
  __syncthreads();
  return all;
}

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

}  // namespace
}  // namespace ganforge
