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
  const float gamma = active ? args.gamma[c] : 0.0f, beta = active ? args.beta[c] : 0.0f;
  float dgamma = 0.0f, dbeta = 0.0f;
  for (int g = 0; g < args.groups; ++g) {
    const std::int64_t start = g * args.rows * args.channels + c;
    const auto valid = [&](int i) { return active && row_lane + i * column_lanes < args.rows; };
    const auto at = [&](int i) { return start + (row_lane + i * column_lanes) * args.channels; };
    const float mean = active ? args.mean[g * args.channels + c] : 0.0f;
    const float std = active ? sqrtf(args.var[g * args.channels + c] + args.eps) : 1.0f;
    const float scale = gamma / std, rstd = 1.0f / std;
    float x[held], dz[held], sum = 0.0f, product = 0.0f;
#pragma unroll
    for (int i = 0; i < held; ++i) {
      x[i] = valid(i) ? args.x[at(i)] : 0.0f;
      dz[i] = valid(i) ? args.dy[at(i)] : 0.0f;
    }
    if (args.act.kind != Activation::Kind::none) {
#pragma unroll
      for (int i = 0; i < held; ++i)
        dz[i] = valid(i) ? masked(args.act, operand_of(x[i], mean, scale, beta), dz[i]) : 0.0f;
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
    const float offset = group_dbeta / float(args.rows), slope = rstd * group_dgamma / float(args.rows);
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

/// x and dz of a pass. What is not there is x = mean, dz = 0, which adds nothing to the sums.
template <int width>
struct Values {
  Pack<width> x[batch], dz[batch];

  __device__ void read(const BatchNormGradArgs& args, const Factors<width>& f, const Place<width>& place, int pass) {
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      x[i] = f.mean, dz[i] = Pack<width>{};
      if (!place.valid(pass, i)) continue;
      x[i] = load<width>(args.x + place.at(pass, i));
      dz[i] = load<width>(args.dy + place.at(pass, i));
    }
    if (args.act.kind == Activation::Kind::none) return;
#pragma unroll
    for (int i = 0; i < batch; ++i) {
#pragma unroll
      for (int k = 0; k < width; ++k) dz[i].v[k] = masked(args.act, f.operand(x[i].v[k], k), dz[i].v[k]);
    }
  }
  __device__ void keep_as(int pass) const {
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      keep(kept<width, 2>(pass, 0, i), x[i]);
      keep(kept<width, 2>(pass, 1, i), dz[i]);
    }
  }
  __device__ void recall(int pass) {
#pragma unroll
    for (int i = 0; i < batch; ++i) {
      x[i] = load<width>(kept<width, 2>(pass, 0, i));
      dz[i] = load<width>(kept<width, 2>(pass, 1, i));
    }
  }
};

template <int width>
__global__ void __launch_bounds__(threads) batch_norm_grad_kernel(BatchNormGradArgs args, Split split) {
  const auto grid = cooperative_groups::this_grid();
  const std::int64_t channels = args.channels;
  float* workspace = static_cast<float*>(args.workspace);
  const auto partial = [&](int g, std::int64_t s) { return workspace + (g * split.slices + s) * 2 * channels; };
  // dx = scale·(dz − f₁ − (x − mean)·f₂); f₁ and f₂ lie behind the slices' sums.
  const auto slopes = [&](int g) { return partial(args.groups, 0) + g * 2 * channels; };

  Values<width> v;
  int passes = 0;
  for (int unit = blockIdx.x; unit < split.units(); unit += gridDim.x) {
    const Place<width> place(split, args.rows, channels, unit);
    const Factors<width> f(args, place);
    Sums<width> sums;
    for (int pass = 0; pass < split.passes; ++pass, ++passes) {
      if (passes > 0 && passes <= split.held) v.keep_as(passes - 1);
      v.read(args, f, place, pass);
#pragma unroll
      for (int i = 0; i < batch; ++i) {
#pragma unroll
        for (int k = 0; k < width; ++k) {
          sums.sum[k] += v.dz[i].v[k];
          sums.product[k] += v.dz[i].v[k] * (v.x[i].v[k] - f.mean.v[k]);
        }
      }
    }
    merge_lanes<channel_lanes, threads>(sums);
    if (place.active && threadIdx.x < channel_lanes) {
      Pack<width> sum, product;
#pragma unroll
      for (int k = 0; k < width; ++k) sum.v[k] = sums.sum[k], product.v[k] = sums.product[k];
      store(partial(place.g, place.slice) + place.c, sum);
      store(partial(place.g, place.slice) + channels + place.c, product);
    }
  }
  grid.sync();

  finish_sums<threads>(
      args, split.slices,
      [&](int g, int s, std::int64_t c) {
        return Sums<1>{{partial(g, s)[c]}, {partial(g, s)[channels + c]}};
      },
      [&](int g, std::int64_t c, float f1, float f2) {
        slopes(g)[c] = f1;
        slopes(g)[channels + c] = f2;
      });
  grid.sync();

  // Backwards; the values of the last pass are still in registers.
  const int last = passes - 1;
  for (int unit = blockIdx.x + last / split.passes * gridDim.x; passes > 0; unit -= gridDim.x) {
    const Place<width> place(split, args.rows, channels, unit);
    const Factors<width> f(args, place);
    Pack<width> f12[2];
    channel_values(place, f12, [&](std::int64_t c, float* value) {
      value[0] = slopes(place.g)[c];
      value[1] = slopes(place.g)[channels + c];
    });
    for (int pass = split.passes - 1; pass >= 0; --pass) {
      if (--passes < last) passes < split.held ? v.recall(passes) : v.read(args, f, place, pass);
#pragma unroll
      for (int i = 0; i < batch; ++i) {
        if (!place.valid(pass, i)) continue;
        Pack<width> dx;
#pragma unroll
        for (int k = 0; k < width; ++k) {
          const float x = v.x[i].v[k];
          dx.v[k] = f.scale.v[k] * (v.dz[i].v[k] - f12[0].v[k] - (x - f.mean.v[k]) * f12[1].v[k]) *
                    activation_grad(args.input_act.kind, args.input_act.negative_slope, x);
        }
        store(args.dx + place.at(pass, i), dx);
      }
    }
  }
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
  const int width = pack::width_for(args.channels, {args.dy, args.x, args.dx, args.workspace});
  launch_grid(stream, width == 4 ? batch_norm_grad_kernel<4> : batch_norm_grad_kernel<1>, args,
              split_of(args.rows, args.channels, args.groups, width), 2 * pass_bytes(width), "batch_norm_grad_kernel");
}

}  // namespace ganforge
