// Mixtures of normal distributions in the plane.
#include <ganforge/data.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <random>

namespace ganforge {
namespace {

Mixture ring8() {
  Mixture mixture{"ring8", {}, 0.01f};
  for (int k = 0; k < 8; ++k) {
    const double angle = k * std::numbers::pi / 4;
    mixture.centres.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
  }
  return mixture;
}

Mixture grid25() {
  Mixture mixture{"grid25", {}, 0.05f};
  for (int i = -2; i <= 2; ++i)
    for (int j = -2; j <= 2; ++j)
      mixture.centres.push_back({2.0f * static_cast<float>(i), 2.0f * static_cast<float>(j)});
  return mixture;
}

}  // namespace

const Mixture* find_mixture(const std::string& name) {
  static const Mixture mixtures[] = {ring8(), grid25()};
  for (const Mixture& mixture : mixtures)
    if (mixture.name == name) return &mixture;
  return nullptr;
}

HostDataset sample_mixture(const Mixture& mixture, std::int64_t count, std::uint64_t seed) {
  // The standard fixes the engine's numbers, but not those of its normal distribution: Box & Muller.
  std::mt19937_64 engine(seed);
  const auto uniform = [&] { return (static_cast<double>(engine() >> 11) + 0.5) * 0x1p-53; };
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count) * 2 * sizeof(float));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& centre = mixture.centres[static_cast<std::size_t>(i) % mixture.centres.size()];
    const double radius = static_cast<double>(mixture.sigma) * std::sqrt(-2 * std::log(uniform()));
    const double angle = 2 * std::numbers::pi * uniform();
    const float point[2] = {static_cast<float>(static_cast<double>(centre[0]) + radius * std::cos(angle)),
                            static_cast<float>(static_cast<double>(centre[1]) + radius * std::sin(angle))};
    std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof(point), point, sizeof(point));
  }
  HostDataset data;
  data.name = mixture.name;
  data.sample = Shape{2};
  data.count = count;
  data.pixels = std::move(bytes);
  data.format = "mixture";
  data.type = DType::float32;
  return data;
}

}  // namespace ganforge
