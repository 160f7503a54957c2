// How close generated samples are to real ones, as features of both tell. None of this needs a download; and none of it
// is an FID or a KID, which are these distances between features of one particular network.
#pragma once

#include <ganforge/device.h>

#include <cstdint>
#include <span>
#include <vector>

namespace ganforge {

/// `count` samples of `size` numbers, one after another.
struct Features {
  std::int64_t count = 0, size = 0;
  std::vector<float> values;
};

/// Of samples against a reference. The same numbers of two sets of real samples are the floor: what can be reached with
/// so many.
struct FeatureMetrics {
  /// Fréchet distance of the normal distributions with the two means and covariances (Dowson & Landau 1982):
  /// ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½). Biased upwards by about 1/count: compare at the same count alone.
  double frechet = 0;
  /// Unbiased estimate of MMD² with the kernel (x·y/size + 1)³ (Gretton et al. 2012, lemma 6, over all pairs; the
  /// kernel is that of arXiv:1801.01401). Around 0 for equal distributions, and then negative as often as not.
  double kernel = 0;
  /// Shares of the samples, and of the reference, within the others' balls to the 3rd nearest neighbour (Kynkäänniemi
  /// et al., arXiv:1904.06991).
  double precision = 0, recall = 0;
  /// Naeem et al., arXiv:2002.09797, with balls to the 5th nearest neighbour in the reference: how many a sample lies
  /// in on average, over 5; and the share of balls that hold a sample. Density may be above 1.
  double density = 0, coverage = 0;
};

/// Throws ShapeError unless both have the same size, ConfigError for fewer than 6 samples. Sums are float64; the work
/// is done by the device's threads if it is a CPU, else by all cores.
FeatureMetrics compare(const Features& samples, const Features& reference, Device& device);
/// FeatureMetrics::frechet alone.
double frechet_distance(const Features& samples, const Features& reference);

/// KL(q ‖ p) of the classes' shares, q of the samples and p of the reference. A class that the reference lacks counts
/// there as half a sample.
double class_kl(std::span<const std::int32_t> samples, std::span<const std::int32_t> reference, std::int64_t classes);

}  // namespace ganforge
