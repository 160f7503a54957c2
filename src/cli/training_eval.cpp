#include "src/cli/training_eval.h"

#include "src/data/stacked.h"
#include "src/gan/metrics_mixture.h"
#include "src/gan/sample_images.h"

#include <fmt/format.h>

namespace ganforge {

TrainingEval::TrainingEval(const Config& config, Device& device)
    : config_(config), mixture_(find_mixture(config.data)) {
  if (const auto grey = stacked_from(config.data))
    stacked_ = std::make_unique<StackedEval>(device, *grey, std::nullopt);
  else if (!mixture_)
    images_ = std::make_unique<ImageEval>(device, data_parts_of(config), std::nullopt);
}

TrainingEval::Result TrainingEval::measure(Trainer& trainer) {
  const Samples samples = trainer.sample(config_.eval_samples);
  if (stacked_) {
    const StackedMetrics m = stacked_->measure(to_images(samples, "the samples"));
    return {{{"modes", static_cast<double>(m.modes)}, {"reverse_kl", m.reverse_kl}},
            m.reverse_kl,
            fmt::format("modes {}  reverse_kl {:.3f}", m.modes, m.reverse_kl)};
  }
  if (!mixture_) {
    const double frechet = images_->frechet(to_images(samples, "the samples"));
    return {{{"frechet", frechet}}, frechet, fmt::format("frechet {:.3f}", frechet)};
  }
  const MixtureMetrics m = mixture_metrics(samples.values, *mixture_);
  const auto modes = static_cast<double>(m.modes);
  // First the modes, then the share of good samples, which is below 1.
  return {{{"modes", modes},
           {"high_quality", m.high_quality},
           {"reverse_kl", m.reverse_kl},
           {"sigma_ratio", m.sigma_ratio}},
          -(modes + m.high_quality),
          fmt::format("modes {}  high_quality {:.4f}", m.modes, m.high_quality)};
}

}  // namespace ganforge
