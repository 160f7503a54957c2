#include "src/gan/sample_images.h"

#include <cmath>

namespace ganforge {

HostDataset to_images(const Samples& samples, const std::string& name) {
  HostDataset images;
  images.name = name;
  images.sample = Shape(samples.shape.extents().subspan(1));
  images.count = samples.shape[0];
  const float scale = 255 / (samples.high - samples.low);
  std::vector<std::uint8_t> pixels(samples.values.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const float x = std::round((samples.values[i] - samples.low) * scale);
    pixels[i] = x >= 255 ? 255 : x > 0 ? static_cast<std::uint8_t>(x) : 0;
  }
  images.pixels = std::move(pixels);
  return images;
}

}  // namespace ganforge
