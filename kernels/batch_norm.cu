// Batch normalisation on CUDA, forward and inference; batch_norm.cuh says how the work is split.
#include "kernels/batch_norm.cuh"

namespace ganforge {
namespace {

using namespace batch_norm_cuda;

__device__ float biased_to_unbiased(std::int64_t rows) {
  return rows > 1 ? float(rows) / float(rows - 1) : 1.0f;
}

template <int held>
__global__ void __launch_bounds__(column_threads) batch_norm_column_kernel(BatchNormArgs args) {
  __shared__ ColumnScratch sums, squares;
  const std::int64_t c = std::int64_t(blockIdx.x) * column_channels + threadIdx.x % column_channels;
  const int row_lane = threadIdx.x / column_channels;
  const bool active = c < args.channels, writer = active && row_lane == 0;
  const float gamma = active ? args.gamma[c] : 0.0f, beta = active ? args.beta[c] : 0.0f;
  float running_mean = writer ? args.running_mean[c] : 0.0f, running_var = writer ? args.running_var[c] : 0.0f;
  for (int g = 0; g < args.groups; ++g) {
    const std::int64_t start = g * args.rows * args.channels + c;
    const auto valid = [&](int i) { return active && row_lane + i * column_lanes < args.rows; };
    const auto at = [&](int i) { return start + (row_lane + i * column_lanes) * args.channels; };
    // Distances from the first row: the rounding of a mean that is large against the deviation stays out.
    const float shift = active ? args.x[start] : 0.0f;
    float x[held], sum = 0.0f, square = 0.0f;
#pragma unroll
    for (int i = 0; i < held; ++i) x[i] = valid(i) ? args.x[at(i)] : shift;
#pragma unroll
    for (int i = 0; i < held; ++i) sum += x[i] - shift;
    stage_column_sum(sum, sums);
    __syncthreads();
    const float mean = column_sum(sums) / float(args.rows);
#pragma unroll
    for (int i = 0; i < held; ++i) {
      const float distance = valid(i) ? x[i] - shift - mean : 0.0f;
      square += distance * distance;
    }
    stage_column_sum(square, squares);
    __syncthreads();
    const float var = column_sum(squares) / float(args.rows), scale = gamma / sqrtf(var + args.eps);
    const float full_mean = shift + mean;
#pragma unroll
    for (int i = 0; i < held; ++i) {
      if (!valid(i)) continue;
      args.y[at(i)] = activate(args.act.kind, args.act.negative_slope, operand_of(x[i], full_mean, scale, beta));
    }
    if (writer) {
      args.mean[g * args.channels + c] = full_mean;
      args.var[g * args.channels + c] = var;
      running_mean = args.momentum * running_mean + (1.0f - args.momentum) * full_mean;
      running_var = args.momentum * running_var + (1.0f - args.momentum) * (var * biased_to_unbiased(args.rows));
    }
  }
  if (writer) {
    args.new_running_mean[c] = running_mean;
    args.new_running_var[c] = running_var;
  }
}

template <int width>
__global__ void __launch_bounds__(threads, 2) batch_norm_kernel(BatchNormArgs args, Split split) {
  const auto grid = cooperative_groups::this_grid();
  const std::int64_t channels = args.channels;
  float* workspace = static_cast<float*>(args.workspace);
  const auto partial = [&](int g, std::int64_t s) { return workspace + (g * split.slices + s) * 2 * channels; };

  Pack<width> v[batch];
  int passes = 0;
  for (int unit = blockIdx.x; unit < split.units(); unit += gridDim.x) {
    const Place<width> place(split, args.rows, channels, unit);
    // Distances from the group's first row: the rounding of a mean that is large against the deviation stays out.
    Pack<width> shifts[1];
    channel_values(place, shifts,
                   [&](std::int64_t c, float* value) { value[0] = args.x[place.g * args.rows * channels + c]; });
    const Pack<width> shift = shifts[0];
    Moments<width> moments;
    for (int pass = 0; pass < split.passes; ++pass, ++passes) {
      if (passes > 0 && passes <= split.held) {
#pragma unroll
        for (int i = 0; i < batch; ++i) keep(kept<width, 1>(passes - 1, 0, i), v[i]);
      }
      int n = 0;
#pragma unroll
      for (int i = 0; i < batch; ++i) {
        const bool valid = place.valid(pass, i);
        v[i] = valid ? load<width>(args.x + place.at(pass, i)) : shift;
        n += valid;
      }
      Moments<width> part;
      part.n = float(n);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < batch; ++i) sum += v[i].v[k] - shift.v[k];
        part.mean[k] = n > 0 ? sum / float(n) : 0.0f;
#pragma unroll
        for (int i = 0; i < batch; ++i) {
          const float distance = i < n ? v[i].v[k] - shift.v[k] - part.mean[k] : 0.0f;
          part.m2[k] += distance * distance;
        }
      }
      moments.merge(part);
    }
    merge_lanes<channel_lanes, threads>(moments);
    if (place.active && threadIdx.x < channel_lanes) {
      Pack<width> mean, m2;
#pragma unroll
      for (int k = 0; k < width; ++k) mean.v[k] = moments.mean[k], m2.v[k] = moments.m2[k];
      store(partial(place.g, place.slice) + place.c, mean);
      store(partial(place.g, place.slice) + channels + place.c, m2);
    }
  }
  grid.sync();

  finish_moments<threads>(
      args, split.slices,
      [&](int g, int s, std::int64_t c) {
        Moments<1> part;
        part.n = float(min(split.slice_rows, args.rows - s * split.slice_rows));
        part.mean[0] = partial(g, s)[c];
        part.m2[0] = partial(g, s)[channels + c];
        return part;
      },
      [&](int g, std::int64_t c) { return args.x[g * args.rows * channels + c]; });
  grid.sync();

  // Backwards; what the last pass read is still in registers.
  const int last = passes - 1;
  for (int unit = blockIdx.x + last / split.passes * gridDim.x; passes > 0; unit -= gridDim.x) {
    const Place<width> place(split, args.rows, channels, unit);
    const Factors<width> f(args, place);
    for (int pass = split.passes - 1; pass >= 0; --pass) {
      if (--passes < last) {
#pragma unroll
        for (int i = 0; i < batch; ++i) {
          if (passes < split.held) {
            v[i] = load<width>(kept<width, 1>(passes, 0, i));
          } else if (place.valid(pass, i)) {
            v[i] = load<width>(args.x + place.at(pass, i));
          }
        }
      }
#pragma unroll
      for (int i = 0; i < batch; ++i) {
        if (place.valid(pass, i)) store(args.y + place.at(pass, i), f.normalise(args.act, v[i]));
      }
    }
  }
}

/// Blocks are (passes over the rows, tiles of channels). 1R + 1W.
template <int width>
__global__ void __launch_bounds__(threads) batch_norm_inference_kernel(BatchNormInferenceArgs args, Split split) {
  const Place<width> place(split, args.rows, args.channels, int(blockIdx.x));
  const Factors<width> f(args, place);
  Pack<width> v[batch];
#pragma unroll
  for (int i = 0; i < batch; ++i) {
    if (place.valid(0, i)) v[i] = load<width>(args.x + place.at(0, i));
  }
#pragma unroll
  for (int i = 0; i < batch; ++i) {
    if (place.valid(0, i)) store(args.y + place.at(0, i), f.normalise(args.act, v[i]));
  }
}

}  // namespace

std::size_t batch_norm_workspace(const CudaStream&, std::int64_t rows, std::int64_t channels, int groups) {
  if (rows <= column_rows) return 0;
  const std::int64_t slices = split_of(rows, channels, groups, 4).slices;
  return std::size_t((slices + 1) * 2 * groups * channels) * sizeof(float);
}

void batch_norm(const CudaStream& stream, const BatchNormArgs& args) {
  if (args.rows <= column_rows) {
    const auto kernel = args.rows <= 2 * column_lanes ? batch_norm_column_kernel<2> : batch_norm_column_kernel<16>;
    kernel<<<column_blocks(args.channels), column_threads, 0, native(stream)>>>(args);
    check_launch("batch_norm_column_kernel");
    return;
  }
  const int width = pack::width_for(args.channels, {args.x, args.y, args.workspace});
  launch_grid(stream, width == 4 ? batch_norm_kernel<4> : batch_norm_kernel<1>, args,
              split_of(args.rows, args.channels, args.groups, width), pass_bytes(width), "batch_norm_kernel");
}

void batch_norm_inference(const CudaStream& stream, const BatchNormInferenceArgs& args) {
  const int width = pack::width_for(args.channels, {args.x, args.y});
  const Split split = one_pass(args.rows, args.channels, width);
  const auto kernel = width == 4 ? batch_norm_inference_kernel<4> : batch_norm_inference_kernel<1>;
  kernel<<<unsigned(split.units()), threads, 0, native(stream)>>>(args, split);
  check_launch("batch_norm_inference_kernel");
}

}  // namespace ganforge
