#include "src/data/decode.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <webp/decode.h>

namespace ganforge {
namespace {

const char* reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the file is cut short";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "a feature that libwebp does not support";
    default:
      return "damaged data";
  }
}

}  // namespace

Decoded decode_webp(std::span<const std::uint8_t> bytes) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) throw FormatError("WebP: another version of libwebp is installed");
  VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &config.input);
  if (status != VP8_STATUS_OK) throw FormatError(fmt::format("WebP: {}", reason(status)));
  if (config.input.has_animation != 0) throw FormatError("WebP: an animation, expected one image");
  check_image_size(config.input.width, config.input.height);

  Decoded decoded;
  Image& image = decoded.image;
  image = {config.input.width, config.input.height, config.input.has_alpha != 0 ? 4 : 3, {}};
  const std::size_t row = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
  image.pixels.resize(row * static_cast<std::size_t>(image.height));
  config.output.colorspace = image.channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.pixels.data(), static_cast<int>(row), image.pixels.size()};
  status = WebPDecode(bytes.data(), bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) throw FormatError(fmt::format("WebP: {}", reason(status)));
  if (image.channels == 4) decoded.blended = blend_over_white(image);
  return decoded;
}

}  // namespace ganforge
