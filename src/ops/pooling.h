// What the poolings share: which windows fit.
#pragma once

#include "src/ops/support.h"

#include <algorithm>
#include <array>
#include <limits>

namespace ganforge {

/// Along an axis: the kernels compute coordinates, times 4, in 32 bits.
constexpr std::int64_t max_pixels = std::numeric_limits<std::int32_t>::max() / 8;

/// Windows along an axis of `extent` pixels; sizes round down.
inline std::int64_t pooled(std::int64_t extent, std::int64_t window, std::int64_t stride) {
  return extent < window ? 0 : (extent - window) / stride + 1;
}

/// Throws ShapeError, as builder `op`, unless x is images with at least one window in them.
inline void require_pooling(Value x, const char* op, const std::array<std::int64_t, 2>& window,
                            const std::array<std::int64_t, 2>& stride) {
  const Shape& s = x.shape();
  require(x.graph(), op, s.rank() == 4, fmt::format("images [N, H, W, C] wanted, got {}", s.str()));
  for (const auto& sizes : {window, stride})
    require(x.graph(), op, std::min(sizes[0], sizes[1]) >= 1 && std::max(sizes[0], sizes[1]) <= max_pixels,
            fmt::format("window {}×{}, stride {}×{}", window[0], window[1], stride[0], stride[1]));
  require(x.graph(), op, s[1] >= window[0] && s[2] >= window[1],
          fmt::format("no window of {}×{} fits into {}×{} pixels", window[0], window[1], s[1], s[2]));
  require(x.graph(), op, s[1] <= max_pixels && s[2] <= max_pixels, fmt::format("{}×{} pixels", s[1], s[2]));
}

}  // namespace ganforge
