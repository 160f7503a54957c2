// Derivative of an activation from its output.
#include "src/ops/act_grad.h"

#include "kernels/act_grad.h"
#include "src/ops/constant.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

/// dy, y → dy ⊙ act′(y)
class ActGradOp : public Op {
 public:
  explicit ActGradOp(Activation act) : act_(act) {}
  std::string describe() const override { return "act_grad act=" + ganforge::describe(act_); }

  Types infer(const Types& in) const override {
    require_float(in[0], "dy");
    require(in[0] == in[1], fmt::format("dy is {}, y is {}", in[0].str(), in[1].str()));
    return {in[0]};
  }
  Values expand(const Values& in) const override { return {plain_act_grad(in[0], in[1], act_)}; }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    if (!act_.piecewise_linear()) return Op::grad(in, out, dout);  // y has a gradient too
    return {act_grad(dout[0], in[1], act_), Value()};
  }
  int in_place(int) const override { return 0; }

  Kernel prepare(Device&, const Types& in) const override {
    if (in[0].dtype != DType::float32) return {};
    return make_kernel([act = act_, n = in[0].shape.elements()](const auto& stream, const Call& call) {
      act_grad(stream, ActGradArgs{call.template input<float>(0), call.template input<float>(1),
                                   call.template output<float>(0), n, act});
    });
  }

 private:
  Activation act_;
};

/// The operation that made dy takes it over; absent if it cannot.
Value absorbed(Value dy, Value y, const Activation& activation) {
  const Graph::Node& producer = dy.graph().node(dy.node());
  if (const auto* absorber = dynamic_cast<const ActGradAbsorber*>(producer.op.get()))
    return absorber->absorb(dy, y, activation);
  // A reshape of something: only then is dy, shaped like the operand, the operand.
  const Value from = producer.in.size() == 1 && producer.op->view({producer.in[0].type()}) ? producer.in[0] : Value();
  if (!from || from.shape().elements() != dy.shape().elements() || reshape(dy, from.shape()) != from) return {};
  const Value result = absorbed(from, reshape(y, from.shape()), activation);
  return result ? reshape(result, dy.shape()) : Value();
}

}  // namespace

Value plain_act_grad(Value dy, Value y, const Activation& activation) {
  switch (activation.kind) {
    case Activation::Kind::none:
      return dy;
    case Activation::Kind::leaky_relu:
      return mul(dy, leaky_slope(y, static_cast<double>(activation.negative_slope)));
    case Activation::Kind::tanh:
      return mul(dy, affine(square(y), -1, 1));
    case Activation::Kind::sigmoid:
      return mul(dy, mul(y, affine(y, -1, 1)));
  }
  return dy;
}

Value act_grad(Value dy, Value y, const Activation& activation) {
  if (!activation) return dy;
  if (constant_number(dy)) return plain_act_grad(dy, y, activation);  // which folds it
  if (dy.type() == y.type())
    if (const Value result = absorbed(dy, y, activation)) return result;
  return dy.graph().add(ActGradOp(activation), {dy, y})[0];
}

}  // namespace ganforge
