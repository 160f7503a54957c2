// The norm of a gradient, for clipping (Pascanu et al., arXiv:1211.5063).
#pragma once

#include <ganforge/stream.h>

#include <cstddef>
#include <cstdint>

namespace ganforge {

/// *scale = factor · min(1, max_norm / (factor · ‖g‖₂ + 1e-6)), 1e-6 as in PyTorch: what g is to be multiplied by so
/// that factor · g is no longer than max_norm. A norm that is not finite gives NaN. g [n]; parts of fixed size are
/// summed in order.
struct GradientNormArgs {
  const float* g;
  float* scale;
  std::int64_t n;
  float max_norm, factor;
  void* workspace;   // gradient_norm_workspace() bytes, any content
  unsigned* ticket;  // CUDA: zero before the first launch; the kernel leaves it zero
};
inline constexpr std::int64_t norm_part = 16384;
std::size_t gradient_norm_workspace(std::int64_t n);
void gradient_norm(const CpuStream& stream, const GradientNormArgs& args);
void gradient_norm(const CudaStream& stream, const GradientNormArgs& args);

}  // namespace ganforge
