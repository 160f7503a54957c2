// The table of ops that op_test.cpp checks. A row is a line of op_cases*.cpp; a new op needs a row and nothing else.
#pragma once

#include <ganforge/ops.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace ganforge::op_test {

/// An operand and the numbers it is filled with.
struct Input {
  Type type;
  double low = -1, high = 1;
  bool away_from_zero = true;  ///< |x| ≥ 0.1, where many functions have a kink
  bool distinct_values = false;

  /// Uniform in [low, high].
  Input in(double new_low, double new_high) const;
  /// No two numbers of a row's distinct operands are nearer than finite differences step.
  Input distinct() const;
};
Input f32(std::initializer_list<std::int64_t> extents);
template <class... Extents>
Input f32(Extents... extents) {
  return f32({static_cast<std::int64_t>(extents)...});
}
/// Integers from low to high.
Input i32(const Shape& shape, int low, int high);

using Inputs = std::vector<Input>;
using Build = std::function<Values(const Values&)>;

struct Options {
  /// A kernel exists for the fused ops of the row, in float32: they must not be expanded. Without, they must be.
  bool kernel = false;
  /// Fused ops whose names begin so are expanded nonetheless: on the CPU, or on every device.
  std::string cuda_only = {}, expanded = {};
  /// Fused ops whose names begin so have a kernel or not, as the algorithm for their sizes goes.
  std::string either = {};
  /// False: all gradients are absent, whatever the values do.
  bool differentiable = true;
  /// Operands that must throw ShapeError.
  std::vector<Inputs> bad = {};
  /// Error of float32 that is always allowed, in 2⁻²⁴ of the largest value of an output.
  double ulps = 16;
  /// In a lower precision of products, gradients may be off by so many times more: where the argument of a function with
  /// a kink is near it another slope may be taken, and sums may cancel.
  double kinks = 1;
};

/// Options of most rows.
inline const Options fused{.kernel = true}, constant_by_parts{.differentiable = false};
template <class... Bad>
Options bad(Bad... inputs) {
  return {.bad = {inputs...}};
}
template <class... Bad>
Options fused_bad(Bad... inputs) {
  return {.kernel = true, .bad = {inputs...}};
}

struct OpCase {
  std::string name;
  Inputs inputs;
  Build build;
  Options options = {};
};
std::ostream& operator<<(std::ostream& out, const OpCase& row);

/// The table.
std::vector<OpCase> op_cases();
/// Parts of it in files of their own.
std::vector<OpCase> layer_op_cases();
std::vector<OpCase> conv_op_cases();
std::vector<OpCase> image_op_cases();

// --- what the checks are made of
// --------------------------------------------------------------------------------------

/// Numbers of a row's operands and of their random companions, float32 widened: every run starts from the same.
std::vector<double> numbers(const Input& input, unsigned seed);

/// A row as a graph of element type `dtype`: operands "x0" …, outputs "y0" …, cotangents of the first `cotangents`
/// float outputs "c0" … and the gradients, "g0" … where they are not absent.
struct RowGraph {
  std::unique_ptr<Graph> graph;
  Values x, y, c, g;  ///< c: absent where there is none; g: one per operand
  std::vector<Input> c_inputs;
};
RowGraph build_row(const OpCase& row, DType dtype, int cotangents = 1000);

/// The graph with every op that has an expansion replaced by it, until only primitives are left.
std::unique_ptr<Graph> expand_all(const Graph& graph);
/// Descriptions of the fused ops that an output needs.
std::vector<std::string> fused_ops(const Graph& graph);

}  // namespace ganforge::op_test
