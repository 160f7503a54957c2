#include "kernels/map.h"

#include "tests/kernel_test.h"

#include <algorithm>
#include <functional>
#include <random>
#include <type_traits>

namespace ganforge {
namespace {

using kernel_test::Array;

template <class T>
std::vector<T> random_values(std::mt19937& random, std::int64_t n, double low = -3, double high = 3) {
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& value : values) value = static_cast<T>(uniform(random));
  return values;
}

template <class T>
void expect_near(const std::vector<T>& got, const std::vector<double>& want, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= tolerance * (1 + std::abs(want[i])))
        << what << " [" << i << "]: " << got[i] << " instead of " << want[i];
  }
}

/// Runs f(stream, T{}) in float32, and in float64 on the CPU.
template <class F>
void with_float_types(Device& device, F f) {
  if (auto* cpu = std::get_if<CpuStream>(&device.stream())) f(*cpu, double{});
  std::visit([&](const auto& stream) { f(stream, float{}); }, device.stream());
}

struct UnaryCase {
  Unary f;
  std::function<double(double)> want;
  double low = -3, high = 3;
};

const std::vector<UnaryCase>& unary_cases() {
  static const std::vector<UnaryCase> cases = {
      {Neg{}, [](double x) { return -x; }},
      {Abs{}, [](double x) { return std::fabs(x); }},
      {Exp{}, [](double x) { return std::exp(x); }},
      {Log{}, [](double x) { return std::log(x); }, 0.1, 9},
      {Sqrt{}, [](double x) { return std::sqrt(x); }, 0, 9},
      {Recip{}, [](double x) { return 1 / x; }, 0.1, 9},
      {Square{}, [](double x) { return x * x; }},
      {Tanh{}, [](double x) { return std::tanh(x); }},
      {Sigmoid{}, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {Softplus{}, [](double x) { return std::log1p(std::exp(x)); }},
      {Sin{}, [](double x) { return std::sin(x); }},
      {Cos{}, [](double x) { return std::cos(x); }},
      {Floor{}, [](double x) { return std::floor(x); }},
      {Sign{}, [](double x) { return x > 0   ? 1.0
                                     : x < 0 ? -1.0
                                             : 0.0; }},
      {IsFinite{}, [](double) { return 1.0; }},
      {LeakyRelu{0.2}, [](double x) { return x > 0 ? x : 0.2 * x; }},
      {LeakySlope{0.2}, [](double x) { return x > 0 ? 1 : 0.2; }},
      {Pow{1.7}, [](double x) { return std::pow(x, 1.7); }, 0.1, 3},
      {Affine{1.5, -0.25}, [](double x) { return 1.5 * x - 0.25; }},
      {Clamp{-1, 2}, [](double x) { return std::min(std::max(x, -1.0), 2.0); }},
  };
  return cases;
}

TEST(Map, UnaryFunctions) {
  ASSERT_EQ(unary_cases().size(), std::variant_size_v<Unary>);
  std::mt19937 random(1);
  for (Device& device : kernel_test::devices()) {
    with_float_types(device, [&]<class Stream, class T>(const Stream& stream, T) {
      for (const UnaryCase& c : unary_cases()) {
        const char* name = std::visit([](auto f) { return f.name; }, c.f);
        for (std::int64_t n : {0, 1, 3, 17, 129, 20001}) {
          const std::vector<T> x = random_values<T>(random, n, c.low, c.high);
          std::vector<double> want(x.begin(), x.end());
          std::transform(want.begin(), want.end(), want.begin(), c.want);
          const double tolerance = std::is_same_v<T, float> ? 5e-7 : 1e-14;

          const Array<T> in(device, x), out(device, n);
          map(stream, c.f, in.data(), out.data(), n);
          expect_near(out.values(), want, tolerance, name);
          map(stream, c.f, in.data(), in.data(), n);  // in place
          EXPECT_EQ(in.values(), out.values()) << name;
        }
      }
    });
  }
}

TEST(Map, UnalignedPointers) {
  std::mt19937 random(2);
  const std::vector<float> x = random_values<float>(random, 131);
  for (Device& device : kernel_test::devices()) {
    std::visit(
        [&](const auto& stream) {
          const Array<float> in(device, x), out(device, 131);
          map(stream, Neg{}, in.data() + 1, out.data() + 2, 128);
          const std::vector<float> got = out.values();
          EXPECT_EQ(got[1], 113);
          EXPECT_EQ(got[130], 113);
          for (int i = 0; i < 128; ++i) EXPECT_EQ(got[i + 2], -x[i + 1]);
        },
        device.stream());
  }
}

TEST(Map, ExtremeArguments) {
  const float nan = std::nanf(""), inf = INFINITY;
  const std::vector<float> x = {nan, inf, -inf, 0, 200, -200};
  for (Device& device : kernel_test::devices()) {
    const auto run = [&](const Unary& f) {
      const Array<float> in(device, x), out(device, std::int64_t(x.size()));
      std::visit([&](const auto& stream) { map(stream, f, in.data(), out.data(), std::int64_t(x.size())); },
                 device.stream());
      return out.values();
    };
    EXPECT_EQ(run(IsFinite{}), (std::vector<float>{0, 0, 0, 1, 1, 1}));
    const std::vector<float> softplus = run(Softplus{}), sigmoid = run(Sigmoid{});
    EXPECT_EQ(softplus[4], 200);
    EXPECT_NEAR(softplus[5], 0, 1e-30);
    EXPECT_EQ(sigmoid[4], 1);
    EXPECT_NEAR(sigmoid[5], 0, 1e-30);
    EXPECT_TRUE(std::isnan(run(LeakyRelu{0.1})[0]));
    EXPECT_EQ(run(Sign{})[3], 0);
  }
}

// --- broadcasting
// -----------------------------------------------------------------------------------------------------

/// Element of an operand that belongs to element i of `out`.
std::int64_t source(const Shape& out, const Shape& operand, std::int64_t i) {
  std::int64_t offset = 0, stride = 1;
  for (int axis = 1; axis <= out.rank(); ++axis) {
    const std::int64_t index = i % out[-axis];
    i /= out[-axis];
    if (axis > operand.rank()) continue;
    if (operand[-axis] != 1) offset += index * stride;
    stride *= operand[-axis];
  }
  return offset;
}

struct Broadcast {
  Shape out;
  std::vector<Shape> operands;
};

Shape random_operand(std::mt19937& random, const Shape& out) {
  std::vector<std::int64_t> extents(out.extents().begin() + random() % (out.rank() + 1), out.extents().end());
  for (std::int64_t& extent : extents) {
    if (random() % 3 == 0) extent = 1;
  }
  return Shape(extents);
}

std::vector<Broadcast> broadcasts(std::mt19937& random) {
  std::vector<Broadcast> all = {
      {{}, {{}, {}, {}}},
      {{0}, {{0}, {}, {1}}},
      {{3, 0}, {{3, 1}, {0}, {}}},
      {{129}, {{129}, {}, {129}}},
      {{17, 129}, {{17, 129}, {129}, {17, 1}}},
      {{17, 128}, {{17, 1}, {128}, {17, 128}}},
      {{17, 100}, {{}, {17, 1}, {100}}},
      {{200, 100}, {{200, 100}, {100}, {200, 100}}},
      {{1, 5, 1, 8}, {{8}, {5, 1, 1}, {1, 5, 1, 8}}},
      {{2, 3, 2, 3, 2, 4}, {{3, 1, 3, 1, 4}, {2, 1, 2, 1, 2, 1}, {4}}},
  };
  for (int i = 0; i < 40; ++i) {
    std::vector<std::int64_t> extents(random() % 6);
    for (std::int64_t& extent : extents) extent = 1 + random() % 5;
    if (!extents.empty() && random() % 2) extents.back() *= 4;
    const Shape out{std::span<const std::int64_t>(extents)};
    all.push_back({out, {random_operand(random, out), random_operand(random, out), random_operand(random, out)}});
  }
  return all;
}

TEST(Map, BinaryFunctionsBroadcast) {
  const std::vector<std::pair<Binary, std::function<double(double, double)>>> cases = {
      {Add{}, [](double x, double y) { return x + y; }},
      {Sub{}, [](double x, double y) { return x - y; }},
      {Mul{}, [](double x, double y) { return x * y; }},
      {Div{}, [](double x, double y) { return x / y; }},
      {Min{}, [](double x, double y) { return std::fmin(x, y); }},
      {Max{}, [](double x, double y) { return std::fmax(x, y); }},
      {Less{}, [](double x, double y) { return double(x < y); }},
      {Equal{}, [](double x, double y) { return double(x == y); }},
  };
  ASSERT_EQ(cases.size(), std::variant_size_v<Binary>);
  std::mt19937 random(3);
  const std::vector<Broadcast> shapes = broadcasts(random);
  for (Device& device : kernel_test::devices()) {
    with_float_types(device, [&]<class Stream, class T>(const Stream& stream, T) {
      for (std::size_t s = 0; s < shapes.size(); ++s) {
        const auto& [out, operands] = shapes[s];
        const BroadcastPlan plan = broadcast_plan(out, std::span(operands).first(2));
        const auto xs = random_values<T>(random, operands[0].elements(), 1, 3);
        auto ys = random_values<T>(random, operands[1].elements(), 1, 3);
        if (!xs.empty() && !ys.empty()) ys[0] = xs[0];  // so that something is equal
        const Array<T> x(device, xs), y(device, ys);
        for (std::size_t f = 0; f < cases.size(); ++f) {
          if (s > 9 && s % cases.size() != f) continue;
          std::vector<double> want(static_cast<std::size_t>(out.elements()));
          for (std::int64_t i = 0; i < out.elements(); ++i) {
            want[i] = cases[f].second(xs[source(out, operands[0], i)], ys[source(out, operands[1], i)]);
          }
          const Array<T> z(device, out.elements());
          map(stream, cases[f].first, plan, x.data(), y.data(), z.data());
          expect_near(z.values(), want, std::is_same_v<T, float> ? 2e-7 : 1e-15, out.str());
          for (int k = 0; k < 2; ++k) {  // in place
            if (operands[k].elements() != out.elements()) continue;
            const Array<T> own(device, k == 0 ? xs : ys);
            map(stream, cases[f].first, plan, k == 0 ? own.data() : x.data(), k == 1 ? own.data() : y.data(),
                own.data());
            EXPECT_EQ(own.values(), z.values()) << out.str();
          }
        }
      }
    });
  }
}

TEST(Map, SelectBroadcasts) {
  std::mt19937 random(4);
  for (Device& device : kernel_test::devices()) {
    for (const auto& [out, operands] : broadcasts(random)) {
      with_float_types(device, [&]<class Stream, class T>(const Stream& stream, T) {
        auto cs = random_values<T>(random, operands[0].elements());
        for (T& c : cs) c = c > 0 ? c : T(0);
        const auto xs = random_values<T>(random, operands[1].elements());
        const auto ys = random_values<T>(random, operands[2].elements());
        std::vector<T> want(static_cast<std::size_t>(out.elements()));
        for (std::int64_t i = 0; i < out.elements(); ++i) {
          want[i] =
              cs[source(out, operands[0], i)] != 0 ? xs[source(out, operands[1], i)] : ys[source(out, operands[2], i)];
        }
        const Array<T> c(device, cs), x(device, xs), y(device, ys), z(device, out.elements());
        select(stream, broadcast_plan(out, operands), c.data(), x.data(), y.data(), z.data());
        EXPECT_EQ(z.values(), want) << out.str();
      });
    }
  }
}

TEST(Map, EqualLabels) {
  std::mt19937 random(5);
  for (Device& device : kernel_test::devices()) {
    for (const auto& [out, operands] : broadcasts(random)) {
      const auto xs = random_values<std::int32_t>(random, operands[0].elements());
      const auto ys = random_values<std::int32_t>(random, operands[1].elements());
      std::vector<float> want(static_cast<std::size_t>(out.elements()));
      for (std::int64_t i = 0; i < out.elements(); ++i) {
        want[i] = xs[source(out, operands[0], i)] == ys[source(out, operands[1], i)] ? 1.0f : 0.0f;
      }
      const Array<std::int32_t> x(device, xs), y(device, ys);
      const Array<float> z(device, out.elements());
      const BroadcastPlan plan = broadcast_plan(out, std::span(operands).first(2));
      std::visit([&](const auto& stream) { equal(stream, plan, x.data(), y.data(), z.data()); }, device.stream());
      EXPECT_EQ(z.values(), want) << out.str();
    }
  }
}

TEST(BroadcastPlan, MergesAxesThatAllOperandsWalkAlike) {
  const auto rank = [](const Shape& out, std::vector<Shape> operands) { return broadcast_plan(out, operands).rank; };
  EXPECT_EQ(rank({4, 5, 6}, {{4, 5, 6}, {4, 5, 6}}), 1);
  EXPECT_EQ(rank({4, 5, 6}, {{4, 5, 6}, {}}), 1);
  EXPECT_EQ(rank({4, 5, 6}, {{4, 5, 6}, {6}}), 2);
  EXPECT_EQ(rank({4, 5, 6}, {{4, 5, 6}, {4, 1, 1}}), 2);
  EXPECT_EQ(rank({4, 5, 6}, {{4, 5, 6}, {5, 1}}), 3);
  EXPECT_EQ(rank({1, 1}, {{1}, {1, 1}}), 0);
}

TEST(BroadcastPlan, RejectsShapesThatDoNotFit) {
  const auto plan = [](const Shape& out, std::vector<Shape> operands) { return broadcast_plan(out, operands); };
  EXPECT_THROW(plan({4, 5}, {{4}}), ShapeError);
  EXPECT_THROW(plan({4, 5}, {{1, 4, 5}}), ShapeError);
  EXPECT_THROW(plan({1, 5}, {{4, 5}}), ShapeError);
  EXPECT_THROW(plan({1}, {{0}}), ShapeError);
  EXPECT_THROW(plan({1}, {{}, {}, {}, {}}), ShapeError);
}

TEST(Map, BitsDoNotDependOnThreads) {
  std::mt19937 random(6);
  const std::int64_t rows = 301, columns = 129;
  const auto xs = random_values<float>(random, rows * columns), ys = random_values<float>(random, columns);
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3}) {
    Device device = Device::cpu(threads);
    const auto& stream = std::get<CpuStream>(device.stream());
    const Array<float> x(device, xs), y(device, ys), z(device, rows * columns);
    const std::vector<Shape> operands = {{rows, columns}, {columns}};
    map(stream, Div{}, broadcast_plan({rows, columns}, operands), x.data(), y.data(), z.data());
    map(stream, Tanh{}, z.data(), z.data(), rows * columns);
    results.push_back(z.values());
  }
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

// --- cast, fill, iota
// -------------------------------------------------------------------------------------------------

template <class F>
void with_types(bool with_float64, F f) {
  f(DType::float32, float{});
  f(DType::uint8, std::uint8_t{});
  f(DType::int32, std::int32_t{});
  f(DType::int64, std::int64_t{});
  if (with_float64) f(DType::float64, double{});
}

TEST(Cast, ConvertsAndTruncates) {
  std::mt19937 random(7);
  for (Device& device : kernel_test::devices()) {
    with_types(!device.is_cuda(), [&]<class From>(DType from, From) {
      with_types(!device.is_cuda(), [&]<class To>(DType to, To) {
        const bool is_signed = std::is_signed_v<From> && std::is_signed_v<To>;
        for (std::int64_t n : {0, 1, 7, 130, 20003}) {
          for (int offset : {0, 1}) {
            const auto xs = random_values<From>(random, n + offset, is_signed ? -100 : 0, 100);
            const Array<From> x(device, xs);
            const Array<To> y(device, n);
            std::visit([&](const auto& stream) { cast(stream, from, x.data() + offset, to, y.data(), n); },
                       device.stream());
            const std::vector<To> got = y.values();
            for (std::int64_t i = 0; i < n; ++i) {
              const double value = double(xs[i + offset]);
              ASSERT_EQ(double(got[i]), std::is_integral_v<To> ? std::trunc(value) : double(To(value)));
            }
          }
        }
      });
    });
  }
}

TEST(Fill, WritesEveryElementAndNoOther) {
  for (Device& device : kernel_test::devices()) {
    with_types(!device.is_cuda(), [&]<class T>(DType type, T) {
      for (std::int64_t n : {0, 1, 5, 131, 20001}) {
        for (int offset : {0, 1}) {
          const Array<T> y(device, n + offset);
          std::visit([&](const auto& stream) { fill(stream, type, 42, y.data() + offset, n); }, device.stream());
          std::vector<T> want(static_cast<std::size_t>(n + offset), T(42));
          if (offset == 1) want[0] = T(113);
          EXPECT_EQ(y.values(), want);
        }
      }
    });
  }
}

TEST(Iota, CountsAlongAnAxis) {
  struct Case {
    std::int64_t outer, extent, inner;
  };
  for (Device& device : kernel_test::devices()) {
    with_types(!device.is_cuda(), [&]<class T>(DType type, T) {
      for (const Case& c : {Case{1, 1, 1}, {1, 100, 1}, {3, 7, 5}, {0, 4, 4}, {2, 0, 3}, {5, 100, 50}}) {
        const std::int64_t n = c.outer * c.extent * c.inner;
        const Array<T> y(device, n);
        std::visit([&](const auto& stream) { iota(stream, type, y.data(), c.outer, c.extent, c.inner); },
                   device.stream());
        const std::vector<T> got = y.values();
        for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(got[i], T(i / c.inner % c.extent));
      }
    });
  }
}

TEST(Cast, Float64StaysOnTheCpu) {
  for (Device& device : kernel_test::devices()) {
    if (!device.is_cuda()) continue;
    const Array<float> x(device, 1);
    std::visit(
        [&](const auto& stream) {
          EXPECT_THROW(cast(stream, DType::float64, x.data(), DType::float32, x.data(), 1), ShapeError);
          EXPECT_THROW(fill(stream, DType::float64, 0, x.data(), 1), ShapeError);
        },
        device.stream());
  }
}

}  // namespace
}  // namespace ganforge
