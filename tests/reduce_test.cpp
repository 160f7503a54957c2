#include "kernels/reduce.h"

#include "tests/kernel_test.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <type_traits>

namespace ganforge {
namespace {

using kernel_test::Array;

struct Case {
  Shape x;
  unsigned reduced;  // bit a: axis a is reduced
};

std::string describe(const Case& c) {
  return c.x.str() + " over axes " + std::to_string(c.reduced);
}

ReducePlan plan_of(const Case& c) {
  bool reduce[Shape::max_rank];
  for (int axis = 0; axis < c.x.rank(); ++axis) reduce[axis] = c.reduced >> axis & 1;
  return reduce_plan(c.x, {reduce, static_cast<std::size_t>(c.x.rank())});
}

std::int64_t outputs(const Case& c) {
  std::int64_t n = 1;
  for (int axis = 0; axis < c.x.rank(); ++axis) n *= c.reduced >> axis & 1 ? 1 : c.x[axis];
  return n;
}

/// Output that element i of x goes to.
std::int64_t output_of(const Case& c, std::int64_t i) {
  std::int64_t output = 0, stride = 1;
  for (int axis = c.x.rank() - 1; axis >= 0; --axis) {
    const std::int64_t index = i % c.x[axis];
    i /= c.x[axis];
    if (c.reduced >> axis & 1) continue;
    output += index * stride;
    stride *= c.x[axis];
  }
  return output;
}

std::vector<Case> cases(std::mt19937& random) {
  std::vector<Case> all = {
      {{}, 0},
      {{1}, 1},
      {{0}, 1},
      {{0, 3}, 1},
      {{3, 0}, 1},
      {{5}, 0},
      {{7, 9}, 0},
      {{129}, 1},
      {{70001}, 1},
      {{17, 100}, 1},
      {{17, 100}, 2},
      {{17, 100}, 3},
      {{129, 3}, 1},
      {{129, 3}, 2},
      {{20000, 3}, 1},
      {{3, 20000}, 2},
      {{1000, 65}, 1},
      {{3, 129, 17}, 2},
      {{3, 129, 17}, 5},
      {{2, 100, 1, 64}, 2},
      {{5, 7, 7, 20}, 7},
      {{5, 20, 7, 7}, 13},
      {{2, 3, 40, 200}, 4},
      {{2, 3, 2, 3, 2, 5}, 21},
      {{2, 3, 2, 3, 2, 5}, 42},
      {{1, 1, 4}, 3},
      {{600, 128}, 1},
      {{33, 31}, 1},
      {{40, 32}, 1},
      {{70, 33}, 1},
  };
  for (int i = 0; i < 60; ++i) {
    std::vector<std::int64_t> extents(random() % 7);
    for (std::int64_t& extent : extents) extent = 1 + random() % 6;
    if (!extents.empty()) extents[random() % extents.size()] *= 1 + random() % 7;
    all.push_back({Shape{std::span<const std::int64_t>(extents)}, unsigned(random())});
  }
  return all;
}

template <class T>
std::vector<T> random_values(std::mt19937& random, std::int64_t n) {
  std::uniform_real_distribution<double> uniform(-1, 2);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& value : values) value = static_cast<T>(uniform(random));
  return values;
}

/// Runs f(stream, T{}) in float32, and in float64 on the CPU.
template <class F>
void with_float_types(Device& device, F f) {
  if (auto* cpu = std::get_if<CpuStream>(&device.stream())) f(*cpu, double{});
  std::visit([&](const auto& stream) { f(stream, float{}); }, device.stream());
}

TEST(Reduce, Sum) {
  std::mt19937 random(1);
  const std::vector<Case> all = cases(random);
  for (Device& device : kernel_test::devices()) {
    with_float_types(device, [&]<class Stream, class T>(const Stream& stream, T) {
      for (const Case& c : all) {
        const auto xs = random_values<T>(random, c.x.elements());
        std::vector<double> want(static_cast<std::size_t>(outputs(c))), magnitude(want);
        for (std::int64_t i = 0; i < c.x.elements(); ++i) {
          want[output_of(c, i)] += xs[i];
          magnitude[output_of(c, i)] += std::abs(xs[i]);
        }
        const Array<T> x(device, xs), y(device, outputs(c));
        sum(stream, plan_of(c), x.data(), y.data());
        const std::vector<T> got = y.values();
        // a few roundings of the magnitude; the double reference itself adds in order
        const double tolerance = std::is_same_v<T, float> ? 3e-7 : 1e-12;
        for (std::size_t i = 0; i < want.size(); ++i) {
          ASSERT_TRUE(std::abs(got[i] - want[i]) <= tolerance * magnitude[i])
              << describe(c) << " [" << i << "]: " << got[i] << " instead of " << want[i];
        }
      }
    });
  }
}

TEST(Reduce, SumOfAMillionTermsKeepsItsDigits) {
  const std::int64_t n = 1'000'000;
  const std::vector<float> xs(n, 0.1f);
  for (Device& device : kernel_test::devices()) {
    const Array<float> x(device, xs);
    for (const Case& c : {Case{{n}, 1}, Case{{n / 4, 4}, 1}}) {
      const Array<float> y(device, outputs(c));
      std::visit([&](const auto& stream) { sum(stream, plan_of(c), x.data(), y.data()); }, device.stream());
      const std::vector<double> want(static_cast<std::size_t>(outputs(c)),
                                     double(0.1f) * double(n) / double(outputs(c)));
      kernel_test::expect_close(y.values(), want, 5e-7, 0, kernel_test::describe(device));
    }
  }
}

TEST(Reduce, Max) {
  std::mt19937 random(2);
  const std::vector<Case> all = cases(random);
  for (Device& device : kernel_test::devices()) {
    with_float_types(device, [&]<class Stream, class T>(const Stream& stream, T) {
      for (const Case& c : all) {
        auto xs = random_values<T>(random, c.x.elements());
        for (T& value : xs) value -= 10;  // nothing must turn them into zero
        std::vector<T> want(static_cast<std::size_t>(outputs(c)), -std::numeric_limits<T>::infinity());
        for (std::int64_t i = 0; i < c.x.elements(); ++i)
          want[output_of(c, i)] = std::max(want[output_of(c, i)], xs[i]);
        const Array<T> x(device, xs), y(device, outputs(c));
        max(stream, plan_of(c), x.data(), y.data());
        EXPECT_EQ(y.values(), want) << describe(c);
      }
    });
  }
}

TEST(Reduce, MaxIsNaNIfAnyIs) {
  std::mt19937 random(3);
  for (Device& device : kernel_test::devices()) {
    for (const Case& c : {Case{{300}, 1}, Case{{100, 5}, 1}, Case{{5, 100}, 2}, Case{{40, 70}, 1}}) {
      for (std::int64_t at : {std::int64_t(0), c.x.elements() / 2, c.x.elements() - 1}) {
        std::vector<float> xs = random_values<float>(random, c.x.elements());
        xs[at] = std::nanf("");
        const Array<float> x(device, xs), y(device, outputs(c));
        const Array<std::int32_t> index(device, outputs(c));
        std::visit(
            [&](const auto& stream) {
              max(stream, plan_of(c), x.data(), y.data());
              argmax(stream, plan_of(c), x.data(), index.data());
            },
            device.stream());
        const std::vector<float> got = y.values();
        for (std::int64_t i = 0; i < outputs(c); ++i)
          EXPECT_EQ(std::isnan(got[i]), i == output_of(c, at)) << describe(c);
        const std::int64_t position = c.reduced == 1 ? at / outputs(c) : at % c.x[1];
        EXPECT_EQ(index.values()[output_of(c, at)], position) << describe(c);
      }
    }
  }
}

TEST(Reduce, ArgmaxTakesTheFirst) {
  std::mt19937 random(4);
  for (Device& device : kernel_test::devices()) {
    with_float_types(device, [&]<class Stream, class T>(const Stream& stream, T) {
      for (const Case& c : {Case{{1}, 1}, Case{{1000}, 1}, Case{{100, 10}, 2}, Case{{10, 100}, 1},
                            Case{{3, 40, 129}, 2}, Case{{3, 20000}, 2}, Case{{2, 17, 3, 5}, 4}, Case{{6, 1, 3}, 2}}) {
        auto xs = random_values<T>(random, c.x.elements());
        for (T& value : xs) value = std::floor(value * 3);  // many ties
        std::int64_t inner = 1, extent = 1;
        for (int axis = c.x.rank() - 1; axis >= 0; --axis) {
          if (c.reduced >> axis & 1)
            extent = c.x[axis];
          else if (extent == 1 && c.reduced < 1u << axis)
            inner *= c.x[axis];
        }
        std::vector<std::int32_t> want(static_cast<std::size_t>(outputs(c)));
        for (std::size_t o = 0; o < want.size(); ++o) {
          const T* first = xs.data() + std::int64_t(o) / inner * extent * inner + std::int64_t(o) % inner;
          for (std::int64_t r = 1; r < extent; ++r) {
            if (first[r * inner] > first[want[o] * inner]) want[o] = std::int32_t(r);
          }
        }
        const Array<T> x(device, xs);
        const Array<std::int32_t> y(device, outputs(c));
        argmax(stream, plan_of(c), x.data(), y.data());
        EXPECT_EQ(y.values(), want) << describe(c);
      }
    });
  }
}

TEST(Reduce, ArgmaxOfMinusInfinities) {
  for (Device& device : kernel_test::devices()) {
    const Array<float> x(device, std::vector<float>(100, -INFINITY));
    const Array<std::int32_t> y(device, 1);
    std::visit([&](const auto& stream) { argmax(stream, plan_of({{100}, 1}), x.data(), y.data()); }, device.stream());
    EXPECT_EQ(y.value(), 0);
  }
}

TEST(Reduce, BitsDoNotDependOnThreadsOrRun) {
  std::mt19937 random(5);
  for (const Case& c : {Case{{200003}, 1}, Case{{60000, 3}, 1}, Case{{3, 70000}, 2}, Case{{500, 300}, 1},
                        Case{{500, 300}, 2}, Case{{8, 90, 300}, 5}}) {
    const auto xs = random_values<float>(random, c.x.elements());
    std::vector<float> first;
    for (int threads : {1, 2, 3, 1}) {
      Device device = Device::cpu(threads);
      const Array<float> x(device, xs), y(device, outputs(c));
      sum(std::get<CpuStream>(device.stream()), plan_of(c), x.data(), y.data());
      if (first.empty()) first = y.values();
      EXPECT_EQ(y.values(), first) << describe(c) << ", " << threads << " threads";
    }
  }
}

TEST(ReducePlan, MergesAxes) {
  const ReducePlan plan = plan_of({{4, 5, 1, 6, 7}, 3});  // the outer two
  EXPECT_EQ(plan.kept.rank, 1);
  EXPECT_EQ(plan.kept.extent[0], 42);
  EXPECT_EQ(plan.reduced.rank, 1);
  EXPECT_EQ(plan.reduced.stride[0], 42);
  EXPECT_EQ(plan.reduced.elements, 20);
}

}  // namespace
}  // namespace ganforge
