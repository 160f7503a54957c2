// Points in the plane as a picture.
#include <ganforge/data.h>
#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace ganforge {
namespace {

using Colour = std::array<std::uint8_t, 3>;
constexpr Colour paper = {255, 255, 255}, grey = {150, 150, 150}, blue = {31, 90, 200};
constexpr double margin = 0.12;  // of the range, on each side

/// A square of the plane: its lower left corner and its side.
struct View {
  double x, y, side;
};

View view_of(std::span<const float> points) {
  double low[2] = {0, 0}, high[2] = {0, 0};
  bool first = true;
  for (std::size_t i = 0; i + 1 < points.size(); i += 2) {
    if (!std::isfinite(points[i]) || !std::isfinite(points[i + 1])) continue;
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const auto at = static_cast<double>(points[i + axis]);
      low[axis] = first ? at : std::min(low[axis], at);
      high[axis] = first ? at : std::max(high[axis], at);
    }
    first = false;
  }
  double side = std::max({high[0] - low[0], high[1] - low[1], 1e-6});
  side *= 1 + 2 * margin;
  return {(low[0] + high[0] - side) / 2, (low[1] + high[1] - side) / 2, side};
}

}  // namespace

Image make_scatter(std::span<const float> real, std::span<const float> generated, int size) {
  if (real.size() % 2 != 0 || generated.size() % 2 != 0)
    throw ShapeError(fmt::format("points are pairs, got {} and {} numbers", real.size(), generated.size()));
  if (size < 16 || size > 16384) throw ConfigError(fmt::format("a picture has 16 to 16384 pixels, got {}", size));
  Image image{size, size, 3, {}};
  for (int i = 0; i < size * size; ++i) image.pixels.insert(image.pixels.end(), paper.begin(), paper.end());
  const View view = view_of(real.empty() ? generated : real);
  const double scale = size / view.side;
  const auto draw = [&](std::span<const float> points, const Colour& colour, double opacity) {
    for (std::size_t i = 0; i < points.size(); i += 2) {
      const double x = (static_cast<double>(points[i]) - view.x) * scale;
      const double y = size - (static_cast<double>(points[i + 1]) - view.y) * scale;
      if (!(x >= 0 && x < size - 1 && y >= 0 && y < size - 1)) continue;
      for (int dy = 0; dy < 2; ++dy) {
        for (int dx = 0; dx < 2; ++dx) {
          std::uint8_t* pixel = image.pixels.data() + 3 * ((static_cast<std::ptrdiff_t>(y) + dy) * size +
                                                           static_cast<std::ptrdiff_t>(x) + dx);
          for (std::size_t c = 0; c < 3; ++c)
            pixel[c] = static_cast<std::uint8_t>(std::lround(pixel[c] + opacity * (colour[c] - pixel[c])));
        }
      }
    }
  };
  draw(real, grey, 0.6);
  draw(generated, blue, 0.7);
  return image;
}

}  // namespace ganforge
