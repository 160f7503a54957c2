// The orientation of photographs.
#pragma once

#include <ganforge/data.h>

#include <cstdint>
#include <span>

namespace ganforge {

/// Looks for tag 0x0112 in the first directory of EXIF data ("Exif", two zeros, a TIFF header and so on: what APP1 of a
/// JPEG holds). 1, as it is, where there is none or the data make no sense.
int exif_orientation(std::span<const std::uint8_t> app1);

/// The image as it is meant to be seen; `orientation` is from 1 to 8.
Image oriented(Image image, int orientation);

}  // namespace ganforge
