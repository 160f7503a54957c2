// What the fully connected layer's kernels share: the product, its place in the grid, its epilogue. For linear*.cu
// alone.
//
// The three directions of the layer are one matrix product C[m, n] = Σ_k A(m, k)·B(n, k) that reads its operands along
// k or across it:
//
//   forward       y  [rows, out]   A = x   along k    B = w  along k     k = in
//   input grad    dx [rows, in]    A = dz  along k    B = w  across k    k = out
//   weight grad   dw [out, in]     A = dz  across k   B = x  across k    k = rows
#pragma once

#include "kernels/activate.h"
#include "kernels/ffma_tile.cuh"
#include "kernels/linear.h"

#include <ganforge/error.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <type_traits>

namespace ganforge::dense {

enum class Direction { forward, input_grad, weight_grad };
constexpr bool a_along_k(Direction d) {
  return d != Direction::weight_grad;
}
constexpr bool b_along_k(Direction d) {
  return d == Direction::forward;
}

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

/// Exact float32: linear_fp32.cu. TF32 or bfloat16, compute capability 8.0: linear_mma.cu. One launch.
void launch_fp32(const CudaStream& stream, Direction direction, Products& products);
void launch_mma(const CudaStream& stream, Direction direction, Products& products);

/// True if rows of `columns` floats can be moved 16 bytes at a time. Null is as good as aligned.
inline bool vectors(std::int64_t columns, std::initializer_list<const float*> arrays) {
  return columns % 4 == 0 && std::all_of(arrays.begin(), arrays.end(), [](const float* array) {
           return reinterpret_cast<std::uintptr_t>(array) % 16 == 0;
         });
}

inline std::int64_t blocks(std::int64_t extent, int tile) {
  return (extent + tile - 1) / tile;
}

template <class Tile>
std::int64_t tiles(const Products& products) {
  std::int64_t sum = 0;
  for (const Product& p : std::span(products.at, products.count)) sum += blocks(p.m, Tile::m) * blocks(p.n, Tile::n);
  return sum;
}

/// Waves of blocks times the cycles that a multiprocessor needs per step of k: its products and its loads from L2 of 16
/// floats per cycle, not overlapped.
template <class Tile>
std::int64_t cost(const CudaStream& stream, const Products& products, int products_per_cycle) {
  return blocks(tiles<Tile>(products), stream.multiprocessors) *
         (Tile::m * Tile::n / products_per_cycle + (Tile::m + Tile::n) / 16);
}

/// Gives every product its tiles; returns how many there are.
template <class Tile>
unsigned number_tiles(Products& products) {
  if (tiles<Tile>(products) > std::numeric_limits<int>::max()) throw DeviceError("linear: too large for one launch");
  unsigned grid = 0;
  for (Product& p : std::span(products.at, products.count)) {
    p.tiles_n = static_cast<unsigned>(blocks(p.n, Tile::n));
    p.first_tile = grid;
    grid += p.tiles_n * static_cast<unsigned>(blocks(p.m, Tile::m));
  }
  return grid;
}

#ifdef __CUDACC__
/// The block's product.
__device__ inline const Product& product_of_block(const Products& products) {
  int which = 0;
  while (which + 1 < products.count && blockIdx.x >= products.at[which + 1].first_tile) ++which;
  return products.at[which];
}

/// Four neighbours of a row, of which `width` are inside; `vector`: all are, and aligned to 16 bytes.
__device__ inline void load_quad(float (&v)[4], const float* from, bool vector, std::int64_t width) {
  if (vector) {
    const float4 quad = *reinterpret_cast<const float4*>(from);
    v[0] = quad.x, v[1] = quad.y, v[2] = quad.z, v[3] = quad.w;
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) v[e] = e < width ? from[e] : 0.0f;
  }
}
__device__ inline void store_quad(float* to, const float (&v)[4], bool vector, std::int64_t width) {
  if (vector) {
    __stwb(reinterpret_cast<float4*>(to), float4{v[0], v[1], v[2], v[3]});
  } else {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (e < width) to[e] = v[e];
    }
  }
}

/// f(kind), the kind being a constant, unless it is none: tested once for several numbers.
template <class Function>
__device__ void with_activation(Activation::Kind act, const Function& f) {
  using Kind = Activation::Kind;
  if (act == Kind::leaky_relu) return f(std::integral_constant<Kind, Kind::leaky_relu>{});
  if (act == Kind::tanh) return f(std::integral_constant<Kind, Kind::tanh>{});
  if (act == Kind::sigmoid) return f(std::integral_constant<Kind, Kind::sigmoid>{});
}

/// Writes quads of C, four neighbours of a row, down one column of them.
template <Direction direction>
class QuadWriter {
 public:
  __device__ QuadWriter(const Product& p, std::int64_t row, std::int64_t column)
      : act_(p.act), slope_(p.slope), vector_(p.vector_c), width_(p.n - column), rows_left_(p.m - row), n_(p.n) {
    if (width_ <= 0) rows_left_ = 0;
    if (rows_left_ <= 0) return;
    to_ = p.c + row * p.n + column;
    if (direction == Direction::forward && p.bias) load_quad(bias_, p.bias + column, vector_, width_);
    if (direction == Direction::input_grad && p.mask) mask_ = p.mask + row * p.n + column;
  }

  /// The quad `row` below the first one.
  __device__ void write(int row, float4 sum) {
    if (row >= rows_left_) return;
    const std::int64_t offset = row * n_;
    float v[4] = {sum.x, sum.y, sum.z, sum.w};
    if constexpr (direction == Direction::forward) {
#pragma unroll
      for (int e = 0; e < 4; ++e) v[e] += bias_[e];
      with_activation(act_, [&](auto kind) {
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] = activate(kind, slope_, v[e]);
      });
    }
    if (direction == Direction::input_grad && mask_) {
      float y[4] = {};
      load_quad(y, mask_ + offset, vector_, width_);
      with_activation(act_, [&](auto kind) {
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] *= activation_grad(kind, slope_, y[e]);
      });
    }
    store_quad(to_ + offset, v, vector_, width_);
  }

 private:
  Activation::Kind act_;
  float slope_, bias_[4] = {};
  bool vector_;
  std::int64_t width_, rows_left_, n_;
  float* to_ = nullptr;
  const float* mask_ = nullptr;
};
#endif

}  // namespace ganforge::dense
