// Convolution layers.
#include <ganforge/error.h>
#include <ganforge/layers.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace ganforge {
namespace {

using Sizes = std::vector<std::int64_t>;

[[noreturn]] void fail(const Context& context, const char* layer, const std::string& what) {
  throw ShapeError(fmt::format("{}: {}: {}", context.scope(), layer, what));
}

/// One number for both axes, or two.
std::array<std::int64_t, 2> per_axis(const Context& context, const char* layer, const char* name, const Sizes& list) {
  if (list.size() != 1 && list.size() != 2)
    fail(context, layer, fmt::format("{} must be one number or two, got [{}]", name, fmt::join(list, ", ")));
  return {list.front(), list.back()};
}

Padding2d padding_of(const Context& context, const char* layer, const Sizes& list) {
  if (list.size() == 4) return {list[0], list[1], list[2], list[3]};
  if (list.size() != 1 && list.size() != 2)
    fail(context, layer, fmt::format("padding must be one, two or four numbers, got [{}]", fmt::join(list, ", ")));
  return {list.front(), list.back()};
}

/// [C_in or C_out, R, S, the other / groups]
Shape filter(const Context& context, const char* layer, Value x, std::int64_t channels, std::int64_t by_group,
             std::int64_t out_channels, std::int64_t groups, const std::array<std::int64_t, 2>& kernel) {
  if (x.shape().rank() != 4)
    fail(context, layer, fmt::format("takes images [N, H, W, C], got {}; put a reshape before it", x.shape().str()));
  if (groups < 1 || x.shape()[3] % groups != 0 || out_channels % groups != 0)
    fail(context, layer,
         fmt::format("{} input and {} output channels do not divide into {} groups", x.shape()[3], out_channels,
                     groups));
  if (out_channels < 1 || kernel[0] < 1 || kernel[1] < 1)
    fail(context, layer, fmt::format("{} output channels, kernel {}×{}", out_channels, kernel[0], kernel[1]));
  return {channels, kernel[0], kernel[1], by_group / groups};
}

}  // namespace

Value Conv2d::operator()(Context& context, Value x, const Activation& activation) const {
  const auto size = per_axis(context, name, "kernel", kernel);
  const Shape shape = filter(context, name, x, out_channels, x.shape()[-1], out_channels, groups, size);
  const Value w = context.parameter("w", shape, init, spectral_norm);
  const Value b = bias ? context.parameter("b", {out_channels}, Initializer::zeros()) : Value();
  const Conv2dOptions options{per_axis(context, name, "stride", stride), padding_of(context, name, padding),
                              per_axis(context, name, "dilation", dilation), groups};
  return conv2d(x, w, options, b, activation);
}

Value ConvTranspose2d::operator()(Context& context, Value x, const Activation& activation) const {
  const auto size = per_axis(context, name, "kernel", kernel);
  const Shape shape = filter(context, name, x, x.shape()[-1], out_channels, out_channels, groups, size);
  const Value w = context.parameter("w", shape, init);
  const Value b = bias ? context.parameter("b", {out_channels}, Initializer::zeros()) : Value();
  const ConvTranspose2dOptions options{per_axis(context, name, "stride", stride), padding_of(context, name, padding),
                                       per_axis(context, name, "dilation", dilation), groups,
                                       per_axis(context, name, "output_padding", output_padding)};
  return conv_transpose2d(x, w, options, b, activation);
}

}  // namespace ganforge
