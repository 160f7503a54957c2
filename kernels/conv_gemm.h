// Which convolutions are one matrix product.
#pragma once

#include "kernels/conv2d.h"

namespace ganforge {

/// A filter as large as the image, which it meets in one position ([N, H·W·C] → [N, K]), or of one pixel
/// ([N·H·W, C] → [N·H·W, K]).
inline bool is_matrix_product(const ConvShape& c) {
  const bool no_padding = c.pad_top == 0 && c.pad_left == 0 && c.groups == 1;
  const bool whole = c.p == 1 && c.q == 1 && c.r == c.h && c.s == c.w && (c.r == 1 || c.dilation_h == 1) &&
                     (c.s == 1 || c.dilation_w == 1);
  const bool pixel = c.r == 1 && c.s == 1 && c.p == c.h && c.q == c.w && (c.h == 1 || c.stride_h == 1) &&
                     (c.w == 1 || c.stride_w == 1);
  return no_padding && (whole || pixel);
}

}  // namespace ganforge
