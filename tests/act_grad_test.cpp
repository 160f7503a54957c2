// The derivative of an activation: the kernel, and the nodes that a backward pass consists of.
#include "kernels/act_grad.h"

#include "tests/graph_support.h"
#include "tests/kernel_test.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace ganforge {
namespace {

using kernel_test::Array;
using Kind = Activation::Kind;
const Activation leaky{Kind::leaky_relu, 0.2f}, tanh_act{Kind::tanh}, sigmoid_act{Kind::sigmoid};

// --- the kernel

double derivative(Activation act, double y) {
  if (act.kind == Kind::leaky_relu) return y > 0 ? 1 : double(act.negative_slope);
  if (act.kind == Kind::tanh) return 1 - y * y;
  if (act.kind == Kind::sigmoid) return y * (1 - y);
  return 1;
}

TEST(ActGrad, MatchesDoublePrecision) {
  for (Device& device : kernel_test::devices()) {
    SCOPED_TRACE(kernel_test::describe(device));
    for (const Activation& act : {Activation{}, leaky, Activation{Kind::leaky_relu, 0.0f}, tanh_act, sigmoid_act}) {
      for (const std::size_t n : {1u, 15u, 64u, 1003u, 40001u}) {
        for (const std::size_t offset : {0u, 1u}) {  // floats behind a 16-byte border
          Floats dy(n + offset), y(n + offset);
          for (std::size_t i = 0; i < n + offset; ++i) {
            dy[i] = std::sin(float(i));
            y[i] = i % 7 ? std::cos(float(3 * i)) : 0.0f;
          }
          const Array<float> y_array(device, y), separate(device, std::int64_t(n + offset));
          for (const bool in_place : {false, true}) {
            const Array<float> dy_array(device, dy);
            float* dx = (in_place ? dy_array : separate).data() + offset;
            std::visit(
                [&](const auto& stream) {
                  act_grad(stream, {dy_array.data() + offset, y_array.data() + offset, dx, std::int64_t(n), act});
                },
                device.stream());
            const Floats got = (in_place ? dy_array : separate).values();
            for (std::size_t i = offset; i < n + offset; ++i)
              ASSERT_NEAR(got[i], double(dy[i]) * derivative(act, double(y[i])), 2e-7) << n << " [" << i << "]";
          }
        }
      }
    }
  }
}

// --- the nodes of a backward pass

/// Names of the ops that `values` need beyond those that `known` nodes had, sorted; reshapes left out.
std::vector<std::string> new_ops(const Graph& graph, std::size_t known, const Values& values) {
  std::set<int> needed;
  std::vector<int> open;
  for (const Value& value : values) open.push_back(value.node());
  while (!open.empty()) {
    const int n = open.back();
    open.pop_back();
    if (n < int(known) || !needed.insert(n).second) continue;
    for (const Value& in : graph.node(n).in) open.push_back(graph.resolve(in, n).node());
  }
  std::vector<std::string> names;
  for (const int n : needed) {
    const std::string description = graph.node(n).op->describe();
    if (!description.starts_with("reshape")) names.push_back(description);
  }
  std::ranges::sort(names);
  return names;
}

struct Chain {
  Graph graph;
  Value image = graph.input("image", f32({2, 4, 4, 3})), row3 = graph.input("row3", f32({3})),
        row5 = graph.input("row5", f32({5})), w = graph.input("w", f32({7, 80}));

  Value norm(Value x, Value row, const Activation& act) {
    return batch_norm(x, row, row, row, row, {1e-5f, 0.9f, 1, act}).y;
  }
  Value linear_of(Value x) { return linear(reshape(x, {2, -1}), slice(w, 1, 0, x.shape().elements() / 2), {}); }
};

const std::string norm_grad = "batch_norm_grad eps=1e-05 groups=1 act=leaky_relu(0.2) input_act=";

TEST(ActGrad, BackwardOfImagesThroughBatchNorm) {
  Chain c;
  const Value y = c.linear_of(c.norm(c.image, c.row3, leaky));
  const Value dy = c.graph.input("dy", y.type());
  const std::size_t known = c.graph.nodes().size();
  const Values g = grad({y}, {dy}, {c.image, c.row3});
  EXPECT_EQ(g[0].shape(), c.image.shape());
  EXPECT_EQ(new_ops(c.graph, known, g),
            (std::vector<std::string>{"add", norm_grad + "none", "linear_input_grad act=none"}))
      << "add: γ and β are the same variable";
}

TEST(ActGrad, PassesThroughReshapesIntoBatchNorm) {
  Chain c;
  // A layer with an activation, then batch norm of its image: the norm's gradient takes over the layer's mask.
  const Value x = c.graph.input("x", f32({2, 6})), w = c.graph.input("w_in", f32({80, 6}));
  const Value hidden = linear(x, w, {}, leaky);
  const Value y = c.linear_of(c.norm(reshape(hidden, {2, 4, 4, 5}), c.row5, leaky));
  const Value dy = c.graph.input("dy", y.type());
  const std::size_t known = c.graph.nodes().size();
  const Values g = grad({y}, {dy}, {w});
  EXPECT_EQ(new_ops(c.graph, known, g), (std::vector<std::string>{norm_grad + "leaky_relu(0.2)",
                                                                  "linear_input_grad act=none", "linear_weight_grad"}));
}

TEST(ActGrad, PassesThroughAReshapeIntoALinear) {
  Chain c;
  // The flattened image of a convolution goes into a linear layer, whose input gradient takes over the mask.
  const Value filter = c.graph.input("filter", f32({5, 3, 3, 3}));
  const Value y = c.linear_of(conv2d(c.image, filter, {.padding = 1}, {}, leaky));
  const Value dy = c.graph.input("dy", y.type());
  const std::size_t known = c.graph.nodes().size();
  const std::vector<std::string> ops = new_ops(c.graph, known, grad({y}, {dy}, {filter}));
  ASSERT_EQ(ops.size(), 2u) << fmt::format("{}", fmt::join(ops, "; "));
  EXPECT_TRUE(ops[0].starts_with("conv2d_weight"));
  EXPECT_EQ(ops[1], "linear_input_grad act=leaky_relu(0.2)");
}

TEST(ActGrad, PassesIntoAConvolution) {
  Chain c;
  // Two convolutions: the second one's input gradient takes over the mask of the first, reshaped on the way or not.
  const Value filter = c.graph.input("filter", f32({5, 3, 3, 3})), next = c.graph.input("next", f32({4, 3, 3, 5}));
  for (const bool reshaped : {false, true}) {
    Value x = conv2d(c.image, filter, {.padding = 1}, {}, leaky);
    if (reshaped) x = reshape(reshape(x, {32, 5}), {2, 2, 8, 5});
    const Value y = conv2d(x, next, {.padding = 1});
    const Value dy = c.graph.input(reshaped ? "dy_reshaped" : "dy", y.type());
    const std::size_t known = c.graph.nodes().size();
    const std::vector<std::string> ops = new_ops(c.graph, known, grad({y}, {dy}, {filter}));
    EXPECT_EQ(ops.size(), 2u) << fmt::format("{}", fmt::join(ops, "; "));
    for (const std::string& op : ops) EXPECT_TRUE(op.starts_with("conv2d")) << op;
  }
}

TEST(ActGrad, IsOneNodeWhereNothingTakesItOver) {
  Chain c;
  const Value a = tanh(c.image), b = exp(c.image);
  const std::size_t known = c.graph.nodes().size();
  EXPECT_EQ(new_ops(c.graph, known, {act_grad(a + b, c.image, tanh_act)}),
            (std::vector<std::string>{"act_grad act=tanh", "add"}));
  const Value masked = act_grad(alias(linear_input_grad(c.graph.input("dz", f32({2, 7})), c.w)),
                                c.graph.input("y", f32({2, 80})), leaky);
  EXPECT_EQ(c.graph.node(masked.node()).op->describe(), "act_grad act=leaky_relu(0.2)") << "an alias is a border";
}

// act_grad of piecewise linear activations is a mask: a cotangent meets the same mask, and y gets none.
TEST(ActGrad, GradientIsTheSameMask) {
  Graph graph;
  const Value dy = graph.input("dy", f32({4})), y = graph.input("y", f32({4})), c = graph.input("c", f32({4}));
  const Values g = grad({act_grad(dy, y, leaky)}, {c}, {dy, y});
  EXPECT_EQ(g[0], act_grad(c, y, leaky));
  EXPECT_FALSE(g[1]);
  EXPECT_TRUE(grad({act_grad(dy, y, tanh_act)}, {c}, {dy, y})[1]);
}

}  // namespace
}  // namespace ganforge
