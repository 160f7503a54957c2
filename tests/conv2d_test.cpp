#include "kernels/conv2d.h"

#include "kernels/conv_algorithms.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>

// The CPU's kernels.
namespace ganforge {
namespace {

using Kind = Activation::Kind;
using kernel_test::Array;
using kernel_test::describe;

/// Bottom and right padding are what makes y this large.
ConvShape shape_of(std::int64_t n, std::array<std::int64_t, 3> x, std::array<std::int64_t, 3> w,
                   std::array<std::int64_t, 2> stride = {1, 1}, Padding2d pad = {},
                   std::array<std::int64_t, 2> dilation = {1, 1}, std::int64_t groups = 1) {
  ConvShape s{n, x[0], x[1], x[2], w[0], w[1], w[2], 0, 0};
  s.stride_h = stride[0], s.stride_w = stride[1];
  s.pad_top = pad.top, s.pad_left = pad.left;
  s.dilation_h = dilation[0], s.dilation_w = dilation[1];
  s.groups = groups;
  s.p = (s.h + pad.top + pad.bottom - s.dilation_h * (s.r - 1) - 1) / s.stride_h + 1;
  s.q = (s.w + pad.left + pad.right - s.dilation_w * (s.s - 1) - 1) / s.stride_w + 1;
  return s;
}

/// Image height, width, channels; filters, their height and width; stride; padding; dilation; groups.
std::vector<ConvShape> shapes() {
  return {
      shape_of(3, {6, 5, 4}, {5, 3, 3}),
      shape_of(19, {7, 8, 5}, {32, 3, 3}, {1, 1}, 1),              // two sizes of parts
      shape_of(2, {9, 10, 32}, {33, 3, 2}, {3, 3}, {1, 0, 0, 2}),  // asymmetric, sizes that the stride does not divide
      shape_of(2, {9, 7, 3}, {16, 3, 3}, {2, 1}, {2, 1, 1, 0}),    //
      shape_of(2, {11, 11, 4}, {6, 3, 3}, {2, 2}, 2, {2, 2}),      // dilation
      shape_of(2, {9, 12, 16}, {32, 3, 2}, {1, 1}, {2, 2}, {2, 1}),   //
      shape_of(3, {8, 8, 8}, {12, 4, 4}, {2, 2}, 1, {1, 1}, 2),       // groups
      shape_of(2, {8, 8, 32}, {64, 3, 3}, {1, 1}, 1, {1, 1}, 4),      //
      shape_of(2, {7, 7, 32}, {32, 3, 3}, {1, 1}, 1, {1, 1}, 32),     // depthwise
      shape_of(2, {1, 64, 1}, {16, 1, 25}, {1, 4}, {0, 0, 11, 10}),   // one-dimensional
      shape_of(2, {1, 40, 16}, {32, 1, 25}, {1, 4}, {0, 0, 12, 12}),  //
      shape_of(19, {8, 8, 1}, {16, 4, 4}, {2, 2}, 1),                 // few channels
      shape_of(3, {12, 8, 3}, {33, 4, 4}, {2, 2}, 1),                 //
      shape_of(2, {14, 14, 4}, {64, 4, 4}, {2, 2}, 1),                //
      shape_of(2, {7, 9, 2}, {7, 4, 4}, {2, 2}, {1, 2, 0, 1}),        //
      shape_of(2, {9, 7, 3}, {20, 6, 2}, {3, 1}, {4, 2, 1, 0}),       //
      shape_of(2, {8, 8, 32}, {100, 4, 4}, {2, 2}, 1),                // filters that no block divides
      shape_of(4, {8, 8, 64}, {128, 4, 4}, {2, 2}, 1),                //
      shape_of(5, {4, 4, 32}, {1, 4, 4}),                             // ends: a filter as large as the image
      shape_of(5, {4, 4, 32}, {100, 4, 4}),                           //
      shape_of(3, {5, 6, 32}, {17, 1, 1}),                            // pixels
      shape_of(3, {5, 6, 3}, {17, 1, 1}, {2, 2}),                     //
      shape_of(1, {1, 1, 1}, {1, 1, 1}),
  };
}

std::vector<float> random_values(std::int64_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = uniform(engine);
  return values;
}

double activate(Activation act, double x) {
  if (act.kind == Kind::leaky_relu) return x > 0 ? x : act.negative_slope * x;
  if (act.kind == Kind::tanh) return std::tanh(x);
  if (act.kind == Kind::sigmoid) return 1 / (1 + std::exp(-x));
  return x;
}
double derivative(Activation act, double y) {
  if (act.kind == Kind::leaky_relu) return y > 0 ? 1 : act.negative_slope;
  if (act.kind == Kind::tanh) return 1 - y * y;
  if (act.kind == Kind::sigmoid) return y * (1 - y);
  return 1;
}

/// A convolution with its operands and what is expected of it.
struct Case {
  ConvDirection direction;
  ConvShape shape;
  ConvEpilogue epilogue;
  std::vector<float> x, w, y, bias, mask;  // of x, w and y, the direction's result is empty
  std::vector<double> want;
  // Products of numbers in [−1, 1], added one by one: the errors of growing sums walk. Winograd's are relative to the
  // largest of the results, some √products.
  double rounding, transforms;

  Case(ConvDirection d, const ConvShape& s, const ConvEpilogue& e) : direction(d), shape(s), epilogue(e) {
    if (d != ConvDirection::input) x = random_values(s.x_size(), 1);
    if (d != ConvDirection::weight) w = random_values(s.w_size(), 2);
    if (d != ConvDirection::forward) y = random_values(s.y_size(), 3);
    const std::int64_t channels = d == ConvDirection::input ? s.c : s.k;
    if (e.bias) bias = random_values(channels, 4);
    if (e.mask) mask = random_values(size(), 5);
    want.resize(static_cast<std::size_t>(size()));
    const std::vector<double> xd(x.begin(), x.end()), wd(w.begin(), w.end()), yd(y.begin(), y.end());
    conv2d_direct<double>(CpuStream{}, d, s, xd.data(), wd.data(), yd.data(), want.data());
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (e.bias) want[i] += static_cast<double>(bias[i % static_cast<std::size_t>(channels)]);
      want[i] = e.mask ? want[i] * derivative(e.act, static_cast<double>(mask[i])) : activate(e.act, want[i]);
    }
    const double products = static_cast<double>(d == ConvDirection::forward ? s.r * s.s * s.c / s.groups
                                                : d == ConvDirection::input ? s.r * s.s * s.k / s.groups
                                                                            : s.n * s.p * s.q);
    rounding = 1e-6 + 1e-6 * std::sqrt(products) + 1e-7 * products;
    transforms = 3e-5 * std::sqrt(products);
  }

  double tolerance(const ConvPlan<CpuStream>& plan) const {
    return plan.algorithm.starts_with("winograd") ? rounding + transforms : rounding;
  }

  std::int64_t size() const {
    return direction == ConvDirection::forward ? shape.y_size()
           : direction == ConvDirection::input ? shape.x_size()
                                               : shape.w_size();
  }

  std::vector<float> run(Device& device, const ConvPlan<CpuStream>& plan) const {
    const Array<float> in_x(device, x), in_w(device, w), in_y(device, y), in_bias(device, bias), in_mask(device, mask);
    const Array<float> out(device, size());
    const Array<unsigned char> workspace(device, std::vector<unsigned char>(plan.workspace, 0xff));  // NaN
    const auto pointer = [](const Array<float>& array, const std::vector<float>& values) {
      return values.empty() ? nullptr : array.data();
    };
    ConvArgs args{pointer(in_x, x),       pointer(in_w, w),       pointer(in_y, y), out.data(),
                  pointer(in_bias, bias), pointer(in_mask, mask), workspace.data()};
    plan.run(std::get<CpuStream>(device.stream()), args);
    workspace.values();
    std::vector<float> first = out.values();
    plan.run(std::get<CpuStream>(device.stream()), args);
    EXPECT_EQ(first, out.values()) << "a second run";
    return first;
  }
};

const ConvDirection directions[] = {ConvDirection::forward, ConvDirection::input, ConvDirection::weight};

std::vector<ConvPlan<CpuStream>> plans(const CpuStream& stream, const Case& c) {
  auto all = conv2d_candidates(stream, c.direction, c.shape, c.epilogue);
  if (all.empty() || all.back().algorithm != "direct")
    all.push_back(plan_conv_direct(stream, c.direction, c.shape, c.epilogue));
  return all;
}

/// What a loop over six indices says: the definition itself.
TEST(Conv2d, DirectIsTheDefinition) {
  for (const ConvShape& s : shapes()) {
    const std::int64_t in = s.c / s.groups, filters = s.k / s.groups;
    const std::vector<float> xf = random_values(s.x_size(), 1), wf = random_values(s.w_size(), 2),
                             yf = random_values(s.y_size(), 3);
    const std::vector<double> x(xf.begin(), xf.end()), w(wf.begin(), wf.end()), y(yf.begin(), yf.end());
    std::vector<double> want[3] = {std::vector<double>(y.size()), std::vector<double>(x.size()),
                                   std::vector<double>(w.size())};
    for (std::int64_t row = 0; row < s.n * s.p * s.q; ++row) {
      const std::int64_t n = row / s.q / s.p, p = row / s.q % s.p, q = row % s.q;
      for (std::int64_t i = 0; i < s.w_size(); ++i) {
        const std::int64_t k = i / in / s.s / s.r;
        const std::int64_t h = p * s.stride_h - s.pad_top + i / in / s.s % s.r * s.dilation_h;
        const std::int64_t column = q * s.stride_w - s.pad_left + i / in % s.s * s.dilation_w;
        if (h < 0 || h >= s.h || column < 0 || column >= s.w) continue;
        const auto xi = static_cast<std::size_t>(((n * s.h + h) * s.w + column) * s.c + k / filters * in + i % in);
        const auto wi = static_cast<std::size_t>(i), yi = static_cast<std::size_t>(row * s.k + k);
        want[0][yi] += x[xi] * w[wi];
        want[1][xi] += y[yi] * w[wi];
        want[2][wi] += x[xi] * y[yi];
      }
    }
    for (const ConvDirection d : directions) {
      const std::vector<double>& wanted = want[static_cast<int>(d)];
      std::vector<double> got(wanted.size(), 113.0);
      conv2d_direct<double>(CpuStream{}, d, s, x.data(), w.data(), y.data(), got.data());
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 1e-11) << describe(d, s) << " " << i;
    }
  }
}

TEST(Conv2d, EveryAlgorithmOnEveryDevice) {
  for (Device& device : kernel_test::devices()) {
    const auto* stream = std::get_if<CpuStream>(&device.stream());
    if (!stream) continue;
    for (const ConvShape& s : shapes()) {
      for (const ConvDirection d : directions) {
        const Case c(d, s, {});
        for (const auto& plan : plans(*stream, c)) {
          const std::string what = plan.algorithm + " " + describe(d, s) + ", " + describe(device);
          kernel_test::expect_close(c.run(device, plan), c.want, 0, c.tolerance(plan), what);
        }
      }
    }
  }
}

TEST(Conv2d, Epilogues) {
  const ConvEpilogue epilogues[] = {{.bias = true},
                                    {.bias = true, .act = {Kind::leaky_relu, 0.2f}},
                                    {.act = {Kind::tanh}},
                                    {.bias = true, .act = {Kind::tanh}},
                                    {.bias = true, .act = {Kind::sigmoid}},
                                    {.mask = true, .act = {Kind::leaky_relu, 0.2f}},
                                    {.mask = true, .act = {Kind::tanh}},
                                    {.bias = true, .mask = true, .act = {Kind::sigmoid}}};
  for (const int threads : {1, 3}) {
    Device device = Device::cpu(threads);
    const auto& stream = std::get<CpuStream>(device.stream());
    for (const ConvShape& s : shapes()) {
      for (const ConvDirection d : {ConvDirection::forward, ConvDirection::input}) {
        for (const ConvEpilogue& epilogue : epilogues) {
          const Case c(d, s, epilogue);
          for (const auto& plan : plans(stream, c))
            kernel_test::expect_close(c.run(device, plan), c.want, 0, c.tolerance(plan),
                                      plan.algorithm + " " + describe(d, s));
        }
      }
    }
  }
}

TEST(Conv2d, ThreadsDoNotChangeBits) {
  Device one = Device::cpu(1), two = Device::cpu(2);
  for (const ConvShape& s : shapes()) {
    for (const ConvDirection d : directions) {
      const bool weight = d == ConvDirection::weight;
      const Case c(d, s, weight ? ConvEpilogue{} : ConvEpilogue{.bias = true, .act = {Kind::leaky_relu, 0.2f}});
      const auto with_one = plans(std::get<CpuStream>(one.stream()), c);
      const auto with_two = plans(std::get<CpuStream>(two.stream()), c);
      ASSERT_EQ(with_one.size(), with_two.size());
      for (std::size_t i = 0; i < with_one.size(); ++i) {
        EXPECT_EQ(with_one[i].algorithm, with_two[i].algorithm);
        EXPECT_EQ(c.run(one, with_one[i]), c.run(two, with_two[i])) << with_one[i].algorithm << " " << describe(d, s);
      }
    }
  }
}

ConvPolicy only(ConvMode mode) {
  ConvPolicy policy;
  policy.mode = mode;
  return policy;
}

std::ptrdiff_t threads_of_this_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

/// oneDNN was built with OpenMP, whose threads would spin beside those of the team.
TEST(Conv2d, TheLibraryStartsNoThreads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(4);
  for (const int threads : {1, 2}) {
    Device device = Device::cpu(threads);
    const std::ptrdiff_t running = threads_of_this_process();
    std::vector<ConvShape> some = shapes();
    some.push_back(shape_of(20, {16, 16, 32}, {32, 3, 3}, {1, 1}, 1));
    for (const ConvShape& s : some) {
      for (const ConvDirection d : directions) {
        const auto plan = plan_conv_onednn(std::get<CpuStream>(device.stream()), d, s, {});
        if (plan) Case(d, s, {}).run(device, plan);
      }
    }
    EXPECT_EQ(threads_of_this_process(), running);
    EXPECT_EQ(omp_get_max_threads(), 4) << "the application's setting";
  }
  omp_set_num_threads(before);
}

std::string algorithm(ConvDirection d, const ConvShape& s, const ConvPolicy& policy) {
  return plan_conv2d(CpuStream{}, d, s, {}, policy).algorithm;
}

TEST(Conv2d, ModesChooseWhatTheySay) {
  const ConvShape end = shape_of(8, {4, 4, 32}, {1, 4, 4}), middle = shape_of(4, {8, 8, 32}, {48, 3, 3}, {1, 1}, 1);
  for (const ConvDirection d : directions) {
    EXPECT_EQ(algorithm(d, end, {}), "gemm");
    EXPECT_EQ(algorithm(d, end, only(ConvMode::own)), "gemm");
    EXPECT_EQ(algorithm(d, end, only(ConvMode::library)), "oneDNN");
    EXPECT_EQ(algorithm(d, end, only(ConvMode::direct)), "direct");
    EXPECT_EQ(algorithm(d, middle, {}), "oneDNN");
    EXPECT_EQ(algorithm(d, middle, only(ConvMode::own)), "oneDNN") << "none of ganforge's own: the next one";
    EXPECT_EQ(algorithm(d, middle, only(ConvMode::direct)), "direct");
  }
}

TEST(Conv2d, TheRule) {
  const ConvShape first = shape_of(4, {64, 64, 3}, {64, 4, 4}, {2, 2}, 1),
                  small = shape_of(4, {28, 28, 1}, {64, 4, 4}, {2, 2}, 1);
  EXPECT_EQ(algorithm(ConvDirection::forward, first, {}), "gather");
  EXPECT_EQ(algorithm(ConvDirection::input, first, {}), "gather");
  EXPECT_EQ(algorithm(ConvDirection::weight, first, {}), "gather");
  EXPECT_EQ(algorithm(ConvDirection::input, small, {}), "gather");
  EXPECT_EQ(algorithm(ConvDirection::weight, small, {}), "gather");
  for (const ConvDirection d : directions) {
    EXPECT_EQ(algorithm(d, small, only(ConvMode::own)), "gather");
    EXPECT_EQ(algorithm(d, small, only(ConvMode::library)), "oneDNN");
    const ConvShape middle = shape_of(64, {16, 16, 64}, {128, 4, 4}, {2, 2}, 1);
    EXPECT_TRUE(algorithm(d, middle, {}).starts_with("winograd"));
    EXPECT_TRUE(algorithm(d, middle, only(ConvMode::own)).starts_with("winograd"));
    EXPECT_EQ(algorithm(d, middle, only(ConvMode::library)), "oneDNN");
  }
  const ConvShape few = shape_of(4, {16, 16, 128}, {256, 4, 4}, {2, 2}, 1);
  EXPECT_EQ(algorithm(ConvDirection::forward, few, {}), "oneDNN") << "too few positions for the filters' transform";
  EXPECT_TRUE(algorithm(ConvDirection::weight, few, {}).starts_with("winograd"));
}

TEST(Conv2d, ChosenGoesBeforeTheMode) {
  const ConvShape end = shape_of(8, {4, 4, 32}, {1, 4, 4});
  ConvPolicy policy;
  policy.chosen[describe(ConvDirection::forward, end)] = "oneDNN";
  policy.chosen[describe(ConvDirection::input, end)] = "no such algorithm";
  policy.mode = ConvMode::direct;
  EXPECT_EQ(algorithm(ConvDirection::forward, end, policy), "oneDNN");
  EXPECT_EQ(algorithm(ConvDirection::input, end, policy), "direct");
  EXPECT_EQ(algorithm(ConvDirection::weight, end, policy), "direct");
}

TEST(Conv2d, TheRuleComesFirst) {
  for (const ConvShape& s : shapes()) {
    for (const ConvDirection d : directions) {
      const auto all = conv2d_candidates(CpuStream{}, d, s, {});
      ASSERT_FALSE(all.empty());
      EXPECT_EQ(all.front().algorithm, algorithm(d, s, {})) << describe(d, s);
      std::set<std::string> names;
      for (const auto& plan : all) EXPECT_TRUE(names.insert(plan.algorithm).second) << plan.algorithm << " twice";
    }
  }
}

TEST(Conv2d, NamesTellConvolutionsApart) {
  std::set<std::string> names;
  for (const ConvShape& s : shapes()) {
    for (const ConvDirection d : directions) EXPECT_TRUE(names.insert(describe(d, s)).second) << describe(d, s);
  }
  EXPECT_EQ(describe(ConvDirection::weight, shape_of(2, {9, 7, 8}, {16, 3, 5}, {2, 1}, {2, 1, 1, 0}, {1, 2}, 4)),
            "weight x 2×9×7×8 w 16×3×5×2 y 2×5×0×16 stride 2 1 pad 2 1 dilation 1 2 groups 4");
}

}  // namespace
}  // namespace ganforge
