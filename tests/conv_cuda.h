// What the tests of convolutions on CUDA share: operands, their result by plain loops in double, and what may lie
// between. A float32 sum of k products, in any order, is within k·ε of the sum of their magnitudes; that is the
// tolerance. TF32 drops 13 bits of both operands, which adds 2⁻⁹, bfloat16 rounds them to 8 bits, which adds 2⁻⁷.
#pragma once

#include "kernels/conv2d.h"
#include "kernels/conv_algorithms.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace ganforge::conv_test {

using kernel_test::activated;
using kernel_test::Array;
using kernel_test::slope_at;
using Values = std::vector<float>;

inline constexpr ConvDirection directions[] = {ConvDirection::forward, ConvDirection::input, ConvDirection::weight};

/// Sizes of y follow from `bottom` and `right`.
inline ConvShape conv(ConvShape c, std::int64_t bottom, std::int64_t right) {
  c.p = (c.h + c.pad_top + bottom - (c.r - 1) * c.dilation_h - 1) / c.stride_h + 1;
  c.q = (c.w + c.pad_left + right - (c.s - 1) * c.dilation_w - 1) / c.stride_w + 1;
  return c;
}
/// 4×4 stride 2 padding 1.
inline ConvShape halving(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t k) {
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

inline const Activation leaky{Activation::Kind::leaky_relu, 0.2f};
inline const std::vector<ConvEpilogue> epilogues = {{},
                                                    {.bias = true},
                                                    {.bias = true, .act = leaky},
                                                    {.act = {Activation::Kind::tanh}},
                                                    {.bias = true, .act = {Activation::Kind::sigmoid}},
                                                    {.mask = true, .act = leaky},
                                                    {.mask = true, .act = {Activation::Kind::tanh}},
                                                    {.bias = true, .mask = true, .act = leaky}};

}  // namespace ganforge::conv_test
