#include "kernels/gan_loss.h"

#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <functional>

namespace ganforge {
namespace {

using kernel_test::Array;
using kernel_test::devices;

constexpr Objective objectives[] = {Objective::non_saturating, Objective::saturating,  Objective::least_squares,
                                    Objective::hinge,          Objective::wasserstein, Objective::relativistic_paired};

double softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}
double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

struct Result {
  double loss = 0, d_real = 0, d_fake = 0, accuracy = 0;
  std::vector<double> dlogits;
};

/// The formulae of gan_loss.h in double precision, without a gradient.
Result discriminator_reference(Objective objective, const std::vector<double>& logits, double target) {
  const std::size_t n = logits.size() / 2;
  Result want;
  for (std::size_t i = 0; i < n; ++i) {
    const double r = logits[i], f = logits[n + i];
    want.d_real += r, want.d_fake += f;
    double border = 0;
    switch (objective) {
      case Objective::least_squares:
        want.loss += 0.5 * (r - target) * (r - target) + 0.5 * f * f;
        border = 0.5;
        break;
      case Objective::hinge:
        want.loss += std::max(0.0, 1 - r) + std::max(0.0, 1 + f);
        break;
      case Objective::wasserstein:
        want.loss += f - r;
        break;
      case Objective::relativistic_paired:
        want.loss += softplus(f - r);
        want.d_real += sigmoid(r - f) - r, want.d_fake += sigmoid(f - r) - f;
        break;
      default:
        want.loss += softplus(-r) + (1 - target) * r + softplus(f);
        want.d_real += sigmoid(r) - r, want.d_fake += sigmoid(f) - f;
    }
    const bool pairs = objective == Objective::wasserstein || objective == Objective::relativistic_paired;
    want.accuracy += pairs ? 2 * (r > f) : (r > border) + !(f > border);
  }
  want.loss /= double(n), want.d_real /= double(n), want.d_fake /= double(n), want.accuracy /= 2 * double(n);
  return want;
}

double generator_reference(Objective objective, const std::vector<double>& logits, const std::vector<double>& real) {
  double loss = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double f = logits[i];
    if (objective == Objective::non_saturating) loss += softplus(-f);
    if (objective == Objective::saturating) loss -= softplus(f);
    if (objective == Objective::least_squares) loss += 0.5 * (f - 1) * (f - 1);
    if (objective == Objective::hinge || objective == Objective::wasserstein) loss -= f;
    if (objective == Objective::relativistic_paired) loss += softplus(real[i] - f);
  }
  return loss / double(logits.size());
}

/// Central differences: error of order step² and 1e-16/step.
std::vector<double> differences(const std::function<double(const std::vector<double>&)>& loss, std::vector<double> x) {
  const double step = 1e-5;
  std::vector<double> gradient;
  for (double& xi : x) {
    const double at = xi;
    xi = at + step;
    const double above = loss(x);
    xi = at - step;
    const double below = loss(x);
    xi = at;
    gradient.push_back((above - below) / (2 * step));
  }
  return gradient;
}

std::vector<float> some_logits(std::int64_t count) {
  std::vector<float> logits;
  for (std::int64_t i = 0; i < count; ++i)
    logits.push_back(4 * std::sin(1.7f * float(i) + 0.3f) + 0.01f * float(i % 3));
  return logits;
}

Result discriminator(Device& device, Objective objective, const std::vector<float>& logits, float target) {
  const auto n = static_cast<std::int64_t>(logits.size() / 2);
  Array<float> x(device, logits), dx(device, 2 * n), loss(device, 1), d_real(device, 1), d_fake(device, 1),
      accuracy(device, 1);
  const DiscriminatorLossArgs args{x.data(),        loss.data(), dx.data(), d_real.data(), d_fake.data(),
                                   accuracy.data(), n,           objective, target};
  std::visit([&](const auto& stream) { discriminator_loss(stream, args); }, device.stream());
  const auto gradient = dx.values();
  return {loss.value(), d_real.value(), d_fake.value(), accuracy.value(), {gradient.begin(), gradient.end()}};
}

Result generator(Device& device, Objective objective, const std::vector<float>& logits,
                 const std::vector<float>& on_real = {}) {
  const auto n = static_cast<std::int64_t>(logits.size());
  Array<float> x(device, logits), r(device, on_real.empty() ? logits : on_real), dx(device, n), loss(device, 1);
  const float* real = is_relativistic(objective) ? r.data() : nullptr;
  const GeneratorLossArgs args{x.data(), real, loss.data(), dx.data(), n, objective};
  std::visit([&](const auto& stream) { generator_loss(stream, args); }, device.stream());
  const auto gradient = dx.values();
  return {.loss = loss.value(), .dlogits = {gradient.begin(), gradient.end()}};
}

void expect_gradient(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i] * double(want.size()), want[i] * double(want.size()), 2e-6) << i;
}

TEST(DiscriminatorLoss, IsItsFormulaAndItsGradient) {
  for (Device& device : devices()) {
    for (Objective objective : objectives) {
      for (std::int64_t n : {1, 3, 17, 64, 129, 300}) {
        for (float target : {1.0f, 0.9f}) {
          SCOPED_TRACE(kernel_test::describe(device) + ", n = " + std::to_string(n));
          const auto logits = some_logits(2 * n);
          const std::vector<double> x(logits.begin(), logits.end());
          const Result got = discriminator(device, objective, logits, target);
          const Result want = discriminator_reference(objective, x, target);
          EXPECT_NEAR(got.loss, want.loss, 1e-6 * (1 + want.loss));
          EXPECT_NEAR(got.d_real, want.d_real, 1e-6);
          EXPECT_NEAR(got.d_fake, want.d_fake, 1e-6);
          EXPECT_NEAR(got.accuracy, want.accuracy, 1e-7);
          expect_gradient(
              got.dlogits,
              differences([&](const auto& at) { return discriminator_reference(objective, at, target).loss; }, x));
        }
      }
    }
  }
}

TEST(GeneratorLoss, IsItsFormulaAndItsGradient) {
  for (Device& device : devices()) {
    for (Objective objective : objectives) {
      for (std::int64_t n : {1, 3, 17, 64, 129, 300}) {
        SCOPED_TRACE(kernel_test::describe(device) + ", n = " + std::to_string(n));
        const auto logits = some_logits(n);
        std::vector<float> on_real = some_logits(2 * n);
        on_real.erase(on_real.begin(), on_real.begin() + n);
        const std::vector<double> x(logits.begin(), logits.end()), real(on_real.begin(), on_real.end());
        const Result got = generator(device, objective, logits, on_real);
        const double want = generator_reference(objective, x, real);
        EXPECT_NEAR(got.loss, want, 1e-6 * (1 + std::abs(want)));
        expect_gradient(got.dlogits,
                        differences([&](const auto& at) { return generator_reference(objective, at, real); }, x));
      }
    }
  }
}

// At logits of zero D knows nothing: loss 2 ln 2, gradients ∓½; the border belongs to the generated side.
TEST(DiscriminatorLoss, HasClosedFormAtZero) {
  for (Device& device : devices()) {
    const Result got = discriminator(device, Objective::non_saturating, {0, 0, 0, 0}, 1);
    EXPECT_FLOAT_EQ(float(got.loss), float(2 * std::log(2.0)));
    EXPECT_EQ(got.d_real, 0.5);
    EXPECT_EQ(got.d_fake, 0.5);
    EXPECT_EQ(got.accuracy, 0.5);
    EXPECT_EQ(got.dlogits, (std::vector<double>{-0.25, -0.25, 0.25, 0.25}));
  }
}

TEST(Losses, NeitherOverflowNorLoseDigitsAtLargeLogits) {
  for (Device& device : devices()) {
    SCOPED_TRACE(kernel_test::describe(device));
    Result got = discriminator(device, Objective::non_saturating, {-500, 500}, 1);
    EXPECT_EQ(got.loss, 1000);
    EXPECT_EQ(got.dlogits, (std::vector<double>{-1, 1}));
    EXPECT_EQ(got.accuracy, 0);
    got = discriminator(device, Objective::non_saturating, {30, -30}, 1);
    EXPECT_NEAR(got.loss / (2 * std::exp(-30.0)), 1, 1e-5);
    EXPECT_NEAR(got.dlogits[0] / -std::exp(-30.0), 1, 1e-5);
    EXPECT_NEAR(got.dlogits[1] / std::exp(-30.0), 1, 1e-5);
    EXPECT_EQ(got.accuracy, 1);
    EXPECT_EQ(generator(device, Objective::non_saturating, {-500}).loss, 500);
    EXPECT_EQ(generator(device, Objective::non_saturating, {500}).loss, 0);
    EXPECT_EQ(generator(device, Objective::saturating, {500}).loss, -500);
    EXPECT_NEAR(generator(device, Objective::non_saturating, {30}).dlogits[0] / -std::exp(-30.0), 1, 1e-5);
  }
}

TEST(Losses, ShowNaN) {
  for (Device& device : devices()) {
    const Result got = discriminator(device, Objective::non_saturating, {1, NAN, -1, NAN}, 1);
    EXPECT_TRUE(std::isnan(got.loss) && std::isnan(got.d_real) && std::isnan(got.d_fake));
    EXPECT_EQ(got.accuracy, 0.5);
    EXPECT_TRUE(std::isnan(got.dlogits[1]) && std::isnan(got.dlogits[3]));
  }
}

}  // namespace
}  // namespace ganforge
