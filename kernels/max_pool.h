// Max pooling of images and its two linear maps: the gradient, and the gradient's adjoint.
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

struct MaxPoolSizes {
  std::int64_t images, channels;
  std::int32_t height, width, out_height, out_width;    // of x and y
  std::int32_t window_h, window_w, stride_h, stride_w;  // windows lie inside x
};

/// y[n, p, q, c] = max of x over the window at (p·stride_h, q·stride_w); NaN if any is NaN.
struct MaxPoolArgs {
  const float* x;  // [images, height, width, channels]
  float* y;        // [images, out_height, out_width, channels]
  MaxPoolSizes sizes;
};
void max_pool(const CpuStream& stream, const MaxPoolArgs& args);
void max_pool(const CudaStream& stream, const MaxPoolArgs& args);

/// dx = Σ over the windows that an element lies in of [x = y]·dy / (how often the window has its maximum y).
struct MaxPoolGradArgs {
  const float *dy, *x, *y;  // like y, x, y
  float* dx;                // like x
  MaxPoolSizes sizes;
};
void max_pool_grad(const CpuStream& stream, const MaxPoolGradArgs& args);
void max_pool_grad(const CudaStream& stream, const MaxPoolGradArgs& args);

/// z = mean of v over those places of each window where x = y: the adjoint of max_pool_grad in dy.
struct MaxPoolPickArgs {
  const float *v, *x, *y;  // like x, x, y
  float* z;                // like y
  MaxPoolSizes sizes;
};
void max_pool_pick(const CpuStream& stream, const MaxPoolPickArgs& args);
void max_pool_pick(const CudaStream& stream, const MaxPoolPickArgs& args);

}  // namespace ganforge
