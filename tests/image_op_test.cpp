// Values of pooling, upsampling, norms of single samples and dropout. The table of ops (op_cases_images) has their
// gradients, image_layers_test their layers.
#include "tests/graph_support.h"
#include "tests/kernel_test.h"

#include "kernels/prologue.h"

#include <ganforge/ganforge.h>

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace ganforge {
namespace {

using Build = std::function<Value(Value)>;

/// f of one input, on one device.
Floats apply(Device& device, const Build& f, const Shape& shape, const Floats& x) {
  Graph graph;
  graph.output("y", f(graph.input("x", f32(shape))));
  Program program = compile(device, graph);
  return run(program, "y", {{"x", x}});
}

/// The same on every device; each must give `want` to the bit, or nearly.
void expect(const Build& f, const Shape& shape, const Floats& x, const std::vector<double>& want, double error = 0) {
  for (Device& device : kernel_test::devices())
    kernel_test::expect_close(apply(device, f, shape, x), want, error, error, kernel_test::describe(device));
}

Floats counting(std::int64_t n) {
  Floats x(static_cast<std::size_t>(n));
  std::iota(x.begin(), x.end(), 0.0f);
  return x;
}
Floats random_numbers(std::int64_t n, float mean = 0, float deviation = 1) {
  std::mt19937 engine(7);
  std::normal_distribution<float> normal(mean, deviation);
  Floats x(static_cast<std::size_t>(n));
  for (float& v : x) v = normal(engine);
  return x;
}

/// d Σ f / dx
Build gradient_of(const Build& f) {
  return [f](Value x) { return grad(sum(f(x)), {x})[0]; };
}

TEST(AvgPool, IsTheMeanOfEachWindow) {
  const Build pool = [](Value x) { return avg_pool2d(x, {2, 3}, {1, 2}); };
  // 3 × 6 pixels 0 … 17: the mean of a window is that of its corners; the last column is left over.
  expect(pool, {1, 3, 6, 1}, counting(18), {4, 6, 10, 12}, 1e-6);
  const double s = 1.0 / 6;
  expect(gradient_of(pool), {1, 3, 6, 1}, counting(18),
         {s, s, 2 * s, s, s, 0, 2 * s, 2 * s, 4 * s, 2 * s, 2 * s, 0, s, s, 2 * s, s, s, 0}, 1e-6);
}

TEST(AvgPool, KeepsChannelsApart) {
  for (const std::int64_t channels : {1, 3, 8, 17, 33, 100}) {
    const Floats x = random_numbers(2 * 5 * 4 * channels);
    std::vector<double> want;
    for (std::int64_t n = 0; n < 2; ++n)
      for (std::int64_t p = 0; p < 2; ++p)
        for (std::int64_t q = 0; q < 2; ++q)
          for (std::int64_t c = 0; c < channels; ++c) {
            const auto at = [&](std::int64_t i, std::int64_t j) {
              return double(x[std::size_t(((n * 5 + 2 * p + i) * 4 + 2 * q + j) * channels + c)]);
            };
            want.push_back((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4);
          }
    expect([](Value v) { return avg_pool2d(v); }, {2, 5, 4, channels}, x, want, 1e-6);
  }
}

TEST(MaxPool, TakesTheLargestAndSharesTies) {
  const Build pool = [](Value x) { return max_pool2d(x); };
  const Floats x = {1, 5, -3, -3, 5, 2, -3, -3, 7, 7, 7, 0};
  expect(pool, {1, 3, 4, 1}, x, {5, -3});  // the third row is left over
  expect(gradient_of(pool), {1, 3, 4, 1}, x, {0, 0.5, 0.25, 0.25, 0.5, 0, 0.25, 0.25, 0, 0, 0, 0});
  // Windows that overlap: the 7 is the maximum of two.
  const Build wide = [](Value v) { return max_pool2d(v, {1, 2}, {1, 1}); };
  expect(gradient_of(wide), {1, 1, 4, 1}, {1, 7, 2, 2}, {0, 2, 0.5, 0.5});
  for (Device& device : kernel_test::devices())
    EXPECT_TRUE(std::isnan(apply(device, pool, {1, 2, 2, 1}, {1, NAN, 3, 2})[0])) << kernel_test::describe(device);
}

TEST(Upsample, NearestRepeatsPixels) {
  const Build twice = [](Value x) { return upsample_nearest(x, 2); };
  expect(twice, {1, 1, 2, 2}, {1, 2, 3, 4}, {1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4});
  expect(gradient_of(twice), {1, 1, 2, 2}, {1, 2, 3, 4}, {4, 4, 4, 4});
}

TEST(Upsample, BilinearIsLinearBetweenHalfPixelCentres) {
  expect([](Value x) { return slice(upsample_bilinear(x, 2), 1, 0, 1); }, {1, 1, 3, 1}, {0, 4, 12},
         {0, 1, 3, 6, 10, 12}, 1e-7);
  expect([](Value x) { return slice(upsample_bilinear(x, 3), 2, 0, 1); }, {1, 2, 1, 1}, {0, 3}, {0, 0, 1, 2, 3, 3},
         1e-6);
  // Rows and columns alike: of a plane every inner pixel is on the plane.
  expect([](Value x) { return upsample_bilinear(x, 2); }, {1, 2, 2, 1}, {0, 4, 8, 12},
         {0, 1, 3, 4, 2, 3, 5, 6, 6, 7, 9, 10, 8, 9, 11, 12}, 1e-6);
  // What goes to an inner pixel is factor² in all; the outermost have no more, their edge makes up for it.
  expect(gradient_of([](Value x) { return upsample_bilinear(x, 4); }), {1, 3, 2, 1}, counting(6),
         std::vector<double>(6, 16), 1e-6);
}

TEST(PixelShuffle, HasPyTorchsOrderOfChannels) {
  const std::int64_t h = 3, w = 2, c = 5, f = 2;
  const Floats x = random_numbers(h * w * c * f * f);
  std::vector<double> want;
  for (std::int64_t row = 0; row < h * f; ++row)
    for (std::int64_t column = 0; column < w * f; ++column)
      for (std::int64_t k = 0; k < c; ++k)
        want.push_back(x[std::size_t(((row / f) * w + column / f) * c * f * f + k * f * f + row % f * f + column % f)]);
  expect([](Value v) { return pixel_shuffle(v, 2); }, {1, h, w, c * f * f}, x, want);
}

TEST(GlobalAvgPool, IsTheMeanOverPixels) {
  expect([](Value v) { return global_avg_pool(v); }, {2, 1, 2, 2}, {1, 2, 3, 6, 5, 5, 7, 9}, {2, 4, 6, 7}, 1e-6);
}

/// (x − mean)/√(var + eps) by the definition, in double.
std::vector<double> normalised(const Floats& x, std::int64_t samples, std::int64_t channels, std::int64_t groups,
                               double eps) {
  const std::int64_t depth = channels / groups, pixels = std::int64_t(x.size()) / (samples * channels);
  std::vector<double> y(x.size());
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto each = [&](auto f) {
        for (std::int64_t p = 0; p < pixels; ++p)
          for (std::int64_t d = 0; d < depth; ++d) f(std::size_t((n * pixels + p) * channels + g * depth + d));
      };
      double mean = 0, var = 0;
      const double m = double(pixels * depth);
      each([&](std::size_t i) { mean += x[i] / m; });
      each([&](std::size_t i) { var += (x[i] - mean) * (x[i] - mean) / m; });
      each([&](std::size_t i) { y[i] = (x[i] - mean) / std::sqrt(var + eps); });
    }
  return y;
}

Build norm_of(std::int64_t channels, std::int64_t groups) {
  return [=](Value x) {
    const Value one = constant(x.graph(), 1, f32({channels})), zero = constant(x.graph(), 0, f32({channels}));
    return group_norm(x, groups, one, zero);
  };
}

TEST(GroupNorm, IsItsDefinition) {
  struct Case {
    std::int64_t samples, pixels, channels, groups;
  };
  // One channel a group, one group, few and many pixels, more channels than a block has threads, uneven blocks of
  // groups.
  for (const Case& c : {Case{2, 9, 8, 2},
                        {3, 64, 33, 33},
                        {1, 1, 4100, 1},
                        {2, 3, 2100, 1},
                        {2, 49, 72, 36},
                        {1, 3000, 40, 40},
                        {2, 700, 3, 1},
                        {1, 2500, 64, 2}}) {
    const Floats x = random_numbers(c.samples * c.pixels * c.channels, 0.5f, 2);
    expect(norm_of(c.channels, c.groups), {c.samples, c.pixels, c.channels}, x,
           normalised(x, c.samples, c.channels, c.groups, 1e-5), 3e-6);
  }
}

TEST(GroupNorm, SurvivesALargeMean) {
  const Floats x = random_numbers(2 * 400 * 8, 1e4f, 1);
  for (const std::int64_t groups : {1, 8})
    expect(norm_of(8, groups), {2, 400, 8}, x, normalised(x, 2, 8, groups, 1e-5), 2e-3);  // an ulp of x is 1e-3
}

TEST(GroupNorm, InstanceAndLayerNormAreItsEnds) {
  const auto with = [](auto f) {
    return [f](Value x) {
      const Type channels = f32({x.shape()[-1]});
      return f(x, constant(x.graph(), 2, channels), constant(x.graph(), -1, channels));
    };
  };
  // Two pixels, one channel: ±1/√(1 + eps), eps = 3.
  expect(with([](Value x, Value g, Value b) {
           return instance_norm(x, g, b, 3.0f, {Activation::Kind::leaky_relu, 0.5f});
         }),
         {1, 1, 2, 1}, {4, 6}, {-1, 0}, 1e-6);
  // Mean 3, variance 5 of 0 … 6 in steps of two; eps = 4.
  expect(with([](Value x, Value g, Value b) { return layer_norm(x, g, b, 4.0f); }), {1, 4}, {0, 2, 4, 6},
         {-3, -1.0 / 3 * 5, -1.0 / 3, 1}, 1e-6);
}

TEST(ImageOps, DoNotDependOnTheNumberOfThreads) {
  const Build all = [](Value x) {
    const Type channels = f32({24});
    Value y =
        group_norm(upsample_bilinear(x, 2), 3, constant(x.graph(), 1, channels), constant(x.graph(), 0.1, channels));
    y = dropout(max_pool2d(avg_pool2d(y, {3, 3}, {1, 1})), 0.4f, constant(x.graph(), 2, {DType::int64, {}}), 5, 1);
    return grad(sum(y * y), {x})[0];
  };
  const Floats x = random_numbers(3 * 24 * 26 * 24);
  std::vector<Device> devices = kernel_test::devices();
  for (std::size_t i = 0; i + 1 < devices.size() && !devices[i + 1].is_cuda(); i += 2)
    EXPECT_EQ(apply(devices[i], all, {3, 24, 26, 24}, x), apply(devices[i + 1], all, {3, 24, 26, 24}, x));
}

// --- dropout ---

TEST(Dropout, ZeroesItsShareAndScalesTheRest) {
  const std::int64_t n = 100003;
  for (Device& device : kernel_test::devices()) {
    const Build drop = [](Value x) { return dropout(x, 0.25f, constant(x.graph(), 9, {DType::int64, {}}), 1, 2); };
    const Floats y = apply(device, drop, {n}, Floats(std::size_t(n), 3)),
                 dx = apply(device, gradient_of(drop), {n}, Floats(std::size_t(n), 3));
    std::int64_t dropped = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_TRUE(y[i] == 0 || y[i] == 4) << i;
      ASSERT_EQ(dx[i], y[i] / 3) << "not the same mask at " << i;
      dropped += y[i] == 0;
    }
    EXPECT_NEAR(double(dropped) / double(n), 0.25, 5 * std::sqrt(0.25 * 0.75 / double(n)));
  }
}

TEST(Dropout, DropsWhatUniformSays) {
  for (Device& device : kernel_test::devices())
    for (const std::int64_t n : {1, 2, 3, 4, 30, 61, 83, 1027}) {
      const auto tick = [](Value x) { return constant(x.graph(), 9, {DType::int64, {}}); };
      const Floats ones(static_cast<std::size_t>(n), 1);
      const Floats y = apply(
          device, [&](Value x) { return dropout(x, 0.5f, tick(x), 3, 2); }, {n}, ones);
      const Floats u = apply(
          device, [&](Value x) { return uniform(tick(x), 3, 2, {n}) + x * 0.0; }, {n}, ones);
      for (std::size_t i = 0; i < y.size(); ++i)
        ASSERT_EQ(y[i], u[i] < 0.5f ? 0 : 2) << i << " of " << n << ", " << kernel_test::describe(device);
    }
}

/// Advances the tick, as every step does.
void prologue_of(Context& context) {
  Graph& graph = context.graph();
  VariableStore& store = context.store();
  Variable& tick = store.variable(tick_variable, {DType::int64, {}});
  Variable& cursor = store.variable(cursor_variable, {DType::int64, {}});
  Variable& statistics = store.variable(statistics_variable, f32({statistics_slots * statistics_stride}));
  Variable& ring = store.variable(ring_variable, f32({ring_rows, statistics_slots}));
  Variable& ring_tick = store.variable(ring_tick_variable, {DType::int64, {ring_rows}});
  PrologueOptions options;
  options.seed = store.seed();
  options.latents = {Shape{2, 3}};
  const PrologueState state{graph.read(tick), graph.read(cursor), graph.read(statistics), graph.read(ring),
                            graph.read(ring_tick)};
  const PrologueResult p = prologue(state, {}, {}, options);
  graph.assign(tick, p.state.tick);
  graph.assign(cursor, p.state.cursor);
  graph.assign(ring, p.state.ring);
  graph.assign(ring_tick, p.state.ring_tick);
}

/// Two dropouts of ones, step after step.
std::vector<Floats> dropout_steps(Device& device, std::uint64_t seed, bool capture) {
  VariableStore store(device, seed);
  Network network(store, "net", Sequential{Dropout{0.5f}, Linear{1}}, {5, 40});
  Graph graph;
  Context context(graph, store, Mode::training);
  prologue_of(context);
  const Value ones = constant(graph, 1, f32({4, 40}));
  graph.output("a", Dropout{0.5f}(context, ones));
  graph.output("b", Dropout{0.5f}(context, ones));
  Program program = compile(device, graph, {.capture = capture});
  std::vector<Floats> steps;
  for (int i = 0; i < 3; ++i) {
    program.run();
    steps.push_back(program.floats("a"));
    steps.push_back(program.floats("b"));
  }
  return steps;
}

TEST(Dropout, DrawsAnotherMaskEachStepAndTheSameInEveryRun) {
  std::vector<Floats> first;
  for (Device& device : kernel_test::devices()) {
    const std::vector<Floats> steps = dropout_steps(device, 1, true);
    for (std::size_t i = 0; i < steps.size(); ++i)
      for (std::size_t j = 0; j < i; ++j) EXPECT_NE(steps[i], steps[j]) << i << " and " << j;
    EXPECT_EQ(dropout_steps(device, 1, false), steps) << kernel_test::describe(device);
    if (first.empty()) first = steps;
    EXPECT_EQ(steps, first) << kernel_test::describe(device);
  }
  Device cpu = Device::cpu(1);
  EXPECT_NE(dropout_steps(cpu, 2, true), first);
}

}  // namespace
}  // namespace ganforge
