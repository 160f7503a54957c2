// What tests of trainers share.
#pragma once

#include <ganforge/gan.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ganforge {

/// Images of noise, without labels.
inline HostDataset noise_images(std::int64_t count, const Shape& sample, std::uint32_t seed = 1) {
  HostDataset data{"noise", sample, count, {}, {}, {}};
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count * sample.elements()));
  std::uint32_t state = seed;
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  data.pixels = std::move(pixels);
  return data;
}

/// What every `every`-th of so many steps reports.
inline std::vector<Stats> train(Trainer& trainer, std::int64_t steps, std::int64_t every = 1) {
  std::vector<Stats> all;
  trainer.run(
      steps, [&](const Stats& s) { all.push_back(s); }, every);
  return all;
}

inline std::vector<float> weights(Trainer& trainer, Network& network) {
  std::vector<float> values(static_cast<std::size_t>(network.weights().type.shape.elements()));
  trainer.store().download(network.weights(), values.data());
  return values;
}

/// Every variable, byte by byte.
inline std::map<std::string, std::vector<std::byte>> contents(Trainer& trainer) {
  std::map<std::string, std::vector<std::byte>> all;
  for (const Variable& variable : trainer.store().variables()) {
    all[variable.name].resize(variable.type.bytes());
    trainer.store().download(variable, all[variable.name].data());
  }
  return all;
}

/// The largest difference; NaN if there is one.
inline double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double apart = std::abs(static_cast<double>(a[i]) - static_cast<double>(b.at(i)));
    if (!(apart <= most)) most = apart;
    if (std::isnan(most)) break;
  }
  return most;
}

/// The lines behind `preset = …` in a file are refused with a message that contains `what`.
inline void expect_config_error(const std::string& preset, const std::string& toml, const std::string& what) {
  try {
    parse_config("preset = \"" + preset + "\"\n" + toml, "a.toml");
    ADD_FAILURE() << "accepted: " << toml;
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
}

}  // namespace ganforge
