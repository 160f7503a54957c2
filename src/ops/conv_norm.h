// A convolution with the batch normalisation of its result, and the gradient of one behind the convolution that makes
// dy (kernels/conv_norm.h). On the CPU, and where another algorithm does the convolution, they expand into the pair.
#pragma once

#include "src/ops/norm_absorber.h"

namespace ganforge {

class ConvDataOp;

/// The convolution's operands, γ, β, running mean, running var → h, y, mean, var, new running mean, new running var; h
/// is what the convolution makes.
Values conv_norm(const ConvDataOp& conv, const Values& in, const BatchNormOptions& options);
/// The convolution's operands, h, γ, β, mean, var → dx, dγ, dβ. No epilogue.
Values conv_norm_grad(const ConvDataOp& conv, const Values& in, const BatchNormOptions& options,
                      const Activation& input_act);

}  // namespace ganforge
