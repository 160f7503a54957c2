// Fully connected layer: forward, input gradient, weight gradient. All tensors are row-major float32.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/stream.h>

#include <cstdint>
#include <span>

namespace ganforge {

/// y = act(x·wᵀ + b):  x [rows, in]  w [out, in]  b [out] or null  →  y [rows, out]
struct LinearArgs {
  const float* x;
  const float* w;
  const float* b;
  float* y;
  std::int64_t rows, in, out;
  Activation act;
};
void linear(const CpuStream& stream, const LinearArgs& args);
void linear(const CudaStream& stream, const LinearArgs& args);

/// dx = (dz·w) ⊙ act′(y):  dz [rows, out]  w [out, in]  y [rows, in] or null (no mask)  →  dx [rows, in]
///
/// y is the output of the activation that made the layer's input x (so y is x); act′ is taken from it.
struct LinearInputGradArgs {
  const float* dz;
  const float* w;
  const float* y;
  float* dx;
  std::int64_t rows, in, out;
  Activation act;
};
void linear_input_grad(const CpuStream& stream, const LinearInputGradArgs& args);
void linear_input_grad(const CudaStream& stream, const LinearInputGradArgs& args);

/// dw = dzᵀ·x, db = Σ_rows dz:  dz [rows, out]  x [rows, in]  →  dw [out, in]  db [out] or null
struct LinearWeightGradArgs {
  const float* dz;
  const float* x;
  float* dw;
  float* db;
  std::int64_t rows, in, out;
};
/// All layers of a network at once: one launch on CUDA, at most `max_linear_group` layers.
inline constexpr int max_linear_group = 16;
void linear_weight_grad(const CpuStream& stream, std::span<const LinearWeightGradArgs> layers);
void linear_weight_grad(const CudaStream& stream, std::span<const LinearWeightGradArgs> layers);

}  // namespace ganforge
