// Downsampling of images [N, H, W, C].
#pragma once

#include <ganforge/graph.h>

#include <cstdint>

namespace ganforge {

/// The adjoint of upsample_bilinear / factor²: [N, H/f, W/f, C], H and W multiples of f. A constant stays as it is.
Value downsample_bilinear(Value x, std::int64_t factor);

}  // namespace ganforge
