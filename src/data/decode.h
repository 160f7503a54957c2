// Image files to pixels.
#pragma once

#include <ganforge/data.h>

#include <cstdint>
#include <span>
#include <string>

namespace ganforge {

/// Nothing larger is decoded: hostile headers must not cost memory.
constexpr std::int64_t max_image_side = 32768, max_image_pixels = std::int64_t{1} << 28;

/// An image, 1 (grey) or 3 channels, and what had to be done to make it one.
struct Decoded {
  Image image;
  bool sixteen_bit = false;  ///< values were divided by 257
  bool blended = false;      ///< some pixel was not opaque, and lies over white now
  bool cmyk = false;
  bool turned = false;  ///< by the orientation that EXIF data ask for
};

enum class ImageFormat { none, png, jpeg, webp };
/// Told by the first bytes of a file; 12 are enough.
ImageFormat image_format(std::span<const std::uint8_t> bytes);

/// Throws FormatError, which begins with `name`, unless `bytes` are a whole image file. Safe for hostile files.
Decoded decode_image(std::span<const std::uint8_t> bytes, const std::string& name);

/// Each for one format. What they throw does not name the file.
Decoded decode_png(std::span<const std::uint8_t> bytes);
Decoded decode_jpeg(std::span<const std::uint8_t> bytes);
Decoded decode_webp(std::span<const std::uint8_t> bytes);

/// For decoders. Throws FormatError unless both sides are from 1 to the limits above.
void check_image_size(std::int64_t width, std::int64_t height);
/// For decoders: drops the last of 2 or 4 channels, alpha, after blending over white. Returns whether a pixel changed.
bool blend_over_white(Image& image);

}  // namespace ganforge
