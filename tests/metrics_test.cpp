// Metrics of features against closed forms, brute force, and numbers computed by NumPy.
#include "tests/devices.h"

#include <ganforge/error.h>
#include <ganforge/metrics.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace ganforge {
namespace {

Features features(std::int64_t size, std::vector<float> values) {
  return {static_cast<std::int64_t>(values.size()) / size, size, std::move(values)};
}

Features random_features(std::int64_t count, std::int64_t size, std::uint64_t seed, double shift, double scale) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  Features f{count, size, {}};
  for (std::int64_t i = 0; i < count * size; ++i)
    f.values.push_back(static_cast<float>(shift + scale * normal(engine)));
  return f;
}

// In one dimension the distance is (μ₁ − μ₂)² + (σ₁ − σ₂)². {0, 2}: mean 1, unbiased σ √2; {3, 9}: mean 6, σ √18.
TEST(Frechet, OneDimension) {
  EXPECT_NEAR(frechet_distance(features(1, {0, 2}), features(1, {3, 9})),
              25 + std::pow(std::sqrt(18) - std::sqrt(2), 2), 1e-12);
}

// Commuting covariances: Σ (σ₁ᵢ − σ₂ᵢ)² beside the means. The points ±a on the axes have diagonal covariances 2a²/3.
TEST(Frechet, DiagonalCovariances) {
  const auto cross = [](float a, float b, float x, float y) {
    return features(2, {x + a, y, x - a, y, x, y + b, x, y - b});
  };
  const double expected = 9 + 16 + 2.0 / 3 * (std::pow(1 - 3, 2) + std::pow(2 - 0.5, 2));
  EXPECT_NEAR(frechet_distance(cross(1, 2, 0, 0), cross(3, 0.5f, 3, 4)), expected, 1e-12);
}

// import numpy as np
// a = np.array([[0,0,1],[1,2,0],[3,1,1],[0,1,4],[2,2,2.]]); b = np.array([[1,0,0],[0,3,1],[2,2,5],[4,1,0.]])
// sqrt of the product by its (not symmetric) eigenvalues:
// d = ((a.mean(0)-b.mean(0))**2).sum() + np.trace(np.cov(a.T)+np.cov(b.T))
// d -= 2*np.sqrt(np.maximum(np.linalg.eigvals(np.cov(a.T)@np.cov(b.T)).real, 0)).sum()
TEST(Frechet, AgreesWithNumPy) {
  const Features a = features(3, {0, 0, 1, 1, 2, 0, 3, 1, 1, 0, 1, 4, 2, 2, 2});
  const Features b = features(3, {1, 0, 0, 0, 3, 1, 2, 2, 5, 4, 1, 0});
  EXPECT_NEAR(frechet_distance(a, b), 2.3409656239119, 1e-9);
  EXPECT_NEAR(frechet_distance(b, a), 2.3409656239119, 1e-9);
  EXPECT_NEAR(frechet_distance(a, a), 0, 1e-9);
}

TEST(Frechet, RefusesWhatCannotBeCompared) {
  EXPECT_THROW(frechet_distance(features(1, {0, 1}), features(2, {0, 1, 2, 3})), ShapeError);
  EXPECT_THROW(frechet_distance(features(1, {0}), features(1, {0, 1})), ConfigError);
  EXPECT_THROW(compare(features(1, {0, 1, 2, 3, 4}), features(1, {0, 1, 2, 3, 4, 5}), devices()[0]), ConfigError);
}

// Everything anew, pair by pair, as the papers write it.
FeatureMetrics brute_force(const Features& x, const Features& y) {
  const auto at = [](const Features& f, std::int64_t i, std::int64_t j) {
    return static_cast<double>(f.values[static_cast<std::size_t>(i * f.size + j)]);
  };
  const auto distance = [&](const Features& a, std::int64_t i, const Features& b, std::int64_t j) {
    double sum = 0;
    for (std::int64_t k = 0; k < a.size; ++k) sum += std::pow(at(a, i, k) - at(b, j, k), 2);
    return std::sqrt(sum);
  };
  const auto kernel = [&](const Features& a, std::int64_t i, const Features& b, std::int64_t j) {
    double sum = 0;
    for (std::int64_t k = 0; k < a.size; ++k) sum += at(a, i, k) * at(b, j, k);
    return std::pow(sum / static_cast<double>(a.size) + 1, 3);
  };
  const auto radius = [&](const Features& f, std::int64_t i, std::size_t k) {
    std::vector<double> all;
    for (std::int64_t j = 0; j < f.count; ++j)
      if (j != i) all.push_back(distance(f, i, f, j));
    std::ranges::sort(all);
    return all[k - 1];
  };
  FeatureMetrics m;
  const auto n = static_cast<double>(x.count), l = static_cast<double>(y.count);
  for (std::int64_t i = 0; i < x.count; ++i)
    for (std::int64_t j = 0; j < x.count; ++j)
      if (j != i) m.kernel += kernel(x, i, x, j) / (n * (n - 1));
  for (std::int64_t i = 0; i < y.count; ++i)
    for (std::int64_t j = 0; j < y.count; ++j)
      if (j != i) m.kernel += kernel(y, i, y, j) / (l * (l - 1));
  for (std::int64_t i = 0; i < x.count; ++i) {
    bool precise = false;
    for (std::int64_t j = 0; j < y.count; ++j) {
      m.kernel -= 2 * kernel(x, i, y, j) / (n * l);
      precise |= distance(x, i, y, j) <= radius(y, j, 3);
      m.density += (distance(x, i, y, j) <= radius(y, j, 5)) / (5 * n);
    }
    m.precision += precise / n;
  }
  for (std::int64_t j = 0; j < y.count; ++j) {
    bool recalled = false, covered = false;
    for (std::int64_t i = 0; i < x.count; ++i) {
      recalled |= distance(x, i, y, j) <= radius(x, i, 3);
      covered |= distance(x, i, y, j) <= radius(y, j, 5);
    }
    m.recall += recalled / l;
    m.coverage += covered / l;
  }
  return m;
}

// More rows than a block of the product has, and not a multiple of one.
TEST(FeatureMetrics, AgreeWithBruteForce) {
  for (const auto& [shift, scale] : {std::pair(0.0, 1.0), std::pair(0.5, 0.6), std::pair(3.0, 0.2)}) {
    const Features x = random_features(83, 3, 5, shift, scale), y = random_features(71, 3, 6, 0, 1);
    const FeatureMetrics expected = brute_force(x, y);
    for (Device& device : devices()) {
      const FeatureMetrics m = compare(x, y, device);
      EXPECT_NEAR(m.kernel, expected.kernel, 1e-10 * std::abs(expected.kernel) + 1e-12);
      EXPECT_NEAR(m.precision, expected.precision, 1e-12);
      EXPECT_NEAR(m.recall, expected.recall, 1e-12);
      EXPECT_NEAR(m.density, expected.density, 1e-12);
      EXPECT_NEAR(m.coverage, expected.coverage, 1e-12);
      EXPECT_EQ(m.frechet, frechet_distance(x, y));
    }
  }
}

// On a line, at 0, 1, …, 9: the 3rd neighbour is 2 away (3 and 2 at the ends), the 5th 3 (5 and 4).
TEST(FeatureMetrics, OnALine) {
  const Features line = features(1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  Device& device = devices()[0];
  const FeatureMetrics same = compare(line, line, device);
  EXPECT_EQ(same.precision, 1);
  EXPECT_EQ(same.recall, 1);
  EXPECT_EQ(same.coverage, 1);
  EXPECT_NEAR(same.frechet, 0, 1e-12);
  // Six samples near 0: within the balls of some points each, and no sample's own ball reaches beyond 0.
  const Features end = features(1, {0, 0.01f, 0.02f, 0.03f, 0.04f, 0.05f});
  const FeatureMetrics collapsed = compare(end, line, device);
  EXPECT_EQ(collapsed.precision, 1);
  EXPECT_NEAR(collapsed.recall, 0.1, 1e-12);
  // All far away.
  const FeatureMetrics far = compare(features(1, {50, 51, 52, 53, 54, 55}), line, device);
  EXPECT_EQ(far.precision, 0);
  EXPECT_EQ(far.recall, 0);
  EXPECT_EQ(far.density, 0);
  EXPECT_EQ(far.coverage, 0);
}

// Threads share out the rows; sums are added in the order of the rows.
TEST(FeatureMetrics, DoNotDependOnTheThreads) {
  const Features x = random_features(300, 8, 1, 0, 1), y = random_features(200, 8, 2, 0.1, 1);
  Device one = Device::cpu(1), three = Device::cpu(3);
  const FeatureMetrics a = compare(x, y, one), b = compare(x, y, three);
  EXPECT_EQ(a.kernel, b.kernel);
  EXPECT_EQ(a.density, b.density);
  EXPECT_EQ(a.recall, b.recall);
}

// The kernel distance is unbiased: its mean over many draws of equal distributions is 0 within three standard errors.
TEST(FeatureMetrics, KernelDistanceIsUnbiased) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 200; ++i)
    values.push_back(
        compare(random_features(20, 2, 2 * i, 0, 1), random_features(25, 2, 2 * i + 1, 0, 1), devices()[0]).kernel);
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / 200;
  for (const double v : values) squares += std::pow(v - mean, 2) / 199;
  EXPECT_LT(std::abs(mean), 3 * std::sqrt(squares / 200));
  EXPECT_GT(*std::ranges::max_element(values), 0);
  EXPECT_LT(*std::ranges::min_element(values), 0);
}

TEST(ClassKl, ClosedForms) {
  const std::vector<std::int32_t> even = {0, 1, 2, 3}, twice = {0, 0, 1, 1}, zero = {0, 0};
  EXPECT_EQ(class_kl(even, even, 4), 0);
  EXPECT_NEAR(class_kl(twice, even, 4), std::log(2.0), 1e-12);
  EXPECT_NEAR(class_kl(zero, even, 4), std::log(4.0), 1e-12);
  // Half of the samples are in classes that the reference lacks: each counts as half of its four.
  EXPECT_NEAR(class_kl(even, twice, 4), 0.5 * std::log(0.25 / 0.5) + 0.5 * std::log(0.25 / 0.125), 1e-12);
}

}  // namespace
}  // namespace ganforge
