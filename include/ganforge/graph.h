// The graph: values, ops, gradients. Building it computes nothing; compile() in program.h makes it run.
#pragma once

#include <ganforge/device.h>
#include <ganforge/shape.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace ganforge {

class Graph;
class Op;
struct Variable;
using Types = std::vector<Type>;

/// One output of a node of a graph. A default-constructed value is absent; as a gradient it stands for zero.
class Value {
 public:
  Value() = default;
  Value(Graph& graph, int node, int output) : graph_(&graph), node_(node), output_(output) {}

  explicit operator bool() const { return graph_ != nullptr; }
  /// Throws Error for an absent value.
  Graph& graph() const;
  int node() const { return node_; }
  int output() const { return output_; }
  const Type& type() const;
  const Shape& shape() const { return type().shape; }

  friend bool operator==(const Value&, const Value&) = default;

 private:
  Graph* graph_ = nullptr;
  int node_ = -1;
  int output_ = 0;
};
using Values = std::vector<Value>;

/// What a kernel is called with: one node's memory.
struct Call {
  const void* plan = nullptr;  ///< Kernel::plan of this node
  std::span<void*const> in, out;
  void* workspace = nullptr;   ///< Kernel::workspace bytes of any content
  void* persistent = nullptr;  ///< Kernel::persistent bytes of this node's own, zero before the first call

  template <class T>
  const T* input(int i) const {
    return static_cast<const T*>(in[static_cast<std::size_t>(i)]);
  }
  template <class T>
  T* output(int i) const {
    return static_cast<T*>(out[static_cast<std::size_t>(i)]);
  }
};

/// A prepared op: everything that depends on shapes is done, `run` only launches.
struct Kernel {
  /// Launches the calls of one group (a single call unless max_group > 1). Empty: the op has no kernel for these types
  /// here.
  std::function<void(Stream&, std::span<const Call>)> run;
  std::size_t workspace = 0;
  std::size_t persistent = 0;
  std::shared_ptr<const void> plan;  ///< sizes for a grouped run
  int max_group =
      1;  ///< so many independent nodes of the op may share a launch; `run` then goes by each call's plan alone

  std::string note = {};  ///< which of several algorithms it is, for people

  explicit operator bool() const { return static_cast<bool>(run); }
};

/// The output is the input's memory from `offset` bytes on.
struct View {
  int input;
  std::size_t offset;
};

struct Cost {
  double flops = 0, bytes = 0;
};

/// An operation, without its operands: pure, immutable. To write one of your own, derive from it and give describe,
/// infer, expand; it then trains on every backend, to any order of derivative. prepare() adds a kernel of your own.
class Op {
 public:
  virtual ~Op() = default;

  /// Name and every attribute, e.g. "linear act=leaky_relu(0.2)". Two ops of equal description and operands are one
  /// node.
  virtual std::string describe() const = 0;

  /// Types of the outputs; throws ShapeError if the inputs do not fit.
  virtual Types infer(const Types& in) const = 0;

  /// The same values in simpler ops: specification, default gradient and fallback. Primitives have none (an empty
  /// list).
  virtual Values expand(const Values& in) const;

  /// Cotangents of the inputs (absent: zero) from those of the outputs (absent: zero). The default differentiates
  /// expand().
  virtual Values grad(const Values& in, const Values& out, const Values& dout) const;

  /// The input whose memory this output may take, or −1.
  virtual int in_place(int output) const;

  /// For a single-output move that needs no work.
  virtual std::optional<View> view(const Types& in) const;

  /// For a concatenation along the outermost axis: byte offset of each input in the output. Empty: not one.
  virtual std::vector<std::size_t> pieces(const Types& in) const;

  /// A concatenation with gaps between its pieces: they are zero, and nobody else may write them.
  virtual bool gaps() const { return false; }

  /// The outputs depend on nothing: computed once by compile().
  virtual bool once() const { return false; }

  /// A kernel for these types on this device; an empty one sends the op to expand().
  virtual Kernel prepare(Device& device, const Types& in) const = 0;

  virtual Cost cost(const Types& in) const;
};

/// A list of nodes in order of creation, and which values are stored where at the end.
class Graph {
 public:
  struct Node {
    std::shared_ptr<const Op> op;
    Values in;
    Types out;
    std::string scope;             ///< who built it: "discriminator/1_linear"
    Variable* variable = nullptr;  ///< the stored value that this node stands for
    bool is_input = false;         ///< filled by the host
  };

  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  Graph(Graph&&) = delete;

  /// Adds a node, or returns the equal one that exists. Throws ShapeError, opened by scope and op.
  Values add(std::shared_ptr<const Op> op, Values in);
  template <class O>
  requires std::derived_from<O, Op> Values add(O op, Values in) {
    return add(std::make_shared<const O>(std::move(op)), std::move(in));
  }

  /// A value that the host fills before a run.
  Value input(const std::string& name, Type type);
  /// A value that the host may read after a run.
  void output(const std::string& name, Value value);

  /// The value last assigned in this graph, else the stored one. Either is a constant to grad(): gradients do not flow
  /// from a variable into what it was computed from (an update's own derivative, say).
  Value read(Variable& variable);
  /// From here on `variable` has this value; after a run it is stored. Throws ShapeError if the types differ.
  void assign(Variable& variable, Value value);

  /// `same` is equal to `old` and cheaper to have: nodes added after it read it instead when the graph is compiled.
  void replace(const Value& old, const Value& same) { replaced_[{old.node(), old.output()}] = same; }
  /// What node `reader` reads for `value`.
  Value resolve(const Value& value, int reader) const;

  /// A number that no other call returns: it keeps draws and aliases apart.
  int fresh_number() { return fresh_++; }
  /// All numbers so far are below this; `reserve_numbers` keeps others from being given out.
  int fresh_numbers() const { return fresh_; }
  void reserve_numbers(int below) { fresh_ = fresh_ < below ? below : fresh_; }

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(int i) const { return nodes_[static_cast<std::size_t>(i)]; }
  const std::map<std::string, Value>& inputs() const { return inputs_; }
  const std::map<std::string, Value>& outputs() const { return outputs_; }
  /// Final assignments, in order of each variable's first.
  const std::vector<std::pair<Variable*, Value>>& assigns() const { return assigns_; }

  const std::string& scope() const { return scope_; }
  void set_scope(std::string scope) { scope_ = std::move(scope); }

 private:
  Value stored(Variable& variable);
  Values outputs_of(int node);

  std::vector<Node> nodes_;
  std::unordered_map<std::string, int> index_;  // (op, operands) → node
  std::map<std::string, Value> inputs_, outputs_;
  std::unordered_map<Variable*, Value> stored_;
  std::vector<std::pair<Variable*, Value>> assigns_;
  std::map<std::pair<int, int>, Value> replaced_;
  std::string scope_;
  int fresh_ = 0;
};

/// Gradient of Σ ys·dys with respect to each of xs; an absent dy is zero, an absent result is a zero gradient. Only
/// nodes between xs and ys are visited. The results are values of the same graph: differentiate them again for higher
/// orders.
Values grad(const Values& ys, const Values& dys, const Values& xs);
/// Gradient of a scalar.
Values grad(Value y, const Values& xs);

// What the graph needs from the ops, defined in src/ops.
Value add(Value x, Value y);
Value constant(Graph& graph, double value, Type type);
Value stop_gradient(Value x);
/// The same number in new memory.
Value copy(Value x);
/// The same number under a name of its own, so that derivatives can be taken with respect to one use of a value.
Value alias(Value x);

}  // namespace ganforge
