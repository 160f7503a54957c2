// Derivative of an activation, from its output, times a gradient.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// dx[i] = dy[i] · act′, i < n, the derivative taken from the activation's output y[i]. dx may be dy or y.
struct ActGradArgs {
  const float* dy;
  const float* y;
  float* dx;
  std::int64_t n;
  Activation act;
};
void act_grad(const CpuStream& stream, const ActGradArgs& args);
void act_grad(const CudaStream& stream, const ActGradArgs& args);

}  // namespace ganforge
