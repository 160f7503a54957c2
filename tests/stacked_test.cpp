// Stacked-MNIST, from images whose pixels say where they come from.
#include "src/data/stacked.h"
#include "src/gan/metrics_stacked.h"

#include <ganforge/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace ganforge {
namespace {

/// Image i has the bytes i, i + 100, and class i mod 3.
HostDataset grey() {
  HostDataset data{"grey", {1, 2, 1}, 10, {}, {}, {"x", "y", "z"}};
  std::vector<std::uint8_t> pixels;
  for (std::uint8_t i = 0; i < 10; ++i) {
    pixels.insert(pixels.end(), {i, static_cast<std::uint8_t>(i + 100)});
    data.labels.push_back(i % 3);
  }
  data.pixels = std::move(pixels);
  return data;
}

TEST(Stacked, ChannelsAreImagesAndTheClassIsTheirs) {
  const HostDataset data = stack(grey(), 2000, 5);
  EXPECT_EQ(data.name, "stacked-grey");
  EXPECT_EQ(data.sample, (Shape{1, 2, 3}));
  ASSERT_EQ(data.count, 2000);
  ASSERT_EQ(data.pixels.size(), 12000u);
  ASSERT_EQ(data.classes.size(), 27u);
  EXPECT_EQ(data.classes[5], "0-1-2");
  std::set<std::int32_t> seen;
  std::vector<int> drawn(10);
  for (std::size_t i = 0; i < 2000; ++i) {
    const std::uint8_t* p = data.pixels.data() + 6 * i;
    for (int c = 0; c < 3; ++c) {
      EXPECT_EQ(p[c] + 100, p[3 + c]);
      ++drawn[p[c]];
    }
    EXPECT_EQ(data.labels[i], (p[0] % 3 * 3 + p[1] % 3) * 3 + p[2] % 3);
    seen.insert(data.labels[i]);
  }
  EXPECT_EQ(seen.size(), 27u);
  for (const int count : drawn) EXPECT_NEAR(count, 600, 120);  // five standard deviations
}

TEST(Stacked, ComesApartAgain) {
  const HostDataset data = stack(grey(), 50, 3), apart = unstack(data);
  EXPECT_EQ(apart.sample, (Shape{1, 2, 1}));
  ASSERT_EQ(apart.count, 150);
  for (std::size_t i = 0; i < 50; ++i)
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_EQ(apart.pixels[2 * (3 * i + c)], data.pixels[6 * i + c]);
      EXPECT_EQ(apart.pixels[2 * (3 * i + c) + 1], data.pixels[6 * i + 3 + c]);
    }
  EXPECT_THROW(unstack(grey()), ShapeError);
}

TEST(Stacked, ModesAndDivergence) {
  // Four samples of two of eight modes: Σ p·ln(8p) = ¾·ln 6 + ¼·ln 2.
  const std::int32_t classes[] = {0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1};
  const StackedMetrics metrics = stacked_metrics(classes, 2);
  EXPECT_EQ(metrics.modes, 2);
  EXPECT_DOUBLE_EQ(metrics.reverse_kl, 0.75 * std::log(6.0) + 0.25 * std::log(2.0));
}

TEST(Stacked, IsAFunctionOfTheSeed) {
  EXPECT_EQ(stack(grey(), 50, 1).pixels, stack(grey(), 50, 1).pixels);
  EXPECT_FALSE(stack(grey(), 50, 1).pixels == stack(grey(), 50, 2).pixels);
}

TEST(Stacked, WantsGreyImagesWithLabels) {
  HostDataset data = grey();
  data.labels.clear();
  data.classes.clear();
  EXPECT_THROW(stack(data, 5, 0), FormatError);
  data = grey();
  data.sample = {1, 1, 2};
  EXPECT_THROW(stack(data, 5, 0), FormatError);
  data = grey();
  data.classes.resize(11);
  EXPECT_THROW(stack(data, 5, 0), FormatError);
  EXPECT_EQ(stacked_from("stacked:mnist"), "mnist");
  EXPECT_FALSE(stacked_from("mnist"));
}

}  // namespace
}  // namespace ganforge
