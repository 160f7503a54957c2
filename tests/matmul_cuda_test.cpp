// The batched matrix product on CUDA against sums in double.
#include <ganforge/config.h>

#if GANFORGE_CUDA

#include "kernels/matmul.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace ganforge {
namespace {

using kernel_test::Array;
using Values = std::vector<float>;

using MatmulCuda = kernel_test::CudaTest;

struct Size {
  std::int64_t batch, m, n, k;
};
const std::vector<Size> sizes = {{1, 1, 1, 1},     {1, 17, 33, 5}, {3, 4, 1, 7},   {3, 1, 129, 100},
                                 {2, 64, 64, 128}, {5, 31, 3, 17}, {1, 100, 1, 1}, {2, 1, 1, 9},
                                 {2, 3, 4, 0},     {0, 3, 4, 5},   {2, 0, 4, 5},   {2, 3, 0, 5}};

TEST_F(MatmulCuda, EveryTranspositionAndStride) {
  for (const Size& s : sizes) {
    for (int bits = 0; bits < 16; ++bits) {
      const bool repeat_a = bits & 4, repeat_b = bits & 8;
      const MatmulShape shape = {.batch = s.batch,
                                 .m = s.m,
                                 .n = s.n,
                                 .k = s.k,
                                 .transpose_a = (bits & 1) != 0,
                                 .transpose_b = (bits & 2) != 0,
                                 .stride_a = repeat_a ? 0 : s.m * s.k,
                                 .stride_b = repeat_b ? 0 : s.k * s.n};
      const Values a = random((repeat_a ? 1 : s.batch) * s.m * s.k), b = random((repeat_b ? 1 : s.batch) * s.k * s.n);
      Array<float> da(*device, a), db(*device, b), dc(*device, s.batch * s.m * s.n);
      matmul(stream(), shape, da.data(), db.data(), dc.data());
      const Values c = dc.values();
      for (std::int64_t i = 0; i < s.batch; ++i) {
        for (std::int64_t r = 0; r < s.m; ++r) {
          for (std::int64_t q = 0; q < s.n; ++q) {
            double sum = 0, magnitude = 0;
            for (std::int64_t l = 0; l < s.k; ++l) {
              const double x = a[i * shape.stride_a + (shape.transpose_a ? l * s.m + r : r * s.k + l)];
              const double y = b[i * shape.stride_b + (shape.transpose_b ? q * s.k + l : l * s.n + q)];
              sum += x * y;
              magnitude += std::abs(x * y);
            }
            const float got = c[(i * s.m + r) * s.n + q];
            // Float32 arithmetic: TF32 would be off by a thousand times that.
            ASSERT_TRUE(std::abs(got - sum) <= (s.k + 1) * std::numeric_limits<float>::epsilon() * magnitude)
                << got << " instead of " << sum << ", k " << s.k << ", case " << bits;
          }
        }
      }
    }
  }
}

TEST_F(MatmulCuda, TF32RoundsOperands) {
  const std::int64_t n = 64;
  const Values a = random(n * n), b = random(n * n);
  Array<float> da(*device, a), db(*device, b), dc(*device, n * n);
  CudaStream tf32 = stream();
  tf32.precision = Precision::tf32;
  matmul(tf32, {.m = n, .n = n, .k = n}, da.data(), db.data(), dc.data());
  const Values c = dc.values();
  double largest = 0;
  for (std::int64_t i = 0; i < n * n; ++i) {
    double sum = 0, magnitude = 0;
    for (std::int64_t l = 0; l < n; ++l) {
      sum += double(a[i / n * n + l]) * b[l * n + i % n];
      magnitude += std::abs(double(a[i / n * n + l]) * b[l * n + i % n]);
    }
    ASSERT_LE(std::abs(c[i] - sum), std::ldexp(magnitude, -9));
    largest = std::max(largest, std::abs(c[i] - sum) / magnitude);
  }
  EXPECT_GT(largest, 1e-6);
}

TEST_F(MatmulCuda, OperandsThatStartOnFourBytes) {
  const Values a = random(1 + 8 * 8), b = random(1 + 8 * 8);
  Array<float> da(*device, a), db(*device, b), dc(*device, 1 + 8 * 8);
  matmul(stream(), {.m = 8, .n = 8, .k = 8}, da.data() + 1, db.data() + 1, dc.data() + 1);
  const Values c = dc.values();
  for (int r = 0; r < 8; ++r) {
    for (int q = 0; q < 8; ++q) {
      double sum = 0;
      for (int l = 0; l < 8; ++l) sum += double(a[1 + 8 * r + l]) * b[1 + 8 * l + q];
      ASSERT_NEAR(c[1 + 8 * r + q], sum, 1e-5);
    }
  }
}

TEST_F(MatmulCuda, ReplayIsTheSame) {
  Array<float> a(*device, random(4 * 32 * 64)), b(*device, random(64 * 48)), c(*device, 4 * 32 * 48);
  const MatmulShape shape = {.batch = 4, .m = 32, .n = 48, .k = 64, .stride_a = 32 * 64, .stride_b = 0};
  const auto work = [&] { matmul(stream(), shape, a.data(), b.data(), c.data()); };
  work();
  const Values eager = c.values();
  auto captured = device->capture(work);
  device->clear(c.data(), 4 * 32 * 48 * sizeof(float));
  captured->launch();
  EXPECT_EQ(c.values(), eager);
}

}  // namespace
}  // namespace ganforge

#endif
