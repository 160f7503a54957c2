// Layers that read the class of each sample, and heads beside the discriminator's own.
#include <ganforge/error.h>
#include <ganforge/labels.h>
#include <ganforge/layers.h>

#include <fmt/format.h>

namespace ganforge {
namespace {

/// One number after the other of each sample's vector [N, features], behind x's last axis.
Value append(Context& context, Value x, Value features) {
  const Shape& shape = x.shape();
  if (shape.rank() < 2 || shape[0] != features.shape()[0])
    throw ShapeError(
        fmt::format("{}: [{}, …, features] wanted, got {}", context.scope(), features.shape()[0], shape.str()));
  std::vector<std::int64_t> extents(static_cast<std::size_t>(shape.rank()), 1);
  extents.front() = shape[0];
  extents.back() = features.shape()[1];
  const Value planes = broadcast(reshape(features, extents), shape.with(shape.rank() - 1, features.shape()[1]));
  return concat({x, planes}, shape.rank() - 1);
}

void require_vectors(const Context& context, Value x, const char* layer) {
  if (x.shape().rank() != 2)
    throw ShapeError(fmt::format("{}: {} takes [N, features], got {}; put a flatten before it", context.scope(), layer,
                                 x.shape().str()));
}

/// The row of the sample's class of a table [classes, width].
Value row_of_class(Context& context, const std::string& table, std::int64_t width, const Initializer& init) {
  const Value labels = context.labels();
  return gather_rows(context.parameter(table, {context.classes(), width}, init), labels);
}

}  // namespace

Value LabelConcat::operator()(Context& context, Value x) const {
  const Value labels = context.labels();
  return append(context, x, one_hot(labels, context.classes(), x.type().dtype));
}

Value EmbeddingConcat::operator()(Context& context, Value x) const {
  return append(context, x, row_of_class(context, "embedding", features, init));
}

Value EmbeddingMultiply::operator()(Context& context, Value x) const {
  require_vectors(context, x, name);
  return x * row_of_class(context, "embedding", x.shape()[1], init);
}

Value ConditionalBatchNorm::operator()(Context& context, Value x, const Activation& activation) const {
  const std::int64_t channels = x.shape()[-1];
  const Value gamma = row_of_class(context, "gamma", channels, init);
  const Value beta = row_of_class(context, "beta", channels, Initializer::zeros());
  const Value mean = context.state("running_mean", {channels}, Initializer::zeros());
  const Value var = context.state("running_var", {channels}, Initializer::ones());
  const Value one = constant_like(mean, 1), zero = constant_like(mean, 0);
  Value y;
  if (context.training()) {
    const BatchNormResult result = batch_norm(x, one, zero, mean, var, {eps, momentum, context.groups(), {}});
    context.set_state("running_mean", result.running_mean);
    context.set_state("running_var", result.running_var);
    y = result.y;
  } else {
    y = batch_norm_inference(x, one, zero, mean, var, eps);
  }
  std::vector<std::int64_t> extents(static_cast<std::size_t>(x.shape().rank()), 1);
  extents.front() = x.shape()[0];
  extents.back() = channels;
  return activate(y * reshape(gamma, extents) + reshape(beta, extents), activation);
}

Value ProjectionHead::operator()(Context& context, Value x) const {
  require_vectors(context, x, name);
  const std::int64_t features = x.shape()[1];
  const Value w = context.parameter("w", {1, features}, init);
  const Value b = context.parameter("b", {1}, Initializer::zeros());
  const Value inner = sum(x * row_of_class(context, "embedding", features, embedding_init), {1});
  return linear(x, w, b) + reshape(inner, {-1, 1});
}

Value ClassHead::operator()(Context& context, Value x) const {
  require_vectors(context, x, name);
  context.labels();  // what the logits are measured by
  const Value w = context.parameter("w", {context.classes(), x.shape()[1]}, init);
  const Value b = context.parameter("b", {context.classes()}, Initializer::zeros());
  context.emit("class_logits", linear(x, w, b));
  return x;
}

Value CodeHead::operator()(Context& context, Value x) const {
  require_vectors(context, x, name);
  const Value w0 = context.parameter("w0", {features, x.shape()[1]}, init);
  const Value b0 = context.parameter("b0", {features}, Initializer::zeros());
  const Value w1 = context.parameter("w1", {codes, features}, init);
  const Value b1 = context.parameter("b1", {codes}, Initializer::zeros());
  const Value hidden = linear(x, w0, b0, {Activation::Kind::leaky_relu, negative_slope});
  context.emit("codes", linear(hidden, w1, b1));
  return x;
}

}  // namespace ganforge
