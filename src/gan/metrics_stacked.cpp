#include "src/gan/metrics_stacked.h"

#include "src/data/stacked.h"

#include <cmath>
#include <vector>

namespace ganforge {

StackedMetrics stacked_metrics(std::span<const std::int32_t> classes, std::int64_t k) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(k * k * k));
  for (std::size_t i = 0; i + stacked_channels <= classes.size(); i += stacked_channels) {
    std::int64_t mode = 0;
    for (std::size_t c = 0; c < stacked_channels; ++c) mode = mode * k + classes[i + c];
    ++counts[static_cast<std::size_t>(mode)];
  }
  StackedMetrics metrics;
  const double n = static_cast<double>(classes.size() / stacked_channels);
  for (const std::int64_t count : counts) {
    if (count == 0) continue;
    ++metrics.modes;
    const double share = static_cast<double>(count) / n;
    metrics.reverse_kl += share * std::log(share * static_cast<double>(counts.size()));
  }
  return metrics;
}

}  // namespace ganforge
