// Differentiable augmentation of images in front of a discriminator: DiffAugment (Zhao et al., arXiv:2006.10738).
#pragma once

#include <ganforge/graph.h>

#include <cstdint>

namespace ganforge {

/// Which changes a sample may go through, in this order, and the range of the images.
struct Augmentation {
  /// Brightness: x + (u − ½)·(high − low)/2; saturation: each pixel's distance from the mean of its channels times 2u;
  /// contrast: the distance from the sample's mean times u + ½. Each has a u of its own.
  bool color = false;
  /// Up to an eighth of height and width in either direction, by whole pixels; the middle of the range moves in.
  bool translation = false;
  /// A rectangle of half the height and half the width, in part outside, becomes the middle of the range.
  bool cutout = false;
  float low = -1, high = 1;

  explicit operator bool() const { return color || translation || cutout; }
  friend bool operator==(const Augmentation&, const Augmentation&) = default;
};

/// So many numbers from U(0, 1) make the changes of a sample. The first of color (0), translation (4) and cutout (7)
/// decides whether it happens: where it is below the probability.
inline constexpr std::int64_t augment_numbers = 10;

/// x [N, H, W, C], numbers [N, augment_numbers], probability a scalar of [0, 1] → augmented x. Linear in x but for what
/// it adds: differentiable in x to any order, and a constant of numbers and probability. Throws ShapeError.
Value augment(Value x, Value numbers, Value probability, const Augmentation& options);

}  // namespace ganforge
