// Batch normalisation on CUDA, backward; batch_norm.cuh says how the work is split.
#include "kernels/batch_norm.cuh"

namespace ganforge {
namespace {

using namespace batch_norm_cuda;

template <int held>
__global__ void __launch_bounds__(column_threads) batch_norm_grad_column_kernel(BatchNormGradArgs args) {
  __shared__ ColumnScratch sums[2], products[2];  // of even and of odd groups: one barrier a group is enough
  const std::int64_t c = std::int64_t(blockIdx.x) * column_channels + threadIdx.x % column_channels;
  const int row_lane = threadIdx.x / column_channels;
  const bool active = c < args.channels;
  const float gamma = active ? args.gamma[c] : 0.0f;
  float dgamma = 0.0f, dbeta = 0.0f;
  for (int g = 0; g < args.groups; ++g) {
    const std::int64_t start = g * args.rows * args.channels + c;
    const auto valid = [&](int i) { return active && row_lane + i * column_lanes < args.rows; };
    const auto at = [&](int i) { return start + (row_lane + i * column_lanes) * args.channels; };
    const float mean = active ? args.mean[g * args.channels + c] : 0.0f;
    const float rstd = active ? 1.0f / sqrtf(args.var[g * args.channels + c] + args.eps) : 0.0f;
    float x[held], dz[held], sum = 0.0f, product = 0.0f;
#pragma unroll
    for (int i = 0; i < held; ++i) {
      x[i] = valid(i) ? args.x[at(i)] : 0.0f;
      dz[i] = valid(i) ? args.dy[at(i)] : 0.0f;
    }
    if (args.act.kind != Activation::Kind::none) {
#pragma unroll
      for (int i = 0; i < held; ++i) {
        if (valid(i)) dz[i] *= activation_grad(args.act.kind, args.act.negative_slope, args.y[at(i)]);
      }
    }
#pragma unroll
    for (int i = 0; i < held; ++i) {
      sum += dz[i];
      product += dz[i] * (x[i] - mean);
    }
    stage_column_sum(sum, sums[g % 2]);
    stage_column_sum(product, products[g % 2]);
    __syncthreads();
    const float group_dbeta = column_sum(sums[g % 2]), group_dgamma = column_sum(products[g % 2]) * rstd;
    dbeta += group_dbeta;
    dgamma += group_dgamma;
    const float scale = gamma * rstd, offset = group_dbeta / float(args.rows);
    const float slope = rstd * group_dgamma / float(args.rows);
#pragma unroll
    for (int i = 0; i < held; ++i) {
      if (!valid(i)) continue;
      args.dx[at(i)] = scale * (dz[i] - offset - (x[i] - mean) * slope) *
                       activation_grad(args.input_act.kind, args.input_act.negative_slope, x[i]);
    }
  }
  if (active && row_lane == 0) {
    args.dgamma[c] = dgamma;
    args.dbeta[c] = dbeta;
  }
}

/// Σ dz and Σ dz·(x − mean).
template <int width>
struct Sums {
  float sum[width] = {}, product[width] = {};

  __device__ void merge(const Sums& other) {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      sum[i] += other.sum[i];
      product[i] += other.product[i];
    }
  }
};

/// dz at an offset of the tensor.
template <int width>
__device__ Pack<width> load_dz(const BatchNormGradArgs& args, std::int64_t at) {
  Pack<width> dz = load<width>(args.dy + at);
  if (args.act.kind == Activation::Kind::none) return dz;
  const Pack<width> y = load<width>(args.y + at);
#pragma unroll
  for (int k = 0; k < width; ++k) dz.v[k] *= activation_grad(args.act.kind, args.act.negative_slope, y.v[k]);
  return dz;
}

/// The workspace holds the slices' sums, then three factors per group and channel: dx = f₀·(dz − f₁ − (x − mean)·f₂).
__device__ float* factors(const BatchNormGradArgs& args, const Slices& slices, int g) {
  return static_cast<float*>(args.workspace) + (args.groups * slices.count * 2 + g * 3) * args.channels;
}

template <int width>
__global__ void __launch_bounds__(threads) batch_norm_grad_sums_kernel(BatchNormGradArgs args, Slices slices) {
  const Place<width> place;
  const std::int64_t c = place.c, channels = args.channels;
  const bool active = c < channels;
  float* workspace = static_cast<float*>(args.workspace);
  const auto partial = [&](int g, std::int64_t s) { return workspace + (g * slices.count + s) * 2 * channels + c; };

  Sums<width> sums;
  if (active) {
    const std::int64_t first = blockIdx.x * slices.rows, end = min(first + slices.rows, args.rows);
    const std::int64_t start = place.g * args.rows * channels + c;
    const Pack<width> mean = load<width>(args.mean + place.g * channels + c);
#pragma unroll 4
    for (std::int64_t row = first + place.row_lane; row < end; row += row_lanes) {
      const Pack<width> dz = load_dz<width>(args, start + row * channels);
      const Pack<width> x = load<width>(args.x + start + row * channels);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        sums.sum[k] += dz.v[k];
        sums.product[k] += dz.v[k] * (x.v[k] - mean.v[k]);
      }
    }
  }
  merge_row_lanes(sums);
  if (active && place.row_lane == 0) {
    Pack<width> sum, product;
#pragma unroll
    for (int k = 0; k < width; ++k) sum.v[k] = sums.sum[k], product.v[k] = sums.product[k];
    store(partial(place.g, blockIdx.x), sum);
    store(partial(place.g, blockIdx.x) + channels, product);
  }
  if (!last_to_finish(static_cast<unsigned*>(args.tickets) + blockIdx.y, gridDim.x * gridDim.z)) return;

  float dgamma[width] = {}, dbeta[width] = {};
  for (int g = 0; g < args.groups; ++g) {
    Sums<width> group;
    for (std::int64_t s = place.row_lane; active && s < slices.count; s += row_lanes) {
      const Pack<width> sum = load<width>(partial(g, s)), product = load<width>(partial(g, s) + channels);
      Sums<width> part;
#pragma unroll
      for (int k = 0; k < width; ++k) part.sum[k] = sum.v[k], part.product[k] = product.v[k];
      group.merge(part);
    }
    merge_row_lanes(group);
    if (!active || place.row_lane != 0) continue;
    float* f = factors(args, slices, g) + c;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const float rstd = 1.0f / sqrtf(args.var[g * channels + c + k] + args.eps);
      const float group_dgamma = group.product[k] * rstd;
      f[k] = args.gamma[c + k] * rstd;
      f[k + channels] = group.sum[k] / float(args.rows);
      f[k + 2 * channels] = rstd * (group_dgamma / float(args.rows));
      dbeta[k] += group.sum[k];
      dgamma[k] += group_dgamma;
    }
  }
  if (!active || place.row_lane != 0) return;
#pragma unroll
  for (int k = 0; k < width; ++k) {
    args.dgamma[c + k] = dgamma[k];
    args.dbeta[c + k] = dbeta[k];
  }
}

template <int width>
__global__ void __launch_bounds__(threads) batch_norm_grad_apply_kernel(BatchNormGradArgs args, Slices slices) {
  const Place<width> place;
  const std::int64_t c = place.c, channels = args.channels, start = place.g * args.rows * channels + c;
  if (c >= channels) return;
  const Pack<width> mean = load<width>(args.mean + place.g * channels + c);
  const float* f = factors(args, slices, place.g) + c;
  const Pack<width> f0 = load<width>(f), f1 = load<width>(f + channels), f2 = load<width>(f + 2 * channels);
  constexpr int rows_at_once = batch / 2;
  for (int pass = 0; pass < 2; ++pass) {
    const std::int64_t row = apply_row(place.row_lane) + pass * rows_at_once * row_lanes;
    Pack<width> dz[rows_at_once], x[rows_at_once];
#pragma unroll
    for (int i = 0; i < rows_at_once; ++i) {
      if (row + i * row_lanes >= args.rows) break;
      dz[i] = load_dz<width>(args, start + (row + i * row_lanes) * channels);
      x[i] = load<width>(args.x + start + (row + i * row_lanes) * channels);
    }
#pragma unroll
    for (int i = 0; i < rows_at_once; ++i) {
      if (row + i * row_lanes >= args.rows) break;
#pragma unroll
      for (int k = 0; k < width; ++k) {
        dz[i].v[k] = f0.v[k] * (dz[i].v[k] - f1.v[k] - (x[i].v[k] - mean.v[k]) * f2.v[k]) *
                     activation_grad(args.input_act.kind, args.input_act.negative_slope, x[i].v[k]);
      }
      store(args.dx + start + (row + i * row_lanes) * channels, dz[i]);
    }
  }
}

template <int width>
void launch_slices(const CudaStream& stream, const BatchNormGradArgs& args) {
  const Slices slices = slices_of(args.rows, args.channels, args.groups);
  batch_norm_grad_sums_kernel<width>
      <<<grid(slices.count, args.channels, width, args.groups), threads, 0, native(stream)>>>(args, slices);
  check_launch("batch_norm_grad_sums_kernel");
  batch_norm_grad_apply_kernel<width>
      <<<grid(passes(args.rows), args.channels, width, args.groups), threads, 0, native(stream)>>>(args, slices);
  check_launch("batch_norm_grad_apply_kernel");
}

}  // namespace

void batch_norm_grad(const CudaStream& stream, const BatchNormGradArgs& args) {
  if (args.rows <= column_rows) {
    const auto kernel =
        args.rows <= 2 * column_lanes ? batch_norm_grad_column_kernel<2> : batch_norm_grad_column_kernel<16>;
    kernel<<<column_blocks(args.channels), column_threads, 0, native(stream)>>>(args);
    check_launch("batch_norm_grad_column_kernel");
    return;
  }
  const bool wide = args.channels % 4 == 0 && aligned(args.dy) && aligned(args.x) && aligned(args.y) &&
                    aligned(args.mean) && aligned(args.dx) && aligned(args.workspace);
  wide ? launch_slices<4>(stream, args) : launch_slices<1>(stream, args);
}

}  // namespace ganforge
