// Convolutions with batch normalisation.
#include "src/ops/conv_norm.h"

#include "kernels/conv_norm.h"
#include "src/ops/conv2d.h"
#include "src/ops/conv_tune.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

void require_channels(const Types& in, std::size_t first, std::size_t last, std::int64_t channels) {
  for (std::size_t i = first; i < last; ++i)
    require(in[i].shape == Shape{channels},
            fmt::format("the image has {} channels, but a parameter is {}", channels, in[i].shape.str()));
}
void require_groups(const Type& image, int groups) {
  require(groups >= 1 && image.shape[0] % groups == 0, fmt::format("{} images in {} groups", image.shape[0], groups));
}

std::int64_t rows_of(const Shape& image, int groups) {
  return image.elements() / image[-1] / groups;
}

#if GANFORGE_CUDA
/// What a kernel takes of the convolution: its operands, but for a bias, and its memory.
ConvArgs conv_args(const Call& call, ConvDirection direction) {
  ConvArgs args{};
  (direction == ConvDirection::input ? args.y : args.x) = call.input<float>(0);
  args.w = call.input<float>(1);
  args.workspace = call.workspace;
  args.tickets = static_cast<unsigned*>(call.persistent);
  return args;
}
#endif

class ConvNormOp : public Op {
 public:
  ConvNormOp(const ConvDataOp& conv, BatchNormOptions options) : conv_(conv), o_(options) {}
  std::string describe() const override { return fmt::format("conv_norm {} {}", conv_.describe(), describe_norm(o_)); }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    const Type h = conv_.infer(in)[0];
    require_groups(h, o_.groups);
    require_channels(in, first(), in.size(), h.shape[3]);
    const Type per_group{h.dtype, {o_.groups, h.shape[3]}}, channel{h.dtype, {h.shape[3]}};
    return {h, h, per_group, per_group, channel, channel};
  }

  Values expand(const Values& in) const override {
    const Value h = in[0].graph().add(conv_, of_conv(in))[0];
    Values norm(in.begin() + static_cast<std::ptrdiff_t>(first()), in.end());
    norm.insert(norm.begin(), as_rows(h));
    Values out = plain_batch_norm(norm, o_);
    out[0] = reshape(out[0], h.shape());
    out.insert(out.begin(), h);
    return out;
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    // Cotangents on the statistics, or on h, go through the expansion.
    for (std::size_t i = 0; i < dout.size(); ++i)
      if (static_cast<bool>(dout[i]) != (i == 1)) return Op::grad(in, out, dout);
    const Values dz =
        batch_norm_grad(dout[1], {out[0], in[first()], in[first() + 1], out[2], out[3]}, o_, conv_.epilogue().act);
    Values result = conv_.gradients(of_conv(in), dz[0]);
    result.insert(result.end(), {dz[1], dz[2], Value(), Value()});
    return result;
  }

  int in_place(int output) const override { return output >= 4 ? output - 2 + static_cast<int>(first()) : -1; }

  Kernel prepare([[maybe_unused]] Device& device, [[maybe_unused]] const Types& in) const override {
    Kernel kernel;
#if GANFORGE_CUDA
    const auto* stream = std::get_if<CudaStream>(&device.stream());
    if (!stream || in[0].dtype != DType::float32) return kernel;
    const ConvDirection direction = conv_.direction();
    const ConvShape shape = conv_.shape(in);
    const ConvEpilogue& epilogue = conv_.epilogue();
    tune_conv2d(device, direction, shape, epilogue);
    auto plan = plan_conv_norm(*stream, direction, shape, epilogue, o_.groups, device.conv_policy());
    if (!plan) return kernel;
    kernel.workspace = plan.workspace;
    kernel.persistent = plan.tickets * sizeof(unsigned);
    kernel.note = "sub-pixel";
    kernel.run = [=, o = o_, p = static_cast<int>(first()), h = conv_.infer(in)[0].shape, bias = epilogue.bias,
                  run = std::move(plan.run)](Stream& s, std::span<const Call> calls) {
      const Call& call = calls[0];
      ConvArgs args = conv_args(call, direction);
      args.bias = bias ? call.input<float>(2) : nullptr;
      args.out = call.output<float>(0);
      BatchNormArgs norm{};
      norm.x = args.out;
      norm.gamma = call.input<float>(p);
      norm.beta = call.input<float>(p + 1);
      norm.running_mean = call.input<float>(p + 2);
      norm.running_var = call.input<float>(p + 3);
      norm.y = call.output<float>(1);
      norm.mean = call.output<float>(2);
      norm.var = call.output<float>(3);
      norm.new_running_mean = call.output<float>(4);
      norm.new_running_var = call.output<float>(5);
      norm.rows = rows_of(h, o.groups);
      norm.channels = h[3];
      norm.groups = o.groups;
      norm.eps = o.eps;
      norm.momentum = o.momentum;
      norm.act = o.activation;
      run(std::get<CudaStream>(s), args, norm);
    };
#endif
    return kernel;
  }

  Cost cost(const Types& in) const override {
    Cost cost = Op::cost(in);
    cost.flops = conv_.cost(in).flops + 10.0 * static_cast<double>(conv_.infer(in)[0].shape.elements());
    return cost;
  }

 private:
  std::size_t first() const {
    return conv_.epilogue().bias ? 3 : 2;
  }  // operand γ
  Values of_conv(const Values& in) const {
    return {in.begin(), in.begin() + static_cast<std::ptrdiff_t>(first())};
  }

  ConvDataOp conv_;
  BatchNormOptions o_;
};

class ConvNormGradOp : public Op, public ActGradAbsorber {
 public:
  ConvNormGradOp(const ConvDataOp& conv, BatchNormOptions options, Activation input_act)
      : conv_(conv), o_(options), input_act_(input_act) {}
  std::string describe() const override {
    return fmt::format("conv_norm_grad {} {} input_act={}", conv_.describe(), describe_norm(o_),
                       ganforge::describe(input_act_));
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    const Type dx = conv_.infer(in)[0];
    require_groups(dx, o_.groups);
    require(in[2] == dx, fmt::format("dy is {}, h is {}", dx.shape.str(), in[2].shape.str()));
    require_channels(in, 3, 5, dx.shape[3]);
    require(in[5].shape == Shape({o_.groups, dx.shape[3]}) && in[6] == in[5],
            fmt::format("the statistics are {}", in[5].shape.str()));
    return {dx, in[3], in[3]};
  }

  Values expand(const Values& in) const override {
    Values norm(in.begin() + 3, in.end());
    norm.insert(norm.begin(), {as_rows(conv_.plain(in[0], in[1])), as_rows(in[2])});
    Values out = plain_batch_norm_grad(norm, o_, input_act_);
    out[0] = reshape(out[0], in[2].shape());
    return out;
  }

  Value absorb(Value dx, Value y, const Activation& act) const override {
    const Values& in = dx.graph().node(dx.node()).in;
    if (dx.output() != 0 || input_act_ || in[2] != y) return {};
    return read_masked(dx, conv_norm_grad(conv_, Values(in), o_, act));
  }

  Kernel prepare([[maybe_unused]] Device& device, [[maybe_unused]] const Types& in) const override {
    Kernel kernel;
#if GANFORGE_CUDA
    const auto* stream = std::get_if<CudaStream>(&device.stream());
    if (!stream || in[0].dtype != DType::float32) return kernel;
    const ConvDirection direction = conv_.direction();
    const ConvShape shape = conv_.shape(in);
    tune_conv2d(device, direction, shape, {});
    auto plan = plan_conv_norm_grad(*stream, direction, shape, o_.groups, device.conv_policy());
    if (!plan) return kernel;
    kernel.workspace = plan.workspace;
    kernel.persistent = plan.tickets * sizeof(unsigned);
    kernel.note = "sub-pixel";
    kernel.run = [=, o = o_, input_act = input_act_, h = in[2].shape, run = std::move(plan.run)](
                     Stream& s, std::span<const Call> calls) {
      const Call& call = calls[0];
      const ConvArgs args = conv_args(call, direction);
      BatchNormGradArgs norm{};
      norm.x = call.input<float>(2);
      norm.gamma = call.input<float>(3);
      norm.beta = call.input<float>(4);
      norm.mean = call.input<float>(5);
      norm.var = call.input<float>(6);
      norm.dx = call.output<float>(0);
      norm.dgamma = call.output<float>(1);
      norm.dbeta = call.output<float>(2);
      norm.rows = rows_of(h, o.groups);
      norm.channels = h[3];
      norm.groups = o.groups;
      norm.eps = o.eps;
      norm.act = o.activation;
      norm.input_act = input_act;
      run(std::get<CudaStream>(s), args, norm);
    };
#endif
    return kernel;
  }

  Cost cost(const Types& in) const override {
    Cost cost = Op::cost(in);
    cost.flops = conv_.cost(in).flops + 14.0 * static_cast<double>(in[2].shape.elements());
    return cost;
  }

 private:
  ConvDataOp conv_;
  BatchNormOptions o_;
  Activation input_act_;
};

}  // namespace

Values conv_norm(const ConvDataOp& conv, const Values& in, const BatchNormOptions& options) {
  return in[0].graph().add(ConvNormOp(conv, options), in);
}

Values conv_norm_grad(const ConvDataOp& conv, const Values& in, const BatchNormOptions& options,
                      const Activation& input_act) {
  return in[0].graph().add(ConvNormGradOp(conv, options, input_act), in);
}

}  // namespace ganforge
