// How well samples match a mixture of normal distributions in the plane. The protocol of PacGAN (Lin et al.,
// arXiv:1712.04086, §4.1).
#pragma once

#include <ganforge/data.h>

#include <span>

namespace ganforge {

struct MixtureMetrics {
  std::int64_t modes = 0;  ///< with a high-quality sample or more
  /// Share of samples within 3σ of the nearest mode; 1 − e^−4.5 = 0.9889 for the mixture itself, more is a variance
  /// that is too small.
  double high_quality = 0;
  /// KL(q ‖ uniform), q the shares of the modes in the samples, each with its nearest mode. (modes − 1)/(2·n) is to be
  /// expected of n samples of the mixture itself.
  double reverse_kl = 0;
  /// Mean over the modes of a mode's standard deviation over the true one, from its high-quality samples, corrected for
  /// the cut at 3σ: 1 for the mixture itself. Modes with fewer than two samples are left out.
  double sigma_ratio = 0;
};

/// `samples` x, y, x, y, … Samples that are not finite are in no mode.
MixtureMetrics mixture_metrics(std::span<const float> samples, const Mixture& mixture);

}  // namespace ganforge
