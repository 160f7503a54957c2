// Every algorithm for convolutions on CUDA against plain loops in double.
#include <ganforge/config.h>

#if GANFORGE_CUDA

#include "tests/conv_cuda.h"

namespace ganforge::conv_test {
namespace {

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

}  // namespace
}  // namespace ganforge::conv_test

#endif
