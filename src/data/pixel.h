// Numbers as bytes of a picture.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace ganforge {

/// round((x − low)·factor), clamped to 0…255; NaN becomes 0. factor = 255/(high − low).
inline std::uint8_t to_byte(float x, double low, double factor) {
  if (std::isnan(x)) return 0;
  return static_cast<std::uint8_t>(std::lround(std::clamp((x - low) * factor, 0.0, 255.0)));
}

}  // namespace ganforge
