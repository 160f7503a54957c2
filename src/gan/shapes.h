// Shapes of batches.
#pragma once

#include <ganforge/shape.h>

namespace ganforge {

/// [n, sample …]
inline Shape batched(std::int64_t n, const Shape& sample) {
  std::vector<std::int64_t> extents = {n};
  extents.insert(extents.end(), sample.extents().begin(), sample.extents().end());
  return Shape(extents);
}

}  // namespace ganforge
