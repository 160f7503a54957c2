// The least time that a step can take on a GPU.
#pragma once

#include <ganforge/device.h>
#include <ganforge/program.h>

#include <optional>
#include <string>

namespace ganforge {

class StepFloor {
 public:
  /// Of the GPU, with a launch measured on it; nothing on the CPU.
  static std::optional<StepFloor> of(Device& device);

  /// Seconds: of bytes at the bandwidth of memory and operations at the rate of products, the longer.
  double seconds(const ProgramReport::Launch& launch) const;
  /// What it takes in all, in lines of text.
  std::string describe(const ProgramReport& report) const;

 private:
  StepFloor() = default;
  std::string card_, precision_;
  double flops_ = 0, bytes_ = 0;  // a second; 0: not known
  double launch_ = 0;             // seconds
};

}  // namespace ganforge
