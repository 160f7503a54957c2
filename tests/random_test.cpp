#include "kernels/random.h"

#include "kernels/philox.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numbers>
#include <numeric>
#include <set>

namespace ganforge {
namespace {

using kernel_test::Array;
using kernel_test::devices;

constexpr Draw plain{.seed = 42, .purpose = purpose_noise, .draw = 1, .first = 0};

std::vector<float> draw_normal(Device& device, const Draw& draw, std::int64_t tick, float mean, float stddev,
                               std::int64_t n) {
  Array<float> y(device, n);
  Array<std::int64_t> t(device, std::vector<std::int64_t>{tick});
  std::visit([&](const auto& stream) { normal(stream, draw, t.data(), mean, stddev, y.data(), n); }, device.stream());
  return y.values();
}

std::vector<float> draw_uniform(Device& device, const Draw& draw, std::int64_t tick, float low, float high,
                                std::int64_t n) {
  Array<float> y(device, n);
  Array<std::int64_t> t(device, std::vector<std::int64_t>{tick});
  std::visit([&](const auto& stream) { uniform(stream, draw, t.data(), low, high, y.data(), n); }, device.stream());
  return y.values();
}

/// Largest distance of the sample's distribution function from the given one (Kolmogorov & Smirnov).
template <class Cdf>
double distance(std::vector<float> y, Cdf cdf) {
  std::sort(y.begin(), y.end());
  double largest = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double f = cdf(y[i]), n = double(y.size());
    largest = std::max({largest, std::abs(f - double(i) / n), std::abs(double(i + 1) / n - f)});
  }
  return largest;
}

// Known answers of the authors' own test program for 10 rounds.
TEST(Philox, HasTheKnownAnswers) {
  const auto expect = [](Words counter, PhiloxKey key, Words want) {
    const Words got = philox4x32_10(counter, key);
    EXPECT_EQ(std::tie(got.x0, got.x1, got.x2, got.x3), std::tie(want.x0, want.x1, want.x2, want.x3));
  };
  const std::uint32_t ones = 0xFFFFFFFF;
  expect({0, 0, 0, 0}, {0, 0}, {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8});
  expect({ones, ones, ones, ones}, {ones, ones}, {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD});
  expect({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0},
         {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1});
}

TEST(Random, HasTheSameBitsOnEveryDevice) {
  auto all = devices();
  for (std::int64_t n : {1, 3, 4, 17, 100, 129, 1030, 5000}) {
    for (std::int64_t first : {0, 1, 6, 4096}) {
      Draw draw = plain;
      draw.first = first;
      const auto z = draw_normal(all[0], draw, 3, 0.5f, 0.02f, n), u = draw_uniform(all[0], draw, 3, -1, 1, n);
      for (Device& device : all) {
        SCOPED_TRACE(kernel_test::describe(device) + ", n = " + std::to_string(n));
        EXPECT_EQ(draw_normal(device, draw, 3, 0.5f, 0.02f, n), z);
        EXPECT_EQ(draw_uniform(device, draw, 3, -1, 1, n), u);
      }
    }
  }
}

TEST(Random, AnElementIsAFunctionOfItsNumber) {
  for (Device& device : devices()) {
    const auto all = draw_normal(device, plain, 0, 0, 1, 300);
    for (std::int64_t first : {1, 2, 3, 4, 150}) {
      Draw draw = plain;
      draw.first = first;
      const auto part = draw_normal(device, draw, 0, 0, 1, 130);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first)) << kernel_test::describe(device);
    }
  }
}

TEST(Random, WritesWhereTheMemoryIsNotAligned) {
  for (Device& device : devices()) {
    Array<float> y(device, 103);
    Array<std::int64_t> tick(device, std::vector<std::int64_t>{0});
    std::visit([&](const auto& stream) { normal(stream, plain, tick.data(), 0, 1, y.data() + 1, 102); },
               device.stream());
    const auto got = y.values();
    EXPECT_EQ(got[0], 113);
    EXPECT_EQ(std::vector<float>(got.begin() + 1, got.end()), draw_normal(device, plain, 0, 0, 1, 102));
  }
}

TEST(Random, DependsOnSeedPurposeDrawAndTick) {
  for (Device& device : devices()) {
    std::set<std::vector<float>> seen;
    seen.insert(draw_normal(device, plain, 0, 0, 1, 8));
    seen.insert(draw_normal(device, plain, 1, 0, 1, 8));
    seen.insert(draw_normal(device, plain, std::int64_t(1) << 32, 0, 1, 8));
    seen.insert(draw_normal(device, {43, purpose_noise, 1, 0}, 0, 0, 1, 8));
    seen.insert(draw_normal(device, {42 + (std::uint64_t(1) << 32), purpose_noise, 1, 0}, 0, 0, 1, 8));
    seen.insert(draw_normal(device, {42, purpose_initialise, 1, 0}, 0, 0, 1, 8));
    seen.insert(draw_normal(device, {42, purpose_noise, 2, 0}, 0, 0, 1, 8));
    seen.insert(draw_normal(device, {42, purpose_noise, 1, 8}, 0, 0, 1, 8));
    seen.insert(draw_normal(device, {42, purpose_noise, 1, std::int64_t(1) << 34}, 0, 0, 1, 8));
    EXPECT_EQ(seen.size(), 9u);
  }
}

// Our own logarithm, sine and cosine against the library's in double precision.
TEST(Normal, IsBoxMuller) {
  Device device = Device::cpu(1);
  const std::int64_t n = 40000;
  const auto got = draw_normal(device, plain, 5, 0, 1, n);
  for (std::int64_t quad = 0; quad < n / 4; ++quad) {
    const Words w = words_of_quad(philox_key(plain.seed, plain.purpose), plain.draw, 5, quad);
    const std::uint32_t words[4] = {w.x0, w.x1, w.x2, w.x3};
    for (int pair = 0; pair < 2; ++pair) {
      // The radius takes 31 bits, rounded to the 24 of a float.
      const double u = (double(float(words[2 * pair] >> 1)) + 0.5) * 0x1p-31,
                   angle = words[2 * pair + 1] * 0x1p-32 * 2 * std::numbers::pi;
      const double radius = std::sqrt(-2 * std::log(std::min(u, 1.0)));
      ASSERT_NEAR(got[std::size_t(4 * quad + 2 * pair)], radius * std::cos(angle), 4e-7 + 4e-7 * radius) << quad;
      ASSERT_NEAR(got[std::size_t(4 * quad + 2 * pair + 1)], radius * std::sin(angle), 4e-7 + 4e-7 * radius) << quad;
    }
  }
}

TEST(Normal, HasTheMomentsAndTheDistribution) {
  Device device = Device::cpu(2);
  const std::int64_t n = 400000;
  const auto y = draw_normal(device, plain, 7, 0, 1, n);
  double moment[5] = {};
  for (float v : y) {
    ASSERT_TRUE(std::isfinite(v) && std::abs(v) < 6.7f);
    for (int k = 1; k < 5; ++k) moment[k] += std::pow(double(v), k) / double(n);
  }
  // Four standard errors each: √(1, 2, 15, 96 / n).
  EXPECT_NEAR(moment[1], 0, 4 * std::sqrt(1.0 / n));
  EXPECT_NEAR(moment[2], 1, 4 * std::sqrt(2.0 / n));
  EXPECT_NEAR(moment[3], 0, 4 * std::sqrt(15.0 / n));
  EXPECT_NEAR(moment[4], 3, 4 * std::sqrt(96.0 / n));
  EXPECT_LT(distance(y, [](double v) { return 0.5 * std::erfc(-v / std::numbers::sqrt2); }), 1.63 / std::sqrt(n));
  double neighbours = 0;
  for (std::size_t i = 1; i < y.size(); ++i) neighbours += double(y[i]) * y[i - 1] / double(n);
  EXPECT_NEAR(neighbours, 0, 4 * std::sqrt(1.0 / n));
}

TEST(Normal, TailsAreFinite) {
  for (std::uint32_t word : {0u, 1u, 2u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFF00u, 0xFFFFFFFFu}) {
    for (std::uint32_t angle : {0u, 1u, 0x1FFFFFFFu, 0x20000000u, 0x40000000u, 0xC0000000u, 0xFFFFFFFFu}) {
      const Pair pair = normal_pair(word, angle, 0, 1);
      EXPECT_TRUE(std::hypot(pair.y0, pair.y1) < 6.7f) << word << ' ' << angle;
    }
  }
  EXPECT_NEAR(normal_pair(0, 0, 0, 1).y0, std::sqrt(2 * 32 * std::numbers::ln2), 1e-5);
  EXPECT_NEAR(normal_pair(0, 0x80000000u, 0, 1).y0, -std::sqrt(2 * 32 * std::numbers::ln2), 1e-5);
}

TEST(Uniform, LiesInItsRangeAndFillsIt) {
  for (Device& device : devices()) {
    SCOPED_TRACE(kernel_test::describe(device));
    const std::int64_t n = 20000;
    const auto y = draw_uniform(device, plain, 2, -3, 5, n);
    EXPECT_GE(*std::min_element(y.begin(), y.end()), -3);
    EXPECT_LT(*std::max_element(y.begin(), y.end()), 5);
    EXPECT_LT(distance(y, [](double v) { return (v + 3) / 8; }), 1.63 / std::sqrt(n));
    // Half of all sums round up to `high` here, and below zero and at zero the float before it is another one.
    for (auto [low, high] :
         {std::pair{1.0f, 1 + 0x1p-23f}, std::pair{-1 - 0x1p-22f, -1.0f}, std::pair{-0x1p-140f, 0.0f}}) {
      for (float v : draw_uniform(device, plain, 2, low, high, 300)) EXPECT_TRUE(v >= low && v < high) << v;
    }
  }
}

struct Batch {
  std::vector<float> x;
  std::vector<std::int32_t> y;
  std::int64_t cursor;
};

/// Sample s is labelled s and holds the bytes (7s + 3i) mod 256.
Batch draw(Device& device, std::int64_t count, std::int64_t sample, std::int64_t rows, std::int64_t cursor,
           bool aliased = true, bool labelled = true, std::uint64_t seed = 42) {
  std::vector<std::uint8_t> pixels;
  for (std::int64_t s = 0; s < count; ++s) {
    for (std::int64_t i = 0; i < sample; ++i) pixels.push_back(static_cast<std::uint8_t>(7 * s + 3 * i));
  }
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  Array<std::uint8_t> data(device, pixels);
  Array<std::int32_t> labels(device, numbers), y(device, rows);
  Array<std::int64_t> position(device, std::vector<std::int64_t>{cursor}), next(device, 1);
  Array<float> x(device, rows * sample);
  Array<unsigned> ticket(device, std::vector<unsigned>{0});
  const DrawBatchArgs args{.data = data.data(),
                           .labels = labelled ? labels.data() : nullptr,
                           .cursor = position.data(),
                           .x = x.data(),
                           .y = labelled ? y.data() : nullptr,
                           .new_cursor = aliased ? position.data() : next.data(),
                           .count = count,
                           .sample = sample,
                           .rows = rows,
                           .scale = 1 / 127.5f,
                           .shift = -1,
                           .seed = seed,
                           .ticket = ticket.data()};
  std::visit([&](const auto& stream) { draw_batch(stream, args); }, device.stream());
  EXPECT_EQ(ticket.value(), 0u);
  if (!aliased) {
    EXPECT_EQ(position.value(), cursor);
  }
  return {x.values(), y.values(), aliased ? position.value() : next.value()};
}

TEST(DrawBatch, AnEpochIsAPermutation) {
  for (Device& device : devices()) {
    for (std::int64_t count : {1, 2, 3, 100, 60000}) {
      SCOPED_TRACE(kernel_test::describe(device) + ", count = " + std::to_string(count));
      std::vector<std::int32_t> before;
      for (std::int64_t epoch : {0, 1, 5}) {
        const auto order = draw(device, count, 1, count, epoch * count).y;
        auto sorted = order;
        std::sort(sorted.begin(), sorted.end());
        for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(sorted[std::size_t(i)], i);
        if (count >= 100) {
          EXPECT_NE(order, before);
          EXPECT_NE(order, draw(device, count, 1, count, epoch * count, true, true, 43).y);
        }
        before = order;
      }
    }
  }
}

// Every order of three samples comes, and each of 100 samples is first about equally often.
TEST(DrawBatch, PermutationsAreEvenlySpread) {
  std::map<std::vector<std::int64_t>, int> orders;
  std::vector<int> first(100);
  for (std::int64_t epoch = 0; epoch < 3000; ++epoch) {
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < 3; ++i) order.push_back(shuffled_sample(1, 3 * epoch + i, 3));
    ++orders[order];
    ++first[std::size_t(shuffled_sample(1, 100 * epoch, 100))];
  }
  EXPECT_EQ(orders.size(), 6u);
  for (const auto& [order, times] : orders) EXPECT_NEAR(times, 500, 150);
  double chi_squared = 0;
  for (int times : first) chi_squared += (times - 30) * (times - 30) / 30.0;
  EXPECT_LT(chi_squared, 149);  // 99 degrees of freedom, one in a thousand
}

TEST(DrawBatch, ScalesPixelsAndCrossesEpochs) {
  for (Device& device : devices()) {
    for (std::int64_t sample : {1, 3, 4, 17, 784, 2052, 4100}) {
      for (bool aliased : {false, true}) {
        SCOPED_TRACE(kernel_test::describe(device) + ", sample = " + std::to_string(sample));
        const std::int64_t count = 10, rows = 7, cursor = 5;
        const Batch got = draw(device, count, sample, rows, cursor, aliased);
        EXPECT_EQ(got.cursor, cursor + rows);
        std::vector<double> want;
        for (std::int64_t row = 0; row < rows; ++row) {
          const std::int64_t s = shuffled_sample(42, cursor + row, count);
          EXPECT_EQ(got.y[std::size_t(row)], s);
          for (std::int64_t i = 0; i < sample; ++i) want.push_back(((7 * s + 3 * i) % 256) / 127.5 - 1);
        }
        kernel_test::expect_close(got.x, want, 0, 2e-7, "x");
      }
    }
  }
}

TEST(DrawBatch, HasTheSameBitsOnEveryDeviceWithAndWithoutLabels) {
  auto all = devices();
  const Batch want = draw(all[0], 100, 784, 64, 1000);
  for (Device& device : all) {
    EXPECT_EQ(draw(device, 100, 784, 64, 1000).x, want.x) << kernel_test::describe(device);
    const Batch unlabelled = draw(device, 100, 784, 64, 1000, true, false);
    EXPECT_EQ(unlabelled.x, want.x) << kernel_test::describe(device);
    EXPECT_EQ(unlabelled.y, std::vector<std::int32_t>(64, 113)) << kernel_test::describe(device);
  }
}

TEST(Schedule, FollowsItsKind) {
  using Kind = Schedule::Kind;
  const Schedule schedules[] = {{Kind::constant, 3, 0, 0, 0},  {Kind::linear, 1, 0, 10, 110},
                                {Kind::cosine, 1, 0, 10, 110}, {Kind::cosine, 2e-4f, 1e-5f, 0, 7},
                                {Kind::step, 5, -1, 10, 0},    {Kind::linear, 1, 2, 10, 10}};
  auto all = devices();
  for (std::int64_t tick : {0, 7, 9, 10, 11, 35, 60, 109, 110, 1000}) {
    std::vector<float> first;
    for (Device& device : all) {
      SCOPED_TRACE(kernel_test::describe(device) + ", tick = " + std::to_string(tick));
      Array<float> value(device, 6);
      Array<std::int64_t> t(device, std::vector<std::int64_t>{tick});
      float* pointers[6];
      for (int i = 0; i < 6; ++i) pointers[i] = value.data() + i;
      std::visit([&](const auto& stream) { schedule(stream, schedules, 6, t.data(), pointers); }, device.stream());
      const auto got = value.values();
      const double share = std::clamp((double(tick) - 10) / 100, 0.0, 1.0),
                   quick = std::clamp(double(tick) / 7, 0.0, 1.0);
      const auto cosine = [](double from, double to, double s) {
        return to + (from - to) * (1 + std::cos(std::numbers::pi * s)) / 2;
      };
      kernel_test::expect_close(got,
                                {3, 1 - share, cosine(1, 0, share), cosine(double(2e-4f), double(1e-5f), quick),
                                 tick < 10 ? 5.0 : -1.0, tick < 10 ? 1.0 : 2.0},
                                2e-7, 1e-12, "value");
      if (first.empty()) first = got;
      EXPECT_EQ(got, first);
    }
  }
}

}  // namespace
}  // namespace ganforge
