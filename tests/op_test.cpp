// Every row of the table of ops, checked in every way: see op_harness.h and the comment of each test.
#include "tests/op_harness.h"

#include "src/graph/passes.h"
#include "src/graph/plan.h"
#include "tests/devices.h"

#include <ganforge/error.h>
#include <ganforge/program.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

namespace ganforge::op_test {
namespace {

using Numbers = std::map<std::string, std::vector<double>>;  // per input or output
using Bytes = std::map<std::string, std::vector<std::byte>>;

/// The numbers for each input of a row's graph.
Numbers feed(const OpCase& row, const RowGraph& built) {
  Numbers numbers_of;
  for (std::size_t i = 0; i < row.inputs.size(); ++i)
    numbers_of[fmt::format("x{}", i)] = numbers(row.inputs[i], static_cast<unsigned>(i));
  for (std::size_t o = 0; o < built.c_inputs.size(); ++o)
    numbers_of[fmt::format("c{}", o)] = numbers(built.c_inputs[o], static_cast<unsigned>(100 + o));
  return numbers_of;
}

template <class T>
void upload_as(Program& program, const std::string& name, const std::vector<double>& values) {
  const std::vector<T> converted(values.begin(), values.end());
  program.upload(name, converted.data(), converted.size() * sizeof(T));
}

void upload(Program& program, const Graph& graph, const Numbers& values) {
  for (const auto& [name, value] : graph.inputs()) {
    switch (value.type().dtype) {
      case DType::float32:
        upload_as<float>(program, name, values.at(name));
        break;
      case DType::float64:
        upload_as<double>(program, name, values.at(name));
        break;
      default:
        upload_as<std::int32_t>(program, name, values.at(name));
    }
  }
}

Bytes download(Program& program, const Graph& graph) {
  Bytes result;
  for (const auto& [name, value] : graph.outputs()) {
    EXPECT_EQ(program.output_type(name), value.type()) << name;
    result[name].resize(value.type().bytes());
    program.download(name, result[name].data(), result[name].size());
  }
  return result;
}

Bytes run(Program& program, const Graph& graph) {
  program.run();
  return download(program, graph);
}

template <class T>
std::vector<double> widen(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return {values.begin(), values.end()};
}

Numbers widen(const Bytes& bytes, const Graph& graph) {
  Numbers result;
  for (const auto& [name, value] : graph.outputs()) {
    const DType type = value.type().dtype;
    const auto& b = bytes.at(name);
    result[name] = type == DType::float32   ? widen<float>(b)
                   : type == DType::float64 ? widen<double>(b)
                                            : widen<std::int32_t>(b);
  }
  return result;
}

Numbers compute(Device& device, Graph& graph, const Numbers& values) {
  Program program = compile(device, graph);
  upload(program, graph, values);
  return widen(run(program, graph), graph);
}

double largest(const std::vector<double>& values) {
  double result = 0;
  for (double x : values) result = std::max(result, std::abs(x));
  return result;
}

/// NaN and all if any difference is NaN.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    if (!(d <= result)) result = d;
    if (std::isnan(d)) return d;
  }
  return result;
}

class OpTest : public testing::TestWithParam<OpCase> {
 protected:
  const OpCase& row_ = GetParam();
  Device cpu_ = Device::cpu(2);
};

TEST_P(OpTest, BadShapesThrow) {
  for (const Inputs& bad : row_.options.bad) {
    Graph graph;
    graph.set_scope("here");
    Values x;
    std::string shapes;
    for (const Input& input : bad) {
      x.push_back(graph.input("x" + std::to_string(x.size()), input.type));
      shapes += " " + input.type.str();
    }
    try {
      row_.build(x);
      ADD_FAILURE() << "took" << shapes;
    } catch (const ShapeError& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with("here: ")) << error.what();
    }
  }
}

/// Gradients of order 1 and 2 along a random direction against five-point differences, all in float64.
///   L = Σ⟨c, y⟩ and its change as x moves along d and c along e;  S = Σ⟨∂L/∂x, v⟩ and its change likewise.
class Differences {
 public:
  Differences(Device& device, const OpCase& row, int cotangents) {
    RowGraph built = build_row(row, DType::float64, cotangents);
    Graph& graph = *built.graph;
    Numbers at = feed(row, built);
    unsigned seed = 1000;
    const auto random = [&](const std::string& name, const Value& like) {
      at[name] = numbers({.type = {DType::float32, like.shape()}}, seed++);
      return graph.input(name, like.type());
    };
    struct Moving {
      std::string name, direction;
      Value value;
    };
    std::vector<Moving> moving;
    Value loss = constant(graph, 0, {DType::float64, {}}), slope = loss, sum_of_slopes = loss, curvature = loss;
    const auto move = [&](const std::string& name, const Value& value, const Value& derivative) {
      moving.push_back({name, "direction of " + name, value});
      const Value direction = random(moving.back().direction, value);
      if (derivative) slope = slope + dot(derivative, direction);
    };
    for (std::size_t i = 0; i < built.x.size(); ++i) {
      if (!is_float(built.x[i].type().dtype)) continue;
      if (built.g[i]) {
        EXPECT_EQ(built.g[i].type(), built.x[i].type()) << "gradient of operand " << i;
        sum_of_slopes = sum_of_slopes + dot(built.g[i], random(fmt::format("v{}", i), built.x[i]));
        reached_ = true;
      }
      move(fmt::format("x{}", i), built.x[i], built.g[i]);
    }
    for (std::size_t o = 0; o < built.y.size(); ++o) {
      if (!built.c[o]) continue;
      loss = loss + dot(built.c[o], built.y[o]);
      move(fmt::format("c{}", o), built.c[o], built.y[o]);
    }
    Values wrt;
    for (const Moving& m : moving) wrt.push_back(m.value);
    const Values second = grad(sum_of_slopes, wrt);
    for (std::size_t i = 0; i < second.size(); ++i)
      if (second[i]) curvature = curvature + dot(second[i], graph.inputs().at(moving[i].direction));
    graph.output("loss", loss);
    graph.output("slope", slope);
    graph.output("sum of slopes", sum_of_slopes);
    graph.output("curvature", curvature);

    Program program = compile(device, graph);
    constexpr double weight[] = {1.0 / 12, -8.0 / 12, 0, 8.0 / 12, -1.0 / 12};
    for (int k = -2; k <= 2; ++k) {
      Numbers moved = at;
      for (const Moving& m : moving)
        for (std::size_t i = 0; i < moved[m.name].size(); ++i) moved[m.name][i] += k * step * at[m.direction][i];
      upload(program, graph, moved);
      const Numbers result = widen(run(program, graph), graph);
      size_[0] = std::max(size_[0], std::abs(result.at("loss")[0]));
      size_[1] = std::max(size_[1], std::abs(result.at("sum of slopes")[0]));
      difference_[0] += weight[k + 2] * result.at("loss")[0] / step;
      difference_[1] += weight[k + 2] * result.at("sum of slopes")[0] / step;
      if (k != 0) continue;
      derivative_[0] = result.at("slope")[0];
      derivative_[1] = result.at("curvature")[0];
    }
  }

  /// Some gradient is there.
  bool reached() const { return reached_; }
  void check() const {
    for (int order : {0, 1}) {
      const double got = derivative_[order], want = difference_[order];
      // What the difference loses to rounding is some ulp of the values, divided by the step.
      const double rounding = 4e-15 * size_[order] / step;
      EXPECT_TRUE(std::abs(got - want) <= 1e-6 * std::max({std::abs(got), std::abs(want), 1e-3}) + rounding)
          << "derivative of order " << order + 1 << ": " << got << " instead of " << want;
    }
  }

 private:
  static Value dot(Value a, Value b) { return sum(mul(a, b)); }
  static constexpr double step = 2e-5;
  double derivative_[2] = {}, difference_[2] = {}, size_[2] = {};
  bool reached_ = false;
};

TEST_P(OpTest, GradientsAgreeWithDifferences) {
  const RowGraph built = build_row(row_, DType::float64);
  if (!row_.options.differentiable) {
    for (const Value& g : built.g) EXPECT_FALSE(g) << "a gradient where none should be";
    return;
  }
  // A cotangent on every output, then on the first alone: fused ops have another rule for that.
  for (int cotangents : {1000, 1}) {
    SCOPED_TRACE(cotangents == 1 ? "cotangent on the first output" : "cotangents on all outputs");
    const Differences differences(cpu_, row_, cotangents);
    EXPECT_TRUE(differences.reached());
    differences.check();
    if (built.y.size() == 1) break;
  }
}

/// A fused op's own gradient rule against the derivative of its expansion, in float64.
TEST_P(OpTest, GradientRuleAgreesWithTheExpansion) {
  for (int cotangents : {1000, 1}) {
    RowGraph own = build_row(row_, DType::float64, cotangents);
    const Numbers at = feed(row_, own);
    const Numbers got = compute(cpu_, *own.graph, at);

    RowGraph forward = build_row(row_, DType::float64, 0);
    const std::unique_ptr<Graph> expanded = expand_all(*forward.graph);
    Values x, y, c;
    for (std::size_t i = 0; i < own.x.size(); ++i) x.push_back(expanded->inputs().at(fmt::format("x{}", i)));
    for (std::size_t o = 0; o < own.y.size(); ++o) {
      y.push_back(expanded->outputs().at(fmt::format("y{}", o)));
      c.push_back(own.c[o] ? expanded->input(fmt::format("c{}", o), own.c[o].type()) : Value());
    }
    const Values g = grad(y, c, x);
    for (std::size_t i = 0; i < g.size(); ++i)
      if (g[i]) expanded->output(fmt::format("g{}", i), g[i]);
    const Numbers want = compute(cpu_, *expanded, at);
    for (std::size_t i = 0; i < g.size(); ++i) {
      const std::string name = fmt::format("g{}", i);
      const std::vector<double> zeros(static_cast<std::size_t>(own.x[i].shape().elements()));
      const std::vector<double>& a = got.contains(name) ? got.at(name) : zeros;
      const std::vector<double>& b = want.contains(name) ? want.at(name) : zeros;
      EXPECT_TRUE(distance(a, b) <= 1e-12 + 1e-11 * largest(b)) << name << " is off by " << distance(a, b);
    }
  }
}

/// The error of float32 is at most four times that of the expansion in float32, or a few ulp; both against the
/// expansion in float64. On every device, outputs and gradients.
TEST_P(OpTest, Float32IsAsExactAsItsExpansion) {
  for (int cotangents : {1000, 1}) {
    RowGraph exact = build_row(row_, DType::float64, cotangents), built = build_row(row_, DType::float32, cotangents);
    const Numbers at = feed(row_, built);
    const Numbers want = compute(cpu_, *expand_all(*exact.graph), at);
    const std::unique_ptr<Graph> expanded = expand_all(*built.graph);
    for (Device& device : devices()) {
      const Numbers got = compute(device, *built.graph, at), plain = compute(device, *expanded, at);
      for (const auto& [name, values] : want) {
        const double floor = row_.options.ulps * std::ldexp(largest(values), -24);
        const double error = distance(got.at(name), values), plain_error = distance(plain.at(name), values);
        EXPECT_TRUE(error <= 4 * plain_error + floor)
            << name << " on " << device.name() << ": error " << error << ", of the expansion " << plain_error
            << ", largest value " << largest(values);
        EXPECT_TRUE(plain_error <= 1e-4 * largest(values) + 1e-12) << name << " expanded: error " << plain_error;
      }
    }
    if (built.y.size() == 1) break;
  }
}

TEST_P(OpTest, KernelsExistWhereTheRowSays) {
  for (Device& device : devices()) {
    RowGraph built = build_row(row_, DType::float32);
    std::vector<std::string> launched;
    const Program program = compile(device, *built.graph);
    for (const ProgramReport::Launch& launch : program.report().launches) launched.push_back(launch.op);
    const std::vector<std::string> fused = fused_ops(*built.graph);
    EXPECT_TRUE(!row_.options.kernel || !fused.empty()) << "the row has no fused op";
    for (const std::string& op : fused) {
      if (op.starts_with("conv2d_weight_grad ")) continue;  // asked in conv_cuda_test.cpp
      EXPECT_EQ(std::ranges::count(launched, op) > 0, row_.options.kernel) << op << " on " << device.name();
    }
  }
}

/// The same bits twice, without capture, and without a memory plan.
TEST_P(OpTest, EveryRunGivesTheSameBits) {
  for (Device& device : devices()) {
    RowGraph built = build_row(row_, DType::float32);
    const Numbers at = feed(row_, built);
    Program program = compile(device, *built.graph);
    upload(program, *built.graph, at);
    const Bytes bits = run(program, *built.graph);
    EXPECT_EQ(run(program, *built.graph), bits) << "second run on " << device.name();
    for (const CompileOptions& options : {CompileOptions{.capture = false}, CompileOptions{.unplanned = true}}) {
      Program other = compile(device, *built.graph, options);
      upload(other, *built.graph, at);
      EXPECT_EQ(run(other, *built.graph), bits)
          << (options.unplanned ? "unplanned" : "eager") << " on " << device.name();
    }
  }
}

/// Fills the arena with one pattern, then with another. What differs afterwards was not written: it must be all of the
/// arena but the values, and no value may depend on what was there before.
TEST_P(OpTest, WritesItsOutputsAndNothingElse) {
  for (Device& device : devices()) {
    RowGraph built = build_row(row_, DType::float32);
    const Numbers at = feed(row_, built);
    std::size_t values = 0, workspaces = 0;
    const std::unique_ptr<Graph> lowered = lower(*built.graph, device);
    for (const auto& group : schedule_nodes(*lowered, device))
      for (const Scheduled& member : group) {
        const Graph::Node& node = lowered->node(member.node);
        workspaces += member.kernel.workspace;
        if (node.op->once() || node.op->gaps()) continue;  // memory of its own
        for (const Type& type : node.out) values += type.bytes();
      }

    const CompileOptions unplanned{.unplanned = true};
    const std::size_t arena = compile(device, *built.graph, unplanned).report().arena_bytes + 256;
    Graph pattern;
    pattern.output("arena", copy(pattern.input("pattern", {DType::uint8, {static_cast<std::int64_t>(arena)}})));
    Graph* const graphs[] = {&pattern, built.graph.get()};
    std::vector<Program> programs = compile(device, graphs, unplanned);
    ASSERT_EQ(programs[0].report().arena_bytes, align_up(arena));
    upload(programs[1], *built.graph, at);
    Bytes bits[2];
    std::vector<unsigned char> memory[2];
    for (int i : {0, 1}) {
      const std::vector<unsigned char> fill(arena, i ? 0xff : 0x00);  // 0xff…: NaN
      programs[0].upload("pattern", fill.data(), arena);
      programs[0].run();
      bits[i] = run(programs[1], *built.graph);
      memory[i].resize(arena);
      programs[0].download("arena", memory[i].data(), arena);
    }
    EXPECT_EQ(bits[0], bits[1]) << "depends on memory that nobody wrote, on " << device.name();
    std::size_t written = 0;
    for (std::size_t i = 0; i < arena; ++i) written += memory[0][i] == memory[1][i];
    EXPECT_GE(written, values) << "outputs not written, on " << device.name();
    EXPECT_LE(written, values + workspaces) << "written beside the outputs, on " << device.name();
  }
}

std::string test_name(const testing::TestParamInfo<OpCase>& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Table, OpTest, testing::ValuesIn(op_cases()), test_name);

}  // namespace
}  // namespace ganforge::op_test
