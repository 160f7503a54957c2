// Two-dimensional convolution.
#include "src/ops/conv2d.h"

#include "src/ops/conv_tune.h"
#include "src/ops/weight_grads.h"
#include "src/ops/support.h"

#include <algorithm>

namespace ganforge {
namespace {

Cost cost_of(const ConvShape& s, double bytes) {
  return {2.0 * static_cast<double>(s.y_size()) * static_cast<double>(s.r * s.s * s.c / s.groups), bytes};
}

}  // namespace

std::string ConvOp::geometry() const {
  const Padding2d& p = o_.padding;
  return fmt::format("stride={} padding={},{},{},{} dilation={} groups={}", fmt::join(o_.stride, ","), p.top, p.bottom,
                     p.left, p.right, fmt::join(o_.dilation, ","), o_.groups);
}

std::int64_t ConvOp::output(int axis, std::int64_t image, std::int64_t kernel) const {
  const auto a = static_cast<std::size_t>(axis);
  const std::int64_t low = axis == 0 ? o_.padding.top : o_.padding.left;
  const std::int64_t high = axis == 0 ? o_.padding.bottom : o_.padding.right;
  const std::int64_t free = image + low + high - o_.dilation[a] * (kernel - 1) - 1;
  return free < 0 ? 0 : free / o_.stride[a] + 1;
}

ConvShape ConvOp::sizes(const Shape& x, std::int64_t k, std::int64_t r, std::int64_t s) const {
  ConvShape shape{x[0], x[1], x[2], x[3], k, r, s, output(0, x[1], r), output(1, x[2], s)};
  shape.stride_h = o_.stride[0];
  shape.stride_w = o_.stride[1];
  shape.pad_top = o_.padding.top;
  shape.pad_left = o_.padding.left;
  shape.dilation_h = o_.dilation[0];
  shape.dilation_w = o_.dilation[1];
  shape.groups = o_.groups;
  return shape;
}

void ConvOp::check(const Types& in) const {
  require_same_dtype(in);
  require_float(in[0], "the first operand");
  for (int i = 0; i < 2; ++i) {
    const Shape& shape = in[static_cast<std::size_t>(i)].shape;
    require(shape.rank() == 4, fmt::format("images [N, H, W, C] and filters [K, R, S, C/groups] wanted, got {} and {}",
                                           in[0].shape.str(), in[1].shape.str()));
    for (const std::int64_t extent : shape.extents())
      require(extent > 0, fmt::format("an operand is empty: {}", shape.str()));
  }
  const Padding2d& p = o_.padding;
  require(o_.stride[0] > 0 && o_.stride[1] > 0, fmt::format("stride {} must be 1 or more", fmt::join(o_.stride, "×")));
  require(o_.dilation[0] > 0 && o_.dilation[1] > 0,
          fmt::format("dilation {} must be 1 or more", fmt::join(o_.dilation, "×")));
  require(p.top >= 0 && p.bottom >= 0 && p.left >= 0 && p.right >= 0, "padding must not be negative");
  require(o_.groups > 0, fmt::format("{} groups", o_.groups));
}

void ConvOp::check_groups(std::int64_t c, std::int64_t k) const {
  require(c % o_.groups == 0 && k % o_.groups == 0,
          fmt::format("{} input and {} output channels do not divide into {} groups", c, k, o_.groups));
}

Shape ConvOp::checked_output(const Shape& x, std::int64_t k, std::int64_t r, std::int64_t s) const {
  const std::int64_t p = output(0, x[1], r), q = output(1, x[2], s);
  require(p > 0 && q > 0,
          fmt::format("a kernel of {}×{} does not fit into the padded image {}×{}", r, s,
                      x[1] + o_.padding.top + o_.padding.bottom, x[2] + o_.padding.left + o_.padding.right));
  return {x[0], p, q, k};
}

Kernel ConvOp::kernel(Device& device, ConvDirection direction, const ConvShape& shape, const ConvEpilogue& epilogue,
                      DType type) const {
  // Operands in the order of the node's inputs: forward x, w; input y, w; weight x, y; then bias or mask.
  const auto first = [direction](const Call& call, ConvDirection absent, int i, auto t) {
    return direction == absent ? nullptr : call.input<decltype(t)>(i);
  };
  Kernel kernel;
  if (type == DType::float64) {
    if (epilogue || device.is_cuda()) return {};
    kernel.run = [=](Stream& stream, std::span<const Call> calls) {
      const Call& call = calls[0];
      conv2d_direct<double>(std::get<CpuStream>(stream), direction, shape, first(call, ConvDirection::input, 0, 0.0),
                            first(call, ConvDirection::weight, 1, 0.0),
                            first(call, ConvDirection::forward, direction == ConvDirection::weight ? 1 : 0, 0.0),
                            call.output<double>(0));
    };
    return kernel;
  }
  tune_conv2d(device, direction, shape, epilogue);
  std::visit(
      [&]<class S>(const S& stream) {
        auto plan = plan_conv2d(stream, direction, shape, epilogue, device.conv_policy());
        kernel.workspace = plan.workspace;
        kernel.persistent = plan.tickets * sizeof(unsigned);
        kernel.note = plan.algorithm;
        kernel.run = [=, run = std::move(plan.run)](Stream& s, std::span<const Call> calls) {
          const Call& call = calls[0];
          ConvArgs args{};
          args.x = first(call, ConvDirection::input, 0, 0.0f);
          args.w = first(call, ConvDirection::weight, 1, 0.0f);
          args.y = first(call, ConvDirection::forward, direction == ConvDirection::weight ? 1 : 0, 0.0f);
          args.out = call.output<float>(0);
          args.bias = epilogue.bias ? call.input<float>(2) : nullptr;
          args.mask = epilogue.mask ? call.input<float>(epilogue.bias ? 3 : 2) : nullptr;
          args.workspace = call.workspace;
          args.tickets = static_cast<unsigned*>(call.persistent);
          run(std::get<S>(s), args);
        };
      },
      device.stream());
  return kernel;
}

std::string ConvDataOp::describe() const {
  const std::string name = image_ ? fmt::format("conv2d_input {}", fmt::join(*image_, "×")) : "conv2d";
  return fmt::format("{} {}{}{}{}", name, geometry(), e_.bias ? " bias" : "", e_.mask ? " mask" : "",
                     e_.act ? " act=" + ganforge::describe(e_.act) : "");
}

Types ConvDataOp::infer(const Types& in) const {
  check(in);
  const Shape &a = in[0].shape, &w = in[1].shape;
  Shape out;
  if (image_) {
    check_groups(w[3] * o_.groups, w[0]);
    require(a[3] == w[0], fmt::format("the input has {} channels, the filter {} takes {}", a[3], w.str(), w[0]));
    out = {a[0], (*image_)[0], (*image_)[1], w[3] * o_.groups};
    const Shape y = checked_output(out, w[0], w[1], w[2]);
    require(y == a, fmt::format("an image {} has the output {}, but the input is {}", out.str(), y.str(), a.str()));
  } else {
    check_groups(a[3], w[0]);
    require(a[3] == w[3] * o_.groups,
            fmt::format("the input has {} channels, the filter {} takes {}", a[3], w.str(), w[3] * o_.groups));
    out = checked_output(a, w[0], w[1], w[2]);
  }
  if (e_.bias)
    require(in[2].shape == Shape{out[3]}, fmt::format("the bias must be [{}], got {}", out[3], in[2].shape.str()));
  if (e_.mask) require(in.back().shape == out, fmt::format("y must be {}", out.str()));
  return {{in[0].dtype, out}};
}

Values ConvDataOp::expand(const Values& in) const {
  if (!e_) return {};
  Value result = plain(in[0], in[1]);
  if (e_.bias) result = add(result, in[2]);
  return {e_.mask ? plain_act_grad(result, in.back(), e_.act) : activate(result, e_.act)};
}

Values ConvDataOp::grad(const Values& in, const Values& out, const Values& dout) const {
  if (e_.mask && !e_.act.piecewise_linear()) return Op::grad(in, out, dout);  // the mask's operand has a gradient too
  Values result = gradients(in, act_grad(dout[0], e_.mask ? in.back() : out[0], e_.act));
  result.resize(in.size());
  return result;
}

Value ConvDataOp::absorb(Value dx, Value y, const Activation& act) const {
  if (e_) return {};
  const Values& in = dx.graph().node(dx.node()).in;
  return dx.graph().add(ConvDataOp(o_, image_, {.mask = true, .act = act}), {in[0], in[1], y})[0];
}

Values ConvDataOp::absorb_batch_norm(const Values& in, const Values& norm, const BatchNormOptions& options) const {
  if (e_.mask || options.groups < 1 || in[0].shape()[0] % options.groups != 0) return {};
  Values operands = in;
  operands.insert(operands.end(), norm.begin(), norm.end());
  const Values out = conv_norm(*this, operands, options);
  return {out.begin() + 1, out.end()};
}

Values ConvDataOp::absorb_batch_norm_grad(const Values& in, const Values& norm, const BatchNormOptions& options,
                                          const Activation& input_act) const {
  if (e_ || in[0].shape()[0] % options.groups != 0) return {};
  Values operands = in;
  operands.insert(operands.end(), norm.begin(), norm.end());
  return conv_norm_grad(*this, operands, options, input_act);
}

// One filter as large as the image.
Values ConvDataOp::operands_of_head(const Values& in) const {
  const Shape &x = in[0].shape(), &w = in[1].shape();
  const auto& p = o_.padding;
  const bool whole = w[0] == 1 && w[1] == x[1] && w[2] == x[2] && w[3] == x[3] && p.top == 0 && p.bottom == 0 &&
                     p.left == 0 && p.right == 0 && o_.dilation == std::array<std::int64_t, 2>{1, 1};
  return image_ || e_.mask || e_.act || !whole ? Values{} : in;
}

Kernel ConvDataOp::prepare(Device& device, const Types& in) const {
  return kernel(device, direction(), shape(in), e_, in[0].dtype);
}

Cost ConvDataOp::cost(const Types& in) const {
  return cost_of(shape(in), Op::cost(in).bytes);
}

ConvShape ConvDataOp::shape(const Types& in) const {
  const Shape &a = in[0].shape, &w = in[1].shape;
  const Shape x = image_ ? Shape{a[0], (*image_)[0], (*image_)[1], w[3] * o_.groups} : a;
  return sizes(x, w[0], w[1], w[2]);
}

namespace {

/// x, y → w, and with `bias` the sums of y's channels: the gradients of a convolution's filters and bias.
class ConvWeightOp : public ConvOp {
 public:
  ConvWeightOp(const Conv2dOptions& options, std::int64_t r, std::int64_t s, bool bias)
      : ConvOp(options), r_(r), s_(s), bias_(bias) {}

  std::string describe() const override {
    return fmt::format("conv2d_weight{} {}×{} {}", bias_ ? "_grad" : "", r_, s_, geometry());
  }

  Types infer(const Types& in) const override {
    check(in);
    const Shape &x = in[0].shape, &y = in[1].shape;
    require(r_ > 0 && s_ > 0, fmt::format("a kernel of {}×{}", r_, s_));
    check_groups(x[3], y[3]);
    const Shape wanted = checked_output(x, y[3], r_, s_);
    require(y == wanted,
            fmt::format("an image {} has the output {}, but the other operand is {}", x.str(), wanted.str(), y.str()));
    Types out = {{in[0].dtype, {y[3], r_, s_, x[3] / o_.groups}}};
    if (bias_) out.push_back({in[0].dtype, {y[3]}});
    return out;
  }

  Values expand(const Values& in) const override {
    if (!bias_) return {};
    return {conv2d_weight(in[0], in[1], r_, s_, o_), sum(in[1], {0, 1, 2})};
  }

  // To y goes conv2d(x, c) + c_b, with cotangents c of w and c_b of the sums.
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    const Value c = dout[0], c_b = bias_ ? dout[1] : Value();
    if (!c) return {Value(), broadcast(c_b, in[1].shape())};
    return {conv2d_input(in[1], c, in[0].shape()[1], in[0].shape()[2], o_), conv2d(in[0], c, o_, c_b)};
  }

  Kernel prepare(Device& device, const Types& in) const override {
    if (Kernel grouped = grouped_kernel(device, in); grouped || bias_) return grouped;
    return kernel(device, ConvDirection::weight, shape(in), {}, in[0].dtype);
  }

  Cost cost(const Types& in) const override { return cost_of(shape(in), Op::cost(in).bytes); }

 private:
  ConvShape shape(const Types& in) const { return sizes(in[0].shape, in[1].shape[3], r_, s_); }
  Kernel grouped_kernel(Device& device, const Types& in) const;

  std::int64_t r_, s_;
  bool bias_;
};

/// One that makes all weight gradients of a network, and those of biases, in one launch. Empty: the algorithm has none.
Kernel ConvWeightOp::grouped_kernel(Device& device, const Types& in) const {
  if (in[0].dtype != DType::float32) return {};
  tune_conv2d(device, ConvDirection::weight, shape(in), {});
  return std::visit(
      [&](const auto& stream) {
        const auto plan = plan_conv2d(stream, ConvDirection::weight, shape(in), {}, device.conv_policy());
        return weight_grad_kernel(plan, {.x = 0, .y = 1});
      },
      device.stream());
}

Value data_op(Value a, Value w, const Conv2dOptions& options, std::optional<std::array<std::int64_t, 2>> image, Value b,
              const Activation& activation) {
  Values in = {a, w};
  if (b) in.push_back(b);
  return a.graph().add(ConvDataOp(options, image, {.bias = static_cast<bool>(b), .act = activation}), in)[0];
}

}  // namespace

Values ConvDataOp::gradients(const Values& in, Value d) const {
  const Shape& w = in[1].shape();
  if (image_) {
    Values result = {conv2d(d, in[1], o_), conv2d_weight(d, in[0], w[1], w[2], o_)};
    if (e_.bias) result.push_back(sum(d, {0, 1, 2}));
    return result;
  }
  const Value dx = conv2d_input(d, in[1], in[0].shape()[1], in[0].shape()[2], o_);
  if (!e_.bias) return {dx, conv2d_weight(in[0], d, w[1], w[2], o_)};
  const auto [dw, db] = conv2d_weight_grad(in[0], d, w[1], w[2], o_);
  return {dx, dw, db};
}

Value conv2d(Value x, Value w, const Conv2dOptions& options, Value b, const Activation& activation) {
  return data_op(x, w, options, std::nullopt, b, activation);
}

Value conv2d_input(Value y, Value w, std::int64_t height, std::int64_t width, const Conv2dOptions& options, Value b,
                   const Activation& activation) {
  return data_op(y, w, options, std::array{height, width}, b, activation);
}

Value conv2d_weight(Value x, Value y, std::int64_t kernel_h, std::int64_t kernel_w, const Conv2dOptions& options) {
  return x.graph().add(ConvWeightOp(options, kernel_h, kernel_w, false), {x, y})[0];
}

std::pair<Value, Value> conv2d_weight_grad(Value x, Value y, std::int64_t kernel_h, std::int64_t kernel_w,
                                           const Conv2dOptions& options) {
  const Values out = x.graph().add(ConvWeightOp(options, kernel_h, kernel_w, true), {x, y});
  return {out[0], out[1]};
}

Value conv_transpose2d(Value x, Value w, const ConvTranspose2dOptions& o, Value b, const Activation& activation) {
  constexpr auto name = "conv_transpose2d";
  require(x.graph(), name, x.shape().rank() == 4 && w.shape().rank() == 4,
          fmt::format("images [N, H, W, Cin] and filters [Cin, R, S, Cout/groups] wanted, got {} and {}",
                      x.shape().str(), w.shape().str()));
  const auto size = [&](int axis, std::int64_t low, std::int64_t high) {
    const auto a = static_cast<std::size_t>(axis);
    require(x.graph(), name, o.output_padding[a] >= 0 && o.output_padding[a] < std::max<std::int64_t>(o.stride[a], 1),
            fmt::format("output_padding {} must be less than the stride {}", o.output_padding[a], o.stride[a]));
    return (x.shape()[axis + 1] - 1) * o.stride[a] + o.dilation[a] * (w.shape()[axis + 1] - 1) + 1 - low - high +
           o.output_padding[a];
  };
  const std::int64_t height = size(0, o.padding.top, o.padding.bottom),
                     width = size(1, o.padding.left, o.padding.right);
  require(x.graph(), name, height > 0 && width > 0, fmt::format("the padding leaves an image of {}×{}", height, width));
  return conv2d_input(x, w, height, width, {o.stride, o.padding, o.dilation, o.groups}, b, activation);
}

}  // namespace ganforge
