// The discriminator's head. kernels/head.h has the contract.
#include "src/ops/head.h"

#include "kernels/head.h"
#include "src/ops/act_grad.h"
#include "src/ops/norm_absorber.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

/// [rows, …] → [rows, in]
Value as_two_axes(Value x) {
  return reshape(x, {x.shape()[0], -1});
}

const HeadLayer* layer_of(Value value) {
  return dynamic_cast<const HeadLayer*>(value.graph().node(value.node()).op.get());
}

/// x [rows, …], w as large as a row, b (or none) → loss, dlogits, dx and, of the discriminator, d_real, d_fake,
/// accuracy
class HeadOp : public Op, public ActGradAbsorber {
 public:
  HeadOp(HeadLoss loss, Activation act) : loss_(loss), act_(act) {}
  std::string describe() const override {
    return fmt::format("head {} objective={} real_target={} act={}",
                       loss_.discriminator ? "discriminator" : "generator", static_cast<int>(loss_.objective),
                       loss_.real_target, ganforge::describe(act_));
  }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "x");
    const std::int64_t rows = in[0].shape[0];
    require(in[0].shape.elements() == rows * in[1].shape.elements(),
            fmt::format("x is {}, its rows do not fit w {}", in[0].shape.str(), in[1].shape.str()));
    require(rows > 0 && (!loss_.discriminator || rows % 2 == 0),
            fmt::format("{}, got {} logits", loss_.discriminator ? "two equal halves wanted" : "logits wanted", rows));
    const Type scalar{in[0].dtype, {}};
    Types out = {scalar, {in[0].dtype, {rows}}, in[0]};
    if (loss_.discriminator) out.insert(out.end(), 3, scalar);
    return out;
  }

  Values expand(const Values& in) const override {
    const Value x = as_two_axes(in[0]), w = reshape(in[1], {1, -1});
    const Value logits = linear(x, w, in.size() > 2 ? in[2] : Value(), {});
    Values out = plain_loss(reshape(logits, {-1}), loss_);
    const Value dx = linear_input_grad(reshape(out[1], {-1, 1}), w, act_ ? x : Value(), act_);
    out.insert(out.begin() + 2, reshape(dx, in[0].shape()));
    return out;
  }

  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    for (std::size_t i = 0; i < dout.size(); ++i)
      if (static_cast<bool>(dout[i]) != (i == 0)) return Op::grad(in, out, dout);
    if (act_) return Op::grad(in, out, dout);
    const auto scaled = [&](Value v) { return mul(v, broadcast(dout[0], v.shape())); };
    Value dlogits = out[1];
    // The op that made x will ask for the mask of its activation: what is read here comes from the node that has it.
    const Value x = before_reshapes(in[0]);
    if (const HeadLayer* layer = layer_of(x); layer && x.output() == 0 && layer->activation_of_result())
      dlogits = masked(out, in, layer->activation_of_result())[1];
    const auto [dw, db] = linear_weight_grad(reshape(scaled(dlogits), {-1, 1}), as_two_axes(in[0]));
    Values result = {scaled(out[2]), reshape(dw, in[1].shape())};
    if (in.size() > 2) result.push_back(db);
    return result;
  }

  Value absorb(Value dx, Value y, const Activation& act) const override {
    const Graph::Node& node = dx.graph().node(dx.node());
    if (dx.output() != 2 || act_ || node.in[0] != y) return {};
    Values out;
    for (int i = 0; i < static_cast<int>(node.out.size()); ++i) out.emplace_back(dx.graph(), dx.node(), i);
    return masked(out, Values(node.in), act)[2];
  }

  Kernel prepare(Device& device, const Types& in) const override {
    if (!device.is_cuda() || in[0].dtype != DType::float32) return {};
    const std::int64_t rows = in[0].shape[0], features = in[1].shape.elements();
    Kernel kernel = make_kernel(
        [loss = loss_, act = act_, bias = in.size() > 2, rows, features](const auto& stream, const Call& call) {
          HeadArgs args{};
          args.x = call.template input<float>(0);
          args.w = call.template input<float>(1);
          args.b = bias ? call.template input<float>(2) : nullptr;
          args.loss = call.template output<float>(0);
          args.dlogits = call.template output<float>(1);
          args.dx = call.template output<float>(2);
          if (loss.discriminator) {
            args.d_real = call.template output<float>(3);
            args.d_fake = call.template output<float>(4);
            args.accuracy = call.template output<float>(5);
          }
          args.rows = rows;
          args.in = features;
          args.discriminator = loss.discriminator;
          args.objective = loss.objective;
          args.real_target = loss.real_target;
          args.act = act;
          args.workspace = call.workspace;
          args.ticket = static_cast<unsigned*>(call.persistent);
          if constexpr (requires { head(stream, args); }) head(stream, args);
        });
#if GANFORGE_CUDA
    kernel.workspace = head_workspace(rows, features);
#endif
    kernel.persistent = sizeof(unsigned);
    return kernel;
  }

  Cost cost(const Types& in) const override {
    return {4.0 * static_cast<double>(in[0].shape.elements()), Op::cost(in).bytes};
  }

 private:
  /// The outputs with the mask of x's activation on dx. The others are the same: with them read from there, the node
  /// without the mask has no reader left.
  Values masked(const Values& out, const Values& in, const Activation& act) const {
    Graph& graph = in[0].graph();
    const Values with = graph.add(HeadOp(loss_, act), in);
    for (std::size_t i = 0; i < out.size(); ++i)
      if (i != 2) graph.replace(out[i], with[i]);
    return with;
  }

  HeadLoss loss_;
  Activation act_;
};

}  // namespace

Values loss_of(Value logits, const HeadLoss& loss) {
  if (compares_pairs(loss.objective)) return plain_loss(reshape(logits, {-1}), loss);
  const Value made = before_reshapes(logits);
  const HeadLayer* layer = layer_of(made);
  const Values operands = layer ? layer->operands_of_head(made.graph().node(made.node()).in) : Values{};
  if (operands.empty()) return plain_loss(reshape(logits, {-1}), loss);
  Values out = logits.graph().add(HeadOp(loss, {}), operands);
  out.erase(out.begin() + 2);
  return out;
}

}  // namespace ganforge
