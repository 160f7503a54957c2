// The layers, and layers one after another.
#include <ganforge/error.h>
#include <ganforge/layers.h>

#include <fmt/format.h>

namespace ganforge {

Value Linear::operator()(Context& context, Value x, const Activation& activation) const {
  if (x.shape().rank() != 2)
    throw ShapeError(fmt::format("{}: linear takes [N, features], got {}; put a flatten before it", context.scope(),
                                 x.shape().str()));
  if (out_features < 1)
    throw ShapeError(fmt::format("{}: linear with {} output features", context.scope(), out_features));
  const Value w = context.parameter("w", {out_features, x.shape()[1]}, init);
  const Value b = bias ? context.parameter("b", {out_features}, bias_init) : Value();
  return linear(x, w, b, activation);
}

Value BatchNorm::operator()(Context& context, Value x, const Activation& activation) const {
  const Shape channels{x.shape()[-1]};
  const Value gamma = context.parameter("gamma", channels, init);
  const Value beta = context.parameter("beta", channels, Initializer::zeros());
  const Value mean = context.state("running_mean", channels, Initializer::zeros());
  const Value var = context.state("running_var", channels, Initializer::ones());
  if (!context.training()) return batch_norm_inference(x, gamma, beta, mean, var, eps, activation);
  const BatchNormResult result = batch_norm(x, gamma, beta, mean, var, {eps, momentum, context.groups(), activation});
  context.set_state("running_mean", result.running_mean);
  context.set_state("running_var", result.running_var);
  return result.y;
}

Value Flatten::operator()(Context&, Value x) const {
  return reshape(x, {x.shape()[0], -1});
}

Value Reshape::operator()(Context&, Value x) const {
  std::vector<std::int64_t> extents = {x.shape()[0]};
  extents.insert(extents.end(), shape.begin(), shape.end());
  return reshape(x, extents);
}

Value Residual::operator()(Context& context, Value x) const {
  const auto branch = [&](const char* branch_name, const Sequential& layers) {
    const Context::Scope scope(context, branch_name);
    return layers(context, x);
  };
  if (main.layers().empty()) throw ShapeError(fmt::format("{}: residual: main has no layers", context.scope()));
  const Value on_main = branch("main", main), past = branch("shortcut", shortcut);
  if (on_main.shape() != past.shape())
    throw ShapeError(fmt::format("{}: residual: main makes {}, the shortcut {}{}", context.scope(),
                                 on_main.shape().str(), past.shape().str(),
                                 shortcut.layers().empty() ? ", the input; give it a shortcut of its own" : ""));
  return past + on_main;
}

Value Sequential::operator()(Context& context, Value x) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const std::optional<Activation> next =
        layer.fuses_activation() && i + 1 < layers_.size() ? layers_[i + 1].activation() : std::nullopt;
    const Context::Scope scope(context, fmt::format("{}_{}", i, layer.type()));
    const std::size_t line = context.open_layer(layer.type());
    x = layer.apply(context, x, next.value_or(Activation{}));
    context.close_layer(line, x.shape());
    if (next) context.close_layer(context.open_layer(layers_[++i].type()), x.shape());
  }
  return x;
}

Activation Sequential::output_activation() const {
  for (std::size_t i = layers_.size(); i-- > 0;) {
    if (const auto activation = layers_[i].activation()) return *activation;
    const std::string type = layers_[i].type();
    if (type != Reshape::name && type != Flatten::name) break;
  }
  return {};
}

}  // namespace ganforge
