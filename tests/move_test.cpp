#include "kernels/move.h"

#include "tests/kernel_test.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace ganforge {
namespace {

using kernel_test::Array;

template <class T>
std::vector<T> numbers(std::int64_t n) {
  std::vector<T> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(i % 251 + 1);
  return values;
}

/// Runs f(T{}) for words of 1, 4 and 8 bytes.
template <class F>
void with_words(F f) {
  f(std::uint8_t{});
  f(std::int32_t{});
  f(std::int64_t{});
}

/// Extents of the memory that the plan reads (x) or writes.
std::int64_t reach(const CopyPlan& plan, bool x) {
  std::int64_t last = x ? plan.x_offset : plan.y_offset;
  for (int axis = 0; axis < plan.rank; ++axis) {
    last += (plan.extent[axis] - 1) * (x ? plan.x_stride[axis] : plan.y_stride[axis]);
  }
  return plan.elements == 0 ? 0 : last + 1;
}

template <class T>
std::vector<T> naive_copy(const CopyPlan& plan, const std::vector<T>& x, std::vector<T> y) {
  for (std::int64_t i = 0; i < plan.elements; ++i) {
    std::int64_t from = plan.x_offset, to = plan.y_offset, rest = i;
    for (int axis = plan.rank - 1; axis >= 0; --axis) {
      from += rest % plan.extent[axis] * plan.x_stride[axis];
      to += rest % plan.extent[axis] * plan.y_stride[axis];
      rest /= plan.extent[axis];
    }
    y[to] = x[from];
  }
  return y;
}

void check_copy(const CopyPlan& plan) {
  std::string what = "extents";
  for (int axis = 0; axis < plan.rank; ++axis) {
    what += " " + std::to_string(plan.extent[axis]) + " (" + std::to_string(plan.x_stride[axis]) + " → " +
            std::to_string(plan.y_stride[axis]) + ")";
  }
  for (Device& device : kernel_test::devices()) {
    with_words([&]<class T>(T) {
      const std::vector<T> xs = numbers<T>(reach(plan, true));
      const Array<T> x(device, xs), y(device, reach(plan, false)), merged(device, reach(plan, false));
      const std::vector<T> want = naive_copy(plan, xs, y.values());
      std::visit(
          [&](const auto& stream) {
            strided_copy(stream, plan, sizeof(T), x.data(), y.data());
            strided_copy(stream, merge(plan), sizeof(T), x.data(), merged.data());
          },
          device.stream());
      EXPECT_EQ(y.values(), want) << what << ", " << kernel_test::describe(device);
      EXPECT_EQ(merged.values(), want) << what << ", merged, " << kernel_test::describe(device);
    });
  }
}

struct Axis {
  std::int64_t extent, x_stride, y_stride;
};

CopyPlan plan_of(std::initializer_list<Axis> axes, std::int64_t x_offset = 0, std::int64_t y_offset = 0) {
  CopyPlan plan;
  plan.elements = 1;
  for (const Axis& axis : axes) {
    plan.extent[plan.rank] = axis.extent;
    plan.x_stride[plan.rank] = axis.x_stride;
    plan.y_stride[plan.rank++] = axis.y_stride;
    plan.elements *= axis.extent;
  }
  plan.x_offset = x_offset;
  plan.y_offset = y_offset;
  return plan;
}

/// Transposing a dense tensor: axis i of y is axis permutation[i] of x.
CopyPlan permutation(const std::vector<std::int64_t>& x_extents, const std::vector<int>& permutation) {
  std::vector<std::int64_t> x_stride(x_extents.size(), 1);
  for (int axis = int(x_extents.size()) - 2; axis >= 0; --axis)
    x_stride[axis] = x_stride[axis + 1] * x_extents[axis + 1];
  CopyPlan plan;
  plan.rank = int(x_extents.size());
  plan.elements = 1;
  for (int axis = plan.rank - 1; axis >= 0; --axis) {
    plan.extent[axis] = x_extents[permutation[axis]];
    plan.x_stride[axis] = x_stride[permutation[axis]];
    plan.y_stride[axis] = plan.elements;
    plan.elements *= plan.extent[axis];
  }
  return plan;
}

TEST(StridedCopy, Contiguous) {
  check_copy(plan_of({}));
  check_copy(plan_of({{0, 1, 1}}));
  check_copy(plan_of({{1, 1, 1}}));
  check_copy(plan_of({{129, 1, 1}}, 3, 5));
  check_copy(plan_of({{30001, 1, 1}}, 16, 32));
  check_copy(plan_of({{3, 40, 40}, {40, 1, 1}}));
}

TEST(StridedCopy, SlicesConcatenationsAndBroadcasts) {
  check_copy(plan_of({{17, 100, 64}, {64, 1, 1}}, 36));              // a slice of columns
  check_copy(plan_of({{17, 96, 64}, {64, 1, 1}}, 32));               // likewise, in wide words
  check_copy(plan_of({{17, 3, 100}, {3, 1, 1}}, 0, 97));             // a piece of a concatenation
  check_copy(plan_of({{9, 200, 33}, {33, 3, 1}}, 1));                // every third
  check_copy(plan_of({{17, 0, 129}, {129, 1, 1}}));                  // a row for all
  check_copy(plan_of({{17, 1, 129}, {129, 0, 1}}));                  // a column for all
  check_copy(plan_of({{300, 0, 1}}));                                // a scalar for all
  check_copy(plan_of({{5, 48, 80}, {3, 16, 16}, {8, 1, 2}}, 0, 1));  // spread out
  check_copy(plan_of({{200, 128, 130}, {100, 1, 1}}, 4, 2));         // enough for several threads
}

TEST(StridedCopy, Transposes) {
  check_copy(permutation({3, 5}, {1, 0}));
  check_copy(permutation({8, 8}, {1, 0}));
  check_copy(permutation({100, 129}, {1, 0}));
  check_copy(permutation({64, 256}, {1, 0}));
  check_copy(permutation({200, 150}, {1, 0}));
  check_copy(permutation({3, 17, 40}, {0, 2, 1}));       // batched
  check_copy(permutation({17, 3, 40}, {2, 1, 0}));       // around an axis
  check_copy(permutation({4, 33, 3, 9}, {0, 2, 3, 1}));  // NHWC-like orders
  check_copy(permutation({4, 3, 9, 33}, {0, 3, 1, 2}));
  check_copy(permutation({4, 9, 33, 8}, {0, 2, 1, 3}));  // the last axis stays
  check_copy(permutation({2, 3, 2, 9, 3, 10}, {1, 5, 0, 4, 2, 3}));
}

TEST(StridedCopy, RandomPermutations) {
  std::mt19937 random(1);
  for (int i = 0; i < 40; ++i) {
    std::vector<std::int64_t> extents(1 + random() % 6);
    for (std::int64_t& extent : extents) extent = 1 + random() % 5;
    extents[random() % extents.size()] *= 4;
    extents[random() % extents.size()] *= 3;
    std::vector<int> order(extents.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    check_copy(permutation(extents, order));
  }
}

TEST(CopyPlan, MergeJoinsAxesThatBothSidesWalkAlike) {
  EXPECT_EQ(merge(plan_of({{3, 20, 20}, {4, 5, 5}, {5, 1, 1}})).rank, 1);
  EXPECT_EQ(merge(plan_of({{3, 40, 20}, {4, 5, 5}, {5, 1, 1}})).rank, 2);
  EXPECT_EQ(merge(plan_of({{3, 0, 20}, {20, 0, 1}})).rank, 1);
  EXPECT_EQ(merge(plan_of({{1, 9, 9}, {1, 7, 8}})).rank, 0);
}

// --- pad
// --------------------------------------------------------------------------------------------------------------

struct PadAxis {
  std::int64_t extent, low = 0, high = 0, interior = 0;
};

PadPlan pad_plan(const std::vector<PadAxis>& axes) {
  PadPlan plan;
  for (const PadAxis& axis : axes) {
    plan.x_extent[plan.rank] = axis.extent;
    plan.low[plan.rank] = axis.low;
    plan.interior[plan.rank] = axis.interior;
    const std::int64_t between = axis.extent == 0 ? 0 : (axis.extent - 1) * axis.interior;
    plan.y_extent[plan.rank++] = axis.low + axis.high + axis.extent + between;
  }
  return plan;
}

/// Puts every element of x in its place among zeros.
template <class T>
std::vector<T> naive_pad(const PadPlan& plan, const std::vector<T>& x, std::int64_t y_elements) {
  std::vector<T> y(static_cast<std::size_t>(y_elements));
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::int64_t rest = std::int64_t(i), to = 0, stride = 1;
    for (int axis = plan.rank - 1; axis >= 0; --axis) {
      to += (plan.low[axis] + rest % plan.x_extent[axis] * (plan.interior[axis] + 1)) * stride;
      stride *= plan.y_extent[axis];
      rest /= plan.x_extent[axis];
    }
    y[to] = x[i];
  }
  return y;
}

void check_pad(const std::vector<PadAxis>& axes) {
  const PadPlan plan = pad_plan(axes);
  std::int64_t x_elements = 1, y_elements = 1;
  std::string what = "pad";
  for (int axis = 0; axis < plan.rank; ++axis) {
    x_elements *= plan.x_extent[axis];
    y_elements *= plan.y_extent[axis];
    what += " " + std::to_string(plan.x_extent[axis]) + " → " + std::to_string(plan.y_extent[axis]);
  }
  for (Device& device : kernel_test::devices()) {
    with_words([&]<class T>(T) {
      const std::vector<T> xs = numbers<T>(x_elements);
      const Array<T> x(device, xs), y(device, y_elements);
      std::visit([&](const auto& stream) { pad(stream, plan, sizeof(T), x.data(), y.data()); }, device.stream());
      EXPECT_EQ(y.values(), naive_pad(plan, xs, y_elements)) << what << ", " << kernel_test::describe(device);
    });
  }
}

TEST(Pad, FrontBackAndBetween) {
  check_pad({});
  check_pad({{5}});
  check_pad({{5, 2, 3}});
  check_pad({{5, 0, 0, 2}});
  check_pad({{17, 3, 1, 1}});
  check_pad({{0, 2, 3, 4}});
  check_pad({{0}});
  check_pad({{3}, {0, 1, 1}});
  check_pad({{16, 0, 20001}});
  check_pad({{300, 5, 7, 99}});
}

TEST(Pad, Images) {
  check_pad({{2}, {7, 1, 1}, {9, 1, 1}, {3}});
  check_pad({{2}, {7, 1, 2}, {9, 2, 1}, {64}});        // in wide words
  check_pad({{2}, {4, 1, 2, 1}, {5, 1, 2, 1}, {16}});  // zeros between, as a strided slice's gradient
  check_pad({{2}, {4, 0, 1, 1}, {5, 0, 1, 1}, {3, 1, 0, 2}});
  check_pad({{100}, {129, 0, 71}});
}

TEST(Pad, RandomPlans) {
  std::mt19937 random(2);
  for (int i = 0; i < 60; ++i) {
    std::vector<PadAxis> axes(1 + random() % 5);
    for (PadAxis& axis : axes) {
      axis.extent = random() % 6 + (random() % 8 != 0);
      if (random() % 2) axis.low = random() % 4;
      if (random() % 2) axis.high = random() % 4;
      if (random() % 3 == 0) axis.interior = random() % 3;
    }
    if (random() % 2) axes.back() = {8, 4, 0};
    check_pad(axes);
  }
}

TEST(PadPlan, MergeJoinsUnpaddedAxesToTheOuterNeighbour) {
  EXPECT_EQ(merge(pad_plan({{2}, {7, 1, 1}, {9}, {3}})).rank, 2);
  EXPECT_EQ(merge(pad_plan({{2}, {7, 1, 1, 1}, {9}, {3}})).rank, 3);
  EXPECT_EQ(merge(pad_plan({{2}, {3}})).rank, 1);
}

}  // namespace
}  // namespace ganforge
