// Every algorithm for convolutions on CUDA against plain loops in double. A float32 sum of k products, in any order, is
// within k·ε of the sum of their magnitudes; that is the tolerance. TF32 drops 13 bits of both operands, which adds
// 2⁻⁹, bfloat16 rounds them to 8 bits, which adds 2⁻⁷.
#include <ganforge/config.h>

#if GANFORGE_CUDA

#include "kernels/conv2d.h"
#include "kernels/conv_algorithms.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace ganforge {
namespace {

using kernel_test::activated;
using kernel_test::Array;
using kernel_test::slope_at;
using Values = std::vector<float>;

constexpr ConvDirection directions[] = {ConvDirection::forward, ConvDirection::input, ConvDirection::weight};

/// Sizes of y follow from `bottom` and `right`.
ConvShape conv(ConvShape c, std::int64_t bottom, std::int64_t right) {
  c.p = (c.h + c.pad_top + bottom - (c.r - 1) * c.dilation_h - 1) / c.stride_h + 1;
  c.q = (c.w + c.pad_left + right - (c.s - 1) * c.dilation_w - 1) / c.stride_w + 1;
  return c;
}
/// 4×4 stride 2 padding 1.
ConvShape halving(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t k) {
  return conv({.n = n,
               .h = h,
               .w = w,
               .c = c,
               .k = k,
               .r = 4,
               .s = 4,
               .p = 0,
               .q = 0,
               .stride_h = 2,
               .stride_w = 2,
               .pad_top = 1,
               .pad_left = 1},
              1, 1);
}

struct Result {
  std::vector<double> value, magnitude;
  std::int64_t terms = 0;
};

class ConvCuda : public kernel_test::CudaTest {
 protected:
  int multiprocessors = 0;  // to pretend; 0: the card's
  Precision precision = Precision::fp32;

  CudaStream stream() {
    CudaStream stream = CudaTest::stream(multiprocessors);
    stream.precision = precision;
    return stream;
  }

  struct Operands {
    Values x, w, y, bias, mask;
    Result result;
  };

  static std::int64_t channels(ConvDirection direction, const ConvShape& c) {
    return direction == ConvDirection::input ? c.c : c.k;
  }
  static std::int64_t size(ConvDirection direction, const ConvShape& c) {
    return direction == ConvDirection::forward ? c.y_size()
           : direction == ConvDirection::input ? c.x_size()
                                               : c.w_size();
  }

  Operands operands(ConvDirection direction, const ConvShape& c) {
    Operands o{random(c.x_size()),         random(c.w_size()),
               random(c.y_size()),         random(channels(direction, c)),
               random(size(direction, c)), {}};
    const auto wide = [](const Values& values, bool magnitude) {
      std::vector<double> all(values.begin(), values.end());
      if (magnitude) {
        for (double& v : all) v = std::abs(v);
      }
      return all;
    };
    o.result.value.resize(size(direction, c));
    o.result.magnitude.resize(size(direction, c));
    for (bool magnitude : {false, true}) {
      conv2d_direct<double>(CpuStream{}, direction, c, wide(o.x, magnitude).data(), wide(o.w, magnitude).data(),
                            wide(o.y, magnitude).data(), (magnitude ? o.result.magnitude : o.result.value).data());
    }
    o.result.terms = direction == ConvDirection::forward ? c.r * c.s * c.c / c.groups
                     : direction == ConvDirection::input ? c.r * c.s * c.k / c.groups
                                                         : c.n * c.p * c.q;
    return o;
  }

  Values run(const ConvPlan<CudaStream>& plan, ConvDirection direction, const ConvShape& c, const Operands& o,
             int shift = 0) {
    const auto shifted = [shift](Values values) {
      values.insert(values.begin(), shift, 5.0f);
      return values;
    };
    Array<float> x(*device, shifted(o.x)), w(*device, shifted(o.w)), y(*device, shifted(o.y)),
        bias(*device, shifted(o.bias)), mask(*device, shifted(o.mask)), out(*device, shift + size(direction, c));
    Array<char> workspace(*device, static_cast<std::int64_t>(plan.workspace));
    const std::vector<unsigned> zeros(plan.tickets);
    Array<unsigned> tickets(*device, zeros);
    ConvArgs args{x.data() + shift,    w.data() + shift,    y.data() + shift, out.data() + shift,
                  bias.data() + shift, mask.data() + shift, workspace.data(), tickets.data()};
    (direction == ConvDirection::forward ? args.y : direction == ConvDirection::input ? args.x : args.w) = nullptr;
    plan.run(stream(), args);
    workspace.values();  // nothing beyond it
    EXPECT_EQ(tickets.values(), zeros);
    const Values all = out.values();
    return Values(all.begin() + shift, all.end());
  }

  /// No activation's slope is above one, so errors of its argument do not grow.
  void expect_near(const Values& got, const Operands& o, const ConvEpilogue& epilogue, std::int64_t channels,
                   const std::string& what) {
    const double products = precision == Precision::fp32 ? 0 : precision == Precision::tf32 ? 0x1p-9 : 0x1p-7;
    const double epsilon = std::numeric_limits<float>::epsilon();
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double bias = epilogue.bias ? o.bias[i % channels] : 0;
      double want = o.result.value[i] + bias;
      want = epilogue.mask ? want * slope_at(epilogue.act, o.mask[i]) : activated(epilogue.act, want);
      const double magnitude = (o.result.magnitude[i] + std::abs(bias)) *
                               (epilogue.mask ? 1 + std::abs(slope_at(epilogue.act, o.mask[i])) : 1);
      const double tolerance = products * magnitude + epsilon * ((o.result.terms + 4) * magnitude + 4 * std::abs(want));
      ASSERT_TRUE(std::abs(got[i] - want) <= tolerance)
          << what << " [" << i << "]: " << got[i] << " instead of " << want;
    }
  }

  /// All candidates, the plain loops too.
  std::vector<ConvPlan<CudaStream>> plans(ConvDirection direction, const ConvShape& c, const ConvEpilogue& epilogue) {
    std::vector<ConvPlan<CudaStream>> all = conv2d_candidates(stream(), direction, c, epilogue);
    all.push_back(plan_conv_direct(stream(), direction, c, epilogue));
    return all;
  }

  void check(ConvDirection direction, const ConvShape& c, const std::vector<ConvEpilogue>& epilogues = {{}}) {
    const Operands o = operands(direction, c);
    for (const ConvEpilogue& epilogue : epilogues) {
      for (const ConvPlan<CudaStream>& plan : plans(direction, c, epilogue)) {
        expect_near(run(plan, direction, c, o), o, epilogue, channels(direction, c),
                    plan.algorithm + ", " + describe(direction, c) + (epilogue.bias ? " bias" : "") +
                        (epilogue.mask ? " mask" : "") + " act " + std::to_string(int(epilogue.act.kind)));
      }
    }
  }
};

const Activation leaky{Activation::Kind::leaky_relu, 0.2f};
const std::vector<ConvEpilogue> epilogues = {{},
                                             {.bias = true},
                                             {.bias = true, .act = leaky},
                                             {.act = {Activation::Kind::tanh}},
                                             {.bias = true, .act = {Activation::Kind::sigmoid}},
                                             {.mask = true, .act = leaky},
                                             {.mask = true, .act = {Activation::Kind::tanh}},
                                             {.bias = true, .mask = true, .act = leaky}};

TEST_F(ConvCuda, AnyGeometry) {
  const std::vector<ConvShape> shapes = {
      conv({.n = 2, .h = 5, .w = 6, .c = 3, .k = 4, .r = 3, .s = 3, .p = 0, .q = 0, .pad_top = 1, .pad_left = 1}, 1, 1),
      conv({.n = 1, .h = 7, .w = 5, .c = 8, .k = 1, .r = 3, .s = 2, .p = 0, .q = 0, .stride_h = 3, .stride_w = 2}, 0,
           0),
      conv({.n = 2,
            .h = 9,
            .w = 8,
            .c = 4,
            .k = 8,
            .r = 3,
            .s = 3,
            .p = 0,
            .q = 0,
            .pad_top = 2,
            .pad_left = 2,
            .dilation_h = 2,
            .dilation_w = 2},
           2, 2),
      conv({.n = 2,
            .h = 6,
            .w = 6,
            .c = 8,
            .k = 12,
            .r = 3,
            .s = 3,
            .p = 0,
            .q = 0,
            .stride_h = 2,
            .stride_w = 2,
            .pad_top = 1,
            .pad_left = 1,
            .groups = 4},
           1, 1),
      conv({.n = 1, .h = 5, .w = 5, .c = 6, .k = 6, .r = 3, .s = 3, .p = 0, .q = 0, .groups = 6}, 0, 0),
      // More rows of padding above than below, and the other way round.
      conv({.n = 2,
            .h = 6,
            .w = 7,
            .c = 4,
            .k = 4,
            .r = 4,
            .s = 4,
            .p = 0,
            .q = 0,
            .stride_h = 2,
            .stride_w = 2,
            .pad_top = 2,
            .pad_left = 0},
           0, 3),
      conv({.n = 2, .h = 5, .w = 6, .c = 4, .k = 4, .r = 3, .s = 3, .p = 0, .q = 0, .pad_top = 0, .pad_left = 1}, 2, 0),
      // One column that no output sees.
      conv({.n = 1,
            .h = 6,
            .w = 7,
            .c = 64,
            .k = 3,
            .r = 4,
            .s = 4,
            .p = 0,
            .q = 0,
            .stride_h = 2,
            .stride_w = 2,
            .pad_top = 1,
            .pad_left = 1},
           1, 1)};
  for (const ConvShape& shape : shapes) {
    for (ConvDirection direction : directions) {
      check(direction, shape);
      const bool asymmetric = &shape == &shapes[5] || &shape == &shapes[6];
      EXPECT_EQ(bool(plan_conv_cudnn(stream(), direction, shape, {})), !asymmetric) << describe(direction, shape);
    }
  }
}

TEST_F(ConvCuda, HalvingOfEverySize) {
  for (std::int64_t c : {1, 3, 4, 8, 64}) {
    for (std::int64_t k : {1, 4, 8, 64}) {
      for (ConvDirection direction : directions) check(direction, halving(3, 4, 6, c, k));
    }
  }
  for (const ConvShape& shape :
       {halving(1, 4, 4, 20, 12), halving(70, 4, 4, 8, 8), halving(2, 16, 16, 3, 68), halving(2, 16, 12, 68, 3),
        halving(5, 8, 8, 36, 72), halving(1, 2, 2, 16, 16), halving(2, 34, 38, 2, 5), halving(2, 38, 34, 5, 2),
        halving(32, 4, 4, 64, 20), halving(33, 4, 6, 20, 64)}) {
    for (ConvDirection direction : directions) check(direction, shape);
  }
}

// Few multiprocessors: large tiles; many: small ones, whose sums several blocks share.
TEST_F(ConvCuda, HalvingOnTensorCores) {
  for (const Precision each : {Precision::tf32, Precision::bf16}) {
    precision = each;
    for (const int each_count : {1, 24, 132}) {
      multiprocessors = each_count;
      for (const ConvShape& shape : {halving(32, 4, 4, 64, 128), halving(3, 8, 4, 68, 36), halving(2, 6, 4, 7, 9),
                                     halving(40, 4, 6, 12, 260), halving(17, 2, 2, 132, 20)}) {
        for (ConvDirection direction : directions) check(direction, shape);
      }
      check(ConvDirection::forward, halving(2, 8, 8, 32, 72), epilogues);
      check(ConvDirection::input, halving(2, 8, 8, 72, 32), epilogues);
    }
  }
}

// On a card of one multiprocessor the larger tiles are cheapest: with K or C of 60 and 256 rows the largest in forward
// and input, with 128 and 64 rows the middle one.
TEST_F(ConvCuda, HalvingByEveryTile) {
  multiprocessors = 1;
  for (const ConvShape& shape : {halving(15, 8, 8, 12, 60), halving(15, 8, 8, 60, 12), halving(15, 8, 8, 3, 60),
                                 halving(7, 8, 8, 20, 60), halving(4, 8, 8, 60, 20)}) {
    for (ConvDirection direction : directions) check(direction, shape);
  }
}

TEST_F(ConvCuda, Ends) {
  const ConvShape last = {.n = 5, .h = 4, .w = 4, .c = 8, .k = 3, .r = 4, .s = 4, .p = 1, .q = 1};
  const ConvShape critic = {.n = 5, .h = 4, .w = 4, .c = 8, .k = 1, .r = 4, .s = 4, .p = 1, .q = 1};
  const ConvShape pixel = {.n = 2, .h = 3, .w = 5, .c = 8, .k = 12, .r = 1, .s = 1, .p = 3, .q = 5};
  for (const ConvShape& shape : {last, critic, pixel}) {
    EXPECT_EQ(plan_conv2d(stream(), ConvDirection::forward, shape, {}, {}).algorithm, "gemm");
    for (ConvDirection direction : directions) {
      check(direction, shape, direction == ConvDirection::weight ? std::vector<ConvEpilogue>{{}} : epilogues);
    }
  }
}

TEST_F(ConvCuda, Epilogues) {
  for (const ConvShape& shape :
       {halving(2, 4, 6, 8, 12), halving(2, 4, 4, 3, 8), halving(2, 6, 4, 8, 1),
        conv({.n = 2, .h = 4, .w = 5, .c = 4, .k = 6, .r = 3, .s = 3, .p = 0, .q = 0}, 0, 0)}) {
    check(ConvDirection::forward, shape, epilogues);
    check(ConvDirection::input, shape, epilogues);
  }
}

// On a small card each thread of the kernel that follows cuDNN has several elements.
TEST_F(ConvCuda, LargeEpilogue) {
  multiprocessors = 1;
  for (std::int64_t k : {12, 6}) {
    const ConvShape c = conv({.n = 2, .h = 24, .w = 24, .c = 4, .k = k, .r = 3, .s = 3, .p = 0, .q = 0}, 0, 0);
    check(ConvDirection::forward, c, {{.bias = true, .mask = true, .act = leaky}});
  }
}

// Views into a larger tensor start on four bytes, not on sixteen.
TEST_F(ConvCuda, UnalignedOperands) {
  for (const ConvShape& c : {halving(2, 4, 6, 8, 12), halving(2, 4, 4, 4, 8)}) {
    for (ConvDirection direction : directions) {
      const ConvEpilogue epilogue = {.bias = direction != ConvDirection::weight};
      const Operands o = operands(direction, c);
      for (const ConvPlan<CudaStream>& plan : plans(direction, c, epilogue)) {
        expect_near(run(plan, direction, c, o, 1), o, epilogue, channels(direction, c), plan.algorithm);
      }
    }
  }
}

// In a group every layer gets the bits that it has alone, and its bias the sum of y's channels.
TEST_F(ConvCuda, WeightGroup) {
  for (const Precision each : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    precision = each;
    const ConvDirection direction = ConvDirection::weight;
    const std::vector<ConvShape> shapes = {halving(33, 8, 8, 3, 20), halving(32, 4, 4, 64, 132),
                                           halving(3, 4, 6, 12, 8)};
    ConvPolicy own;
    own.mode = ConvMode::own;
    std::vector<ConvPlan<CudaStream>> plans;
    std::vector<Operands> all;
    std::vector<std::vector<Array<float>>> arrays;
    std::vector<Array<char>> workspaces;
    std::vector<Array<unsigned>> tickets;
    std::vector<ConvGroupMember> members;
    for (const ConvShape& c : shapes) {
      plans.push_back(plan_conv2d(stream(), direction, c, {}, own));
      const ConvPlan<CudaStream>& plan = plans.back();
      ASSERT_TRUE(plan.group);
      EXPECT_EQ(plan.run_group, plans[0].run_group);
      all.push_back(operands(direction, c));
      std::vector<Array<float>>& a = arrays.emplace_back();
      a.emplace_back(*device, all.back().x), a.emplace_back(*device, all.back().y);
      a.emplace_back(*device, c.w_size()), a.emplace_back(*device, c.k);
      workspaces.emplace_back(*device, static_cast<std::int64_t>(plan.workspace));
      tickets.emplace_back(*device, std::vector<unsigned>(plan.tickets));
      members.push_back({plan.group.get(),
                         {a[0].data(), nullptr, a[1].data(), a[2].data(), nullptr, nullptr, workspaces.back().data(),
                          tickets.back().data(), a[3].data()}});
    }
    plans[0].run_group(stream(), members);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const ConvShape& c = shapes[i];
      EXPECT_EQ(arrays[i][2].values(), run(plans[i], direction, c, all[i]));
      workspaces[i].values();
      const Values got = arrays[i][3].values();
      std::vector<double> sum(c.k), magnitude(c.k);
      for (std::size_t j = 0; j < all[i].y.size(); ++j) {
        sum[j % c.k] += all[i].y[j];
        magnitude[j % c.k] += std::abs(all[i].y[j]);
      }
      for (std::int64_t k = 0; k < c.k; ++k) EXPECT_NEAR(got[k], sum[k], 1e-6 * magnitude[k]) << k;
    }
  }
}

TEST_F(ConvCuda, NoImages) {
  for (ConvDirection direction : directions) check(direction, halving(0, 4, 4, 8, 8));
}

TEST_F(ConvCuda, Modes) {
  const ConvShape c = halving(4, 4, 4, 8, 8);
  const auto algorithm = [&](ConvMode mode, const std::string& chosen = "", const std::string& name = "") {
    ConvPolicy policy;
    policy.mode = mode;
    if (!chosen.empty()) policy.chosen[chosen] = name;
    return plan_conv2d(stream(), ConvDirection::forward, c, {}, policy).algorithm;
  };
  EXPECT_EQ(algorithm(ConvMode::library), "cuDNN");
  EXPECT_EQ(algorithm(ConvMode::own), "sub-pixel");
  EXPECT_EQ(algorithm(ConvMode::direct), "direct");
  EXPECT_EQ(algorithm(ConvMode::automatic), "sub-pixel");
  EXPECT_EQ(algorithm(ConvMode::automatic, describe(ConvDirection::forward, c), "direct"), "direct");
  EXPECT_EQ(algorithm(ConvMode::automatic, describe(ConvDirection::input, c), "direct"), "sub-pixel");
  EXPECT_EQ(plan_conv2d(stream(), ConvDirection::input, halving(4, 4, 4, 3, 8), {}, {}).algorithm, "few channels");
}

TEST_F(ConvCuda, ReplayIsTheSame) {
  const ConvShape c = halving(6, 8, 8, 16, 24);
  for (int i = 0; i < 6; ++i) {
    const ConvDirection direction = directions[i % 3];
    precision = i < 3 ? Precision::fp32 : Precision::tf32;
    const ConvEpilogue epilogue = {.bias = direction != ConvDirection::weight};
    for (const ConvPlan<CudaStream>& plan : plans(direction, c, epilogue)) {
      Array<float> x(*device, random(c.x_size())), w(*device, random(c.w_size())), y(*device, random(c.y_size())),
          bias(*device, random(24)), out(*device, size(direction, c));
      Array<char> workspace(*device, static_cast<std::int64_t>(plan.workspace));
      Array<unsigned> tickets(*device, std::vector<unsigned>(plan.tickets));
      const auto work = [&] {
        plan.run(stream(),
                 {x.data(), w.data(), y.data(), out.data(), bias.data(), nullptr, workspace.data(), tickets.data()});
      };
      work();
      const Values eager = out.values();
      auto captured = device->capture(work);
      device->clear(out.data(), eager.size() * sizeof(float));
      captured->launch();
      EXPECT_EQ(out.values(), eager) << plan.algorithm;
    }
  }
}

}  // namespace
}  // namespace ganforge

#endif
