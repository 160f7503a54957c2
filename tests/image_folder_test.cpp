// Folders of images, CIFAR-10 and NumPy files as data sets.
#include "src/data/npy.h"
#include "src/data/summary.h"
#include "tests/encoders.h"
#include "tests/files.h"

#include <ganforge/data.h>
#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ganforge::test {
namespace {

std::string grey_png(unsigned side, std::uint8_t value) {
  return png_file({side, side, 8, PNG_COLOR_TYPE_GRAY, Pixels(side * side, value)});
}
std::string rgb_png(unsigned side, const Pixels& colour) {
  Pixels rows;
  for (unsigned i = 0; i < side * side; ++i) rows.insert(rows.end(), colour.begin(), colour.end());
  return png_file({side, side, 8, PNG_COLOR_TYPE_RGB, rows});
}

bool has_note(const std::vector<std::string>& notes, const std::string& part) {
  return std::ranges::any_of(notes, [&](const std::string& note) { return note.find(part) != std::string::npos; });
}

class ImageFolder : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& content) { write(folder_ / name, content); }
  HostDataset read(const DatasetOptions& options = {}) { return read_image_folder(folder_.path(), options); }
  std::string error(const DatasetOptions& options = {}) {
    return format_error([&] { read(options); });
  }
  TemporaryFolder folder_;
};

TEST_F(ImageFolder, ClassesAreSubFoldersInByteOrder) {
  put("b/1.png", grey_png(2, 10));
  put("B/2.png", grey_png(2, 20));
  put("a/deep/er/3.png", grey_png(2, 30));
  put("a/4.PNG", grey_png(2, 40));
  put(".hidden/5.png", "broken");
  put("a/.6.png", "broken");
  const HostDataset data = read();
  EXPECT_EQ(data.count, 4);
  EXPECT_EQ(data.sample, (Shape{2, 2, 1}));
  EXPECT_EQ(data.classes, (std::vector<std::string>{"B", "a", "b"}));
  EXPECT_EQ(data.labels, (std::vector<std::int32_t>{0, 1, 1, 2}));
  EXPECT_EQ(data.pixels[0], 20);
  EXPECT_EQ(data.pixels[4], 40);
  EXPECT_EQ(data.pixels[8], 30);
  EXPECT_EQ(data.pixels[12], 10);
  EXPECT_TRUE(data.notes.empty());
  EXPECT_EQ(find_dataset(folder_.path().string()).labels, data.labels);
}

TEST_F(ImageFolder, ImagesInItHaveNoLabels) {
  put("2.png", grey_png(3, 2));
  put("10.png", grey_png(3, 1));
  put("readme.txt", "text");
  put("no-extension", grey_png(3, 3));
  const HostDataset data = read();
  EXPECT_EQ(data.count, 3);
  EXPECT_TRUE(data.labels.empty() && data.classes.empty());
  EXPECT_EQ(data.pixels[0], 1);
  EXPECT_EQ(data.pixels[9], 2);
  EXPECT_EQ(data.pixels[18], 3);
  EXPECT_TRUE(has_note(data.notes, "1 file passed over: neither PNG nor JPEG nor WebP (.txt)"));
}

TEST_F(ImageFolder, ContentTellsTheFormat) {
  put("a.jpg", grey_png(4, 7));
  put("b.png", jpeg_file(4, 4, JCS_GRAYSCALE, Pixels(16, 7)));
  put("c.png", webp_file(4, 4, 3, Pixels(48, 7)));
  const HostDataset data = read();
  EXPECT_EQ(data.sample, (Shape{4, 4, 1}));  // grey values in three channels are grey
  for (std::uint8_t pixel : data.pixels) EXPECT_NEAR(pixel, 7, 1);
}

TEST_F(ImageFolder, GreyBecomesRgbWhenAColourComes) {
  put("1.png", grey_png(2, 50));
  put("2.png", rgb_png(2, {1, 2, 3}));
  put("3.png", grey_png(2, 60));
  HostDataset data = read();
  EXPECT_EQ(data.sample, (Shape{2, 2, 3}));
  const Pixels first(data.pixels.begin(), data.pixels.begin() + 12), third(data.pixels.begin() + 24, data.pixels.end());
  EXPECT_EQ(first, Pixels(12, 50));
  EXPECT_EQ(data.pixels[13], 2);
  EXPECT_EQ(third, Pixels(12, 60));
  EXPECT_TRUE(has_note(data.notes, "2 images: grey, repeated"));
  data = read({.channels = 1});
  EXPECT_EQ(data.sample, (Shape{2, 2, 1}));
  EXPECT_EQ(data.pixels[4], 2);  // 0.299 + 2·0.587 + 3·0.114
  EXPECT_TRUE(has_note(data.notes, "1 image: colour, made grey"));
}

TEST_F(ImageFolder, SizeIsAskedForWhenItDiffers) {
  put("1.png", grey_png(4, 50));
  put("2.png", png_file({6, 3, 8, PNG_COLOR_TYPE_GRAY, Pixels(18, 9)}));
  const std::string message = error();
  EXPECT_NE(message.find("2.png has 6×3 pixels"), std::string::npos) << message;
  EXPECT_NE(message.find("1.png 4×4"), std::string::npos) << message;
  const HostDataset data = read({.height = 3, .width = 2});
  EXPECT_EQ(data.sample, (Shape{3, 2, 1}));
  EXPECT_TRUE(has_note(data.notes, "2 images: cropped around the centre"));
  EXPECT_FALSE(has_note(data.notes, "enlarged"));
  EXPECT_TRUE(has_note(read({.height = 4, .width = 4}).notes, "1 image: smaller than wanted, and enlarged"));
  EXPECT_THROW(read({.height = 4}), ConfigError);
  EXPECT_THROW(read({.height = 4, .width = 4, .channels = 2}), ConfigError);
  EXPECT_THROW(read({.height = 4, .width = 1 << 20}), ConfigError);
}

TEST_F(ImageFolder, ConversionsAreCounted) {
  put("1.png", png_file({1, 1, 16, PNG_COLOR_TYPE_GRAY, {1, 1}}));
  put("2.png", png_file({1, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, {0, 0, 0, 0}}));
  put("3.png", png_file({1, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {0, 9}}));
  put("4.jpg", jpeg_file(1, 1, JCS_CMYK, {9, 9, 9, 9}));
  put("5.jpg", jpeg_file(1, 1, JCS_GRAYSCALE, {9}, exif(3)));
  const HostDataset data = read();
  EXPECT_EQ(data.notes, (std::vector<std::string>{"1 image: 16-bit values divided by 257",
                                                  "2 images: transparency blended over white",
                                                  "1 image: CMYK converted to RGB, without colour profiles",
                                                  "1 image: turned as their EXIF orientation says"}));
}

TEST_F(ImageFolder, BadImagesAreNamedAndCounted) {
  put("1.png", grey_png(2, 1));
  put("2.png", "not an image");
  put("3.jpg", "");
  put("4.png", grey_png(2, 4));
  const std::string message = error();
  EXPECT_NE(message.find("2.png: neither a PNG"), std::string::npos) << message;
  EXPECT_NE(message.find("2 of 4 images cannot be read; --skip-bad"), std::string::npos) << message;
  const HostDataset data = read({.skip_bad = true});
  EXPECT_EQ(data.count, 2);
  EXPECT_EQ(data.pixels[4], 4);
  EXPECT_TRUE(has_note(data.notes, "2 images left out that cannot be read: "));

  std::filesystem::remove(folder_ / "1.png");
  std::filesystem::remove(folder_ / "4.png");
  EXPECT_NE(error({.skip_bad = true}).find("none of the other 1 image can be read"), std::string::npos);
}

TEST_F(ImageFolder, LabelsStayWithTheirImagesWhenOthersAreSkipped) {
  put("a/1.png", "bad");
  put("a/2.png", grey_png(2, 2));
  put("b/3.png", grey_png(2, 3));
  const HostDataset data = read({.skip_bad = true});
  EXPECT_EQ(data.labels, (std::vector<std::int32_t>{0, 1}));
}

TEST_F(ImageFolder, StructuresThatAreRefused) {
  EXPECT_NE(error().find("no PNG, JPEG or WebP image in it or its sub-folders"), std::string::npos);
  const std::string nothing = format_error([&] { find_dataset(folder_.path().string()); });
  for (const char* part : {"train-images-idx3-ubyte", "data_batch_*.bin", "PNG, JPEG or WebP"})
    EXPECT_NE(nothing.find(part), std::string::npos) << nothing;
  put("train/cat/1.png", grey_png(2, 1));
  put("val/cat/1.png", grey_png(2, 1));
  EXPECT_NE(error().find("parts of a data set, not classes: train, val"), std::string::npos);
  put("direct.png", grey_png(2, 1));
  EXPECT_NE(error().find("images lie both in it (direct.png) and in sub-folders (train, val)"), std::string::npos);
  const std::string one = format_error([&] { find_dataset((folder_ / "direct.png").string()); });
  EXPECT_NE(one.find("is one image"), std::string::npos);
  EXPECT_NE(format_error([&] { read_image_folder(folder_ / "absent"); }).find("cannot look into"), std::string::npos);
}

TEST_F(ImageFolder, ProgressCountsEveryFile) {
  for (const char* name : {"1.png", "2.png", "3.png"}) put(name, grey_png(1, 1));
  std::vector<std::int64_t> calls;
  read({.progress = [&](std::int64_t done, std::int64_t total) {
    calls.push_back(done);
    EXPECT_EQ(total, 3);
  }});
  EXPECT_EQ(calls, (std::vector<std::int64_t>{1, 2, 3}));
}

TEST_F(ImageFolder, SummaryWantsNoCommonSize) {
  put("a/1.png", grey_png(2, 0));
  put("b/2.png", grey_png(4, 255));
  put("b/3.png", rgb_png(4, {255, 255, 0}));
  const DatasetSummary s = summarize_dataset(folder_.path().string(), {});
  EXPECT_EQ(s.format, "image folder");
  EXPECT_EQ(s.count, 3);
  EXPECT_EQ(s.channels, 3);
  EXPECT_EQ(s.height.smallest, 2);
  EXPECT_EQ(s.height.largest, 4);
  ASSERT_EQ(s.classes.size(), 2u);
  EXPECT_EQ(s.classes[1], (std::pair<std::string, std::int64_t>{"b", 2}));
  ASSERT_EQ(s.mean.size(), 3u);
  EXPECT_NEAR(s.mean[0], 32.0 / 36, 1e-12);
  EXPECT_NEAR(s.mean[2], 16.0 / 36, 1e-12);
  EXPECT_NEAR(s.std[2], std::sqrt(16.0 / 36 * 20 / 36), 1e-12);
}

// --- CIFAR-10

std::string cifar_records(const std::vector<int>& labels) {
  std::string bytes;
  for (int label : labels) {
    bytes += static_cast<char>(label);
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < 1024; ++i) bytes += static_cast<char>((i + 85 * c + label) & 255);
  }
  return bytes;
}

TEST(Cifar10, PlanesBecomePixels) {
  TemporaryFolder folder;
  write(folder / "set/cifar-10-batches-bin/data_batch_2.bin", cifar_records({3}));
  write(folder / "set/cifar-10-batches-bin/data_batch_1.bin", cifar_records({9, 0}));
  write(folder / "set/cifar-10-batches-bin/test_batch.bin", cifar_records({5}));
  write(folder / "set/cifar-10-batches-bin/batches.meta.txt",
        "plane\ncar\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  const HostDataset data = find_dataset((folder / "set").string());
  EXPECT_EQ(data.name, "set");
  EXPECT_EQ(data.sample, (Shape{32, 32, 3}));
  EXPECT_EQ(data.labels, (std::vector<std::int32_t>{9, 0, 3}));
  ASSERT_EQ(data.classes.size(), 10u);
  EXPECT_EQ(data.classes[3], "cat");
  EXPECT_EQ(data.pixels[0], 9);
  EXPECT_EQ(data.pixels[1], 85 + 9);
  EXPECT_EQ(data.pixels[2], 170 + 9);
  EXPECT_EQ(data.pixels[3], 1 + 9);
  EXPECT_EQ(data.pixels[3072 + 3 * 33], 33);
  EXPECT_TRUE(has_note(data.notes, "only 2 of the 5"));
  EXPECT_EQ(find_dataset((folder / "set").string(), {.train = false}).labels[0], 5);
  EXPECT_EQ(find_dataset((folder / "set/cifar-10-batches-bin/test_batch.bin").string()).classes[5], "dog");
}

TEST(Cifar10, SaysWhatIsWrong) {
  TemporaryFolder folder;
  const auto expect = [&](const std::string& content, const char* part) {
    write(folder / "data_batch_1.bin", content);
    const std::string message = format_error([&] { read_cifar10(folder.path()); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_NE(message.find("data_batch_1.bin"), std::string::npos) << message;
  };
  const std::string whole = cifar_records({1, 2});
  for (std::size_t length : {std::size_t{0}, std::size_t{1}, whole.size() - 1})
    expect(whole.substr(0, length), "not a whole number");
  expect(cifar_records({1, 10}), "offset 3073: label 10");
  EXPECT_NE(format_error([&] { read_cifar10(folder.path(), false); }).find("no test_batch.bin"), std::string::npos);
}

// --- NPY

std::string npy(const std::string& dict, const std::string& values, char version = 1) {
  std::string text = std::string("\x93NUMPY", 6) + version + '\0';
  text += static_cast<char>(dict.size() & 255);
  text += static_cast<char>(dict.size() >> 8);
  if (version > 1) text += std::string(2, '\0');
  return text + dict + values;
}

TEST(NpyImages, RanksAndVersions) {
  TemporaryFolder folder;
  const Pixels values = pattern(2 * 3 * 4 * 3);
  write_npy(folder / "rgb.npy", {DType::uint8, {2, 3, 4, 3}}, values.data());
  HostDataset data = find_dataset((folder / "rgb.npy").string());
  EXPECT_EQ(data.count, 2);
  EXPECT_EQ(data.sample, (Shape{3, 4, 3}));
  EXPECT_TRUE(std::ranges::equal(data.pixels, values));
  write(folder / "grey", npy("{\"shape\": (2,1,3), 'fortran_order':False,'descr': '|u1'}\n", "abcdef", 2));
  data = find_dataset((folder / "grey").string());
  EXPECT_EQ(data.sample, (Shape{1, 3, 1}));
  EXPECT_EQ(data.pixels[5], 'f');
}

TEST(NpyImages, SaysWhatIsWrong) {
  TemporaryFolder folder;
  const auto expect = [&](const std::string& content, const char* part) {
    write(folder / "x.npy", content);
    const std::string message = format_error([&] { read_npy_images(folder / "x.npy"); });
    EXPECT_NE(message.find(part), std::string::npos) << part << ": " << message;
    EXPECT_NE(message.find("x.npy"), std::string::npos) << message;
  };
  const auto dict = [](const std::string& descr, const std::string& shape, const char* order = "False") {
    return fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr, order, shape);
  };
  expect(npy(dict("<f4", "(1, 1, 1)"), "1234"), "holds float32 [1, 1, 1], only uint8");
  expect(npy(dict("|u1", "(4,)"), "1234"), "holds [4], expected");
  expect(npy(dict("|u1", "(1, 2, 2)", "True"), "1234"), "Fortran order");
  expect(npy(dict("|u1", "(0, 2, 2)"), ""), "no images");
  expect(npy(dict("|u1", "(1, 3, 2, 2)"), std::string(12, 'x')), "x.transpose(0, 2, 3, 1)");
  expect(npy(dict("|u1", "(1, 2, 2)"), "12345"), "5 bytes of values");
  expect(npy(dict("|u1", "(4294967296, 4294967296, 4)"), "12345"), "cut short or damaged");
  expect(npy("{'descr': [('r', '|u1')], }", ""), "array of records");
  expect(npy("{}", ""), "the header is damaged");
  expect("text", "not a NumPy file");
  expect("", "the file is empty");
  const std::string whole = npy(dict("|u1", "(1, 2, 2)"), "1234");
  for (std::size_t length = 0; length < whole.size(); ++length) expect(whole.substr(0, length), "");
  for (std::size_t bit = 0; bit < 8 * (whole.size() - 4); ++bit) {
    write(folder / "x.npy", whole);
    flip_bit(folder / "x.npy", bit);
    try {
      EXPECT_EQ(read_npy_images(folder / "x.npy").pixels.size(), 4u) << bit;
    } catch (const FormatError&) {
    }
  }
}

}  // namespace
}  // namespace ganforge::test
