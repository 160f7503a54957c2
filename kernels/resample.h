// Linear maps between images of different sizes, the same for rows and columns: average and sum pooling, nearest and
// bilinear upsampling, and their adjoints.
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

enum class Resampling {
  box,          ///< sum over a window; windows begin `stride` apart
  box_adjoint,  ///< each element to all of its window; window = stride: nearest upsampling
  hat,          ///< bilinear by a whole factor (= stride), half-pixel centres, edges clamped
  hat_adjoint
};

struct ResampleAxis {
  std::int32_t from, to;        // extents of x and y
  std::int32_t window, stride;  // of the box; hat: stride is the factor
};

/// y[n, p, q, c] = scale · Σ over i, j of a(p, i)·b(q, j)·x[n, i, j, c], a and b by kernels/resample_taps.h: weights of
/// a box are 1, those of a hat whole numbers, 2·factor times the hat function. An element of y that has no inputs is 0.
struct ResampleArgs {
  const float* x;  // [images, vertical.from, horizontal.from, channels]
  float* y;        // [images, vertical.to, horizontal.to, channels]
  std::int64_t images, channels;
  ResampleAxis vertical, horizontal;
  Resampling kind;
  float scale;
};
void resample(const CpuStream& stream, const ResampleArgs& args);
void resample(const CudaStream& stream, const ResampleArgs& args);

}  // namespace ganforge
