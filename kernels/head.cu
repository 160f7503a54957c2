// The discriminator's head. One launch; floor in bytes: x read, dx written once.
//
// A row is a warp's, or a block's where it is long; neighbouring lanes take neighbouring 16 bytes. What a lane has read
// of x and w stays in its registers until the row's logit, and with it the loss's gradient, is known (longer rows than
// those hold are read again). Each block's sums go to the workspace; the last block to finish adds them, in the order
// of blocks.
#include "kernels/activate.h"
#include "kernels/block.cuh"
#include "kernels/gan_loss_point.h"
#include "kernels/head.h"
#include "kernels/linear_product.cuh"
#include "kernels/random.cuh"
#include "src/core/cuda_check.h"

namespace ganforge {
namespace {

using dense::load_quad;
using dense::store_quad;

constexpr int threads = 128, warps = threads / 32;

/// How many threads share a row, and how many quads of it each of them keeps.
template <int lanes_, int held_>
struct Plan {
  static constexpr int lanes = lanes_, held = held_, rows = threads / lanes;
};
using ShortRows = Plan<32, 4>;
using LongRows = Plan<threads, 16>;
constexpr std::int64_t short_row = 4 * ShortRows::lanes * ShortRows::held;

struct Sums {
  float loss, real, fake, correct;
  __device__ void add(const float4& v) { loss += v.x, real += v.y, fake += v.z, correct += v.w; }
};

/// Sum over the row's threads, in all of them.
template <class Plan>
__device__ float row_sum(float sum) {
  sum = warp_sum(sum);
  if constexpr (Plan::lanes > 32) {
    __shared__ float partial[warps];
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = partial[0];
    for (int w = 1; w < warps; ++w) sum += partial[w];
  }
  return sum;
}

__device__ void finish(const HeadArgs& a, Sums sums) {
  __shared__ float4 partial[warps];
  for (int distance = 16; distance; distance /= 2) {
    sums.add({__shfl_down_sync(~0u, sums.loss, distance), __shfl_down_sync(~0u, sums.real, distance),
              __shfl_down_sync(~0u, sums.fake, distance), __shfl_down_sync(~0u, sums.correct, distance)});
  }
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = {sums.loss, sums.real, sums.fake, sums.correct};
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < warps; ++w) sums.add(partial[w]);
  const auto rows = static_cast<float>(a.rows), half = static_cast<float>(a.rows / 2);
  *a.loss = sums.loss / (a.discriminator ? half : rows);
  if (!a.discriminator) return;
  *a.d_real = sums.real / half;
  *a.d_fake = sums.fake / half;
  *a.accuracy = sums.correct / rows;
}

template <class Plan>
__global__ void __launch_bounds__(threads) head_kernel(const __grid_constant__ HeadArgs a, bool vector) {
  constexpr int lanes = Plan::lanes, held = Plan::held;
  const int lane = threadIdx.x % lanes;
  const std::int64_t r = std::int64_t(blockIdx.x) * Plan::rows + threadIdx.x / lanes;
  const bool inside = r < a.rows;
  const float* const x = a.x + r * a.in;
  const std::int64_t width = inside ? a.in : 0;  // columns to do
  const auto column = [&](int i) { return 4 * (std::int64_t(i) * lanes + lane); };
  const auto dot = [](const float(&u)[4], const float(&v)[4], float sum) {
    return fmaf(u[3], v[3], fmaf(u[2], v[2], fmaf(u[1], v[1], fmaf(u[0], v[0], sum))));
  };

  float kept_x[held][4] = {}, kept_w[held][4] = {}, sum = 0.0f;
#pragma unroll
  for (int i = 0; i < held; ++i) {
    const std::int64_t c = column(i);
    if (c >= width) break;
    load_quad(kept_x[i], x + c, vector, width - c);
    load_quad(kept_w[i], a.w + c, vector, width - c);
    sum = dot(kept_x[i], kept_w[i], sum);
  }
  for (int i = held; column(i) < width; ++i) {
    const std::int64_t c = column(i);
    float u[4], v[4];
    load_quad(u, x + c, vector, width - c);
    load_quad(v, a.w + c, vector, width - c);
    sum = dot(u, v, sum);
  }
  const float logit = row_sum<Plan>(sum) + (a.b ? *a.b : 0.0f);

  Sums sums = {};
  float gradient = 0.0f;
  if (a.discriminator) {
    const bool real = r < a.rows / 2;
    const LossPoint point = discriminator_loss_point(a.objective, real, a.real_target, logit, 0.0f);
    gradient = point.gradient / static_cast<float>(a.rows / 2);
    sums = {point.loss, real ? point.probability : 0.0f, real ? 0.0f : point.probability, point.correct ? 1.0f : 0.0f};
  } else {
    const GeneratorLossPoint point = generator_loss_point(a.objective, logit, 0.0f);
    gradient = point.gradient / static_cast<float>(a.rows);
    sums.loss = point.loss;
  }

  const auto write = [&](std::int64_t c, const float(&u)[4], const float(&v)[4]) {
    float dx[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) dx[e] = gradient * v[e];
    dense::with_activation(a.act.kind, [&](auto kind) {
#pragma unroll
      for (int e = 0; e < 4; ++e) dx[e] *= activation_grad(kind, a.act.negative_slope, u[e]);
    });
    store_quad(a.dx + r * a.in + c, dx, vector, width - c);
  };
#pragma unroll
  for (int i = 0; i < held; ++i) {
    if (column(i) >= width) break;
    write(column(i), kept_x[i], kept_w[i]);
  }
  for (int i = held; column(i) < width; ++i) {
    const std::int64_t c = column(i);
    float u[4], v[4];
    load_quad(u, x + c, vector, width - c);
    load_quad(v, a.w + c, vector, width - c);
    write(c, u, v);
  }

  __shared__ float4 of_row[Plan::rows];
  __shared__ bool last;
  if (lane == 0) {
    if (inside) a.dlogits[r] = gradient;
    of_row[threadIdx.x / lanes] = inside ? float4{sums.loss, sums.real, sums.fake, sums.correct} : float4{};
  }
  __syncthreads();
  float4* const of_block = static_cast<float4*>(a.workspace);
  if (threadIdx.x == 0) {
    Sums block = {};
    for (int i = 0; i < Plan::rows; ++i) block.add(of_row[i]);
    __stcg(of_block + blockIdx.x, float4{block.loss, block.real, block.fake, block.correct});
    last = last_to_arrive(a.ticket);
    __threadfence();
  }
  __syncthreads();
  if (!last) return;
  Sums all = {};
  for (unsigned i = threadIdx.x; i < gridDim.x; i += threads) all.add(__ldcg(of_block + i));
  finish(a, all);
}

template <class Plan>
void launch(const CudaStream& stream, const HeadArgs& a) {
  const auto grid = static_cast<unsigned>(dense::blocks(a.rows, Plan::rows));
  head_kernel<Plan>
      <<<grid, threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(a, dense::vectors(a.in, {a.x, a.w, a.dx}));
  check_launch("head_kernel");
}

}  // namespace

std::size_t head_workspace(std::int64_t rows, std::int64_t in) {
  return sizeof(float4) *
         static_cast<std::size_t>(dense::blocks(rows, in <= short_row ? ShortRows::rows : LongRows::rows));
}

void head(const CudaStream& stream, const HeadArgs& a) {
  if (a.in <= short_row) return launch<ShortRows>(stream, a);
  launch<LongRows>(stream, a);
}

}  // namespace ganforge
