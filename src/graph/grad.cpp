// Reverse-mode differentiation of a graph into the same graph.
#include <ganforge/error.h>
#include <ganforge/graph.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace ganforge {
namespace {

using Slot = std::pair<int, int>;  // node, output

Slot slot(const Value& value) {
  return {value.node(), value.output()};
}

/// Restores the graph's scope: gradient nodes bear the scope of the node they belong to.
class ScopeGuard {
 public:
  explicit ScopeGuard(Graph& graph) : graph_(graph), scope_(graph.scope()) {}
  ~ScopeGuard() { graph_.set_scope(scope_); }

 private:
  Graph& graph_;
  std::string scope_;
};

}  // namespace

Values grad(const Values& ys, const Values& dys, const Values& xs) {
  if (ys.size() != dys.size()) throw Error(fmt::format("{} values, but {} cotangents", ys.size(), dys.size()));
  if (ys.empty()) return Values(xs.size());
  Graph& graph = ys[0].graph();
  const ScopeGuard guard(graph);

  std::map<Slot, Value> cotangent;
  const auto accumulate = [&](const Value& value, const Value& d) {
    if (!d) return;
    if (d.type() != value.type())
      throw Error(fmt::format("the gradient of {} has type {}", value.type().str(), d.type().str()));
    Value& sum = cotangent[slot(value)];
    sum = sum ? add(sum, d) : d;
  };

  int last = -1;
  for (std::size_t i = 0; i < ys.size(); ++i) {
    if (!dys[i]) continue;
    accumulate(ys[i], dys[i]);
    last = std::max(last, ys[i].node());
  }

  // A node matters if one of its operands is some x or comes from a node that matters.
  std::vector<char> matters(static_cast<std::size_t>(last + 1), 0);
  const auto wanted = [&](const Value& value) {
    return (value.node() <= last && matters[static_cast<std::size_t>(value.node())]) ||
           std::find(xs.begin(), xs.end(), value) != xs.end();
  };
  for (int n = 0; n <= last; ++n) matters[static_cast<std::size_t>(n)] = std::ranges::any_of(graph.node(n).in, wanted);

  for (int n = last; n >= 0; --n) {
    if (!matters[static_cast<std::size_t>(n)]) continue;
    const std::shared_ptr<const Op> op = graph.node(n).op;
    const Values in = graph.node(n).in;  // copies: the rule adds nodes
    Values out, dout;
    bool reached = false;
    for (int o = 0; o < static_cast<int>(graph.node(n).out.size()); ++o) {
      out.emplace_back(graph, n, o);
      const auto found = cotangent.find({n, o});
      dout.push_back(found == cotangent.end() ? Value() : found->second);
      reached |= static_cast<bool>(dout.back());
    }
    if (!reached) continue;
    graph.set_scope(graph.node(n).scope);
    const Values din = op->grad(in, out, dout);
    for (std::size_t i = 0; i < din.size(); ++i)
      if (wanted(in[i])) accumulate(in[i], din[i]);
  }

  Values result;
  for (const Value& x : xs) {
    const auto found = x ? cotangent.find(slot(x)) : cotangent.end();
    result.push_back(found == cotangent.end() ? Value() : found->second);
  }
  return result;
}

Values grad(Value y, const Values& xs) {
  if (y.shape().rank() != 0 && y.shape().elements() != 1)
    throw ShapeError(fmt::format("the gradient of {} was asked for: reduce it to a scalar first", y.type().str()));
  return grad({y}, {constant(y.graph(), 1.0, y.type())}, xs);
}

}  // namespace ganforge
