// Building graphs and differentiating them: what holds whatever the ops are.
#include "tests/graph_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace ganforge {
namespace {

// --- building
// -------------------------------------------------------------------------------------------------------------
TEST(Graph, EqualNodesAreOne) {
  Graph graph;
  const Value x = graph.input("x", f32({3, 4})), w = graph.input("w", f32({5, 4}));
  EXPECT_EQ(tanh(x), tanh(x));
  EXPECT_EQ(linear(x, w, {}), linear(x, w, {}));
  EXPECT_EQ(graph.input("x", f32({3, 4})), x);
  EXPECT_EQ(constant(graph, 2, f32({3})), constant(graph, 2, f32({3})));
  EXPECT_EQ(stop_gradient(x), stop_gradient(x));
  const std::size_t nodes = graph.nodes().size();
  tanh(x), linear(x, w, {}), sum(x, {0, -1}), sum(x, {-2, 1}), sum(x);
  EXPECT_EQ(graph.nodes().size(), nodes + 1) << "three ways to sum over everything";
  EXPECT_NE(alias(x), alias(x)) << "aliases stay apart";
  EXPECT_NE(copy(x), copy(x));
  EXPECT_NE(x - tanh(x), tanh(x) - x) << "operands keep their order";
}

TEST(Graph, IdleOpsAddNothing) {
  Graph graph;
  const Value x = graph.input("x", f32({3, 4})), scalar = graph.input("s", f32({}));
  const std::size_t nodes = graph.nodes().size();
  for (const Value& y : {x + 0.0, 1.0 * x, reshape(x, {3, 4}), reshape(x, {-1, 4}), transpose(x, std::vector{0, 1}),
                         slice(x, 1, 0, 4), broadcast(x, {3, 4}), sum_to(x, {3, 4}), sum(x, {}), concat({x}, 0),
                         cast(x, DType::float32), pow(x, 1), act_grad(x, x, {}), activate(x, {})})
    EXPECT_EQ(y, x);
  EXPECT_EQ(sum(scalar), scalar);
  EXPECT_EQ(graph.nodes().size(), nodes);
  EXPECT_EQ(mul(x, constant(graph, 1, f32({}))), x);
  EXPECT_EQ(add(constant(graph, 0, f32({4})), x), x);
  EXPECT_NE(add(scalar, constant(graph, 0, f32({4}))).shape(), scalar.shape()) << "this one stretches";
  EXPECT_EQ(reshape(reshape(x, {12}), {3, 4}), x);
}

/// Every attribute of every op keeps nodes apart: describe() forgets none.
TEST(Graph, DifferentAttributesAreDifferentNodes) {
  Graph graph;
  const Value x = graph.input("x", f32({4, 4})), row = graph.input("row", f32({4})),
              cube = graph.input("cube", f32({2, 2, 2}));
  const Value tick = graph.input("tick", {DType::int64, {}}), cursor = graph.input("cursor", {DType::int64, {}});
  const Value data = graph.input("data", {DType::uint8, {8, 4}}), labels = graph.input("labels", {DType::int32, {8}});
  const Value flat = graph.input("flat", f32({32})), scalar = graph.input("scalar", f32({}));
  const Value statistics = graph.input("statistics", f32({512})), ring = graph.input("ring", f32({3, 32})),
              ring_tick = graph.input("ring_tick", {DType::int64, {3}});
  const Activation none, relu_act{Activation::Kind::leaky_relu, 0}, leaky{Activation::Kind::leaky_relu, 0.2f},
      tanh_act{Activation::Kind::tanh}, sigmoid_act{Activation::Kind::sigmoid};
  const auto norm = [&](BatchNormOptions o) { return batch_norm(x, row, row, row, row, o).y; };
  const auto norm_grad = [&](BatchNormOptions o) { return grad(sum(square(norm(o))), {x})[0]; };
  const auto rated = [&](AdamRates rates) { return adam_step({flat, flat, flat, scalar, flat}, flat, rates, {}).w; };
  const auto adam = [&](AdamOptions o) { return adam_step({flat, flat, flat, scalar, flat}, flat, scalar, o).w; };
  const auto batch = [&](std::int64_t rows, std::uint64_t seed, float scale, float shift) {
    return draw_batch(cursor, data, labels, rows, seed, scale, shift).x;
  };
  const auto open = [&](const std::function<void(PrologueOptions&)>& change) {
    PrologueOptions o{.seed = 1,
                      .rows = 2,
                      .scale = 1,
                      .shift = 0,
                      .latents = {{{3}, false}},
                      .schedules = {{Schedule::Kind::linear, 0, 1, 0, 10}},
                      .draws = {4}};
    change(o);
    return prologue({tick, cursor, statistics, ring, ring_tick}, data, labels, o).state.tick;
  };
  const auto planned = [&](const Schedule& s) { return schedule(tick, {s})[0]; };
  using Kind = Schedule::Kind;

  // clang-format off
  const std::vector<std::pair<const char*, std::function<Values()>>> families = {
      {"maps", [&] { return Values{neg(x), abs(x), exp(x), log(x), sqrt(x), recip(x), square(x), tanh(x), sigmoid(x), softplus(x), sin(x), cos(x), floor(x), sign(x), is_finite(x), relu(x)}; }},
      {"leaky_relu", [&] { return Values{leaky_relu(x, 0.1), leaky_relu(x, 0.2), leaky_relu(x, 0.1 + 1e-12), leaky_slope(x, 0.1), leaky_slope(x, 0.2)}; }},
      {"pow", [&] { return Values{pow(x, 2), pow(x, 3), pow(x, 0.5)}; }},
      {"affine", [&] { return Values{affine(x, 2, 1), affine(x, 1, 2), affine(x, 2, 0), affine(x, 2, -1)}; }},
      {"clamp", [&] { return Values{clamp(x, 0, 1), clamp(x, -1, 1), clamp(x, 0, 2)}; }},
      {"two operands", [&] { return Values{add(x, row), sub(x, row), mul(x, row), div(x, row), minimum(x, row), maximum(x, row), less(x, row), equal(x, row)}; }},
      {"reductions", [&] { return Values{sum(x, {0}), sum(x, {1}), sum(x), max(x, {0}), max(x, {1}), argmax(x, 0), argmax(x, 1)}; }},
      {"broadcast", [&] { return Values{broadcast(row, {4, 4}), broadcast(row, {2, 4}), broadcast(row, {1, 4})}; }},
      {"reshape", [&] { return Values{reshape(x, {2, 8}), reshape(x, {8, 2}), reshape(x, {16})}; }},
      {"transpose", [&] { return Values{transpose(cube, std::vector{0, 2, 1}), transpose(cube, std::vector{1, 0, 2}), transpose(cube, std::vector{2, 0, 1}), transpose(cube, std::vector{1, 2, 0})}; }},
      {"slice", [&] { return Values{slice(row, 0, 0, 2), slice(row, 0, 1, 3), slice(row, 0, 1, 4), slice(row, 0, 0, 4, 2), slice(row, 0, 0, 3, 2), slice(row, 0, 0, 4, 3)}; }},
      {"pad", [&] { return Values{pad(row, std::vector<Padding>{{1, 2, 0}}), pad(row, std::vector<Padding>{{2, 1, 0}}), pad(row, std::vector<Padding>{{0, 0, 1}}), pad(row, std::vector<Padding>{{3, 0, 0}})}; }},
      {"concat", [&] { return Values{concat({x, x}, 0), concat({x, x}, 1), concat_aligned({row, row}, 4), concat_aligned({row, row}, 8), concat_aligned({row, row}, 4, 32), concat({row, row}, 0)}; }},
      {"identities", [&] { return Values{stop_gradient(x), x, -x}; }},
      {"matmul", [&] { return Values{matmul(x, x), matmul(x, x, true), matmul(x, x, false, true), matmul(x, x, true, true)}; }},
      {"cast", [&] { return Values{cast(x, DType::float64), cast(x, DType::int32), cast(x, DType::uint8), cast(x, DType::int64)}; }},
      {"constant", [&] { return Values{constant(graph, 1, f32({4})), constant(graph, 1 + 1e-15, f32({4})), constant(graph, 1, f32({2, 2})), constant(graph, 1, {DType::float64, {4}}), constant(graph, 0.0, f32({4})), constant(graph, -0.0, f32({4}))}; }},
      {"iota", [&] { return Values{iota(graph, f32({4, 4}), 0), iota(graph, f32({4, 4}), 1), iota(graph, f32({4, 2}), 0), iota(graph, {DType::int32, {4, 4}}, 0)}; }},
      {"random", [&] { return Values{uniform(tick, 1, 1, {4}), uniform(tick, 2, 1, {4}), uniform(tick, 1, 2, {4}), uniform(tick, 1, 1, {2, 2}), uniform(tick, 1, 1, {4}, -1), uniform(tick, 1, 1, {4}, 0, 2), uniform(cursor, 1, 1, {4}), normal(tick, 1, 1, {4}), normal(tick, 1, 1, {4}, 0, 2)}; }},
      {"draw_batch", [&] { return Values{batch(2, 1, 1, 0), batch(3, 1, 1, 0), batch(2, 2, 1, 0), batch(2, 1, 2, 0), batch(2, 1, 1, 1)}; }},
      {"schedule", [&] { return Values{planned({Kind::linear, 0, 1, 0, 10}), planned({Kind::cosine, 0, 1, 0, 10}), planned({Kind::step, 0, 1, 0, 10}), planned({Kind::constant, 0, 1, 0, 10}), planned({Kind::linear, 2, 1, 0, 10}), planned({Kind::linear, 0, 2, 0, 10}), planned({Kind::linear, 0, 1, 1, 10}), planned({Kind::linear, 0, 1, 0, 11}), planned({Kind::linear, 0, 1, 0, 10, true})}; }},
      {"linear", [&] { return Values{linear(x, x, row), linear(x, x, {}), linear(x, x, row, leaky), linear(x, x, row, relu_act), linear(x, x, row, tanh_act), linear(x, x, row, sigmoid_act)}; }},
      {"linear_input_grad", [&] { return Values{linear_input_grad(x, x), linear_input_grad(x, x, x, leaky), linear_input_grad(x, x, x, relu_act), linear_input_grad(x, x, x, tanh_act), linear_input_grad(x, x, x, sigmoid_act)}; }},
      {"batch_norm", [&] { return Values{norm({}), norm({.eps = 1}), norm({.momentum = 0.5f}), norm({.groups = 2}), norm({.activation = leaky}), norm({.activation = relu_act}), norm({.activation = tanh_act})}; }},
      {"act_grad", [&] { return Values{act_grad(x, x, leaky), act_grad(x, x, relu_act), act_grad(x, x, tanh_act), act_grad(x, x, sigmoid_act)}; }},
      {"batch_norm_grad", [&] { return Values{norm_grad({}), norm_grad({.eps = 1}), norm_grad({.groups = 2}), norm_grad({.activation = leaky}), norm_grad({.activation = tanh_act}), act_grad(norm_grad({}), x, leaky), act_grad(norm_grad({}), x, relu_act), act_grad(norm_grad({}), x, tanh_act)}; }},
      {"batch_norm_inference", [&] { return Values{batch_norm_inference(x, row, row, row, row, 1e-3f), batch_norm_inference(x, row, row, row, row, 1e-5f), batch_norm_inference(x, row, row, row, row, 1e-3f, tanh_act)}; }},
      {"discriminator_loss", [&] { return Values{discriminator_loss(row, Objective::non_saturating).loss, discriminator_loss(row, Objective::saturating).loss, discriminator_loss(row, Objective::least_squares).loss, discriminator_loss(row, Objective::non_saturating, 0.9f).loss}; }},
      {"generator_loss", [&] { return Values{generator_loss(row, Objective::non_saturating), generator_loss(row, Objective::saturating), generator_loss(row, Objective::least_squares)}; }},
      {"adam", [&] { return Values{adam({}), adam({.beta1 = 0.5f}), adam({.beta2 = 0.5f}), adam({.eps = 1}), adam({.ema_decay = 0.5f}), adam({.segments = {{16, 1, 0.5f}}}), adam({.segments = {{32, 1, 0.5f}}}), adam({.segments = {{16, 0.5f, 0.5f}}}), adam({.segments = {{16, 1, 0.25f}}}), adam({.segments = {{16, 1, 0.5f}, {32, 1, 0}}}), rated({scalar, scalar}), rated({scalar, {}, scalar}), rated({scalar, {}, {}, scalar})}; }},
      {"prologue", [&] {
         return Values{open([](auto&) {}), open([](auto& o) { o.seed = 2; }), open([](auto& o) { o.rows = 3; }), open([](auto& o) { o.scale = 2; }), open([](auto& o) { o.shift = 2; }),
                       open([](auto& o) { o.latents[0].shape = {4}; }), open([](auto& o) { o.latents[0].uniform = true; }), open([](auto& o) { o.latents[0] = {{3}, true, -1, 1}; }), open([](auto& o) { o.latents[0] = {{3}, true, 0, 2}; }),
                       open([](auto& o) { o.draws[0] = 5; }), open([](auto& o) { o.schedules[0].to = 2; }), open([](auto& o) { o.schedules.clear(); }), open([](auto& o) { o.latents.clear(); })};
       }},
  };
  // clang-format on
  for (const auto& [name, family] : families) {
    const Values values = family();
    for (std::size_t i = 0; i < values.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        EXPECT_NE(values[i], values[j]) << name << ": variants " << j << " and " << i << " are one node";
    EXPECT_EQ(family(), values) << name << ": built again, they are the same";
  }
}

TEST(Graph, ShapeErrorsBeginWithTheScope) {
  Graph graph;
  const Value x = graph.input("x", f32({3, 4})), w = graph.input("w", f32({5, 6}));
  graph.set_scope("discriminator/3_linear");
  const std::vector<std::function<void()>> wrong = {
      [&] { linear(x, w, {}); },
      [&] { x + w; },
      [&] { x + constant(graph, 1, f32({7})); },
      [&] {
        x + constant(graph, 1, {DType::float64, {}});
      },
      [&] { sum(x, {2}); },
      [&] {
        sum(x, {0, 0});
      },
      [&] { mean(x, {5}); },
      [&] { max(x, {-3}); },
      [&] { argmax(x, 2); },
      [&] {
        reshape(x, {-1, 5});
      },
      [&] {
        reshape(x, {-1, -1});
      },
      [&] { reshape(x, {5}); },
      [&] { transpose(sum(x)); },
      [&] {
        transpose(x, std::vector{0, 0});
      },
      [&] { slice(x, 2, 0, 1); },
      [&] { slice(x, 0, 0, 4); },
      [&] { slice(x, 0, 2, 1); },
      [&] { slice(x, 0, 0, 2, 0); },
      [&] {
        pad(x, std::vector<Padding>{{1, 0, 0}});
      },
      [&] {
        pad(x, std::vector<Padding>{{-1, 0, 0}, {}});
      },
      [&] {
        concat({x, w}, 0);
      },
      [&] {
        concat({x, x}, 2);
      },
      [&] { concat_aligned({sum(x, {0})}, 1); },
      [&] { split(x, 2); },
      [&] { matmul(x, w); },
      [&] {
        broadcast(x, {3, 5});
      },
      [&] { batch_norm(sum(x), x, x, x, x, {}); },
      [&] { iota(graph, f32({3}), 1); },
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    EXPECT_THROW(wrong[i](), ShapeError) << "case " << i;
    EXPECT_TRUE(message_of(wrong[i]).starts_with("discriminator/3_linear: "))
        << "case " << i << ": " << message_of(wrong[i]);
  }
  EXPECT_EQ(message_of(wrong[0]), "discriminator/3_linear: linear bias=0 act=none: x has 4 features, w takes 6");
}

TEST(Graph, ActGradBecomesAnEpilogue) {
  Graph graph;
  const Activation leaky{Activation::Kind::leaky_relu, 0.2f}, tanh_act{Activation::Kind::tanh};
  const Value dz = graph.input("dz", f32({4, 3})), w = graph.input("w", f32({3, 5})), y = graph.input("y", f32({4, 5}));
  const Value row = graph.input("row", f32({5}));
  const Value dx = linear_input_grad(dz, w);
  EXPECT_EQ(act_grad(dx, y, leaky), linear_input_grad(dz, w, y, leaky));
  const auto op_of = [&](Value value) { return graph.node(value.node()).op->describe(); };
  const Value masked = act_grad(act_grad(dx, y, leaky), y, tanh_act);
  EXPECT_EQ(op_of(masked), "act_grad act=tanh") << "it has an epilogue already";

  const Value norm_dx = grad({batch_norm(y, row, row, row, row, {}).y}, {dx}, {y})[0];
  EXPECT_TRUE(op_of(act_grad(norm_dx, y, tanh_act)).ends_with("input_act=tanh"));
  EXPECT_TRUE(op_of(act_grad(norm_dx, tanh(y), leaky)).starts_with("act_grad")) << "of another value than its input";
}

TEST(Graph, OperandsMustBeOfTheGraph) {
  Graph graph, other;
  const Value x = graph.input("x", f32({3})), y = other.input("y", f32({3}));
  EXPECT_THROW(x + y, Error);
  EXPECT_THROW(graph.output("absent", {}), Error);
  EXPECT_THROW(Value().type(), Error);
  EXPECT_THROW(graph.input("x", f32({4})), ShapeError);
}

// --- gradients
// ------------------------------------------------------------------------------------------------------------
/// x·σ(y), without a kernel or a gradient rule.
class Gated : public Op {
 public:
  std::string describe() const override { return "gated"; }
  Types infer(const Types& in) const override {
    if (in[0] != in[1]) throw ShapeError("two operands of one shape wanted");
    return {in[0]};
  }
  Values expand(const Values& in) const override { return {in[0] * sigmoid(in[1])}; }
  Kernel prepare(Device&, const Types&) const override { return {}; }
};
Value gated(Value x, Value y) {
  return x.graph().add(Gated(), {x, y})[0];
}

struct Sigmoid {
  explicit Sigmoid(double x) : s(1 / (1 + std::exp(-x))) {}
  double s, first = s * (1 - s), second = first * (1 - 2 * s), third = first * (1 - 6 * s + 6 * s * s);
};

// f(x, x) = x·σ(x): each use counts once.
TEST(Grad, OpOfOneselfWithoutKernelToThirdOrder) {
  for (Device& device : devices()) {
    Graph graph;
    const Value x = graph.input("x", f32({5}));
    const Value y = gated(x, x);
    const Value first = grad(sum(y), {x})[0], second = grad(sum(first), {x})[0], third = grad(sum(second), {x})[0];
    graph.output("y", y);
    graph.output("first", first);
    graph.output("second", second);
    graph.output("third", third);
    Program program = compile(device, graph);
    const Floats at = {-3, -0.5, 0, 1, 2};
    run(program, "y", {{"x", at}});
    for (std::size_t i = 0; i < at.size(); ++i) {
      const double x_i = static_cast<double>(at[i]);
      const Sigmoid s(x_i);
      EXPECT_NEAR(program.floats("y")[i], x_i * s.s, 1e-6);
      EXPECT_NEAR(program.floats("first")[i], s.s + x_i * s.first, 1e-6);
      EXPECT_NEAR(program.floats("second")[i], 2 * s.first + x_i * s.second, 1e-6);
      EXPECT_NEAR(program.floats("third")[i], 3 * s.second + x_i * s.third, 1e-6);
    }
    EXPECT_TRUE(
        std::ranges::none_of(program.report().launches, [](const auto& launch) { return launch.op == "gated"; }));
  }
}

TEST(Grad, AbsentMeansZero) {
  Graph graph;
  const Value x = graph.input("x", f32({3})), y = graph.input("y", f32({3}));
  EXPECT_FALSE(grad(sum(y), {x})[0]);
  EXPECT_FALSE(grad(sum(stop_gradient(x) * floor(x)), {x})[0]);
  EXPECT_FALSE(grad({x * y}, {Value()}, {x})[0]);
  EXPECT_EQ(grad({}, {}, {x, y}), (Values{{}, {}}));
  EXPECT_FALSE(grad(sum(x), {Value()})[0]);
  const Value half = grad(sum(x * stop_gradient(x)), {x})[0];
  EXPECT_EQ(half, stop_gradient(x)) << "one of the two factors is constant";
  EXPECT_THROW(grad(x, {x}), ShapeError) << "not a scalar";
}

TEST(Grad, OfWhatItIsTakenOf) {
  Graph graph;
  const Value x = graph.input("x", f32({3}));
  const Value y = tanh(x), z = square(y);
  const Value dz = graph.input("dz", f32({3}));
  EXPECT_EQ(grad({z}, {dz}, {z})[0], dz);
  const Values both = grad({z}, {dz}, {x, y});
  EXPECT_EQ(both[1], grad({z}, {dz}, {y})[0]) << "x and what comes from it may both be asked for";
  EXPECT_EQ(both[0], grad({z}, {dz}, {x})[0]);
}

TEST(Grad, VisitsOnlyWhatLiesBetween) {
  Graph graph;
  const Value x = graph.input("x", f32({8, 4})), w1 = graph.input("w1", f32({4, 4})),
              w2 = graph.input("w2", f32({4, 4}));
  const Value loss = sum(linear(linear(x, w1, {}), w2, {}));
  const std::size_t before = graph.nodes().size();
  grad(loss, {w2});
  for (std::size_t n = before; n < graph.nodes().size(); ++n)
    for (const Value& operand : graph.nodes()[n].in) EXPECT_NE(operand, w1) << "nothing goes through the first layer";
}

TEST(Grad, NodesBearTheScopeOfWhatTheyBelongTo) {
  Graph graph;
  const Value x = graph.input("x", f32({4}));
  graph.set_scope("inner");
  const Value y = tanh(x);
  graph.set_scope("outer");
  const Value g = grad(sum(y), {x})[0];
  EXPECT_EQ(graph.node(g.node()).scope, "inner");
  EXPECT_EQ(graph.scope(), "outer");
}

}  // namespace
}  // namespace ganforge
