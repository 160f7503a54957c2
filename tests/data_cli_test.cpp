// `ganforge data`, and training on data sets other than MNIST's kind.
#include "tests/encoders.h"
#include "tests/program.h"

#include <ganforge/data.h>

namespace ganforge::test {
namespace {

std::string noise_png(unsigned width, unsigned height, unsigned seed) {
  return png_file({width, height, 8, PNG_COLOR_TYPE_RGB, pattern(3 * width * height, seed)});
}

class DataCli : public Cli {
 protected:
  DataCli() {
    for (unsigned i = 0; i < 12; ++i) {
      write(path(fmt::format("photos/cat/{}.png", i)), noise_png(40 + i, 36, i));
      write(path(fmt::format("photos/dog/{}.png", i)), noise_png(30, 33 + i, 50 + i));
    }
  }
};

TEST_F(DataCli, Mistakes) {
  expect_error({"data"}, 2, {"convert or inspect must follow"});
  expect_error({"data", "convrt"}, 2, {"convert or inspect must follow, got 'convrt'"});
  expect_error({"data", "convert"}, 2, {"data convert: SOURCE is missing"});
  expect_error({"data", "convert", "photos"}, 2, {"data convert: OUT is missing"});
  expect_error({"data", "convert", "photos", "x.gfd", "y"}, 2, {"unexpected argument 'y'"});
  expect_error({"data", "convert", "photos", "x.png"}, 2, {"OUT must be a name that ends in .gfd, got 'x.png'"});
  for (const char* size : {"0", "-1", "a", "3x", "x3", "3x3x3", "3 x3", "99999", "8x0", ""})
    expect_error({"data", "convert", "photos", "x.gfd", "--size", size}, 2, {"--size must be a number of pixels"});
  expect_error({"data", "convert", "photos", "x.gfd", "--channels", "2"}, 2,
               {"--channels must be 1 (grey) or 3 (RGB), got '2'"});
  expect_error({"data", "inspect"}, 2, {"data inspect: SOURCE is missing"});
  expect_error({"data", "inspect", "photos", "--size", "4"}, 2, {"unknown flag '--size'"});
  expect_error({"data", "inspect", "nowhere/at/all"}, 1, {"nowhere/at/all: no such file or folder"});
  expect_error({"data", "convert", "photos", "x.gfd"}, 1, {"--size"});
  expect_error({"data", "convert", "photos", "none/x.gfd", "--size", "8"}, 1, {"cannot write none/x.gfd"});
  write(path("photos/cat/5.png"), "broken");
  expect_error({"data", "inspect", "photos"}, 1,
               {"photos/cat/5.png: neither", "1 of 24 images cannot be read", "--skip-bad"});
  EXPECT_FALSE(fs::exists(path("x.gfd")));
}

TEST_F(DataCli, Help) {
  EXPECT_NE(run({"--help"}).out.find("data convert      packs"), std::string::npos);
  const Result both = run({"data", "--help"});
  EXPECT_EQ(both.code, 0);
  for (const char* part : {"ganforge data convert:", "ganforge data inspect:", "--size N|HxW", "SOURCE", "OUT"})
    EXPECT_NE(both.out.find(part), std::string::npos) << part;
  EXPECT_NE(run({"data", "inspect", "--help"}).out.find("--json"), std::string::npos);
}

TEST_F(DataCli, InspectShowsWhatIsThere) {
  const Result text = run({"data", "inspect", "photos"});
  EXPECT_EQ(text.code, 0) << text.err;
  for (const char* part : {"image folder", "33 to 44", "30 to 51", "cat", "dog", "24"})
    EXPECT_NE(text.out.find(part), std::string::npos) << part << "\n" << text.out;
  const json object = json::parse(run({"data", "inspect", "photos", "--json"}).out);
  EXPECT_EQ(object["images"], 24);
  EXPECT_EQ(object["width"], (json{30, 51}));
  EXPECT_EQ(object["channels"], 3);
  EXPECT_EQ(object["classes"][1]["name"], "dog");
  EXPECT_EQ(object["classes"][1]["images"], 12);
  EXPECT_NEAR(object["mean"][0].get<double>(), 0.5, 0.02);
  EXPECT_NEAR(object["std"][2].get<double>(), 0.29, 0.02);
}

TEST_F(DataCli, ConvertThenInspect) {
  write(path("photos/cat/5.png"), "broken");
  const Result converted =
      run({"data", "convert", "photos", "photos.gfd", "--size", "16x8", "--channels", "1", "--skip-bad"});
  EXPECT_EQ(converted.code, 0) << converted.err;
  EXPECT_EQ(converted.out, "photos.gfd: 23 images [16, 8, 1], 2 classes\n");
  EXPECT_NE(converted.err.find("23 images: cropped around the centre"), std::string::npos) << converted.err;
  EXPECT_NE(converted.err.find("1 image left out that cannot be read: photos/cat/5.png"), std::string::npos);
  const HostDataset data = read_packed(path("photos.gfd"));
  EXPECT_EQ(data.sample, (Shape{16, 8, 1}));
  EXPECT_EQ(data.labels.size(), 23u);
  const json object = json::parse(run({"data", "inspect", "photos.gfd", "--json"}).out);
  EXPECT_EQ(object["format"], "packed");
  EXPECT_EQ(object["classes"][0]["images"], 11);
}

TEST_F(DataCli, TrainsOnAFolderInTheSizeOfTheModel) {
  const Result trained = run(train_words + small + Words{"--data", "photos", "--steps", "2", "--progress", "none"});
  EXPECT_EQ(trained.code, 0) << trained.err;
  EXPECT_NE(trained.err.find("photos: 24 images: colour, made grey"), std::string::npos) << trained.err;
  EXPECT_NE(trained.out.find("24 samples [28, 28, 1]"), std::string::npos) << trained.out;
  write(path("photos/dog/0.png"), "broken");
  fs::remove_all(path("runs"));
  expect_error(train_words + small + Words{"--data", "photos"}, 1, {"photos/dog/0.png", "--skip-bad"});
  const Result skipped =
      run(train_words + small + Words{"--data", "photos", "--skip-bad", "--steps", "2", "--progress", "none"});
  EXPECT_EQ(skipped.code, 0) << skipped.err;
}

TEST_F(DataCli, PresetsTakeTheChannelsOfTheFolder) {
  const Result shown =
      run(train_words + Words{"--preset", "dcgan-28", "--data", "photos", "--batch", "4", "--dry-run"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_NE(shown.out.find("[N, 28, 28, 3]"), std::string::npos) << shown.out;
}

TEST_F(DataCli, WhereTheDataAreChangesNothingInTheRun) {
  expect_error({"train", "--data-memory", "disk"}, 2, {"--data-memory must be auto or device or host, got 'disk'"});
  train(small + Words{"--out", "a"});
  train(small + Words{"--out", "b", "--data-memory", "host"});
  for (const char* file : {"config.toml", "checkpoints/step-000020.safetensors"})
    EXPECT_EQ(slurp(path("a/00000-small-images-idx3-ubyte") / file),
              slurp(path("b/00000-small-images-idx3-ubyte") / file));
}

TEST_F(DataCli, StreamingToAGpuIsShown) {
  const Words words = Words{"train", "--device", "cuda"} + small;
  const Result resident = run(words + Words{"--dry-run"});
  const char* require = std::getenv("GANFORGE_REQUIRE_CUDA");
  if (resident.code != 0 && !(require && std::string_view(require) == "1")) GTEST_SKIP() << "no GPU";
  EXPECT_EQ(resident.out.find("staged"), std::string::npos) << resident.out;
  const Result streamed = run(words + Words{"--dry-run", "--data-memory", "host"});
  // Two batches of 8.
  EXPECT_NE(streamed.out.find("12544  staged data: two batches; 200704 bytes stay on the host"), std::string::npos)
      << streamed.out;
  const Result trained = run(words + Words{"--data-memory", "host", "--progress", "none"});
  EXPECT_EQ(trained.code, 0) << trained.err;
  EXPECT_NE(trained.err.find("images-idx3-ubyte: 200704 bytes stay in host memory"), std::string::npos) << trained.err;
  ASSERT_EQ(run(words + Words{"--progress", "none", "--out", "resident"}).code, 0);
  const std::string last = "checkpoints/step-000020.safetensors";
  EXPECT_EQ(slurp(path(run0) / last), slurp(path("resident/00000-small-images-idx3-ubyte") / last));
}

TEST_F(DataCli, AnotherFixedSizeSaysWhatToDo) {
  write(path("large-images-idx3-ubyte"), images(12, 32));
  expect_error(train_words + small + Words{"--data", "large-images-idx3-ubyte"}, 1,
               {"small.toml", "[28, 28, 1]", "[32, 32, 1]", "OUT.gfd --size 28"});
  ASSERT_EQ(run({"data", "convert", "large-images-idx3-ubyte", "fits.gfd", "--size", "28"}).code, 0);
  const Result trained = run(train_words + small + Words{"--data", "fits.gfd", "--steps", "2", "--progress", "none"});
  EXPECT_EQ(trained.code, 0) << trained.err;
}

}  // namespace
}  // namespace ganforge::test
