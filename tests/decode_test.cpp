// Image files: every kind to the right pixels, and none that is damaged to a crash.
#include "src/data/decode.h"
#include "src/data/exif.h"
#include "src/data/resize.h"
#include "tests/encoders.h"
#include "tests/files.h"

#include <ganforge/error.h>

#include <zlib.h>

#include <cmath>

namespace ganforge::test {
namespace {

Decoded decode(const std::string& file) {
  return decode_image({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()}, "file");
}

void expect_image(const Image& image, int width, int height, int channels, const Pixels& pixels) {
  EXPECT_EQ(image.width, width);
  EXPECT_EQ(image.height, height);
  EXPECT_EQ(image.channels, channels);
  EXPECT_EQ(image.pixels, pixels);
}

TEST(Decode, PngGreyAndRgbAreExact) {
  for (bool interlaced : {false, true}) {
    const Pixels grey = pattern(7 * 5), rgb = pattern(3 * 7 * 5);
    Decoded d = decode(png_file({7, 5, 8, PNG_COLOR_TYPE_GRAY, grey, {}, {}, interlaced}));
    expect_image(d.image, 7, 5, 1, grey);
    EXPECT_FALSE(d.sixteen_bit || d.blended || d.cmyk || d.turned);
    d = decode(png_file({7, 5, 8, PNG_COLOR_TYPE_RGB, rgb, {}, {}, interlaced}));
    expect_image(d.image, 7, 5, 3, rgb);
  }
}

TEST(Decode, PngOfFewBits) {
  expect_image(decode(png_file({3, 1, 1, PNG_COLOR_TYPE_GRAY, {0b10100000}})).image, 3, 1, 1, {255, 0, 255});
  expect_image(decode(png_file({3, 1, 4, PNG_COLOR_TYPE_GRAY, {0x1f, 0x80}})).image, 3, 1, 1, {17, 255, 136});
}

// Big-endian 16-bit v becomes round(v / 257).
TEST(Decode, PngOf16BitsIsDividedBy257) {
  Pixels rows, expected;
  for (int v : {0, 128, 129, 257, 1000, 32767, 40000, 65406, 65407, 65535}) {
    rows.push_back(static_cast<std::uint8_t>(v >> 8));
    rows.push_back(static_cast<std::uint8_t>(v & 255));
    expected.push_back(static_cast<std::uint8_t>(std::lround(v / 257.0)));
  }
  const Decoded d = decode(png_file({10, 1, 16, PNG_COLOR_TYPE_GRAY, rows}));
  expect_image(d.image, 10, 1, 1, expected);
  EXPECT_TRUE(d.sixteen_bit);
}

TEST(Decode, AlphaIsBlendedOverWhite) {
  const Pixels grey_alpha = {10, 0, 10, 255, 100, 128};
  Decoded d = decode(png_file({3, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, grey_alpha}));
  expect_image(d.image, 3, 1, 1, {255, 10, 177});  // 100·128/255 + 127
  EXPECT_TRUE(d.blended);
  const Pixels rgba = {1, 2, 3, 255, 0, 0, 0, 51, 9, 9, 9, 0};
  for (const std::string& file : {png_file({3, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, rgba}), webp_file(3, 1, 4, rgba)}) {
    d = decode(file);
    expect_image(d.image, 3, 1, 3, {1, 2, 3, 204, 204, 204, 255, 255, 255});
    EXPECT_TRUE(d.blended);
  }
  const Pixels opaque = {1, 2, 3, 255, 4, 5, 6, 255};
  EXPECT_FALSE(decode(png_file({2, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, opaque})).blended);
}

TEST(Decode, PaletteAndItsTransparency) {
  const std::vector<png_color> palette = {{255, 0, 0}, {0, 0, 255}, {0, 0, 0}};
  Decoded d = decode(png_file({4, 1, 2, PNG_COLOR_TYPE_PALETTE, {0b00011001}, palette}));
  expect_image(d.image, 4, 1, 3, {255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 255});
  EXPECT_FALSE(d.blended);
  d = decode(png_file({3, 1, 8, PNG_COLOR_TYPE_PALETTE, {0, 1, 2}, palette, {255, 0}}));
  expect_image(d.image, 3, 1, 3, {255, 0, 0, 255, 255, 255, 0, 0, 0});
  EXPECT_TRUE(d.blended);
}

Pixels flat(std::size_t pixels, const Pixels& colour) {
  Pixels all;
  for (std::size_t i = 0; i < pixels; ++i) all.insert(all.end(), colour.begin(), colour.end());
  return all;
}

void expect_near(const Image& image, const Pixels& expected, int tolerance) {
  ASSERT_EQ(image.pixels.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(image.pixels[i], expected[i], tolerance) << i;
}

TEST(Decode, Jpeg) {
  for (bool progressive : {false, true}) {
    const Pixels colour = flat(16 * 8, {200, 100, 30});
    const Decoded d = decode(jpeg_file(16, 8, JCS_RGB, colour, {}, progressive));
    EXPECT_EQ(d.image.width, 16);
    EXPECT_EQ(d.image.channels, 3);
    expect_near(d.image, colour, 2);
    EXPECT_FALSE(d.cmyk || d.turned || d.blended || d.sixteen_bit);
  }
  const Pixels grey = pattern(9 * 9);
  const Decoded d = decode(jpeg_file(9, 9, JCS_GRAYSCALE, grey));
  EXPECT_EQ(d.image.channels, 1);
  expect_near(d.image, grey, 3);
}

// libjpeg writes an Adobe marker with CMYK: values are stored inverted.
TEST(Decode, CmykJpegBecomesRgb) {
  const Decoded d = decode(jpeg_file(8, 8, JCS_CMYK, flat(64, {255, 128, 0, 128})));
  EXPECT_TRUE(d.cmyk);
  EXPECT_EQ(d.image.channels, 3);
  expect_near(d.image, flat(64, {128, 64, 0}), 2);
}

TEST(Decode, WebpLosslessIsExactAndLossyIsNear) {
  const Pixels rgb = pattern(3 * 6 * 4);
  expect_image(decode(webp_file(6, 4, 3, rgb)).image, 6, 4, 3, rgb);
  const Pixels colour = flat(32 * 32, {40, 90, 160});
  expect_near(decode(lossy_webp_file(32, 32, colour)).image, colour, 4);
}

// The eight orientations of the EXIF standard, of
//
//   1 2 3
//   4 5 6
TEST(Exif, OrientationsTurnAndMirror) {
  const Image image{3, 2, 1, {1, 2, 3, 4, 5, 6}};
  const Pixels expected[] = {{1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1}, {4, 5, 6, 1, 2, 3},
                             {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3}, {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const bool turned = orientation >= 5;
    expect_image(oriented(image, orientation), turned ? 2 : 3, turned ? 3 : 2, 1, expected[orientation - 1]);
  }
}

TEST(Exif, OrientationOfAJpegIsApplied) {
  Pixels halves;  // left half dark
  for (int i = 0; i < 16 * 32; ++i) halves.push_back(i % 32 < 16 ? 20 : 220);
  for (bool little : {true, false}) {
    const Decoded d = decode(jpeg_file(32, 16, JCS_GRAYSCALE, halves, exif(6, little)));
    EXPECT_TRUE(d.turned);
    ASSERT_EQ(d.image.width, 16);
    ASSERT_EQ(d.image.height, 32);
    EXPECT_LT(d.image.pixels[0], 60);  // turned clockwise: what was left is above
    EXPECT_LT(d.image.pixels[15], 60);
    EXPECT_GT(d.image.pixels[16 * 31], 180);
  }
  EXPECT_FALSE(decode(jpeg_file(32, 16, JCS_GRAYSCALE, halves, exif(1))).turned);
}

int orientation_in(const std::string& data) {
  return exif_orientation({reinterpret_cast<const std::uint8_t*>(data.data()), data.size()});
}

TEST(Exif, DataThatMakeNoSenseMeanNothing) {
  EXPECT_EQ(orientation_in(exif(8)), 8);
  EXPECT_EQ(orientation_in(exif(8, false)), 8);
  for (int wrong : {0, 9, 65535}) EXPECT_EQ(orientation_in(exif(wrong)), 1);
  const std::string whole = exif(6);
  for (std::size_t length = 0; length < whole.size() - 8; ++length)
    EXPECT_EQ(orientation_in(whole.substr(0, length)), 1);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    const int orientation = orientation_in(damaged);
    EXPECT_TRUE(orientation >= 1 && orientation <= 8) << bit;
  }
}

struct Sample {
  const char* what;
  std::string file;
};

std::vector<Sample> samples() {
  const Pixels grey = pattern(12 * 10), rgb = pattern(3 * 12 * 10), rgba = pattern(4 * 12 * 10);
  return {{"PNG grey", png_file({12, 10, 8, PNG_COLOR_TYPE_GRAY, grey})},
          {"PNG RGBA", png_file({12, 10, 8, PNG_COLOR_TYPE_RGB_ALPHA, rgba, {}, {}, true})},
          {"PNG palette",
           png_file({4, 1, 2, PNG_COLOR_TYPE_PALETTE, {0b00011001}, {{255, 0, 0}, {0, 0, 255}, {1, 1, 1}}, {9}})},
          {"JPEG", jpeg_file(12, 10, JCS_RGB, rgb, exif(6))},
          {"JPEG progressive", jpeg_file(12, 10, JCS_GRAYSCALE, grey, {}, true)},
          {"JPEG CMYK", jpeg_file(12, 10, JCS_CMYK, rgba)},
          {"WebP lossless", webp_file(12, 10, 4, rgba)},
          {"WebP lossy", lossy_webp_file(12, 10, rgb)}};
}

TEST(Decode, EveryTruncationIsAnError) {
  for (const Sample& sample : samples()) {
    for (std::size_t length = sample.file.size(); length-- > 0;) {
      // RIFF may end in a byte of padding, which carries nothing.
      if (length + 1 == sample.file.size() && sample.what[0] == 'W') continue;
      const std::string message = format_error([&] { decode(sample.file.substr(0, length)); });
      EXPECT_TRUE(message.starts_with("file: ")) << sample.what << " " << length << ": " << message;
    }
  }
}

// Sums of bytes go unchecked in JPEG and WebP: a flip may change pixels. It must not do anything else.
TEST(Decode, NoFlippedBitIsWorseThanAnError) {
  for (const Sample& sample : samples()) {
    const Image good = decode(sample.file).image;
    int errors = 0;
    for (std::size_t bit = 0; bit < 8 * sample.file.size(); ++bit) {
      std::string damaged = sample.file;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
      try {
        const Image image = decode(damaged).image;
        ASSERT_EQ(image.pixels.size(), static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) *
                                           static_cast<std::size_t>(image.channels));
        // Damage to a palette's transparency leaves it out: libpng takes that chunk for optional.
        const bool checked = sample.what[0] == 'P' && sample.what[4] != 'p';
        EXPECT_TRUE(!checked || image.pixels == good.pixels) << sample.what << bit;
      } catch (const FormatError&) {
        ++errors;
      }
    }
    EXPECT_GT(errors, 0) << sample.what;
  }
}

TEST(Decode, NoiseBehindAGoodBeginningIsHarmless) {
  for (const Sample& sample : samples()) {
    for (unsigned seed = 0; seed < 200; ++seed) {
      std::string damaged = sample.file;
      const Pixels noise = pattern(damaged.size(), seed);
      const std::size_t from = seed * damaged.size() / 200;
      for (std::size_t i = from; i < damaged.size(); ++i) damaged[i] = static_cast<char>(noise[i]);
      try {
        decode(damaged);
      } catch (const FormatError&) {
      }
    }
  }
}

TEST(Decode, HugeSizesAreRefusedBeforeMemoryIsTaken) {
  std::string png = png_file({1, 1, 8, PNG_COLOR_TYPE_GRAY, {0}});
  png.replace(16, 8, std::string("\x7f\xff\xff\xff\x00\x00\x00\x01", 8));
  EXPECT_NE(format_error([&] { decode(png); }).find("2147483647×1 pixels are too many"), std::string::npos);
  std::string square = png_file({1, 1, 8, PNG_COLOR_TYPE_GRAY, {0}});
  square.replace(16, 8, std::string("\x00\x00\x60\x00\x00\x00\x60\x00", 8));
  EXPECT_NE(format_error([&] { decode(square); }).find("24576×24576"), std::string::npos);

  // A header that is whole, but promises more than the file can hold.
  std::string empty = png_file({1, 1, 8, PNG_COLOR_TYPE_GRAY, {0}});
  empty.replace(16, 8, std::string("\x00\x00\x10\x00\x00\x00\x10\x00", 8));
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(empty.data()) + 12, 17);
  for (int i = 0; i < 4; ++i) empty[static_cast<std::size_t>(29 + i)] = static_cast<char>(crc >> (24 - 8 * i));
  EXPECT_NE(format_error([&] { decode(empty); }).find("4096×4096 pixels are more than"), std::string::npos);

  std::string jpeg = jpeg_file(8, 8, JCS_GRAYSCALE, pattern(64));
  const std::size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xff\xff\xff");
  const std::string message = format_error([&] { decode(jpeg); });
  EXPECT_FALSE(message.empty());
}

TEST(Decode, OtherFilesAreNamed) {
  EXPECT_EQ(format_error([] { decode(""); }), "file: the file is empty");
  EXPECT_EQ(format_error([] { decode("GIF89a..........."); }), "file: neither a PNG nor a JPEG nor a WebP file");
}

Image image_of(int width, int height, const Pixels& pixels) {
  return {width, height, static_cast<int>(pixels.size()) / width / height, pixels};
}

TEST(Resize, SameSizeIsTheSameImage) {
  const Image image = image_of(5, 4, pattern(60));
  EXPECT_EQ(crop_and_resize(image, 4, 5).pixels, image.pixels);
}

TEST(Resize, FlatStaysFlat) {
  const Image image = image_of(37, 23, flat(37 * 23, {255, 7, 128}));
  for (const auto& [height, width] : {std::pair{5, 5}, {64, 64}, {9, 30}, {23, 1}, {1, 37}})
    EXPECT_EQ(crop_and_resize(image, height, width).pixels,
              flat(static_cast<std::size_t>(height) * width, {255, 7, 128}));
}

// Halving: weights 1/8, 3/8, 3/8, 1/8 of four neighbours, and 3/7, 3/7, 1/7 at the edge.
TEST(Resize, HalvingByHand) {
  const Image row = image_of(8, 2, {0, 80, 160, 240, 10, 20, 30, 200, 0, 80, 160, 240, 10, 20, 30, 200});
  const Image half = crop_and_resize(row, 1, 4);
  const auto byte = [](double x) { return static_cast<std::uint8_t>(x + 0.5); };
  EXPECT_EQ(half.pixels, (Pixels{byte((3 * 0 + 3 * 80 + 160) / 7.0), byte((80 + 3 * 160 + 3 * 240 + 10) / 8.0),
                                 byte((240 + 3 * 10 + 3 * 20 + 30) / 8.0), byte((20 + 3 * 30 + 3 * 200) / 7.0)}));
}

// Fine stripes must vanish, not alias into coarse ones.
TEST(Resize, ReductionHasNoAliasing) {
  Pixels stripes;
  for (int i = 0; i < 96 * 96; ++i) stripes.push_back(i % 2 ? 255 : 0);
  const Image small = crop_and_resize(image_of(96, 96, stripes), 11, 11);
  for (std::uint8_t pixel : small.pixels) EXPECT_NEAR(pixel, 127.5, 8);
}

TEST(Resize, CropsAroundTheCentre) {
  Pixels wide;  // dark bars left and right of a bright square
  for (int i = 0; i < 8 * 24; ++i) wide.push_back(i % 24 < 8 || i % 24 >= 16 ? 0 : 200);
  const Image image = image_of(24, 8, wide);
  EXPECT_EQ(crop_and_resize(image, 8, 8).pixels, Pixels(64, 200));
  EXPECT_EQ(crop_and_resize(image, 8, 24).pixels, wide);
  const Image tall = crop_and_resize(image_of(8, 24, flat(192, {9})), 4, 4);
  EXPECT_EQ(tall.pixels, Pixels(16, 9));
}

TEST(Resize, Channels) {
  EXPECT_EQ(with_channels(image_of(2, 1, {255, 255, 255, 100, 50, 200}), 1).pixels, (Pixels{255, 82}));
  EXPECT_EQ(with_channels(image_of(2, 1, {7, 8}), 3).pixels, (Pixels{7, 7, 7, 8, 8, 8}));
  EXPECT_TRUE(is_grey(image_of(2, 1, {7, 7, 7, 8, 8, 8})));
  EXPECT_FALSE(is_grey(image_of(2, 1, {7, 7, 7, 8, 9, 8})));
}

}  // namespace
}  // namespace ganforge::test
