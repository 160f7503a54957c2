#include "kernels/batch_norm.h"

#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <map>
#include <random>

namespace ganforge {
namespace {

using kernel_test::Array;
using Kind = Activation::Kind;

constexpr float eps = 1e-5f, momentum = 0.9f;
const Activation activations[] = {
    {}, {Kind::leaky_relu, 0.2f}, {Kind::leaky_relu, 0.0f}, {Kind::tanh}, {Kind::sigmoid}};

struct Case {
  std::int64_t rows, channels;
  int groups = 1;
  Activation act{}, input_act{};
  float mean = 0.0f, deviation = 1.0f;
  bool aliased = false;
  std::int64_t offset = 0;  // of the tensors, in floats: their memory need not start on 16 bytes

  std::int64_t elements() const { return groups * rows * channels; }
};

std::vector<float> normal_values(std::int64_t n, unsigned seed, float mean = 0.0f, float deviation = 1.0f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = normal(engine);
  return values;
}

std::vector<float> positive_values(std::int64_t n, unsigned seed) {
  auto values = normal_values(n, seed);
  for (float& value : values) value = std::abs(value) + 0.1f;
  return values;
}

struct Input {
  explicit Input(const Case& c)
      : x(normal_values(c.elements(), 1, c.mean, c.deviation)),
        dy(normal_values(c.elements(), 2)),
        gamma(normal_values(c.channels, 3)),
        beta(normal_values(c.channels, 4)),
        running_mean(normal_values(c.channels, 5)),
        running_var(positive_values(c.channels, 6)) {}
  std::vector<float> x, dy, gamma, beta, running_mean, running_var;
};

struct Output {
  std::vector<float> y, mean, var, running_mean, running_var, dx, dgamma, dbeta;
  bool operator==(const Output& other) const {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    };
    return same(y, other.y) && same(mean, other.mean) && same(var, other.var) && same(dx, other.dx) &&
           same(running_mean, other.running_mean) && same(running_var, other.running_var) &&
           same(dgamma, other.dgamma) && same(dbeta, other.dbeta);
  }
};

/// A tensor that starts `offset` floats behind a 16-byte border.
struct Tensor {
  Tensor(Device& device, std::int64_t offset, std::vector<float> values)
      : offset(offset), array(device, [&] {
          values.insert(values.begin(), static_cast<std::size_t>(offset), 113.0f);
          return values;
        }()) {}
  Tensor(Device& device, std::int64_t offset, std::int64_t size) : offset(offset), array(device, size + offset) {}
  float* data() const { return array.data() + offset; }
  std::vector<float> values() const {
    const auto all = array.values();
    for (std::int64_t i = 0; i < offset; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], 113.0f);
    return {all.begin() + offset, all.end()};
  }
  std::int64_t offset;
  Array<float> array;
};

Output run(Device& device, const Case& c, const Input& input) {
  Output output;
  std::visit(
      [&](auto& stream) {
        const std::size_t workspace_bytes = batch_norm_workspace(stream, c.rows, c.channels, c.groups);
        const Array<float> workspace(device, std::vector<float>(workspace_bytes / sizeof(float), NAN));
        Tensor x(device, c.offset, input.x), y(device, c.offset, c.elements());
        Array<float> gamma(device, input.gamma), beta(device, input.beta);
        Array<float> running_mean(device, input.running_mean), running_var(device, input.running_var);
        Array<float> new_running_mean(device, c.channels), new_running_var(device, c.channels);
        Array<float> mean(device, c.groups * c.channels), var(device, c.groups * c.channels);
        const Array<float>&mean_out = c.aliased ? running_mean : new_running_mean,
              &var_out = c.aliased ? running_var : new_running_var;
        batch_norm(stream, {x.data(), gamma.data(), beta.data(), running_mean.data(), running_var.data(), y.data(),
                            mean.data(), var.data(), mean_out.data(), var_out.data(), c.rows, c.channels, c.groups, eps,
                            momentum, c.act, workspace.data()});
        workspace.values();
        Tensor dy(device, c.offset, input.dy), separate_dx(device, c.offset, c.elements());
        const Tensor& dx = c.aliased ? dy : separate_dx;
        Array<float> dgamma(device, c.channels), dbeta(device, c.channels);
        batch_norm_grad(
            stream, {dy.data(), x.data(), gamma.data(), beta.data(), mean.data(), var.data(), dx.data(), dgamma.data(),
                     dbeta.data(), c.rows, c.channels, c.groups, eps, c.act, c.input_act, workspace.data()});
        workspace.values();
        output = {y.values(),       mean.values(), var.values(),    mean_out.values(),
                  var_out.values(), dx.values(),   dgamma.values(), dbeta.values()};
      },
      device.stream());
  return output;
}

double activate(Activation act, double x) {
  switch (act.kind) {
    case Kind::leaky_relu:
      return x > 0 ? x : double(act.negative_slope) * x;
    case Kind::tanh:
      return std::tanh(x);
    case Kind::sigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return x;
  }
}

double activation_grad(Activation act, double y) {
  switch (act.kind) {
    case Kind::leaky_relu:
      return y > 0 ? 1 : double(act.negative_slope);
    case Kind::tanh:
      return 1 - y * y;
    case Kind::sigmoid:
      return y * (1 - y);
    default:
      return 1;
  }
}

/// |got − want| ≤ bound; fails on NaN.
void expect_within(double got, double want, double bound, const char* what, std::int64_t index) {
  EXPECT_TRUE(std::abs(got - want) <= bound)
      << what << " [" << index << "]: " << got << " instead of " << want << ", bound " << bound;
}

/// Both passes against the formulas in double precision. The backward pass starts from the float statistics and outputs
/// that the forward pass gave. Bounds are a few roundings (6e-8) of the terms that are added up
/// (of dy for dz, whose factor 1 − y² cancels).
void check(const Case& c, const Input& input, const Output& output) {
  const std::size_t channels = static_cast<std::size_t>(c.channels), rows = static_cast<std::size_t>(c.rows);
  const double n = double(rows);
  for (std::size_t channel = 0; channel < channels && !testing::Test::HasFailure(); ++channel) {
    const double gamma = input.gamma[channel], beta = input.beta[channel];
    double running_mean = input.running_mean[channel], running_var = input.running_var[channel];
    double dgamma = 0, dbeta = 0, dgamma_size = 0, dbeta_size = 0;
    const auto index = std::int64_t(channel);
    for (std::size_t g = 0; g < static_cast<std::size_t>(c.groups); ++g) {
      const auto at = [&](std::size_t row) { return (g * rows + row) * channels + channel; };
      double mean = 0, var = 0;
      for (std::size_t r = 0; r < rows; ++r) mean += input.x[at(r)] / n;
      for (std::size_t r = 0; r < rows; ++r) var += std::pow(input.x[at(r)] - mean, 2) / n;
      running_mean = momentum * running_mean + (1.0 - momentum) * mean;
      running_var = momentum * running_var + (1.0 - momentum) * var * (rows > 1 ? n / (n - 1) : 1);

      const std::size_t statistic = g * channels + channel;
      const double mean_bound = 1.2e-7 * std::abs(mean) + 1e-6 * std::sqrt(var);
      expect_within(output.mean[statistic], mean, mean_bound, "mean", index);
      expect_within(output.var[statistic], var, 3e-6 * var, "var", index);
      const double scale = gamma / std::sqrt(var + eps);
      for (std::size_t r = 0; r < rows; ++r) {
        const double z = (input.x[at(r)] - mean) * scale;
        expect_within(output.y[at(r)], activate(c.act, z + beta),
                      std::abs(scale) * mean_bound + 3e-6 * (std::abs(z) + std::abs(beta)) + 3e-7, "y",
                      std::int64_t(at(r)));
      }

      const double got_mean = output.mean[statistic], rstd = 1 / std::sqrt(double(output.var[statistic]) + eps);
      const auto dz_of = [&](std::size_t r) { return input.dy[at(r)] * activation_grad(c.act, output.y[at(r)]); };
      const auto hat_of = [&](std::size_t r) { return (input.x[at(r)] - got_mean) * rstd; };
      double sum = 0, product = 0, sum_size = 0, product_size = 0;
      for (std::size_t r = 0; r < rows; ++r) {
        sum += dz_of(r), product += dz_of(r) * hat_of(r);
        sum_size += std::abs(input.dy[at(r)]), product_size += std::abs(input.dy[at(r)] * hat_of(r));
      }
      dbeta += sum, dgamma += product, dbeta_size += sum_size, dgamma_size += product_size;
      for (std::size_t r = 0; r < rows; ++r) {
        const double factor = gamma * rstd * activation_grad(c.input_act, input.x[at(r)]);
        const double size = std::abs(input.dy[at(r)]) + sum_size / n + std::abs(hat_of(r)) * product_size / n;
        expect_within(output.dx[at(r)], factor * (dz_of(r) - sum / n - hat_of(r) * product / n),
                      3e-6 * (std::abs(factor) + std::abs(gamma * rstd)) * size, "dx", std::int64_t(at(r)));
      }
    }
    expect_within(output.running_mean[channel], running_mean, 3e-7 * (std::abs(c.mean) + 1), "running mean", index);
    expect_within(output.running_var[channel], running_var, 3e-6 * running_var, "running var", index);
    expect_within(output.dgamma[channel], dgamma, 2e-6 * dgamma_size, "dgamma", index);
    expect_within(output.dbeta[channel], dbeta, 2e-6 * dbeta_size, "dbeta", index);
  }
}

/// All devices: right values, and the same bits when run again or on another number of threads.
void check_everywhere(const Case& c) {
  const Input input(c);
  std::map<Isa, Output> of_isa;
  for (Device& device : kernel_test::devices()) {
    SCOPED_TRACE(kernel_test::describe(device) + ", " + std::to_string(c.groups) + " × " + std::to_string(c.rows) +
                 " rows, " + std::to_string(c.channels) + " channels, activation " + std::to_string(int(c.act.kind)));
    const Output output = run(device, c, input);
    const auto* cpu = std::get_if<CpuStream>(&device.stream());
    if (!cpu) {
      EXPECT_TRUE(output == run(device, c, input)) << "not the same bits on the second run";
    } else if (!of_isa.emplace(cpu->isa, output).second) {
      EXPECT_TRUE(output == of_isa[cpu->isa]) << "not the same bits as with another number of threads";
      continue;
    }
    check(c, input, output);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(BatchNorm, MatchesDoublePrecision) {
  int i = 0;
  for (std::int64_t rows : {1, 2, 7, 64, 130}) {
    for (std::int64_t channels : {1, 3, 17, 128, 130}) {
      for (int groups : {1, 2}) {
        check_everywhere({.rows = rows,
                          .channels = channels,
                          .groups = groups,
                          .act = activations[i % 5],
                          .mean = i % 3 ? 0.0f : 1000.0f,
                          .aliased = i % 2 == 0});
        ++i;
      }
    }
  }
}

TEST(BatchNorm, ManyRows) {
  check_everywhere({.rows = 1024, .channels = 20, .groups = 2, .act = activations[1]});
  check_everywhere({.rows = 1025, .channels = 3, .groups = 3, .act = activations[3], .aliased = true});
  check_everywhere({.rows = 5000, .channels = 1, .groups = 2, .act = activations[2]});
  check_everywhere({.rows = 5000, .channels = 17, .act = activations[1], .aliased = true});
  check_everywhere({.rows = 5000, .channels = 68, .groups = 2, .act = activations[1], .mean = 1000.0f});
  check_everywhere({.rows = 20000, .channels = 4, .mean = -3.0f});
  check_everywhere({.rows = 5000, .channels = 130, .act = activations[1]});
  check_everywhere({.rows = 1300, .channels = 64, .act = activations[4], .offset = 1});
}

// More passes over the rows than a block keeps on the chip: some are read again.
TEST(BatchNorm, MoreRowsThanAreKept) {
  check_everywhere({.rows = 160000, .channels = 4, .act = activations[1], .mean = 2.0f});
}

TEST(BatchNorm, EveryActivationOnBothSides) {
  for (std::int64_t rows : {50, 1100}) {
    for (const Activation& act : activations) {
      for (const Activation& input_act : activations) {
        check_everywhere({.rows = rows,
                          .channels = 12,
                          .act = act,
                          .input_act = input_act,
                          .mean = 0.1f,
                          .deviation = 0.5f,
                          .aliased = true});
      }
    }
  }
}

// With E[x²] − E[x]² in float the variance would be noise of the size 1e8 · 6e-8 = 6 instead of 1.
TEST(BatchNorm, KeepsTheVarianceOfNumbersFarFromZero) {
  for (std::int64_t rows : {64, 600, 5000}) {
    check_everywhere({.rows = rows, .channels = 8, .groups = 2, .act = activations[1], .mean = 1e4f});
    check_everywhere({.rows = rows, .channels = 8, .mean = -1e3f, .deviation = 0.01f});
  }
}

// A column of equal numbers has variance 0: y is act(β), to the bit.
TEST(BatchNorm, ConstantColumn) {
  for (Device& device : kernel_test::devices()) {
    for (std::int64_t rows : {1, 64, 2000}) {
      const Case c{.rows = rows, .channels = 5};
      Input input(c);
      for (float& x : input.x) x = 0.1f;
      const Output output = run(device, c, input);
      for (std::size_t i = 0; i < output.y.size(); ++i) ASSERT_EQ(output.y[i], input.beta[i % 5]);
      for (float var : output.var) EXPECT_EQ(var, 0.0f);
    }
  }
}

TEST(BatchNorm, NanStaysInItsChannel) {
  for (Device& device : kernel_test::devices()) {
    for (std::int64_t rows : {64, 2000}) {
      const Case c{.rows = rows, .channels = 5};
      Input input(c);
      input.x[static_cast<std::size_t>(rows / 2 * 5 + 2)] = std::numeric_limits<float>::quiet_NaN();
      const Output output = run(device, c, input);
      for (std::size_t i = 0; i < output.y.size(); ++i) {
        ASSERT_EQ(std::isnan(output.y[i]), i % 5 == 2) << i;
        ASSERT_EQ(std::isnan(output.dx[i]), i % 5 == 2) << i;
      }
      for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(std::isnan(output.running_var[i]), i == 2);
    }
  }
}

TEST(BatchNorm, Inference) {
  for (Device& device : kernel_test::devices()) {
    SCOPED_TRACE(kernel_test::describe(device));
    int i = 0;
    for (std::int64_t rows : {1, 7, 300}) {
      for (std::int64_t channels : {1, 17, 128, 130, 260}) {
        const Case c{.rows = rows, .channels = channels, .act = activations[i++ % 5]};
        const Input input(c);
        Tensor x(device, 0, input.x), y(device, 0, c.elements());
        Array<float> gamma(device, input.gamma), beta(device, input.beta), mean(device, input.running_mean),
            var(device, input.running_var);
        std::visit(
            [&](auto& stream) {
              batch_norm_inference(stream, {x.data(), gamma.data(), beta.data(), mean.data(), var.data(), y.data(),
                                            rows, channels, eps, c.act});
            },
            device.stream());
        std::vector<double> want;
        for (std::size_t e = 0; e < input.x.size(); ++e) {
          const std::size_t channel = e % static_cast<std::size_t>(channels);
          const double scale = input.gamma[channel] / std::sqrt(double(input.running_var[channel]) + eps);
          want.push_back(activate(
              c.act, (input.x[e] - double(input.running_mean[channel])) * scale + double(input.beta[channel])));
        }
        kernel_test::expect_close(y.values(), want, 1e-5, 1e-5, "y");
      }
    }
  }
}

}  // namespace
}  // namespace ganforge
