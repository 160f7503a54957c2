// Networks: layers, parameters, optimisers. A model is a function from values to a value; a Network gives it weights.
#pragma once

#include <ganforge/ops.h>
#include <ganforge/program.h>
#include <ganforge/store.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ganforge {

class Network;

/// Names of the store's step variables.
inline constexpr auto tick_variable = "step/tick";
inline constexpr auto cursor_variable = "step/cursor";
inline constexpr auto statistics_variable = "step/statistics";
inline constexpr auto ring_variable = "step/ring";
inline constexpr auto ring_tick_variable = "step/ring_tick";
inline constexpr std::int64_t ring_rows = 256;

enum class Mode { training, inference };

/// How a parameter begins. Fans are taken from a weight's shape [out, …, in].
struct Initializer {
  enum class Kind {
    constant,        ///< value
    normal,          ///< N(mean, stddev)
    uniform,         ///< U(low, high)
    glorot_uniform,  ///< U(−a, a), a = gain·√(6/(fan_in + fan_out)) (Glorot & Bengio 2010; Keras' default)
    fan_in           ///< N(0, gain/√fan_in) (He et al. 2015)
  };
  Kind kind = Kind::constant;
  float mean = 0;    ///< or the constant, or low
  float stddev = 0;  ///< or high, or gain

  static Initializer zeros() { return {}; }
  static Initializer ones() { return {Kind::constant, 1, 0}; }
  static Initializer glorot_uniform(float gain = 1) { return {Kind::glorot_uniform, 0, gain}; }
  static Initializer fan_in(float gain) { return {Kind::fan_in, 0, gain}; }
  static Initializer normal(float mean, float stddev) { return {Kind::normal, mean, stddev}; }
  static Initializer uniform(float low, float high) { return {Kind::uniform, low, high}; }

  /// "glorot_uniform", "glorot_uniform(1.4)", "fan_in(1)", "normal(0, 0.02)", "uniform(-1, 1)", "constant(1)"
  std::string str() const;
  /// Throws ConfigError.
  static Initializer parse(const std::string& text);
  friend bool operator==(const Initializer&, const Initializer&) = default;
};

/// The values that a parameter of this name begins with: a function of (seed, name, shape).
std::vector<float> initial_values(const Initializer& initial, const std::string& name, const Shape& shape,
                                  std::uint64_t seed);

/// Where a model is being built: graph, variables, mode, and whose weights. Cheap to copy.
class Context {
 public:
  Context(Graph& graph, VariableStore& store, Mode mode) : graph_(&graph), store_(&store), mode_(mode) {}

  Graph& graph() const { return *graph_; }
  VariableStore& store() const { return *store_; }
  bool training() const { return mode_ == Mode::training; }

  /// The same context in which the batch consists of `groups` equal blocks: layers that mix samples stay within a
  /// block.
  Context groups(int groups) const;
  int groups() const { return groups_; }
  /// The same context with the moving average of the weights, where a network has one.
  Context ema() const;

  /// A trainable weight of the network being built; registered by name on the first build.
  Value parameter(const std::string& name, const Shape& shape, const Initializer& initial);
  /// A running quantity of the network being built, and its update.
  Value state(const std::string& name, const Shape& shape, const Initializer& initial);
  void set_state(const std::string& name, Value value);

  /// Names of parameters and nodes built while the object lives begin with `name`.
  class Scope {
   public:
    Scope(Context& context, const std::string& name);
    ~Scope();
    Scope(const Scope&) = delete;

   private:
    Context& context_;
    std::string outer_;
  };

  const std::string& scope() const { return scope_; }
  /// A line for Network::summary(), indented as deep as layers lie in layers: opened before the layer is built.
  std::size_t open_layer(const std::string& layer);
  void close_layer(std::size_t line, const Shape& output);

  /// Quantities for people to look at (scalars): filed by the next step's prologue, in this order. At most 32.
  void report(const std::vector<std::pair<std::string, Value>>& quantities);

 private:
  friend class Network;
  Graph* graph_;
  VariableStore* store_;
  Mode mode_;
  int groups_ = 1;
  bool ema_ = false;
  Network* network_ = nullptr;
  std::string scope_;
};

/// A function from values to a value.
using Model = std::function<Value(Context&, Value)>;

// --- networks
// ---------------------------------------------------------------------------------------------------------

/// A model and its variables: `name`/weights (all trainable weights, flat) and its running quantities.
class Network {
 public:
  /// Builds the model once on inputs of these shapes, to learn its parameters, and initialises them.
  Network(VariableStore& store, const std::string& name, Model model, const Shape& input);
  Network(const Network&) = delete;

  /// The model in a graph. Weights are those last assigned there.
  Value operator()(const Context& context, Value x);
  /// The weights as the values that a loss is differentiated by. Take them before the optimiser assigns new ones:
  /// gradients with respect to the new weights of a loss that was built from the old ones are absent.
  Values parameters(const Context& context) const;

  struct Parameter {
    std::string name;  ///< with its scope: "discriminator/1_linear/w"
    Shape shape;
    Initializer initial;
    std::int64_t offset = 0;  ///< in elements of the flat buffer
  };
  const std::string& name() const { return name_; }
  const std::vector<Parameter>& parameter_list() const { return parameters_; }
  std::int64_t parameter_count() const;
  /// The parameter that has this element of the flat buffer, or is the nearest before it.
  const Parameter& parameter_at(std::int64_t element) const;
  const Shape& output_shape() const { return output_; }
  Variable& weights() { return *weights_; }
  /// Keeps a moving average of the weights from now on, ema ← decay·ema + (1 − decay)·w; adam() updates it.
  void enable_ema(float decay);
  Variable* ema() { return ema_; }
  float ema_decay() const { return ema_decay_; }

  /// A table: layer, output shape, parameters. For people.
  std::string summary() const;

 private:
  friend class Context;
  struct LayerInfo {
    std::string layer;
    Shape output;
    std::int64_t parameters;  ///< with those of layers in it
  };

  Value parameter(const Context& context, const std::string& name, const Shape& shape, const Initializer& initial);
  Value view(const Context& context, const Parameter& parameter) const;
  std::size_t open_layer(const std::string& layer);
  void close_layer(std::size_t line, const Shape& output);

  VariableStore* store_;
  std::string name_;
  Model model_;
  Shape input_, output_;
  std::vector<Parameter> parameters_;
  std::vector<LayerInfo> layers_;  ///< filled while `registering_`
  bool registering_ = false;
  Variable* weights_ = nullptr;
  Variable* ema_ = nullptr;
  float ema_decay_ = 0;
};

/// What adam() found not to be finite: scalars as in AdamResult.
struct UpdateCheck {
  Value weights;  ///< before the update
  Value gradients;
};
/// One Adam step on a network: `gradients` as grad(loss, network.parameters(context)) gave them. Assigns weights,
/// moments, and the moving average if the network has one. `lr` is a float32 scalar (a schedule); absent: options.lr.
/// Throws Error if a parameter has no gradient, or for options.ema_decay: the network keeps its own.
UpdateCheck adam(Context& context, Network& network, const Values& gradients, const AdamOptions& options,
                 Value lr = {});

}  // namespace ganforge
