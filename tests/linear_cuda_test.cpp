// The CUDA kernels of the fully connected layer against sums in double. Float32 sums of k products, in any order, are
// within k·ε of the sum of magnitudes; that is the tolerance, and what the operands lose in lower precisions.
#include <ganforge/config.h>

#if GANFORGE_CUDA

#include "kernels/linear.h"
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

using LinearCuda = kernel_test::CudaTest;

struct Sum {
  double value = 0, magnitude = 0;
  void add(double x) { value += x, magnitude += std::abs(x); }
};

/// How products are chosen and made: tiles follow the number of multiprocessors.
struct Mode {
  int multiprocessors = 132;
  Precision precision = Precision::fp32;
  /// Relative error of a product: TF32 has 10 bits of mantissa, the rest is dropped; bfloat16 has 7, to nearest.
  double error() const {
    return precision == Precision::tf32 ? 2.1 * 0x1p-10 : precision == Precision::bf16 ? 2.1 * 0x1p-8 : 0.0;
  }
};

/// No activation's slope is above one, so errors of its argument do not grow.
void expect_near(float got, double want, double magnitude, std::int64_t terms, const Mode& mode,
                 const std::string& what) {
  const double epsilon = std::numeric_limits<float>::epsilon();
  ASSERT_TRUE(std::abs(got - want) <=
              epsilon * ((terms + 4) * magnitude + 4 * std::abs(want)) + mode.error() * magnitude)
      << what << ": " << got << " instead of " << want << ", " << name_of(mode.precision);
}

struct Size {
  std::int64_t rows, in, out;
  std::string str() const {
    return std::to_string(rows) + " rows, " + std::to_string(in) + " -> " + std::to_string(out);
  }
};

// Odd sizes; sizes around the tiles' edges; the layers of a small GAN; layers to and from one feature.
const std::vector<Size> sizes = {{1, 1, 1},     {1, 1, 2},      {3, 17, 5},    {17, 3, 100}, {16, 128, 16},
                                 {65, 129, 33}, {64, 100, 128}, {64, 128, 40}, {33, 784, 8}, {100, 128, 1},
                                 {7, 129, 1},   {5, 1, 31},     {130, 36, 68}, {2, 0, 3},    {0, 4, 4}};
const std::vector<Activation> activations = {{},
                                             {Activation::Kind::leaky_relu, 0.2f},
                                             {Activation::Kind::leaky_relu, 0.0f},
                                             {Activation::Kind::tanh},
                                             {Activation::Kind::sigmoid}};
// With one multiprocessor the largest tile is cheapest for all but tiny sizes, with very many the smallest.
const std::vector<Mode> modes = {{1},
                                 {12},
                                 {100'000},
                                 {1, Precision::tf32},
                                 {12, Precision::tf32},
                                 {100'000, Precision::tf32},
                                 {1, Precision::bf16},
                                 {100'000, Precision::bf16}};
CudaStream with(CudaStream stream, const Mode& mode) {
  stream.multiprocessors = mode.multiprocessors;
  stream.precision = mode.precision;
  return stream;
}

TEST_F(LinearCuda, ForwardIsTheActivatedSum) {
  for (const Size& size : sizes) {
    const Values x = random(size.rows * size.in), w = random(size.out * size.in), b = random(size.out);
    Array<float> dx(*device, x), dw(*device, w), db(*device, b);
    for (const Activation& act : activations) {
      for (bool bias : {true, false}) {
        for (const Mode& mode : modes) {
          Array<float> dy(*device, size.rows * size.out);
          linear(with(stream(), mode),
                 {dx.data(), dw.data(), bias ? db.data() : nullptr, dy.data(), size.rows, size.in, size.out, act});
          const Values y = dy.values();
          for (std::int64_t r = 0; r < size.rows; ++r) {
            for (std::int64_t o = 0; o < size.out; ++o) {
              Sum sum;
              for (std::int64_t k = 0; k < size.in; ++k) sum.add(double(x[r * size.in + k]) * w[o * size.in + k]);
              if (bias) sum.add(b[o]);
              expect_near(y[r * size.out + o], activated(act, sum.value), sum.magnitude, size.in, mode, size.str());
            }
          }
        }
      }
    }
  }
}

TEST_F(LinearCuda, InputGradIsTheMaskedSum) {
  for (const Size& size : sizes) {
    const Values dz = random(size.rows * size.out), w = random(size.out * size.in);
    Array<float> ddz(*device, dz), dw(*device, w);
    for (const Activation& act : activations) {
      Values y = random(size.rows * size.in);
      for (float& v : y) v = static_cast<float>(activated(act, v));
      if (!y.empty()) y[0] = 0.0f;
      Array<float> dy(*device, y);
      for (bool mask : {true, false}) {
        for (const Mode& mode : modes) {
          Array<float> ddx(*device, size.rows * size.in);
          linear_input_grad(with(stream(), mode), {ddz.data(), dw.data(), mask ? dy.data() : nullptr, ddx.data(),
                                                   size.rows, size.in, size.out, act});
          const Values dx = ddx.values();
          for (std::int64_t r = 0; r < size.rows; ++r) {
            for (std::int64_t i = 0; i < size.in; ++i) {
              Sum sum;
              for (std::int64_t o = 0; o < size.out; ++o) sum.add(double(dz[r * size.out + o]) * w[o * size.in + i]);
              const double slope = mask ? slope_at(act, y[r * size.in + i]) : 1;
              expect_near(dx[r * size.in + i], sum.value * slope, sum.magnitude, size.out, mode, size.str());
            }
          }
        }
        if (!act) break;
      }
    }
  }
}

// All sizes in one call: more layers than one launch takes.
TEST_F(LinearCuda, WeightGradOfManyLayers) {
  std::vector<Size> layers = sizes;
  layers.insert(layers.end(), sizes.begin(), sizes.end());
  ASSERT_GT(layers.size(), std::size_t(max_linear_group));
  for (const Mode& mode : modes) {
    std::vector<Values> dz, x;
    std::vector<Array<float>> ddz, dx, dw, db;
    std::vector<LinearWeightGradArgs> args;
    for (const Size& size : layers) {
      const bool bias = dz.size() % 3 != 2;
      dz.push_back(random(size.rows * size.out));
      x.push_back(random(size.rows * size.in));
      ddz.emplace_back(*device, dz.back());
      dx.emplace_back(*device, x.back());
      dw.emplace_back(*device, size.out * size.in);
      db.emplace_back(*device, size.out);
      args.push_back({ddz.back().data(), dx.back().data(), dw.back().data(), bias ? db.back().data() : nullptr,
                      size.rows, size.in, size.out});
    }
    linear_weight_grad(with(stream(), mode), args);
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      const Size& size = layers[layer];
      const Values got_w = dw[layer].values(), got_b = db[layer].values();
      for (std::int64_t o = 0; o < size.out; ++o) {
        for (std::int64_t i = 0; i < size.in; ++i) {
          Sum sum;
          for (std::int64_t r = 0; r < size.rows; ++r) {
            sum.add(double(dz[layer][r * size.out + o]) * x[layer][r * size.in + i]);
          }
          expect_near(got_w[o * size.in + i], sum.value, sum.magnitude, size.rows, mode, "dw, " + size.str());
        }
        if (!args[layer].db || size.in == 0) continue;
        Sum sum;
        for (std::int64_t r = 0; r < size.rows; ++r) sum.add(dz[layer][r * size.out + o]);
        expect_near(got_b[o], sum.value, sum.magnitude, size.rows, {}, "db, " + size.str());
      }
    }
  }
  linear_weight_grad(stream(), {});
}

// Views into a larger tensor start on four bytes, not on sixteen.
TEST_F(LinearCuda, UnalignedOperandsGiveTheSameBits) {
  const Size size = {40, 36, 44};
  const Values x = random(size.rows * size.in), w = random(size.out * size.in), b = random(size.out);
  const auto shifted = [](Values values) {
    values.insert(values.begin(), 5.0f);
    return values;
  };
  const auto forward = [&](int shift, Precision precision) {
    Array<float> dx(*device, shift ? shifted(x) : x), dw(*device, shift ? shifted(w) : w),
        db(*device, shift ? shifted(b) : b), dy(*device, shift + size.rows * size.out);
    linear(with(stream(), {132, precision}),
           {dx.data() + shift, dw.data() + shift, db.data() + shift, dy.data() + shift, size.rows, size.in, size.out,
            Activation{Activation::Kind::tanh}});
    const Values y = dy.values();
    return Values(y.begin() + shift, y.end());
  };
  EXPECT_EQ(forward(0, Precision::fp32), forward(1, Precision::fp32));
  EXPECT_EQ(forward(0, Precision::tf32), forward(1, Precision::tf32));
}

TEST_F(LinearCuda, InputGradMayOverwriteItsMask) {
  const Size size = {40, 36, 44};
  const Activation act{Activation::Kind::tanh};
  Array<float> dz(*device, random(size.rows * size.out)), w(*device, random(size.out * size.in)),
      y(*device, random(size.rows * size.in)), dx(*device, size.rows * size.in);
  linear_input_grad(stream(), {dz.data(), w.data(), y.data(), dx.data(), size.rows, size.in, size.out, act});
  linear_input_grad(stream(), {dz.data(), w.data(), y.data(), y.data(), size.rows, size.in, size.out, act});
  EXPECT_EQ(dx.values(), y.values());
}

TEST_F(LinearCuda, ReplayOfACapturedLayerIsTheSame) {
  const Size size = {64, 100, 128};
  Array<float> x(*device, random(size.rows * size.in)), w(*device, random(size.out * size.in)),
      y(*device, size.rows * size.out), dw(*device, size.out * size.in);
  const std::vector<LinearWeightGradArgs> grad = {
      {y.data(), x.data(), dw.data(), nullptr, size.rows, size.in, size.out}};
  const auto work = [&] {
    linear(stream(), {x.data(), w.data(), nullptr, y.data(), size.rows, size.in, size.out, Activation{}});
    linear_weight_grad(stream(), grad);
  };
  work();
  const Values y_eager = y.values(), dw_eager = dw.values();
  auto captured = device->capture(work);
  device->clear(y.data(), size.rows * size.out * sizeof(float));
  device->clear(dw.data(), size.out * size.in * sizeof(float));
  captured->launch();
  EXPECT_EQ(y.values(), y_eager);
  EXPECT_EQ(dw.values(), dw_eager);
}

}  // namespace
}  // namespace ganforge

#endif
