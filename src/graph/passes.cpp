#include "src/graph/passes.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <typeindex>

namespace ganforge {
namespace {

bool is_source(const Graph::Node& node) {
  return node.variable || node.is_input;
}

/// A move without work of its own: the memory plan does it.
bool is_move(const Graph& graph, int n) {
  const Types in = input_types(graph, n);
  return graph.node(n).op->view(in) || !graph.node(n).op->pieces(in).empty();
}

std::vector<char> needed_nodes(const Graph& graph) {
  std::vector<char> needed(graph.nodes().size(), 0);
  const int end = static_cast<int>(graph.nodes().size());
  for (const auto& [name, value] : graph.outputs())
    needed[static_cast<std::size_t>(graph.resolve(value, end).node())] = 1;
  for (const auto& [variable, value] : graph.assigns())
    needed[static_cast<std::size_t>(graph.resolve(value, end).node())] = 1;
  for (std::size_t n = needed.size(); n-- > 0;)
    if (needed[n])
      for (const Value& value : graph.nodes()[n].in)
        needed[static_cast<std::size_t>(graph.resolve(value, static_cast<int>(n)).node())] = 1;
  return needed;
}

/// One round: copies what is needed and expands each op without a kernel once. `changed` tells whether any was.
std::unique_ptr<Graph> lower_once(const Graph& graph, Device& device, bool& changed) {
  auto result = std::make_unique<Graph>();
  result->reserve_numbers(graph.fresh_numbers());  // the old graph's numbers stay taken
  const std::vector<char> needed = needed_nodes(graph);
  std::vector<Values> mapped(graph.nodes().size());
  const auto map = [&](const Value& value, int reader) {
    const Value v = graph.resolve(value, reader);
    return mapped[static_cast<std::size_t>(v.node())][static_cast<std::size_t>(v.output())];
  };
  const int end = static_cast<int>(graph.nodes().size());
  for (const auto& [name, value] : graph.inputs())
    mapped[static_cast<std::size_t>(value.node())] = {result->input(name, value.type())};

  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Graph::Node& node = graph.node(n);
    Values& out = mapped[static_cast<std::size_t>(n)];
    if (!needed[static_cast<std::size_t>(n)] || node.is_input) continue;
    if (node.variable) {
      out = {result->read(*node.variable)};
      continue;
    }
    Values in;
    for (const Value& value : node.in) in.push_back(map(value, n));
    result->set_scope(node.scope);
    if (is_move(graph, n) || node.op->prepare(device, input_types(graph, n))) {
      out = result->add(node.op, in);
      continue;
    }
    out = node.op->expand(in);
    if (out.empty())
      throw Error(fmt::format("{}: {} has no kernel on this device and no expansion", node.scope, node.op->describe()));
    for (std::size_t o = 0; o < out.size(); ++o)
      if (out[o].type() != node.out[o])
        throw Error(fmt::format("{}: output {} expands to {}, inferred was {}", node.op->describe(), o,
                                out[o].type().str(), node.out[o].str()));
    changed = true;
  }
  for (const auto& [name, value] : graph.outputs()) result->output(name, map(value, end));
  for (const auto& [variable, value] : graph.assigns()) result->assign(*variable, map(value, end));
  result->set_scope("");
  return result;
}

}  // namespace

Types input_types(const Graph& graph, int node) {
  Types types;
  for (const Value& value : graph.node(node).in) types.push_back(value.type());
  return types;
}

std::unique_ptr<Graph> lower(const Graph& graph, Device& device) {
  bool changed = false;
  auto result = lower_once(graph, device, changed);
  for (int round = 0; changed; ++round) {
    if (round == 32) throw Error("expansion does not end: an op expands into itself");
    changed = false;
    result = lower_once(*result, device, changed);
  }
  return result;
}

std::vector<std::vector<Scheduled>> schedule_nodes(const Graph& graph, Device& device) {
  struct Open {
    std::type_index run;
    std::size_t group;
  };
  std::vector<std::vector<Scheduled>> groups;
  std::vector<Open> open;                               // groups that may still grow
  std::vector<int> group_of(graph.nodes().size(), -1);  // through views: the group that makes a node's memory
  const std::vector<char> needed = needed_nodes(graph);

  for (int n = 0; n < static_cast<int>(graph.nodes().size()); ++n) {
    const Graph::Node& node = graph.node(n);
    if (!needed[static_cast<std::size_t>(n)] || is_source(node)) continue;
    const Types in = input_types(graph, n);
    if (const auto view = node.op->view(in)) {
      group_of[static_cast<std::size_t>(n)] =
          group_of[static_cast<std::size_t>(node.in[static_cast<std::size_t>(view->input)].node())];
      continue;
    }
    // A reader closes the groups that it reads from.
    for (const Value& value : node.in) {
      const int read = group_of[static_cast<std::size_t>(value.node())];
      std::erase_if(open, [&](const Open& o) { return static_cast<int>(o.group) == read; });
    }
    Kernel kernel = node.op->pieces(in).empty() ? node.op->prepare(device, in) : Kernel{};
    const int max_group = kernel.max_group;
    const std::type_index run = kernel.run.target_type();
    const auto found =
        max_group > 1 ? std::ranges::find_if(open, [&](const Open& o) { return o.run == run; }) : open.end();
    if (found == open.end()) {
      group_of[static_cast<std::size_t>(n)] = static_cast<int>(groups.size());
      if (max_group > 1) open.push_back({run, groups.size()});
      groups.push_back({});
      groups.back().push_back({n, std::move(kernel)});
      continue;
    }
    // Move the group here: its members so far are read by nobody yet.
    const std::size_t old = found->group;
    std::vector<Scheduled> members = std::move(groups[old]);
    groups[old].clear();
    members.push_back({n, std::move(kernel)});
    for (const Scheduled& member : members)
      group_of[static_cast<std::size_t>(member.node)] = static_cast<int>(groups.size());
    for (int& group : group_of)
      if (group == static_cast<int>(old)) group = static_cast<int>(groups.size());
    if (static_cast<int>(members.size()) < max_group)
      found->group = groups.size();
    else
      open.erase(found);
    groups.push_back(std::move(members));
  }
  std::erase_if(groups, [](const auto& group) { return group.empty(); });
  return groups;
}

}  // namespace ganforge
