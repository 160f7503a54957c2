// Rows of ganforge_bench: one op at one size of a preset.
#pragma once

#include <ganforge/graph.h>
#include <ganforge/store.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ganforge::bench {

struct Row {
  std::string name;                                        ///< "op/preset/size", what --benchmark_filter matches
  std::function<void(Graph&, VariableStore&)> build;       ///< puts the op into a graph; its state lives in the store
  bool conv = false;                                       ///< ConvPolicy matters
  std::map<std::string, std::vector<double>> values = {};  ///< of inputs that are not just uniform in [-1, 1)
};

/// The sizes of the presets, for batches of `batch` images.
std::vector<Row> preset_rows(std::int64_t batch);
/// A part of them: ops that pass over tensors.
std::vector<Row> pass_rows(std::int64_t batch);
/// The table of ops of the tests, "table/…": small shapes, which show what a launch costs.
std::vector<Row> table_rows();

}  // namespace ganforge::bench
