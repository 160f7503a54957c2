// DiffAugment (Zhao et al., arXiv:2006.10738) and its adjoint, a sample at a time.
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

inline constexpr int numbers_per_sample = 10;

/// With the changes of sample n that numbers[n] and *probability make (augment_sample.h): brightness b, saturation s,
/// contrast c, a shift and a rectangle.
///   forward:  ȳ[p] = c·s·x[p] + c·(1 − s)·mean over channels of x[p] + (1 − c)·mean of x + b;
///             y[p] = ȳ[p + shift], or `middle` where that is outside or p is in the rectangle
///   adjoint:  x is a cotangent: x̄[p] = x[p − shift], or 0 where that is outside or in the rectangle;
///             y[p] = c·s·x̄[p] + c·(1 − s)·mean over channels of x̄[p] + (1 − c)·mean of x̄
/// The colours are symmetric, so the two differ in the order alone. Images [n, h, w, channels]; y is not x.
struct AugmentArgs {
  const float *x, *numbers, *probability;  // numbers [n, numbers_per_sample]
  float* y;
  std::int64_t n, h, w, channels;
  bool color, translation, cutout, adjoint;
  float half_range, middle;  // brightness is within ± half of it; both 0: the linear part alone
};
void augment(const CpuStream& stream, const AugmentArgs& args);
void augment(const CudaStream& stream, const AugmentArgs& args);

}  // namespace ganforge
