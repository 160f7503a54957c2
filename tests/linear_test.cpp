#include "kernels/linear.h"

#include "kernels/matmul.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <tuple>

// The CPU's kernels; linear_cuda_test.cpp has the GPU's.
namespace ganforge {
namespace {

using Kind = Activation::Kind;
using kernel_test::Array;

const Activation activations[] = {
    {}, {Kind::leaky_relu, 0.2f}, {Kind::leaky_relu, 0.0f}, {Kind::tanh}, {Kind::sigmoid}};

struct Case {
  std::int64_t rows, in, out;
};
// One row, one output, less than a vector, less than a tile, odd remainders, more than one block of k (512 to 2048).
const Case cases[] = {{1, 1, 1},      {1, 17, 129},   {3, 100, 1},    {2, 129, 257},  {5, 3, 17},     {9, 100, 128},
                      {13, 129, 33},  {17, 7, 9},     {64, 100, 15},  {64, 256, 256}, {129, 785, 20}, {40, 600, 1},
                      {33, 2100, 37}, {2100, 21, 34}, {30, 34, 2100}, {2100, 3, 1},   {8, 0, 12},     {20, 0, 12},
                      {0, 5, 7},      {20, 1, 40},    {0, 300, 2}};

std::vector<float> random_values(std::int64_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = uniform(engine);
  return values;
}

double activate(Activation act, double x) {
  switch (act.kind) {
    case Kind::leaky_relu:
      return x > 0 ? x : act.negative_slope * x;
    case Kind::tanh:
      return std::tanh(x);
    case Kind::sigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return x;
  }
}
double derivative(Activation act, double y) {
  switch (act.kind) {
    case Kind::leaky_relu:
      return y > 0 ? 1 : act.negative_slope;
    case Kind::tanh:
      return 1 - y * y;
    case Kind::sigmoid:
      return y * (1 - y);
    default:
      return 1;
  }
}

/// c[i, j] = Σ_k a(i, k)·b(k, j) in double precision.
template <class A, class B>
std::vector<double> product(std::int64_t m, std::int64_t n, std::int64_t k, const A& a, const B& b) {
  std::vector<double> c;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double total = 0;
      for (std::int64_t l = 0; l < k; ++l) total += static_cast<double>(a(i, l)) * b(l, j);
      c.push_back(total);
    }
  }
  return c;
}

// k products of numbers in [−1, 1], added one by one: the sums' rounding errors walk to 8e-9·k (standard deviation);
// twelve times that, far below a single product.
double tolerance(std::int64_t k) {
  return 4e-7 + 1e-7 * static_cast<double>(k);
}

/// Runs `check` on the CPU with every instruction set and thread count.
template <class Check>
void on_every_cpu(const Check& check) {
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) break;
    for (int threads : {1, 3}) {
      Device device = Device::cpu(threads);
      CpuStream& stream = std::get<CpuStream>(device.stream());
      stream.isa = isa;
      SCOPED_TRACE(kernel_test::describe(device));
      check(device, stream);
    }
  }
}

std::string name(const Case& c) {
  return std::to_string(c.rows) + " x " + std::to_string(c.in) + " -> " + std::to_string(c.out);
}

TEST(Linear, ForwardMatchesDouble) {
  for (const Case& c : cases) {
    const auto x = random_values(c.rows * c.in, 1), w = random_values(c.out * c.in, 2), b = random_values(c.out, 3);
    const auto xw = product(
        c.rows, c.out, c.in, [&](auto i, auto k) { return x[i * c.in + k]; },
        [&](auto k, auto j) { return w[j * c.in + k]; });
    on_every_cpu([&](Device& device, const CpuStream& stream) {
      Array<float> dx(device, x), dw(device, w), db(device, b);
      for (bool bias : {false, true}) {
        for (Activation act : activations) {
          Array<float> y(device, c.rows * c.out);
          linear(stream,
                 LinearArgs{dx.data(), dw.data(), bias ? db.data() : nullptr, y.data(), c.rows, c.in, c.out, act});
          auto want = xw;
          for (std::size_t i = 0; i < want.size(); ++i) want[i] = activate(act, want[i] + (bias ? b[i % c.out] : 0.0f));
          kernel_test::expect_close(y.values(), want, 4e-7, tolerance(c.in), name(c));
        }
      }
    });
  }
}

TEST(Linear, InputGradMatchesDouble) {
  for (const Case& c : cases) {
    const auto dz = random_values(c.rows * c.out, 1), w = random_values(c.out * c.in, 2),
               y = random_values(c.rows * c.in, 3);
    const auto plain = product(
        c.rows, c.in, c.out, [&](auto i, auto k) { return dz[i * c.out + k]; },
        [&](auto k, auto j) { return w[k * c.in + j]; });
    on_every_cpu([&](Device& device, const CpuStream& stream) {
      Array<float> ddz(device, dz), dw(device, w), dy(device, y);
      for (bool mask : {false, true}) {
        for (Activation act : activations) {
          Array<float> dx(device, c.rows * c.in);
          linear_input_grad(stream, LinearInputGradArgs{ddz.data(), dw.data(), mask ? dy.data() : nullptr, dx.data(),
                                                        c.rows, c.in, c.out, act});
          auto want = plain;
          for (std::size_t i = 0; i < want.size(); ++i) want[i] *= mask ? derivative(act, y[i]) : 1.0;
          kernel_test::expect_close(dx.values(), want, 4e-7, 2 * tolerance(c.out), name(c));
        }
      }
    });
  }
}

// All cases in calls of at most max_linear_group layers, as networks do.
TEST(Linear, WeightGradMatchesDouble) {
  const std::int64_t count = std::size(cases);
  on_every_cpu([&](Device& device, const CpuStream& stream) {
    for (bool bias : {false, true}) {
      for (std::int64_t first = 0; first < count; first += max_linear_group) {
        const std::int64_t last = std::min<std::int64_t>(count, first + max_linear_group);
        std::vector<Array<float>> dz, x, dw, db;
        std::vector<LinearWeightGradArgs> layers;
        for (std::int64_t i = first; i < last; ++i) {
          const Case& c = cases[i];
          dz.emplace_back(device, random_values(c.rows * c.out, 1));
          x.emplace_back(device, random_values(c.rows * c.in, 2));
          dw.emplace_back(device, c.out * c.in);
          db.emplace_back(device, c.out);
          layers.push_back({dz.back().data(), x.back().data(), dw.back().data(), bias ? db.back().data() : nullptr,
                            c.rows, c.in, c.out});
        }
        linear_weight_grad(stream, layers);
        for (std::int64_t i = first; i < last; ++i) {
          const Case& c = cases[i];
          const auto a = random_values(c.rows * c.out, 1), b = random_values(c.rows * c.in, 2);
          const auto column = [&](auto o, auto r) { return a[r * c.out + o]; };
          const auto want = product(c.out, c.in, c.rows, column, [&](auto r, auto j) { return b[r * c.in + j]; });
          kernel_test::expect_close(dw[i - first].values(), want, 4e-7, tolerance(c.rows), name(c));
          if (!bias) continue;
          const auto sums = product(c.out, 1, c.rows, column, [](auto, auto) { return 1.0; });
          kernel_test::expect_close(db[i - first].values(), sums, 4e-7, tolerance(c.rows), name(c));
        }
      }
    }
  });
}

// The order of additions depends on the shape alone.
TEST(Linear, BitsDoNotDependOnThreads) {
  const Case c{67, 533, 301};
  const auto x = random_values(c.rows * c.in, 1), w = random_values(c.out * c.in, 2), b = random_values(c.out, 3);
  const auto dz = random_values(c.rows * c.out, 4);
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) break;
    const auto run = [&](int threads) {
      const CpuStream stream{threads, isa};
      std::vector<float> y(dz.size()), dx(x.size()), dw(w.size()), db(b.size());
      linear(stream, LinearArgs{x.data(), w.data(), b.data(), y.data(), c.rows, c.in, c.out, {Kind::tanh}});
      linear_input_grad(
          stream, LinearInputGradArgs{dz.data(), w.data(), x.data(), dx.data(), c.rows, c.in, c.out, {Kind::tanh}});
      const LinearWeightGradArgs layer{dz.data(), x.data(), dw.data(), db.data(), c.rows, c.in, c.out};
      linear_weight_grad(stream, {&layer, 1});
      return std::tuple(y, dx, dw, db);
    };
    const auto alone = run(1);
    for (int threads : {2, 3, 5})
      EXPECT_EQ(run(threads), alone) << threads << " threads, set " << static_cast<int>(isa);
  }
}

// Relative error of the activations themselves, from one multiplication by one, over their whole range.
TEST(Linear, ActivationsAreAccurate) {
  std::vector<float> x;
  for (float magnitude = 1e-6f; magnitude < 86.0f; magnitude *= 1.003f) {
    x.push_back(magnitude);
    x.push_back(-magnitude);
  }
  const float one = 1.0f;
  const auto rows = static_cast<std::int64_t>(x.size());
  on_every_cpu([&](Device&, const CpuStream& stream) {
    std::vector<float> y(x.size());
    for (Activation act : {Activation{Kind::tanh}, Activation{Kind::sigmoid}}) {
      linear(stream, LinearArgs{x.data(), &one, nullptr, y.data(), rows, 1, 1, act});
      std::vector<double> want;
      for (float value : x) want.push_back(activate(act, value));
      kernel_test::expect_close(y, want, 3.9e-7, 0.0, "activation");
    }
  });
}

TEST(Linear, ActivationsKeepInfinitiesInRangeAndNan) {
  const float inf = std::numeric_limits<float>::infinity(), one = 1.0f;
  const std::vector<float> x = {inf, -inf, std::numeric_limits<float>::quiet_NaN()};
  on_every_cpu([&](Device&, const CpuStream& stream) {
    for (Activation act : activations) {
      std::vector<float> y(3);
      linear(stream, LinearArgs{x.data(), &one, nullptr, y.data(), 3, 1, 1, act});
      EXPECT_TRUE(std::isnan(y[2]));
      if (act.kind == Kind::tanh || act.kind == Kind::sigmoid) {
        EXPECT_TRUE(y[0] <= 1.0f && y[0] >= 1.0f - 1e-7f) << y[0];
        EXPECT_NEAR(y[1], act.kind == Kind::tanh ? -y[0] : 0.0f, 1e-37);
      }
    }
  });
}

template <class T>
void check_matmul(const CpuStream& stream, const MatmulShape& s, double allowed) {
  const auto numbers = [](std::int64_t n, unsigned seed) {
    const auto values = random_values(n, seed);
    return std::vector<T>(values.begin(), values.end());
  };
  const auto a = numbers(s.stride_a * (s.batch - 1) + s.m * s.k, 1),
             b = numbers(s.stride_b * (s.batch - 1) + s.k * s.n, 2);
  constexpr T guard = 113;
  std::vector<T> c(s.batch * s.m * s.n + 1, guard);
  matmul(stream, s, a.data(), b.data(), c.data());
  EXPECT_EQ(c.back(), guard);
  for (std::int64_t i = 0; i < s.batch; ++i) {
    const auto want = product(
        s.m, s.n, s.k, [&](auto r, auto k) { return a[i * s.stride_a + (s.transpose_a ? k * s.m + r : r * s.k + k)]; },
        [&](auto k, auto j) { return b[i * s.stride_b + (s.transpose_b ? j * s.k + k : k * s.n + j)]; });
    for (std::size_t j = 0; j < want.size(); ++j) {
      const double error = std::abs(static_cast<double>(c[i * s.m * s.n + j]) - want[j]);
      ASSERT_TRUE(error <= allowed) << "matrix " << i << ", element " << j << ": off by " << error;
    }
  }
}

TEST(Matmul, MatchesDouble) {
  for (int threads : {1, 2, 3}) {
    const CpuStream stream{threads, Isa::baseline};
    for (std::int64_t batch : {1, 2, 5}) {
      for (int bits = 0; bits < 16; ++bits) {
        MatmulShape s{
            .batch = batch, .m = 17, .n = 3, .k = 29, .transpose_a = (bits & 1) != 0, .transpose_b = (bits & 2) != 0};
        s.stride_a = bits & 4 ? 0 : s.m * s.k;
        s.stride_b = bits & 8 ? 0 : s.k * s.n;
        SCOPED_TRACE(std::to_string(threads) + " threads, batch " + std::to_string(batch) + ", bits " +
                     std::to_string(bits));
        check_matmul<float>(stream, s, tolerance(s.k));
        check_matmul<double>(stream, s, 1e-13);
      }
    }
    check_matmul<float>(stream, {.m = 129, .n = 100, .k = 257}, tolerance(257));
    check_matmul<double>(stream, {.batch = 3, .m = 4, .n = 5, .k = 0}, 0.0);
    check_matmul<float>(stream, {.m = 0, .n = 5, .k = 3}, 0.0);
  }
}

}  // namespace
}  // namespace ganforge
