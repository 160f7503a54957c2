// A fully connected layer with the batch normalisation of its result, and the gradient of one behind the input gradient
// of the layer after it. For batches that no tile holds, and on the CPU, they expand into the pair.
#pragma once

#include "src/ops/norm_absorber.h"

namespace ganforge {

/// x, w, b (or none), γ, β, running mean, running var → h, y, mean, var, new running mean, new running var; h is what
/// the layer makes.
Values linear_norm(const Values& in, bool bias, const Activation& act, const BatchNormOptions& options);
/// dz, w, h, γ, β, mean, var → dx, dγ, dβ
Values linear_norm_grad(const Values& in, const BatchNormOptions& options, const Activation& input_act);

}  // namespace ganforge
