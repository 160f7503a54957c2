// What is checked of a row of the table, for GoogleTest (op_test.cpp) and for `ganforge selftest`.
#pragma once

#include "tests/op_harness.h"

namespace ganforge::op_test {

/// What is wrong, one line each; empty: nothing.
using Faults = std::vector<std::string>;

// --- of the op itself, on the CPU in float64
// -----------------------------------------------------------------------------

/// Operands that do not fit throw ShapeError, opened by the scope.
Faults check_bad_shapes(const OpCase& row);
/// Gradients of order 1 and 2 against differences, or none where the row says so.
Faults check_gradients(Device& cpu, const OpCase& row);
/// A fused op's own gradient rule against the derivative of its expansion.
Faults check_gradient_rule(Device& cpu, const OpCase& row);

// --- of its kernels on `device`, in float32
// ------------------------------------------------------------------------------

/// Whether the row or its gradient has products, of matrices or convolutions: precisions are of them alone.
bool has_products(const OpCase& row);
/// Error that a lower precision of products may make, as a part of an output's largest value: four times what rounding
/// both operands of a product does. 0 for float32.
double product_tolerance(Precision precision);

struct Exactness {
  Faults faults;
  double used = 0;  ///< the largest error as a part of what is allowed
};
/// The error of outputs and gradients is at most four times that of the expansion in float32, or a few ulp
/// (Options::ulps); both against the expansion in float64 on `cpu`. In a lower precision of the device, rows with
/// products may be off by product_tolerance(), gradients by that · Options::kinks.
Exactness check_exactness(Device& cpu, Device& device, const OpCase& row);
/// A kernel exists exactly where the row says.
Faults check_kernels(Device& device, const OpCase& row);
/// The same bits twice, without capture, and without a memory plan.
Faults check_bits(Device& device, const OpCase& row);
/// Outputs are written, nothing beside them is, and no value depends on what was in memory before.
Faults check_memory(Device& device, const OpCase& row);

}  // namespace ganforge::op_test
