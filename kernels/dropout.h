// Dropout: a mask that is drawn where it is needed.
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// y[i] = u[i] < rate ? 0 : x[i] · scale, i < n, with u what uniform() gives for (seed, purpose_noise, draw, *tick) in
/// [0, 1). y may be x. `tick` is read on the stream's device.
struct DropoutArgs {
  const float* x;
  const std::int64_t* tick;
  float* y;
  std::int64_t n;
  std::uint64_t seed;
  std::uint32_t draw;
  float rate, scale;
};
void dropout(const CpuStream& stream, const DropoutArgs& args);
void dropout(const CudaStream& stream, const DropoutArgs& args);

}  // namespace ganforge
