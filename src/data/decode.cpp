#include "src/data/decode.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <cstring>
#include <new>
#include <stdexcept>
#include <string_view>

namespace ganforge {

ImageFormat image_format(std::span<const std::uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\x89PNG\r\n\x1a\n")) return ImageFormat::png;
  if (text.starts_with("\xff\xd8\xff")) return ImageFormat::jpeg;
  if (text.starts_with("RIFF") && text.size() >= 12 && text.substr(8, 4) == "WEBP") return ImageFormat::webp;
  return ImageFormat::none;
}

Decoded decode_image(std::span<const std::uint8_t> bytes, const std::string& name) {
  try {
    switch (image_format(bytes)) {
      case ImageFormat::png:
        return decode_png(bytes);
      case ImageFormat::jpeg:
        return decode_jpeg(bytes);
      case ImageFormat::webp:
        return decode_webp(bytes);
      case ImageFormat::none:
        break;
    }
    throw FormatError(bytes.empty() ? "the file is empty" : "neither a PNG nor a JPEG nor a WebP file");
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", name, error.what()));
  } catch (const std::bad_alloc&) {
    throw FormatError(fmt::format("{}: the image does not fit into memory", name));
  }
}

void check_image_size(std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1) throw FormatError(fmt::format("an image of {}×{} pixels", width, height));
  if (width > max_image_side || height > max_image_side || width * height > max_image_pixels)
    throw FormatError(fmt::format("{}×{} pixels are too many, at most {} a side and {} in all are read", width, height,
                                  max_image_side, max_image_pixels));
}

bool blend_over_white(Image& image) {
  const int colours = image.channels - 1;
  const std::size_t pixels = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  const std::uint8_t* from = image.pixels.data();
  std::uint8_t* to = image.pixels.data();  // never ahead of `from`
  bool changed = false;
  for (std::size_t i = 0; i < pixels; ++i, from += colours + 1) {
    const int alpha = from[colours];
    changed |= alpha != 255;
    for (int c = 0; c < colours; ++c)
      *to++ = static_cast<std::uint8_t>((alpha * from[c] + (255 - alpha) * 255 + 127) / 255);
  }
  image.channels = colours;
  image.pixels.resize(pixels * static_cast<std::size_t>(colours));
  return changed;
}

}  // namespace ganforge
