#include "src/gan/metrics_mixture.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ganforge {
namespace {

constexpr double reach = 3;  // standard deviations

/// E[r²]/(2σ²) of a round normal distribution cut at r = 3σ: 1 − ½·reach²·e/(1 − e) with e = exp(−½·reach²).
double variance_left() {
  const double e = std::exp(-0.5 * reach * reach);
  return 1 - 0.5 * reach * reach * e / (1 - e);
}

struct Mode {
  double all = 0, count = 0;         // samples nearest to it; of those, the high-quality ones
  double x = 0, y = 0, squares = 0;  // sums over the latter, of what is relative to the centre
};

}  // namespace

MixtureMetrics mixture_metrics(std::span<const float> samples, const Mixture& mixture) {
  const auto sigma = static_cast<double>(mixture.sigma);
  std::vector<Mode> modes(mixture.centres.size());
  double finite = 0;
  for (std::size_t i = 0; i + 1 < samples.size(); i += 2) {
    const auto x = static_cast<double>(samples[i]), y = static_cast<double>(samples[i + 1]);
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    ++finite;
    std::size_t nearest = 0;
    double dx = 0, dy = 0, best = std::numeric_limits<double>::infinity();
    for (std::size_t m = 0; m < modes.size(); ++m) {
      const double mx = x - static_cast<double>(mixture.centres[m][0]);
      const double my = y - static_cast<double>(mixture.centres[m][1]);
      if (mx * mx + my * my >= best) continue;
      best = mx * mx + my * my;
      nearest = m, dx = mx, dy = my;
    }
    Mode& mode = modes[nearest];
    ++mode.all;
    if (best > reach * reach * sigma * sigma) continue;
    ++mode.count;
    mode.x += dx, mode.y += dy, mode.squares += best;
  }

  MixtureMetrics metrics;
  double high_quality = 0, ratios = 0, measured = 0;
  for (const Mode& mode : modes) {
    high_quality += mode.count;
    metrics.modes += mode.count > 0;
    if (mode.all > 0) {
      const double share = mode.all / finite;
      metrics.reverse_kl += share * std::log(share * static_cast<double>(modes.size()));
    }
    if (mode.count < 2) continue;
    const double spread = mode.squares - (mode.x * mode.x + mode.y * mode.y) / mode.count;
    const double variance = std::max(spread, 0.0) / (2 * (mode.count - 1)) / variance_left();
    ratios += std::sqrt(variance) / sigma;
    ++measured;
  }
  const auto n = static_cast<double>(samples.size() / 2);
  if (n > 0) metrics.high_quality = high_quality / n;
  if (measured > 0) metrics.sigma_ratio = ratios / measured;
  return metrics;
}

}  // namespace ganforge
