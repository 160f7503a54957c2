// A launch of a program, for people.
#pragma once

#include "src/graph/passes.h"

#include <ganforge/program.h>

#include <vector>

namespace ganforge {

/// Op, layer, types, and the work of the nodes that share the launch.
ProgramReport::Launch describe_launch(const Graph& graph, const std::vector<Scheduled>& group);

}  // namespace ganforge
