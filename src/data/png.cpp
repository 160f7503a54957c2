#include <ganforge/data.h>
#include <ganforge/error.h>

#include "src/data/atomic_file.h"

#include <fmt/format.h>
#include <png.h>

#include <csetjmp>
#include <exception>

namespace ganforge {
namespace {

struct Encoded {
  std::string bytes;
  std::string error;
};

void append(png_structp png, png_bytep bytes, std::size_t count) {
  auto& out = *static_cast<Encoded*>(png_get_io_ptr(png));
  bool failed = false;
  try {
    out.bytes.append(reinterpret_cast<const char*>(bytes), count);
  } catch (const std::exception&) {
    failed = true;
  }
  if (failed) png_error(png, "out of memory");  // outside the handler: it jumps
}

void keep_error(png_structp png, png_const_charp message) {
  static_cast<Encoded*>(png_get_error_ptr(png))->error = message;
  png_longjmp(png, 1);
}

void pass_over_warning(png_structp, png_const_charp) {}

/// libpng reports errors by longjmp: no object with a destructor may live in this frame.
void encode(const Image& image, Encoded& out) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &out, keep_error, pass_over_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info) {
    png_destroy_write_struct(&png, nullptr);
    out.error = "out of memory";
    return;
  }
  if (setjmp(png_jmpbuf(png)) == 0) {
    png_set_write_fn(png, &out, append, nullptr);
    png_set_IHDR(png, info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8,
                 image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    const std::size_t row = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
    for (int y = 0; y < image.height; ++y) png_write_row(png, image.pixels.data() + static_cast<std::size_t>(y) * row);
    png_write_end(png, info);
  }
  png_destroy_write_struct(&png, &info);
}

}  // namespace

void write_png(const std::filesystem::path& path, const Image& image) {
  const bool sizes = image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3);
  const std::size_t pixels = sizes ? std::size_t{1} * image.width * image.height * image.channels : 0;
  if (!sizes || image.pixels.size() != pixels) {
    throw ShapeError(fmt::format("an image of {} x {} with {} channels (1 or 3) and {} bytes cannot be written to {}",
                                 image.width, image.height, image.channels, image.pixels.size(), path.string()));
  }
  Encoded out;
  encode(image, out);
  if (!out.error.empty()) throw FormatError(fmt::format("cannot write {}: libpng: {}", path.string(), out.error));
  write_atomically(path, out.bytes);
}

}  // namespace ganforge
