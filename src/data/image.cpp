#include "src/data/pixel.h"

#include <ganforge/data.h>
#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ganforge {
namespace {

constexpr std::int64_t border = 2;
constexpr std::int64_t wanted_side = 500;
constexpr std::uint8_t border_grey = 96;

/// Pixels along `tiles` tiles of `extent` pixels with a border around each.
std::int64_t side(std::int64_t tiles, std::int64_t extent) {
  return tiles * (extent + border) + border;
}

}  // namespace

Image make_grid(std::span<const float> samples, const Shape& sample, float low, float high, int columns) {
  if (sample.rank() != 3 || (sample[2] != 1 && sample[2] != 3) || sample.elements() <= 0) {
    throw ShapeError(fmt::format("an image is [height, width, 1 or 3], got {}", sample.str()));
  }
  if (!(low < high) || !std::isfinite(low) || !std::isfinite(high)) {
    throw ConfigError(fmt::format("the range of an image's values must be low < high, got [{}, {}]", low, high));
  }
  const std::int64_t height = sample[0], width = sample[1], channels = sample[2];
  const std::int64_t count = static_cast<std::int64_t>(samples.size()) / sample.elements();
  if (count == 0 || static_cast<std::int64_t>(samples.size()) != count * sample.elements()) {
    throw ShapeError(fmt::format("{} values are not a whole number of images {}", samples.size(), sample.str()));
  }
  if (columns < 0) throw ConfigError(fmt::format("a grid needs 1 column or more, got {}", columns));

  const auto square = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const std::int64_t across = columns > 0 ? std::min<std::int64_t>(columns, count) : square;
  const std::int64_t down = (count + across - 1) / across;
  std::int64_t scale = 1;
  while (std::max(side(across, scale * width), side(down, scale * height)) < wanted_side) ++scale;
  const std::int64_t grid_width = side(across, scale * width), grid_height = side(down, scale * height);
  if (std::max(grid_width, grid_height) > std::numeric_limits<int>::max()) {
    throw ShapeError(fmt::format("a grid of {} x {} images {} is too large for an image", across, down, sample.str()));
  }

  Image grid{static_cast<int>(grid_width), static_cast<int>(grid_height), static_cast<int>(channels), {}};
  grid.pixels.assign(static_cast<std::size_t>(grid_width * grid_height * channels), border_grey);
  const double factor = 255.0 / (static_cast<double>(high) - low);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t top = border + i / across * (scale * height + border);
    const std::int64_t left = border + i % across * (scale * width + border);
    for (std::int64_t y = 0; y < scale * height; ++y) {
      const float* from = samples.data() + (i * height + y / scale) * width * channels;
      std::uint8_t* to = grid.pixels.data() + ((top + y) * grid_width + left) * channels;
      for (std::int64_t x = 0; x < scale * width; ++x) {
        for (std::int64_t c = 0; c < channels; ++c) *to++ = to_byte(from[x / scale * channels + c], low, factor);
      }
    }
  }
  return grid;
}

}  // namespace ganforge
