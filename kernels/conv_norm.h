// Convolution followed by batch normalisation of its result, and the gradient of a batch normalisation behind the
// convolution that makes dy: one launch each on CUDA. conv2d.h and batch_norm.h have the formulae.
#pragma once

#include "kernels/batch_norm.h"
#include "kernels/conv2d.h"

#include <cstddef>
#include <functional>

namespace ganforge {

/// `Norm` is BatchNormArgs, or BatchNormGradArgs for the gradient. The convolution's result, an image of norm.channels,
/// is norm.x (the same as conv.out), or norm.dy, which is not stored: both of these are null. The groups are parts of
/// the batch of equal size. Tensors of images are aligned to 16 bytes; norm.workspace is not used.
template <class Norm>
struct ConvNormPlan {
  std::size_t workspace = 0;  ///< as in ConvPlan, for the memory in ConvArgs
  std::size_t tickets = 0;
  std::function<void(const CudaStream&, const ConvArgs& conv, const Norm& norm)> run;

  explicit operator bool() const { return static_cast<bool>(run); }
};
/// Empty where there is no kernel for it, or where the policy gives the convolution to another one.
ConvNormPlan<BatchNormArgs> plan_conv_norm(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&,
                                           int groups, const ConvPolicy&);
ConvNormPlan<BatchNormGradArgs> plan_conv_norm_grad(const CudaStream&, ConvDirection, const ConvShape&, int groups,
                                                    const ConvPolicy&);

/// Whether the policy gives the sub-pixel kernels a convolution that they can do and that something is fused to.
bool chooses_subpixel(const CudaStream&, ConvDirection, const ConvShape&, const ConvPolicy&);

}  // namespace ganforge
