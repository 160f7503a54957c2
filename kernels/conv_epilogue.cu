#include "kernels/conv_epilogue.cuh"

#include "kernels/elementwise.cuh"

namespace ganforge {
namespace {

// out ← finish(out), out [rows, channels]. A thread takes groups of `width` neighbours, all of one row, and finds their
// channel by additions alone. Floor: one launch, 1R + 1W of out, mask once.
template <int width>
__global__ void conv_epilogue_kernel(ConvFinish finish, float* out, std::int64_t groups, std::int64_t groups_in_row) {
  const std::int64_t thread = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  const std::int64_t step = threads % groups_in_row;
  std::int64_t group = thread % groups_in_row;
  for (std::int64_t i = thread; i < groups; i += threads) {
    if constexpr (width == 4) {
      float4* const to = reinterpret_cast<float4*>(out) + i;
      __stwb(to, finish.four_at(*to, 4 * i, 4 * group));
    } else {
      out[i] = finish.at(out[i], i, group);
    }
    group += step;
    if (group >= groups_in_row) group -= groups_in_row;
  }
}

}  // namespace

void launch_conv_epilogue(const CudaStream& stream, const ConvFinish& finish, float* out, std::int64_t rows,
                          std::int64_t channels) {
  if (rows == 0 || channels == 0) return;
  const bool aligned = finish.in_fours(channels, out);
  const std::int64_t groups = rows * channels / (aligned ? 4 : 1), groups_in_row = channels / (aligned ? 4 : 1);
  (aligned ? conv_epilogue_kernel<4>
           : conv_epilogue_kernel<1>)<<<elementwise_blocks(stream, groups), elementwise_threads, 0, queue_of(stream)>>>(
      finish, out, groups, groups_in_row);
  check_launch("conv_epilogue_kernel");
}

}  // namespace ganforge
