// DiffAugment against the paper's steps one after another; consistency, packs, spectral norm, minibatch deviation.
#include "src/gan/penalties.h"
#include "tests/graph_support.h"

#include <ganforge/augment.h>
#include <ganforge/ganforge.h>
#include <ganforge/spectral_norm.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace ganforge {
namespace {

struct Image {
  int h, w, c;
  std::vector<double> x;
  double& at(int i, int j, int k) { return x[static_cast<std::size_t>((i * w + j) * c + k)]; }
};

/// Brightness, saturation, contrast, translation, cutout, as section 3 of the paper and its appendix have them.
Image reference(Image image, const float* u, double p, const Augmentation& o) {
  const auto pixels = [&](const auto& f) {
    for (int i = 0; i < image.h; ++i)
      for (int j = 0; j < image.w; ++j) f(i, j);
  };
  const double middle = (static_cast<double>(o.high) + static_cast<double>(o.low)) / 2;
  const double half = (static_cast<double>(o.high) - static_cast<double>(o.low)) / 2;
  const auto number = [&](int i) { return static_cast<double>(u[i]); };
  if (o.color && number(0) < p) {
    for (double& x : image.x) x += (number(1) - 0.5) * half;
    pixels([&](int i, int j) {
      double grey = 0;
      for (int k = 0; k < image.c; ++k) grey += image.at(i, j, k) / image.c;
      for (int k = 0; k < image.c; ++k) image.at(i, j, k) = (image.at(i, j, k) - grey) * 2 * number(2) + grey;
    });
    double mean = 0;
    for (double x : image.x) mean += x / static_cast<double>(image.x.size());
    for (double& x : image.x) x = (x - mean) * (number(3) + 0.5) + mean;
  }
  if (o.translation && number(4) < p) {
    const int reach_y = static_cast<int>(image.h / 8.0 + 0.5), reach_x = static_cast<int>(image.w / 8.0 + 0.5);
    const int dy = static_cast<int>(number(5) * (2 * reach_y + 1)) - reach_y;
    const int dx = static_cast<int>(number(6) * (2 * reach_x + 1)) - reach_x;
    Image moved = image;
    pixels([&](int i, int j) {
      const bool outside = i + dy < 0 || i + dy >= image.h || j + dx < 0 || j + dx >= image.w;
      for (int k = 0; k < image.c; ++k) moved.at(i, j, k) = outside ? middle : image.at(i + dy, j + dx, k);
    });
    image = moved;
  }
  if (o.cutout && number(7) < p) {
    const int size_y = static_cast<int>(image.h * 0.5 + 0.5), size_x = static_cast<int>(image.w * 0.5 + 0.5);
    const int y = static_cast<int>(number(8) * (image.h + (1 - size_y % 2))) - size_y / 2;
    const int x = static_cast<int>(number(9) * (image.w + (1 - size_x % 2))) - size_x / 2;
    pixels([&](int i, int j) {
      if (i < y || i >= y + size_y || j < x || j >= x + size_x) return;
      for (int k = 0; k < image.c; ++k) image.at(i, j, k) = middle;
    });
  }
  return image;
}

std::vector<float> random_numbers(std::int64_t n, unsigned seed, float low, float high) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = uniform(engine);
  return values;
}

TEST(Augment, IsThePapers) {
  struct Case {
    int h, w, c;
    float p;
    Augmentation options;
  };
  const std::int64_t n = 40;
  for (const Case& c : {Case{28, 28, 1, 1, {true, true, true}},
                        {32, 32, 3, 0.7f, {true, true, true}},
                        {17, 9, 3, 1, {true, false, false, 0, 1}},
                        {20, 16, 2, 1, {false, true, false, 0, 1}},
                        {7, 12, 4, 0.5f, {false, false, true}},
                        {64, 40, 3, 1, {true, true, true, 0, 1}}}) {
    const std::int64_t size = c.h * c.w * c.c;
    const std::vector<float> x = random_numbers(n * size, 1, c.options.low, c.options.high);
    const std::vector<float> u = random_numbers(n * augment_numbers, 2, 0, 1);
    for (Device& device : devices()) {
      Graph graph;
      const Value images = graph.input("x", f32({n, c.h, c.w, c.c})),
                  numbers = graph.input("u", f32({n, augment_numbers}));
      graph.output("y", augment(images, numbers, graph.input("p", f32({})), c.options));
      Program program = compile(device, graph);
      EXPECT_EQ(program.launches(), 1);
      program.upload("x", x.data(), x.size() * sizeof(float));
      program.upload("u", u.data(), u.size() * sizeof(float));
      program.upload("p", &c.p, sizeof(float));
      program.run();
      const std::vector<float> y = program.floats("y");
      for (std::int64_t s = 0; s < n; ++s) {
        const auto first = x.begin() + s * size;
        const Image want = reference({c.h, c.w, c.c, {first, first + size}}, u.data() + s * augment_numbers,
                                     static_cast<double>(c.p), c.options);
        for (std::int64_t i = 0; i < size; ++i)
          ASSERT_NEAR(y[static_cast<std::size_t>(s * size + i)], want.x[static_cast<std::size_t>(i)], 2e-6)
              << c.h << "×" << c.w << "×" << c.c << ", sample " << s << ", number " << i;
      }
    }
  }
}

// ⟨T x, y⟩ = ⟨x, Tᵀ y⟩ for the linear part, kernel against kernel.
TEST(Augment, TheGradientIsTheAdjoint) {
  const std::int64_t n = 16, h = 32, w = 28, c = 3, size = n * h * w * c;
  const std::vector<float> x = random_numbers(size, 1, -1, 1), y = random_numbers(size, 3, -1, 1);
  const std::vector<float> u = random_numbers(n * augment_numbers, 2, 0, 1);
  for (Device& device : devices()) {
    Graph graph;
    const Shape shape{n, h, w, c};
    const Value images = graph.input("x", {DType::float32, shape}), zero = constant_like(images, 0);
    const Value numbers = graph.input("u", f32({n, augment_numbers})), p = graph.input("p", f32({}));
    const auto t = [&](Value v) { return augment(v, numbers, p, {true, true, true}); };
    graph.output("Tx", t(images) - t(zero));
    graph.output("TTy", grad({t(images)}, {graph.input("y", {DType::float32, shape})}, {images})[0]);
    Program program = compile(device, graph);
    const float probability = 0.8f;
    program.upload("x", x.data(), x.size() * sizeof(float));
    program.upload("y", y.data(), y.size() * sizeof(float));
    program.upload("u", u.data(), u.size() * sizeof(float));
    program.upload("p", &probability, sizeof(float));
    program.run();
    const std::vector<float> tx = program.floats("Tx"), ty = program.floats("TTy");
    double left = 0, right = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      left += static_cast<double>(tx[i]) * static_cast<double>(y[i]);
      right += static_cast<double>(x[i]) * static_cast<double>(ty[i]);
    }
    EXPECT_NEAR(left, right, 1e-2);
    EXPECT_GT(std::abs(left), 1);
  }
}

// For D(x) = w·x and what T makes of x: mean((w·δ)²), δ = x − T x, with derivative 2·mean((w·δ)·δ).
TEST(Consistency, LinearCriticHasClosedForm) {
  const std::int64_t n = 6, size = 8 * 8 * 2;
  const std::vector<float> x = random_numbers(n * size, 1, -1, 1), u = random_numbers(2 * n * augment_numbers, 2, 0, 1);
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    Network d(store, "d", Sequential{Flatten{}, Linear{1}}, Shape{n, 8, 8, 2});
    Graph graph;
    Context context(graph, store, Mode::training);
    const Value real = graph.input("x", f32({n, 8, 8, 2})), numbers = graph.input("u", f32({2 * n, augment_numbers}));
    const Value one = constant(graph, 1, f32({}));
    const Augmentation kinds{true, true, true};
    Judge judge(d, {.augment = kinds, .numbers = numbers, .probability = one});
    const std::vector<ActivePenalty> active = {{Penalty::Kind::consistency, constant(graph, 3, f32({}))}};
    const DiscriminatorPass pass = discriminate(context, judge, {real, constant_like(real, 0)}, active);
    graph.output("penalty", pass.penalty);
    graph.output("dw", grad(pass.penalty, d.parameters(context))[0]);
    graph.output("delta", real - augment(real, slice(numbers, 0, 0, n), one, kinds));
    Program program = compile(device, graph);
    program.upload("u", u.data(), u.size() * sizeof(float));
    const std::vector<float> got = run(program, "penalty", {{"x", x}});
    const std::vector<float> delta = program.floats("delta"), dw = program.floats("dw"), w = stored(store, d.weights());
    double want = 0;
    std::vector<double> want_dw(static_cast<std::size_t>(size), 0);
    for (std::int64_t i = 0; i < n; ++i) {
      const float* sample = delta.data() + i * size;
      double product = 0;
      for (std::int64_t k = 0; k < size; ++k)
        product += static_cast<double>(w[static_cast<std::size_t>(k)]) * static_cast<double>(sample[k]);
      want += 3 * product * product / static_cast<double>(n);
      for (std::int64_t k = 0; k < size; ++k)
        want_dw[static_cast<std::size_t>(k)] += 6 * product * static_cast<double>(sample[k]) / static_cast<double>(n);
    }
    EXPECT_NEAR(got[0], want, 1e-5 * want);
    for (std::size_t k = 0; k < want_dw.size(); ++k) EXPECT_NEAR(dw[k], want_dw[k], 2e-5) << k;
  }
}

// Neighbours become the channels of one image, and R1 of D(x) = w·pack is ½‖w‖².
TEST(Packs, LinearCriticHasClosedForm) {
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    Network d(store, "d", Sequential{Flatten{}, Linear{1}}, Shape{2, 2, 1, 6});
    Graph graph;
    Context context(graph, store, Mode::training);
    const Value x = graph.input("x", f32({4, 2, 1, 3}));
    graph.output("packed", pack_samples(x, 2));
    graph.output("points", pack_samples(reshape(x, {4, 6}), 2));
    graph.output("r1", zero_centred_penalty(Judge(d, {.pack = 2})(context, x), x));
    Program program = compile(device, graph);
    Floats counting(24);
    for (std::size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<float>(i);
    EXPECT_EQ(run(program, "packed", {{"x", counting}}),
              (Floats{0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11, 12, 13, 14, 18, 19, 20, 15, 16, 17, 21, 22, 23}));
    EXPECT_EQ(program.floats("points"), counting);
    double square = 0;
    for (float w : stored(store, d.weights())) square += static_cast<double>(w) * static_cast<double>(w);
    EXPECT_NEAR(program.floats("r1")[0], square / 2, 1e-6);  // the bias begins at 0
  }
}

/// Largest singular value of w [rows, columns], by many iterations.
double norm_of(const std::vector<float>& w, std::size_t rows, std::size_t columns) {
  std::vector<double> v(columns, 1);
  double norm = 0;
  for (int step = 0; step < 500; ++step) {
    std::vector<double> y(rows, 0), next(columns, 0);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j) y[i] += static_cast<double>(w[i * columns + j]) * v[j];
    double square = 0;
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j) next[j] += static_cast<double>(w[i * columns + j]) * y[i];
    for (double x : next) square += x * x;
    norm = std::sqrt(std::sqrt(square));
    for (std::size_t j = 0; j < columns; ++j) v[j] = next[j] / std::sqrt(square);
  }
  return norm;
}

// After some passes the normalised weights have a largest singular value of 1, layer by layer, and a pass of all layers
// costs two launches beside the layers' own.
TEST(SpectralNorm, OfANetworkTendsToOne) {
  const Model model = Sequential{Conv2d{.out_channels = 6, .kernel = {3}, .spectral_norm = true},
                                 LeakyReLU{0.2f},
                                 Flatten{},
                                 Linear{.out_features = 40, .spectral_norm = true},
                                 LeakyReLU{0.2f},
                                 Linear{.out_features = 1, .spectral_norm = true}};
  const Model plain = Sequential{
      Conv2d{.out_channels = 6, .kernel = {3}}, LeakyReLU{0.2f}, Flatten{}, Linear{40}, LeakyReLU{0.2f}, Linear{1}};
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    Network d(store, "d", model, Shape{2, 6, 6, 2}), other(store, "plain", plain, Shape{2, 6, 6, 2});
    Graph graph, plain_graph;
    Context context(graph, store, Mode::training);
    const Value y = d(context, graph.input("x", f32({2, 6, 6, 2})));
    graph.output("y", y);
    graph.output("dw", grad(sum(y), d.parameters(context))[0]);
    const Value z = other(Context(plain_graph, store, Mode::training), plain_graph.input("x", f32({2, 6, 6, 2})));
    plain_graph.output("y", z);
    plain_graph.output("dw", grad(sum(z), other.parameters(Context(plain_graph, store, Mode::training)))[0]);
    Program program = compile(device, graph), plain_program = compile(device, plain_graph);
    // The first layer's gradient alone is asked for: one op of its own.
    EXPECT_EQ(program.launches() - plain_program.launches(), 3);
    const std::vector<float> x(2 * 6 * 6 * 2, 0.3f);
    program.upload("x", x.data(), x.size() * sizeof(float));
    const auto vector_of = [&](const char* name) {
      const Variable& variable = *store.find(name);
      std::vector<float> values(static_cast<std::size_t>(variable.type.shape.elements()));
      store.download(variable, values.data());
      return values;
    };
    const std::vector<float> before = vector_of("d/3_linear/w_u");
    for (int step = 0; step < 300; ++step) program.run();
    EXPECT_NE(before, vector_of("d/3_linear/w_u"));
    const std::vector<float> weights = vector_of("d/weights");
    for (const Network::Parameter& p : d.parameter_list()) {
      if (!p.spectral_norm) continue;
      const auto rows = static_cast<std::size_t>(p.shape[0]),
                 columns = static_cast<std::size_t>(p.shape.elements()) / rows;
      Graph check;
      const Value w = slice(check.read(*store.find("d/weights")), 0, p.offset, p.offset + p.shape.elements());
      const PowerIteration iteration = power_iteration(reshape(w, p.shape), check.read(*store.find(p.name + "_u")));
      check.output("w", spectral_normalise(reshape(w, p.shape), iteration));
      check.output("sigma", iteration.sigma);
      Program checked = compile(device, check);
      checked.run();
      const auto first = weights.begin() + p.offset;
      EXPECT_NEAR(checked.floats("sigma")[0], norm_of({first, first + p.shape.elements()}, rows, columns), 1e-4)
          << p.name;
      EXPECT_NEAR(norm_of(checked.floats("w"), rows, columns), 1, 1e-4) << p.name;
    }
  }
}

// Sampling reads u and does not move it.
TEST(SpectralNorm, StaysInInference) {
  Device& device = devices()[0];
  VariableStore store(device, 1);
  Network d(store, "d", Sequential{Linear{.out_features = 5, .spectral_norm = true}}, Shape{2, 3});
  Graph graph;
  graph.output("y", d(Context(graph, store, Mode::inference), graph.input("x", f32({2, 3}))));
  EXPECT_TRUE(graph.assigns().empty());
}

// Every group of neighbours has a number of its own; statistic groups do not mix.
TEST(MinibatchStddev, IsTheMeanDeviationOfAGroup) {
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    const std::vector<float> x = random_numbers(8 * 3, 5, -1, 1);
    Network d(store, "d", Sequential{MinibatchStddev{.group_size = 4}}, Shape{4, 3});
    Graph graph;
    graph.output("y", d(Context(graph, store, Mode::training).groups(2), graph.input("x", f32({8, 3}))));
    Program program = compile(device, graph);
    program.upload("x", x.data(), x.size() * sizeof(float));
    program.run();
    const std::vector<float> y = program.floats("y");
    ASSERT_EQ(y.size(), 8u * 4);
    for (std::size_t group = 0; group < 2; ++group) {
      double want = 0;
      for (std::size_t f = 0; f < 3; ++f) {
        double mean = 0, square = 0;
        for (std::size_t i = 4 * group; i < 4 * group + 4; ++i) mean += static_cast<double>(x[3 * i + f]) / 4;
        for (std::size_t i = 4 * group; i < 4 * group + 4; ++i)
          square += std::pow(static_cast<double>(x[3 * i + f]) - mean, 2) / 4;
        want += std::sqrt(square + 1e-8) / 3;
      }
      for (std::size_t i = 4 * group; i < 4 * group + 4; ++i) {
        EXPECT_NEAR(y[4 * i + 3], want, 1e-6);
        for (std::size_t f = 0; f < 3; ++f) EXPECT_EQ(y[4 * i + f], x[3 * i + f]);
      }
    }
    EXPECT_THROW(Network(store, "e", Sequential{MinibatchStddev{.group_size = 4}}, Shape{6, 3}), ShapeError);
  }
}

}  // namespace
}  // namespace ganforge
