// Primitives against numbers worked out by hand or by the standard library: what the table of ops cannot see, since a
// forward rule and a gradient rule may be wrong alike.
#include "tests/devices.h"

#include <ganforge/ops.h>
#include <ganforge/program.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace ganforge {
namespace {

using Floats = std::vector<float>;

/// 1, 2, 3, … in the given shape.
Value counting(Graph& graph, const Shape& shape) {
  const Value flat = iota(graph, {DType::float32, {shape.elements()}}, 0);
  return reshape(copy(flat + 1.0), shape);
}

template <class T = float>
std::vector<T> evaluate(Device& device, const std::function<Value(Graph&)>& build) {
  Graph graph;
  graph.output("y", build(graph));
  Program program = compile(device, graph);
  program.run();
  std::vector<T> values(static_cast<std::size_t>(program.output_type("y").shape.elements()));
  program.download("y", values.data(), values.size() * sizeof(T));
  return values;
}

void expect(const Floats& want, const std::function<Value(Graph&)>& build) {
  for (Device& device : devices()) EXPECT_EQ(evaluate(device, build), want) << device.name();
}

TEST(OpValues, MapsAreThoseOfTheStandardLibrary) {
  using Function = double (*)(double);
  struct Row {
    const char* name;
    Value (*op)(Value);
    Function want;
  };
  const Row rows[] = {
      {"neg", neg, [](double x) { return -x; }},
      {"abs", abs, [](double x) { return std::abs(x); }},
      {"exp", exp, [](double x) { return std::exp(x); }},
      {"log", [](Value x) { return log(abs(x)); }, [](double x) { return std::log(std::abs(x)); }},
      {"sqrt", [](Value x) { return sqrt(abs(x)); }, [](double x) { return std::sqrt(std::abs(x)); }},
      {"recip", recip, [](double x) { return 1 / x; }},
      {"square", square, [](double x) { return x * x; }},
      {"tanh", tanh, [](double x) { return std::tanh(x); }},
      {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"softplus", softplus, [](double x) { return std::log1p(std::exp(x)); }},
      {"sin", sin, [](double x) { return std::sin(x); }},
      {"cos", cos, [](double x) { return std::cos(x); }},
      {"floor", floor, [](double x) { return std::floor(x); }},
      {"sign", sign, [](double x) { return x > 0   ? 1.0
                                           : x < 0 ? -1.0
                                                   : 0.0; }},
      {"relu", relu, [](double x) { return std::max(x, 0.0); }},
      {"leaky_relu", [](Value x) { return leaky_relu(x, 0.25); }, [](double x) { return x > 0 ? x : 0.25 * x; }},
      {"leaky_slope", [](Value x) { return leaky_slope(x, 0.25); }, [](double x) { return x > 0 ? 1.0 : 0.25; }},
      {"pow", [](Value x) { return pow(x, 3); }, [](double x) { return x * x * x; }},
      {"affine", [](Value x) { return affine(x, -2, 0.5); }, [](double x) { return -2 * x + 0.5; }},
      {"clamp", [](Value x) { return clamp(x, -0.7, 1.1); }, [](double x) { return std::min(std::max(x, -0.7), 1.1); }},
      {"is_finite", is_finite, [](double) { return 1.0; }},
  };
  for (Device& device : devices())
    for (const Row& row : rows) {
      // −3.9 … 3.9
      const Floats y = evaluate(device, [&](Graph& graph) { return row.op(affine(counting(graph, {40}), 0.2, -4.1)); });
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double want = row.want(static_cast<double>(0.2f * static_cast<float>(i + 1) - 4.1f));
        EXPECT_TRUE(std::abs(y[i] - want) <= 2e-6 * (1 + std::abs(want)))
            << row.name << " [" << i << "] " << y[i] << ' ' << want;
      }
    }
}

TEST(OpValues, EdgesOfMaps) {
  const auto of = [](double x, Value (*f)(Value)) {
    return [=](Graph& graph) { return f(copy(constant(graph, x, {DType::float32, {1}}))); };
  };
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  expect({100}, of(100, softplus));
  expect({0}, of(-200, softplus));
  expect({1}, of(200, sigmoid));
  expect({0}, of(-200, sigmoid));
  expect({0}, of(infinity, is_finite));
  expect({0}, of(nan, is_finite));
  expect({0}, of(0, sign));
  expect({0}, of(0, relu));
  expect({-2}, of(-1.5, floor));
}

TEST(OpValues, OperandsKeepTheirOrder) {
  const auto two = [](Value (*f)(Value, Value)) {
    return [f](Graph& graph) { return f(counting(graph, {2, 2}), affine(counting(graph, {2, 1}), 1.5, 0)); };
  };
  expect({-0.5, 0.5, 0, 1}, two(sub));
  expect({1 / 1.5f, 2 / 1.5f, 1, 4 / 3.0f}, two(div));
  expect({1, 1.5, 3, 3}, two(minimum));
  expect({1.5, 2, 3, 4}, two(maximum));
  expect({1, 0, 0, 0}, two(less));
  expect({0, 0, 1, 0}, two(equal));
  expect({1, 2, -3, -4}, [](Graph& g) {
    const Value x = counting(g, {4});
    return select(less(x, constant(g, 2.5, {DType::float32, {}})), x, neg(x));
  });
}

TEST(OpValues, TiesShareTheGradient) {
  const auto gradient = [](Value (*f)(Value, Value)) {
    return [f](Graph& g) {
      const Value x = counting(g, {3}), y = copy(constant(g, 2, {DType::float32, {3}}));
      const Values d = grad(sum(f(x, y)), {x, y});
      return concat({d[0], d[1]}, 0);
    };
  };
  expect({1, 0.5, 0, 0, 0.5, 1}, gradient(minimum));
  expect({0, 0.5, 1, 1, 0.5, 0}, gradient(maximum));
  expect({0, 0, 0.5, 0.5}, [](Graph& g) {
    const Value x = minimum(counting(g, {1, 4}), constant(g, 3, {DType::float32, {}}));  // 1 2 3 3
    return grad(sum(max(x, {1})), {x})[0];
  });
}

TEST(OpValues, Reductions) {
  expect({6, 15}, [](Graph& g) { return sum(counting(g, {2, 3}), {1}); });
  expect({5, 7, 9}, [](Graph& g) { return sum(counting(g, {2, 3}), {0}); });
  expect({14, 22}, [](Graph& g) { return sum(counting(g, {2, 2, 2}), {0, 2}); });
  expect({21}, [](Graph& g) { return sum(counting(g, {2, 3})); });
  expect({2, 5}, [](Graph& g) { return mean(counting(g, {2, 3}), {-1}); });
  expect({3.5}, [](Graph& g) { return mean(counting(g, {2, 3})); });
  expect({3, 6}, [](Graph& g) { return max(counting(g, {2, 3}), {1}); });
  expect({-1, -2, -3}, [](Graph& g) { return max(neg(counting(g, {2, 3})), {0}); });
  expect({1, 1, 2, 2, 1, 1, 2, 2}, [](Graph& g) { return broadcast(counting(g, {2, 1}), {2, 2, 2}); });
  for (Device& device : devices()) {
    const auto first = [](Graph& g) {
      return argmax(minimum(counting(g, {2, 4}), constant(g, 3, {DType::float32, {}})), 1);
    };
    EXPECT_EQ(evaluate<std::int32_t>(device, first), (std::vector<std::int32_t>{2, 0})) << "the first of equal maxima";
    const auto down = [](Graph& g) { return argmax(counting(g, {2, 3}), 0); };
    EXPECT_EQ(evaluate<std::int32_t>(device, down), (std::vector<std::int32_t>{1, 1, 1}));
  }
}

TEST(OpValues, Moves) {
  expect({1, 4, 2, 5, 3, 6}, [](Graph& g) { return transpose(counting(g, {2, 3})); });
  // Axis i of the result is axis permutation[i] of x.
  expect({1, 3, 5, 2, 4, 6}, [](Graph& g) { return transpose(counting(g, {3, 2, 1}), std::vector{1, 2, 0}); });
  expect({2, 3}, [](Graph& g) { return slice(counting(g, {5}), 0, 1, 3); });
  expect({1, 3, 5}, [](Graph& g) { return slice(counting(g, {5}), 0, 0, 5, 2); });
  expect({4, 6}, [](Graph& g) { return slice(counting(g, {2, 3}), std::vector<Slice>{{1, 2, 1}, {0, 3, 2}}); });
  expect({0, 1, 0, 0, 2, 0, 0}, [](Graph& g) { return pad(counting(g, {2}), std::vector<Padding>{{1, 2, 2}}); });
  expect({0, 0, 1, 2, 0, 0, 3, 4}, [](Graph& g) {
    return pad(counting(g, {2, 2}), std::vector<Padding>{{1, 0, 1}, {}});
  });
  expect({1, 2, 1, 3, 4, 2}, [](Graph& g) { return concat({counting(g, {2, 2}), counting(g, {2, 1})}, 1); });
  expect({1, 2, 3, 4, 1, 2}, [](Graph& g) { return concat({counting(g, {2, 2}), counting(g, {1, 2})}, 0); });
  expect({1, 2, 3, 0, 1, 0, 0, 0, 0, 0}, [](Graph& g) {
    return concat_aligned({counting(g, {3}), counting(g, {1})}, 4, 10);
  });
  expect({3, 4}, [](Graph& g) { return split(counting(g, {4}), 2)[1]; });
  expect({-1, 2, 0}, [](Graph& g) {
    return cast(cast(concat({constant(g, -1.9, {DType::float32, {1}}), constant(g, 2.9, {DType::float32, {1}}),
                             constant(g, 0, {DType::float32, {1}})},
                            0),
                     DType::int32),
                DType::float32);
  });
}

TEST(OpValues, Products) {
  expect({22, 28, 49, 64}, [](Graph& g) { return matmul(counting(g, {2, 3}), counting(g, {3, 2})); });
  expect({14, 32, 32, 77}, [](Graph& g) { return matmul(counting(g, {2, 3}), counting(g, {2, 3}), false, true); });
  expect({17, 22, 27, 22, 29, 36, 27, 36, 45}, [](Graph& g) {
    return matmul(counting(g, {2, 3}), counting(g, {2, 3}), true, false);
  });
  expect({5, 11, 17, 23}, [](Graph& g) { return matmul(counting(g, {2, 2, 2}), counting(g, {2, 1})); });
  expect({15, 33}, [](Graph& g) { return linear(counting(g, {2, 3}), counting(g, {1, 3}), counting(g, {1})); });
}

TEST(OpValues, Iota) {
  expect({0, 1, 2, 0, 1, 2}, [](Graph& g) { return iota(g, {DType::float32, {2, 3}}, -1); });
  expect({0, 0, 0, 1, 1, 1}, [](Graph& g) { return iota(g, {DType::float32, {2, 3}}, 0); });
  for (Device& device : devices())
    EXPECT_EQ(evaluate<std::int32_t>(device,
                                     [](Graph& g) {
                                       return iota(g, {DType::int32, {2, 2, 2}}, 1);
                                     }),
              (std::vector<std::int32_t>{0, 0, 1, 1, 0, 0, 1, 1}));
}

}  // namespace
}  // namespace ganforge
