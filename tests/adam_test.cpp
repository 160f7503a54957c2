#include "kernels/adam.h"

#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace ganforge {
namespace {

using kernel_test::Array;

struct Case {
  std::int64_t n;
  bool ema, aliased;
  std::vector<AdamSegment> segments;
};

std::vector<float> random_values(std::int64_t n, unsigned seed, float low, float high) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = uniform(engine);
  return values;
}

constexpr float lr = 0.01f, beta1 = 0.5f, beta2 = 0.999f, eps = 1e-8f, ema_decay = 0.99f;
constexpr int steps = 3;

/// Algorithm 1 of the paper in double precision, step by step.
struct Reference {
  std::vector<double> w, m, v, ema;

  void step(const std::vector<float>& g, double t, const std::vector<AdamSegment>& segments) {
    for (std::size_t i = 0; i < w.size(); ++i) {
      double rate = lr, decay = 0;
      for (const AdamSegment& segment : segments) {
        if (static_cast<std::int64_t>(i) < segment.end) {
          rate = double(lr) * segment.lr_scale;
          decay = segment.decay;
          break;
        }
      }
      m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
      v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
      const double m_hat = m[i] / (1.0 - std::pow(double(beta1), t));
      const double v_hat = v[i] / (1.0 - std::pow(double(beta2), t));
      w[i] = w[i] * (1.0 - rate * decay) - rate * m_hat / (std::sqrt(v_hat) + eps);
      ema[i] = ema_decay * ema[i] + (1.0 - ema_decay) * w[i];
    }
  }
};

void check(Device& device, const Case& c) {
  SCOPED_TRACE(kernel_test::describe(device) + ", n = " + std::to_string(c.n));
  const auto w0 = random_values(c.n, 1, -1, 1);
  const std::vector<float> zeros(w0.size(), 0.0f);
  Array<float> w(device, w0), m(device, zeros), v(device, zeros), ema(device, w0);
  Array<float> new_w(device, c.n), new_m(device, c.n), new_v(device, c.n), new_ema(device, c.n);
  Array<float> t(device, std::vector<float>{0}), new_t(device, 1), rate(device, std::vector<float>{lr});
  Array<unsigned> ticket(device, std::vector<unsigned>(adam_tickets, 0));
  Array<float> bad_w(device, 1), bad_g(device, 1);
  Reference reference{
      {w0.begin(), w0.end()}, {zeros.begin(), zeros.end()}, {zeros.begin(), zeros.end()}, {w0.begin(), w0.end()}};

  for (int step = 1; step <= steps; ++step) {
    // Gradients from 1e-5 to 1e2; an element's keep their sign, so that m has no cancellation and the bounds are tight.
    auto g0 = random_values(c.n, 10u + static_cast<unsigned>(step), 0.1f, 1);
    for (std::size_t i = 0; i < g0.size(); ++i) g0[i] *= (i % 2 ? 1.0f : -1.0f) * std::pow(10.0f, float(i % 7) - 4);
    Array<float> g(device, g0);
    AdamArgs args{.w = w.data(),
                  .g = g.data(),
                  .m = m.data(),
                  .v = v.data(),
                  .ema = c.ema ? ema.data() : nullptr,
                  .new_w = w.data(),
                  .new_m = m.data(),
                  .new_v = v.data(),
                  .new_ema = c.ema ? ema.data() : nullptr,
                  .t = t.data(),
                  .new_t = t.data(),
                  .bad_w = bad_w.data(),
                  .bad_g = bad_g.data(),
                  .lr = rate.data(),
                  .beta1 = beta1,
                  .beta2 = beta2,
                  .eps = eps,
                  .ema_decay = ema_decay,
                  .n = c.n,
                  .segments = static_cast<int>(c.segments.size()),
                  .segment = {},
                  .ticket = ticket.data()};
    std::copy(c.segments.begin(), c.segments.end(), args.segment);
    if (!c.aliased) {
      args.new_w = new_w.data();
      args.new_m = new_m.data();
      args.new_v = new_v.data();
      args.new_ema = c.ema ? new_ema.data() : nullptr;
      args.new_t = new_t.data();
    }
    std::visit([&](const auto& stream) { adam(stream, args); }, device.stream());
    if (!c.aliased) {
      EXPECT_EQ(t.value(), float(step - 1));
      std::swap(w, new_w);
      std::swap(m, new_m);
      std::swap(v, new_v);
      if (c.ema) std::swap(ema, new_ema);
      std::swap(t, new_t);
    }
    reference.step(g0, step, c.segments);
    EXPECT_EQ(t.value(), float(step));
    EXPECT_EQ(ticket.values(), std::vector<unsigned>(adam_tickets, 0));
    EXPECT_EQ(bad_w.value(), 0);
    EXPECT_EQ(bad_g.value(), 0);
    kernel_test::expect_close(m.values(), reference.m, 6e-7, 0, "m");
    kernel_test::expect_close(v.values(), reference.v, 1e-6, 0, "v");
    kernel_test::expect_close(w.values(), reference.w, 4e-7, 4e-7, "w");
    if (c.ema) kernel_test::expect_close(ema.values(), reference.ema, 4e-7, 4e-7, "ema");
  }
}

TEST(Adam, IsAlgorithm1) {
  for (Device& device : kernel_test::devices()) {
    for (std::int64_t n : {16, 112, 2064, 16400}) {
      for (bool aliased : {false, true}) {
        for (bool ema : {false, true}) check(device, {n, ema, aliased, {}});
      }
    }
  }
}

TEST(Adam, SegmentsHaveTheirOwnRateAndDecay) {
  for (Device& device : kernel_test::devices()) {
    check(device, {2064, true, true, {{16, 1, 0.1f}, {1040, 0.5f, 0}, {2064, 2, 0.01f}}});
    check(device, {16400, false, true, {{16, 0.5f, 0.1f}, {32, 2, 0}}});  // the rest: scale 1, no decay
    check(device, {112, false, false, {{112, 0, 1}}});
  }
}

TEST(Adam, CorrectsTheBiasOfLongRunsAndKeepsGapsZero) {
  for (Device& device : kernel_test::devices()) {
    SCOPED_TRACE(kernel_test::describe(device));
    for (float t0 : {0.0f, 1.0f, 99.0f, 5e4f, 1e7f}) {
      std::vector<float> g0(16, 0.0f), m0(16, 0.0f), v0(16, 0.0f);
      g0[0] = 0.25f, m0[0] = 0.125f, v0[0] = 0.01f;
      Array<float> w(device, std::vector<float>(16, 0.0f)), g(device, g0), m(device, m0), v(device, v0);
      Array<float> t(device, std::vector<float>{t0}), rate(device, std::vector<float>{1});
      Array<unsigned> ticket(device, std::vector<unsigned>(adam_tickets, 0));
      Array<float> bad_w(device, 1), bad_g(device, 1);
      const AdamArgs args{.w = w.data(),
                          .g = g.data(),
                          .m = m.data(),
                          .v = v.data(),
                          .ema = nullptr,
                          .new_w = w.data(),
                          .new_m = m.data(),
                          .new_v = v.data(),
                          .new_ema = nullptr,
                          .t = t.data(),
                          .new_t = t.data(),
                          .bad_w = bad_w.data(),
                          .bad_g = bad_g.data(),
                          .lr = rate.data(),
                          .beta1 = 0,
                          .beta2 = beta2,
                          .eps = eps,
                          .ema_decay = 0,
                          .n = 16,
                          .segments = 0,
                          .segment = {},
                          .ticket = ticket.data()};
      std::visit([&](const auto& stream) { adam(stream, args); }, device.stream());
      const double v_hat =
          (double(beta2) * v0[0] + (1 - double(beta2)) * 0.0625) / (1 - std::pow(double(beta2), double(t0) + 1));
      std::vector<double> want(16, 0.0);
      want[0] = -0.25 / (std::sqrt(v_hat) + eps);
      kernel_test::expect_close(w.values(), want, 1e-6, 0, "w");
      EXPECT_EQ(t.value(), t0 + 1);
    }
  }
}

TEST(Adam, SaysWhereTheFirstBadValueIs) {
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  constexpr std::int64_t n = 40000, lines = n / 16;
  struct Bad {
    std::vector<std::pair<std::int64_t, float>> w, g;
    float bad_w, bad_g;
  };
  const Bad cases[] = {
      {{}, {}, 0, 0},
      {{{0, nan}}, {}, lines, 0},
      {{{n - 1, inf}}, {{17, nan}, {n - 1, nan}}, 1, lines - 1},
      {{{20031, -inf}, {30000, nan}}, {{39999, -inf}}, lines - 20031 / 16, 1},
      {{{5, 3e38f}, {6, 3e38f}}, {{5, -3e38f}, {6, -3e38f}}, 0, 0},  // their sum is infinite, they are not
  };
  for (Device& device : kernel_test::devices()) {
    SCOPED_TRACE(kernel_test::describe(device));
    Array<unsigned> ticket(device, std::vector<unsigned>(adam_tickets, 0));
    for (const Bad& c : cases) {
      std::vector<float> w0(n, 1.0f), g0(n, 0.5f);
      for (const auto& [i, value] : c.w) w0[static_cast<std::size_t>(i)] = value;
      for (const auto& [i, value] : c.g) g0[static_cast<std::size_t>(i)] = value;
      const std::vector<float> zeros(n, 0.0f);
      Array<float> w(device, w0), g(device, g0), m(device, zeros), v(device, zeros);
      Array<float> t(device, std::vector<float>{0}), rate(device, std::vector<float>{lr});
      Array<float> bad_w(device, 1), bad_g(device, 1);
      AdamArgs args{};
      args.w = args.new_w = w.data(), args.g = g.data();
      args.m = args.new_m = m.data();
      args.v = args.new_v = v.data();
      args.t = args.new_t = t.data();
      args.bad_w = bad_w.data(), args.bad_g = bad_g.data();
      args.lr = rate.data();
      args.beta1 = beta1, args.beta2 = beta2, args.eps = eps;
      args.n = n;
      args.ticket = ticket.data();
      std::visit([&](const auto& stream) { adam(stream, args); }, device.stream());
      EXPECT_EQ(bad_w.value(), c.bad_w);
      EXPECT_EQ(bad_g.value(), c.bad_g);
    }
  }
}

}  // namespace
}  // namespace ganforge
