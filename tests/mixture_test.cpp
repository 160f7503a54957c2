// Two-dimensional mixtures: samples, their metrics, pictures, and float data in a step.
#include "src/gan/metrics_mixture.h"
#include "tests/devices.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ganforge {
namespace {

std::vector<float> values_of(const HostDataset& data) {
  std::vector<float> values(data.pixels.size() / sizeof(float));
  std::memcpy(values.data(), data.pixels.data(), data.pixels.size());
  return values;
}

TEST(Mixture, SamplesAreThoseOfTheProtocol) {
  EXPECT_EQ(find_mixture("ring9"), nullptr);
  for (const char* name : {"ring8", "grid25"}) {
    const Mixture& mixture = *find_mixture(name);
    const HostDataset data = find_dataset(name), test = find_dataset(name, {.train = false});
    EXPECT_EQ(data.count, 100'000);
    EXPECT_EQ(test.count, 2'500);
    EXPECT_EQ(data.sample, Shape{2});
    EXPECT_EQ(data.type, DType::float32);
    const std::vector<float> points = values_of(data);
    ASSERT_EQ(points.size(), 200'000u);
    EXPECT_EQ(points, values_of(find_dataset(name)));
    EXPECT_NE(std::vector<float>(points.begin(), points.begin() + 5'000), values_of(test));
    double squares = 0;
    for (std::size_t i = 0; i < points.size() / 2; ++i) {
      const auto& centre = mixture.centres[i % mixture.centres.size()];
      squares += std::pow(points[2 * i] - centre[0], 2) + std::pow(points[2 * i + 1] - centre[1], 2);
    }
    EXPECT_NEAR(std::sqrt(squares / 200'000) / mixture.sigma, 1, 0.01);
  }
  EXPECT_EQ(find_mixture("ring8")->centres.size(), 8u);
  EXPECT_FLOAT_EQ(std::hypot(find_mixture("ring8")->centres[3][0], find_mixture("ring8")->centres[3][1]), 1);
  EXPECT_EQ(find_mixture("grid25")->centres.size(), 25u);
  EXPECT_EQ(find_mixture("grid25")->centres[0], (std::array<float, 2>{-4, -4}));
}

// The mixture's own samples: 98.89 % within 3σ, (modes − 1)/(2n) of KL (here less, since modes take turns), σ as it is.
TEST(MixtureMetrics, OfTheMixtureItself) {
  for (const char* name : {"ring8", "grid25"}) {
    const Mixture& mixture = *find_mixture(name);
    const MixtureMetrics m = mixture_metrics(values_of(sample_mixture(mixture, 50'000, 7)), mixture);
    EXPECT_EQ(m.modes, static_cast<std::int64_t>(mixture.centres.size()));
    EXPECT_NEAR(m.high_quality, 1 - std::exp(-4.5), 0.0015);
    EXPECT_NEAR(m.reverse_kl, 0, 1e-6);
    EXPECT_NEAR(m.sigma_ratio, 1, 0.01);
  }
}

TEST(MixtureMetrics, SeeWhatIsWrong) {
  const Mixture& ring = *find_mixture("ring8");
  // All on one centre.
  std::vector<float> samples;
  for (int i = 0; i < 10; ++i) samples.insert(samples.end(), {1, 0});
  MixtureMetrics m = mixture_metrics(samples, ring);
  EXPECT_EQ(m.modes, 1);
  EXPECT_EQ(m.high_quality, 1);
  EXPECT_NEAR(m.reverse_kl, std::log(8.0), 1e-12);
  EXPECT_EQ(m.sigma_ratio, 0);
  // Half of them 4σ away: nearest to that mode still, but not of high quality.
  for (int i = 0; i < 10; ++i) samples.insert(samples.end(), {1, 0.04f});
  m = mixture_metrics(samples, ring);
  EXPECT_EQ(m.high_quality, 0.5);
  EXPECT_NEAR(m.reverse_kl, std::log(8.0), 1e-12);
  // Two modes, one of them twice as often; σ twice as small.
  samples = {1.005f, 0, 0.995f, 0, 1.0f, 0.005f, 1, -0.005f, 0, 1.005f, 0, 0.995f};
  m = mixture_metrics(samples, ring);
  EXPECT_EQ(m.modes, 2);
  EXPECT_NEAR(m.reverse_kl, 2.0 / 3 * std::log(16.0 / 3) + 1.0 / 3 * std::log(8.0 / 3), 1e-9);
  EXPECT_LT(m.sigma_ratio, 0.6);
  // What is no number is in no mode.
  samples = {NAN, 0, INFINITY, 0, 1, 0};
  m = mixture_metrics(samples, ring);
  EXPECT_EQ(m.modes, 1);
  EXPECT_NEAR(m.high_quality, 1.0 / 3, 1e-12);
  EXPECT_EQ(mixture_metrics({}, ring).modes, 0);
}

// Numbers are taken as they are, each once an epoch.
TEST(FloatData, AStepDrawsThemAsTheyAre) {
  for (Device& device : devices()) {
    HostDataset host = sample_mixture(*find_mixture("grid25"), 60, 3);
    const std::vector<float> points = values_of(host);
    const Dataset data(device, std::move(host));
    VariableStore store(device, 3);
    Graph graph;
    Context context(graph, store, Mode::training);
    const Drawn d = draw(context, data, {.rows = 20, .latents = {}, .schedules = {}});
    graph.output("real", d.real);
    // The op on its own agrees.
    const Batch alone =
        draw_batch(graph.input("cursor", {DType::int64, {}}), graph.read(data.images()), {}, 20, 3, 0.5f, 1);
    graph.output("alone", alone.x);
    Program program = compile(device, graph);
    std::vector<float> epoch;
    for (std::int64_t i = 0; i < 3; ++i) {
      const std::int64_t cursor = 20 * i;
      program.upload("cursor", &cursor, sizeof(cursor));
      program.run();
      const std::vector<float> rows = program.floats("real");
      EXPECT_EQ(rows, program.floats("alone"));
      epoch.insert(epoch.end(), rows.begin(), rows.end());
    }
    const auto pairs = [](const std::vector<float>& values) {
      std::vector<std::pair<float, float>> all;
      for (std::size_t i = 0; i < values.size(); i += 2) all.emplace_back(values[i], values[i + 1]);
      std::ranges::sort(all);
      return all;
    };
    EXPECT_EQ(pairs(epoch), pairs(points));
    EXPECT_NE(epoch, points);
  }
}

TEST(Scatter, PutsPointsWhereTheyAre) {
  // The view is that of the real points: a square around the origin of side 2·1.24.
  const std::vector<float> real = {-1, -1, 1, 1}, generated = {1, -1, 50, 50, NAN, 0};
  const Image image = make_scatter(real, generated, 248);
  EXPECT_EQ(image.width, 248);
  EXPECT_EQ(image.channels, 3);
  const auto pixel = [&](int x, int y) {
    const auto at = static_cast<std::size_t>(3 * (y * image.width + x));
    return std::array<int, 3>{image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]};
  };
  const std::array<int, 3> white = {255, 255, 255};
  EXPECT_EQ(pixel(124, 124), white);
  const auto grey = pixel(24, 224), blue = pixel(224, 224);
  EXPECT_TRUE(grey != white && grey[0] == grey[1] && grey[1] == grey[2]);
  EXPECT_LT(blue[0] + 50, blue[2]);
  EXPECT_EQ(pixel(224, 24), grey);
  EXPECT_EQ(pixel(20, 20), white);
  EXPECT_THROW(make_scatter(std::vector<float>{1}, {}), ShapeError);
  EXPECT_THROW(make_scatter(real, {}, 2), ConfigError);
}

}  // namespace
}  // namespace ganforge
