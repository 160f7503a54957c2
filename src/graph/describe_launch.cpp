#include "src/graph/describe_launch.h"

namespace ganforge {

ProgramReport::Launch describe_launch(const Graph& graph, const std::vector<Scheduled>& group) {
  ProgramReport::Launch launch;
  launch.nodes = static_cast<int>(group.size());
  launch.note = group[0].kernel.note;
  for (const Scheduled& member : group) {
    const Graph::Node& node = graph.node(member.node);
    const Types in = input_types(graph, member.node);
    const Cost cost = node.op->cost(in);
    launch.flops += cost.flops;
    launch.bytes += cost.bytes;
    std::string types;
    for (const Type& type : in) types += (types.empty() ? "" : " ") + type.shape.str();
    types += " →";
    for (const Type& type : node.out) types += " " + type.shape.str();
    launch.types.push_back(types);
    if (launch.op.empty()) launch.op = node.op->describe();
    if (launch.scope.empty()) launch.scope = node.scope;
  }
  return launch;
}

}  // namespace ganforge
