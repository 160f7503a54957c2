#include "tests/files.h"

#include <ganforge/data.h>

#include "src/data/npy.h"
#include "src/data/svg.h"

#include <png.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace ganforge {
namespace {

using test::format_error;
using test::slurp;
using test::TemporaryFolder;

Image read_png(const std::filesystem::path& path) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_file(&png, path.c_str()), 0) << png.message;
  Image image{
      static_cast<int>(png.width), static_cast<int>(png.height), png.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1, {}};
  png.format = image.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  image.pixels.resize(PNG_IMAGE_SIZE(png));
  EXPECT_NE(png_image_finish_read(&png, nullptr, image.pixels.data(), 0, nullptr), 0) << png.message;
  return image;
}

TEST(Png, RoundTrip) {
  TemporaryFolder folder;
  for (int channels : {1, 3}) {
    Image image{129, 17, channels, {}};
    for (int i = 0; i < 129 * 17 * channels; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * 31 + i / 100));
    write_png(folder / "image.png", image);
    const Image back = read_png(folder / "image.png");
    EXPECT_EQ(back.width, 129);
    EXPECT_EQ(back.height, 17);
    EXPECT_EQ(back.channels, channels);
    EXPECT_EQ(back.pixels, image.pixels);
    EXPECT_EQ(folder.entries(), 1);
  }
}

TEST(Png, Errors) {
  TemporaryFolder folder;
  const auto write = [&](Image image) { write_png(folder / "image.png", image); };
  EXPECT_THROW(write({}), ShapeError);
  EXPECT_THROW(write({2, 2, 1, {1, 2, 3}}), ShapeError);
  EXPECT_THROW(write({1, 1, 2, {1, 2}}), ShapeError);
  EXPECT_THROW(write({-1, -1, 1, {1}}), ShapeError);
  const std::string too_wide = format_error([&] { write({1'000'001, 1, 1, std::vector<std::uint8_t>(1'000'001)}); });
  EXPECT_NE(too_wide.find("libpng"), std::string::npos) << too_wide;
  EXPECT_EQ(folder.entries(), 0);
  EXPECT_NE(format_error([&] {
              write_png(folder / "a/b.png", {1, 1, 1, {1}});
            }).find("is there a folder"),
            std::string::npos);
}

std::uint8_t at(const Image& image, int x, int y, int c = 0) {
  return image.pixels[(static_cast<std::size_t>(y) * image.width + x) * image.channels + c];
}

constexpr int border = 2;

TEST(Grid, SixtyFourImagesAreLargeEnoughToSee) {
  const std::vector<float> samples(64 * 28 * 28, 0.0f);
  const Image grid = make_grid(samples, {28, 28, 1}, -1, 1);
  EXPECT_EQ(grid.width, 8 * (2 * 28 + border) + border + 8 * 28);  // three times
  EXPECT_EQ(grid.height, grid.width);
  EXPECT_EQ(at(grid, border, border), 128);
}

// Five images of 2 x 3, two colours of which tell image and pixel.
TEST(Grid, LayoutAndEnlargement) {
  std::vector<float> samples;
  for (int i = 0; i < 5; ++i) {
    for (int pixel = 0; pixel < 6; ++pixel) samples.insert(samples.end(), {i / 255.0f, pixel / 255.0f, 1.0f});
  }
  const Image grid = make_grid(samples, {2, 3, 3}, 0, 1, 2);
  EXPECT_EQ(grid.channels, 3);
  const int scale = (grid.width - 3 * border) / 6;
  EXPECT_EQ(grid.width, 2 * (3 * scale + border) + border);
  EXPECT_EQ(grid.height, 3 * (2 * scale + border) + border);
  EXPECT_GE(grid.height, 500);
  EXPECT_LT(3 * (2 * (scale - 1) + border) + border, 500);
  for (int i = 0; i < 5; ++i) {
    for (int pixel = 0; pixel < 6; ++pixel) {
      for (int corner : {0, scale - 1}) {
        const int x = border + i % 2 * (3 * scale + border) + pixel % 3 * scale + corner;
        const int y = border + i / 2 * (2 * scale + border) + pixel / 3 * scale + corner;
        EXPECT_EQ(at(grid, x, y, 0), i);
        EXPECT_EQ(at(grid, x, y, 1), pixel);
        EXPECT_EQ(at(grid, x, y, 2), 255);
      }
    }
  }
  EXPECT_EQ(at(grid, 0, 0), at(grid, grid.width - 1, grid.height - 1));
  EXPECT_EQ(at(grid, 0, 0), at(grid, grid.width - border - 1, grid.height - border - 1)) << "no sixth image";
}

TEST(Grid, ValuesAreRoundedAndClamped) {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<float, int>> cases = {
      {-1, 0},         {1, 255},       {0, 128},      {-1.5f, 0},   {2, 255},           {nan, 0},         {-nan, 0},
      {infinity, 255}, {-infinity, 0}, {-0.9962f, 0}, {-0.996f, 1}, {1 - 0.0039f, 255}, {1 - 0.004f, 254}};
  for (const auto& [value, expected] : cases) {
    const Image grid = make_grid(std::span(&value, 1), {1, 1, 1}, -1, 1);
    EXPECT_EQ(at(grid, border, border), expected) << value;
  }
}

TEST(Grid, Errors) {
  const std::vector<float> samples(12);
  EXPECT_THROW(make_grid(samples, {2, 2, 2}, 0, 1), ShapeError);
  EXPECT_THROW(make_grid(samples, {12}, 0, 1), ShapeError);
  EXPECT_THROW(make_grid(samples, {5, 1, 1}, 0, 1), ShapeError);
  EXPECT_THROW(make_grid(samples, {0, 1, 1}, 0, 1), ShapeError);
  EXPECT_THROW(make_grid({}, {2, 2, 1}, 0, 1), ShapeError);
  EXPECT_THROW(make_grid(samples, {2, 2, 1}, 1, 1), ConfigError);
  EXPECT_THROW(make_grid(samples, {2, 2, 1}, 0, 1, -1), ConfigError);
  EXPECT_NO_THROW(make_grid(samples, {2, 2, 1}, 0, 1, 100));
}

TEST(Npy, Layout) {
  TemporaryFolder folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  for (const Shape& shape : {Shape{2, 3}, Shape{6}, Shape{}, Shape{1, 1, 1, 2, 1, 3}, Shape{0}}) {
    const Type type{DType::float32, shape};
    write_npy(folder / "x.npy", type, values.data());
    const std::string file = slurp(folder / "x.npy");
    ASSERT_EQ(file.substr(0, 8), std::string("\x93NUMPY\x01\0", 8));
    const std::size_t data = 10 + static_cast<std::uint8_t>(file[8]) + 256u * static_cast<std::uint8_t>(file[9]);
    EXPECT_EQ(data % 64, 0u);
    EXPECT_EQ(file[data - 1], '\n');
    ASSERT_EQ(file.size(), data + type.bytes());
    EXPECT_EQ(std::memcmp(file.data() + data, values.data(), type.bytes()), 0);
  }
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(LineChart, ThinsEscapesAndSkipsWhatIsNotFinite) {
  TemporaryFolder folder;
  Series noisy{"D & <loss>", {}, {}}, broken{"G", {0, 1, 2, 3, 4}, {1, 2, NAN, 1e30, INFINITY}};
  for (int i = 0; i < 100'000; ++i) {
    noisy.x.push_back(i);
    noisy.y.push_back(std::sin(i * 1e-4) + (i % 7) * 0.1);
  }
  write_line_chart(folder / "losses.svg", {"Losses", "step", "loss"}, std::vector{noisy, broken});
  const std::string svg = slurp(folder / "losses.svg");
  EXPECT_LT(svg.size(), 50'000u);
  EXPECT_NE(svg.find("D &amp; &lt;loss&gt;"), std::string::npos);
  EXPECT_EQ(count(svg, "nan"), 0u);
  EXPECT_EQ(count(svg, "inf"), 0u);
  EXPECT_EQ(count(svg, "stroke-linejoin"), 3u) << "one run and two around the gap";
}

TEST(LineChart, NothingToDrawAndConstants) {
  TemporaryFolder folder;
  const std::vector<std::vector<Series>> cases = {{},
                                                  {{"none", {}, {}}},
                                                  {{"point", {0}, {0}}},
                                                  {{"constant", {5, 6, 7}, {2, 2, 2}}},
                                                  {{"all NaN", {1, 2}, {NAN, NAN}}}};
  for (const std::vector<Series>& series : cases) {
    write_line_chart(folder / "chart.svg", {"t", "x", "y"}, series);
    const std::string svg = slurp(folder / "chart.svg");
    EXPECT_EQ(count(svg, "nan"), 0u);
    EXPECT_EQ(count(svg, "inf"), 0u);
    EXPECT_NE(svg.find("</svg>"), std::string::npos);
  }
  EXPECT_THROW(write_line_chart(folder / "chart.svg", {}, std::vector{Series{"s", {1}, {}}}), ShapeError);
}

}  // namespace
}  // namespace ganforge
