// The classifier, and the parts of a data set.
#include "src/data/parts.h"
#include "src/data/sha256.h"
#include "src/gan/sample_images.h"
#include "tests/devices.h"
#include "tests/files.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace ganforge {
namespace {

/// Noise with a bright block in the corner of each image's class, of four.
HostDataset corners(std::int64_t count, const Shape& sample, std::uint32_t seed) {
  HostDataset data{
      .name = "corners", .sample = sample, .count = count, .pixels = {}, .labels = {}, .classes = {"a", "b", "c", "d"}};
  std::vector<std::uint8_t> pixels;
  std::uint32_t state = seed;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int32_t>(i % 4);
    data.labels.push_back(label);
    for (std::int64_t y = 0; y < sample[0]; ++y)
      for (std::int64_t x = 0; x < sample[1]; ++x)
        for (std::int64_t c = 0; c < sample[2]; ++c) {
          state = state * 1664525u + 1013904223u;
          const bool bright = (2 * y >= sample[0]) == (label >= 2) && (2 * x >= sample[1]) == (label % 2 == 1);
          pixels.push_back(static_cast<std::uint8_t>((state >> 25) + (bright ? 100 : 0)));
        }
  }
  data.pixels = std::move(pixels);
  return data;
}

TEST(Classifier, LearnsOnBothBackends) {
  for (const Shape& sample : {Shape{10, 9, 3}, Shape{8, 16, 1}}) {
    std::vector<std::vector<float>> losses;
    const HostDataset train = corners(96, sample, 1), test = corners(50, sample, 2);
    for (Device& device : devices()) {
      const Dataset data(device, train);
      Classifier classifier(device, sample, train.classes, {.batch = 16});
      losses.emplace_back();
      classifier.train(
          data, 18,
          [&](std::int64_t step, float loss, float) {
            EXPECT_EQ(step, static_cast<std::int64_t>(losses.back().size()) + 1);
            losses.back().push_back(loss);
          },
          1);
      EXPECT_EQ(losses.back().size(), 18u);
      EXPECT_NEAR(losses.back()[0], std::log(4.0), 1.5);
      EXPECT_GT(classifier.accuracy(test), 0.9);
    }
    for (const std::vector<float>& one : losses) EXPECT_NEAR(one[0], losses[0][0], 1e-4);
  }
}

TEST(Classifier, IsTheSameAfterSavingAndLoading) {
  const test::TemporaryFolder folder;
  Device& device = devices()[0];
  const Shape sample{9, 9, 1};
  const HostDataset train = corners(64, sample, 1), test = corners(450, sample, 2);
  const Dataset data(device, train);
  Classifier classifier(device, sample, train.classes, {.batch = 16});
  classifier.train(data, 5);
  classifier.save(folder / "c.safetensors", {{"data", "corners"}});
  EXPECT_EQ(folder.entries(), 1);
  for (Device& other : devices()) {
    Classifier loaded = Classifier::load(other, folder / "c.safetensors");
    EXPECT_EQ(loaded.sample(), sample);
    EXPECT_EQ(loaded.classes(), train.classes);
    EXPECT_EQ(loaded.metadata().at("data"), "corners");
    EXPECT_EQ(loaded.metadata().at("feature_layer").substr(0, 9), "features/");
    const Classifier::Answers a = classifier.classify(test), b = loaded.classify(test);
    ASSERT_EQ(a.features.count, 450);
    ASSERT_EQ(a.features.values.size(), b.features.values.size());
    EXPECT_EQ(a.features.values.size(), static_cast<std::size_t>(450 * a.features.size));
    float apart = 0;
    for (std::size_t i = 0; i < a.features.values.size(); ++i)
      apart = std::max(apart, std::abs(a.features.values[i] - b.features.values[i]));
    EXPECT_LE(apart, other.is_cuda() ? 1e-3f : 0.0f);
    if (!other.is_cuda()) {
      EXPECT_EQ(a.classes, b.classes);
    }
  }
  // An image's features do not depend on the others of its batch.
  const std::vector<std::int64_t> one = {317};
  const Classifier::Answers all = classifier.classify(test), alone = classifier.classify(subset(test, one));
  EXPECT_EQ(alone.classes[0], all.classes[317]);
  EXPECT_TRUE(std::equal(alone.features.values.begin(), alone.features.values.end(),
                         all.features.values.begin() + 317 * all.features.size));
}

TEST(Classifier, RefusesWhatDoesNotFit) {
  const test::TemporaryFolder folder;
  Device& device = devices()[0];
  EXPECT_THROW(Classifier(device, {7, 28, 1}, {"a", "b"}), ConfigError);
  EXPECT_THROW(Classifier(device, {28, 28, 2}, {"a", "b"}), ConfigError);
  EXPECT_THROW(Classifier(device, {28, 28, 1}, {"a"}), ConfigError);
  Classifier classifier(device, {9, 9, 1}, {"a", "b", "c", "d"});
  EXPECT_THROW(classifier.classify(corners(4, {8, 9, 1}, 1)), ShapeError);
  const Dataset other(device, corners(8, {9, 9, 3}, 1));
  EXPECT_THROW(classifier.train(other, 1), ShapeError);
  VariableStore store(device, 1);
  test::write(folder / "x", "no classifier");
  EXPECT_THROW(Classifier::load(device, folder / "x"), FormatError);
}

// FIPS 180-2, appendix B, and the empty message.
TEST(Sha256, TestVectors) {
  const auto digest = [](const std::string& text, std::size_t piece) {
    Sha256 sha;
    for (std::size_t i = 0; i < text.size(); i += piece) sha.add(text.data() + i, std::min(piece, text.size() - i));
    return sha.finish();
  };
  EXPECT_EQ(digest("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1'000'000, 'a');
  for (std::size_t piece : {1'000'000u, 1'000u, 63u, 64u, 65u})
    EXPECT_EQ(digest(million, piece), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(DataParts, ShareNoImageAndDivideEveryClass) {
  const test::TemporaryFolder folder;
  HostDataset data = corners(100, {8, 8, 1}, 3);
  write_packed(folder / "data.gfd", data);
  const DataParts parts = data_parts((folder / "data.gfd").string());
  EXPECT_FALSE(parts.own_test);
  EXPECT_EQ(parts.digest.size(), 64u);
  std::set<std::vector<std::uint8_t>> seen;
  for (const auto& [part, count] : {std::pair(&parts.train, 60), {&parts.held_out, 20}, {&parts.test, 20}}) {
    EXPECT_EQ(part->count, count);
    ASSERT_EQ(part->labels.size(), static_cast<std::size_t>(count));
    for (std::int32_t c = 0; c < 4; ++c) EXPECT_EQ(std::ranges::count(part->labels, c), count / 4);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint8_t* pixels = part->pixels.data() + i * 64;
      seen.emplace(pixels, pixels + 64);
    }
  }
  EXPECT_EQ(seen.size(), 100u);
  data.labels[7] ^= 1;
  write_packed(folder / "other.gfd", data);
  EXPECT_NE(data_parts((folder / "other.gfd").string()).digest, parts.digest);
}

TEST(Subset, IsDrawnBySeed) {
  const HostDataset data = corners(40, {8, 8, 1}, 3);
  const HostDataset a = draw_subset(data, 10, 1), b = draw_subset(data, 10, 2);
  EXPECT_EQ(a.count, 10);
  EXPECT_EQ(a.pixels, draw_subset(data, 10, 1).pixels);
  EXPECT_FALSE(a.pixels == b.pixels);
  EXPECT_EQ(draw_subset(data, 1000, 1).count, 40);
}

TEST(Joined, ClassesAreMatchedByNameOrNumber) {
  HostDataset data = corners(4, {8, 8, 1}, 3), more = corners(4, {8, 8, 1}, 4);
  data.classes = {"T-shirt/top", "Ankle boot", "Bag", "Coat"};
  more.classes = {"ankle_boot", "bag", "3", "t-shirt-top"};
  const HostDataset both = joined(data, more);
  EXPECT_EQ(both.count, 8);
  EXPECT_EQ(both.labels, (std::vector<std::int32_t>{0, 1, 2, 3, 1, 2, 3, 0}));
  EXPECT_EQ(both.pixels.size(), 8 * 64u);
  more.classes[1] = "bagg";
  EXPECT_NE(test::format_error([&] { joined(data, more); }).find("did you mean Bag?"), std::string::npos);
  more.labels.clear();
  EXPECT_NE(test::format_error([&] { joined(data, more); }).find("no labels"), std::string::npos);
  EXPECT_THROW(joined(data, corners(4, {8, 8, 3}, 4)), ShapeError);
}

TEST(SampleImages, AreThoseOfAPng) {
  const Samples samples{Shape{1, 1, 6, 1}, {-1.5f, -1, 0, 1, 2, std::numeric_limits<float>::quiet_NaN()}, -1, 1};
  EXPECT_EQ(to_images(samples, "x").pixels, Bytes(std::vector<std::uint8_t>{0, 0, 128, 255, 255, 0}));
}

}  // namespace
}  // namespace ganforge
