// Batch normalisation in the epilogue of a fully connected layer, and its gradient in that of the input gradient.
//
// A block's tile of C holds all rows of the batch and 16 columns: a column's sums need no other block, and the
// normalised values are in registers, so that the norm costs no pass over memory and no launch. Bytes: those of the
// layer (linear_fp32.cu; A is read by every block, from L2), h and y written once; backward, h read once. Products are
// exact float32 in every precision: with so few rows, latency is the cost.
//
// A thread has four neighbouring columns of every 32nd row. Sums over the rows: its own, its warp's by shuffles, the
// four warps' through shared memory, always in this order. The variance is that of the values around their mean: no
// cancellation.
#include "kernels/linear_norm.h"
#include "kernels/linear_tile.cuh"
#include "src/core/cuda_check.h"

namespace ganforge {
namespace {

using namespace dense;

using Tile64 = Tile<64, 16, 32, 4, 4, 2>;
using Tile128 = Tile<128, 16, 32, 4, 4, 1>;
constexpr int threads = 128, warps = threads / 32, columns = 16, rows_apart = 32;

/// Sums over the block's threads that share the thread's columns.
__device__ void column_sums(float (&v)[4], float (&partial)[warps][columns]) {
  const int quad = threadIdx.x % 4;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2) v[e] += __shfl_xor_sync(~0u, v[e], lanes);
  }
  if (threadIdx.x % 32 < 4) store_shared(&partial[threadIdx.x / 32][4 * quad], float4{v[0], v[1], v[2], v[3]});
  __syncthreads();
#pragma unroll
  for (int e = 0; e < 4; ++e) v[e] = 0.0f;
#pragma unroll
  for (int w = 0; w < warps; ++w) {
    const float4 other = *reinterpret_cast<const float4*>(&partial[w][4 * quad]);
    v[0] += other.x, v[1] += other.y, v[2] += other.z, v[3] += other.w;
  }
}

/// The thread's quads of a [rows, n] matrix.
struct Place {
  std::int64_t column, width, n;
  int row, rows;
  __device__ Place(std::int64_t rows_, std::int64_t n_)
      : column(std::int64_t(blockIdx.x) * columns + 4 * (threadIdx.x % 4)),
        width(n_ - column),
        n(n_),
        row(threadIdx.x / 4),
        rows(int(rows_)) {}
  __device__ bool inside(int i) const { return width > 0 && row + i * rows_apart < rows; }
  __device__ std::int64_t at(int i) const { return (row + i * rows_apart) * n + column; }
};

/// [n] numbers at the thread's columns; zeros beyond.
__device__ void load_columns(float (&v)[4], const float* from, const Place& place) {
#pragma unroll
  for (int e = 0; e < 4; ++e) v[e] = e < place.width ? from[place.column + e] : 0.0f;
}

template <class Tile>
__global__ void __launch_bounds__(threads, 2)
    linear_norm_kernel(const __grid_constant__ LinearNormArgs a, const __grid_constant__ Product product, bool vector) {
  static_assert(Tile::threads == threads && Tile::n == columns && Tile::rows_apart == rows_apart);
  constexpr int held = Tile::m / rows_apart;
  __shared__ __align__(16) float shared[TileShared<Direction::forward, Tile>::floats];
  __shared__ __align__(16) float partial[2][warps][columns];
  const Place place(a.rows, a.out);

  float v[held][4];
  tile_sums<Direction::forward, Tile>(product, 0, std::int64_t(blockIdx.x) * columns, false, shared,
                                      [&](int down, float4 sum) {
                                        float(&to)[4] = v[down / rows_apart];
                                        to[0] = sum.x, to[1] = sum.y, to[2] = sum.z, to[3] = sum.w;
                                      });
  float bias[4] = {}, mean[4] = {}, var[4] = {};
  if (a.b) load_columns(bias, a.b, place);
#pragma unroll
  for (int i = 0; i < held; ++i) {
#pragma unroll
    for (int e = 0; e < 4; ++e) v[i][e] += bias[e];
    with_activation(a.act.kind, [&](auto kind) {
#pragma unroll
      for (int e = 0; e < 4; ++e) v[i][e] = activate(kind, a.act.negative_slope, v[i][e]);
    });
    if (!place.inside(i)) continue;
    store_quad(a.h + place.at(i), v[i], vector, place.width);
#pragma unroll
    for (int e = 0; e < 4; ++e) mean[e] += v[i][e];
  }
  column_sums(mean, partial[0]);
  const auto rows = static_cast<float>(a.rows);
#pragma unroll
  for (int e = 0; e < 4; ++e) mean[e] /= rows;
#pragma unroll
  for (int i = 0; i < held; ++i) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      v[i][e] -= mean[e];
      if (place.inside(i)) var[e] = fmaf(v[i][e], v[i][e], var[e]);
    }
  }
  column_sums(var, partial[1]);

  float gamma[4], beta[4], scale[4];
  load_columns(gamma, a.gamma, place);
  load_columns(beta, a.beta, place);
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    var[e] /= rows;
    scale[e] = gamma[e] / sqrtf(var[e] + a.eps);
  }
#pragma unroll
  for (int i = 0; i < held; ++i) {
    if (!place.inside(i)) continue;
#pragma unroll
    for (int e = 0; e < 4; ++e) v[i][e] = fmaf(v[i][e], scale[e], beta[e]);
    with_activation(a.norm_act.kind, [&](auto kind) {
#pragma unroll
      for (int e = 0; e < 4; ++e) v[i][e] = activate(kind, a.norm_act.negative_slope, v[i][e]);
    });
    store_quad(a.y + place.at(i), v[i], vector, place.width);
  }
  if (place.row != 0) return;
  const float keep = a.momentum, take = 1.0f - keep, unbiased = a.rows > 1 ? rows / (rows - 1.0f) : 1.0f;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    if (e >= place.width) break;
    const std::int64_t c = place.column + e;
    a.mean[c] = mean[e];
    a.var[c] = var[e];
    a.new_running_mean[c] = keep * a.running_mean[c] + take * mean[e];
    a.new_running_var[c] = keep * a.running_var[c] + take * (unbiased * var[e]);
  }
}

template <class Tile>
__global__ void __launch_bounds__(threads, 2)
    linear_norm_grad_kernel(const __grid_constant__ LinearNormGradArgs a, const __grid_constant__ Product product,
                            bool vector) {
  static_assert(Tile::threads == threads && Tile::n == columns && Tile::rows_apart == rows_apart);
  constexpr int held = Tile::m / rows_apart;
  __shared__ __align__(16) float shared[TileShared<Direction::input_grad, Tile>::floats];
  __shared__ __align__(16) float partial[2][warps][columns];
  const Place place(a.rows, a.in);

  float dz[held][4], h[held][4], mean[4], var[4], gamma[4], beta[4], scale[4], rstd[4];
  tile_sums<Direction::input_grad, Tile>(product, 0, std::int64_t(blockIdx.x) * columns, false, shared,
                                         [&](int down, float4 sum) {
                                           float(&to)[4] = dz[down / rows_apart];
                                           to[0] = sum.x, to[1] = sum.y, to[2] = sum.z, to[3] = sum.w;
                                         });
  load_columns(mean, a.mean, place);
  load_columns(var, a.var, place);
  load_columns(gamma, a.gamma, place);
  load_columns(beta, a.beta, place);
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    rstd[e] = 1.0f / sqrtf(var[e] + a.eps);
    scale[e] = gamma[e] / sqrtf(var[e] + a.eps);
  }
  float sum[4] = {}, product_sum[4] = {};
#pragma unroll
  for (int i = 0; i < held; ++i) {
    if (!place.inside(i)) continue;
    load_quad(h[i], a.h + place.at(i), vector, place.width);
    with_activation(a.norm_act.kind, [&](auto kind) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float y = activate(kind, a.norm_act.negative_slope, fmaf(h[i][e] - mean[e], scale[e], beta[e]));
        dz[i][e] *= activation_grad(kind, a.norm_act.negative_slope, y);
      }
    });
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      sum[e] += dz[i][e];
      product_sum[e] = fmaf(dz[i][e], h[i][e] - mean[e], product_sum[e]);
    }
  }
  column_sums(sum, partial[0]);
  column_sums(product_sum, partial[1]);
  const auto rows = static_cast<float>(a.rows);
#pragma unroll
  for (int i = 0; i < held; ++i) {
    if (!place.inside(i)) continue;
    float dx[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float slope = rstd[e] * (product_sum[e] * rstd[e]) / rows;
      dx[e] = scale[e] * (dz[i][e] - sum[e] / rows - (h[i][e] - mean[e]) * slope);
    }
    with_activation(a.input_act.kind, [&](auto kind) {
#pragma unroll
      for (int e = 0; e < 4; ++e) dx[e] *= activation_grad(kind, a.input_act.negative_slope, h[i][e]);
    });
    store_quad(a.dx + place.at(i), dx, vector, place.width);
  }
  if (place.row != 0) return;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    if (e >= place.width) break;
    a.dgamma[place.column + e] = product_sum[e] * rstd[e];
    a.dbeta[place.column + e] = sum[e];
  }
}

unsigned column_blocks(std::int64_t n) {
  return static_cast<unsigned>(blocks(n, columns));
}

}  // namespace

void linear_norm(const CudaStream& stream, const LinearNormArgs& a) {
  if (a.out == 0) return;
  const Product product = {.a = a.x,
                           .b = a.w,
                           .m = a.rows,
                           .n = a.out,
                           .k = a.in,
                           .vector_a = vectors(a.in, {a.x}),
                           .vector_b = vectors(a.in, {a.w})};
  const auto kernel = a.rows <= Tile64::m ? linear_norm_kernel<Tile64> : linear_norm_kernel<Tile128>;
  kernel<<<column_blocks(a.out), threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(a, product,
                                                                                         vectors(a.out, {a.h, a.y}));
  check_launch("linear_norm_kernel");
}

void linear_norm_grad(const CudaStream& stream, const LinearNormGradArgs& a) {
  if (a.in == 0) return;
  const Product product = {.a = a.dz,
                           .b = a.w,
                           .m = a.rows,
                           .n = a.in,
                           .k = a.out,
                           .vector_a = vectors(a.out, {a.dz}),
                           .vector_b = vectors(a.in, {a.w})};
  const auto kernel = a.rows <= Tile64::m ? linear_norm_grad_kernel<Tile64> : linear_norm_grad_kernel<Tile128>;
  kernel<<<column_blocks(a.in), threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(a, product,
                                                                                        vectors(a.in, {a.h, a.dx}));
  check_launch("linear_norm_grad_kernel");
}

}  // namespace ganforge
