// Settings of Adam that differ between parts of a flat buffer.
#pragma once

#include <cstdint>

namespace ganforge {

/// From the previous segment's end up to `end` (a multiple of 16 elements): learning rate × lr_scale, and decoupled
/// weight decay (w −= lr · lr_scale · decay · w; Loshchilov & Hutter, arXiv:1711.05101). Behind the last segment:
/// lr_scale 1, decay 0.
struct AdamSegment {
  std::int64_t end = 0;
  float lr_scale = 1;
  float decay = 0;
  friend bool operator==(const AdamSegment&, const AdamSegment&) = default;
};
inline constexpr int max_adam_segments = 8;

}  // namespace ganforge
