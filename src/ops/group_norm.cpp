// Group, instance and layer normalisation. kernels/group_norm.h has the formulae.
#include "kernels/group_norm.h"
#include "src/ops/act_grad.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

struct Options {
  std::int64_t groups;
  float eps;
  Activation activation;
};

/// What forward and backward share. x is [samples, pixels, channels].
class Normalisation : public Op {
 public:
  explicit Normalisation(Options options) : o_(options) {}

 protected:
  std::string attributes() const {
    return fmt::format("groups={} eps={} act={}", o_.groups, o_.eps, ganforge::describe(o_.activation));
  }
  void require_operands(const Shape& x, const Shape& gamma, const Shape& beta) const {
    require(x.rank() == 3 && x[1] * x[2] > 0, fmt::format("x [N, pixels, channels] wanted, got {}", x.str()));
    require(o_.groups >= 1 && x[2] % o_.groups == 0, fmt::format("{} channels in {} groups", x[2], o_.groups));
    for (const Shape& shape : {gamma, beta})
      require(shape == Shape{x[2]}, fmt::format("the input has {} channels, but a parameter is {}", x[2], shape.str()));
  }
  GroupNormSizes sizes(const Shape& x) const { return {x[0], x[1], x[2], o_.groups}; }

  /// [N, pixels, channels] → [N, pixels, groups, channels of a group]
  Value by_group(Value x) const {
    const Shape& s = x.shape();
    return reshape(x, {s[0], s[1], o_.groups, s[2] / o_.groups});
  }
  /// [channels] → [groups, channels of a group]
  Value parameter(Value x) const { return reshape(x, {o_.groups, x.shape()[0] / o_.groups}); }
  /// [N, groups] → [N, 1, groups, 1]
  static Value statistic(Value x) { return reshape(x, {x.shape()[0], 1, x.shape()[1], 1}); }
  Value reciprocal_std(Value var) const { return recip(sqrt(affine(var, 1, static_cast<double>(o_.eps)))); }

  Options o_;
};

/// x, γ, β → y, mean, var
class GroupNormOp : public Normalisation {
 public:
  using Normalisation::Normalisation;
  std::string describe() const override { return "group_norm " + attributes(); }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "x");
    require_operands(in[0].shape, in[1].shape, in[2].shape);
    const Type statistic{in[0].dtype, {in[0].shape[0], o_.groups}};
    return {in[0], statistic, statistic};
  }

  Values expand(const Values& in) const override {
    const Value x = by_group(in[0]);
    const Value mean = ganforge::mean(x, {1, 3});
    const Value centred = x - statistic(mean);
    const Value var = ganforge::mean(square(centred), {1, 3});
    const Value normal = centred * statistic(reciprocal_std(var));
    const Value y = activate(normal * parameter(in[1]) + parameter(in[2]), o_.activation);
    return {reshape(y, in[0].shape()), mean, var};
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override;

  Kernel prepare(Device& device, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const GroupNormSizes sizes = this->sizes(in[0].shape);
    Kernel kernel = make_kernel([o = o_, sizes](const auto& stream, const Call& call) {
      GroupNormArgs a{};
      a.x = call.template input<float>(0);
      a.gamma = call.template input<float>(1);
      a.beta = call.template input<float>(2);
      a.y = call.template output<float>(0);
      a.mean = call.template output<float>(1);
      a.var = call.template output<float>(2);
      a.sizes = sizes;
      a.eps = o.eps;
      a.act = o.activation;
      a.workspace = call.workspace;
      group_norm(stream, a);
    });
    std::visit([&](const auto& stream) { kernel.workspace = group_norm_workspace(stream, sizes); }, device.stream());
    return kernel;
  }

  Cost cost(const Types& in) const override {
    return {10.0 * static_cast<double>(in[0].shape.elements()), 2.0 * static_cast<double>(in[0].bytes())};
  }
};

/// dy, x, γ, β, mean, var → dx, [N, 2, channels]: each sample's dγ and dβ
class GroupNormGradOp : public Normalisation {
 public:
  using Normalisation::Normalisation;
  std::string describe() const override { return "group_norm_grad " + attributes(); }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "dy");
    const Shape& x = in[1].shape;
    require(in[0] == in[1], fmt::format("dy is {}, x is {}", in[0].shape.str(), x.str()));
    require_operands(x, in[2].shape, in[3].shape);
    require(in[4].shape == Shape{x[0], o_.groups} && in[5] == in[4],
            fmt::format("the statistics are {}", in[4].shape.str()));
    return {in[0], {in[0].dtype, {x[0], 2, x[2]}}};
  }

  Values expand(const Values& in) const override {
    const Value x = by_group(in[1]), gamma = parameter(in[2]), rstd = statistic(reciprocal_std(in[5]));
    const double m = static_cast<double>(x.shape()[1] * x.shape()[3]);
    const Value normal = (x - statistic(in[4])) * rstd;
    const Value y = activate(normal * gamma + parameter(in[3]), o_.activation);
    const Value dz = plain_act_grad(by_group(in[0]), y, o_.activation), scaled = dz * gamma;
    const auto share = [&](Value v) { return statistic(sum(v, {1, 3})) / m; };
    const Value dx = (scaled - share(scaled) - normal * share(scaled * normal)) * rstd;
    const auto by_sample = [&](Value v) { return reshape(sum(v, {1}), {v.shape()[0], 1, in[2].shape()[0]}); };
    return {reshape(dx, in[1].shape()), concat({by_sample(dz * normal), by_sample(dz)}, 1)};
  }

  int in_place(int output) const override { return output == 0 ? 0 : -1; }

  Kernel prepare(Device& device, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    const GroupNormSizes sizes = this->sizes(in[0].shape);
    Kernel kernel = make_kernel([o = o_, sizes](const auto& stream, const Call& call) {
      GroupNormGradArgs a{};
      a.dy = call.template input<float>(0);
      a.x = call.template input<float>(1);
      a.gamma = call.template input<float>(2);
      a.beta = call.template input<float>(3);
      a.mean = call.template input<float>(4);
      a.var = call.template input<float>(5);
      a.dx = call.template output<float>(0);
      a.parameters = call.template output<float>(1);
      a.sizes = sizes;
      a.eps = o.eps;
      a.act = o.activation;
      a.workspace = call.workspace;
      group_norm_grad(stream, a);
    });
    std::visit([&](const auto& stream) { kernel.workspace = group_norm_workspace(stream, sizes); }, device.stream());
    return kernel;
  }

  Cost cost(const Types& in) const override {
    return {14.0 * static_cast<double>(in[0].shape.elements()), 3.0 * static_cast<double>(in[0].bytes())};
  }
};

Values GroupNormOp::grad(const Values& in, const Values& out, const Values& dout) const {
  // Cotangents on the statistics, which the backward op's own gradient makes, go through the expansion.
  if (!dout[0] || dout[1] || dout[2]) return Op::grad(in, out, dout);
  const Values result = in[0].graph().add(GroupNormGradOp(o_), {dout[0], in[0], in[1], in[2], out[1], out[2]});
  const Value both = sum(result[1], {0});
  const auto row = [&](int i) { return reshape(slice(both, 0, i, i + 1), in[1].shape()); };
  return {result[0], row(0), row(1)};
}

Value normalise(const char* op, Value x, std::int64_t groups, Value gamma, Value beta, float eps,
                const Activation& activation) {
  const Shape& s = x.shape();
  require(x.graph(), op, s.rank() >= 2 && s.elements() > 0, fmt::format("x [N, …, C] wanted, got {}", s.str()));
  const Value flat = reshape(x, {s[0], s.elements() / (s[0] * s[-1]), s[-1]});
  const Values out = x.graph().add(GroupNormOp({groups, eps, activation}), {flat, gamma, beta});
  return reshape(out[0], s);
}

}  // namespace

Value group_norm(Value x, std::int64_t groups, Value gamma, Value beta, float eps, const Activation& activation) {
  return normalise("group_norm", x, groups, gamma, beta, eps, activation);
}
Value instance_norm(Value x, Value gamma, Value beta, float eps, const Activation& activation) {
  return normalise("instance_norm", x, x.shape().rank() > 0 ? x.shape()[-1] : 1, gamma, beta, eps, activation);
}
Value layer_norm(Value x, Value gamma, Value beta, float eps, const Activation& activation) {
  return normalise("layer_norm", x, 1, gamma, beta, eps, activation);
}

}  // namespace ganforge
