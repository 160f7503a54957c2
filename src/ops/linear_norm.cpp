// Fully connected layers with batch normalisation. kernels/linear_norm.h has the contract.
#include "src/ops/linear_norm.h"

#include "kernels/linear_norm.h"
#include "src/ops/act_grad.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

bool has_kernel(Device& device, const Type& rows_of, const BatchNormOptions& options) {
  return device.is_cuda() && rows_of.dtype == DType::float32 && options.groups == 1 &&
         rows_of.shape[0] <= max_linear_norm_rows;
}

class LinearNormOp : public Op {
 public:
  LinearNormOp(bool bias, Activation act, BatchNormOptions options) : bias_(bias), act_(act), o_(options) {}
  std::string describe() const override {
    return fmt::format("linear_norm bias={:d} act={} {}", bias_, ganforge::describe(act_), describe_norm(o_));
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "x");
    const Shape &x = in[0].shape, &w = in[1].shape;
    require(x.rank() == 2 && w.rank() == 2 && x[1] == w[1],
            fmt::format("x [rows, in] and w [out, in] wanted, got {} and {}", x.str(), w.str()));
    require(o_.groups >= 1 && x[0] > 0 && x[0] % o_.groups == 0, fmt::format("{} rows in {} groups", x[0], o_.groups));
    for (std::size_t i = 2; i < in.size(); ++i)
      require(in[i].shape == Shape{w[0]},
              fmt::format("the layer has {} channels, but a parameter is {}", w[0], in[i].shape.str()));
    const Type h{in[0].dtype, {x[0], w[0]}}, per_group{in[0].dtype, {o_.groups, w[0]}}, channel{in[0].dtype, {w[0]}};
    return {h, h, per_group, per_group, channel, channel};
  }

  Values expand(const Values& in) const override {
    Values norm(in.begin() + first(), in.end());
    norm.insert(norm.begin(), linear(in[0], in[1], bias_ ? in[2] : Value(), act_));
    Values out = plain_batch_norm(norm, o_);
    out.insert(out.begin(), norm[0]);
    return out;
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    // Cotangents on the statistics, or on h, go through the expansion.
    for (std::size_t i = 0; i < dout.size(); ++i)
      if (static_cast<bool>(dout[i]) != (i == 1)) return Op::grad(in, out, dout);
    const auto parameter = static_cast<std::size_t>(first());
    const Values norm = {out[0], in[parameter], in[parameter + 1], out[2], out[3]};
    const Values dz = batch_norm_grad(dout[1], norm, o_, act_);
    const auto [dw, db] = linear_weight_grad(dz[0], in[0]);
    Values result = {linear_input_grad(dz[0], in[1]), dw};
    if (bias_) result.push_back(db);
    result.insert(result.end(), {dz[1], dz[2], Value(), Value()});
    return result;
  }

  int in_place(int output) const override { return output >= 4 ? output - 2 + first() : -1; }

  Kernel prepare(Device& device, const Types& in) const override {
    if (!has_kernel(device, in[0], o_)) return {};
    return make_kernel([bias = bias_, act = act_, o = o_, p = first(), rows = in[0].shape[0], features = in[0].shape[1],
                        out = in[1].shape[0]](const auto& stream, const Call& call) {
      const LinearNormArgs args = {.x = call.template input<float>(0),
                                   .w = call.template input<float>(1),
                                   .b = bias ? call.template input<float>(2) : nullptr,
                                   .gamma = call.template input<float>(p),
                                   .beta = call.template input<float>(p + 1),
                                   .running_mean = call.template input<float>(p + 2),
                                   .running_var = call.template input<float>(p + 3),
                                   .h = call.template output<float>(0),
                                   .y = call.template output<float>(1),
                                   .mean = call.template output<float>(2),
                                   .var = call.template output<float>(3),
                                   .new_running_mean = call.template output<float>(4),
                                   .new_running_var = call.template output<float>(5),
                                   .rows = rows,
                                   .in = features,
                                   .out = out,
                                   .act = act,
                                   .norm_act = o.activation,
                                   .eps = o.eps,
                                   .momentum = o.momentum};
      if constexpr (requires { linear_norm(stream, args); }) linear_norm(stream, args);
    });
  }

  Cost cost(const Types& in) const override {
    const double rows = static_cast<double>(in[0].shape[0]), out = static_cast<double>(in[1].shape[0]);
    return {rows * out * (2.0 * static_cast<double>(in[0].shape[1]) + 10.0), Op::cost(in).bytes};
  }

 private:
  int first() const { return bias_ ? 3 : 2; }  // operand γ

  bool bias_;
  Activation act_;
  BatchNormOptions o_;
};

class LinearNormGradOp : public Op, public ActGradAbsorber {
 public:
  LinearNormGradOp(BatchNormOptions options, Activation input_act) : o_(options), input_act_(input_act) {}
  std::string describe() const override {
    return fmt::format("linear_norm_grad {} input_act={}", describe_norm(o_), ganforge::describe(input_act_));
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "dz");
    const Shape &dz = in[0].shape, &w = in[1].shape, &h = in[2].shape;
    require(dz.rank() == 2 && w.rank() == 2 && dz[1] == w[0] && h == Shape({dz[0], w[1]}),
            fmt::format("dz [rows, out], w [out, in] and h [rows, in] wanted, got {}, {} and {}", dz.str(), w.str(),
                        h.str()));
    require(in[3].shape == Shape{w[1]} && in[4] == in[3] && in[5].shape == Shape({o_.groups, w[1]}) && in[6] == in[5],
            fmt::format("γ is {}, the statistics are {}", in[3].shape.str(), in[5].shape.str()));
    return {in[2], in[3], in[3]};
  }

  Values expand(const Values& in) const override {
    Values norm(in.begin() + 2, in.end());
    norm.insert(norm.begin(), linear_input_grad(in[0], in[1]));
    return plain_batch_norm_grad(norm, o_, input_act_);
  }

  Value absorb(Value dx, Value y, const Activation& act) const override {
    const Values& in = dx.graph().node(dx.node()).in;
    if (dx.output() != 0 || input_act_ || in[2] != y) return {};
    return read_masked(dx, linear_norm_grad(Values(in), o_, act));
  }

  Kernel prepare(Device& device, const Types& in) const override {
    if (!has_kernel(device, in[0], o_)) return {};
    return make_kernel([o = o_, input_act = input_act_, rows = in[0].shape[0], features = in[1].shape[1],
                        out = in[1].shape[0]](const auto& stream, const Call& call) {
      const LinearNormGradArgs args = {.dz = call.template input<float>(0),
                                       .w = call.template input<float>(1),
                                       .h = call.template input<float>(2),
                                       .gamma = call.template input<float>(3),
                                       .beta = call.template input<float>(4),
                                       .mean = call.template input<float>(5),
                                       .var = call.template input<float>(6),
                                       .dx = call.template output<float>(0),
                                       .dgamma = call.template output<float>(1),
                                       .dbeta = call.template output<float>(2),
                                       .rows = rows,
                                       .in = features,
                                       .out = out,
                                       .norm_act = o.activation,
                                       .input_act = input_act,
                                       .eps = o.eps};
      if constexpr (requires { linear_norm_grad(stream, args); }) linear_norm_grad(stream, args);
    });
  }

  Cost cost(const Types& in) const override {
    const double rows = static_cast<double>(in[0].shape[0]), features = static_cast<double>(in[1].shape[1]);
    return {rows * features * (2.0 * static_cast<double>(in[0].shape[1]) + 14.0), Op::cost(in).bytes};
  }

 private:
  BatchNormOptions o_;
  Activation input_act_;
};

}  // namespace

Values linear_norm(const Values& in, bool bias, const Activation& act, const BatchNormOptions& options) {
  return in[0].graph().add(LinearNormOp(bias, act, options), in);
}

Values linear_norm_grad(const Values& in, const BatchNormOptions& options, const Activation& input_act) {
  return in[0].graph().add(LinearNormGradOp(options, input_act), in);
}

}  // namespace ganforge
