// Batched matrix product.
#include "kernels/matmul.h"
#include "src/ops/support.h"

namespace ganforge {
namespace {

class MatmulOp : public Op {
 public:
  MatmulOp(bool transpose_a, bool transpose_b) : transpose_a_(transpose_a), transpose_b_(transpose_b) {}
  std::string describe() const override { return fmt::format("matmul ta={:d} tb={:d}", transpose_a_, transpose_b_); }

  Types infer(const Types& in) const override {
    require_same_dtype(in);
    require_float(in[0], "the operands");
    const Shape &a = in[0].shape, &b = in[1].shape;
    require(a.rank() >= 2 && b.rank() >= 2, fmt::format("matrices wanted, got {} and {}", a.str(), b.str()));
    const std::int64_t k = a[transpose_a_ ? -2 : -1], k_b = b[transpose_b_ ? -1 : -2];
    require(k == k_b, fmt::format("{}{} times {}{}: inner sizes {} and {} differ", a.str(), transpose_a_ ? "ᵀ" : "",
                                  b.str(), transpose_b_ ? "ᵀ" : "", k, k_b));
    require(a.rank() == 2 || b.rank() == 2 || leading(a) == leading(b),
            fmt::format("batches of {} and {} differ", a.str(), b.str()));
    Shape out = a.rank() >= b.rank() ? a : b;
    out = out.with(-2, a[transpose_a_ ? -1 : -2]).with(-1, b[transpose_b_ ? -2 : -1]);
    return {{in[0].dtype, out}};
  }

  // C = A·B: dA = dC·Bᵀ, dB = Aᵀ·dC, and likewise for transposed operands.
  Values grad(const Values& in, const Values&, const Values& dout) const override {
    const Value a = in[0], b = in[1], dc = dout[0];
    const Value da = transpose_a_ ? matmul(b, dc, transpose_b_, true) : matmul(dc, b, false, !transpose_b_);
    const Value db = transpose_b_ ? matmul(dc, a, true, transpose_a_) : matmul(a, dc, !transpose_a_, false);
    return {over_batch(da, a), over_batch(db, b)};
  }

  Kernel prepare(Device& device, const Types& in) const override {
    const Shape &a = in[0].shape, &b = in[1].shape;
    MatmulShape shape;
    shape.m = a[transpose_a_ ? -1 : -2];
    shape.k = a[transpose_a_ ? -2 : -1];
    shape.n = b[transpose_b_ ? -2 : -1];
    shape.transpose_a = transpose_a_;
    shape.transpose_b = transpose_b_;
    shape.batch = 1;
    const Shape& batched = a.rank() >= b.rank() ? a : b;
    for (int i = 0; i < batched.rank() - 2; ++i) shape.batch *= batched[i];
    shape.stride_a = a.rank() == 2 ? 0 : shape.m * shape.k;
    shape.stride_b = b.rank() == 2 ? 0 : shape.k * shape.n;
    return make_float_kernel(device, in[0].dtype, [shape](const auto& stream, const Call& call, auto t) {
      using T = decltype(t);
      matmul(stream, shape, call.input<T>(0), call.input<T>(1), call.output<T>(0));
    });
  }

  Cost cost(const Types& in) const override {
    Cost cost = Op::cost(in);
    cost.flops = 2.0 * static_cast<double>(infer(in)[0].shape.elements()) *
                 static_cast<double>(in[0].shape[transpose_a_ ? -2 : -1]);
    return cost;
  }

 private:
  static std::vector<std::int64_t> leading(const Shape& shape) {
    return {shape.extents().begin(), shape.extents().end() - 2};
  }
  /// An operand that every matrix of the batch was multiplied by collects the gradients of all.
  static Value over_batch(Value d, Value operand) { return sum_to(d, operand.shape()); }

  bool transpose_a_, transpose_b_;
};

}  // namespace

Value matmul(Value a, Value b, bool transpose_a, bool transpose_b) {
  return a.graph().add(MatmulOp(transpose_a, transpose_b), {a, b})[0];
}

}  // namespace ganforge
