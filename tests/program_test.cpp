// Programs: variables, passes, memory. What holds whatever the ops are.
#include "kernels/linear.h"
#include "tests/graph_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace ganforge {
namespace {

// --- variables
// --------------------------------------------------------------------------------------------------------------
TEST(Variables, ReadGivesTheValueLastAssigned) {
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    Variable& a = store.variable("a", f32({4}));
    const Floats start = {1, 2, 3, 4};
    store.upload(a, start.data());
    Graph graph;
    const Value old = graph.read(a);
    graph.output("old", old);
    graph.assign(a, old * 2.0);
    EXPECT_NE(graph.read(a), old);
    graph.assign(a, graph.read(a) + 1.0);
    graph.output("new", graph.read(a));
    EXPECT_EQ(graph.assigns().size(), 1u);
    Program program = compile(device, graph);
    program.run();
    EXPECT_EQ(program.floats("old"), start);
    EXPECT_EQ(program.floats("new"), (Floats{3, 5, 7, 9}));
    EXPECT_EQ(stored(store, a), (Floats{3, 5, 7, 9}));
    program.run();
    EXPECT_EQ(program.floats("old"), (Floats{3, 5, 7, 9}));
    EXPECT_EQ(stored(store, a), (Floats{7, 11, 15, 19}));
  }
}

TEST(Variables, SwapAndShare) {
  for (Device& device : devices())
    for (bool unplanned : {false, true}) {
      VariableStore store(device, 1);
      Variable &a = store.variable("a", f32({4})), &b = store.variable("b", f32({4})),
               &c = store.variable("c", f32({2, 2})), &d = store.variable("d", f32({4}));
      store.upload(a, Floats{1, 2, 3, 4}.data());
      store.upload(b, Floats{5, 6, 7, 8}.data());
      Graph graph;
      const Value old_a = graph.read(a), old_b = graph.read(b), made = old_a + old_b;
      graph.assign(a, old_b);
      graph.assign(b, old_a);
      graph.assign(c, reshape(made, {2, 2}));
      graph.assign(d, made);
      Program program = compile(device, graph, {.unplanned = unplanned});
      program.run();
      EXPECT_EQ(stored(store, a), (Floats{5, 6, 7, 8}));
      EXPECT_EQ(stored(store, b), (Floats{1, 2, 3, 4}));
      EXPECT_EQ(stored(store, c), (Floats{6, 8, 10, 12}));
      EXPECT_EQ(stored(store, d), (Floats{6, 8, 10, 12}));
      program.run();
      EXPECT_EQ(stored(store, a), (Floats{1, 2, 3, 4}));
    }
}

TEST(Variables, OfTwoStoresMayBearOneName) {
  Device& device = devices()[0];
  VariableStore first(device, 1), second(device, 1);
  Variable &a = first.variable("w", f32({2})), &b = second.variable("w", f32({2}));
  first.upload(a, Floats{1, 2}.data());
  second.upload(b, Floats{10, 20}.data());
  Graph graph;
  graph.output("sum", graph.read(a) + graph.read(b));
  Program program = compile(device, graph);
  EXPECT_EQ(run(program, "sum"), (Floats{11, 22}));
}

TEST(Variables, GradientsAreOfTheValuesTheLossWasBuiltFrom) {
  Device& device = devices()[0];
  VariableStore store(device, 1);
  Variable& w = store.variable("w", f32({4}));
  Graph graph;
  const Value old = graph.read(w), loss = sum(square(old));
  graph.assign(w, old - grad(loss, {old})[0] * 0.1);
  EXPECT_FALSE(grad(loss, {graph.read(w)})[0]) << "the loss knows nothing of the new value";
  EXPECT_TRUE(grad(sum(square(graph.read(w))), {graph.read(w)})[0]);
  EXPECT_EQ(grad(loss, {old})[0], old * 2.0);
  EXPECT_THROW(graph.assign(w, sum(old)), ShapeError);
  EXPECT_THROW(graph.assign(w, {}), Error);
}

// --- passes and programs
// ------------------------------------------------------------------------------------------------------
int launches_of(const Program& program, const std::string& op) {
  return static_cast<int>(
      std::ranges::count_if(program.report().launches, [&](const auto& launch) { return launch.op.starts_with(op); }));
}

TEST(Passes, DeadCodeIsNotRun) {
  Graph graph;
  const Value x = graph.input("x", f32({4}));
  const Value y = tanh(x);
  exp(y);
  sum(square(y));
  graph.output("y", y);
  const Program program = compile(devices()[0], graph);
  EXPECT_EQ(program.report().launches.size(), 1u);
  EXPECT_EQ(program.launches(), 1);
  EXPECT_EQ(program.report().launches[0].op, "tanh");
}

/// Expands to itself.
class Endless : public Op {
 public:
  std::string describe() const override { return "endless"; }
  Types infer(const Types& in) const override { return in; }
  Values expand(const Values& in) const override { return in[0].graph().add(Endless(), {neg(in[0])}); }
  Kernel prepare(Device&, const Types&) const override { return {}; }
};
/// Has neither kernel nor expansion.
class Empty : public Endless {
 public:
  std::string describe() const override { return "empty"; }
  Values expand(const Values&) const override { return {}; }
};
/// Its expansion is of another type than it says.
class Liar : public Endless {
 public:
  std::string describe() const override { return "liar"; }
  Values expand(const Values& in) const override { return {sum(in[0])}; }
};

TEST(Passes, WrongOpsAreErrors) {
  const auto compile_one = [](auto op) {
    return message_of([&] {
      Graph graph;
      graph.output("y", graph.add(op, {graph.input("x", f32({4}))})[0]);
      compile(devices()[0], graph);
    });
  };
  EXPECT_NE(compile_one(Endless()).find("expands into itself"), std::string::npos);
  EXPECT_NE(compile_one(Empty()).find("empty has no kernel on this device and no expansion"), std::string::npos);
  EXPECT_NE(compile_one(Liar()).find("expands to float32 [], inferred was float32 [4]"), std::string::npos);
  Graph graph;
  const Value x = graph.input("x", f32({4}));
  EXPECT_THROW(grad(sum(graph.add(Empty(), {x})[0]), {x}), Error);
}

/// Gradients of all weights of a net of so many layers.
Values weight_gradients(Graph& graph, int layers) {
  Value x = graph.input("x", f32({6, 5}));
  Values weights;
  for (int i = 0; i < layers; ++i) {
    weights.push_back(graph.input("w" + std::to_string(i), f32({5, 5})));
    x = linear(x, weights.back(), {}, {Activation::Kind::leaky_relu, 0.2f});
  }
  return grad(sum(x), weights);
}

TEST(Passes, WeightGradientsOfANetAreOneLaunch) {
  for (Device& device : devices()) {
    Graph graph;
    const Values g = weight_gradients(graph, 4);
    for (std::size_t i = 0; i < g.size(); ++i) graph.output("g" + std::to_string(i), g[i]);
    const Program program = compile(device, graph);
    ASSERT_EQ(launches_of(program, "linear_weight_grad"), 1);
    const auto& launch =
        *std::ranges::find(program.report().launches, "linear_weight_grad", &ProgramReport::Launch::op);
    EXPECT_EQ(launch.nodes, 4);
    EXPECT_EQ(launch.types.size(), 4u);
  }
}

TEST(Passes, GroupsHaveALimit) {
  Graph graph;
  const Values g = weight_gradients(graph, max_linear_group + 3);
  Value total = constant(graph, 0, f32({}));
  for (const Value& v : g) total = total + sum(square(v));
  graph.output("norm", total);
  Program program = compile(devices()[0], graph);
  EXPECT_EQ(launches_of(program, "linear_weight_grad"), 2);
}

TEST(Passes, DependentNodesAreNotGrouped) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", f32({4, 4})), y = graph.input("y", f32({4, 4}));
    const Value first = linear_weight_grad(x, y).first;
    const Value other = linear_weight_grad(y, x).first;  // independent of the first
    const Value direct = linear_weight_grad(reshape(reshape(first, {16}), {4, 4}), y).first;  // reads it through a view
    const Value indirect = linear_weight_grad(tanh(direct), other).first;
    graph.output("z", indirect + first + other);
  };
  Floats x(16), y(16);
  for (std::size_t i = 0; i < 16; ++i)
    x[i] = 0.1f * static_cast<float>(i) - 0.7f, y[i] = 0.5f - 0.05f * static_cast<float>(i * i % 17);
  const auto by_hand = [&] {
    const auto product = [](const Floats& dz, const Floats& in) {
      Floats dw(16);
      for (std::size_t o = 0; o < 4; ++o)
        for (std::size_t i = 0; i < 4; ++i)
          for (std::size_t r = 0; r < 4; ++r) dw[4 * o + i] += dz[4 * r + o] * in[4 * r + i];
      return dw;
    };
    const Floats first = product(x, y), other = product(y, x);
    Floats direct = product(first, y);
    for (float& v : direct) v = std::tanh(v);
    Floats z = product(direct, other);
    for (std::size_t i = 0; i < 16; ++i) z[i] += first[i] + other[i];
    return z;
  }();
  for (Device& device : devices()) {
    Graph graph;
    build(graph);
    Program program = compile(device, graph);
    EXPECT_EQ(launches_of(program, "linear_weight_grad"), 3);
    const Floats z = run(program, "z", {{"x", x}, {"y", y}});
    for (std::size_t i = 0; i < 16; ++i) EXPECT_NEAR(z[i], by_hand[i], 1e-5) << device.name();
  }
}

TEST(Programs, ShareAnArenaAndAStore) {
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    Variable& a = store.variable("a", f32({100}));
    Graph grow, look;
    grow.assign(a, grow.read(a) + 1.0);
    look.output("sum", sum(square(look.read(a) * look.read(a))));
    Graph* const graphs[] = {&grow, &look};
    std::vector<Program> programs = compile(device, graphs);
    for (int i = 1; i < 4; ++i) {
      programs[0].run();
      EXPECT_EQ(run(programs[1], "sum"), (Floats{100.0f * static_cast<float>(i * i * i * i)}));
    }
  }
}

TEST(Programs, PortsAreChecked) {
  Graph graph;
  graph.output("y", cast(graph.input("x", f32({4})), DType::int32));
  Program program = compile(devices()[0], graph);
  const Floats x(5);
  EXPECT_THROW(program.upload("x", x.data(), 20), ShapeError);
  EXPECT_THROW(program.floats("y"), ShapeError);
  EXPECT_EQ(message_of([&] { program.upload("z", x.data(), 16); }), "the program has no input 'z'; it has: x");
  EXPECT_EQ(message_of([&] { program.output_type("z"); }), "the program has no output 'z'; it has: y");
}

TEST(Programs, OutputsMayBeInputsConstantsAndViews) {
  for (Device& device : devices()) {
    VariableStore store(device, 1);
    Variable& a = store.variable("a", f32({32}));
    Graph graph;
    const Value x = graph.input("x", f32({32}));
    graph.output("x", x);
    graph.output("constant", constant(graph, 3, f32({2})));
    graph.output("view", slice(x, 0, 16, 32));
    graph.output("variable", slice(graph.read(a), 0, 0, 16));
    graph.assign(a, x);
    Program program = compile(device, graph);
    Floats values(32);
    for (std::size_t i = 0; i < 32; ++i) values[i] = static_cast<float>(i);
    EXPECT_EQ(run(program, "x", {{"x", values}}), values);
    EXPECT_EQ(program.floats("constant"), Floats(2, 3.0f));
    EXPECT_EQ(program.floats("view"), Floats(values.begin() + 16, values.end()));
    EXPECT_EQ(program.floats("variable"), Floats(16));
    EXPECT_EQ(stored(store, a), values);
  }
}

// --- random graphs
// ------------------------------------------------------------------------------------------------------------
/// The same graph for the same seed, on variables of a store.
void build_random(Graph& graph, VariableStore& store, unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  // Squares of 16 numbers a row, so that rows are aligned, and of 5, so that they are not.
  const std::int64_t n = below(2) ? 16 : 5;
  std::vector<Variable*> variables;
  Values pool = {graph.input("x", f32({n, n}))};
  for (int i = 0; i < 3; ++i) variables.push_back(&store.variable("v" + std::to_string(i), f32({n, n})));
  const auto some = [&] {
    return pool[static_cast<std::size_t>(std::max(0, static_cast<int>(pool.size()) - 1 - below(5)))];
  };
  const auto some_variable = [&]() -> Variable& { return *variables[static_cast<std::size_t>(below(3))]; };
  for (int i = 5 + below(30); i > 0; --i) {
    const Value x = some();
    switch (below(13)) {
      case 0:
        pool.push_back(tanh(x));
        break;
      case 1:
        pool.push_back(x * 0.5 + some() * 0.5);
        break;
      case 2:
        pool.push_back(minimum(x, some()));
        break;
      case 3:
        pool.push_back(linear(x, some(), {}, {Activation::Kind::tanh}));
        break;
      case 4:
        pool.push_back(tanh(linear_weight_grad(x, some()).first));
        break;
      case 5:
        pool.push_back(transpose(x));
        break;
      case 6:
        pool.push_back(slice(concat({x, some()}, 0), 0, n / 2, n / 2 + n));
        break;
      case 7:
        pool.push_back(slice(concat({tanh(x), sigmoid(some()), x}, 0), 0, n, 2 * n));
        break;
      case 8:
        pool.push_back(
            reshape(slice(concat_aligned({reshape(x, {-1}), reshape(some(), {-1})}, 16), 0, 8, 8 + n * n), {n, n}));
        break;
      case 9:
        pool.push_back(graph.read(some_variable()));
        break;
      case 10:
        graph.assign(some_variable(), x);
        break;
      case 11: {
        Variable& variable = some_variable();
        graph.assign(variable, graph.read(variable) * 0.9 + x * 0.1);  // in place
        break;
      }
      case 12:
        pool.push_back(sub(x, mean(x, {0})));
        break;
    }
    if (below(8) == 0) graph.output("y" + std::to_string(i), pool.back());
  }
  // A gradient through all of it.
  if (const Value g = grad(sum(square(pool.back())), {pool[0]})[0]) graph.output("gradient", g);
  graph.output("last", pool.back());
}

TEST(Programs, RandomGraphsGiveTheSameBitsWithoutAPlan) {
  for (Device& device : devices()) {
    const unsigned seeds = device.is_cuda() ? 30 : 300;
    std::size_t planned_bytes = 0, unplanned_bytes = 0;
    for (unsigned seed = 0; seed < seeds; ++seed) {
      std::vector<Floats> results[2];
      for (bool unplanned : {false, true}) {
        VariableStore store(device, 1);
        Graph graph;
        build_random(graph, store, seed);
        std::mt19937 random(seed);
        std::uniform_real_distribution<float> uniform(-1, 1);
        Floats x(static_cast<std::size_t>(graph.inputs().at("x").shape().elements()));
        for (Variable& variable : store.variables()) {
          for (float& value : x) value = uniform(random);
          store.upload(variable, x.data());
        }
        Program program = compile(device, graph, {.unplanned = unplanned});
        (unplanned ? unplanned_bytes : planned_bytes) += program.report().arena_bytes;
        program.upload("x", x.data(), x.size() * sizeof(float));
        for (int i = 0; i < 3; ++i) {
          program.run();
          for (const auto& [name, value] : graph.outputs()) results[unplanned].push_back(program.floats(name));
          for (const Variable& variable : store.variables()) results[unplanned].push_back(stored(store, variable));
        }
      }
      ASSERT_EQ(results[0], results[1]) << "seed " << seed << " on " << device.name();
      for (const Floats& values : results[0])
        for (float value : values) ASSERT_TRUE(std::isfinite(value)) << "seed " << seed;
    }
    EXPECT_LT(2 * planned_bytes, unplanned_bytes) << "the plan shares memory";
  }
}

}  // namespace
}  // namespace ganforge
