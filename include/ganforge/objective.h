// What the two networks minimise.
#pragma once

namespace ganforge {

/// kernels/gan_loss.h has the formulae.
enum class Objective {
  non_saturating,
  saturating,
  least_squares,
  hinge,
  wasserstein,
  relativistic_paired,
  relativistic_average
};

/// The discriminator judges a generated sample against real ones: the generator's loss wants both.
constexpr bool is_relativistic(Objective objective) {
  return objective == Objective::relativistic_paired || objective == Objective::relativistic_average;
}
/// What the discriminator's loss or accuracy counts for a sample depends on samples of the other kind.
constexpr bool compares_pairs(Objective objective) {
  return is_relativistic(objective) || objective == Objective::wasserstein;
}
/// Real samples have a target that can be softened: one-sided label smoothing.
constexpr bool has_target(Objective objective) {
  return objective == Objective::non_saturating || objective == Objective::saturating ||
         objective == Objective::least_squares;
}

}  // namespace ganforge
