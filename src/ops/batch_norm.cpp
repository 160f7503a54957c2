// Batch normalisation. kernels/batch_norm.h has the formulae.
#include "kernels/batch_norm.h"
#include "src/ops/act_grad.h"
#include "src/ops/norm_absorber.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

/// x [groups · rows, channels] → [groups, rows, channels]
Value by_group(Value x, int groups) {
  return reshape(x, Shape{groups, x.shape()[0] / groups, x.shape()[1]});
}
/// [groups, channels] → [groups, 1, channels]
Value row_of(Value x) {
  return reshape(x, Shape{x.shape()[0], 1, x.shape()[1]});
}

Value reciprocal_std(Value var, float eps) {
  return recip(sqrt(affine(var, 1, static_cast<double>(eps))));
}

void require_channels(const Types& in, std::size_t first, std::size_t last, std::int64_t channels) {
  for (std::size_t i = first; i < last; ++i)
    require(in[i].shape == Shape{channels},
            fmt::format("the input has {} channels, but a parameter is {}", channels, in[i].shape.str()));
}

/// Adds the scratch memory, which forward and backward need alike.
Kernel with_workspace(Device& device, std::int64_t rows, std::int64_t channels, int groups, Kernel kernel) {
  std::visit([&](const auto& stream) { kernel.workspace = batch_norm_workspace(stream, rows, channels, groups); },
             device.stream());
  return kernel;
}

/// x, γ, β, running mean, running var → y, mean, var, new running mean, new running var; x is [rows, channels].
class BatchNormOp : public Op {
 public:
  explicit BatchNormOp(BatchNormOptions options) : o_(options) {}
  std::string describe() const override {
    return fmt::format("batch_norm eps={} momentum={} groups={} act={}", o_.eps, o_.momentum, o_.groups,
                       ganforge::describe(o_.activation));
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "x");
    const Shape& x = in[0].shape;
    require(x.rank() == 2, fmt::format("x [rows, channels] wanted, got {}", x.str()));
    require(o_.groups >= 1 && x[0] > 0 && x[0] % o_.groups == 0, fmt::format("{} rows in {} groups", x[0], o_.groups));
    require_channels(in, 1, 5, x[1]);
    const Type per_group{in[0].dtype, {o_.groups, x[1]}}, per_channel{in[0].dtype, {x[1]}};
    return {in[0], per_group, per_group, per_channel, per_channel};
  }

  Values expand(const Values& in) const override {
    const Value x = by_group(in[0], o_.groups);
    const std::int64_t rows = x.shape()[1];
    const Value mean = ganforge::mean(x, {1});
    const Value centred = x - row_of(mean);
    const Value var = ganforge::mean(square(centred), {1});
    const Value normal = reshape(centred * row_of(reciprocal_std(var, o_.eps)), in[0].shape());
    const Value y = activate(normal * in[1] + in[2], o_.activation);
    Value running_mean = in[3], running_var = in[4];
    const double keep = static_cast<double>(o_.momentum),
                 unbiased = rows > 1 ? static_cast<double>(rows) / static_cast<double>(rows - 1) : 1.0;
    for (int g = 0; g < o_.groups; ++g) {
      const auto of_group = [&](Value v) { return reshape(slice(v, 0, g, g + 1), in[1].shape()); };
      running_mean = running_mean * keep + of_group(mean) * (1 - keep);
      running_var = running_var * keep + of_group(var) * ((1 - keep) * unbiased);
    }
    return {y, mean, var, running_mean, running_var};
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override;

  int in_place(int output) const override { return output >= 3 ? output : -1; }

  Kernel prepare(Device& device, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const std::int64_t rows = in[0].shape[0] / o_.groups, channels = in[0].shape[1];
    return with_workspace(device, rows, channels, o_.groups,
                          make_kernel([o = o_, rows, channels](const auto& stream, const Call& call) {
                            BatchNormArgs a{};
                            a.x = call.template input<float>(0);
                            a.gamma = call.template input<float>(1);
                            a.beta = call.template input<float>(2);
                            a.running_mean = call.template input<float>(3);
                            a.running_var = call.template input<float>(4);
                            a.y = call.template output<float>(0);
                            a.mean = call.template output<float>(1);
                            a.var = call.template output<float>(2);
                            a.new_running_mean = call.template output<float>(3);
                            a.new_running_var = call.template output<float>(4);
                            a.rows = rows;
                            a.channels = channels;
                            a.groups = o.groups;
                            a.eps = o.eps;
                            a.momentum = o.momentum;
                            a.act = o.activation;
                            a.workspace = call.workspace;
                            batch_norm(stream, a);
                          }));
  }

  Cost cost(const Types& in) const override {
    return {10.0 * static_cast<double>(in[0].shape.elements()), 2.0 * static_cast<double>(in[0].bytes())};
  }

 private:
  BatchNormOptions o_;
};

/// dy, x, γ, β, mean, var → dx, dγ, dβ. The activation's derivative is taken from x: reading its output would be one
/// more pass over memory. `input_act` is the activation whose output x is; its derivative multiplies dx.
class BatchNormGradOp : public Op, public ActGradAbsorber {
 public:
  BatchNormGradOp(BatchNormOptions options, Activation input_act) : o_(options), input_act_(input_act) {}
  std::string describe() const override {
    return fmt::format("batch_norm_grad eps={} groups={} act={} input_act={}", o_.eps, o_.groups,
                       ganforge::describe(o_.activation), ganforge::describe(input_act_));
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "dy");
    require(in[0] == in[1] && in[0].shape.rank() == 2,
            fmt::format("dy is {}, x is {}", in[0].shape.str(), in[1].shape.str()));
    const Type per_channel{in[0].dtype, {in[0].shape[1]}};
    require_channels(in, 2, 4, in[0].shape[1]);
    require(in[4].shape == Shape{o_.groups, in[0].shape[1]} && in[5] == in[4],
            fmt::format("the statistics are {}", in[4].shape.str()));
    return {in[0], per_channel, per_channel};
  }

  Values expand(const Values& in) const override {
    const double rows = static_cast<double>(in[1].shape()[0] / o_.groups);
    const Value rstd = row_of(reciprocal_std(in[5], o_.eps));
    const Value normal = (by_group(in[1], o_.groups) - row_of(in[4])) * rstd;
    const Value y = activate(normal * in[2] + in[3], o_.activation);
    const Value grouped = plain_act_grad(by_group(in[0], o_.groups), y, o_.activation);
    const Value sum_dz = sum(grouped, {1}), sum_dz_normal = sum(grouped * normal, {1});
    const Value inner = grouped - row_of(sum_dz) / rows - normal * (row_of(sum_dz_normal) / rows);
    Value dx = reshape(inner * rstd * in[2], in[0].shape());
    if (input_act_) dx = plain_act_grad(dx, in[1], input_act_);
    return {dx, sum(sum_dz_normal, {0}), sum(sum_dz, {0})};
  }

  Value absorb(Value dx, Value y, const Activation& act) const override {
    const Graph::Node& node = dx.graph().node(dx.node());
    if (dx.output() != 0 || input_act_ || node.in[1] != y) return {};
    return read_masked(dx, dx.graph().add(BatchNormGradOp(o_, act), Values(node.in)));
  }

  int in_place(int output) const override { return output == 0 ? 0 : -1; }

  Kernel prepare(Device& device, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const std::int64_t rows = in[0].shape[0] / o_.groups, channels = in[0].shape[1];
    return with_workspace(
        device, rows, channels, o_.groups,
        make_kernel([o = o_, input_act = input_act_, rows, channels](const auto& stream, const Call& call) {
          BatchNormGradArgs a{};
          a.dy = call.template input<float>(0);
          a.x = call.template input<float>(1);
          a.gamma = call.template input<float>(2);
          a.beta = call.template input<float>(3);
          a.mean = call.template input<float>(4);
          a.var = call.template input<float>(5);
          a.dx = call.template output<float>(0);
          a.dgamma = call.template output<float>(1);
          a.dbeta = call.template output<float>(2);
          a.rows = rows;
          a.channels = channels;
          a.groups = o.groups;
          a.eps = o.eps;
          a.act = o.activation;
          a.input_act = input_act;
          a.workspace = call.workspace;
          batch_norm_grad(stream, a);
        }));
  }

  Cost cost(const Types& in) const override {
    return {14.0 * static_cast<double>(in[0].shape.elements()), 3.0 * static_cast<double>(in[0].bytes())};
  }

 private:
  BatchNormOptions o_;
  Activation input_act_;
};

Values BatchNormOp::grad(const Values& in, const Values& out, const Values& dout) const {
  // Cotangents on the statistics go through the expansion.
  if (!dout[0] || dout[1] || dout[2] || dout[3] || dout[4]) return Op::grad(in, out, dout);
  const Values result = batch_norm_grad(dout[0], {in[0], in[1], in[2], out[1], out[2]}, o_, {});
  return {result[0], result[1], result[2], Value(), Value()};
}

/// x, γ, β, running mean, running var → y
class BatchNormInferenceOp : public Op {
 public:
  BatchNormInferenceOp(float eps, Activation act) : eps_(eps), act_(act) {}
  std::string describe() const override {
    return fmt::format("batch_norm_inference eps={} act={}", eps_, ganforge::describe(act_));
  }
  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "x");
    require(in[0].shape.rank() == 2, fmt::format("x [rows, channels] wanted, got {}", in[0].shape.str()));
    require_channels(in, 1, 5, in[0].shape[1]);
    return {in[0]};
  }
  Values expand(const Values& in) const override {
    return {activate((in[0] - in[3]) * (reciprocal_std(in[4], eps_) * in[1]) + in[2], act_)};
  }
  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return make_kernel([eps = eps_, act = act_, rows = in[0].shape[0], channels = in[0].shape[1]](const auto& stream,
                                                                                                  const Call& call) {
      batch_norm_inference(stream, BatchNormInferenceArgs{call.template input<float>(0), call.template input<float>(1),
                                                          call.template input<float>(2), call.template input<float>(3),
                                                          call.template input<float>(4), call.template output<float>(0),
                                                          rows, channels, eps, act});
    });
  }

 private:
  float eps_;
  Activation act_;
};

}  // namespace

Values plain_batch_norm(const Values& in, const BatchNormOptions& options) {
  return in[0].graph().add(BatchNormOp(options), in);
}

Values plain_batch_norm_grad(const Values& in, const BatchNormOptions& options, const Activation& input_act) {
  return in[0].graph().add(BatchNormGradOp(options, input_act), in);
}

Values batch_norm_grad(Value dy, const Values& norm, const BatchNormOptions& options, const Activation& input_act) {
  const Value x = norm[0], made = before_reshapes(dy);
  const Graph::Node& producer = made.graph().node(made.node());
  const auto* absorber = dynamic_cast<const BatchNormGradAbsorber*>(producer.op.get());
  Values out;
  if (absorber && made.shape()[-1] == x.shape()[-1]) {
    Values operands = norm;
    operands[0] = reshape(x, made.shape());
    out = absorber->absorb_batch_norm_grad(producer.in, operands, options, input_act);
  }
  if (out.empty()) {
    Values operands = norm;
    operands[0] = as_rows(x);
    operands.insert(operands.begin(), reshape(dy, operands[0].shape()));
    out = plain_batch_norm_grad(operands, options, input_act);
  }
  out[0] = reshape(out[0], x.shape());
  return out;
}

Value read_masked(Value dx, const Values& masked) {
  for (const int output : {1, 2})
    dx.graph().replace(Value(dx.graph(), dx.node(), output), masked[static_cast<std::size_t>(output)]);
  return masked[0];
}

Value as_rows(Value x) {
  require(x.graph(), "batch_norm", x.shape().rank() >= 2,
          fmt::format("x […, channels] with two axes or more wanted, got {}", x.shape().str()));
  return reshape(x, {-1, x.shape()[-1]});
}

Value before_reshapes(Value value) {
  while (true) {
    const Graph::Node& node = value.graph().node(value.node());
    if (!node.op || node.in.size() != 1 || node.in[0].shape().elements() != value.shape().elements() ||
        reshape(node.in[0], value.shape()) != value)
      return value;
    value = node.in[0];
  }
}

std::string describe_norm(const BatchNormOptions& o) {
  return fmt::format("eps={} momentum={} groups={} norm_act={}", o.eps, o.momentum, o.groups, describe(o.activation));
}

BatchNormResult batch_norm(Value x, Value gamma, Value beta, Value running_mean, Value running_var,
                           const BatchNormOptions& options) {
  const Graph::Node& producer = x.graph().node(x.node());
  const auto* absorber = dynamic_cast<const BatchNormAbsorber*>(producer.op.get());
  const Values norm = {gamma, beta, running_mean, running_var};
  Values out;
  if (absorber) out = absorber->absorb_batch_norm(producer.in, norm, options);
  if (out.empty()) out = plain_batch_norm({as_rows(x), gamma, beta, running_mean, running_var}, options);
  return {reshape(out[0], x.shape()), out[1], out[2], out[3], out[4]};
}

Value batch_norm_inference(Value x, Value gamma, Value beta, Value running_mean, Value running_var, float eps,
                           const Activation& activation) {
  const Values out =
      x.graph().add(BatchNormInferenceOp(eps, activation), {as_rows(x), gamma, beta, running_mean, running_var});
  return reshape(out[0], x.shape());
}

}  // namespace ganforge
