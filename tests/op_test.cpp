// Every row of the table of ops, checked in every way: op_checks.h says what each check is.
#include "tests/devices.h"
#include "tests/op_checks.h"

#include <gtest/gtest.h>

namespace ganforge::op_test {
namespace {

void expect_none(const Faults& faults, const Device* device = nullptr) {
  for (const std::string& fault : faults) ADD_FAILURE() << fault << (device ? " on " + device->name() : "");
}

class OpTest : public testing::TestWithParam<OpCase> {
 protected:
  const OpCase& row_ = GetParam();
  Device cpu_ = Device::cpu(2);
};

TEST_P(OpTest, BadShapesThrow) {
  expect_none(check_bad_shapes(row_));
}

TEST_P(OpTest, GradientsAgreeWithDifferences) {
  expect_none(check_gradients(cpu_, row_));
}

TEST_P(OpTest, GradientRuleAgreesWithTheExpansion) {
  expect_none(check_gradient_rule(cpu_, row_));
}

TEST_P(OpTest, Float32IsAsExactAsItsExpansion) {
  for (Device& device : devices()) expect_none(check_exactness(cpu_, device, row_).faults, &device);
}

TEST_P(OpTest, KernelsExistWhereTheRowSays) {
  for (Device& device : devices()) expect_none(check_kernels(device, row_), &device);
}

TEST_P(OpTest, EveryRunGivesTheSameBits) {
  for (Device& device : devices()) expect_none(check_bits(device, row_), &device);
}

TEST_P(OpTest, WritesItsOutputsAndNothingElse) {
  for (Device& device : devices()) expect_none(check_memory(device, row_), &device);
}

/// Changes what products are computed in, until the end.
class WithPrecision {
 public:
  WithPrecision(Device& device, Precision precision) : device_(device) { device.set_precision(precision); }
  ~WithPrecision() { device_.set_precision(Precision::fp32); }

 private:
  Device& device_;
};

TEST_P(OpTest, LowerPrecisionsOfProductsAreNearAndRepeat) {
  if (!has_products(row_)) return;
  for (Device& device : devices())
    for (const Precision precision : {Precision::tf32, Precision::bf16}) {
      if (!device.supports(precision)) continue;
      const WithPrecision changed(device, precision);
      SCOPED_TRACE(name_of(precision));
      expect_none(check_exactness(cpu_, device, row_).faults, &device);
      expect_none(check_kernels(device, row_), &device);
      expect_none(check_bits(device, row_), &device);
      expect_none(check_memory(device, row_), &device);
    }
}

std::string test_name(const testing::TestParamInfo<OpCase>& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Table, OpTest, testing::ValuesIn(op_cases()), test_name);

}  // namespace
}  // namespace ganforge::op_test
