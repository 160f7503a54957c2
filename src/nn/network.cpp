#include <ganforge/error.h>
#include <ganforge/nn.h>

#include <fmt/format.h>

#include <algorithm>

namespace ganforge {
namespace {

constexpr std::int64_t flat_alignment = 16;  // floats: 64 bytes

std::int64_t align(std::int64_t elements) {
  return (elements + flat_alignment - 1) / flat_alignment * flat_alignment;
}

}  // namespace

Network::Network(VariableStore& store, const std::string& name, Model model, const Shape& input)
    : store_(&store), name_(name), model_(std::move(model)), input_(input) {
  Graph scratch;
  registering_ = true;
  output_ = (*this)(Context(scratch, store, Mode::training), scratch.input("x", {DType::float32, input})).shape();
  registering_ = false;

  std::int64_t size = 0;
  for (Parameter& parameter : parameters_) {
    parameter.offset = size;
    size += align(parameter.shape.elements());
  }
  std::vector<float> values(static_cast<std::size_t>(size), 0.0f);
  for (const Parameter& parameter : parameters_)
    std::ranges::copy(initial_values(parameter.initial, parameter.name, parameter.shape, store.seed()),
                      values.begin() + parameter.offset);
  weights_ = &store.variable(name + "/weights", {DType::float32, {size}});
  store.upload(*weights_, values.data());
}

Value Network::operator()(const Context& context, Value x) {
  Context own = context;
  own.network_ = this;
  const Context::Scope scope(own, name_);
  return model_(own, x);
}

Value Network::parameter(const Context& context, const std::string& name, const Shape& shape,
                         const Initializer& initial) {
  auto found = std::ranges::find(parameters_, name, &Parameter::name);
  if (registering_) {
    if (found == parameters_.end()) parameters_.push_back({name, shape, initial, 0});
    return context.graph().input(name, {DType::float32, shape});
  }
  if (found == parameters_.end() || found->shape != shape)
    throw ShapeError(fmt::format("{} is {}, but was built as {}: the network was made for inputs {}", name, shape.str(),
                                 found == parameters_.end() ? "nothing" : found->shape.str(), input_.str()));
  return view(context, *found);
}

Value Network::view(const Context& context, const Parameter& parameter) const {
  const Value flat = context.graph().read(context.ema_ && ema_ ? *ema_ : *weights_);
  return reshape(slice(flat, 0, parameter.offset, parameter.offset + parameter.shape.elements()), parameter.shape);
}

Values Network::parameters(const Context& context) const {
  Values values;
  for (const Parameter& parameter : parameters_) values.push_back(view(context, parameter));
  return values;
}

std::int64_t Network::parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.shape.elements();
  return count;
}

const Network::Parameter& Network::parameter_at(std::int64_t element) const {
  const auto behind = std::ranges::upper_bound(parameters_, element, {}, &Parameter::offset);
  return behind == parameters_.begin() ? parameters_.at(0) : behind[-1];
}

void Network::enable_ema(float decay) {
  ema_decay_ = decay;
  if (ema_) return;
  ema_ = &store_->variable(name_ + "/ema", weights_->type);
  store_->device().copy(ema_->data(), weights_->data(), weights_->type.bytes());
}

std::size_t Network::open_layer(const std::string& layer) {
  if (registering_) layers_.push_back({layer, {}, -parameter_count()});
  return layers_.size() - 1;
}

void Network::close_layer(std::size_t line, const Shape& output) {
  if (!registering_) return;
  layers_[line].output = output;
  layers_[line].parameters += parameter_count();
}

std::string Network::summary() const {
  std::string text = fmt::format("{:<24}{:<24}{:>12}\n", name_, "output", "parameters");
  for (const LayerInfo& layer : layers_)
    text += fmt::format("  {:<22}{:<24}{:>12}\n", layer.layer, layer.output.with(0, 0).str().replace(1, 1, "N"),
                        layer.parameters);
  return text + fmt::format("{:<24}{:<24}{:>12}\n", "", "", parameter_count());
}

UpdateCheck adam(Context& context, Network& network, const Values& gradients, const AdamOptions& options, Value lr) {
  Graph& graph = context.graph();
  VariableStore& store = context.store();
  const std::vector<Network::Parameter>& parameters = network.parameter_list();
  if (gradients.size() != parameters.size())
    throw Error(
        fmt::format("{} has {} parameters, got {} gradients", network.name(), parameters.size(), gradients.size()));
  if (parameters.empty()) throw Error(fmt::format("{} has no trainable parameters", network.name()));
  if (options.ema_decay > 0)
    throw Error(fmt::format("{}: a network keeps its own moving average: enable_ema(decay)", network.name()));
  Values pieces;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i])
      throw Error(
          fmt::format("no gradient reaches {}: the loss does not depend on it, or the weights were updated after the "
                      "loss was built",
                      parameters[i].name));
    pieces.push_back(reshape(gradients[i], {-1}));
  }
  const Type& flat = network.weights().type;
  Variable& m = store.variable(network.name() + "/adam_m", flat);
  Variable& v = store.variable(network.name() + "/adam_v", flat);
  Variable& t = store.variable(network.name() + "/adam_t", {DType::float32, {}});
  AdamState state{graph.read(network.weights()), graph.read(m), graph.read(v), graph.read(t), {}};
  if (network.ema()) state.ema = graph.read(*network.ema());

  const std::string outer = graph.scope();
  graph.set_scope(network.name());
  const Value g = concat_aligned(pieces, flat_alignment);
  AdamOptions step = options;
  step.ema_decay = network.ema_decay();
  const AdamResult next =
      adam_step(state, g, lr ? lr : constant(graph, static_cast<double>(options.lr), {DType::float32, {}}), step);

  graph.assign(network.weights(), next.w);
  graph.assign(m, next.m);
  graph.assign(v, next.v);
  graph.assign(t, next.t);
  if (next.ema) graph.assign(*network.ema(), next.ema);
  graph.set_scope(outer);
  return {next.bad_w, next.bad_g};
}

}  // namespace ganforge
