// Normalisation of each sample by blocks of channels (Wu & He, arXiv:1803.08494), activation fused. A group per channel
// is instance normalisation, one group layer normalisation.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/stream.h>

#include <cstddef>
#include <cstdint>

namespace ganforge {

struct GroupNormSizes {
  std::int64_t samples, pixels, channels, groups;  // groups divides channels
};

/// mean and var (biased) of a sample's group are over its pixels and the group's channels / groups channels:
///   y = act(γ·(x − mean)/√(var + eps) + β), γ and β by channel
struct GroupNormArgs {
  const float* x;      // [samples, pixels, channels]
  const float* gamma;  // [channels]
  const float* beta;   // [channels]
  float* y;            // [samples, pixels, channels]
  float* mean;         // [samples, groups]
  float* var;          // [samples, groups]
  GroupNormSizes sizes;
  float eps;
  Activation act;
  void* workspace;  // group_norm_workspace() bytes, any content
};
std::size_t group_norm_workspace(const CpuStream&, const GroupNormSizes& sizes);
std::size_t group_norm_workspace(const CudaStream&, const GroupNormSizes& sizes);
void group_norm(const CpuStream& stream, const GroupNormArgs& args);
void group_norm(const CudaStream& stream, const GroupNormArgs& args);

/// Gradient of the above. With x̂ = (x − mean)/√(var + eps), m = pixels · channels / groups, dz = dy ⊙ act′(y), y from
/// x:
///   dx = (γ·dz − Σ_group γ·dz / m − x̂ · Σ_group γ·dz·x̂ / m) / √(var + eps)
///   parameters [n, 0, c] = Σ_pixels dz·x̂, [n, 1, c] = Σ_pixels dz: their sums over the samples are dγ and dβ
/// dx may be dy's memory. workspace as above, of the same size.
struct GroupNormGradArgs {
  const float* dy;
  const float* x;
  const float* gamma;
  const float* beta;
  const float* mean;
  const float* var;
  float* dx;
  float* parameters;  // [samples, 2, channels]
  GroupNormSizes sizes;
  float eps;
  Activation act;
  void* workspace;
};
void group_norm_grad(const CpuStream& stream, const GroupNormGradArgs& args);
void group_norm_grad(const CudaStream& stream, const GroupNormGradArgs& args);

}  // namespace ganforge
