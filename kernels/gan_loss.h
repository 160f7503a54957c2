// Adversarial losses with their gradient and statistics in one pass over the logits.
#pragma once

#include <ganforge/objective.h>
#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// Discriminator: logits [2n], the first half on real images, the second on generated ones. With target t for real:
///   non_saturating, saturating (Goodfellow et al., arXiv:1406.2661), binary cross-entropy with logits:
///     loss = mean(softplus(−r) + (1 − t)·r) + mean(softplus(f))        r, f: logits of real, fake
///   least_squares (Mao et al., arXiv:1611.04076, a = 0, b = t, c = 1):
///     loss = ½·mean((r − t)²) + ½·mean(f²)
/// d_real, d_fake: mean of σ(logit) over a half (least_squares: of the logit itself).
/// accuracy: share of the 2n logits on their side of the border (logit > 0; least_squares: > ½).
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
struct GeneratorLossArgs {
  const float* logits;
  float* loss;
  float* dlogits;
  std::int64_t n;
  Objective objective;
};
void generator_loss(const CpuStream& stream, const GeneratorLossArgs& args);
void generator_loss(const CudaStream& stream, const GeneratorLossArgs& args);

}  // namespace ganforge
