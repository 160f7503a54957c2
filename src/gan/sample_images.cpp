#include "src/gan/sample_images.h"

#include "src/data/pixel.h"

#include <algorithm>

namespace ganforge {

HostDataset to_images(const Samples& samples, const std::string& name) {
  HostDataset images;
  images.name = name;
  images.sample = Shape(samples.shape.extents().subspan(1));
  images.count = samples.shape[0];
  const double low = static_cast<double>(samples.low), factor = 255.0 / (static_cast<double>(samples.high) - low);
  std::vector<std::uint8_t> pixels(samples.values.size());
  std::ranges::transform(samples.values, pixels.begin(), [&](float x) { return to_byte(x, low, factor); });
  images.pixels = std::move(pixels);
  return images;
}

}  // namespace ganforge
