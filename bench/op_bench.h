// Rows of ganforge_bench: one op at one size of a preset.
#pragma once

#include <ganforge/graph.h>
#include <ganforge/store.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ganforge::bench {

struct Row {
  std::string name;                                   ///< "op/preset/size", what --benchmark_filter matches
  std::function<void(Graph&, VariableStore&)> build;  ///< puts the op into a graph; its state lives in the store
};

/// Every row, for batches of `batch` images.
std::vector<Row> rows(std::int64_t batch);

}  // namespace ganforge::bench
