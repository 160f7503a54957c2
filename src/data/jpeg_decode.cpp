#include "src/data/decode.h"
#include "src/data/exif.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <cstdio>  // before jpeglib.h, which needs FILE

#include <jpeglib.h>
#include <jerror.h>

#include <csetjmp>

namespace ganforge {
namespace {

/// A progressive file of a few kilobytes can ask for thousands of passes over a large image.
constexpr int max_scans = 500;

/// libjpeg reports errors through a function that must not return: it jumps. The functions below that call setjmp keep
/// no object with a destructor.
struct Reader {
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "out of memory";

  ~Reader() { jpeg_destroy_decompress(&info); }
};

[[noreturn]] void jump_out(j_common_ptr common) {
  auto& reader = *static_cast<Reader*>(common->client_data);
  common->err->format_message(common, reader.message);
  std::longjmp(reader.jump, 1);
}

/// Warnings are about damaged or missing data, but for these.
void judge_message(j_common_ptr common, int level) {
  const int code = common->err->msg_code;
  const bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM;
  if (level < 0 && !harmless) jump_out(common);
}

void limit_scans(j_common_ptr common) {
  auto& reader = *static_cast<Reader*>(common->client_data);
  if (reader.info.input_scan_number <= max_scans) return;
  std::snprintf(reader.message, sizeof reader.message, "more than %d scans", max_scans);
  std::longjmp(reader.jump, 1);
}

bool read_header(Reader& reader, const std::uint8_t* bytes, std::size_t count) {
  if (setjmp(reader.jump) != 0) return false;
  jpeg_create_decompress(&reader.info);
  reader.info.progress = &reader.progress;
  jpeg_mem_src(&reader.info, bytes, count);
  jpeg_save_markers(&reader.info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&reader.info, TRUE);
  const bool four = reader.info.jpeg_color_space == JCS_CMYK || reader.info.jpeg_color_space == JCS_YCCK;
  const bool grey = reader.info.jpeg_color_space == JCS_GRAYSCALE;
  reader.info.out_color_space = four ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_calc_output_dimensions(&reader.info);
  return true;
}

bool read_rows(Reader& reader, std::uint8_t* pixels) {
  if (setjmp(reader.jump) != 0) return false;
  jpeg_start_decompress(&reader.info);
  const std::size_t row =
      static_cast<std::size_t>(reader.info.output_width) * static_cast<std::size_t>(reader.info.output_components);
  while (reader.info.output_scanline < reader.info.output_height) {
    JSAMPROW to = pixels + reader.info.output_scanline * row;
    jpeg_read_scanlines(&reader.info, &to, 1);
  }
  jpeg_finish_decompress(&reader.info);
  return true;
}

int orientation_of(const Reader& reader) {
  for (jpeg_saved_marker_ptr marker = reader.info.marker_list; marker; marker = marker->next) {
    const int orientation = exif_orientation({marker->data, marker->data_length});
    if (orientation != 1) return orientation;
  }
  return 1;
}

/// Ink to light, without colour profiles: r = (1 − c)·(1 − k). Adobe's files hold 1 − c and 1 − k.
void cmyk_to_rgb(Image& image, bool inverted) {
  const std::uint8_t* from = image.pixels.data();
  std::uint8_t* to = image.pixels.data();
  const std::size_t pixels = image.pixels.size() / 4;
  for (std::size_t i = 0; i < pixels; ++i, from += 4) {
    const int k = inverted ? from[3] : 255 - from[3];
    for (int c = 0; c < 3; ++c)
      *to++ = static_cast<std::uint8_t>(((inverted ? from[c] : 255 - from[c]) * k + 127) / 255);
  }
  image.channels = 3;
  image.pixels.resize(3 * pixels);
}

[[noreturn]] void fail(const Reader& reader) {
  throw FormatError(fmt::format("JPEG: {}", reader.message));
}

}  // namespace

Decoded decode_jpeg(std::span<const std::uint8_t> bytes) {
  Reader reader;
  reader.info.err = jpeg_std_error(&reader.errors);
  reader.info.client_data = &reader;
  reader.errors.error_exit = jump_out;
  reader.errors.emit_message = judge_message;
  reader.progress.progress_monitor = limit_scans;
  if (!read_header(reader, bytes.data(), bytes.size())) fail(reader);
  check_image_size(reader.info.output_width, reader.info.output_height);

  const int orientation = orientation_of(reader);
  Decoded decoded;
  Image& image = decoded.image;
  image = {static_cast<int>(reader.info.output_width),
           static_cast<int>(reader.info.output_height),
           reader.info.out_color_components,
           {}};
  image.pixels.resize(static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) *
                      static_cast<std::size_t>(image.channels));
  if (!read_rows(reader, image.pixels.data())) fail(reader);
  decoded.cmyk = image.channels == 4;
  if (decoded.cmyk) cmyk_to_rgb(image, reader.info.saw_Adobe_marker != 0);
  decoded.turned = orientation != 1;
  image = oriented(std::move(image), orientation);
  return decoded;
}

}  // namespace ganforge
