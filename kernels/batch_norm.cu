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
    for (int i = 0; i < held; ++i) x[i] = valid(i) ? args.x[at(i)] - shift : 0.0f;
#pragma unroll
    for (int i = 0; i < held; ++i) sum += x[i];
    stage_column_sum(sum, sums);
    __syncthreads();
    const float mean = column_sum(sums) / float(args.rows);
#pragma unroll
    for (int i = 0; i < held; ++i) square += valid(i) ? (x[i] - mean) * (x[i] - mean) : 0.0f;
    stage_column_sum(square, squares);
    __syncthreads();
    const float var = column_sum(squares) / float(args.rows), scale = gamma / sqrtf(var + args.eps);
#pragma unroll
    for (int i = 0; i < held; ++i) {
      if (valid(i)) args.y[at(i)] = activate(args.act.kind, args.act.negative_slope, (x[i] - mean) * scale + beta);
    }
    if (writer) {
      args.mean[g * args.channels + c] = shift + mean;
      args.var[g * args.channels + c] = var;
      running_mean = args.momentum * running_mean + (1.0f - args.momentum) * (shift + mean);
      running_var = args.momentum * running_var + (1.0f - args.momentum) * (var * biased_to_unbiased(args.rows));
    }
  }
  if (writer) {
    args.new_running_mean[c] = running_mean;
    args.new_running_var[c] = running_var;
  }
}

/// Count, mean and summed squared distances of some rows, for `width` channels.
template <int width>
struct Moments {
  float n = 0.0f, mean[width] = {}, m2[width] = {};

  /// Chan, Golub, LeVeque 1979.
  __device__ void merge(const Moments& other) {
    const float share = other.n > 0.0f ? other.n / (n + other.n) : 0.0f, weight = n * share;
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const float delta = other.mean[i] - mean[i];
      mean[i] += delta * share;
      m2[i] += other.m2[i] + delta * delta * weight;
    }
    n += other.n;
  }
};

template <int width>
__global__ void __launch_bounds__(threads) batch_norm_moments_kernel(BatchNormArgs args, Slices slices) {
  const Place<width> place;
  const std::int64_t c = place.c, channels = args.channels;
  const bool active = c < channels;
  float* workspace = static_cast<float*>(args.workspace);
  const auto partial = [&](int g, std::int64_t s) { return workspace + (g * slices.count + s) * 2 * channels + c; };
  // Distances from the group's first row: the rounding of a mean that is large against the deviation stays out.
  const auto shift_of = [&](int g) { return load<width>(args.x + g * args.rows * channels + c); };

  Moments<width> moments;
  if (active) {
    const std::int64_t first = blockIdx.x * slices.rows, end = min(first + slices.rows, args.rows);
    const float* x = args.x + place.g * args.rows * channels + c;
    const Pack<width> shift = shift_of(place.g);
    for (std::int64_t row = first + place.row_lane; row < end; row += pass_rows) {
      const int n = int(min(std::int64_t(batch), (end - row + row_lanes - 1) / row_lanes));
      Pack<width> v[batch];
#pragma unroll
      for (int i = 0; i < batch; ++i) v[i] = i < n ? load<width>(x + (row + i * row_lanes) * channels) : shift;
      Moments<width> part;
      part.n = float(n);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < batch; ++i) sum += v[i].v[k] -= shift.v[k];
        part.mean[k] = sum / float(n);
#pragma unroll
        for (int i = 0; i < batch; ++i) {
          const float distance = i < n ? v[i].v[k] - part.mean[k] : 0.0f;
          part.m2[k] += distance * distance;
        }
      }
      moments.merge(part);
    }
  }
  merge_row_lanes(moments);
  if (active && place.row_lane == 0) {
    Pack<width> mean, m2;
#pragma unroll
    for (int k = 0; k < width; ++k) mean.v[k] = moments.mean[k], m2.v[k] = moments.m2[k];
    store(partial(place.g, blockIdx.x), mean);
    store(partial(place.g, blockIdx.x) + channels, m2);
  }
  if (!last_to_finish(static_cast<unsigned*>(args.tickets) + blockIdx.y, gridDim.x * gridDim.z)) return;

  for (int g = 0; g < args.groups; ++g) {
    Moments<width> group;
    for (std::int64_t s = place.row_lane; active && s < slices.count; s += row_lanes) {
      const Pack<width> mean = load<width>(partial(g, s)), m2 = load<width>(partial(g, s) + channels);
      Moments<width> part;
      part.n = float(min(slices.rows, args.rows - s * slices.rows));
#pragma unroll
      for (int k = 0; k < width; ++k) part.mean[k] = mean.v[k], part.m2[k] = m2.v[k];
      group.merge(part);
    }
    merge_row_lanes(group);
    if (!active || place.row_lane != 0) continue;
    const Pack<width> shift = shift_of(g);
    const float* running_mean = (g == 0 ? args.running_mean : args.new_running_mean) + c;
    const float* running_var = (g == 0 ? args.running_var : args.new_running_var) + c;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const float mean = shift.v[k] + group.mean[k], var = group.m2[k] / float(args.rows), keep = args.momentum;
      args.mean[g * channels + c + k] = mean;
      args.var[g * channels + c + k] = var;
      args.new_running_mean[c + k] = keep * running_mean[k] + (1.0f - keep) * mean;
      args.new_running_var[c + k] = keep * running_var[k] + (1.0f - keep) * (var * biased_to_unbiased(args.rows));
    }
  }
}

/// y = act(γ·(x − mean)/√(var + eps) + β) for groups of `rows` rows. 1R + 1W.
template <int width>
__global__ void __launch_bounds__(threads) batch_norm_apply_kernel(BatchNormInferenceArgs args) {
  const Place<width> place;
  const std::int64_t c = place.c, channels = args.channels, start = place.g * args.rows * channels + c;
  constexpr int tile = channel_lanes * width;
  __shared__ alignas(16) float means[tile], scales[tile], betas[tile];
  if (const std::int64_t first = std::int64_t(blockIdx.y) * tile;
      threadIdx.x < min(std::int64_t(tile), channels - first)) {
    const std::int64_t channel = first + threadIdx.x, statistic = place.g * channels + channel;
    means[threadIdx.x] = args.mean[statistic];
    scales[threadIdx.x] = args.gamma[channel] / sqrtf(args.var[statistic] + args.eps);
    betas[threadIdx.x] = args.beta[channel];
  }
  __syncthreads();
  if (c >= channels) return;
  const int lane = threadIdx.x % channel_lanes * width;
  const Pack<width> mean = load<width>(means + lane), scale = load<width>(scales + lane);
  const Pack<width> beta = load<width>(betas + lane);
  const std::int64_t row = apply_row(place.row_lane);
  Pack<width> v[batch];
#pragma unroll
  for (int i = 0; i < batch; ++i) {
    if (row + i * row_lanes < args.rows) v[i] = load<width>(args.x + start + (row + i * row_lanes) * channels);
  }
#pragma unroll
  for (int i = 0; i < batch; ++i) {
    if (row + i * row_lanes >= args.rows) break;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      v[i].v[k] = activate(args.act.kind, args.act.negative_slope, (v[i].v[k] - mean.v[k]) * scale.v[k] + beta.v[k]);
    }
    store(args.y + start + (row + i * row_lanes) * channels, v[i]);
  }
}

template <int width>
void launch_apply(const CudaStream& stream, const BatchNormInferenceArgs& args, int groups) {
  batch_norm_apply_kernel<width>
      <<<grid(passes(args.rows), args.channels, width, groups), threads, 0, native(stream)>>>(args);
  check_launch("batch_norm_apply_kernel");
}

template <int width>
void launch_slices(const CudaStream& stream, const BatchNormArgs& args) {
  const Slices slices = slices_of(args.rows, args.channels, args.groups);
  batch_norm_moments_kernel<width>
      <<<grid(slices.count, args.channels, width, args.groups), threads, 0, native(stream)>>>(args, slices);
  check_launch("batch_norm_moments_kernel");
  launch_apply<width>(
      stream,
      {args.x, args.gamma, args.beta, args.mean, args.var, args.y, args.rows, args.channels, args.eps, args.act},
      args.groups);
}

}  // namespace

std::size_t batch_norm_workspace(const CudaStream&, std::int64_t rows, std::int64_t channels, int groups) {
  if (rows <= column_rows) return 0;
  return std::size_t((slices_of(rows, channels, groups).count * 2 + 3) * groups * channels) * sizeof(float);
}

std::size_t batch_norm_tickets(const CudaStream&, std::int64_t rows, std::int64_t channels, int) {
  return rows <= column_rows ? 0 : std::size_t(grid(1, channels, 1, 1).y) * sizeof(unsigned);
}

void batch_norm(const CudaStream& stream, const BatchNormArgs& args) {
  if (args.rows <= column_rows) {
    const auto kernel = args.rows <= 2 * column_lanes ? batch_norm_column_kernel<2> : batch_norm_column_kernel<16>;
    kernel<<<column_blocks(args.channels), column_threads, 0, native(stream)>>>(args);
    check_launch("batch_norm_column_kernel");
    return;
  }
  const bool wide = args.channels % 4 == 0 && aligned(args.x) && aligned(args.y) && aligned(args.workspace);
  wide ? launch_slices<4>(stream, args) : launch_slices<1>(stream, args);
}

void batch_norm_inference(const CudaStream& stream, const BatchNormInferenceArgs& args) {
  const bool wide = args.channels % 4 == 0 && aligned(args.x) && aligned(args.y);
  wide ? launch_apply<4>(stream, args, 1) : launch_apply<1>(stream, args, 1);
}

}  // namespace ganforge
