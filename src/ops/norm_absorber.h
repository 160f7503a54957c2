// How a batch normalisation gets into the layer before it, and its gradient into the op that makes dy.
#pragma once

#include <ganforge/ops.h>

#include <string>

namespace ganforge {

/// An op whose result batch_norm() may take over.
class BatchNormAbsorber {
 public:
  virtual ~BatchNormAbsorber() = default;
  /// y, mean, var, new running mean, new running var of batch_norm's options; `in` are the op's operands, `norm` is γ,
  /// β, running mean, running var. Empty if it cannot be done.
  virtual Values absorb_batch_norm(const Values& in, const Values& norm, const BatchNormOptions& options) const = 0;
};

/// An op whose result the gradient of a batch_norm() may take over.
class BatchNormGradAbsorber {
 public:
  virtual ~BatchNormGradAbsorber() = default;
  /// dx, dγ, dβ; `norm` is x, shaped like the op's result, γ, β, mean, var. Empty if it cannot be done.
  virtual Values absorb_batch_norm_grad(const Values& in, const Values& norm, const BatchNormOptions& options,
                                        const Activation& input_act) const = 0;
};

/// The ops that those expand to: x [rows, channels], γ, β, running mean, running var → y, mean, var, new running mean,
/// new running var …
Values plain_batch_norm(const Values& in, const BatchNormOptions& options);
/// … and dy [rows, channels], x, γ, β, mean, var → dx, dγ, dβ.
Values plain_batch_norm_grad(const Values& in, const BatchNormOptions& options, const Activation& input_act);

/// dx, dγ, dβ: in the op that makes dy, if that can do it. `norm` is x […, channels], γ, β, mean, var; dy has as many
/// elements as x, and dx is shaped like x. `input_act` is the activation whose output x is.
Values batch_norm_grad(Value dy, const Values& norm, const BatchNormOptions& options, const Activation& input_act);

/// dx of `masked`, the same op as dx's with the mask of x's activation. dγ and dβ are the same: with them read from
/// there, the op without the mask has no reader left.
Value read_masked(Value dx, const Values& masked);

/// [..., channels] → [rows, channels]
Value as_rows(Value x);
/// What a value is before reshapes.
Value before_reshapes(Value value);

std::string describe_norm(const BatchNormOptions& options);

}  // namespace ganforge
