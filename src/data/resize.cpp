#include "src/data/resize.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ganforge {
namespace {

constexpr std::int64_t max_sample_side = 16384;

/// What one output pixel is made of: `weights` of the inputs from `first` on.
struct Tap {
  std::int64_t first = 0;
  std::vector<float> weights;
};

/// Taps of `out` pixels over the part [begin, begin + length) of `in` pixels.
std::vector<Tap> make_taps(std::int64_t in, double begin, double length, std::int64_t out) {
  const double scale = length / static_cast<double>(out), support = std::max(scale, 1.0);
  std::vector<Tap> taps(static_cast<std::size_t>(out));
  for (std::int64_t i = 0; i < out; ++i) {
    const double centre = begin + (static_cast<double>(i) + 0.5) * scale;
    // Input j covers [j, j + 1]; its weight is the filter's value at its centre.
    const auto first = static_cast<std::int64_t>(std::floor(centre - support));
    const auto last = static_cast<std::int64_t>(std::ceil(centre + support));
    Tap& tap = taps[static_cast<std::size_t>(i)];
    tap.first = std::clamp<std::int64_t>(first, 0, in - 1);
    double sum = 0;
    for (std::int64_t j = tap.first; j < std::min(last, in); ++j) {
      const double weight = std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - centre) / support);
      tap.weights.push_back(static_cast<float>(weight));
      sum += weight;
    }
    for (float& weight : tap.weights) weight = static_cast<float>(weight / sum);
  }
  return taps;
}

/// Rows to `width` pixels, as floats.
std::vector<float> resize_rows(const Image& image, const std::vector<Tap>& taps, std::int64_t first_row,
                               std::int64_t rows) {
  const auto channels = static_cast<std::size_t>(image.channels);
  std::vector<float> out(static_cast<std::size_t>(rows) * taps.size() * channels);
  float* to = out.data();
  for (std::int64_t y = first_row; y < first_row + rows; ++y) {
    const std::uint8_t* row =
        image.pixels.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) * channels;
    for (const Tap& tap : taps) {
      const std::uint8_t* from = row + static_cast<std::size_t>(tap.first) * channels;
      for (std::size_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (std::size_t k = 0; k < tap.weights.size(); ++k) sum += tap.weights[k] * from[k * channels + c];
        *to++ = sum;
      }
    }
  }
  return out;
}

}  // namespace

Image crop_and_resize(const Image& image, std::int64_t height, std::int64_t width) {
  if (image.height == height && image.width == width) return image;
  double part_width = image.width, part_height = image.height;
  const std::int64_t across = image.width * height, down = image.height * width;  // equal: the proportions agree
  if (across > down) part_width = static_cast<double>(down) / static_cast<double>(height);
  if (across < down) part_height = static_cast<double>(across) / static_cast<double>(width);
  const std::vector<Tap> columns = make_taps(image.width, (image.width - part_width) / 2, part_width, width);
  const std::vector<Tap> rows = make_taps(image.height, (image.height - part_height) / 2, part_height, height);

  const std::int64_t first_row = rows.front().first;
  const std::int64_t last_row = rows.back().first + static_cast<std::int64_t>(rows.back().weights.size());
  const std::vector<float> narrow = resize_rows(image, columns, first_row, last_row - first_row);
  Image out{static_cast<int>(width), static_cast<int>(height), image.channels, {}};
  const std::size_t row_values = static_cast<std::size_t>(width) * static_cast<std::size_t>(image.channels);
  out.pixels.reserve(row_values * static_cast<std::size_t>(height));
  std::vector<float> sums(row_values);
  for (const Tap& tap : rows) {
    std::ranges::fill(sums, 0.0f);
    const float* from = narrow.data() + static_cast<std::size_t>(tap.first - first_row) * row_values;
    for (float weight : tap.weights)
      for (float& sum : sums) sum += weight * *from++;
    for (float sum : sums) out.pixels.push_back(static_cast<std::uint8_t>(std::clamp(sum + 0.5f, 0.0f, 255.0f)));
  }
  return out;
}

bool is_grey(const Image& image) {
  if (image.channels == 1) return true;
  for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3) {
    const std::uint8_t* rgb = image.pixels.data() + i;
    if (rgb[0] != rgb[1] || rgb[1] != rgb[2]) return false;
  }
  return true;
}

Image with_channels(Image image, int channels) {
  if (image.channels == channels) return image;
  Image out{image.width, image.height, channels, {}};
  if (channels == 3) {
    out.pixels.reserve(3 * image.pixels.size());
    for (std::uint8_t grey : image.pixels) out.pixels.insert(out.pixels.end(), 3, grey);
    return out;
  }
  out.pixels.reserve(image.pixels.size() / 3);
  for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3) {
    const std::uint8_t* rgb = image.pixels.data() + i;
    out.pixels.push_back(static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000));
  }
  return out;
}

void check_options(const DatasetOptions& options) {
  const auto fits = [](std::int64_t side) { return side >= 1 && side <= max_sample_side; };
  const bool no_size = options.height == 0 && options.width == 0;
  if (!no_size && !(fits(options.height) && fits(options.width)))
    throw ConfigError(fmt::format("images are wanted with {}×{} pixels; each side must be from 1 to {}", options.height,
                                  options.width, max_sample_side));
  if (options.channels != 0 && options.channels != 1 && options.channels != 3)
    throw ConfigError(fmt::format("images have 1 or 3 channels, {} are wanted", options.channels));
}

HostDataset converted(HostDataset data, const DatasetOptions& options) {
  check_options(options);
  const std::int64_t old_channels = data.sample[-1];
  const std::int64_t channels = options.channels == 0 ? old_channels : options.channels;
  const std::int64_t height = options.height == 0 ? data.sample[0] : options.height;
  const std::int64_t width = options.height == 0 ? data.sample[1] : options.width;
  const Shape wanted{height, width, channels};
  if (wanted == data.sample) return data;
  if (old_channels != 1 && old_channels != 3)
    throw FormatError(
        fmt::format("{}: images of {} channels cannot be converted, only 1 and 3", data.name, old_channels));

  const auto old_bytes = static_cast<std::size_t>(data.sample.elements());
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(data.count * wanted.elements()));
  for (std::int64_t i = 0; i < data.count; ++i) {
    const std::uint8_t* from = data.pixels.data() + static_cast<std::size_t>(i) * old_bytes;
    Image image{static_cast<int>(data.sample[1]),
                static_cast<int>(data.sample[0]),
                static_cast<int>(old_channels),
                {from, from + old_bytes}};
    image = crop_and_resize(with_channels(std::move(image), static_cast<int>(channels)), height, width);
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
  }
  data.notes.push_back(fmt::format("images {} were made {}", data.sample.str(), wanted.str()));
  data.sample = wanted;
  data.pixels = std::move(pixels);
  return data;
}

}  // namespace ganforge
