// Running a row's graph: numbers in, numbers or bits out.
#pragma once

#include "tests/op_harness.h"

#include <ganforge/program.h>

#include <cstddef>
#include <map>

namespace ganforge::op_test {

using Numbers = std::map<std::string, std::vector<double>>;  ///< per input or output
using Bytes = std::map<std::string, std::vector<std::byte>>;

/// The numbers for each input of a row's graph.
Numbers feed(const OpCase& row, const RowGraph& built);
/// Fills the inputs of a program of `graph`.
void upload(Program& program, const Graph& graph, const Numbers& values);
/// The outputs of a run. Throws Error if the program's types are not the graph's.
Bytes run(Program& program, const Graph& graph);
Numbers widen(const Bytes& bytes, const Graph& graph);
/// Compiled, filled, run.
Numbers compute(Device& device, Graph& graph, const Numbers& values);

/// Of the absolute values; 0 for none.
double largest(const std::vector<double>& values);
/// Largest difference; NaN if any is.
double distance(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace ganforge::op_test
