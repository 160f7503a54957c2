// Convolution as its definition says: the oracle on CUDA, and the last resort.
#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.cuh"
#include "kernels/elementwise.cuh"

namespace ganforge {
namespace {

// One thread per element of the result, whose sum it takes in the order of the loops below. One launch; operands are
// read again for each element that uses them, from the caches where they fit.
struct Forward {
  static __device__ float sum(const ConvShape& c, const ConvArgs& a, std::int64_t index) {
    const std::int64_t k = index % c.k, q = index / c.k % c.q, p = index / c.k / c.q % c.p, n = index / c.k / c.q / c.p;
    const std::int64_t channels = c.c / c.groups, first = k / (c.k / c.groups) * channels;
    float sum = 0.0f;
    for (std::int64_t r = 0; r < c.r; ++r) {
      const std::int64_t h = p * c.stride_h - c.pad_top + r * c.dilation_h;
      if (h < 0 || h >= c.h) continue;
      for (std::int64_t s = 0; s < c.s; ++s) {
        const std::int64_t column = q * c.stride_w - c.pad_left + s * c.dilation_w;
        if (column < 0 || column >= c.w) continue;
        const float* const x = a.x + ((n * c.h + h) * c.w + column) * c.c + first;
        const float* const w = a.w + ((k * c.r + r) * c.s + s) * channels;
        for (std::int64_t i = 0; i < channels; ++i) sum = fmaf(x[i], w[i], sum);
      }
    }
    return sum;
  }
};

struct Input {
  static __device__ float sum(const ConvShape& c, const ConvArgs& a, std::int64_t index) {
    const std::int64_t channel = index % c.c, column = index / c.c % c.w, h = index / c.c / c.w % c.h,
                       n = index / c.c / c.w / c.h;
    const std::int64_t channels = c.c / c.groups, filters = c.k / c.groups, first = channel / channels * filters;
    float sum = 0.0f;
    for (std::int64_t r = 0; r < c.r; ++r) {
      const std::int64_t high = h + c.pad_top - r * c.dilation_h, p = high / c.stride_h;
      if (high < 0 || high % c.stride_h != 0 || p >= c.p) continue;
      for (std::int64_t s = 0; s < c.s; ++s) {
        const std::int64_t left = column + c.pad_left - s * c.dilation_w, q = left / c.stride_w;
        if (left < 0 || left % c.stride_w != 0 || q >= c.q) continue;
        const float* const y = a.y + ((n * c.p + p) * c.q + q) * c.k + first;
        const float* const w = a.w + ((first * c.r + r) * c.s + s) * channels + channel % channels;
        for (std::int64_t k = 0; k < filters; ++k) sum = fmaf(y[k], w[k * c.r * c.s * channels], sum);
      }
    }
    return sum;
  }
};

struct Weight {
  static __device__ float sum(const ConvShape& c, const ConvArgs& a, std::int64_t index) {
    const std::int64_t channels = c.c / c.groups;
    const std::int64_t channel = index % channels, s = index / channels % c.s, r = index / channels / c.s % c.r,
                       k = index / channels / c.s / c.r;
    const std::int64_t first = k / (c.k / c.groups) * channels;
    float sum = 0.0f;
    for (std::int64_t n = 0; n < c.n; ++n) {
      for (std::int64_t p = 0; p < c.p; ++p) {
        const std::int64_t h = p * c.stride_h - c.pad_top + r * c.dilation_h;
        if (h < 0 || h >= c.h) continue;
        for (std::int64_t q = 0; q < c.q; ++q) {
          const std::int64_t column = q * c.stride_w - c.pad_left + s * c.dilation_w;
          if (column < 0 || column >= c.w) continue;
          sum = fmaf(a.y[((n * c.p + p) * c.q + q) * c.k + k],
                     a.x[((n * c.h + h) * c.w + column) * c.c + first + channel], sum);
        }
      }
    }
    return sum;
  }
};

template <class Direction>
__global__ void conv_direct_kernel(const __grid_constant__ ConvShape c, const __grid_constant__ ConvArgs args,
                                   ConvFinish finish, std::int64_t size, std::int64_t channels) {
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < size; i += threads) {
    args.out[i] = finish.at(Direction::sum(c, args, i), i, i % channels);
  }
}

template <class Direction>
void launch(const CudaStream& stream, const ConvShape& shape, const ConvArgs& args, const ConvFinish& finish,
            std::int64_t size, std::int64_t channels) {
  if (size == 0) return;
  conv_direct_kernel<Direction><<<elementwise_blocks(stream, size), elementwise_threads, 0, queue_of(stream)>>>(
      shape, args, finish, size, channels);
  check_launch("conv_direct_kernel");
}

}  // namespace

ConvPlan<CudaStream> plan_conv_direct(const CudaStream&, ConvDirection direction, const ConvShape& shape,
                                      const ConvEpilogue& epilogue) {
  ConvPlan<CudaStream> plan;
  plan.algorithm = "direct";
  plan.run = [=](const CudaStream& stream, const ConvArgs& a) {
    if (direction == ConvDirection::forward) {
      launch<Forward>(stream, shape, a, {epilogue, a}, shape.y_size(), shape.k);
    } else if (direction == ConvDirection::input) {
      launch<Input>(stream, shape, a, {epilogue, a}, shape.x_size(), shape.c);
    } else {
      launch<Weight>(stream, shape, a, {}, shape.w_size(), 1);
    }
  };
  return plan;
}

}  // namespace ganforge
