// How a batch normalisation gets into the fully connected layer before it, and its gradient into the input gradient of
// the layer after it. For batches that no tile holds, and on the CPU, the fused ops expand into the pair.
#pragma once

#include <ganforge/ops.h>

namespace ganforge {

/// An op whose result batch_norm() may take over.
class BatchNormAbsorber {
 public:
  virtual ~BatchNormAbsorber() = default;
  /// y, mean, var, new running mean, new running var of batch_norm's options; `in` are the op's operands, `norm` is γ,
  /// β, running mean, running var.
  virtual Values absorb_batch_norm(const Values& in, const Values& norm, const BatchNormOptions& options) const = 0;
};

/// An op whose result the gradient of such a batch_norm() may take over.
class BatchNormGradAbsorber {
 public:
  virtual ~BatchNormGradAbsorber() = default;
  /// dx, dγ, dβ; `norm` is x, γ, β, mean, var. Empty if it cannot be done.
  virtual Values absorb_batch_norm_grad(const Values& in, const Values& norm, const BatchNormOptions& options,
                                        const Activation& input_act) const = 0;
};

/// x, w, b (or none), γ, β, running mean, running var → h, y, mean, var, new running mean, new running var; h is what
/// the layer makes.
Values linear_norm(const Values& in, bool bias, const Activation& act, const BatchNormOptions& options);
/// dz, w, h, γ, β, mean, var → dx, dγ, dβ
Values linear_norm_grad(const Values& in, const BatchNormOptions& options, const Activation& input_act);

/// The ops that those expand to; operands and results as above.
Values plain_batch_norm(const Values& in, const BatchNormOptions& options);
Values plain_batch_norm_grad(const Values& in, const BatchNormOptions& options, const Activation& input_act);

}  // namespace ganforge
