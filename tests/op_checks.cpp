#include "tests/op_checks.h"

#include "src/graph/passes.h"
#include "src/graph/plan.h"
#include "tests/op_run.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ganforge::op_test {

Faults check_bad_shapes(const OpCase& row) {
  Faults faults;
  for (const Inputs& bad : row.options.bad) {
    Graph graph;
    graph.set_scope("here");
    Values x;
    std::string shapes;
    for (const Input& input : bad) {
      x.push_back(graph.input("x" + std::to_string(x.size()), input.type));
      shapes += " " + input.type.str();
    }
    try {
      row.build(x);
      faults.push_back("took" + shapes);
    } catch (const ShapeError& error) {
      if (!std::string_view(error.what()).starts_with("here: "))
        faults.push_back(fmt::format("error without a scope: {}", error.what()));
    }
  }
  return faults;
}

namespace {

Value dot(Value a, Value b) {
  return sum(mul(a, b));
}

/// Gradients of order 1 and 2 along a random direction against five-point differences, all in float64.
///   L = Σ⟨c, y⟩ and its change as x moves along d and c along e;  S = Σ⟨∂L/∂x, v⟩ and its change likewise.
Faults check_differences(Device& device, const OpCase& row, int cotangents) {
  Faults faults;
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
  bool reached = false;
  for (std::size_t i = 0; i < built.x.size(); ++i) {
    if (!is_float(built.x[i].type().dtype)) continue;
    if (built.g[i]) {
      if (built.g[i].type() != built.x[i].type())
        faults.push_back(fmt::format("gradient of operand {} is {}", i, built.g[i].type().str()));
      sum_of_slopes = sum_of_slopes + dot(built.g[i], random(fmt::format("v{}", i), built.x[i]));
      reached = true;
    }
    move(fmt::format("x{}", i), built.x[i], built.g[i]);
  }
  if (!reached) faults.push_back("no gradient reaches an operand");
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
  constexpr double step = 2e-5, weight[] = {1.0 / 12, -8.0 / 12, 0, 8.0 / 12, -1.0 / 12};
  double derivative[2] = {}, difference[2] = {}, size[2] = {};
  for (int k = -2; k <= 2; ++k) {
    Numbers moved = at;
    for (const Moving& m : moving)
      for (std::size_t i = 0; i < moved[m.name].size(); ++i) moved[m.name][i] += k * step * at[m.direction][i];
    upload(program, graph, moved);
    const Numbers result = widen(run(program, graph), graph);
    const double value[] = {result.at("loss")[0], result.at("sum of slopes")[0]};
    for (int order : {0, 1}) {
      size[order] = std::max(size[order], std::abs(value[order]));
      difference[order] += weight[k + 2] * value[order] / step;
    }
    if (k != 0) continue;
    derivative[0] = result.at("slope")[0];
    derivative[1] = result.at("curvature")[0];
  }
  for (int order : {0, 1}) {
    const double got = derivative[order], want = difference[order];
    // What the difference loses to rounding is some ulp of the values, divided by the step.
    const double rounding = 4e-15 * size[order] / step;
    if (!(std::abs(got - want) <= 1e-6 * std::max({std::abs(got), std::abs(want), 1e-3}) + rounding))
      faults.push_back(fmt::format("derivative of order {}: {} instead of {}, cotangents on {}", order + 1, got, want,
                                   cotangents == 1 ? "the first output" : "all outputs"));
  }
  return faults;
}

void append(Faults& to, const Faults& more) {
  to.insert(to.end(), more.begin(), more.end());
}

}  // namespace

Faults check_gradients(Device& cpu, const OpCase& row) {
  const RowGraph built = build_row(row, DType::float64);
  Faults faults;
  if (!row.options.differentiable) {
    if (std::ranges::any_of(built.g, [](const Value& g) { return static_cast<bool>(g); }))
      faults.push_back("a gradient where none should be");
    return faults;
  }
  // A cotangent on every output, then on the first alone: fused ops have another rule for that.
  append(faults, check_differences(cpu, row, 1000));
  if (built.y.size() > 1) append(faults, check_differences(cpu, row, 1));
  return faults;
}

Faults check_gradient_rule(Device& cpu, const OpCase& row) {
  Faults faults;
  for (int cotangents : {1000, 1}) {
    RowGraph own = build_row(row, DType::float64, cotangents);
    const Numbers at = feed(row, own);
    const Numbers got = compute(cpu, *own.graph, at);

    RowGraph forward = build_row(row, DType::float64, 0);
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
    const Numbers want = compute(cpu, *expanded, at);
    for (std::size_t i = 0; i < g.size(); ++i) {
      const std::string name = fmt::format("g{}", i);
      const std::vector<double> zeros(static_cast<std::size_t>(own.x[i].shape().elements()));
      const std::vector<double>& a = got.contains(name) ? got.at(name) : zeros;
      const std::vector<double>& b = want.contains(name) ? want.at(name) : zeros;
      if (!(distance(a, b) <= 1e-12 + 1e-11 * largest(b)))
        faults.push_back(fmt::format("{} is off by {}", name, distance(a, b)));
    }
  }
  return faults;
}

bool has_products(const OpCase& row) {
  const RowGraph built = build_row(row, DType::float32);
  const std::unique_ptr<Graph> expanded = expand_all(*built.graph);
  return std::ranges::any_of(expanded->nodes(), [](const Graph::Node& node) {
    const std::string op = node.is_input ? "" : node.op->describe();
    return op.starts_with("matmul ") || op.starts_with("conv2d");
  });
}

double product_tolerance(Precision precision) {
  // An operand keeps 10 bits of its mantissa, cut off, or 7, rounded: off by 2⁻¹⁰ or 2⁻⁸.
  return precision == Precision::tf32 ? 0x1p-7 : precision == Precision::bf16 ? 0x1p-5 : 0;
}

Exactness check_exactness(Device& cpu, Device& device, const OpCase& row) {
  Exactness result;
  const double products = has_products(row) ? product_tolerance(device.precision()) : 0;
  for (int cotangents : {1000, 1}) {
    RowGraph exact = build_row(row, DType::float64, cotangents), built = build_row(row, DType::float32, cotangents);
    const Numbers at = feed(row, built);
    const Numbers want = compute(cpu, *expand_all(*exact.graph), at);
    const std::unique_ptr<Graph> expanded = expand_all(*built.graph);
    const Numbers got = compute(device, *built.graph, at), plain = compute(device, *expanded, at);
    for (const auto& [name, values] : want) {
      const double floor = row.options.ulps * std::ldexp(largest(values), -24);
      const double error = distance(got.at(name), values), plain_error = distance(plain.at(name), values);
      const double part = name[0] == 'g' ? products * row.options.kinks : products;
      const double allowed = part > 0 ? part * largest(values) : 4 * plain_error + floor;
      if (!(error <= allowed))
        result.faults.push_back(fmt::format("{}: error {}, of the expansion {}, largest value {}", name, error,
                                            plain_error, largest(values)));
      if (!(plain_error <= std::max(part, 1e-4) * largest(values) + 1e-12))
        result.faults.push_back(
            fmt::format("{} expanded: error {}, largest value {}", name, plain_error, largest(values)));
      if (allowed > 0) result.used = std::max(result.used, error / allowed);
    }
    if (built.y.size() == 1) break;
  }
  return result;
}

Faults check_kernels(Device& device, const OpCase& row) {
  Faults faults;
  RowGraph built = build_row(row, DType::float32);
  std::vector<std::string> launched;
  const Program program = compile(device, *built.graph);
  for (const ProgramReport::Launch& launch : program.report().launches) launched.push_back(launch.op);
  const std::vector<std::string> fused = fused_ops(*built.graph);
  if (row.options.kernel && fused.empty()) faults.push_back("the row has no fused op");
  const auto begins = [](const std::string& op, const std::string& name) {
    return !name.empty() && op.starts_with(name);
  };
  for (const std::string& op : fused) {
    if (begins(op, row.options.either)) continue;
    const bool expanded = begins(op, row.options.expanded) || (begins(op, row.options.cuda_only) && !device.is_cuda());
    const bool wanted = row.options.kernel && !expanded;
    if ((std::ranges::count(launched, op) > 0) != wanted)
      faults.push_back(fmt::format("{} has {} kernel", op, wanted ? "no" : "a"));
  }
  return faults;
}

Faults check_bits(Device& device, const OpCase& row) {
  Faults faults;
  RowGraph built = build_row(row, DType::float32);
  const Numbers at = feed(row, built);
  Program program = compile(device, *built.graph);
  upload(program, *built.graph, at);
  const Bytes bits = run(program, *built.graph);
  if (run(program, *built.graph) != bits) faults.push_back("the second run gives other bits");
  for (const CompileOptions& options : {CompileOptions{.capture = false}, CompileOptions{.unplanned = true}}) {
    Program other = compile(device, *built.graph, options);
    upload(other, *built.graph, at);
    if (run(other, *built.graph) != bits)
      faults.push_back(fmt::format("{} it gives other bits", options.unplanned ? "unplanned" : "without capture"));
  }
  return faults;
}

/// Fills the arena with one pattern, then with another. What differs afterwards was not written: it must be all of the
/// arena but the values, and no value may depend on what was there before.
Faults check_memory(Device& device, const OpCase& row) {
  Faults faults;
  RowGraph built = build_row(row, DType::float32);
  const Numbers at = feed(row, built);
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
  if (programs[0].report().arena_bytes != align_up(arena)) return {"the pattern does not fill the arena"};
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
  if (bits[0] != bits[1]) faults.push_back("depends on memory that nobody wrote");
  std::size_t written = 0;
  for (std::size_t i = 0; i < arena; ++i) written += memory[0][i] == memory[1][i];
  if (written < values) faults.push_back(fmt::format("{} bytes of outputs written, they have {}", written, values));
  if (written > values + workspaces)
    faults.push_back(fmt::format("{} bytes written, outputs and workspaces have {}", written, values + workspaces));
  return faults;
}

}  // namespace ganforge::op_test
