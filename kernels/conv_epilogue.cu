#include "kernels/conv_epilogue.cuh"

#include "kernels/elementwise.cuh"

namespace ganforge {
namespace {

/// Of out, then bias and mask as far as there are.
template <bool bias, bool mask>
struct FinishFour {
  static constexpr int operands = 1 + bias + mask;
  ConvFinish finish;

  __device__ Four<float> operator()(const Four<float> (&in)[operands]) const {
    const auto four = [&](int k) { return make_float4(in[k].v[0], in[k].v[1], in[k].v[2], in[k].v[3]); };
    const float4 y = finish(four(0), four(bias ? 1 : 0), four(operands - 1));
    return {{y.x, y.y, y.z, y.w}};
  }
};

template <bool bias, bool mask>
void launch_fours(const CudaStream& stream, const ConvFinish& finish, float* out, std::int64_t rows,
                  std::int64_t channels) {
  RowsArgs<1 + bias + mask, float> args{{out}, {false}};
  if constexpr (bias) args.x[1] = finish.bias, args.is_row[1] = true;
  if constexpr (mask) args.x[bias + 1] = finish.mask;
  launch_rows(stream, FinishFour<bias, mask>{finish}, args, out, rows, channels / 4, "conv_epilogue");
}

// out ← finish(out), out [rows, channels], where channels are no multiple of four. Floor: one launch, 1R + 1W of out,
// mask once.
__global__ void conv_epilogue_kernel(ConvFinish finish, float* out, std::int64_t elements, std::int64_t channels) {
  const std::int64_t thread = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  const std::int64_t step = threads % channels;
  std::int64_t channel = thread % channels;
  for (std::int64_t i = thread; i < elements; i += threads) {
    out[i] = finish.at(out[i], i, channel);
    channel += step;
    if (channel >= channels) channel -= channels;
  }
}

}  // namespace

void launch_conv_epilogue(const CudaStream& stream, const ConvFinish& finish, float* out, std::int64_t rows,
                          std::int64_t channels) {
  if (rows == 0 || channels == 0) return;
  const std::int64_t elements = rows * channels;
  if (finish.in_fours(channels, out) && elements < (std::int64_t(1) << 31)) {
    if (finish.bias && finish.mask)
      launch_fours<true, true>(stream, finish, out, rows, channels);
    else if (finish.bias)
      launch_fours<true, false>(stream, finish, out, rows, channels);
    else if (finish.mask)
      launch_fours<false, true>(stream, finish, out, rows, channels);
    else
      launch_fours<false, false>(stream, finish, out, rows, channels);
    return;
  }
  conv_epilogue_kernel<<<elementwise_blocks(stream, elements), elementwise_threads, 0, queue_of(stream)>>>(
      finish, out, elements, channels);
  check_launch("conv_epilogue_kernel");
}

}  // namespace ganforge
