// Formats: TIFF 6.0, sections 2 and 8 (Orientation); EXIF 2.3, section 4.5.
#include "src/data/exif.h"

#include <string_view>

namespace ganforge {

int exif_orientation(std::span<const std::uint8_t> app1) {
  constexpr std::string_view opening("Exif\0\0", 6);
  constexpr std::size_t entry_bytes = 12;
  constexpr unsigned orientation_tag = 0x0112, type_short = 3;
  const std::string_view text(reinterpret_cast<const char*>(app1.data()), app1.size());
  if (!text.starts_with(opening)) return 1;
  const std::span<const std::uint8_t> tiff = app1.subspan(opening.size());
  if (tiff.size() < 8) return 1;
  const bool little = tiff[0] == 'I';
  // Callers see to it that the bytes are there.
  const auto number = [&](std::size_t at, int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      const std::size_t from = at + static_cast<std::size_t>(little ? bytes - 1 - i : i);
      value = value << 8 | tiff[from];
    }
    return value;
  };
  if (tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M') || number(2, 2) != 42) return 1;
  const std::size_t directory = number(4, 4);
  if (directory > tiff.size() - 2) return 1;
  const std::size_t entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t at = directory + 2 + i * entry_bytes;
    if (at + entry_bytes > tiff.size()) return 1;
    if (number(at, 2) != orientation_tag) continue;
    const std::uint32_t value = number(at + 8, 2);
    return number(at + 2, 2) == type_short && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image oriented(Image image, int orientation) {
  if (orientation == 1) return image;
  // Where the output's pixel (y, x) comes from: (x, y) if rows and columns change places, then counted from the end.
  const bool swapped = orientation >= 5;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Image out{swapped ? image.height : image.width, swapped ? image.width : image.height, image.channels, {}};
  out.pixels.resize(image.pixels.size());
  std::uint8_t* to = out.pixels.data();
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const int row = swapped ? x : y, column = swapped ? y : x;
      const int from_row = from_bottom ? image.height - 1 - row : row;
      const int from_column = from_right ? image.width - 1 - column : column;
      const std::uint8_t* from =
          image.pixels.data() + (static_cast<std::size_t>(from_row) * static_cast<std::size_t>(image.width) +
                                 static_cast<std::size_t>(from_column)) *
                                    static_cast<std::size_t>(image.channels);
      for (int c = 0; c < image.channels; ++c) *to++ = from[c];
    }
  }
  return out;
}

}  // namespace ganforge
