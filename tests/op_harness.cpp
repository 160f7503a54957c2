#include "tests/op_harness.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

namespace ganforge::op_test {
namespace {

std::vector<char> needed_nodes(const Graph& graph) {
  std::vector<char> needed(graph.nodes().size(), 0);
  for (const auto& [name, value] : graph.outputs()) needed[static_cast<std::size_t>(value.node())] = 1;
  for (std::size_t n = needed.size(); n-- > 0;)
    if (needed[n])
      for (const Value& value : graph.nodes()[n].in) needed[static_cast<std::size_t>(value.node())] = 1;
  return needed;
}

/// Copies the needed nodes to `to`, through `replace`, which may return nothing.
template <class Replace>
void transform(const Graph& from, Graph& to, Replace replace) {
  to.reserve_numbers(from.fresh_numbers());
  std::vector<Values> mapped(from.nodes().size());
  for (const auto& [name, value] : from.inputs())
    mapped[static_cast<std::size_t>(value.node())] = {to.input(name, value.type())};
  const std::vector<char> needed = needed_nodes(from);
  const auto map = [&](const Value& value) {
    return mapped[static_cast<std::size_t>(value.node())][static_cast<std::size_t>(value.output())];
  };
  for (std::size_t n = 0; n < needed.size(); ++n) {
    const Graph::Node& node = from.nodes()[n];
    if (!needed[n] || node.is_input) continue;
    Values in;
    for (const Value& value : node.in) in.push_back(map(value));
    mapped[n] = replace(node, in);
    if (mapped[n].empty()) mapped[n] = to.add(node.op, in);
  }
  for (const auto& [name, value] : from.outputs()) to.output(name, map(value));
}

}  // namespace

Input Input::in(double new_low, double new_high) const {
  Input input = *this;
  input.low = new_low;
  input.high = new_high;
  input.away_from_zero = false;
  return input;
}
Input Input::distinct() const {
  Input input = *this;
  input.distinct_values = true;
  return input;
}
Input f32(std::initializer_list<std::int64_t> extents) {
  return {.type = {DType::float32, Shape(extents)}};
}
Input i32(const Shape& shape, int low, int high) {
  return {.type = {DType::int32, shape}, .low = static_cast<double>(low), .high = static_cast<double>(high)};
}

std::ostream& operator<<(std::ostream& out, const OpCase& row) {
  return out << row.name;
}

std::vector<double> numbers(const Input& input, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<double> values(static_cast<std::size_t>(input.type.shape.elements()));
  if (input.type.dtype == DType::int32) {
    for (double& x : values)
      x = input.low + static_cast<double>(random() % static_cast<unsigned>(input.high - input.low + 1));
    return values;
  }
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::shuffle(order.begin(), order.end(), random);
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Distinct: a place on a grid for every number, and a part of its cell for every seed.
    double x = input.distinct_values ? (static_cast<double>(order[i]) + std::array{0.1, 0.37, 0.61, 0.83}[seed % 4]) /
                                           static_cast<double>(values.size())
                                     : uniform(random);
    x = input.low + (input.high - input.low) * x;
    if (input.away_from_zero && !input.distinct_values && std::abs(x) < 0.1) x += std::copysign(0.1, x);
    values[i] = static_cast<double>(static_cast<float>(x));
  }
  return values;
}

RowGraph build_row(const OpCase& row, DType dtype, int cotangents) {
  RowGraph result;
  result.graph = std::make_unique<Graph>();
  Graph& graph = *result.graph;
  const auto typed = [&](Type type) {
    if (is_float(type.dtype)) type.dtype = dtype;
    return type;
  };
  for (std::size_t i = 0; i < row.inputs.size(); ++i)
    result.x.push_back(graph.input("x" + std::to_string(i), typed(row.inputs[i].type)));
  result.y = row.build(result.x);
  for (std::size_t o = 0; o < result.y.size(); ++o) {
    const Type& type = result.y[o].type();
    graph.output("y" + std::to_string(o), result.y[o]);
    result.c_inputs.push_back({.type = {DType::float32, type.shape}});
    const bool wanted = is_float(type.dtype) && static_cast<int>(o) < cotangents;
    result.c.push_back(wanted ? graph.input("c" + std::to_string(o), type) : Value());
  }
  result.g = grad(result.y, result.c, result.x);
  for (std::size_t i = 0; i < result.g.size(); ++i)
    if (result.g[i]) graph.output("g" + std::to_string(i), result.g[i]);
  return result;
}

std::unique_ptr<Graph> expand_all(const Graph& graph) {
  auto result = std::make_unique<Graph>();
  bool changed = false;
  transform(graph, *result, [&](const Graph::Node& node, const Values& in) {
    const Values out = node.op->expand(in);
    changed |= !out.empty();
    return out;
  });
  return changed ? expand_all(*result) : std::move(result);
}

std::vector<std::string> fused_ops(const Graph& graph) {
  Graph scratch;
  std::vector<std::string> names;
  transform(graph, scratch, [&](const Graph::Node& node, const Values& in) {
    if (!node.op->expand(in).empty()) names.push_back(node.op->describe());
    return Values{};
  });
  return names;
}

}  // namespace ganforge::op_test
