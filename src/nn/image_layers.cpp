// Layers without weights for images, norms of single samples, dropout.
#include <ganforge/downsample.h>
#include <ganforge/error.h>
#include <ganforge/layers.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace ganforge {
namespace {

/// One number for both axes, or two.
std::array<std::int64_t, 2> per_axis(const Context& context, const char* layer, const char* name,
                                     const std::vector<std::int64_t>& list) {
  if (list.size() != 1 && list.size() != 2)
    throw ShapeError(fmt::format("{}: {}: {} must be one number or two, got [{}]", context.scope(), layer, name,
                                 fmt::join(list, ", ")));
  return {list.front(), list.back()};
}

struct Affine {
  Value gamma, beta;
};
Affine parameters(Context& context, Value x, const Initializer& init) {
  const Shape channels{x.shape()[-1]};
  return {context.parameter("gamma", channels, init), context.parameter("beta", channels, Initializer::zeros())};
}

}  // namespace

Value AvgPool2d::operator()(Context& context, Value x) const {
  return avg_pool2d(x, per_axis(context, name, "window", window), per_axis(context, name, "stride", stride));
}

Value MaxPool2d::operator()(Context& context, Value x) const {
  return max_pool2d(x, per_axis(context, name, "window", window), per_axis(context, name, "stride", stride));
}

Value Upsample::operator()(Context&, Value x) const {
  return bilinear ? upsample_bilinear(x, factor) : upsample_nearest(x, factor);
}

Value Downsample::operator()(Context&, Value x) const {
  return downsample_bilinear(x, factor);
}

Value PixelShuffle::operator()(Context&, Value x) const {
  return pixel_shuffle(x, factor);
}

Value GlobalAvgPool::operator()(Context&, Value x) const {
  return global_avg_pool(x);
}

Value GlobalSumPool::operator()(Context& context, Value x) const {
  if (x.shape().rank() != 4)
    throw ShapeError(fmt::format("{}: {} takes images [N, H, W, C], got {}", context.scope(), name, x.shape().str()));
  return sum(x, {1, 2});
}

Value Basis::operator()(Context& context, Value x) const {
  if (shape.size() != 3 || x.shape().rank() != 2 || x.shape()[1] != shape[2])
    throw ShapeError(fmt::format("{}: {} of shape [{}] takes [N, C] to [N, H, W, C], got {}", context.scope(), name,
                                 fmt::join(shape, ", "), x.shape().str()));
  const Value images = context.parameter("w", Shape(shape), init);
  return reshape(x, {x.shape()[0], 1, 1, shape[2]}) * images;
}

Value InstanceNorm::operator()(Context& context, Value x, const Activation& activation) const {
  const Affine affine = parameters(context, x, init);
  return instance_norm(x, affine.gamma, affine.beta, eps, activation);
}

Value LayerNorm::operator()(Context& context, Value x, const Activation& activation) const {
  const Affine affine = parameters(context, x, init);
  return layer_norm(x, affine.gamma, affine.beta, eps, activation);
}

Value GroupNorm::operator()(Context& context, Value x, const Activation& activation) const {
  const Affine affine = parameters(context, x, init);
  return group_norm(x, groups, affine.gamma, affine.beta, eps, activation);
}

Value Dropout::operator()(Context& context, Value x) const {
  if (!context.training()) return x;
  VariableStore& store = context.store();
  const Value tick = context.graph().read(store.variable(tick_variable, {DType::int64, {}}));
  return dropout(x, rate, tick, store.seed(), context.graph().fresh_number());
}

}  // namespace ganforge
