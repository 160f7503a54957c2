// Winograd's convolutions against the definition in double precision.
#include "kernels/conv_algorithms.h"
#include "src/core/team.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <random>

namespace ganforge {
namespace {

using Kind = Activation::Kind;
using kernel_test::Array;
using Direction = ConvDirection;

constexpr Direction directions[] = {Direction::forward, Direction::input, Direction::weight};

ConvShape shape_of(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t k) {
  ConvShape s{.n = n, .h = h, .w = w, .c = c, .k = k, .r = 4, .s = 4, .p = h / 2, .q = w / 2};
  s.stride_h = s.stride_w = 2;
  s.pad_top = s.pad_left = 1;
  return s;
}

// Tiles of 2, 4 and 7, whole, in rows and columns, and partly outside; few filters and many; one and several blocks of
// tiles.
const ConvShape shapes[] = {shape_of(2, 4, 4, 32, 64),    shape_of(3, 8, 8, 64, 32),    shape_of(5, 16, 16, 32, 32),
                            shape_of(2, 14, 14, 32, 32),  shape_of(2, 8, 16, 32, 64),   shape_of(3, 14, 8, 64, 32),
                            shape_of(2, 6, 10, 32, 32),   shape_of(1, 28, 12, 32, 32),  shape_of(70, 8, 8, 32, 32),
                            shape_of(2, 2, 4, 32, 32),    shape_of(67, 14, 14, 32, 32), shape_of(3, 8, 8, 96, 160),
                            shape_of(130, 8, 6, 96, 128), shape_of(3, 14, 14, 64, 96)};

std::vector<float> random_values(std::int64_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = normal(engine);
  return values;
}

struct Problem {
  ConvShape shape;
  Direction direction;
  std::vector<float> x, w, y, bias, mask;
  std::vector<double> want;

  Problem(const ConvShape& s, Direction d)
      : shape(s),
        direction(d),
        x(random_values(s.x_size(), 1)),
        w(random_values(s.w_size(), 2)),
        y(random_values(s.y_size(), 3)),
        bias(random_values(channels(), 4)),
        mask(random_values(d == Direction::input ? s.x_size() : s.y_size(), 5)) {
    const std::vector<double> x64(x.begin(), x.end()), w64(w.begin(), w.end()), y64(y.begin(), y.end());
    want.resize(d == Direction::forward ? y.size() : d == Direction::input ? x.size() : w.size());
    conv2d_direct<double>(CpuStream{}, d, s, x64.data(), w64.data(), y64.data(), want.data());
  }
  std::int64_t channels() const { return direction == Direction::input ? shape.c : shape.k; }

  /// Runs it on the device; everything around the arrays and the workspace is guarded.
  std::vector<float> run(Device& device, const ConvEpilogue& epilogue) const {
    const CpuStream& stream = std::get<CpuStream>(device.stream());
    const auto plan = plan_conv_winograd(stream, direction, shape, epilogue);
    if (!plan) throw std::logic_error("no plan");
    Array<float> dx(device, x), dw(device, w), dy(device, y), db(device, bias), dm(device, mask);
    Array<float> out(device, static_cast<std::int64_t>(want.size()));
    Array<float> workspace(device, std::vector<float>(plan.workspace / sizeof(float), NAN));
    plan.run(stream, {.x = direction == Direction::input ? nullptr : dx.data(),
                      .w = direction == Direction::weight ? nullptr : dw.data(),
                      .y = direction == Direction::forward ? nullptr : dy.data(),
                      .out = out.data(),
                      .bias = epilogue.bias ? db.data() : nullptr,
                      .mask = epilogue.mask ? dm.data() : nullptr,
                      .workspace = workspace.data()});
    workspace.values();
    return out.values();
  }
};

/// The largest error, as a part of the largest value; infinite for NaN.
double error_of(const std::vector<float>& got, const std::vector<double>& want) {
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double off = std::abs(got[i] - want[i]);
    error = off >= error || std::isnan(off) ? off : error;
    if (std::isnan(off)) return INFINITY;
    largest = std::max(largest, std::abs(want[i]));
  }
  return error / largest;
}

/// Measured: 0.6e-6, 4e-6 and 17e-6 of the largest value, which grow with the tile.
double allowed(const ConvShape& shape) {
  const std::string name = plan_conv_winograd(CpuStream{}, Direction::forward, shape, {}).algorithm;
  return name == "winograd F(2,2)" ? 2e-6 : name == "winograd F(4,2)" ? 8e-6 : 2e-5;
}

template <class Check>
void on_every_cpu(const Check& check) {
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > detect_isa()) break;
    for (int threads : {1, 2}) {
      Device device = Device::cpu(threads);
      std::get<CpuStream>(device.stream()).isa = isa;
      SCOPED_TRACE(kernel_test::describe(device));
      check(device);
    }
  }
}

TEST(ConvWinograd, MatchesDouble) {
  for (const ConvShape& shape : shapes) {
    for (Direction direction : directions) {
      const Problem problem(shape, direction);
      on_every_cpu([&](Device& device) {
        EXPECT_LE(error_of(problem.run(device, {}), problem.want), allowed(shape)) << describe(direction, shape);
      });
    }
  }
}

TEST(ConvWinograd, Epilogues) {
  const ConvEpilogue epilogues[] = {{.bias = true},
                                    {.act = {Kind::tanh}},
                                    {.bias = true, .act = {Kind::leaky_relu, 0.2f}},
                                    {.mask = true, .act = {Kind::leaky_relu, 0.2f}},
                                    {.bias = true, .mask = true, .act = {Kind::tanh}}};
  for (const ConvShape& shape : {shape_of(3, 16, 8, 32, 64), shape_of(2, 14, 14, 64, 32), shape_of(2, 12, 4, 32, 32)}) {
    for (Direction direction : {Direction::forward, Direction::input}) {
      const Problem problem(shape, direction);
      for (const ConvEpilogue& epilogue : epilogues) {
        std::vector<double> want = problem.want;
        for (std::size_t i = 0; i < want.size(); ++i) {
          if (epilogue.bias) want[i] += problem.bias[i % static_cast<std::size_t>(problem.channels())];
          if (epilogue.mask) want[i] *= kernel_test::slope_at(epilogue.act, problem.mask[i]);
          if (!epilogue.mask) want[i] = kernel_test::activated(epilogue.act, want[i]);
        }
        on_every_cpu([&](Device& device) {
          // tanh is 1 at most where its argument, with the argument's error, is many; a mask may hide the largest
          // value.
          const double tolerance = !epilogue.mask && epilogue.act.kind == Kind::tanh ? 1e-3 : 2 * allowed(shape);
          EXPECT_LE(error_of(problem.run(device, epilogue), want), tolerance) << describe(direction, shape);
        });
      }
    }
  }
}

TEST(ConvWinograd, BitsDoNotDependOnThreads) {
  for (const ConvShape& shape :
       {shape_of(19, 16, 16, 32, 64), shape_of(9, 14, 14, 64, 32), shape_of(7, 4, 4, 64, 96)}) {
    for (Direction direction : directions) {
      const Problem problem(shape, direction);
      for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
        if (isa > detect_isa()) break;
        const auto run = [&](int threads) {
          Device device = Device::cpu(threads);
          std::get<CpuStream>(device.stream()).isa = isa;
          return problem.run(device, {});
        };
        const auto alone = run(1);
        for (int threads : {2, 3})
          EXPECT_EQ(run(threads), alone) << threads << " threads, " << describe(direction, shape);
      }
    }
  }
}

// A stream with more threads than the one it was planned for finds no memory for them, and uses as many as there is.
TEST(ConvWinograd, MoreThreadsThanPlanned) {
  const ConvShape shape = shape_of(5, 16, 16, 32, 32);
  const Problem problem(shape, Direction::forward);
  Device one = Device::cpu(1), three = Device::cpu(3);
  const CpuStream& planned = std::get<CpuStream>(one.stream());
  const auto plan = plan_conv_winograd(planned, Direction::forward, shape, {});
  Array<float> workspace(three, static_cast<std::int64_t>(plan.workspace / sizeof(float)));
  std::vector<float> out(problem.want.size());
  plan.run(std::get<CpuStream>(three.stream()), {.x = problem.x.data(),
                                                 .w = problem.w.data(),
                                                 .y = nullptr,
                                                 .out = out.data(),
                                                 .bias = nullptr,
                                                 .mask = nullptr,
                                                 .workspace = workspace.data()});
  workspace.values();
  EXPECT_EQ(out, problem.run(one, {}));
}

TEST(ConvWinograd, OtherShapesHaveNoPlan) {
  const ConvShape good = shape_of(2, 8, 8, 32, 64);
  const auto planned = [](const ConvShape& shape) {
    return static_cast<bool>(plan_conv_winograd(CpuStream{}, Direction::forward, shape, {}));
  };
  EXPECT_TRUE(planned(good));
  const auto rejects = [&](auto change) {
    ConvShape shape = good;
    change(shape);
    EXPECT_FALSE(planned(shape)) << describe(Direction::forward, shape);
  };
  rejects([](ConvShape& s) { s.c = 48; });
  rejects([](ConvShape& s) { s.k = 3; });
  rejects([](ConvShape& s) { s.r = s.s = 3; });
  rejects([](ConvShape& s) { s.stride_h = 1; });
  rejects([](ConvShape& s) { s.pad_top = 0; });
  rejects([](ConvShape& s) { s.pad_left = 2; });
  rejects([](ConvShape& s) { s.dilation_w = 2; });
  rejects([](ConvShape& s) { s.groups = 2; });
  rejects([](ConvShape& s) { s.h = 9; });
  rejects([](ConvShape& s) { s.p = 3; });
  rejects([](ConvShape& s) { s.n = 0; });
}

}  // namespace
}  // namespace ganforge
