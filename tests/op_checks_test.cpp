// The checks of the table find what they are for: an op whose kernel can be wrong in every way.
#include "tests/op_checks.h"

#include <ganforge/error.h>

#include <gtest/gtest.h>

#include <limits>

namespace ganforge::op_test {
namespace {

enum class Wrong { nothing, value, nan, state, short_write, long_write, gradient, no_kernel, bad_shape };

/// 2·x of a vector, on the CPU.
class Twice : public Op {
 public:
  explicit Twice(Wrong wrong) : wrong_(wrong) {}
  std::string describe() const override { return "twice"; }
  Types infer(const Types& in) const override {
    if (wrong_ != Wrong::bad_shape && in[0].shape.rank() != 1) throw ShapeError("must be a vector");
    return in;
  }
  Values expand(const Values& in) const override { return {in[0] * 2.0}; }
  Values grad(const Values&, const Values&, const Values& dout) const override {
    return {dout[0] * (wrong_ == Wrong::gradient ? 2.1 : 2.0)};
  }
  Kernel prepare(Device& device, const Types& in) const override {
    if (wrong_ == Wrong::no_kernel || in[0].dtype != DType::float32 || device.is_cuda()) return {};
    Kernel kernel;
    kernel.run = [n = in[0].shape.elements(), wrong = wrong_, runs = 0](Stream&, std::span<const Call> calls) mutable {
      ++runs;
      const float* x = calls[0].input<float>(0);
      float* y = calls[0].output<float>(0);
      const std::int64_t end = wrong == Wrong::short_write ? n - 1 : n;
      for (std::int64_t i = 0; i < end; ++i) y[i] = 2 * x[i];
      if (wrong == Wrong::value) y[1] *= 1.00001f;
      if (wrong == Wrong::nan) y[2] = std::numeric_limits<float>::quiet_NaN();
      if (wrong == Wrong::state) y[0] += 1e-7f * static_cast<float>(runs);
      if (wrong == Wrong::long_write) y[n] = 1;
    };
    return kernel;
  }

 private:
  Wrong wrong_;
};

OpCase row(Wrong wrong) {
  return {"twice",
          {f32(37)},
          [wrong](const Values& in) { return Values{in[0].graph().add(Twice(wrong), {in[0]})}; },
          {.kernel = true, .bad = {{f32(3, 5)}}}};
}

class OpChecks : public testing::Test {
 protected:
  Device cpu_ = Device::cpu(1);
};

TEST_F(OpChecks, FindNothingWhereNothingIsWrong) {
  const OpCase right = row(Wrong::nothing);
  EXPECT_EQ(check_bad_shapes(right), Faults{});
  EXPECT_EQ(check_gradients(cpu_, right), Faults{});
  EXPECT_EQ(check_gradient_rule(cpu_, right), Faults{});
  const Exactness exactness = check_exactness(cpu_, cpu_, right);
  EXPECT_EQ(exactness.faults, Faults{});
  EXPECT_LT(exactness.used, 1);
  EXPECT_EQ(check_kernels(cpu_, right), Faults{});
  EXPECT_EQ(check_bits(cpu_, right), Faults{});
  EXPECT_EQ(check_memory(cpu_, right), Faults{});
}

TEST_F(OpChecks, FindWrongValues) {
  const Exactness off = check_exactness(cpu_, cpu_, row(Wrong::value));
  EXPECT_FALSE(off.faults.empty());
  EXPECT_GT(off.used, 1);
  EXPECT_FALSE(check_exactness(cpu_, cpu_, row(Wrong::nan)).faults.empty());
}

TEST_F(OpChecks, FindWrongGradients) {
  EXPECT_FALSE(check_gradients(cpu_, row(Wrong::gradient)).empty());
  EXPECT_FALSE(check_gradient_rule(cpu_, row(Wrong::gradient)).empty());
}

TEST_F(OpChecks, FindWhatIsNotDeterministic) {
  EXPECT_FALSE(check_bits(cpu_, row(Wrong::state)).empty());
}

TEST_F(OpChecks, FindWrongWrites) {
  EXPECT_FALSE(check_memory(cpu_, row(Wrong::short_write)).empty());
  EXPECT_FALSE(check_memory(cpu_, row(Wrong::long_write)).empty());
}

TEST_F(OpChecks, FindMissingKernelsAndShapeRules) {
  EXPECT_FALSE(check_kernels(cpu_, row(Wrong::no_kernel)).empty());
  EXPECT_FALSE(check_bad_shapes(row(Wrong::bad_shape)).empty());
}

}  // namespace
}  // namespace ganforge::op_test
