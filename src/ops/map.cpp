// Elementwise primitives: one operand, two operands with broadcasting, select.
#include "kernels/map.h"
#include "src/ops/constant.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

// --- gradients: f′ in terms of x and y = f(x), times dy; the overload is the rule
// -------------------------------------
Value gradient(const Neg&, Value, Value, Value dy) {
  return neg(dy);
}
Value gradient(const Abs&, Value x, Value, Value dy) {
  return mul(dy, sign(x));
}
Value gradient(const Exp&, Value, Value y, Value dy) {
  return mul(dy, y);
}
Value gradient(const Log&, Value x, Value, Value dy) {
  return div(dy, x);
}
Value gradient(const Sqrt&, Value, Value y, Value dy) {
  return div(mul(dy, constant_like(dy, 0.5)), y);
}
Value gradient(const Recip&, Value, Value y, Value dy) {
  return neg(mul(dy, square(y)));
}
Value gradient(const Square&, Value x, Value, Value dy) {
  return mul(dy, affine(x, 2, 0));
}
Value gradient(const Tanh&, Value, Value y, Value dy) {
  return mul(dy, affine(square(y), -1, 1));
}
Value gradient(const Sigmoid&, Value, Value y, Value dy) {
  return mul(dy, mul(y, affine(y, -1, 1)));
}
Value gradient(const Softplus&, Value x, Value, Value dy) {
  return mul(dy, sigmoid(x));
}
Value gradient(const Sin&, Value x, Value, Value dy) {
  return mul(dy, cos(x));
}
Value gradient(const Cos&, Value x, Value, Value dy) {
  return neg(mul(dy, sin(x)));
}
Value gradient(const Floor&, Value, Value, Value) {
  return {};
}
Value gradient(const Sign&, Value, Value, Value) {
  return {};
}
Value gradient(const IsFinite&, Value, Value, Value) {
  return {};
}
Value gradient(const LeakyRelu& f, Value x, Value, Value dy) {
  return mul(dy, leaky_slope(x, f.slope));
}
Value gradient(const LeakySlope&, Value, Value, Value) {
  return {};
}
Value gradient(const Pow& f, Value x, Value, Value dy) {
  return mul(dy, affine(pow(x, f.exponent - 1), f.exponent, 0));
}
Value gradient(const Affine& f, Value, Value, Value dy) {
  return affine(dy, f.a, 0);
}
Value gradient(const Clamp& f, Value x, Value, Value dy) {
  return mul(dy, mul(less(constant_like(x, f.low), x), less(x, constant_like(x, f.high))));
}

using Pair = std::pair<Value, Value>;
Pair gradient(const Add&, Value, Value, Value, Value dz) {
  return {dz, dz};
}
Pair gradient(const Sub&, Value, Value, Value, Value dz) {
  return {dz, neg(dz)};
}
Pair gradient(const Mul&, Value x, Value y, Value, Value dz) {
  return {mul(dz, y), mul(dz, x)};
}
Pair gradient(const Div&, Value, Value y, Value z, Value dz) {
  const Value dx = div(dz, y);
  return {dx, neg(mul(dx, z))};
}
/// Weight of the winning operand: 1 where it wins, ½ at a tie.
Value share(Value winner, Value other) {
  return affine(add(affine(less(winner, other), 2, 0), equal(winner, other)), 0.5, 0);
}
Pair gradient(const Min&, Value x, Value y, Value, Value dz) {
  const Value to_x = share(x, y);
  return {mul(dz, to_x), mul(dz, affine(to_x, -1, 1))};
}
Pair gradient(const Max&, Value x, Value y, Value, Value dz) {
  const Value to_x = share(y, x);
  return {mul(dz, to_x), mul(dz, affine(to_x, -1, 1))};
}
Pair gradient(const Less&, Value, Value, Value, Value) {
  return {};
}
Pair gradient(const Equal&, Value, Value, Value, Value) {
  return {};
}

std::string parameters(const auto& f) {
  if constexpr (requires { f.slope; })
    return fmt::format(" slope={}", f.slope);
  else if constexpr (requires { f.exponent; })
    return fmt::format(" exponent={}", f.exponent);
  else if constexpr (requires { f.a; })
    return fmt::format(" a={} b={}", f.a, f.b);
  else if constexpr (requires { f.low; })
    return fmt::format(" low={} high={}", f.low, f.high);
  else
    return "";
}

std::string describe_functor(const auto& variant) {
  return std::visit([](const auto& f) { return f.name + parameters(f); }, variant);
}

class UnaryOp : public Op {
 public:
  explicit UnaryOp(Unary f) : f_(std::move(f)) {}
  std::string describe() const override { return describe_functor(f_); }
  Types infer(const Types& in) const override {
    require_float(in[0], "the operand");
    return in;
  }
  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    return {std::visit([&](const auto& f) { return gradient(f, in[0], out[0], dout[0]); }, f_)};
  }
  int in_place(int) const override { return 0; }
  Kernel prepare(Device& device, const Types& in) const override {
    return make_float_kernel(device, in[0].dtype,
                             [f = f_, n = in[0].shape.elements()](const auto& stream, const Call& call, auto t) {
                               using T = decltype(t);
                               map(stream, f, call.input<T>(0), call.output<T>(0), n);
                             });
  }

 private:
  Unary f_;
};

Shape broadcast_shape(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::vector<std::int64_t> extents(static_cast<std::size_t>(rank));
  for (int i = 0; i < rank; ++i) {
    const std::int64_t x = i < a.rank() ? a[a.rank() - 1 - i] : 1, y = i < b.rank() ? b[b.rank() - 1 - i] : 1;
    require(x == y || x == 1 || y == 1, fmt::format("{} and {} do not broadcast", a.str(), b.str()));
    extents[static_cast<std::size_t>(rank - 1 - i)] = x == 1 ? y : x;
  }
  return Shape(extents);
}

Value apply(const Unary& f, Value x) {
  return x.graph().add(UnaryOp(f), {x})[0];
}

class BinaryOp : public Op {
 public:
  explicit BinaryOp(Binary f) : f_(std::move(f)) {}
  std::string describe() const override { return describe_functor(f_); }
  Types infer(const Types& in) const override {
    require_same_dtype(in);
    const bool labels = in[0].dtype == DType::int32 && std::holds_alternative<Equal>(f_);
    if (!labels) require_float(in[0], "the operands");
    return {{labels ? DType::float32 : in[0].dtype, broadcast_shape(in[0].shape, in[1].shape)}};
  }
  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    if (in[0].type().dtype == DType::int32) return {};
    auto [dx, dy] = std::visit([&](const auto& f) { return gradient(f, in[0], in[1], out[0], dout[0]); }, f_);
    if (dx) dx = sum_to(dx, in[0].shape());
    if (dy) dy = sum_to(dy, in[1].shape());
    return {dx, dy};
  }
  int in_place(int) const override { return 0; }  // the plan checks that sizes agree
  Kernel prepare(Device& device, const Types& in) const override {
    const Shape shapes[] = {in[0].shape, in[1].shape};
    const BroadcastPlan plan = broadcast_plan(infer(in)[0].shape, shapes);
    if (in[0].dtype == DType::int32)
      return make_kernel([plan](const auto& stream, const Call& call) {
        equal(stream, plan, call.input<std::int32_t>(0), call.input<std::int32_t>(1), call.output<float>(0));
      });
    return make_float_kernel(device, in[0].dtype, [plan, f = f_](const auto& stream, const Call& call, auto t) {
      using T = decltype(t);
      map(stream, f, plan, call.input<T>(0), call.input<T>(1), call.output<T>(0));
    });
  }

 private:
  Binary f_;
};

Value apply(const Binary& f, Value x, Value y) {
  return x.graph().add(BinaryOp(f), {x, y})[0];
}

class SelectOp : public Op {
 public:
  std::string describe() const override { return "select"; }
  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "the operands");
    return {{in[0].dtype, broadcast_shape(in[0].shape, broadcast_shape(in[1].shape, in[2].shape))}};
  }
  Values grad(const Values& in, const Values& out, const Values& dout) const override {
    const Value zero = constant_like(out[0], 0);
    return {Value(), sum_to(select(in[0], dout[0], zero), in[1].shape()),
            sum_to(select(in[0], zero, dout[0]), in[2].shape())};
  }
  Kernel prepare(Device& device, const Types& in) const override {
    const Shape shapes[] = {in[0].shape, in[1].shape, in[2].shape};
    const BroadcastPlan plan = broadcast_plan(infer(in)[0].shape, shapes);
    return make_float_kernel(device, in[0].dtype, [plan](const auto& stream, const Call& call, auto t) {
      using T = decltype(t);
      select(stream, plan, call.input<T>(0), call.input<T>(1), call.input<T>(2), call.output<T>(0));
    });
  }
};

/// The number of a constant operand that leaves x's type as it is.
std::optional<double> constant_for(Value x, Value operand) {
  const Shape &shape = x.shape(), &other = operand.shape();
  bool fits = operand.type().dtype == x.type().dtype && other.rank() <= shape.rank();
  for (int i = 1; fits && i <= other.rank(); ++i) fits = other[-i] == 1 || other[-i] == shape[-i];
  return fits ? constant_number(operand) : std::nullopt;
}

}  // namespace

Value add(Value x, Value y) {
  if (const auto b = constant_for(x, y)) return affine(x, 1, *b);
  if (const auto b = constant_for(y, x)) return affine(y, 1, *b);
  return apply(Add{}, x, y);
}
Value sub(Value x, Value y) {
  return apply(Sub{}, x, y);
}
Value mul(Value x, Value y) {
  if (const auto a = constant_for(x, y)) return affine(x, *a, 0);
  if (const auto a = constant_for(y, x)) return affine(y, *a, 0);
  return apply(Mul{}, x, y);
}
Value div(Value x, Value y) {
  return apply(Div{}, x, y);
}
Value minimum(Value x, Value y) {
  return apply(Min{}, x, y);
}
Value maximum(Value x, Value y) {
  return apply(Max{}, x, y);
}
Value less(Value x, Value y) {
  return apply(Less{}, x, y);
}
Value equal(Value x, Value y) {
  return apply(Equal{}, x, y);
}
Value select(Value condition, Value x, Value y) {
  return condition.graph().add(SelectOp(), {condition, x, y})[0];
}

Value neg(Value x) {
  if (const auto c = constant_number(x)) return constant_like(x, -*c);
  return apply(Neg{}, x);
}
Value abs(Value x) {
  return apply(Abs{}, x);
}
Value exp(Value x) {
  return apply(Exp{}, x);
}
Value log(Value x) {
  return apply(Log{}, x);
}
Value sqrt(Value x) {
  return apply(Sqrt{}, x);
}
Value recip(Value x) {
  return apply(Recip{}, x);
}
Value square(Value x) {
  return apply(Square{}, x);
}
Value tanh(Value x) {
  return apply(Tanh{}, x);
}
Value sigmoid(Value x) {
  return apply(Sigmoid{}, x);
}
Value softplus(Value x) {
  return apply(Softplus{}, x);
}
Value sin(Value x) {
  return apply(Sin{}, x);
}
Value cos(Value x) {
  return apply(Cos{}, x);
}
Value floor(Value x) {
  return apply(Floor{}, x);
}
Value sign(Value x) {
  return apply(Sign{}, x);
}
Value is_finite(Value x) {
  return apply(IsFinite{}, x);
}
Value leaky_relu(Value x, double negative_slope) {
  return apply(LeakyRelu{negative_slope}, x);
}
Value relu(Value x) {
  return leaky_relu(x, 0);
}
Value leaky_slope(Value x, double negative_slope) {
  return apply(LeakySlope{negative_slope}, x);
}
Value pow(Value x, double exponent) {
  if (exponent == 0) return constant_like(x, 1);
  if (exponent == 1) return x;
  return apply(Pow{exponent}, x);
}
Value affine(Value x, double a, double b) {
  if (a == 1 && b == 0) return x;
  if (const auto c = constant_number(x)) return constant_like(x, a * *c + b);
  return apply(Affine{a, b}, x);
}
Value clamp(Value x, double low, double high) {
  return apply(Clamp{low, high}, x);
}

Value activate(Value x, const Activation& activation) {
  switch (activation.kind) {
    case Activation::Kind::none:
      return x;
    case Activation::Kind::leaky_relu:
      return leaky_relu(x, static_cast<double>(activation.negative_slope));
    case Activation::Kind::tanh:
      return tanh(x);
    case Activation::Kind::sigmoid:
      return sigmoid(x);
  }
  return x;
}

}  // namespace ganforge
