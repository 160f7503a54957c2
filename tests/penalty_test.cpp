// Penalties: closed forms on a linear critic, float64 finite differences through a network, the GPU against the CPU.
#include "src/gan/penalties.h"
#include "tests/graph_support.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ganforge {
namespace {

constexpr std::int64_t n = 6, features = 5;

std::vector<double> waves(std::int64_t count, double shift) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(0.8 * std::sin(1.3 * static_cast<double>(i) + shift));
  return values;
}

template <class T>
void fill(Program& program, const std::string& input, const std::vector<double>& values) {
  const std::vector<T> cast(values.begin(), values.end());
  program.upload(input, cast.data(), cast.size() * sizeof(T));
}

template <class T>
std::vector<double> read(Program& program, const std::string& output) {
  std::vector<T> values(static_cast<std::size_t>(program.output_type(output).shape.elements()));
  program.download(output, values.data(), values.size() * sizeof(T));
  return {values.begin(), values.end()};
}

using Build = Value (*)(Value logits, Value x);

// For D(x) = w·x the gradient is w, whatever x is: R1 is ½‖w‖², with derivative w; the one-centred penalty (‖w‖ − 1)²,
// with derivative 2·(1 − 1/‖w‖)·w.
TEST(Penalty, LinearCriticHasClosedForm) {
  const std::vector<double> w = waves(features, 0.2);
  double norm = 0;
  for (double wi : w) norm += wi * wi;
  norm = std::sqrt(norm);
  for (Device& device : devices()) {
    for (const bool one_centred : {false, true}) {
      Graph graph;
      const Value x = graph.input("x", f32({n, features})), weights = graph.input("w", f32({1, features}));
      const Build build = one_centred ? one_centred_penalty : zero_centred_penalty;
      const Value penalty = build(linear(x, weights, {}), x);
      graph.output("penalty", penalty);
      graph.output("dw", grad(penalty, {weights})[0]);
      Program program = compile(device, graph);
      fill<float>(program, "x", waves(n * features, 1));
      fill<float>(program, "w", w);
      program.run();
      EXPECT_NEAR(read<float>(program, "penalty")[0], one_centred ? (norm - 1) * (norm - 1) : 0.5 * norm * norm, 1e-6);
      const std::vector<double> dw = read<float>(program, "dw");
      for (std::size_t i = 0; i < w.size(); ++i)
        EXPECT_NEAR(dw[i], one_centred ? 2 * (1 - 1 / norm) * w[i] : w[i], 1e-6) << i;
    }
  }
}

// At a gradient of zero the norm has no derivative; the penalty's is finite.
TEST(Penalty, IsFiniteWhereTheGradientIsZero) {
  for (Device& device : devices()) {
    Graph graph;
    const Value x = graph.input("x", f32({n, features})), weights = graph.input("w", f32({1, features}));
    const Value penalty = one_centred_penalty(linear(x, weights, {}), x);
    graph.output("dw", grad(penalty, {weights})[0]);
    graph.output("penalty", penalty);
    Program program = compile(device, graph);
    fill<float>(program, "x", waves(n * features, 1));
    fill<float>(program, "w", std::vector<double>(features, 0.0));
    program.run();
    EXPECT_NEAR(read<float>(program, "penalty")[0], 1, 1e-5);
    for (double d : read<float>(program, "dw")) EXPECT_TRUE(std::isfinite(d));
  }
}

/// A network of two hidden layers and what a penalty gives for it.
struct Case {
  Activation act;
  bool one_centred;
};

template <class T>
struct Net {
  Net(Device& device, const Case& c) {
    const DType dtype = sizeof(T) == 8 ? DType::float64 : DType::float32;
    Graph graph;
    const Value x = graph.input("x", {dtype, {n, features}});
    const Values w = {graph.input("w1", {dtype, {7, features}}), graph.input("b1", {dtype, {7}}),
                      graph.input("w2", {dtype, {9, 7}}), graph.input("w3", {dtype, {1, 9}})};
    const Value h = linear(linear(x, w[0], w[1], c.act), w[2], {}, c.act);
    const Value penalty = (c.one_centred ? one_centred_penalty : zero_centred_penalty)(linear(h, w[3], {}), x);
    graph.output("penalty", penalty);
    const Values dw = grad(penalty, w);
    for (std::size_t i = 0; i < w.size(); ++i)
      if (dw[i]) graph.output("d" + names[i], dw[i]);
    program.emplace_back(compile(device, graph));
    fill<T>(program[0], "x", waves(n * features, 1));
  }
  double value(const std::vector<std::vector<double>>& w) {
    for (std::size_t i = 0; i < w.size(); ++i) fill<T>(program[0], names[i], w[i]);
    program[0].run();
    return read<T>(program[0], "penalty")[0];
  }
  const std::vector<std::string> names = {"w1", "b1", "w2", "w3"};
  std::vector<Program> program;
};

TEST(Penalty, GradientThroughTheNetworkIsItsFiniteDifference) {
  const Activation leaky{Activation::Kind::leaky_relu, 0.2f}, tanh{Activation::Kind::tanh};
  for (const Case& c : {Case{leaky, false}, Case{leaky, true}, Case{tanh, false}, Case{tanh, true}}) {
    const bool smooth = c.act.kind == Activation::Kind::tanh;
    std::vector<std::vector<double>> w = {waves(7 * features, 0.1), waves(7, 0.4), waves(63, 0.7), waves(9, 0.9)};
    Net<double> reference(devices()[0], c);
    const double penalty = reference.value(w);
    std::vector<std::vector<double>> gradient;
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (i == 1 && !smooth) {  // the bias moves no slope of a piecewise linear network
        gradient.push_back({});
        continue;
      }
      gradient.push_back(read<double>(reference.program[0], "d" + reference.names[i]));
    }
    for (std::size_t i = 0; i < w.size(); ++i) {
      for (std::size_t k = 0; k < gradient[i].size(); k += 4) {
        const double at = w[i][k], step = 1e-6;
        w[i][k] = at + step;
        const double above = reference.value(w);
        w[i][k] = at - step;
        const double below = reference.value(w);
        w[i][k] = at;
        EXPECT_NEAR(gradient[i][k], (above - below) / (2 * step), 1e-7) << reference.names[i] << "[" << k << "]";
      }
    }
    // Kernels, on every device.
    for (Device& device : devices()) {
      Net<float> kernels(device, c);
      EXPECT_NEAR(kernels.value(w), penalty, 1e-5 * (1 + std::abs(penalty)));
      for (std::size_t i = 0; i < w.size(); ++i) {
        if (gradient[i].empty()) continue;
        const std::vector<double> got = read<float>(kernels.program[0], "d" + kernels.names[i]);
        for (std::size_t k = 0; k < got.size(); ++k) EXPECT_NEAR(got[k], gradient[i][k], 1e-5) << kernels.names[i];
      }
    }
  }
}

TEST(Penalty, InterpolatesEachSampleByItsShare) {
  Graph graph;
  const Value real = graph.input("real", f32({2, 3})), fake = graph.input("fake", f32({2, 3}));
  graph.output("x", interpolate(real, fake, graph.input("share", f32({2, 1}))));
  Program program = compile(devices()[0], graph);
  const Floats x =
      run(program, "x", {{"real", {1, 2, 3, 4, 5, 6}}, {"fake", {3, 2, 1, 0, 0, 0}}, {"share", {0.5f, 0.25f}}});
  EXPECT_EQ(x, (Floats{2, 2, 2, 3, 3.75f, 4.5f}));
}

TEST(Penalty, WantsLogitsThatDependOnX) {
  Graph graph;
  const Value x = graph.input("x", f32({n, features})), other = graph.input("other", f32({n, 1}));
  EXPECT_NE(message_of([&] { zero_centred_penalty(other, x); }).find("do not depend"), std::string::npos);
}

/// A discriminator with weights of its own, and the penalties of a batch.
Floats penalties_of(Device& device, const std::vector<Penalty::Kind>& kinds) {
  VariableStore store(device, 3);
  Network d(store, "discriminator", Sequential{Linear{16}, LeakyReLU{0.2f}, Linear{8}, LeakyReLU{0.2f}, Linear{1}},
            Shape{n, 2});
  Graph graph;
  Context context(graph, store, Mode::training);
  DiscriminatorBatch batch;
  batch.real = graph.input("real", f32({n, 2}));
  batch.fake = graph.input("fake", f32({n, 2}));
  batch.share = batch.dragan_share = graph.input("share", f32({n, 1}));
  batch.noise = graph.input("noise", f32({n, 2}));
  std::vector<ActivePenalty> active;
  for (Penalty::Kind kind : kinds) active.push_back({kind, constant(graph, 2, f32({}))});
  Judge judge(d);
  const DiscriminatorPass pass = discriminate(context, judge, batch, active);
  graph.output("penalty", pass.penalty);
  graph.output("logits", pass.logits);
  Program program = compile(device, graph);
  fill<float>(program, "real", waves(2 * n, 0.3));
  fill<float>(program, "fake", waves(2 * n, 2));
  fill<float>(program, "share", {0.1, 0.9, 0.5, 0.3, 0, 0.7});
  fill<float>(program, "noise", {0.1, 0.9, 0.5, 0.3, 0, 0.7, 0.2, 0.4, 0.6, 0.8, 0.1, 0.3});
  program.run();
  Floats all = program.floats("logits");
  all.push_back(program.floats("penalty")[0]);
  return all;
}

// R1 and R2 together go back through one batch of 2N, each alone through its half: the same numbers.
TEST(Discriminate, AddsItsPenalties) {
  using Kind = Penalty::Kind;
  for (Device& device : devices()) {
    const Floats r1 = penalties_of(device, {Kind::r1}), r2 = penalties_of(device, {Kind::r2}),
                 both = penalties_of(device, {Kind::r1, Kind::r2}), gp = penalties_of(device, {Kind::gp}),
                 dragan = penalties_of(device, {Kind::dragan}),
                 all = penalties_of(device, {Kind::dragan, Kind::r2, Kind::gp, Kind::r1});
    for (std::size_t i = 0; i < 2 * n; ++i) {
      EXPECT_NEAR(r1[i], both[i], 1e-6);
      EXPECT_NEAR(gp[i], all[i], 1e-6);
    }
    EXPECT_GT(r1.back(), 0);
    EXPECT_NE(r1.back(), r2.back());
    EXPECT_NE(gp.back(), dragan.back());
    EXPECT_NEAR(both.back(), r1.back() + r2.back(), 1e-5 * both.back());
    EXPECT_NEAR(all.back(), both.back() + gp.back() + dragan.back(), 1e-5 * all.back());
    EXPECT_NEAR(all.back(), penalties_of(devices()[0], {Kind::dragan, Kind::r2, Kind::gp, Kind::r1}).back(), 1e-5);
  }
}

}  // namespace
}  // namespace ganforge
