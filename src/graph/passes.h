// Passes from graph to graph, and the schedule.
#pragma once

#include <ganforge/graph.h>

#include <memory>
#include <vector>

namespace ganforge {

/// The graph without nodes that nothing needs, and with every op that has no kernel here replaced by its expansion,
/// until none is left. Throws Error if an op has neither.
std::unique_ptr<Graph> lower(const Graph& graph, Device& device);

/// A node to launch and its kernel. Views and stored values have none and are not scheduled.
struct Scheduled {
  int node;
  Kernel kernel;
};
/// Nodes that are launched together; one after another in order of creation. Independent nodes whose kernels are
/// groupable and run by the same function move to the place of the last of them, which is before the first reader of
/// any.
std::vector<std::vector<Scheduled>> schedule_nodes(const Graph& graph, Device& device);

/// Types of a node's operands.
Types input_types(const Graph& graph, int node);

}  // namespace ganforge
