// Batch normalisation over the rows of [groups · rows, channels] (Ioffe & Szegedy, arXiv:1502.03167), activation fused.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/stream.h>

#include <cstddef>
#include <cstdint>

namespace ganforge {

/// Training. Each of the `groups` (1 or 2) blocks of `rows` consecutive rows has statistics of its own:
///   y = act(γ·(x − mean)/√(var + eps) + β), var biased;
///   running ← momentum·running + (1 − momentum)·statistic, group after group, with the unbiased variance
///   (n/(n−1); with one row the biased one).
/// new_running_* may be the memory of running_*.
struct BatchNormArgs {
  const float* x;             // [groups · rows, channels]
  const float* gamma;         // [channels]
  const float* beta;          // [channels]
  const float* running_mean;  // [channels]
  const float* running_var;   // [channels]
  float* y;                   // [groups · rows, channels]
  float* mean;                // [groups, channels]
  float* var;                 // [groups, channels], biased
  float* new_running_mean;    // [channels]
  float* new_running_var;     // [channels]
  std::int64_t rows, channels;
  int groups;
  float eps, momentum;
  Activation act;
  void* workspace;  // batch_norm_workspace() bytes, any content
};
std::size_t batch_norm_workspace(const CpuStream&, std::int64_t rows, std::int64_t channels, int groups);
std::size_t batch_norm_workspace(const CudaStream&, std::int64_t rows, std::int64_t channels, int groups);
void batch_norm(const CpuStream&, const BatchNormArgs& args);
void batch_norm(const CudaStream&, const BatchNormArgs& args);

/// Gradient of the above with respect to x, γ and β:
///   dz = dy ⊙ act′(y), y from x as above;  dβ = Σ dz;  dγ = Σ dz·x̂ (both over all groups);
///   dx = γ/√(var+eps) · (dz − Σ_group dz / rows − x̂ · Σ_group dz·x̂ / rows) ⊙ input_act′(x)
///
/// `input_act` is the activation whose output x is (none: no mask). dx may be dy's memory. dgamma, dbeta may not alias
/// anything. workspace as above, of the same size.
struct BatchNormGradArgs {
  const float* dy;
  const float* x;
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* var;
  float* dx;
  float* dgamma;
  float* dbeta;
  std::int64_t rows, channels;
  int groups;
  float eps;
  Activation act, input_act;
  void* workspace;
};
void batch_norm_grad(const CpuStream&, const BatchNormGradArgs& args);
void batch_norm_grad(const CudaStream&, const BatchNormGradArgs& args);

/// Inference: y = act(γ·(x − mean)/√(var + eps) + β) with the running statistics; x [rows, channels].
struct BatchNormInferenceArgs {
  const float* x;
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* var;
  float* y;
  std::int64_t rows, channels;
  float eps;
  Activation act;
};
void batch_norm_inference(const CpuStream&, const BatchNormInferenceArgs& args);
void batch_norm_inference(const CudaStream&, const BatchNormInferenceArgs& args);

}  // namespace ganforge
