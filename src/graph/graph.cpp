#include <ganforge/error.h>
#include <ganforge/graph.h>
#include <ganforge/store.h>

#include <fmt/format.h>

#include <typeinfo>

namespace ganforge {
namespace {

/// The stored value of a variable, or a value from the host. Has memory, needs no work.
class SourceOp : public Op {
 public:
  SourceOp(std::string description, Type type) : description_(std::move(description)), type_(std::move(type)) {}
  std::string describe() const override { return description_; }
  Types infer(const Types&) const override { return {type_}; }
  Values grad(const Values&, const Values&, const Values&) const override { return {}; }
  Kernel prepare(Device&, const Types&) const override { return {}; }

 private:
  std::string description_;
  Type type_;
};

Types types_of(const Values& values) {
  Types types;
  for (const Value& value : values) types.push_back(value.type());
  return types;
}

/// The value whose memory `value` lies in.
Value root_of(Value value) {
  while (true) {
    const Graph::Node& node = value.graph().node(value.node());
    const std::optional<View> view = node.op->view(types_of(node.in));
    if (!view) return value;
    value = node.in[static_cast<std::size_t>(view->input)];
  }
}

}  // namespace

Graph& Value::graph() const {
  if (!graph_)
    throw Error("an absent value was used; a gradient is absent where the loss does not depend on the variable");
  return *graph_;
}

const Type& Value::type() const {
  return graph().node(node_).out[static_cast<std::size_t>(output_)];
}

Values Op::expand(const Values&) const {
  return {};
}

Values Op::grad(const Values& in, const Values&, const Values& dout) const {
  // Fresh aliases: in f(x, x) each use must have a cotangent of its own, or both would get the sum.
  Values fresh;
  for (const Value& value : in) fresh.push_back(alias(value));
  const Values out = expand(fresh);
  if (out.empty()) throw Error(fmt::format("{}: no gradient and no expansion to take one from", describe()));
  return ganforge::grad(out, dout, fresh);
}

int Op::in_place(int) const {
  return -1;
}
std::optional<View> Op::view(const Types&) const {
  return std::nullopt;
}
std::vector<std::size_t> Op::pieces(const Types&) const {
  return {};
}

Cost Op::cost(const Types& in) const {
  Cost cost;
  for (const Type& type : in) cost.bytes += static_cast<double>(type.bytes());
  for (const Type& type : infer(in)) {
    cost.bytes += static_cast<double>(type.bytes());
    cost.flops += static_cast<double>(type.shape.elements());
  }
  return cost;
}

Values Graph::outputs_of(int node) {
  Values values;
  for (int o = 0; o < static_cast<int>(nodes_[static_cast<std::size_t>(node)].out.size()); ++o)
    values.emplace_back(*this, node, o);
  return values;
}

Values Graph::add(std::shared_ptr<const Op> op, Values in) {
  std::string key = typeid(*op).name();
  key += ' ';
  key += op->describe();
  for (const Value& value : in) {
    if (!value || &value.graph() != this)
      throw Error(fmt::format("{}: an operand is absent or belongs to another graph", op->describe()));
    key += fmt::format(" {}.{}", value.node(), value.output());
  }
  if (const auto found = index_.find(key); found != index_.end()) return outputs_of(found->second);

  Types out;
  try {
    out = op->infer(types_of(in));
  } catch (const ShapeError& error) {
    throw ShapeError(fmt::format("{}{}{}: {}", scope_, scope_.empty() ? "" : ": ", op->describe(), error.what()));
  }
  const int node = static_cast<int>(nodes_.size());
  nodes_.push_back({std::move(op), std::move(in), std::move(out), scope_, nullptr, false});
  index_.emplace(std::move(key), node);
  return outputs_of(node);
}

Value Graph::input(const std::string& name, Type type) {
  if (const auto found = inputs_.find(name); found != inputs_.end()) {
    if (found->second.type() != type)
      throw ShapeError(fmt::format("input {} is {}, asked for as {}", name, found->second.type().str(), type.str()));
    return found->second;
  }
  const Value value = add(SourceOp(fmt::format("input {}", name), type), {})[0];
  nodes_.back().is_input = true;
  inputs_.emplace(name, value);
  return value;
}

void Graph::output(const std::string& name, Value value) {
  if (!value) throw Error(fmt::format("output {}: the value is absent", name));
  // The variable may have another value by the time the host looks.
  if (node(root_of(value).node()).variable) value = ganforge::copy(value);
  outputs_[name] = value;
}

Value Graph::stored(Variable& variable) {
  if (const auto found = stored_.find(&variable); found != stored_.end()) return found->second;
  // Numbered: variables of two stores may bear one name.
  const Value value = add(SourceOp(fmt::format("read {} #{}", variable.name, stored_.size()), variable.type), {})[0];
  nodes_[static_cast<std::size_t>(value.node())].variable = &variable;
  stored_.emplace(&variable, value);
  return value;
}

Value Graph::read(Variable& variable) {
  for (const auto& [assigned, value] : assigns_)
    if (assigned == &variable) return stop_gradient(value);
  return stored(variable);
}

Value Graph::resolve(const Value& value, int reader) const {
  const auto found = replaced_.find({value.node(), value.output()});
  return found != replaced_.end() && found->second.node() < reader ? found->second : value;
}

void Graph::assign(Variable& variable, Value value) {
  if (!value) throw Error(fmt::format("assign {}: the value is absent", variable.name));
  if (value.type() != variable.type)
    throw ShapeError(fmt::format("{}{}assign {}: got {}, the variable is {}", scope_, scope_.empty() ? "" : ": ",
                                 variable.name, value.type().str(), variable.type.str()));
  // A stored value may be overwritten before the end of the run, and no two variables may share memory: copy those
  // first.
  const Value root = root_of(value);
  const Node& producer = node(root.node());
  bool shared = producer.variable || producer.is_input || producer.op->once();
  for (const auto& [other, assigned] : assigns_) shared |= other != &variable && root_of(assigned) == root;
  if (shared) value = ganforge::copy(value);
  for (auto& [assigned, current] : assigns_) {
    if (assigned != &variable) continue;
    current = value;
    return;
  }
  assigns_.emplace_back(&variable, value);
}

}  // namespace ganforge
