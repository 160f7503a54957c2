// Training steps on a device under test against the same on a reference.
#pragma once

#include <ganforge/gan.h>

#include <string>
#include <vector>

namespace ganforge {

/// What the first steps of a preset, on synthetic images and with a small batch, say of a device.
struct TrainingCheck {
  double first = 0, rest = 0;  ///< largest |Δ| / (1 + |loss|), of both losses: in the first steps, in all
  std::vector<std::string> faults;
};

constexpr std::int64_t selftest_steps = 20, selftest_first_steps = 2;
/// Allowed: rounding alone while weights hardly differ. Then it grows: Adam's first updates go by the signs of
/// gradients, those near zero included. Two instruction sets of one CPU end 1e-2 apart. Lower precisions of products
/// differ from the start.
struct TrainingTolerance {
  double first, rest;
};
constexpr TrainingTolerance training_tolerance(Precision precision) {
  if (precision == Precision::tf32) return {2e-3, 1e-1};
  if (precision == Precision::bf16) return {1e-2, 2e-1};
  return {1e-5, 5e-2};
}

TrainingCheck check_training(const std::string& preset, Device& device, Device& reference);

/// Batches and latents of a few steps must be the reference's to the bit.
std::vector<std::string> check_draws(Device& device, Device& reference);

}  // namespace ganforge
