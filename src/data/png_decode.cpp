#include "src/data/decode.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

namespace ganforge {
namespace {

/// Deflate codes at most 258 bytes in 2 bits.
constexpr std::uint64_t max_inflation = 1032;

/// libpng reports errors by longjmp: the functions below that call setjmp keep no object with a destructor.
struct Reader {
  std::span<const std::uint8_t> bytes;
  std::size_t at = 0;
  char error[200] = "out of memory";
  png_structp png = nullptr;
  png_infop info = nullptr;

  png_uint_32 width = 0, height = 0;
  std::uint64_t stored_bytes = 0;  // before compression
  int bit_depth = 0, channels = 0, passes = 1;

  explicit Reader(std::span<const std::uint8_t> all) : bytes(all) {}
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
};

void take(png_structp png, png_bytep to, std::size_t count) {
  auto& reader = *static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader.bytes.size() - reader.at) png_error(png, "the file is cut short");
  std::memcpy(to, reader.bytes.data() + reader.at, count);
  reader.at += count;
}

void keep_error(png_structp png, png_const_charp message) {
  auto& reader = *static_cast<Reader*>(png_get_error_ptr(png));
  std::snprintf(reader.error, sizeof reader.error, "%s", message);
  png_longjmp(png, 1);
}

void pass_over_warning(png_structp, png_const_charp) {}

/// The header, and how rows shall come: 8 bits, grey or RGB, with or without alpha.
bool read_header(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  png_structp png = reader.png;
  png_set_read_fn(png, &reader, take);
  png_set_user_limits(png, static_cast<png_uint_32>(max_image_side), static_cast<png_uint_32>(max_image_side));
  png_read_info(png, reader.info);
  const int colour_type = png_get_color_type(png, reader.info);
  reader.width = png_get_image_width(png, reader.info);
  reader.height = png_get_image_height(png, reader.info);
  reader.bit_depth = png_get_bit_depth(png, reader.info);
  reader.stored_bytes = std::uint64_t{png_get_rowbytes(png, reader.info)} * reader.height;
  if (colour_type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (colour_type == PNG_COLOR_TYPE_GRAY && reader.bit_depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (png_get_valid(png, reader.info, PNG_INFO_tRNS) != 0) png_set_tRNS_to_alpha(png);
  if (reader.bit_depth == 16) png_set_scale_16(png);
  reader.passes = png_set_interlace_handling(png);
  png_read_update_info(png, reader.info);
  reader.channels = png_get_channels(png, reader.info);
  return true;
}

bool read_rows(Reader& reader, std::uint8_t* pixels) {
  if (setjmp(png_jmpbuf(reader.png)) != 0) return false;
  const std::size_t row = static_cast<std::size_t>(reader.width) * static_cast<std::size_t>(reader.channels);
  if (png_get_rowbytes(reader.png, reader.info) != row) png_error(reader.png, "rows of an unexpected size");
  for (int pass = 0; pass < reader.passes; ++pass)
    for (std::size_t y = 0; y < reader.height; ++y) png_read_row(reader.png, pixels + y * row, nullptr);
  png_read_end(reader.png, nullptr);
  return true;
}

[[noreturn]] void fail(const Reader& reader) {
  throw FormatError(fmt::format("PNG: {}", reader.error));
}

}  // namespace

Decoded decode_png(std::span<const std::uint8_t> bytes) {
  // Signature, length and "IHDR" come first, then width and height: judged before libpng allocates anything.
  if (bytes.size() < 24) throw FormatError("PNG: the file is cut short");
  check_image_size(png_get_uint_32(bytes.data() + 16), png_get_uint_32(bytes.data() + 20));

  Reader reader(bytes);
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, keep_error, pass_over_warning);
  if (reader.png) reader.info = png_create_info_struct(reader.png);
  if (!reader.info || !read_header(reader)) fail(reader);
  if (reader.stored_bytes / max_inflation > bytes.size())
    throw FormatError(fmt::format("PNG: {}×{} pixels are more than {} bytes can hold: cut short or damaged",
                                  reader.width, reader.height, bytes.size()));
  Decoded decoded;
  Image& image = decoded.image;
  image = {static_cast<int>(reader.width), static_cast<int>(reader.height), reader.channels, {}};
  image.pixels.resize(static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) *
                      static_cast<std::size_t>(image.channels));
  if (!read_rows(reader, image.pixels.data())) fail(reader);
  decoded.sixteen_bit = reader.bit_depth == 16;
  if (image.channels == 2 || image.channels == 4) decoded.blended = blend_over_white(image);
  return decoded;
}

}  // namespace ganforge
