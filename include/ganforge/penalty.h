// Regularisers of the discriminator: by the gradient of its logits with respect to its input. Exact, by differentiating
// twice.
#pragma once

#include <ganforge/graph.h>
#include <ganforge/schedule.h>

namespace ganforge {

/// Σ (∂D(xᵢ)/∂xᵢ)² over all of a sample's elements: logits = D(x), one a sample (or pack of neighbours), x [N, …] → one
/// number a logit. A discriminator that
/// mixes samples (batch norm) has no such gradient: what comes out is then that of the sum of all logits.
Value squared_gradient_norms(Value logits, Value x);

/// ½·mean(‖∇ₓD(x)‖²): on real samples R1, on generated ones R2 (Mescheder et al., arXiv:1801.04406).
Value zero_centred_penalty(Value logits, Value x);

/// mean((‖∇ₓD(x)‖₂ − 1)²), the two-norm as √(Σ + 1e-12) (Gulrajani et al., arXiv:1704.00028).
Value one_centred_penalty(Value logits, Value x);

/// real + share·(fake − real): share [N, 1, …, 1], or anything that is broadcast.
Value interpolate(Value real, Value fake, Value share);

/// A penalty of a training run; weight · its value is added to the discriminator's loss.
struct Penalty {
  enum class Kind {
    r1,  ///< zero-centred, on real samples
    r2,  ///< zero-centred, on generated samples
    gp,  ///< one-centred, between real and generated samples: a share from U(0, 1) each (WGAN-GP)
    /// One-centred, between real samples x and x + ½·std(x)·U(0, 1), std over the whole batch, a share from U(0, 1)
    /// each (Kodali et al., arXiv:1705.07215, with the noise of the authors' code).
    dragan,
    /// mean((D(x) − D(T(x)))²) on real samples, T the augmentation that the discriminator's samples go through
    /// (consistency regularisation: Zhang et al., arXiv:1910.12027).
    consistency
  };
  Kind kind = Kind::r1;
  float weight = 1;  ///< γ of r1 and r2, λ of the others
  Decay decay = {};  ///< of the weight
  int interval = 1;  ///< every so many steps, then times `interval` (lazy regularisation, arXiv:1912.04958)
  friend bool operator==(const Penalty&, const Penalty&) = default;
};

}  // namespace ganforge
