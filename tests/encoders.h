// Image files in memory, for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

namespace ganforge::test {

using Pixels = std::vector<std::uint8_t>;

struct PngContent {
  unsigned width, height;
  int bit_depth, colour_type;
  Pixels rows;  // as in the file
  std::vector<png_color> palette = {};
  Pixels palette_alpha = {};
  bool interlaced = false;
};

inline std::string png_file(PngContent content) {
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &out,
      [](png_structp p, png_bytep bytes, std::size_t count) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(bytes), count);
      },
      nullptr);
  png_set_IHDR(png, info, content.width, content.height, content.bit_depth, content.colour_type,
               content.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!content.palette.empty())
    png_set_PLTE(png, info, content.palette.data(), static_cast<int>(content.palette.size()));
  if (!content.palette_alpha.empty())
    png_set_tRNS(png, info, content.palette_alpha.data(), static_cast<int>(content.palette_alpha.size()), nullptr);
  png_write_info(png, info);
  const std::size_t row = png_get_rowbytes(png, info);
  std::vector<png_bytep> rows;
  for (unsigned y = 0; y < content.height; ++y) rows.push_back(content.rows.data() + y * row);
  png_write_image(png, rows.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

/// `exif` becomes an APP1 marker.
inline std::string jpeg_file(unsigned width, unsigned height, J_COLOR_SPACE space, const Pixels& pixels,
                             const std::string& exif = {}, bool progressive = false) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_width = width;
  jpeg.image_height = height;
  jpeg.input_components = space == JCS_GRAYSCALE ? 1 : space == JCS_RGB ? 3 : 4;
  jpeg.in_color_space = space;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 100, TRUE);
  for (int i = 0; i < jpeg.num_components; ++i) jpeg.comp_info[i].h_samp_factor = jpeg.comp_info[i].v_samp_factor = 1;
  if (progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  if (!exif.empty())
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  const std::size_t row = std::size_t{width} * static_cast<std::size_t>(jpeg.input_components);
  while (jpeg.next_scanline < height) {
    JSAMPROW from = const_cast<JSAMPROW>(pixels.data() + jpeg.next_scanline * row);
    jpeg_write_scanlines(&jpeg, &from, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string out(reinterpret_cast<char*>(memory), size);
  std::free(memory);
  return out;
}

/// Lossless; `channels` is 3 or 4.
inline std::string webp_file(int width, int height, int channels, const Pixels& pixels) {
  std::uint8_t* memory = nullptr;
  const std::size_t size = channels == 3 ? WebPEncodeLosslessRGB(pixels.data(), width, height, 3 * width, &memory)
                                         : WebPEncodeLosslessRGBA(pixels.data(), width, height, 4 * width, &memory);
  std::string out(reinterpret_cast<char*>(memory), size);
  WebPFree(memory);
  return out;
}

inline std::string lossy_webp_file(int width, int height, const Pixels& pixels) {
  std::uint8_t* memory = nullptr;
  const std::size_t size = WebPEncodeRGB(pixels.data(), width, height, 3 * width, 90, &memory);
  std::string out(reinterpret_cast<char*>(memory), size);
  WebPFree(memory);
  return out;
}

/// EXIF data with an orientation, little-endian or big-endian.
inline std::string exif(int orientation, bool little = true) {
  std::string text("Exif\0\0", 6);
  const auto add = [&](unsigned value, int bytes) {
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * (little ? i : bytes - 1 - i) & 0xff);
  };
  text += little ? "II" : "MM";
  add(42, 2);
  add(8, 4);
  add(2, 2);  // entries
  for (const auto& [tag, value] :
       {std::pair<unsigned, unsigned>{0x0100, 7}, {0x0112, static_cast<unsigned>(orientation)}}) {
    add(tag, 2);
    add(3, 2);
    add(1, 4);
    add(value, 2);
    add(0, 2);
  }
  add(0, 4);
  return text;
}

/// Neighbours differ, channels too.
inline Pixels pattern(std::size_t count, unsigned seed = 1) {
  Pixels pixels(count);
  std::uint32_t state = seed;
  for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  return pixels;
}

}  // namespace ganforge::test
