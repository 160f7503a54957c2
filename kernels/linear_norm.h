// Fully connected layer followed by batch normalisation of its output, and the gradient of the latter behind the input
// gradient of the layer after it: one launch each on CUDA, for batches that a tile holds. linear.h and batch_norm.h
// have the formulae.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

inline constexpr std::int64_t max_linear_norm_rows = 128;

/// h = act(x·wᵀ + b); y = norm_act(γ·(h − mean)/√(var + eps) + β), one group of statistics.
/// 1 ≤ rows ≤ max_linear_norm_rows. new_running_* may be the memory of running_*.
struct LinearNormArgs {
  const float* x;      // [rows, in]
  const float* w;      // [out, in]
  const float* b;      // [out] or null
  const float* gamma;  // [out], and so are the statistics
  const float* beta;
  const float* running_mean;
  const float* running_var;
  float* h;  // [rows, out]
  float* y;  // [rows, out]
  float* mean;
  float* var;
  float* new_running_mean;
  float* new_running_var;
  std::int64_t rows, in, out;
  Activation act, norm_act;
  float eps, momentum;
};
void linear_norm(const CudaStream& stream, const LinearNormArgs& args);

/// dy = dz·w, and from it dx, dγ, dβ as batch_norm_grad() makes them, `h` being what was normalised, of rows and `in`
/// columns. 1 ≤ rows ≤ max_linear_norm_rows.
struct LinearNormGradArgs {
  const float* dz;     // [rows, out]
  const float* w;      // [out, in]
  const float* h;      // [rows, in]
  const float* gamma;  // [in], and so are the others
  const float* beta;
  const float* mean;
  const float* var;
  float* dx;  // [rows, in]
  float* dgamma;
  float* dbeta;
  std::int64_t rows, in, out;
  Activation norm_act, input_act;  // input_act: whose output h is
  float eps;
};
void linear_norm_grad(const CudaStream& stream, const LinearNormGradArgs& args);

}  // namespace ganforge
