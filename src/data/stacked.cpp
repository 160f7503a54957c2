#include "src/data/stacked.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <random>
#include <string_view>

namespace ganforge {
namespace {

constexpr std::string_view prefix = "stacked:";
constexpr std::int64_t channels = stacked_channels;

}  // namespace

std::optional<std::string> stacked_from(const std::string& name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  return name.substr(prefix.size());
}

HostDataset stack(const HostDataset& grey, std::int64_t count, std::uint64_t seed) {
  const auto k = static_cast<std::int64_t>(grey.classes.size());
  if (grey.type != DType::uint8 || grey.sample.rank() != 3 || grey.sample[2] != 1 || grey.labels.empty() || k > 10)
    throw FormatError(
        fmt::format("{}{}: labelled grey images of at most 10 classes can be stacked, but these are {}{}{}", prefix,
                    grey.name, grey.sample.str(), grey.labels.empty() ? " without labels" : "",
                    k > 10 ? fmt::format(" of {} classes", k) : ""));
  const auto pixels = static_cast<std::size_t>(grey.sample.elements());
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count) * pixels * channels);
  HostDataset data;
  data.name = fmt::format("stacked-{}", grey.name);
  data.sample = Shape{grey.sample[0], grey.sample[1], channels};
  data.count = count;
  data.format = fmt::format("three of {} a sample", grey.name);
  for (std::int64_t a = 0; a < k; ++a)
    for (std::int64_t b = 0; b < k; ++b)
      for (std::int64_t c = 0; c < k; ++c) data.classes.push_back(fmt::format("{}-{}-{}", a, b, c));

  std::mt19937_64 engine(seed);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t label = 0;
    for (std::size_t channel = 0; channel < channels; ++channel) {
      const std::size_t from = engine() % static_cast<std::uint64_t>(grey.count);
      label = label * k + grey.labels[from];
      const std::uint8_t* source = grey.pixels.data() + from * pixels;
      std::uint8_t* to = bytes.data() + static_cast<std::size_t>(i) * pixels * channels + channel;
      for (std::size_t p = 0; p < pixels; ++p) to[p * channels] = source[p];
    }
    data.labels.push_back(static_cast<std::int32_t>(label));
  }
  data.pixels = std::move(bytes);
  return data;
}

HostDataset unstack(const HostDataset& images) {
  if (images.type != DType::uint8 || images.sample.rank() != 3 || images.sample[2] != channels)
    throw ShapeError(fmt::format("images [height, width, {}] can be unstacked, {} are {}", channels, images.name,
                                 images.sample.str()));
  const auto pixels = static_cast<std::size_t>(images.sample[0] * images.sample[1]);
  std::vector<std::uint8_t> bytes(images.pixels.size());
  for (std::size_t i = 0; i < static_cast<std::size_t>(images.count); ++i)
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t p = 0; p < pixels; ++p)
        bytes[(i * channels + c) * pixels + p] = images.pixels[(i * pixels + p) * channels + c];
  HostDataset grey;
  grey.name = images.name;
  grey.sample = Shape{images.sample[0], images.sample[1], 1};
  grey.count = images.count * channels;
  grey.pixels = std::move(bytes);
  return grey;
}

}  // namespace ganforge
