// Adversarial losses with their gradient and statistics in one pass over the logits.
#pragma once

#include <ganforge/objective.h>
#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// Discriminator: logits [2n], the first half r on real images, the second f on generated ones. With target t for real:
///   non_saturating, saturating (Goodfellow et al., arXiv:1406.2661), binary cross-entropy with logits:
///     loss = mean(softplus(−r) + (1 − t)·r) + mean(softplus(f))
///   least_squares (Mao et al., arXiv:1611.04076, a = 0, b = t, c = 1):
///     loss = ½·mean((r − t)²) + ½·mean(f²)
///   hinge (Lim & Ye, arXiv:1705.02894):  loss = mean(max(0, 1 − r)) + mean(max(0, 1 + f))
///   wasserstein (Arjovsky et al., arXiv:1701.07875):  loss = mean(f) − mean(r)
///   relativistic_paired (Jolicoeur-Martineau, arXiv:1807.00734):  loss = mean(softplus(−(rᵢ − fᵢ)))
///   relativistic_average (ibid.):  loss = mean(softplus(−(r − mean(f)))) + mean(softplus(f − mean(r)))
///                                                                          no kernel: src/ops/gan_loss.cpp expands it
/// d_real, d_fake: mean of σ(logit) over a half. least_squares, hinge, wasserstein: of the logit itself.
///   relativistic: of σ(r − f) and σ(f − r), of a pair or against the other half's mean.
/// accuracy: share of the 2n logits on their side of the border (logit > 0; least_squares: > ½; relativistic_average: >
///   the other half's mean). wasserstein, relativistic_paired, which fix no border: share of pairs with rᵢ > fᵢ.
struct DiscriminatorLossArgs {
  const float* logits;                // [2n]
  float* loss;                        // scalar
  float* dlogits;                     // [2n]: d loss / d logits
  float *d_real, *d_fake, *accuracy;  // scalars
  std::int64_t n;
  Objective objective;
  float real_target;  // one-sided label smoothing (Salimans et al., arXiv:1606.03498); 1 is none
};
void discriminator_loss(const CpuStream& stream, const DiscriminatorLossArgs& args);
void discriminator_loss(const CudaStream& stream, const DiscriminatorLossArgs& args);

/// Generator: logits [n] on generated images.
///   non_saturating: mean(softplus(−f));  saturating: −mean(softplus(f));  least_squares: ½·mean((f − 1)²)
///   hinge, wasserstein: −mean(f);  relativistic_paired: mean(softplus(−(fᵢ − rᵢ))) with logits r [n] on real images
///   relativistic_average: mean(softplus(−(f − mean(r)))) + mean(softplus(r − mean(f))); no kernel
struct GeneratorLossArgs {
  const float* logits;
  const float* real;  // relativistic_paired, else null
  float* loss;
  float* dlogits;
  std::int64_t n;
  Objective objective;
};
void generator_loss(const CpuStream& stream, const GeneratorLossArgs& args);
void generator_loss(const CudaStream& stream, const GeneratorLossArgs& args);

}  // namespace ganforge
