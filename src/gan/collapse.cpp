#include "src/gan/collapse.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ganforge {
namespace {

constexpr std::int64_t saturation_steps = 1000;
constexpr float sure = 0.999f, sure_of_fake = 0.01f;
constexpr double low_share = 0.1, fallen_to = 1.0 / 3;
constexpr std::int64_t warm_up = 1000;  // samples begin alike

/// Mean over the elements of their variance over the samples, by Welford's recurrence: `sample(i)` has element e at
/// [e].
template <class Sample>
double mean_variance(std::size_t count, std::size_t size, const Sample& sample) {
  std::vector<double> mean(size), squares(size);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& values = sample(i);
    for (std::size_t e = 0; e < size; ++e) {
      const double x = static_cast<double>(values[e]), distance = x - mean[e];
      mean[e] += distance / static_cast<double>(i + 1);
      squares[e] += distance * (x - mean[e]);
    }
  }
  double sum = 0;
  for (const double square : squares) sum += square;
  return count * size > 0 ? sum / static_cast<double>(count * size) : 0;
}

}  // namespace

double diversity(const Samples& samples) {
  const auto count = static_cast<std::size_t>(samples.shape[0]);
  const std::size_t size = count > 0 ? samples.values.size() / count : 0;
  return mean_variance(count, size, [&](std::size_t i) { return samples.values.data() + i * size; });
}

double diversity(const HostDataset& data, float low, float high) {
  const auto total = static_cast<std::size_t>(data.count), count = std::min<std::size_t>(total, 1000);
  const auto size = static_cast<std::size_t>(data.sample.elements());
  // Spread over the whole set: files are often sorted by class.
  const auto first = [&](std::size_t i) { return i * total / count * size; };
  if (data.type == DType::float32) {
    std::vector<float> point(size);
    return mean_variance(count, size, [&](std::size_t i) -> const std::vector<float>& {
      std::memcpy(point.data(), data.pixels.data() + first(i) * sizeof(float), size * sizeof(float));
      return point;
    });
  }
  const double scale = (static_cast<double>(high) - static_cast<double>(low)) / 255;
  return scale * scale * mean_variance(count, size, [&](std::size_t i) { return data.pixels.data() + first(i); });
}

std::optional<CollapseWatch::Event> CollapseWatch::look(const Stats& stats) {
  // Where logits have no scale, being sure has no meaning.
  const bool has_scale = has_target(objective_) || is_relativistic(objective_);
  if (!has_scale || stats.d_accuracy < sure || stats.d_fake > sure_of_fake) {
    saturated_since_ = 0;
    saturated_ = false;
    return std::nullopt;
  }
  if (saturated_since_ == 0) saturated_since_ = stats.step;
  if (saturated_ || stats.step - saturated_since_ < saturation_steps) return std::nullopt;
  saturated_ = true;
  return Event{
      "discriminator_saturated",
      fmt::format("the discriminator tells all samples apart since step {} (accuracy {:.3f}, d_fake {:.4f}): the "
                  "generator learns little from it; try a lower --lr-d or a penalty such as --r1 1",
                  saturated_since_, stats.d_accuracy, stats.d_fake)};
}

std::optional<CollapseWatch::Event> CollapseWatch::look(std::int64_t step, const Samples& samples) {
  if (data_diversity_ <= 0) return std::nullopt;
  const double share = diversity(samples) / data_diversity_;
  const bool fallen = share < fallen_to * std::min(most_diverse_, 1.0);
  most_diverse_ = std::max(most_diverse_, share);
  const bool was = std::exchange(alike_, fallen || (share < low_share && step >= warm_up));
  if (!alike_ || was) return std::nullopt;
  return Event{
      "low_diversity",
      fmt::format("the samples of step {} are much alike: they vary {:.0f} % as much as the data{}; the generator "
                  "may have collapsed to few of them: try --objective relativistic_paired --r1 1 --r2 1",
                  step, 100 * share, fallen ? fmt::format(", after {:.0f} %", 100 * most_diverse_) : "")};
}

}  // namespace ganforge
